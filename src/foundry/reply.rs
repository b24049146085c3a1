//! A turn's answer: what is known at once, then events, then exactly one ending.
//!
//! - [`split`]: the bytes of a body as the pieces that a protocol's mapping takes (pure)
//! - [`stream`]: reads a body through both, as a stream of items

mod split;
mod stream;

pub(super) use self::split::{Split, Splitter};
pub(super) use self::stream::ReplyStream;

use super::answer::HttpAnswer;
use super::canceller::Canceller;
use super::head::HttpHead;
use super::latency::latency;
use super::sse;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cupola_protocol::error::{ErrorKind, Turn};
use cupola_protocol::id::{ConversationId, ResponseId, SessionId};
use cupola_protocol::invoke::{InvokeEvent, Notice, NoticeCode, RunFailure};
use cupola_protocol::latency::Latency;
use cupola_protocol::target::AgentVersion;
use futures_util::StreamExt as _;
use futures_util::stream::{BoxStream, unfold};
use memchr::memchr2;
use serde_json::value::RawValue;
use std::collections::VecDeque;
use std::fmt;

/// The answer to one turn. Dropping it ends the call at the service.
pub struct Reply {
    /// The session that answers.
    pub session_id: Option<SessionId>,
    /// The service's request id.
    pub request_id: Option<String>,
    /// The version that answers, where the service says it (contract section 21.1).
    pub version: Option<AgentVersion>,
    /// The service did not use the version that was asked for.
    pub is_version_fallback: bool,
    /// How long the parts of the turn took up to here, if the service measured it.
    pub latency: Option<Latency>,
    /// The conversation that the service chose, where the answer's beginning names it.
    pub conversation_id: Option<ConversationId>,
    /// The response's or invocation's id, if it is known already.
    pub response_id: Option<ResponseId>,
    /// The answer's beginning, for a caller who wants it unmodified.
    pub head: Option<HttpHead>,
    /// For a turn that continues without a connection: dropping the reply does not end it, this does.
    pub canceller: Option<Canceller>,
    /// The turn continues at the service without a connection, and can be followed again by [`Self::response_id`].
    pub survives: bool,
    /// The events. The last item is the only [`ReplyItem::End`], and it always comes.
    pub events: BoxStream<'static, ReplyItem>,
}

impl Reply {
    /// What an answer's beginning says, whatever its protocol. The caller adds the events, and what only its protocol knows.
    pub(super) fn of(answer: &HttpAnswer, is_raw: bool) -> Self {
        Self {
            session_id: answer.session_id(),
            request_id: answer.request_id(),
            version: answer.header("x-agent-version-resolved").and_then(|version| version.parse().ok()),
            is_version_fallback: answer.header("x-agent-version-fallback") == Some("true"),
            latency: latency(answer.response.headers()),
            conversation_id: None,
            response_id: None,
            head: is_raw.then(|| HttpHead::of(&answer.response)),
            canceller: None,
            survives: false,
            events: futures_util::stream::empty().boxed(),
        }
    }

    /// The answer to a turn that was begun before, whose beginning is gone. The caller adds the events.
    pub(super) fn resumed(id: ResponseId, canceller: Canceller) -> Self {
        Self {
            session_id: None,
            request_id: None,
            version: None,
            is_version_fallback: false,
            latency: None,
            conversation_id: None,
            response_id: Some(id),
            head: None,
            canceller: Some(canceller),
            survives: true,
            events: futures_util::stream::empty().boxed(),
        }
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Reply")
            .field("session_id", &self.session_id)
            .field("request_id", &self.request_id)
            .field("response_id", &self.response_id)
            .finish_non_exhaustive()
    }
}

/// One thing that happens in a reply.
#[derive(Debug, Clone)]
pub enum ReplyItem {
    /// Not an ending.
    Event(InvokeEvent),
    /// What follows came with this sequence number (contract section 15.3). Only of a turn that can be read again.
    At(u64),
    /// What came up to here can no longer be read: a snapshot of the text follows, then the ending.
    Lost,
    /// The ending: last, and once.
    End(Box<Ending>),
}

