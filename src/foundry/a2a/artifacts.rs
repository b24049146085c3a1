//! The text of a task's artifacts, as they are sent, extended and sent again. Pure.
//!
//! An update with `append` extends the artifact of its id; one without replaces it, or is the first of it (A2A 0.3 and 1.0,
//! `TaskArtifactUpdateEvent`). The standard requires the id; updates without one are all of one artifact, which is only extended.

use serde_json::Value;

/// Artifacts in the order in which they were begun.
#[derive(Debug, Default)]
pub(super) struct Artifacts {
    known: Vec<(String, String)>,
}

impl Artifacts {
    /// Takes an update. Gives the whole text after it.
    pub(super) fn take(&mut self, update: &Value) -> String {
        let artifact = update.get("artifact").unwrap_or(&Value::Null);
        let id = artifact.get("artifactId").and_then(Value::as_str).unwrap_or_default();
        let text = text_of(artifact);
        let appends = id.is_empty() || update.get("append") == Some(&Value::Bool(true));
        match self.known.iter_mut().find(|(known, _)| known == id) {
            Some((_, known)) if appends => known.push_str(&text),
            Some((_, known)) => *known = text,
            None => self.known.push((id.to_owned(), text)),
        }
        joined(self.known.iter().map(|(_, text)| text.as_str()))
    }
}

/// The text parts of a message or an artifact.
pub(super) fn text_of(holder: &Value) -> String {
    let parts = holder.get("parts").and_then(Value::as_array).into_iter().flatten();
    parts.filter_map(|part| part.get("text").and_then(Value::as_str)).collect()
}

/// The text of a task's artifacts, all there.
pub(super) fn text_of_all(artifacts: &[Value]) -> String {
    let texts: Vec<String> = artifacts.iter().map(text_of).collect();
    joined(texts.iter().map(String::as_str))
}

/// Each artifact begins on a line of its own.
fn joined<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    texts.filter(|text| !text.is_empty()).fold(String::new(), |mut all, text| {
        if !all.is_empty() && !all.ends_with('\n') {
            all.push('\n');
        }
        all.push_str(text);
        all
    })
}
