//! Results of A2A requests as our events. Pure.

use super::super::reply::{BodyEnd, Ending, Mapping, ReplyItem, failed, raw, raw_or_string, text_missing, unclear};
use super::super::sse;
use cupola_protocol::error::ErrorKind;
use cupola_protocol::id::ConversationId;
use cupola_protocol::invoke::{InvokeEvent, RunStatus};
use serde_json::Value;
use std::collections::VecDeque;

/// How results arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answered {
    /// One, as the whole answer.
    Whole,
    /// Several, each an event.
    InEvents,
}

/// The state of one answer.
#[derive(Debug)]
pub(super) struct ResultMapping {
    answered: Answered,
    /// All text so far.
    text: String,
    /// The id of each artifact, and where its text begins in `text`. One ends where the next one begins.
    artifacts: Vec<(String, usize)>,
    /// Where the first result says it belongs.
    context_id: Option<ConversationId>,
    has_begun: bool,
    /// An event could not be read, and may have held text.
    has_lost: bool,
    is_ended: bool,
}

impl ResultMapping {
    pub(super) fn new(answered: Answered) -> Self {
        Self {
            answered,
            text: String::new(),
            artifacts: Vec::new(),
            context_id: None,
            has_begun: false,
            has_lost: false,
            is_ended: false,
        }
    }

    /// Has there been a result, or an error in place of one?
    pub(super) const fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// The context of the first result.
    pub(super) const fn context_id(&self) -> Option<&ConversationId> {
        self.context_id.as_ref()
    }

    fn end_with(&mut self, event: InvokeEvent, data: &str, items: &mut VecDeque<ReplyItem>) {
        self.is_ended = true;
        if self.has_lost {
            items.push_back(text_missing());
        }
        let text = (!self.text.is_empty()).then(|| self.text.clone());
        items.push_back(ReplyItem::End(Box::new(Ending { text, output: raw(data), ..Ending::of(event) })));
    }

    fn append(&mut self, delta: String, items: &mut VecDeque<ReplyItem>) {
        if !delta.is_empty() {
            self.text.push_str(&delta);
            items.push_back(ReplyItem::Event(InvokeEvent::TextDelta { delta }));
        }
    }

    /// Makes `whole` the text.
    fn replace(&mut self, whole: String, items: &mut VecDeque<ReplyItem>) {
        self.has_lost = false;
        if let Some(rest) = whole.strip_prefix(self.text.as_str()).map(ToOwned::to_owned) {
            return self.append(rest, items);
        }
        self.text.clone_from(&whole);
        items.push_back(ReplyItem::Event(InvokeEvent::Snapshot { text: whole }));
    }

    /// Adds to an artifact that was sent before, or puts its new text in the place of the old one. Artifacts that have no id
    /// are all one, which is only added to.
    fn artifact(&mut self, update: &Value, items: &mut VecDeque<ReplyItem>) {
        let artifact = update.get("artifact").unwrap_or(&Value::Null);
        let text = text_of(artifact);
        let id = artifact.get("artifactId").and_then(Value::as_str).unwrap_or_default();
        let Some(index) = self.artifacts.iter().position(|(known, _)| known == id) else {
            self.artifacts.push((id.to_owned(), self.text.len()));
            return self.append(text, items);
        };
        let start_of = |index: usize| self.artifacts.get(index).map_or(self.text.len(), |(_, start)| *start);
        let (start, end) = (start_of(index), start_of(index + 1));
        let old = self.text.get(start..end).unwrap_or_default();
        let appends = id.is_empty() || update.get("append") == Some(&Value::Bool(true));
        if end == self.text.len() {
            let rest = if appends { Some(text.as_str()) } else { text.strip_prefix(old) };
            if let Some(rest) = rest.map(ToOwned::to_owned) {
                return self.append(rest, items);
            }
        }
        let new = if appends { [old, &text].concat() } else { text };
        for (_, later) in self.artifacts.iter_mut().skip(index + 1) {
            *later = *later - (end - start) + new.len();
        }
        self.text.replace_range(start..end, &new);
        items.push_back(ReplyItem::Event(InvokeEvent::Snapshot { text: self.text.clone() }));
    }

