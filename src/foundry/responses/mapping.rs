//! The events of the responses protocol, and its final object, as our events (contract section 15). Pure.

use super::super::error::kind_of_code;
use super::super::reply::{
    BodyEnd, Ending, Mapping, ReplyItem, failed, on_one_line, raw, raw_or_string, text_missing, unclear,
};
use super::super::sse;
use super::questions;
use super::text::{Part, Text};
use cupola_protocol::error::ErrorKind;
use cupola_protocol::id::{ResponseId, SessionId};
use cupola_protocol::invoke::{InvokeEvent, Question, RunStatus};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::VecDeque;

fn end(ending: Ending) -> ReplyItem {
    ReplyItem::End(Box::new(ending))
}

/// The answer of a call that was not streamed: the final object, or something else altogether.
#[derive(Debug, Default)]
pub(super) struct ObjectMapping {
    is_ended: bool,
}

impl Mapping for ObjectMapping {
    fn event(&mut self, body: sse::Event, items: &mut VecDeque<ReplyItem>) {
        self.is_ended = true;
        match raw(&body.data) {
            Some(object) => finish(&object, None, &Text::default(), &[], items),
            None => items.push_back(end(Ending::of(unclear(
                ErrorKind::UnexpectedAnswer,
                "the service answered with neither events nor JSON",
                None,
            )))),
        }
    }

    fn end(&mut self, how: BodyEnd, items: &mut VecDeque<ReplyItem>) {
        if !self.is_ended {
            items.push_back(end(Ending::of(how.too_soon())));
        }
    }
}

/// The state of one stream: what was applied so far.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct ResponseMapping {
    /// The greatest sequence number applied. Numbers may skip, and a replay may repeat (contract section 15.3).
    applied: Option<i64>,
    has_begun: bool,
    is_in_progress: bool,
    is_ended: bool,
    /// The service runs it in the background, so that it can be read again.
    is_background: bool,
    silence: Silence,
    text: Text,
    /// The ids of what was asked.
    asked: Vec<String>,
    pub(super) session_id: Option<SessionId>,
    pub(super) response_id: Option<ResponseId>,
}

/// What every frame may have. Fields are kept raw: the same name holds other types in other events.
#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Option<Cow<'a, str>>,
    #[serde(default)]
    sequence_number: Option<i64>,
    #[serde(borrow, default)]
    delta: Option<&'a RawValue>,
    #[serde(borrow, default)]
    text: Option<&'a RawValue>,
    #[serde(borrow, default)]
    refusal: Option<&'a RawValue>,
    #[serde(borrow, default)]
    output_index: Option<&'a RawValue>,
    #[serde(borrow, default)]
    content_index: Option<&'a RawValue>,
    #[serde(borrow, default)]
    response: Option<&'a RawValue>,
    #[serde(borrow, default)]
    item: Option<&'a RawValue>,
}

impl Frame<'_> {
    /// The part of the answer that it is about.
    fn part(&self) -> Part {
        let number = |value: Option<&RawValue>| value.and_then(|value| value.get().parse().ok()).unwrap_or_default();
        (number(self.output_index), number(self.content_index))
    }
}

fn string(value: Option<&RawValue>) -> Option<String> {
    serde_json::from_str(value?.get()).ok()
}

/// The ids in a snapshot.
#[derive(Deserialize)]
struct Ids<'a> {
    #[serde(borrow, default)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    agent_session_id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    background: Option<&'a RawValue>,
}

