//! What an invocation answers, as our events. Pure. The agent decides the shape of its answer: what is known of it is
//! convention (contract section 9), and what is not known passes through.

use super::super::error::kind_of_code;
use super::super::reply::{BodyEnd, Ending, Mapping, ReplyItem, failed, raw, raw_or_string};
use super::super::sse;
use cupola_protocol::error::ErrorKind;
use cupola_protocol::id::ResponseId;
use cupola_protocol::invoke::InvokeEvent;
use serde_json::Value;
use std::collections::VecDeque;

fn push(items: &mut VecDeque<ReplyItem>, event: InvokeEvent) {
    items.push_back(ReplyItem::Event(event));
}

fn push_text(items: &mut VecDeque<ReplyItem>, delta: String) {
    if !delta.is_empty() {
        push(items, InvokeEvent::TextDelta { delta });
    }
}

/// The failure that an object reports in its `error`. Agents send it with HTTP 200 too.
pub(in crate::foundry) fn failure_in(object: &Value) -> Option<InvokeEvent> {
    let error = object.get("error").filter(|error| !error.is_null())?;
    let text = |name: &str| error.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let code = text("code");
    let message = text("message").or(error.as_str()).unwrap_or("the agent failed and did not say why");
    let kind = code.and_then(kind_of_code).unwrap_or(ErrorKind::AgentFailed);
    Some(failed(kind, message, code.map(ToOwned::to_owned)))
}

/// The text of a final JSON body: a bare string's content, else the JSON itself as the agent wrote it.
pub(super) fn text_of(json: &Value, body: &str) -> String {
    json.as_str().map_or_else(|| body.trim().to_owned(), ToOwned::to_owned)
}

/// A JSON body.
#[derive(Debug)]
pub(super) struct JsonMapping {
    id: Option<ResponseId>,
    is_ended: bool,
}

impl JsonMapping {
    pub(super) fn new(id: Option<ResponseId>) -> Self {
        Self { id, is_ended: false }
    }

    fn end_with(&mut self, ending: Ending, items: &mut VecDeque<ReplyItem>) {
        self.is_ended = true;
        items.push_back(ReplyItem::End(Box::new(Ending { response_id: self.id.take(), ..ending })));
    }
}

impl Mapping for JsonMapping {
    fn event(&mut self, body: sse::Event, items: &mut VecDeque<ReplyItem>) {
        let body = body.data;
        let ending = if let Ok(json) = serde_json::from_str(&body) {
            finished(&json, &body, items)
        } else {
            // An empty body, or one that only claims to be JSON: still the agent's answer.
            push_text(items, body.clone());
            Ending { text: Some(body), ..Ending::of(InvokeEvent::Completed {}) }
        };
        self.end_with(ending, items);
    }

    fn end(&mut self, how: BodyEnd, items: &mut VecDeque<ReplyItem>) {
        if !self.is_ended {
            self.end_with(Ending::of(how.too_soon()), items);
        }
    }
}

/// The ending of a JSON answer that is there whole, after its text.
fn finished(json: &Value, body: &str, items: &mut VecDeque<ReplyItem>) -> Ending {
    if let Some(failure) = failure_in(json) {
        return Ending { output: raw(body), ..Ending::of(failure) };
    }
    let text = text_of(json, body);
    push_text(items, text.clone());
    Ending { text: Some(text), output: raw(body), ..Ending::of(InvokeEvent::Completed {}) }
}

/// Any other body: text as it comes.
#[derive(Debug)]
pub(super) struct TextMapping {
    id: Option<ResponseId>,
}

impl TextMapping {
    pub(super) fn new(id: Option<ResponseId>) -> Self {
        Self { id }
    }
}

impl Mapping for TextMapping {
    fn event(&mut self, piece: sse::Event, items: &mut VecDeque<ReplyItem>) {
        push_text(items, piece.data);
    }

    fn end(&mut self, how: BodyEnd, items: &mut VecDeque<ReplyItem>) {
        let event = match how {
            BodyEnd::Clean => InvokeEvent::Completed {},
            BodyEnd::Broken(_) | BodyEnd::TooMuch(_) => how.too_soon(),
        };
        items.push_back(ReplyItem::End(Box::new(Ending { response_id: self.id.take(), ..Ending::of(event) })));
    }
}

/// Server-sent events.
#[derive(Debug)]
pub(super) struct TokenMapping {
    id: Option<ResponseId>,
    /// All text so far.
    text: String,
    is_ended: bool,
}