    fn result(&mut self, result: &Value, data: &str, items: &mut VecDeque<ReplyItem>) {
        let status = result.get("status");
        let state = status.and_then(|status| status.get("state")).and_then(Value::as_str);
        let kind = result.get("kind").and_then(Value::as_str);
        // A result without its kind is told by what it has.
        let kind = kind.or_else(|| result.get("parts").map(|_| "message")).or_else(|| status.map(|_| "task"));
        match kind {
            Some("message") => {
                self.replace(text_of(result), items);
                return self.end_with(InvokeEvent::Completed {}, data, items);
            }
            Some("artifact-update") => {
                return self.artifact(result, items);
            }
            Some("task" | "status-update") => {
                if let Some(event) = state.and_then(|state| ending_of(state, status)) {
                    let text = text_of_task(result);
                    if !text.is_empty() && (kind == Some("task") || self.text.is_empty()) && !is_failure(&event) {
                        self.replace(text, items);
                    }
                    return self.end_with(event, data, items);
                }
                if self.answered == Answered::Whole || result.get("final") == Some(&Value::Bool(true)) {
                    let reason = format!("the agent left its task {}", state.unwrap_or("in no known state"));
                    return self.end_with(InvokeEvent::Truncated { reason: Some(reason) }, data, items);
                }
            }
            _ if self.answered == Answered::Whole => {
                let reason = "the answer is neither a message nor a task of A2A";
                return self.end_with(unclear(ErrorKind::UnexpectedAnswer, reason, None), data, items);
            }
            _ => {}
        }
        let name = kind.unwrap_or("result").to_owned();
        items.push_back(ReplyItem::Event(InvokeEvent::Output { name, data: raw_or_string(data) }));
    }
}

impl Mapping for ResultMapping {
    fn event(&mut self, event: sse::Event, items: &mut VecDeque<ReplyItem>) {
        if self.is_ended {
            return;
        }
        let json = serde_json::from_str::<Value>(&event.data).unwrap_or_else(|_| {
            // An event that is not JSON may have held text. A whole body that is not JSON is reported at its end.
            self.has_lost = self.answered == Answered::InEvents;
            Value::Null
        });
        if !std::mem::replace(&mut self.has_begun, true) {
            let context = json.pointer("/result/contextId").and_then(Value::as_str);
            // A context without a usable id cannot be continued: every message starts a new one.
            self.context_id = context.and_then(|id| id.parse().ok());
        }
        if let Some(error) = json.get("error").filter(|error| !error.is_null()) {
            let message =
                error.get("message").and_then(Value::as_str).unwrap_or("the agent failed and did not say why");
            let code = error.get("code").map(|code| code.as_str().map_or_else(|| code.to_string(), ToOwned::to_owned));
            return self.end_with(failed(ErrorKind::AgentFailed, message, code), &event.data, items);
        }
        self.result(json.get("result").unwrap_or(&Value::Null), &event.data, items);
    }

    fn end(&mut self, how: BodyEnd, items: &mut VecDeque<ReplyItem>) {
        if self.is_ended {
            return;
        }
        self.end_with(how.too_soon(), "", items);
    }
}

/// How a task in this state ended; `None` while it continues.
fn ending_of(state: &str, status: Option<&Value>) -> Option<InvokeEvent> {
    let message = || {
        let text = status.and_then(|status| status.get("message")).map(text_of).unwrap_or_default();
        if text.is_empty() { format!("the agent's task is {state}") } else { text }
    };
    Some(match state {
        // The agent asks back: its turn is over.
        "completed" | "input-required" => InvokeEvent::Completed {},
        "failed" | "rejected" => failed(ErrorKind::AgentFailed, message(), Some(state.to_owned())),
        "canceled" | "cancelled" => InvokeEvent::Cancelled {},
        "auth-required" => InvokeEvent::Incomplete { reason: Some(state.to_owned()) },
        _ => return None,
    })
}

fn is_failure(event: &InvokeEvent) -> bool {
    event.ending() == Some(RunStatus::Failed)
}

/// The text parts of a message or an artifact.
fn text_of(holder: &Value) -> String {
    let parts = holder.get("parts").and_then(Value::as_array).into_iter().flatten();
    parts.filter_map(|part| part.get("text").and_then(Value::as_str)).collect()
}