impl Mapping for ResponseMapping {
    fn event(&mut self, event: sse::Event, items: &mut VecDeque<ReplyItem>) {
        if self.is_ended {
            return;
        }
        self.has_begun = true;
        if event.data.is_empty() && event.name.as_deref() == Some("error") {
            self.is_ended = true;
            items.push_back(self.end_with(failure_of(&Value::Null)));
            return;
        }
        let Ok(frame) = serde_json::from_str::<Frame<'_>>(&event.data) else {
            let name = event.name.unwrap_or_else(|| "message".to_owned());
            items.push_back(ReplyItem::Event(InvokeEvent::Output { name, data: raw_or_string(&event.data) }));
            self.text.lost_some();
            return;
        };
        if let Some(number) = frame.sequence_number {
            if self.applied.is_some_and(|applied| number <= applied) {
                return;
            }
            self.applied = Some(number);
        }
        let part = frame.part();
        let name = frame.kind.map(Cow::into_owned).or(event.name).unwrap_or_else(|| "message".to_owned());
        if let Some(snapshot) = frame.response {
            self.note_ids(snapshot);
        }
        if let Some(number) = frame.sequence_number.and_then(|number| u64::try_from(number).ok())
            && self.is_background
        {
            items.push_back(ReplyItem::At(number));
        }
        match name.as_str() {
            "response.output_text.delta" | "response.refusal.delta" => {
                if let Some(delta) = string(frame.delta) {
                    items.push_back(self.text.append(part, delta));
                    return;
                }
                self.text.lost_some();
            }
            // Repeats the text of one part, so it fills what an unreadable event left out. Passed on as any other event, too.
            "response.output_text.done" | "response.refusal.done" => {
                let whole = string(if name == "response.refusal.done" { frame.refusal } else { frame.text });
                items.extend(whole.and_then(|whole| self.text.confirm(part, &whole)));
            }
            "response.output_item.done" => {
                if let Some(question) = frame.item.and_then(parse).as_ref().and_then(questions::of_item) {
                    self.asked.push(question.id.clone());
                    items.push_back(asks(question));
                }
            }
            // Any after the first: the run restarted, and this is its state (contract section 15.4).
            "response.in_progress" if std::mem::replace(&mut self.is_in_progress, true) => {
                let text = frame.response.and_then(parse).map(|object| text_of(&object)).unwrap_or_default();
                items.push_back(self.text.restart(text));
                return;
            }
            "response.completed" | "response.failed" | "response.incomplete" | "response.cancelled" => {
                self.is_ended = true;
                let object = on_one_line(frame.response.unwrap_or(RawValue::NULL));
                finish(&object, Some(&name), &self.text, &self.asked, items);
                return;
            }
            // Replaces the terminal event when nothing was created.
            "error" => {
                self.is_ended = true;
                let data = serde_json::from_str::<Value>(&event.data).unwrap_or_default();
                items.push_back(
                    self.end_with(failure_of(data.get("error").filter(|error| error.is_object()).unwrap_or(&data))),
                );
                return;
            }
            _ => {}
        }
        items.push_back(ReplyItem::Event(InvokeEvent::Output { name, data: raw_or_string(&event.data) }));
    }

    fn end(&mut self, how: BodyEnd, items: &mut VecDeque<ReplyItem>) {
        if std::mem::replace(&mut self.is_ended, true) {
            return;
        }
        if !self.has_begun && self.silence == Silence::Locked {
            items.push_back(self.end_with(unclear(ErrorKind::ConversationLocked, LOCKED, None)));
            return;
        }
        // One in the background is read again.
        if self.text.has_hole() && !self.is_background {
            items.push_back(text_missing());
        }
        let event = match how.too_soon() {
            InvokeEvent::Truncated { reason: Some(reason) }
                if !self.has_begun && self.silence == Silence::MaybeLocked =>
            {
                InvokeEvent::Truncated { reason: Some(format!("{reason}; {MAYBE_LOCKED}")) }
            }
            other => other,
        };
        items.push_back(self.end_with(event));
    }
}

/// What it means when the answer ends before its first event. An agent server refuses a stream like that when another turn is running in
/// the conversation (contract section 15.4); a connection that breaks, or a container that is killed, looks the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Silence {
    /// Nothing more than that.
    #[default]
    Unknown,
    /// Another turn may be running there: an agent server answers in a conversation.
    MaybeLocked,
    /// Another turn is running there: this one was sent beside it.
    Locked,
}

const LOCKED: &str =
    "the agent ended its answer before the first event, because another turn is running in the conversation";

const MAYBE_LOCKED: &str = "agents do this when another turn is running in the conversation";