impl TokenMapping {
    pub(super) fn new(id: Option<ResponseId>) -> Self {
        Self { id, text: String::new(), is_ended: false }
    }

    fn end_with(&mut self, ending: Ending, items: &mut VecDeque<ReplyItem>) {
        self.is_ended = true;
        let response_id = ending.response_id.clone().or_else(|| self.id.take());
        items.push_back(ReplyItem::End(Box::new(Ending { response_id, ..ending })));
    }

    fn text(&mut self, delta: String, items: &mut VecDeque<ReplyItem>) {
        self.text.push_str(&delta);
        push_text(items, delta);
    }

    /// `done`: the last event, which repeats the whole text.
    fn done(&mut self, data: &Value, raw_data: &str, items: &mut VecDeque<ReplyItem>) {
        let field = |name: &str| data.get(name).and_then(Value::as_str);
        let whole = field("full_text").map(ToOwned::to_owned);
        if let Some(whole) = whole.as_deref().filter(|whole| *whole != self.text) {
            push(
                items,
                match whole.strip_prefix(self.text.as_str()) {
                    Some(rest) => InvokeEvent::TextDelta { delta: rest.to_owned() },
                    // Agents that join words with blanks stream them without: the whole text is the right one.
                    None => InvokeEvent::Snapshot { text: whole.to_owned() },
                },
            );
        }
        let ending = Ending {
            text: whole,
            output: raw(raw_data),
            response_id: field("invocation_id").and_then(|id| id.parse().ok()),
            ..Ending::of(InvokeEvent::Completed {})
        };
        self.end_with(ending, items);
    }
}

/// The text of one event, in the fields that agents use for it.
pub(in crate::foundry) fn delta_of(data: &Value) -> Option<&str> {
    let chat = || data.get("choices")?.get(0)?.get("delta")?.get("content")?.as_str();
    ["content", "delta", "text"].into_iter().find_map(|name| data.get(name).and_then(Value::as_str)).or_else(chat)
}

impl Mapping for TokenMapping {
    fn event(&mut self, event: sse::Event, items: &mut VecDeque<ReplyItem>) {
        if self.is_ended {
            return;
        }
        if event.data.trim() == "[DONE]" {
            return self.end_with(Ending::of(InvokeEvent::Completed {}), items);
        }
        let Ok(data) = serde_json::from_str::<Value>(&event.data) else {
            // Plain text: one line per event, as the sender's lines were.
            return self.text(format!("{}\n", event.data), items);
        };
        let kind = data.get("type").and_then(Value::as_str).or(event.name.as_deref()).unwrap_or_default();
        if let Some(failure) = failure_in(&data) {
            return self.end_with(Ending::of(failure), items);
        }
        match kind {
            "error" => {
                let failure = failure_in(&serde_json::json!({ "error": data }));
                let unknown = || failed(ErrorKind::AgentFailed, "the agent failed and did not say why", None);
                self.end_with(Ending::of(failure.unwrap_or_else(unknown)), items);
            }
            "done" => self.done(&data, &event.data, items),
            _ => {
                if let Some(delta) = delta_of(&data) {
                    self.text(delta.to_owned(), items);
                } else {
                    let name = if kind.is_empty() { "message" } else { kind }.to_owned();
                    push(items, InvokeEvent::Output { name, data: raw_or_string(&event.data) });
                }
            }
        }
    }

    fn end(&mut self, how: BodyEnd, items: &mut VecDeque<ReplyItem>) {
        if self.is_ended {
            return;
        }
        // Agents need not send a last event; a crash cuts the body, which shows as a broken connection.
        let event = match how {
            BodyEnd::Clean => InvokeEvent::Completed {},
            BodyEnd::Broken(_) | BodyEnd::TooMuch(_) => how.too_soon(),
        };
        self.end_with(Ending::of(event), items);
    }
}

