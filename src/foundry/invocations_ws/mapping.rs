//! An agent's messages, and how it closes, as our events. Pure. What is in a message is the agent's to define: objects are
//! read as events of the invocations protocol are, and any other text is a line of the answer.

use super::super::invocations::shapes::{self, Said};
use super::super::reply::{Ending, ReplyItem, body_event, failed, raw};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cupola_protocol::error::ErrorKind;
use cupola_protocol::invoke::InvokeEvent;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use std::collections::VecDeque;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

/// The state of one dialogue.
#[derive(Debug)]
pub(super) struct MessageMapping {
    /// Messages we sent whose answer the agent has not marked as done. Agents need not say that.
    unanswered: usize,
    is_raw: bool,
    /// All text so far, and where in it the current answer begins.
    text: String,
    begin: usize,
    /// The latest object.
    output: Option<Box<RawValue>>,
    is_ended: bool,
}

impl MessageMapping {
    pub(super) fn new(sent: usize, is_raw: bool) -> Self {
        Self { unanswered: sent, is_raw, text: String::new(), begin: 0, output: None, is_ended: false }
    }

    /// A text message.
    pub(super) fn text(&mut self, message: &str, items: &mut VecDeque<ReplyItem>) {
        if self.is_raw {
            items.push_back(ReplyItem::Event(body_event(message.as_bytes())));
        }
        if message.trim() == "[DONE]" {
            return self.answered(items);
        }
        match serde_json::from_str::<Value>(message) {
            Ok(Value::Object(object)) => self.object(&Value::Object(object), message, items),
            Ok(Value::String(text)) => self.line(&text, items),
            Ok(_) | Err(_) => self.line(message, items),
        }
    }

    /// A binary message, passed on in base64.
    pub(super) fn binary(&mut self, bytes: &[u8], items: &mut VecDeque<ReplyItem>) {
        if self.is_raw {
            items.push_back(ReplyItem::Event(body_event(bytes)));
        }
        if let Ok(data) = to_raw_value(&STANDARD.encode(bytes)) {
            items.push_back(ReplyItem::Event(InvokeEvent::Output { name: "binary".to_owned(), data }));
        }
    }

    /// The agent closed the dialogue.
    pub(super) fn closed(&mut self, frame: Option<(CloseCode, &str)>, items: &mut VecDeque<ReplyItem>) {
        self.end_with(ending_of(frame), items);
    }

    /// The dialogue is over because neither side sends anything more.
    pub(super) fn fell_silent(&mut self, items: &mut VecDeque<ReplyItem>) {
        self.end_with(InvokeEvent::Completed {}, items);
    }

    /// The connection ended without a close.
    pub(super) fn broken(&mut self, reason: &str, items: &mut VecDeque<ReplyItem>) {
        let reason = format!("the connection broke before the agent closed it: {reason}");
        self.end_with(InvokeEvent::Truncated { reason: Some(reason) }, items);
    }

    /// The agent does what the protocol forbids, or says more than we take.
    pub(super) fn failed(&mut self, reason: String, items: &mut VecDeque<ReplyItem>) {
        self.end_with(failed(ErrorKind::UnexpectedAnswer, reason, None), items);
    }

    fn object(&mut self, object: &Value, message: &str, items: &mut VecDeque<ReplyItem>) {
        self.output = raw(message);
        let kind = object.get("type").and_then(Value::as_str).unwrap_or_default();
        match shapes::read(None, object) {
            Said::Ended(ending) => return self.end_with(ending, items),
            Said::Text(delta) => return self.append(&delta, items),
            Said::Message(whole) => return self.correct(&whole, items),
            Said::Final { text, is_whole, is_end } => {
                let said = self.text.get(self.begin..).unwrap_or_default();
                if let Some(whole) = text.filter(|text| is_whole || text.starts_with(said)) {
                    self.correct(&whole, items);
                }
                if is_end {
                    return self.answered(items);
                }
            }
            Said::Unknown if kind.is_empty() => return self.line(message, items),
            Said::Aside | Said::Unknown => {}
        }
        if let Some(data) = self.output.clone() {
            let name = if kind.is_empty() { "message" } else { kind }.to_owned();
            items.push_back(ReplyItem::Event(InvokeEvent::Output { name, data }));
        }
    }

    /// Makes `whole` the current answer.
    fn correct(&mut self, whole: &str, items: &mut VecDeque<ReplyItem>) {
        let said = self.text.get(self.begin..).unwrap_or_default();
        if let Some(rest) = whole.strip_prefix(said) {
            return self.append(rest, items);
        }
        self.text.truncate(self.begin);
        self.text.push_str(whole);
        items.push_back(ReplyItem::Event(InvokeEvent::Snapshot { text: self.text.clone() }));
    }

    /// One of our messages has been answered to the end.
    fn answered(&mut self, items: &mut VecDeque<ReplyItem>) {
        self.unanswered = self.unanswered.saturating_sub(1);
        if self.unanswered == 0 {
            return self.end_with(InvokeEvent::Completed {}, items);
        }
        self.end_line(items);
        self.begin = self.text.len();
    }

    fn line(&mut self, text: &str, items: &mut VecDeque<ReplyItem>) {
        self.end_line(items);
        let end = if text.ends_with('\n') { "" } else { "\n" };
        self.append(&format!("{text}{end}"), items);
    }

    fn end_line(&mut self, items: &mut VecDeque<ReplyItem>) {
        if !self.text.is_empty() && !self.text.ends_with('\n') {
            self.append("\n", items);
        }
    }