impl ResponseMapping {
    /// Nothing read yet.
    pub(super) fn of_turn(silence: Silence) -> Self {
        Self { silence, ..Self::default() }
    }

    /// Nothing read yet of a response that runs in the background.
    pub(super) fn of_background(id: ResponseId) -> Self {
        Self { is_background: true, response_id: Some(id), ..Self::default() }
    }

    /// The same state for another connection.
    pub(super) fn again(self) -> Self {
        Self { is_ended: false, ..self }
    }

    /// Does the service run it in the background?
    pub(super) const fn is_background(&self) -> bool {
        self.is_background
    }

    /// The greatest sequence number that was applied.
    pub(super) const fn applied(&self) -> Option<i64> {
        self.applied
    }

    /// The text so far.
    pub(super) const fn text(&self) -> &Text {
        &self.text
    }

    /// The ids of the questions that were told already.
    pub(super) fn asked(&self) -> &[String] {
        &self.asked
    }

    /// As [`Self::text`], to be changed.
    pub(super) const fn text_mut(&mut self) -> &mut Text {
        &mut self.text
    }

    /// Has there been a whole event?
    pub(super) const fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// An ending without a final object.
    fn end_with(&self, event: InvokeEvent) -> ReplyItem {
        end(Ending { response_id: self.response_id.clone(), ..Ending::of(event) })
    }

    fn note_ids(&mut self, snapshot: &RawValue) {
        if self.response_id.is_some() && self.session_id.is_some() {
            return;
        }
        if let Ok(ids) = serde_json::from_str::<Ids<'_>>(snapshot.get()) {
            self.is_background |= ids.background.is_some_and(|background| background.get() == "true");
            self.response_id = self.response_id.take().or_else(|| ids.id.and_then(|id| id.parse().ok()));
            self.session_id = self.session_id.take().or_else(|| ids.agent_session_id.and_then(|id| id.parse().ok()));
        }
    }
}

fn asks(question: Question) -> ReplyItem {
    ReplyItem::Event(InvokeEvent::Question { question: Box::new(question) })
}

fn parse(object: &RawValue) -> Option<Value> {
    serde_json::from_str(object.get()).ok()
}

fn failure_of(error: &Value) -> InvokeEvent {
    let text = |name: &str| error.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let code = text("code");
    let kind = code.and_then(kind_of_code).unwrap_or(ErrorKind::AgentFailed);
    failed(kind, text("message").unwrap_or("the agent failed and did not say why"), code.map(ToOwned::to_owned))
}

/// All text of a response object, in order: what the deltas of its messages add up to.
fn text_of(object: &Value) -> String {
    let parts = object.get("output").and_then(Value::as_array).into_iter().flatten();
    parts
        .filter(|item| item.get("type").and_then(Value::as_str) == Some("message"))
        .filter_map(|item| item.get("content").and_then(Value::as_array))
        .flatten()
        .filter_map(|part| match part.get("type").and_then(Value::as_str) {
            Some("output_text") => part.get("text"),
            Some("refusal") => part.get("refusal"),
            _ => None,
        })
        .filter_map(Value::as_str)
        .collect()
}

/// As [`text_of`]; `None` where there is none.
pub(super) fn text_of_raw(object: &RawValue) -> Option<String> {
    parse(object).map(|object| text_of(&object)).filter(|text| !text.is_empty())
}

/// A response's id.
pub(super) fn id_of(object: &RawValue) -> Option<ResponseId> {
    parse(object)?.get("id")?.as_str()?.parse().ok()
}

/// Is it a response that has not ended?
pub(super) fn is_under_way(object: &RawValue) -> bool {
    let object = parse(object).unwrap_or_default();
    matches!(object.get("status").and_then(Value::as_str), Some("in_progress" | "queued"))
}

/// How a run ended, by the service's word for it.
fn status_of(word: &str) -> Option<RunStatus> {
    Some(match word {
        "completed" => RunStatus::Completed,
        "failed" => RunStatus::Failed,
        "incomplete" => RunStatus::Incomplete,
        "cancelled" | "canceled" => RunStatus::Cancelled,
        _ => return None,
    })
}