#[cfg(test)]
#[path = "../../../fuzz/invocations.rs"]
mod fuzz_invocations;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::foundry::fixtures;
    use crate::foundry::reply::{Split, Splitter, map};

    fn captured(name: &str) -> Vec<String> {
        let answer = fixtures::answer(&format!("invocations/{name}"));
        let how = if answer.is_cut { BodyEnd::Broken("cut".to_owned()) } else { BodyEnd::Clean };
        let kind = answer.header("content-type").unwrap().to_owned();
        let (lines, _) = if kind.starts_with("text/event-stream") {
            map(Split::events(), TokenMapping::new(None), &answer.body, how)
        } else if kind.starts_with("application/json") {
            map(Split::whole(), JsonMapping::new(None), &answer.body, how)
        } else {
            map(Split::text(), TextMapping::new(None), &answer.body, how)
        };
        lines
    }

    #[test]
    fn captured_answers_tell_their_story() {
        for (name, expected) in [
            ("sse", vec!["+alpha", "+beta", "+gamma", "=alpha beta gamma", "end: completed"]),
            ("sse-openai-style", vec!["+alpha", "+beta", "end: completed"]),
            ("sse-keepalive", vec!["+before\n", "+after\n", "end: completed"]),
            ("sse-error-frame", vec!["+so far", "end: failed AgentFailed: model went away"]),
            ("sse-crash", vec!["+so far", "end: truncated the connection broke before the answer ended: cut"]),
            ("sync-text", vec!["+echo: hello plain", "end: completed"]),
            ("agent-400", vec!["end: failed AgentFailed: field 'text' is required"]),
        ] {
            assert_eq!(captured(name), expected, "{name}");
        }
        let json = captured("sync-json");
        assert!(json[0].starts_with(r#"+{"echo":{"mode":"echo","text":"hi"}"#), "{json:?}");
        assert_eq!(json[1], "end: completed");
    }

    #[test]
    fn the_last_event_names_text_and_invocation() {
        let answer = fixtures::answer("invocations/sse");
        let (_, ending) = map(Split::events(), TokenMapping::new(None), &answer.body, BodyEnd::Clean);
        assert_eq!(ending.text.as_deref(), Some("alpha beta gamma"));
        assert_eq!(ending.response_id.unwrap().as_str(), "0f5f749e-991b-4240-bd93-5a8d11870cc1");
    }

    #[test]
    fn events_of_many_shapes_give_text() {
        let stream = |frames: &str| map(Split::events(), TokenMapping::new(None), frames.as_bytes(), BodyEnd::Clean).0;
        for (frames, expected) in [
            (
                "data: {\"choices\":[{\"delta\":{\"content\":\"hi\"}}]}\n\ndata: [DONE]\n\n",
                vec!["+hi", "end: completed"],
            ),
            ("event: usage\ndata: {\"tokens\":3}\n\n", vec!["usage", "end: completed"]),
            ("data: 42\n\n", vec!["message", "end: completed"]),
            ("event: error\ndata: {\"message\":\"no\"}\n\n", vec!["end: failed AgentFailed: no"]),
            ("data: {\"error\":\"plain\"}\n\n", vec!["end: failed AgentFailed: plain"]),
            ("data: [DONE]\n\ndata: late\n\n", vec!["end: completed"]),
            ("data: [DONE]", vec!["end: completed"]),
            ("", vec!["end: completed"]),
        ] {
            assert_eq!(stream(frames), expected, "{frames}");
        }
    }

    #[test]
    fn text_arrives_as_it_comes_and_whole_whereever_it_is_cut() {
        let text = "naïve 🦀 text\n";
        for cut in 0..=text.len() {
            let mut mapping = Splitter::new(Split::text(), TextMapping::new(None), false);
            let mut items = VecDeque::new();
            let (head, tail) = text.as_bytes().split_at(cut);
            mapping.bytes(head, &mut items);
            mapping.bytes(tail, &mut items);
            mapping.end(BodyEnd::Clean, &mut items);
            let all: String = items
                .iter()
                .filter_map(|item| match item {
                    ReplyItem::Event(InvokeEvent::TextDelta { delta }) => Some(delta.as_str()),
                    _ => None,
                })
                .collect();
            assert_eq!(all, text, "cut at {cut}");
        }
        let (lines, _) = map(Split::text(), TextMapping::new(None), b"bad \xFF byte \xC3", BodyEnd::Clean);
        assert_eq!(lines, ["+bad \u{fffd} byte ", "+\u{fffd}", "end: completed"]);
    }

    #[test]
    fn a_json_answer_is_text_and_object() {
        for (body, text) in [(r#"{"a": 1}"#, r#"{"a": 1}"#), (r#""just words""#, "just words"), ("", "")] {
            let (_, ending) = map(Split::whole(), JsonMapping::new(None), body.as_bytes(), BodyEnd::Clean);
            assert_eq!(ending.text.as_deref(), Some(text));
        }
    }
}
