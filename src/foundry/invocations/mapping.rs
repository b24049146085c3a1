//! What an invocation answers, as our events. Pure. The agent decides the shape of its answer: what is known of it is
//! convention (contract section 9), and what is not known passes through.

use super::super::reply::{BodyEnd, Ending, Mapping, ReplyItem, raw, raw_or_string};
use super::super::sse;
use super::shapes::{self, Said, failure_in};
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

/// Most bytes of events that are kept in case nothing else of the answer can be understood.
const MAX_HELD: usize = 256 * 1024;

/// Server-sent events.
#[derive(Debug)]
pub(super) struct TokenMapping {
    id: Option<ResponseId>,
    /// All text so far.
    text: String,
    /// Where in it the current message begins.
    begin: usize,
    /// An event was understood, so others are not the answer's text.
    is_understood: bool,
    /// The data of events that were not understood since then: the answer, unless other text comes.
    held: String,
    /// It is text, and not events.
    is_bare: bool,
    /// What the model said about its end.
    early: Option<InvokeEvent>,
    is_ended: bool,
}

impl TokenMapping {
    pub(super) fn new(id: Option<ResponseId>) -> Self {
        let (text, held) = (String::new(), String::new());
        Self { id, text, begin: 0, is_understood: false, held, is_bare: false, early: None, is_ended: false }
    }

    fn end_with(&mut self, ending: Ending, items: &mut VecDeque<ReplyItem>) {
        self.is_ended = true;
        let response_id = ending.response_id.clone().or_else(|| self.id.take());
        items.push_back(ReplyItem::End(Box::new(Ending { response_id, ..ending })));
    }

    /// The agent is done.
    fn complete(&mut self, ending: Ending, items: &mut VecDeque<ReplyItem>) {
        let held = std::mem::take(&mut self.held);
        if self.text.is_empty() {
            self.say(held, items);
        }
        let event = self.early.take().unwrap_or(ending.event);
        let text = (!self.text.is_empty()).then(|| self.text.clone());
        self.end_with(Ending { event, text, ..ending }, items);
    }

    fn say(&mut self, delta: String, items: &mut VecDeque<ReplyItem>) {
        self.text.push_str(&delta);
        push_text(items, delta);
    }

    /// More of the current message. A message after another one begins on a line of its own.
    fn text(&mut self, delta: String, items: &mut VecDeque<ReplyItem>) {
        self.is_understood = true;
        let is_next = self.begin > 0 && self.begin == self.text.len() && !self.text.ends_with('\n');
        if is_next && !delta.is_empty() {
            self.say("\n".to_owned(), items);
            self.begin = self.text.len();
        }
        self.say(delta, items);
    }

    /// The current message, repeated whole.
    fn message(&mut self, whole: &str, items: &mut VecDeque<ReplyItem>) {
        self.is_understood = true;
        let said = self.text.get(self.begin..).unwrap_or_default();
        if let Some(rest) = whole.strip_prefix(said) {
            self.text(rest.to_owned(), items);
        } else {
            self.text.truncate(self.begin);
            self.text.push_str(whole);
            push(items, InvokeEvent::Snapshot { text: self.text.clone() });
        }
        self.begin = self.text.len();
    }

    /// The last event repeats the text. `is_whole`: it is the whole text, whatever was streamed.
    fn last(&mut self, whole: &str, is_whole: bool, items: &mut VecDeque<ReplyItem>) {
        self.is_understood = true;
        if let Some(rest) = whole.strip_prefix(self.text.as_str()) {
            self.say(rest.to_owned(), items);
        } else if is_whole {
            // Agents that join words with blanks stream them without: the whole text is the right one.
            whole.clone_into(&mut self.text);
            push(items, InvokeEvent::Snapshot { text: whole.to_owned() });
        }
    }

    /// An event that is not understood: its line, as azd prints it, unless the answer's form is known.
    fn unknown(&mut self, data: &str, items: &mut VecDeque<ReplyItem>) {
        let line = format!("{data}\n");
        if !self.is_understood {
            self.say(line, items);
        } else if self.held.len() + line.len() <= MAX_HELD {
            self.held.push_str(&line);
        }
    }
}

impl Mapping for TokenMapping {
    fn is_bare_text(&mut self) {
        self.is_bare = true;
    }

    fn event(&mut self, event: sse::Event, items: &mut VecDeque<ReplyItem>) {
        if self.is_ended {
            return;
        }
        if self.is_bare {
            return self.say(event.data, items);
        }
        let (name, line) = (event.name.as_deref(), event.data.trim());
        if line == "[DONE]" {
            return self.complete(Ending::of(InvokeEvent::Completed {}), items);
        }
        let is_error = name.is_some_and(|name| name.eq_ignore_ascii_case("error"));
        let data = match serde_json::from_str::<Value>(line) {
            Ok(data) => data,
            Err(_) if is_error => Value::String(line.to_owned()),
            // Plain text: one line per event, as the sender's lines were.
            Err(_) => return self.say(format!("{}\n", event.data), items),
        };
        let said = match &data {
            Value::String(text) if is_error => shapes::read(name, &serde_json::json!({ "message": text })),
            _ => shapes::read(name, &data),
        };
        self.early = self.early.take().or_else(|| shapes::stopped_early(&data));
        match said {
            Said::Text(delta) => return self.text(delta, items),
            Said::Ended(ending) => return self.end_with(Ending::of(ending), items),
            Said::Final { text, is_whole, is_end } => {
                if let Some(text) = text {
                    self.last(&text, is_whole, items);
                }
                if is_end {
                    let id = data.get("invocation_id").and_then(Value::as_str);
                    let response_id = id.and_then(|id| id.parse().ok());
                    let ending = Ending { output: raw(line), response_id, ..Ending::of(InvokeEvent::Completed {}) };
                    return self.complete(ending, items);
                }
                self.is_understood = true;
            }
            Said::Message(whole) => self.message(&whole, items),
            Said::Aside => self.is_understood = true,
            Said::Unknown => self.unknown(line, items),
        }
        // Whatever was not only text is passed on as it is, too.
        let kind = data.get("type").and_then(Value::as_str).or(name).unwrap_or("message").to_owned();
        push(items, InvokeEvent::Output { name: kind, data: raw_or_string(line) });
    }

    fn end(&mut self, how: BodyEnd, items: &mut VecDeque<ReplyItem>) {
        if self.is_ended {
            return;
        }
        // Agents need not send a last event; a crash cuts the body, which shows as a broken connection.
        match how {
            BodyEnd::Clean => self.complete(Ending::of(InvokeEvent::Completed {}), items),
            BodyEnd::Broken(_) | BodyEnd::TooMuch(_) => self.end_with(Ending::of(how.too_soon()), items),
        }
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
    fn the_last_event_names_the_invocation() {
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
            ("data: 42\n\n", vec!["+42\n", "message", "end: completed"]),
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
