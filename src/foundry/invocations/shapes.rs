//! What an event means in the invocations protocol, where each agent's developer defines the events. Pure.
//!
//! The invocations protocol leaves the answer's form to the agent. `tests/fixtures/invocation-shapes.toml` is the table of the
//! forms that were seen in public agents and samples, with the text and the failure of each; a test walks it. The rules here
//! are what these forms have in common: which words name an event, and which members hold its text.

use super::super::complaint::Complaint;
use super::super::error::kind_of_code;
use super::super::reply::failed;
use cupola_protocol::error::ErrorKind;
use cupola_protocol::invoke::InvokeEvent;
use serde_json::Value;

/// What an event says.
#[derive(Debug, Clone)]
pub(in crate::foundry) enum Said {
    /// More text.
    Text(String),
    /// The message that was streamed so far, repeated whole.
    Message(String),
    /// A last word, with the whole text if it has that. `is_end`: nothing follows it.
    Final { text: Option<String>, is_whole: bool, is_end: bool },
    /// The run ended, and not well.
    Ended(InvokeEvent),
    /// Something beside the answer: a tool call, reasoning, progress, a user's message.
    Aside,
    /// Nothing that is known here.
    Unknown,
}

/// How deep text may lie in nested members.
const DEPTH: usize = 5;

/// Members that hold the next piece of text, in any event.
const PIECES: [&str; 9] =
    ["delta", "content", "text", "token", "chunk", "delta_content", "deltaContent", "inputTextDelta", "output_text"];

/// Members that hold text in an event that has no type or is one of the answer's own.
const ANSWERS: [&str; 7] = ["response", "answer", "output", "message", "completion", "data", "result"];

/// Members that hold the whole text in a last event, the most specific first.
const WHOLES: [&str; 10] = [
    "full_text",
    "final_answer",
    "final_output",
    "text",
    "content",
    "output",
    "response",
    "result",
    "answer",
    "message",
];

/// Words of events that end an answer.
const FINALS: [&str; 17] = [
    "done",
    "end",
    "complete",
    "completed",
    "finish",
    "finished",
    "final",
    "result",
    "stop",
    "run_finished",
    "run_completed",
    "response_completed",
    "response_done",
    "invocation_completed",
    "task_completed",
    "workflow_completed",
    "stream_end",
];

/// Words in the types of events that are not about the answer's text.
const ASIDES: [&str; 40] = [
    "action",
    "activity",
    "begin",
    "citation",
    "citations",
    "created",
    "custom",
    "debug",
    "evidence",
    "function",
    "heartbeat",
    "hook",
    "idle",
    "info",
    "init",
    "keepalive",
    "log",
    "metadata",
    "observation",
    "permission",
    "ping",
    "progress",
    "queued",
    "reasoning",
    "session",
    "skill",
    "snapshot",
    "sources",
    "start",
    "started",
    "state",
    "status",
    "step",
    "system",
    "thinking",
    "thought",
    "tool",
    "trace",
    "usage",
    "user",
];

/// Words in the types of events that report a part of the work: that it failed is not the failure of the run.
const PARTS_OF_WORK: [&str; 6] = ["action", "function", "observation", "step", "tool", "tools"];

