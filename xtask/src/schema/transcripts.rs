//! Examples for the reference, from the conversations that the daemon and every client replay.

use serde_json::Value;
use std::fs;
use std::path::Path;

/// One call and its answer, as a transcript has them.
pub(super) struct Example {
    /// The transcript's name.
    pub(super) transcript: String,
    pub(super) method: String,
    pub(super) request: String,
    pub(super) response: String,
}

/// Every call that is answered with a result, in the order of the files' names.
pub(super) fn examples(root: &Path) -> Result<Vec<Example>, String> {
    let directory = root.join("tests/transcripts");
    let unreadable = |error| format!("the transcripts cannot be read: {error}");
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory).map_err(unreadable)? {
        paths.push(entry.map_err(unreadable)?.path());
    }
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    paths.sort();
    let mut examples = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path).map_err(unreadable)?;
        let lines = text.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>();
        let lines = lines.map_err(|error| format!("{}: {error}", path.display()))?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        examples.extend(calls(&name, &lines));
    }
    Ok(examples)
}

fn calls(transcript: &str, lines: &[Value]) -> impl Iterator<Item = Example> {
    lines.iter().filter_map(move |line| {
        let request = &line["->"];
        let (method, id) = (request["method"].as_str()?, request.get("id")?);
        let answers = |line: &&Value| line["<-"].get("id") == Some(id) && line["<-"].get("result").is_some();
        let response = lines.iter().find(answers)?;
        Some(Example {
            transcript: transcript.to_owned(),
            method: method.to_owned(),
            request: request.to_string(),
            // A pattern says what is there, not all of it.
            response: response["<-"].to_string().replace("\"<*>\"", "…"),
        })
    })
}