/// How a reply ended, and what is known only then.
#[derive(Debug, Clone)]
pub struct Ending {
    /// One of the endings.
    pub event: InvokeEvent,
    /// The answer's whole text, where the final object has it; it agrees with the deltas before it.
    pub text: Option<String>,
    /// The final object, on one line.
    pub output: Option<Box<RawValue>>,
    /// The response's or invocation's id.
    pub response_id: Option<ResponseId>,
}

impl Ending {
    pub(super) fn of(event: InvokeEvent) -> Self {
        Self { event, text: None, output: None, response_id: None }
    }

    pub(super) fn failed(kind: ErrorKind, message: impl Into<String>, service_code: Option<String>) -> Self {
        Self::of(failed(kind, message, service_code))
    }
}

/// The agent ran the turn, and it failed like this.
pub(super) fn failed(kind: ErrorKind, message: impl Into<String>, service_code: Option<String>) -> InvokeEvent {
    let (message, turn) = (message.into(), Some(Turn::Ran));
    InvokeEvent::Failed { failure: RunFailure { kind, message, service_code, turn, hint: None } }
}

/// What came does not say whether the agent ran the turn: a page of a proxy, for example.
pub(super) fn unclear(kind: ErrorKind, message: impl Into<String>, service_code: Option<String>) -> InvokeEvent {
    let (message, turn) = (message.into(), Some(Turn::MayHaveRun));
    InvokeEvent::Failed { failure: RunFailure { kind, message, service_code, turn, hint: None } }
}

/// Tells the caller that the text may not be whole.
pub(super) fn text_missing() -> ReplyItem {
    let message = "an event of the answer could not be read, so some of its text may be missing".to_owned();
    ReplyItem::Event(InvokeEvent::Notice { notice: Notice { code: NoticeCode::TextMissing, message } })
}

/// JSON text as a raw value on one line: it travels inside line-delimited JSON. `None` if it is not JSON.
pub(super) fn raw(text: &str) -> Option<Box<RawValue>> {
    serde_json::from_str(text).ok().map(on_one_line)
}

/// The same value on one line.
pub(super) fn on_one_line(value: &RawValue) -> Box<RawValue> {
    let text = value.get();
    if memchr2(b'\n', b'\r', text.as_bytes()).is_none() {
        return value.to_owned();
    }
    // In valid JSON a line break can only stand between tokens.
    RawValue::from_string(text.replace(['\n', '\r'], " ")).unwrap_or_else(|_| value.to_owned())
}

/// Any text as a raw value: itself if it is JSON, else a JSON string.
pub(super) fn raw_or_string(text: &str) -> Box<RawValue> {
    raw(text).or_else(|| serde_json::value::to_raw_value(text).ok()).unwrap_or_else(|| RawValue::NULL.to_owned())
}

/// What reads a reply over several requests: it gives one item after another, and nothing after the ending.
pub(super) trait Source: Sized + Send + 'static {
    /// The next item.
    fn next(&mut self) -> impl Future<Output = Option<ReplyItem>> + Send;

    /// All of them.
    fn into_items(self) -> BoxStream<'static, ReplyItem> {
        unfold(self, |mut source| async move {
            let item = source.next().await?;
            Some((item, source))
        })
        .boxed()
    }
}

/// Turns the pieces of one protocol's answer into reply items. Pure: it sees data, not connections.
pub(super) trait Mapping {
    /// Takes the next piece: a server-sent event, the whole body, or some of its text ([`Split`]). Only events have names.
    fn event(&mut self, event: sse::Event, items: &mut VecDeque<ReplyItem>);
    /// The body is bare text, although it claims to be events ([`Split::lenient_events`]): the pieces that follow are its text.
    fn is_bare_text(&mut self) {}
    /// Takes the end of the body. Adds the ending if there was none.
    fn end(&mut self, how: BodyEnd, items: &mut VecDeque<ReplyItem>);
}

/// How the body ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum BodyEnd {
    /// As it should.
    Clean,
    /// The connection broke.
    Broken(String),
    /// There is more than is taken.
    TooMuch(String),
}