/// Reads an event. `name` is its name in the stream, if it has one.
pub(in crate::foundry) fn read(name: Option<&str>, data: &Value) -> Said {
    if let Value::String(text) = data {
        return Said::Text(text.clone());
    }
    // LangGraph's `messages`: the chunk, then what belongs to it.
    if let Some(first @ Value::Object(_)) = data.as_array().and_then(|several| several.first()) {
        return text_in(first, true, DEPTH).map_or(Said::Unknown, Said::Text);
    }
    if !data.is_object() {
        return Said::Unknown;
    }
    // A framework's own event in the envelope of the sample that passes it on.
    if let Some(inner) = data.get("event").filter(|event| event.is_object()) {
        return read(name, inner);
    }
    let member = |name: &str| data.get(name).and_then(Value::as_str);
    let kind =
        member("type").or_else(|| member("event")).or(name).filter(|kind| *kind != "message").unwrap_or_default();
    let word = word_of(kind);
    let has = |words: &[&str]| word.split('_').any(|part| words.contains(&part));
    if !has(&PARTS_OF_WORK)
        && let Some(event) = ending_in(&word, data)
    {
        return Said::Ended(event);
    }
    // The Claude Agent SDK's last message.
    if data.get("subtype").is_some() && data.get("is_error").is_some() {
        return Said::Final { text: member("result").map(ToOwned::to_owned), is_whole: false, is_end: false };
    }
    if FINALS.contains(&word.as_str()) {
        return last_word(&word, data);
    }
    if has(&ASIDES) || (word.is_empty() && data.get("subtype").is_some()) || !is_agents(data) {
        return Said::Aside;
    }
    // Whole messages of Copilot's and Claude's SDKs, and the ends of a response's parts.
    let is_message = matches!(word.as_str(), "assistant_message" | "response_output_text_done" | "response_refusal_done")
        || (word.is_empty() && data.get("model").is_some() && data.get("content").is_some_and(Value::is_array))
        // Google's Agent Development Kit.
        || (data.pointer("/content/parts").is_some() && data.get("partial") != Some(&Value::Bool(true)));
    if is_message {
        return text_in(data, true, DEPTH).map_or(Said::Aside, Said::Message);
    }
    let is_answers = word.is_empty()
        || has(&[
            "answer",
            "assistant",
            "chat",
            "chunk",
            "content",
            "data",
            "delta",
            "message",
            "response",
            "text",
            "token",
            "update",
        ]);
    match text_in(data, is_answers, DEPTH) {
        Some(text) => Said::Text(text),
        None if ["choices", "candidates", "messageStart", "messageStop"]
            .iter()
            .any(|name| data.get(name).is_some()) =>
        {
            Said::Aside
        }
        None => Said::Unknown,
    }
}

/// How the run that an object reports went wrong; `None` if it does not say so.
pub(in crate::foundry) fn failure_in(object: &Value) -> Option<InvokeEvent> {
    ending_in("", object)
}

fn ending_in(word: &str, data: &Value) -> Option<InvokeEvent> {
    if let Some(complaint) = Complaint::in_object(data) {
        return Some(failure(complaint));
    }
    let last = word.rsplit('_').next().unwrap_or_default();
    let status = data.get("status").and_then(Value::as_str).map(str::to_ascii_lowercase).unwrap_or_default();
    let is_false = |name: &str| data.get(name) == Some(&Value::Bool(false));
    let is_true = |name: &str| data.get(name) == Some(&Value::Bool(true));
    let says_so = matches!(last, "error" | "failed" | "failure" | "exception" | "fatal")
        || matches!(status.as_str(), "error" | "failed" | "failure")
        || is_false("success")
        || is_true("is_error")
        || is_true("isError");
    if says_so {
        // Some put the failure into a member of their own, as the SDKs of Copilot and OpenAI do.
        let inner = ["data", "response"].into_iter().filter_map(|name| data.get(name)).find(|inner| inner.is_object());
        let complaint = inner.map(|inner| Complaint::in_object(inner).unwrap_or_else(|| Complaint::of(inner)));
        let complaint = complaint.filter(|complaint| complaint.message.is_some()).unwrap_or_else(|| {
            let Complaint { code, message } = Complaint::of(data);
            let result = data.get("result").and_then(Value::as_str).map(ToOwned::to_owned);
            Complaint { code: code.filter(|code| word_of(code) != word), message: message.or(result) }
        });
        return Some(failure(complaint));
    }
    let is_cancelled = |word: &str| matches!(word, "cancelled" | "canceled" | "aborted");
    (is_cancelled(last) || is_cancelled(&status)).then_some(InvokeEvent::Cancelled {})
}

fn failure(Complaint { code, message }: Complaint) -> InvokeEvent {
    let kind = code.as_deref().and_then(kind_of_code).unwrap_or(ErrorKind::AgentFailed);
    failed(kind, message.unwrap_or_else(|| "the agent failed and did not say why".to_owned()), code)
}

/// What the model says about the end of its answer, in the events of chat completions and of the AI SDK.
pub(super) fn stopped_early(data: &Value) -> Option<InvokeEvent> {
    let reason =
        data.pointer("/choices/0/finish_reason").or_else(|| data.get("finishReason")).and_then(Value::as_str)?;
    match reason {
        "length" | "content_filter" | "content-filter" => {
            Some(InvokeEvent::Incomplete { reason: Some(reason.to_owned()) })
        }
        "error" => Some(failure(Complaint::default())),
        _ => None,
    }
}

fn last_word(word: &str, data: &Value) -> Said {
    let (name, found) = WHOLES
        .iter()
        .find_map(|name| Some((*name, data.get(name)?)).filter(|(_, found)| !found.is_null()))
        .unwrap_or(("", &Value::Null));
    let text = match found {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        // An object without text of its own is the result itself.
        other => text_in(other, true, DEPTH).or_else(|| response_text(other)).or_else(|| Some(other.to_string())),
    };
    Said::Final { text, is_whole: name == "full_text", is_end: word == "done" }
}