/// Ends with a final object: first whatever makes the deltas agree with it, then the ending. The object's status says how it
/// went, not the event's name: `response.failed` covers cancelled runs, and HTTP 200 failed ones (contract section 7.2).
/// Where the object has no text, what was streamed is all there is. `asked`: the questions that were told already.
pub(super) fn finish(
    raw_object: &RawValue,
    name: Option<&str>,
    streamed: &Text,
    asked: &[String],
    items: &mut VecDeque<ReplyItem>,
) {
    let object = parse(raw_object).unwrap_or_default();
    let text = |name: &str| object.get(name).and_then(Value::as_str);
    let final_text = text_of(&object);
    if !final_text.is_empty() && final_text != streamed.whole() {
        let event = match final_text.strip_prefix(streamed.whole()) {
            Some(rest) => InvokeEvent::TextDelta { delta: rest.to_owned() },
            None => InvokeEvent::Snapshot { text: final_text.clone() },
        };
        items.push_back(ReplyItem::Event(event));
    }
    if streamed.has_hole() && final_text.is_empty() {
        items.push_back(text_missing());
    }
    let output = object.get("output").and_then(Value::as_array).into_iter().flatten();
    items.extend(output.filter_map(questions::of_item).filter(|question| !asked.contains(&question.id)).map(asks));
    let error = object.get("error").filter(|error| error.is_object());
    let by_status = text("status").and_then(status_of);
    let by_name = name.and_then(|name| status_of(name.strip_prefix("response.")?));
    let event = match by_status.or(by_name) {
        Some(RunStatus::Completed) => InvokeEvent::Completed {},
        Some(RunStatus::Cancelled) => InvokeEvent::Cancelled {},
        Some(RunStatus::Incomplete) => {
            let details = object.get("incomplete_details");
            let reason = details.and_then(|details| details.get("reason")).and_then(Value::as_str);
            InvokeEvent::Incomplete { reason: reason.map(ToOwned::to_owned) }
        }
        Some(RunStatus::Failed) => failure_of(error.unwrap_or(&Value::Null)),
        _ => match (error, text("status")) {
            (Some(error), _) => failure_of(error),
            // A queued steering turn, or one that runs in the background: it has not ended, and nobody follows it.
            (None, Some(status)) => {
                InvokeEvent::Truncated { reason: Some(format!("the service left the turn {status}")) }
            }
            (None, None) => unclear(ErrorKind::UnexpectedAnswer, "the service's answer is not a response object", None),
        },
    };
    items.push_back(end(Ending {
        text: (!final_text.is_empty()).then_some(final_text),
        output: object.is_object().then(|| raw_object.to_owned()),
        response_id: text("id").and_then(|id| id.parse().ok()),
        event,
    }));
}