impl BodyEnd {
    /// The ending of an answer that had not come to its own.
    pub(super) fn too_soon(self) -> InvokeEvent {
        let reason = match self {
            Self::Clean => "the stream ended before the answer did".to_owned(),
            Self::Broken(reason) => format!("the connection broke before the answer ended: {reason}"),
            Self::TooMuch(reason) => {
                let message = format!("the answer was not read to its end: {reason}");
                return failed(ErrorKind::UnexpectedAnswer, message, None);
            }
        };
        InvokeEvent::Truncated { reason: Some(reason) }
    }
}

/// Bytes of a body as an event.
pub fn body_event(bytes: &[u8]) -> InvokeEvent {
    match std::str::from_utf8(bytes) {
        Ok(text) => InvokeEvent::HttpBody { text: Some(text.to_owned()), base64: None },
        Err(_) => InvokeEvent::HttpBody { text: None, base64: Some(STANDARD.encode(bytes)) },
    }
}

impl From<HttpHead> for InvokeEvent {
    fn from(head: HttpHead) -> Self {
        Self::HttpHead { status_line: head.status_line, headers: head.headers }
    }
}

/// Items as short lines, for tests that read like the stream they describe.
#[cfg(test)]
pub(super) fn shown(items: &VecDeque<ReplyItem>) -> Vec<String> {
    let show = |event: &InvokeEvent| match event {
        InvokeEvent::TextDelta { delta } => format!("+{delta}"),
        InvokeEvent::Output { name, .. } => name.clone(),
        InvokeEvent::Snapshot { text } => format!("={text}"),
        InvokeEvent::Question { question } => format!("?{:?} {}", question.kind, question.id),
        InvokeEvent::Completed {} => "completed".to_owned(),
        InvokeEvent::Cancelled {} => "cancelled".to_owned(),
        InvokeEvent::Failed { failure } => format!("failed {:?}: {}", failure.kind, failure.message),
        InvokeEvent::Incomplete { reason } => format!("incomplete {}", reason.as_deref().unwrap_or("-")),
        InvokeEvent::Truncated { reason } => format!("truncated {}", reason.as_deref().unwrap_or("-")),
        other => format!("{other:?}"),
    };
    let line = |item: &ReplyItem| match item {
        ReplyItem::At(number) => format!("@{number}"),
        ReplyItem::Lost => "lost".to_owned(),
        ReplyItem::Event(event) => {
            assert!(event.ending().is_none(), "an ending among the events: {event:?}");
            show(event)
        }
        ReplyItem::End(ending) => format!("end: {}", show(&ending.event)),
    };
    items.iter().map(line).collect()
}

/// The items of a whole body.
#[cfg(test)]
pub(super) fn items(split: Split, mapping: impl Mapping, body: &[u8], how: BodyEnd) -> VecDeque<ReplyItem> {
    let (mut splitter, mut items) = (Splitter::new(split, mapping, false), VecDeque::new());
    splitter.bytes(body, &mut items);
    splitter.end(how, &mut items);
    items
}

/// The items of a whole body as short lines, and the ending, which must be the last of them and the only one.
#[cfg(test)]
pub(super) fn map(split: Split, mapping: impl Mapping, body: &[u8], how: BodyEnd) -> (Vec<String>, Ending) {
    let mut items = items(split, mapping, body, how);
    let endings = items.iter().filter(|item| matches!(item, ReplyItem::End(_))).count();
    assert_eq!(endings, 1, "{items:?}");
    let lines = shown(&items);
    match items.pop_back() {
        Some(ReplyItem::End(ending)) => (lines, *ending),
        other => panic!("the ending is not last: {other:?}"),
    }
}

#[cfg(test)]
#[path = "../../fuzz/reply.rs"]
pub(super) mod fuzz_reply;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_values_stay_on_one_line() {
        assert_eq!(raw("{\r\n  \"a\": \"b\\n\"\n}").unwrap().get(), r#"{    "a": "b\n" }"#);
        assert!(raw("not json").is_none());
        assert_eq!(raw_or_string("not\njson").get(), r#""not\njson""#);
    }
}