/// The text of a response object's messages.
fn response_text(object: &Value) -> Option<String> {
    let items = object.get("output")?.as_array()?.iter();
    let text: String = items.filter_map(|item| text_in(item.get("content")?, true, 1)).collect();
    Some(text).filter(|text| !text.is_empty())
}

/// A type as one word: lower case, its parts joined by `_`.
fn word_of(kind: &str) -> String {
    let parts = kind.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|part| !part.is_empty());
    parts.map(str::to_ascii_lowercase).collect::<Vec<_>>().join("_")
}

/// A message of the agent's, as far as it says whose it is.
fn is_agents(data: &Value) -> bool {
    let role = data.get("role").and_then(Value::as_str);
    role.is_none_or(|role| matches!(role, "assistant" | "agent" | "ai" | "model" | "AIMessageChunk"))
}

/// The text in an event's members. `is_answers`: the event is one of the answer's own, so members count that hold other things
/// elsewhere.
fn text_in(data: &Value, is_answers: bool, depth: usize) -> Option<String> {
    let depth = depth.checked_sub(1)?;
    match data {
        Value::String(text) => Some(text.clone()),
        Value::Array(parts) => {
            let is_text = |part: &&Value| {
                let kind = part.get("type").and_then(Value::as_str);
                kind.is_none_or(|kind| matches!(kind, "text" | "output_text" | "text_delta" | "refusal"))
            };
            let texts: Vec<_> = parts
                .iter()
                .filter(is_text)
                .filter_map(|part| part.get("text").or_else(|| part.get("refusal")).and_then(Value::as_str))
                .collect();
            (!texts.is_empty()).then(|| texts.concat())
        }
        Value::Object(_) => {
            let nested = ["parts", "contentBlockDelta", "kwargs"].into_iter();
            let names = PIECES.into_iter().chain(nested).chain(ANSWERS.into_iter().filter(|_| is_answers));
            let by_name =
                || names.filter_map(|name| data.get(name)).find_map(|found| text_in(found, is_answers, depth));
            let first = |name: &str| data.get(name).and_then(|several| several.get(0));
            let chosen = || first("choices").or_else(|| first("candidates")).and_then(|it| text_in(it, true, depth));
            by_name().or_else(chosen)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::reply::{BodyEnd, Split, map};
    use super::super::mapping::TokenMapping;
    use cupola_protocol::invoke::InvokeEvent;
    use serde::Deserialize;

    /// One row of the table.
    #[derive(Deserialize)]
    struct Shape {
        source: String,
        stream: String,
        text: String,
        ending: String,
    }

    #[derive(Deserialize)]
    struct Table {
        shape: Vec<Shape>,
    }

    #[test]
    fn each_shape_of_the_table_gives_its_text_and_its_ending() {
        let table: Table = toml::from_str(include_str!("../../../tests/fixtures/invocation-shapes.toml")).unwrap();
        assert!(table.shape.len() > 30, "only {} shapes were found", table.shape.len());
        let mut wrong = Vec::new();
        for Shape { source, stream, text, ending } in table.shape {
            let (lines, end) = map(Split::lenient_events(), TokenMapping::new(None), stream.as_bytes(), BodyEnd::Clean);
            let mut said = String::new();
            for line in &lines {
                if let Some(delta) = line.strip_prefix('+') {
                    said.push_str(delta);
                } else if let Some(whole) = line.strip_prefix('=') {
                    whole.clone_into(&mut said);
                }
            }
            let ended = match end.event {
                InvokeEvent::Failed { failure } => match failure.service_code {
                    Some(code) => format!("failed ({code}): {}", failure.message),
                    None => format!("failed: {}", failure.message),
                },
                InvokeEvent::Incomplete { reason } => format!("incomplete: {}", reason.unwrap_or_default()),
                InvokeEvent::Cancelled {} => "cancelled".to_owned(),
                InvokeEvent::Completed {} => "completed".to_owned(),
                other => format!("{other:?}"),
            };
            if (said.as_str(), ended.as_str()) != (text.as_str(), ending.as_str()) {
                wrong.push(format!("{source}\n  text   {said:?}\n  not    {text:?}\n  ending {ended:?}\n  not    {ending:?}\n  {lines:?}"));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}