#[cfg(test)]
#[path = "../../../fuzz/responses.rs"]
mod fuzz_responses;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::foundry::fixtures;
    use crate::foundry::reply::{Split, Splitter, items, map, shown};
    use cupola_protocol::invoke::NoticeCode;
    use serde_json::json;

    /// Deltas, snapshots and the ending of a captured stream; the verbatim events are left out.
    fn story(name: &str) -> (Vec<String>, Ending) {
        let answer = fixtures::answer(name);
        let how = if answer.is_cut { BodyEnd::Broken("cut".to_owned()) } else { BodyEnd::Clean };
        let (lines, ending) = map(Split::events(), ResponseMapping::default(), &answer.body, how);
        let is_told = |line: &String| !line.starts_with("response.") && !line.starts_with('@');
        (lines.into_iter().filter(is_told).collect(), ending)
    }

    fn stream(frames: &str) -> (Vec<String>, Ending) {
        map(Split::events(), ResponseMapping::default(), frames.as_bytes(), BodyEnd::Clean)
    }

    #[test]
    fn an_event_that_cannot_be_read_leaves_no_silent_hole() {
        let delta = |part: u64, text: &str| {
            let frame =
                json!({"type": "response.output_text.delta", "output_index": part, "content_index": 0, "delta": text});
            format!("data: {frame}\n\n")
        };
        let done = |part: u64, text: &str| {
            let frame =
                json!({"type": "response.output_text.done", "output_index": part, "content_index": 0, "text": text});
            format!("data: {frame}\n\n")
        };
        let completed = |text: Option<&str>| {
            let content =
                text.map(|text| json!([{"type": "message", "content": [{"type": "output_text", "text": text}]}]));
            let frame = json!({"type": "response.completed", "response": {"status": "completed", "output": content}});
            format!("data: {frame}\n\n")
        };
        let broken = || "data: {\"type\":\"response.output_text.delta\",\"delta\":\"lo\n\n".to_owned();
        let no_delta = || "data: {\"type\":\"response.output_text.delta\",\"delta\":7}\n\n".to_owned();
        for (frames, text, is_missing) in [
            (
                vec![delta(0, "hel"), broken(), delta(0, " you"), done(0, "hello you"), completed(None)],
                "hello you",
                false,
            ),
            (vec![delta(0, "hel"), broken(), done(0, "hello"), completed(None)], "hello", false),
            (vec![delta(0, "hel"), no_delta(), done(0, "hello"), completed(None)], "hello", false),
            (vec![broken(), done(0, "hello"), delta(1, " you"), done(1, " you"), completed(None)], "hello you", false),
            (vec![delta(0, "hello"), done(0, "hello"), broken(), done(1, " you"), completed(None)], "hello you", false),
            (vec![delta(0, "hel"), broken(), delta(0, " you"), completed(None)], "hel you", true),
            (vec![delta(0, "hel"), broken(), delta(1, " you"), done(1, " you"), completed(None)], "hel you", true),
            (vec![broken(), completed(None)], "", true),
            (vec![delta(0, "hel"), broken()], "hel", true),
            // The final object has the last word, and every delta was read here.
            (vec![delta(0, "hel"), broken(), completed(Some("hello"))], "hello", false),
            (vec![delta(0, "hello"), done(0, "HELLO"), completed(None)], "hello", false),
        ] {
            let body = frames.concat();
            let items = items(Split::events(), ResponseMapping::default(), body.as_bytes(), BodyEnd::Clean);
            let (mut shown, mut told) = (String::new(), false);
            for item in &items {
                match item {
                    ReplyItem::Event(InvokeEvent::TextDelta { delta }) => shown.push_str(delta),
                    ReplyItem::Event(InvokeEvent::Snapshot { text }) => shown.clone_from(text),
                    ReplyItem::Event(InvokeEvent::Notice { notice }) => told |= notice.code == NoticeCode::TextMissing,
                    _ => {}
                }
            }
            assert_eq!((shown.as_str(), told), (text, is_missing), "{frames:?}");
        }
    }

    /// The first connection broke after an event; the second has what the service sent after it.
    #[test]
    fn a_stream_that_is_read_on_over_another_connection_tells_the_same_under_the_same_places() {
        let whole = fixtures::answer("responses/background-stream-get-replay-all");
        let text = String::from_utf8(whole.body.clone()).unwrap();
        let frames: Vec<_> = text.split_inclusive("\n\n").collect();
        let told = |pieces: &[String]| {
            let (mut mapping, mut lines) = (ResponseMapping::default(), Vec::new());
            for piece in pieces {
                let mut splitter = Splitter::new(Split::events(), mapping, false);
                let mut items = VecDeque::new();
                splitter.bytes(piece.as_bytes(), &mut items);
                lines.extend(shown(&items));
                mapping = std::mem::take(splitter.mapping_mut()).again();
            }
            lines
        };
        let expected = told(std::slice::from_ref(&text));
        assert!(expected.contains(&"@0".to_owned()) && expected.last().is_some_and(|end| end == "end: completed"));
        for cut in 1..frames.len() {
            // The service repeats the event before the cut, as one does that counts otherwise.
            assert_eq!(told(&[frames[..cut].concat(), frames[cut - 1..].concat()]), expected, "cut after {cut}");
        }
    }

    #[test]
    fn captured_streams_tell_their_story() {
        let ticks = |from: usize, to: usize| (from..to).map(|n| format!("+ tick{n}"));
        for (name, expected) in [
            ("responses/create-stream", vec!["+alpha", "+ beta", "+ gamma", "end: completed"]),
            ("responses-variants/keepalive-stream", vec!["+before", "+ after", "end: completed"]),
            (
                "responses/create-stream-incomplete",
                vec!["+partial output for incomplete", "end: incomplete max_output_tokens"],
            ),
            (
                "responses/create-stream-failed",
                vec!["+partial output for failed", "end: failed AgentFailed: the tool exploded"],
            ),
            (
                "responses/create-stream-late-error",
                vec!["+partial output for late-error", "end: failed AgentFailed: An internal server error occurred."],
            ),
            (
                "responses/create-stream-early-error",
                vec!["end: failed AgentFailed: An internal server error occurred."],
            ),
            (
                "responses/background-stream-cancel-1-stream-side",
                vec!["+tick0", "+ tick1", "+ tick2", "+ tick3", "+ tick4", "end: cancelled"],
            ),
            (
                "responses-variants/locked-2-second-turn",
                vec!["end: truncated the connection broke before the answer ended: cut"],
            ),
            (
                "responses/background-stream-get-starting-after-last",
                vec!["end: truncated the stream ended before the answer did"],
            ),
        ] {
            assert_eq!(story(name).0, expected, "{name}");
        }
        // A killed and recovered run: the second `in_progress` starts the text again.
        let mut expected: Vec<_> = std::iter::once("+tick0".to_owned()).chain(ticks(1, 8)).collect();
        let (lines, ending) = story("responses-variants/crash-4-replay-all");
        assert_eq!(lines[..expected.len()], expected);
        expected = std::iter::once("=".to_owned()).chain(["+tick0".to_owned()]).chain(ticks(1, 20)).collect();
        expected.push("end: completed".to_owned());
        assert_eq!(lines[lines.len() - expected.len()..], expected);
        assert!(ending.text.unwrap().ends_with("tick18 tick19"));
    }

    #[test]
    fn other_events_pass_through_by_name_and_verbatim() {
        let answer = fixtures::answer("responses/create-stream-tool");
        let (lines, _) = map(Split::events(), ResponseMapping::default(), &answer.body, BodyEnd::Clean);
        for name in ["response.created", "response.function_call_arguments.delta", "response.output_item.done"] {
            assert!(lines.iter().any(|line| line == name), "{name} is missing from {lines:?}");
        }
        let mut items = VecDeque::new();
        let mut mapping = ResponseMapping::default();
        let data = r#"{"type": "response.new_thing", "sequence_number": 3, "x": 1.50}"#;
        mapping.event(sse::Event { name: None, data: data.to_owned() }, &mut items);
        let Some(ReplyItem::Event(InvokeEvent::Output { data: passed, .. })) = items.pop_front() else {
            panic!("no output event");
        };
        assert_eq!(passed.get(), data);
    }

    #[test]
    fn the_ending_carries_the_final_object_and_its_id() {
        let (_, ending) = story("responses/create-stream");
        assert_eq!(ending.text.as_deref(), Some("alpha beta gamma"));
        assert!(ending.response_id.unwrap().as_str().starts_with("caresp_"));
        assert!(ending.output.unwrap().get().starts_with('{'));
        let (_, cut) = story("responses-variants/locked-2-second-turn");
        assert!(cut.output.is_none() && cut.text.is_none());
    }

    #[test]
    fn numbers_may_skip_and_repeat() {
        let delta = |number: &str, delta: &str| {
            format!("data: {{\"type\":\"response.output_text.delta\",\"delta\":\"{delta}\"{number}}}\n\n")
        };
        let numbered = |number: u32, text| delta(&format!(",\"sequence_number\":{number}"), text);
        let frames = [
            numbered(4, "a"),
            numbered(9, "b"),
            numbered(9, "again"),
            numbered(5, "late"),
            delta("", "unnumbered"),
            numbered(10, "c"),
        ];
        let (lines, _) = stream(&frames.concat());
        assert_eq!(lines[..4], ["+a", "+b", "+unnumbered", "+c"]);
    }

    #[test]
    fn oddities_are_endings_too() {
        for (frames, expected) in [
            ("event: response.cancelled\ndata: {\"response\":{}}\n\n", "end: cancelled"),
            ("data: {\"type\":\"response.failed\",\"response\":{\"status\":\"cancelled\"}}\n\n", "end: cancelled"),
            ("data: {\"type\":\"response.completed\"}\n\n", "end: completed"),
            (
                "data: {\"type\":\"response.completed\",\"response\":{\"status\":\"failed\",\"error\":{\"message\":\"no\"}}}\n\n",
                "end: failed AgentFailed: no",
            ),
            (
                "event: error\ndata: {\"error\":{\"code\":\"conversation_locked\",\"message\":\"busy\"}}\n\n",
                "end: failed ConversationLocked: busy",
            ),
            ("data: not json\n\n", "end: truncated the stream ended before the answer did"),
            // The last empty line is missing, but the event is whole.
            ("data: {\"type\":\"response.completed\"}", "end: completed"),
            ("data: {\"type\":\"response.comp", "end: truncated the stream ended before the answer did"),
        ] {
            assert_eq!(stream(frames).0.last().unwrap(), expected, "{frames}");
        }
    }

    #[test]
    fn nothing_follows_the_ending() {
        let (lines, _) = stream(
            "data: {\"type\":\"response.completed\"}\n\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"x\"}\n\n",
        );
        assert_eq!(lines, ["end: completed"]);
    }

    #[test]
    fn deltas_agree_with_the_final_text() {
        let completed = |text: &str| {
            format!(
                "data: {{\"type\":\"response.completed\",\"response\":{{\"status\":\"completed\",\"output\":[{{\"type\":\"message\",\"content\":[{{\"type\":\"output_text\",\"text\":\"{text}\"}}]}}]}}}}\n\n"
            )
        };
        let delta = "data: {\"type\":\"response.output_text.delta\",\"delta\":\"one\"}\n\n";
        for (frames, expected) in [
            (completed("one two"), vec!["+one two", "end: completed"]),
            (format!("{delta}{}", completed("one two")), vec!["+one", "+ two", "end: completed"]),
            (format!("{delta}{}", completed("other")), vec!["+one", "=other", "end: completed"]),
            (format!("{delta}{}", completed("one")), vec!["+one", "end: completed"]),
            (format!("{delta}{}", completed("")), vec!["+one", "end: completed"]),
        ] {
            assert_eq!(stream(&frames).0, expected, "{frames}");
        }
    }

    #[test]
    fn an_answer_that_was_not_streamed_is_judged_by_its_status_not_by_http() {
        for (name, expected) in [
            ("responses/create-sync", vec!["+echo: hello there", "end: completed"]),
            (
                "responses/create-sync-failed",
                vec!["+partial output for failed", "end: failed AgentFailed: the tool exploded"],
            ),
            (
                "responses/create-sync-incomplete",
                vec!["+partial output for incomplete", "end: incomplete max_output_tokens"],
            ),
            ("responses/create-sync-late-error", vec!["end: failed AgentFailed: An internal server error occurred."]),
            ("responses-variants/steer-2-second-turn", vec!["end: truncated the service left the turn queued"]),
        ] {
            let answer = fixtures::answer(name);
            assert_eq!(answer.status, 200, "{name}");
            assert_eq!(
                map(Split::whole(), ObjectMapping::default(), &answer.body, BodyEnd::Clean).0,
                expected,
                "{name}"
            );
        }
        for (body, expected) in [
            ("<html>", "end: failed UnexpectedAnswer: the service answered with neither events nor JSON"),
            ("", "end: failed UnexpectedAnswer: the service answered with neither events nor JSON"),
            ("[]", "end: failed UnexpectedAnswer: the service's answer is not a response object"),
            (r#"{"error":{"code":"x","message":"no"}}"#, "end: failed AgentFailed: no"),
        ] {
            assert_eq!(
                map(Split::whole(), ObjectMapping::default(), body.as_bytes(), BodyEnd::Clean).0,
                [expected],
                "{body}"
            );
        }
    }
}