    fn append(&mut self, delta: &str, items: &mut VecDeque<ReplyItem>) {
        if !delta.is_empty() {
            self.text.push_str(delta);
            items.push_back(ReplyItem::Event(InvokeEvent::TextDelta { delta: delta.to_owned() }));
        }
    }

    fn end_with(&mut self, event: InvokeEvent, items: &mut VecDeque<ReplyItem>) {
        if !std::mem::replace(&mut self.is_ended, true) {
            let output = self.output.take();
            items.push_back(ReplyItem::End(Box::new(Ending { output, ..Ending::of(event) })));
        }
    }
}

/// How a dialogue ended, by the code it was closed with (RFC 6455, section 7.4.1).
fn ending_of(frame: Option<(CloseCode, &str)>) -> InvokeEvent {
    let Some((code, reason)) = frame else { return InvokeEvent::Completed {} };
    let number = u16::from(code);
    let said = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    let kind = match code {
        CloseCode::Normal | CloseCode::Status => return InvokeEvent::Completed {},
        CloseCode::Away | CloseCode::Restart | CloseCode::Abnormal => {
            let reason = format!("the agent left before it was done (close code {number}){said}");
            return InvokeEvent::Truncated { reason: Some(reason) };
        }
        CloseCode::Again => ErrorKind::ServiceUnavailable,
        CloseCode::Size | CloseCode::Invalid | CloseCode::Unsupported | CloseCode::Protocol => ErrorKind::BadRequest,
        _ => ErrorKind::AgentFailed,
    };
    failed(kind, format!("the agent ended the dialogue with close code {number}{said}"), Some(number.to_string()))
}

#[cfg(test)]
#[path = "../../../fuzz/websocket.rs"]
mod fuzz_websocket;

#[cfg(test)]
mod tests {
    use super::super::super::reply::shown;
    use super::*;

    const OK: Option<(CloseCode, &str)> = Some((CloseCode::Normal, ""));

    fn dialogue(sent: usize, messages: &[&str], close: Option<(CloseCode, &str)>) -> Vec<String> {
        let (mut mapping, mut items) = (MessageMapping::new(sent, false), VecDeque::new());
        for message in messages {
            mapping.text(message, &mut items);
        }
        mapping.closed(close, &mut items);
        shown(&items)
    }

    #[test]
    fn messages_of_many_shapes_are_text_or_events() {
        let token = |word: &str| format!(r#"{{"type":"token","content":"{word}"}}"#);
        let (al, pha) = (token("al"), token("pha"));
        let done = r#"{"type":"done","full_text":"alpha"}"#;
        for (sent, messages, expected) in [
            (1, vec!["echo: hello"], vec!["+echo: hello\n", "end: completed"]),
            (2, vec!["one", "two\n"], vec!["+one\n", "+two\n", "end: completed"]),
            (1, vec![&al, &pha, done, "late"], vec!["+al", "+pha", "end: completed"]),
            (2, vec![&al, &pha, done, &al, done], vec!["+al", "+pha", "+\n", "+al", "+pha", "end: completed"]),
            (2, vec!["beta", done], vec!["+beta\n", "=alpha", "+\n", "end: completed"]),
            (1, vec![&al, "[DONE]"], vec!["+al", "end: completed"]),
            (
                1,
                vec![r#"{"a":1}"#, "42", r#""just words""#],
                vec!["+{\"a\":1}\n", "+42\n", "+just words\n", "end: completed"],
            ),
            (1, vec![r#"{"type":"session.created","id":7}"#], vec!["session.created", "end: completed"]),
            (1, vec![r#"{"error":{"message":"no"}}"#], vec!["end: failed AgentFailed: no"]),
            (1, vec![r#"{"type":"error","message":"no"}"#], vec!["end: failed AgentFailed: no"]),
            (1, vec![], vec!["end: completed"]),
        ] {
            // The caller of the mapping does not pass on what follows the ending.
            let mut lines = dialogue(sent, &messages, OK);
            let end = lines.iter().position(|line| line.starts_with("end:")).unwrap();
            lines.truncate(end + 1);
            assert_eq!(lines, expected, "{messages:?}");
        }
    }

    #[test]
    fn the_closing_code_says_how_it_ended() {
        for (close, expected) in [
            (None, "end: completed"),
            (OK, "end: completed"),
            (
                Some((CloseCode::Error, "Internal server error")),
                "end: failed AgentFailed: the agent ended the dialogue with close code 1011: Internal server error",
            ),
            (
                Some((CloseCode::from(4001), "")),
                "end: failed AgentFailed: the agent ended the dialogue with close code 4001",
            ),
            (Some((CloseCode::Size, "")), "end: failed BadRequest: the agent ended the dialogue with close code 1009"),
            (
                Some((CloseCode::Away, "idle")),
                "end: truncated the agent left before it was done (close code 1001): idle",
            ),
        ] {
            assert_eq!(dialogue(1, &[], close), [expected]);
        }
    }

    #[test]
    fn bytes_travel_in_base64() {
        let (mut mapping, mut items) = (MessageMapping::new(1, false), VecDeque::new());
        mapping.binary(&[0, 255], &mut items);
        let Some(ReplyItem::Event(InvokeEvent::Output { name, data })) = items.pop_front() else { panic!("{items:?}") };
        assert_eq!((name.as_str(), data.get()), ("binary", "\"AP8=\""));
    }
}