/// The first text a task has, in the order azd looks: its status, its artifacts, the latest message that is not the user's.
fn text_of_task(task: &Value) -> String {
    let status = task.get("status").and_then(|status| status.get("message")).map(text_of);
    let all = |name: &str| task.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let artifacts = all("artifacts").iter().map(text_of).collect::<String>();
    let is_agents = |message: &&Value| message.get("role").and_then(Value::as_str) != Some("user");
    let history = all("history").iter().rev().find(is_agents).map(text_of);
    [status, Some(artifacts), history].into_iter().flatten().find(|text| !text.is_empty()).unwrap_or_default()
}

#[cfg(test)]
#[path = "../../../fuzz/a2a.rs"]
mod fuzz_a2a;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::foundry::reply::{Split, map};

    fn whole(result: &str) -> (Vec<String>, Ending) {
        let body = format!(r#"{{"jsonrpc":"2.0","id":"1","result":{result}}}"#);
        map(Split::whole(), ResultMapping::new(Answered::Whole), body.as_bytes(), BodyEnd::Clean)
    }

    fn stream(results: &[&str]) -> (Vec<String>, Ending) {
        let frames: String = results
            .iter()
            .map(|result| ["data: {\"jsonrpc\":\"2.0\",\"id\":\"1\",\"result\":", result, "}\n\n"].concat())
            .collect();
        map(Split::events(), ResultMapping::new(Answered::InEvents), frames.as_bytes(), BodyEnd::Clean)
    }

    #[test]
    fn messages_and_tasks_have_their_text_where_azd_finds_it() {
        for (result, expected) in [
            (
                r#"{"kind":"message","role":"agent","parts":[{"kind":"text","text":"hel"},{"kind":"text","text":"lo"}]}"#,
                vec!["+hello", "end: completed"],
            ),
            (r#"{"parts":[{"text":"hello"}]}"#, vec!["+hello", "end: completed"]),
            (
                r#"{"kind":"task","status":{"state":"completed","message":{"parts":[{"text":"s"}]}},"artifacts":[{"parts":[{"text":"a"}]}]}"#,
                vec!["+s", "end: completed"],
            ),
            (
                r#"{"kind":"task","status":{"state":"completed"},"artifacts":[{"parts":[{"text":"a"}]},{"parts":[{"text":"b"}]}]}"#,
                vec!["+ab", "end: completed"],
            ),
            (
                r#"{"kind":"task","status":{"state":"completed"},"history":[{"role":"agent","parts":[{"text":"old"}]},{"role":"agent","parts":[{"text":"h"}]},{"role":"user","parts":[{"text":"u"}]}]}"#,
                vec!["+h", "end: completed"],
            ),
            (
                r#"{"kind":"task","status":{"state":"input-required","message":{"parts":[{"text":"which?"}]}}}"#,
                vec!["+which?", "end: completed"],
            ),
            (
                r#"{"kind":"task","status":{"state":"failed","message":{"parts":[{"text":"no"}]}}}"#,
                vec!["end: failed AgentFailed: no"],
            ),
            (
                r#"{"kind":"task","status":{"state":"rejected"}}"#,
                vec!["end: failed AgentFailed: the agent's task is rejected"],
            ),
            (r#"{"kind":"task","status":{"state":"canceled"}}"#, vec!["end: cancelled"]),
            (r#"{"kind":"task","status":{"state":"auth-required"}}"#, vec!["end: incomplete auth-required"]),
            (r#"{"kind":"task","status":{"state":"working"}}"#, vec!["end: truncated the agent left its task working"]),
            ("42", vec!["end: failed UnexpectedAnswer: the answer is neither a message nor a task of A2A"]),
        ] {
            assert_eq!(whole(result).0, expected, "{result}");
        }
    }

    #[test]
    fn an_error_of_the_protocol_is_a_failure_with_its_code() {
        let body = br#"{"jsonrpc":"2.0","id":"1","error":{"code":-32603,"message":"it broke"}}"#;
        let (lines, ending) = map(Split::whole(), ResultMapping::new(Answered::Whole), body, BodyEnd::Clean);
        assert_eq!(lines, ["end: failed AgentFailed: it broke"]);
        let InvokeEvent::Failed { failure } = ending.event else { panic!() };
        assert_eq!(failure.service_code.as_deref(), Some("-32603"));
        let (lines, _) = map(Split::whole(), ResultMapping::new(Answered::Whole), b"<html>", BodyEnd::Clean);
        assert_eq!(lines.len(), 1, "{lines:?}");
    }

    #[test]
    fn an_artifact_is_extended_or_replaced_by_its_id() {
        let update = |id: &str, append: bool, text: &str| {
            let artifact = serde_json::json!({"artifactId": id, "parts": [{"kind": "text", "text": text}]});
            serde_json::json!({"kind": "artifact-update", "append": append, "artifact": artifact}).to_string()
        };
        let done = r#"{"kind":"status-update","final":true,"status":{"state":"completed"}}"#;
        for (updates, expected) in [
            (vec![("a", false, "dra"), ("a", true, "ft"), ("a", false, "final")], vec!["+dra", "+ft", "=final"]),
            // The whole text again, with more at its end.
            (vec![("a", false, "one"), ("a", false, "one two")], vec!["+one", "+ two"]),
            (
                vec![("a", false, "one "), ("b", false, "two"), ("a", true, "and ")],
                vec!["+one ", "+two", "=one and two"],
            ),
            (
                vec![
                    ("a", false, "grüße "),
                    ("b", false, "b"),
                    ("a", false, "x "),
                    ("b", true, "c"),
                    ("b", false, "d"),
                ],
                vec!["+grüße ", "+b", "=x b", "+c", "=x d"],
            ),
            // Not what the protocol says, but it was an answer before.
            (vec![("", false, "one "), ("", false, "two")], vec!["+one ", "+two"]),
        ] {
            let mut results: Vec<String> = updates.iter().map(|&(id, append, text)| update(id, append, text)).collect();
            results.push(done.to_owned());
            let (lines, ending) = stream(&results.iter().map(String::as_str).collect::<Vec<_>>());
            assert_eq!(lines[..lines.len() - 1], expected, "{updates:?}");
            let shown = expected.iter().fold(String::new(), |text, line| match line.strip_prefix('+') {
                Some(more) => text + more,
                None => line[1..].to_owned(),
            });
            assert_eq!(ending.text, Some(shown), "{updates:?}");
        }
    }

    #[test]
    fn updates_stream_and_the_last_one_ends() {
        let begun = r#"{"kind":"task","id":"t","status":{"state":"submitted"}}"#;
        let update = |text: &str| {
            [r#"{"kind":"artifact-update","append":true,"artifact":{"parts":[{"text":""#, text, r#""}]}}"#].concat()
        };
        let (a, b) = (update("al"), update("pha"));
        let done = r#"{"kind":"status-update","final":true,"status":{"state":"completed"}}"#;
        let (lines, ending) = stream(&[begun, &a, &b, done]);
        assert_eq!(lines, ["task", "+al", "+pha", "end: completed"]);
        assert_eq!(ending.text.as_deref(), Some("alpha"));
        // Without its last update an answer is not known to be whole.
        assert_eq!(stream(&[begun, &a]).0, ["task", "+al", "end: truncated the stream ended before the answer did"]);
        // An answer with an unreadable event is incomplete, too, unless the last event repeats the text.
        let (end, unread) = (r#"{"kind":"status-update","final":true,"status":{"state":"completed"}}"#, "{\"kind");
        assert!(stream(&[begun, &a, unread, end]).0.iter().any(|line| line.contains("TextMissing")));
        let whole = r#"{"kind":"message","parts":[{"text":"alpha"}]}"#;
        assert_eq!(stream(&[&a, unread, whole]).0, ["+al", "result", "+pha", "end: completed"]);
        let message = r#"{"kind":"message","parts":[{"text":"alpha"}]}"#;
        assert_eq!(stream(&[&a, message]).0, ["+al", "+pha", "end: completed"]);
        let spoken = r#"{"kind":"status-update","final":true,"status":{"state":"completed","message":{"parts":[{"text":"done"}]}}}"#;
        assert_eq!(stream(&[begun, spoken]).0, ["task", "+done", "end: completed"]);
    }
}
