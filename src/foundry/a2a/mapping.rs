//! Results of A2A requests as our events. Pure.

use super::super::complaint::Complaint;
use super::super::reply::{BodyEnd, Ending, Mapping, ReplyItem, failed, raw, raw_or_string, text_missing, unclear};
use super::super::sse;
use super::artifacts::{Artifacts, text_of, text_of_all};
use super::version::{Kind, is_users, state_of, unwrapped};
use cupola_protocol::error::ErrorKind;
use cupola_protocol::id::ConversationId;
use cupola_protocol::invoke::{InvokeEvent, Question, QuestionKind, RunStatus};
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
    /// Where the first result says it belongs.
    context_id: Option<ConversationId>,
    /// The task that the answer belongs to.
    task: Option<String>,
    artifacts: Artifacts,
    has_begun: bool,
    /// An event could not be read, and may have held text.
    has_lost: bool,
    course: Course,
}

/// How far the answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Course {
    Open,
    Ended,
    /// It ended before its task.
    LeftItsTask,
}

impl ResultMapping {
    pub(super) fn new(answered: Answered) -> Self {
        Self {
            answered,
            text: String::new(),
            context_id: None,
            task: None,
            artifacts: Artifacts::default(),
            has_begun: false,
            has_lost: false,
            course: Course::Open,
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

    /// The task of the answer, once that is known.
    pub(super) fn task(&self) -> Option<&str> {
        self.task.as_deref()
    }

    /// The task that the agent still works on, although the answer has ended.
    pub(super) fn unfinished(&self) -> Option<&str> {
        self.task.as_deref().filter(|_| self.course == Course::LeftItsTask)
    }

    /// Takes the answer to a question about the task. Adds nothing while the agent works on it.
    pub(super) fn polled(&mut self, event: sse::Event, items: &mut VecDeque<ReplyItem>) {
        (self.answered, self.course) = (Answered::Whole, Course::Open);
        let mut said = VecDeque::new();
        if let Ok(json) = serde_json::from_str::<Value>(&event.data)
            && let Some(error) = json.get("error").filter(|error| !error.is_null())
        {
            // The agent does not say what became of the task.
            let message = Complaint::of(error).message.unwrap_or_else(|| "no message".to_owned());
            let reason = format!("the agent is still working on its task, but the task cannot be read: {message}");
            return self.end_with(InvokeEvent::Truncated { reason: Some(reason) }, &event.data, items);
        }
        self.event(event, &mut said);
        if self.course != Course::LeftItsTask {
            items.append(&mut said);
        }
    }

    fn end_with(&mut self, event: InvokeEvent, data: &str, items: &mut VecDeque<ReplyItem>) {
        self.course = Course::Ended;
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

    /// The agent interrupts its task for the person.
    fn ask(&self, state: &str, status: Option<&Value>, items: &mut VecDeque<ReplyItem>) {
        let kind = match state {
            "input-required" => QuestionKind::Input,
            "auth-required" => QuestionKind::Consent,
            _ => return,
        };
        let Some(id) = self.task.clone() else { return };
        let message = status.and_then(|status| status.get("message")).map(text_of).filter(|text| !text.is_empty());
        let question = Question { id, kind, message, tool: None, server: None, arguments: None, url: None };
        items.push_back(ReplyItem::Event(InvokeEvent::Question { question: Box::new(question) }));
    }

    fn result(&mut self, result: &Value, data: &str, items: &mut VecDeque<ReplyItem>) {
        let (kind, result) = unwrapped(result);
        let id = if kind == Some(Kind::Task) { "id" } else { "taskId" };
        if let Some(task) = result.get(id).and_then(Value::as_str).filter(|_| kind != Some(Kind::Message)) {
            self.task = Some(task.to_owned());
        }
        match kind {
            Some(Kind::Message) => {
                self.replace(text_of(result), items);
                return self.end_with(InvokeEvent::Completed {}, data, items);
            }
            Some(Kind::Artifact) => {
                let whole = self.artifacts.take(result);
                return self.replace(whole, items);
            }
            Some(kind @ (Kind::Task | Kind::Status)) => {
                let status = result.get("status");
                let state = state_of(status);
                if let Some(event) = state.as_deref().and_then(|state| ending_of(state, status)) {
                    let text = text_of_task(result);
                    if !text.is_empty() && (kind == Kind::Task || self.text.is_empty()) && !is_failure(&event) {
                        self.replace(text, items);
                    }
                    self.ask(state.as_deref().unwrap_or_default(), status, items);
                    return self.end_with(event, data, items);
                }
                if self.answered == Answered::Whole || result.get("final") == Some(&Value::Bool(true)) {
                    let reason = format!("the agent left its task {}", state.as_deref().unwrap_or("in no known state"));
                    self.end_with(InvokeEvent::Truncated { reason: Some(reason) }, data, items);
                    self.course = Course::LeftItsTask;
                    return;
                }
            }
            None if self.answered == Answered::Whole => {
                let reason = "the answer is neither a message nor a task of A2A";
                return self.end_with(unclear(ErrorKind::UnexpectedAnswer, reason, None), data, items);
            }
            None => {}
        }
        let name = kind.map_or("result", Kind::name).to_owned();
        items.push_back(ReplyItem::Event(InvokeEvent::Output { name, data: raw_or_string(data) }));
    }
}

impl Mapping for ResultMapping {
    fn event(&mut self, event: sse::Event, items: &mut VecDeque<ReplyItem>) {
        if self.course != Course::Open {
            return;
        }
        let json = serde_json::from_str::<Value>(&event.data).unwrap_or_else(|_| {
            // An event that is not JSON may have held text. A whole body that is not JSON is reported at its end.
            self.has_lost = self.answered == Answered::InEvents;
            Value::Null
        });
        if !std::mem::replace(&mut self.has_begun, true) {
            let context = json.get("result").and_then(|result| unwrapped(result).1.get("contextId")?.as_str());
            // A context without a usable id cannot be continued: every message starts a new one.
            self.context_id = context.and_then(|id| id.parse().ok());
        }
        if let Some(error) = json.get("error").filter(|error| !error.is_null()) {
            let Complaint { code, message } = Complaint::of(error);
            let message = message.unwrap_or_else(|| "the agent failed and did not say why".to_owned());
            return self.end_with(failed(ErrorKind::AgentFailed, message, code), &event.data, items);
        }
        self.result(json.get("result").unwrap_or(&Value::Null), &event.data, items);
    }

    fn end(&mut self, how: BodyEnd, items: &mut VecDeque<ReplyItem>) {
        if self.course != Course::Open {
            return;
        }
        // The agent may work on without the connection.
        let leaves_task = how == BodyEnd::Clean && self.task.is_some();
        self.end_with(how.too_soon(), "", items);
        if leaves_task {
            self.course = Course::LeftItsTask;
        }
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

/// The first text a task has, in the order azd looks: its status, its artifacts, the latest message that is not the user's.
fn text_of_task(task: &Value) -> String {
    let status = task.get("status").and_then(|status| status.get("message")).map(text_of);
    let all = |name: &str| task.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let artifacts = text_of_all(all("artifacts"));
    let history = all("history").iter().rev().find(|message| !is_users(message)).map(text_of);
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
                vec!["+a\nb", "end: completed"],
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
    fn results_of_version_1_are_read_as_those_of_0_3() {
        for (result, expected) in [
            (
                r#"{"message":{"role":"ROLE_AGENT","messageId":"m","parts":[{"text":"hello"}]}}"#,
                vec!["+hello", "end: completed"],
            ),
            (
                r#"{"task":{"id":"t","contextId":"c","status":{"state":"TASK_STATE_COMPLETED"},"artifacts":[{"artifactId":"a","parts":[{"text":"hello"}]}]}}"#,
                vec!["+hello", "end: completed"],
            ),
            (
                r#"{"task":{"id":"t","status":{"state":"TASK_STATE_FAILED","message":{"role":"ROLE_AGENT","parts":[{"text":"no"}]}}}}"#,
                vec!["end: failed AgentFailed: no"],
            ),
            (
                r#"{"task":{"id":"t","status":{"state":"TASK_STATE_COMPLETED"},"history":[{"role":"ROLE_AGENT","parts":[{"text":"h"}]},{"role":"ROLE_USER","parts":[{"text":"u"}]}]}}"#,
                vec!["+h", "end: completed"],
            ),
            (
                r#"{"task":{"id":"t","status":{"state":"TASK_STATE_AUTH_REQUIRED"}}}"#,
                vec!["?Consent t", "end: incomplete auth-required"],
            ),
        ] {
            assert_eq!(whole(result).0, expected, "{result}");
        }
        let (lines, _) = stream(&[
            r#"{"task":{"id":"t","contextId":"c","status":{"state":"TASK_STATE_WORKING"}}}"#,
            r#"{"artifactUpdate":{"taskId":"t","artifact":{"artifactId":"a","parts":[{"text":"al"}]}}}"#,
            r#"{"artifactUpdate":{"taskId":"t","append":true,"artifact":{"artifactId":"a","parts":[{"text":"pha"}]}}}"#,
            r#"{"statusUpdate":{"taskId":"t","status":{"state":"TASK_STATE_COMPLETED"}}}"#,
        ]);
        assert_eq!(lines, ["task", "+al", "+pha", "end: completed"]);
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
            (vec![("a", true, "early")], vec!["+early"]),
            // The whole text again, with more at its end.
            (vec![("a", false, "one"), ("a", false, "one two")], vec!["+one", "+ two"]),
            (
                vec![("a", false, "one "), ("b", false, "two"), ("a", true, "and ")],
                vec!["+one ", "+\ntwo", "=one and \ntwo"],
            ),
            (
                vec![
                    ("a", false, "grüße "),
                    ("b", false, "b"),
                    ("a", false, "x "),
                    ("b", true, "c"),
                    ("b", false, "d"),
                ],
                vec!["+grüße ", "+\nb", "=x \nb", "+c", "=x \nd"],
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
