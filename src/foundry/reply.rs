//! A turn's answer: what is known at once, then events, then exactly one ending.

use super::answer::{HttpAnswer, MAX_ANSWER_BYTES};
use super::canceller::Canceller;
use super::head::HttpHead;
use super::meter::Meter;
use super::sse;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use cupola_protocol::error::ErrorKind;
use cupola_protocol::id::{ConversationId, ResponseId, SessionId};
use cupola_protocol::invoke::{InvokeEvent, Notice, RunFailure};
use cupola_protocol::target::AgentVersion;
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt as _};
use serde_json::value::RawValue;
use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::task::coop::poll_proceed;

/// How long the end of a stream is waited for after its last event, so that its connection can be used again. A server that
/// goes on sending loses the connection instead.
const DRAIN_LIMIT: Duration = Duration::from_secs(1);

/// How many bytes are taken while waiting for it. There should be none, or the end of a `[DONE]`.
const DRAIN_BYTES: usize = 64 * 1024;

/// The answer to one turn. Dropping it ends the call at the service.
pub struct Reply {
    /// The session that answers.
    pub session_id: Option<SessionId>,
    /// The service's request id.
    pub request_id: Option<String>,
    /// The version that answers, where the service says it (contract section 21.1).
    pub version: Option<AgentVersion>,
    /// The conversation that the service chose, where the answer's beginning names it.
    pub conversation_id: Option<ConversationId>,
    /// The response's or invocation's id, if it is known already.
    pub response_id: Option<ResponseId>,
    /// What happened on the way here.
    pub notices: Vec<Notice>,
    /// The answer's beginning, for a caller who wants it unmodified.
    pub head: Option<HttpHead>,
    /// For an invocation that goes on without a connection: dropping the reply does not end it, this does.
    pub canceller: Option<Canceller>,
    /// The events. The last item is the only [`ReplyItem::End`], and it always comes.
    pub events: BoxStream<'static, ReplyItem>,
}

impl Reply {
    /// What an answer's beginning says, whatever its protocol. The caller adds the events, and what only its protocol knows.
    pub(super) fn of(answer: &mut HttpAnswer, is_raw: bool) -> Self {
        Self {
            session_id: answer.session_id(),
            request_id: answer.request_id(),
            version: answer.header("x-agent-version-resolved").and_then(|version| version.parse().ok()),
            conversation_id: None,
            response_id: None,
            notices: std::mem::take(&mut answer.notices),
            head: is_raw.then(|| HttpHead::of(&answer.response)),
            canceller: None,
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

pub(super) fn failed(kind: ErrorKind, message: impl Into<String>, service_code: Option<String>) -> InvokeEvent {
    InvokeEvent::Failed { failure: RunFailure { kind, message: message.into(), service_code } }
}

/// JSON text as a raw value on one line: it travels inside line-delimited JSON. `None` if it is no JSON.
pub(super) fn raw(text: &str) -> Option<Box<RawValue>> {
    // In valid JSON a line break can only stand between tokens.
    let line = if text.contains(['\n', '\r']) { text.replace(['\n', '\r'], " ") } else { text.to_owned() };
    RawValue::from_string(line.trim().to_owned()).ok()
}

/// Any text as a raw value: itself if it is JSON, else a JSON string.
pub(super) fn raw_or_string(text: &str) -> Box<RawValue> {
    raw(text).or_else(|| serde_json::value::to_raw_value(text).ok()).unwrap_or_else(|| RawValue::NULL.to_owned())
}

/// Turns one protocol's stream into reply items. Pure: it sees data, not connections.
pub(super) trait Mapping {
    /// What the bytes are split into.
    fn bytes(&mut self, bytes: &[u8], items: &mut VecDeque<ReplyItem>);
    /// No more bytes will come. Adds the ending if there was none.
    fn end(&mut self, how: End, items: &mut VecDeque<ReplyItem>);
    /// Was there more than is taken, so that nothing more is read?
    fn has_given_up(&self) -> bool {
        false
    }
}

/// How the bytes ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// As they should.
    Clean,
    /// The connection broke.
    Broken(String),
    /// There is more than is taken.
    TooMuch(String),
}

impl End {
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

/// A mapping of server-sent events, made a mapping of bytes.
#[derive(Debug, Default)]
pub(super) struct Events<M> {
    parser: sse::Parser,
    /// Counts the events: each costs something, and none need carry anything.
    meter: Meter,
    is_given_up: bool,
    pub(super) mapping: M,
}

/// Turns events into reply items.
pub(super) trait EventMapping {
    fn event(&mut self, event: sse::Event, items: &mut VecDeque<ReplyItem>);
    fn end(&mut self, how: End, items: &mut VecDeque<ReplyItem>);
}

impl<M: EventMapping> Events<M> {
    pub(super) fn new(mapping: M) -> Self {
        Self { parser: sse::Parser::default(), meter: Meter::default(), is_given_up: false, mapping }
    }

    fn take(&mut self, bytes: &[u8], items: &mut VecDeque<ReplyItem>) -> Result<(), String> {
        let mut events = VecDeque::new();
        let outcome = self.parser.push(bytes, &mut events);
        for event in events {
            self.meter.take(event.data.len()).map_err(|excess| excess.to_string())?;
            self.mapping.event(event, items);
        }
        outcome.map_err(|unreadable| unreadable.to_string())
    }
}

impl<M: EventMapping> Mapping for Events<M> {
    fn bytes(&mut self, bytes: &[u8], items: &mut VecDeque<ReplyItem>) {
        if self.is_given_up {
            return;
        }
        if let Err(reason) = self.take(bytes, items) {
            self.is_given_up = true;
            self.mapping.end(End::TooMuch(reason), items);
        }
    }

    fn has_given_up(&self) -> bool {
        self.is_given_up
    }

    fn end(&mut self, how: End, items: &mut VecDeque<ReplyItem>) {
        let last = std::mem::take(&mut self.parser).finish();
        // An event without its empty line counts only if the stream ended well and the data is whole.
        let is_whole = |event: &sse::Event| {
            event.data == "[DONE]" || serde_json::from_str::<serde::de::IgnoredAny>(&event.data).is_ok()
        };
        if let Some(event) = last.filter(|event| how == End::Clean && is_whole(event)) {
            self.mapping.event(event, items);
        }
        self.mapping.end(how, items);
    }
}

/// A mapping of server-sent events, given a whole body as if it were the data of one.
#[derive(Debug)]
pub(super) struct Whole<M> {
    pub(super) mapping: M,
    body: Vec<u8>,
    is_ended: bool,
    is_given_up: bool,
}

impl<M: EventMapping> Whole<M> {
    pub(super) fn new(mapping: M) -> Self {
        Self { mapping, body: Vec::new(), is_ended: false, is_given_up: false }
    }
}

impl<M: EventMapping> Mapping for Whole<M> {
    fn bytes(&mut self, bytes: &[u8], items: &mut VecDeque<ReplyItem>) {
        if self.is_ended {
            return;
        }
        self.body.extend_from_slice(bytes);
        if self.body.len() > MAX_ANSWER_BYTES {
            self.is_given_up = true;
            self.end(End::TooMuch(format!("it is longer than {MAX_ANSWER_BYTES} bytes")), items);
        }
    }

    fn end(&mut self, how: End, items: &mut VecDeque<ReplyItem>) {
        if std::mem::replace(&mut self.is_ended, true) {
            return;
        }
        if how == End::Clean {
            let data = String::from_utf8_lossy(&self.body).into_owned();
            self.mapping.event(sse::Event { name: None, data }, items);
        }
        self.mapping.end(how, items);
    }

    fn has_given_up(&self) -> bool {
        self.is_given_up
    }
}

/// A mapping that, for a caller who wants the answer unmodified, passes its bytes on as well. Its ending then waits for
/// the last byte.
#[derive(Debug)]
pub(super) struct Raw<M> {
    pub(super) inner: M,
    is_wanted: bool,
    ending: Option<ReplyItem>,
}

impl<M: Mapping> Raw<M> {
    pub(super) fn new(inner: M, is_wanted: bool) -> Self {
        Self { inner, is_wanted, ending: None }
    }

    /// Is there an ending that only waits for the last byte?
    pub(super) const fn has_ending(&self) -> bool {
        self.ending.is_some()
    }

    fn hold(&mut self, mapped: VecDeque<ReplyItem>, items: &mut VecDeque<ReplyItem>) {
        for item in mapped {
            match item {
                ReplyItem::End(_) => self.ending = self.ending.take().or(Some(item)),
                ReplyItem::Event(_) => items.push_back(item),
            }
        }
    }
}

impl<M: Mapping> Mapping for Raw<M> {
    fn bytes(&mut self, bytes: &[u8], items: &mut VecDeque<ReplyItem>) {
        if !self.is_wanted {
            return self.inner.bytes(bytes, items);
        }
        items.push_back(ReplyItem::Event(body_event(bytes)));
        if self.ending.is_none() {
            let mut mapped = VecDeque::new();
            self.inner.bytes(bytes, &mut mapped);
            self.hold(mapped, items);
        }
        if self.inner.has_given_up() {
            items.extend(self.ending.take());
        }
    }

    fn end(&mut self, how: End, items: &mut VecDeque<ReplyItem>) {
        if !self.is_wanted {
            return self.inner.end(how, items);
        }
        if self.ending.is_none() {
            let mut mapped = VecDeque::new();
            self.inner.end(how, &mut mapped);
            self.hold(mapped, items);
        }
        items.extend(self.ending.take());
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

/// Drives a mapping with a body: yields items up to the one ending.
pub(super) struct Mapped<Body, M> {
    /// `None` once ended.
    body: Option<Body>,
    meter: Meter,
    items: VecDeque<ReplyItem>,
    pub(super) mapping: M,
}

impl<Body, M> Mapped<Body, M> {
    pub(super) fn new(body: Body, mapping: M) -> Self {
        Self { body: Some(body), meter: Meter::default(), items: VecDeque::new(), mapping }
    }
}

impl<Body, M, Error> Mapped<Body, M>
where
    Body: Stream<Item = Result<Bytes, Error>> + Send + Unpin + 'static,
    M: Mapping,
    Error: fmt::Display,
{
    /// Reads on until there is `enough`, or no more.
    fn fill(&mut self, context: &mut Context<'_>, enough: impl Fn(&VecDeque<ReplyItem>, &M) -> bool) -> Poll<()> {
        while !enough(&self.items, &self.mapping) {
            let Some(body) = &mut self.body else { break };
            match std::task::ready!(body.poll_next_unpin(context)) {
                Some(Ok(bytes)) => match self.meter.take(bytes.len()) {
                    Ok(()) => self.mapping.bytes(&bytes, &mut self.items),
                    Err(excess) => self.end(End::TooMuch(excess.to_string())),
                },
                Some(Err(error)) => self.end(End::Broken(error.to_string())),
                None => self.end(End::Clean),
            }
        }
        Poll::Ready(())
    }

    fn end(&mut self, how: End) {
        self.mapping.end(how, &mut self.items);
        self.body = None;
    }

    /// Waits until the first items are there, without taking them.
    pub(super) async fn peek(&mut self) {
        std::future::poll_fn(|context| self.fill(context, |items, _| !items.is_empty())).await;
    }

    /// Waits until the mapping has seen enough or the ending is there, without taking items.
    pub(super) async fn peek_until(&mut self, is_enough: impl Fn(&M) -> bool) {
        let enough = |items: &VecDeque<ReplyItem>, mapping: &M| {
            is_enough(mapping) || matches!(items.back(), Some(ReplyItem::End(_)))
        };
        std::future::poll_fn(|context| self.fill(context, enough)).await;
    }
}

impl<Body, M, Error> Stream for Mapped<Body, M>
where
    Body: Stream<Item = Result<Bytes, Error>> + Send + Unpin + 'static,
    M: Mapping + Unpin,
    Error: fmt::Display + 'static,
{
    type Item = ReplyItem;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<ReplyItem>> {
        // A body that always has more must not keep the thread from everything else that waits for it.
        let progress = std::task::ready!(poll_proceed(context));
        std::task::ready!(self.fill(context, |items, _| !items.is_empty()));
        progress.made_progress();
        let item = self.items.pop_front();
        if matches!(item, Some(ReplyItem::End(_))) {
            self.items.clear();
            if let Some(body) = self.body.take() {
                tokio::spawn(drain(body));
            }
        }
        Poll::Ready(item)
    }
}

async fn drain<Body, Error>(mut body: Body)
where
    Body: Stream<Item = Result<Bytes, Error>> + Unpin,
{
    let draining = async {
        let mut left = DRAIN_BYTES;
        while let Some(Ok(bytes)) = body.next().await {
            // An empty piece counts, too: there may be no end of them.
            match left.checked_sub(bytes.len().max(1)) {
                Some(rest) => left = rest,
                None => break,
            }
        }
    };
    let _too_late = tokio::time::timeout(DRAIN_LIMIT, draining).await;
}

/// Items as short lines, for tests that read like the stream they describe.
#[cfg(test)]
pub(super) fn shown(items: &VecDeque<ReplyItem>) -> Vec<String> {
    let show = |event: &InvokeEvent| match event {
        InvokeEvent::TextDelta { delta } => format!("+{delta}"),
        InvokeEvent::Output { name, .. } => name.clone(),
        InvokeEvent::Snapshot { text } => format!("={text}"),
        InvokeEvent::Completed {} => "completed".to_owned(),
        InvokeEvent::Cancelled {} => "cancelled".to_owned(),
        InvokeEvent::Failed { failure } => format!("failed {:?}: {}", failure.kind, failure.message),
        InvokeEvent::Incomplete { reason } => format!("incomplete {}", reason.as_deref().unwrap_or("-")),
        InvokeEvent::Truncated { reason } => format!("truncated {}", reason.as_deref().unwrap_or("-")),
        other => format!("{other:?}"),
    };
    let line = |item: &ReplyItem| match item {
        ReplyItem::Event(event) => {
            assert!(event.ending().is_none(), "an ending among the events: {event:?}");
            show(event)
        }
        ReplyItem::End(ending) => format!("end: {}", show(&ending.event)),
    };
    items.iter().map(line).collect()
}

/// The items of a whole body, and the ending that must be the last of them and the only one.
#[cfg(test)]
pub(super) fn map(mut mapping: impl Mapping, body: &[u8], how: End) -> (Vec<String>, Ending) {
    let mut items = VecDeque::new();
    mapping.bytes(body, &mut items);
    mapping.end(how, &mut items);
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

    /// Takes every event, and passes none on.
    #[derive(Default)]
    struct Silent(bool);

    impl EventMapping for Silent {
        fn event(&mut self, _: sse::Event, _: &mut VecDeque<ReplyItem>) {}

        fn end(&mut self, how: End, items: &mut VecDeque<ReplyItem>) {
            if !std::mem::replace(&mut self.0, true) {
                items.push_back(ReplyItem::End(Box::new(Ending::of(how.too_soon()))));
            }
        }
    }

    /// Takes all bytes.
    struct Nothing;

    impl Mapping for Nothing {
        fn bytes(&mut self, _: &[u8], _: &mut VecDeque<ReplyItem>) {}

        fn end(&mut self, how: End, items: &mut VecDeque<ReplyItem>) {
            items.push_back(ReplyItem::End(Box::new(Ending::of(how.too_soon()))));
        }
    }

    /// How an endless body ends, and how many pieces were taken.
    async fn flood(piece: &'static [u8], mapping: impl Mapping + Unpin) -> (String, usize) {
        let taken = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let count = std::sync::Arc::clone(&taken);
        let body = futures_util::stream::repeat_with(move || {
            count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Ok::<_, String>(Bytes::from_static(piece))
        });
        let mut mapped = Mapped::new(body, mapping);
        loop {
            match mapped.next().await {
                Some(item @ ReplyItem::End(_)) => {
                    drop(mapped);
                    let last = shown(&VecDeque::from([item])).concat();
                    return (last, taken.load(std::sync::atomic::Ordering::Relaxed));
                }
                Some(ReplyItem::Event(_)) => {}
                None => panic!("there was no ending"),
            }
        }
    }

    #[tokio::test]
    async fn a_body_that_never_ends_is_given_up() {
        let comments = b": keep-alive\n\n".repeat(5000).leak();
        let empty = b"data: {}\n\n".repeat(5000).leak();
        for is_raw in [false, true] {
            let events = || Raw::new(Events::new(Silent::default()), is_raw);
            let (end, pieces) = flood(comments, events()).await;
            assert!(end.contains("comments or empty events came in a row") && pieces < 50, "{end}: {pieces}");
            let (end, pieces) = flood(empty, events()).await;
            assert!(end.contains("tiny pieces") && pieces < 300, "{end}: {pieces}");
            let (end, pieces) = flood(comments, Raw::new(Whole::new(Silent::default()), is_raw)).await;
            assert!(end.contains("longer than 33554432 bytes") && pieces < 1000, "{end}: {pieces}");
        }
        // A body of no known kind has no other bound.
        let (end, pieces) = flood(comments, Nothing).await;
        assert!(end.contains("longer than 1073741824 bytes"), "{end}: {pieces}");
        let (end, pieces) = flood(b"x", Nothing).await;
        assert!(end.contains("tiny pieces") && pieces < 1_100_000, "{end}: {pieces}");
    }

    #[test]
    fn raw_values_stay_on_one_line() {
        assert_eq!(raw("{\r\n  \"a\": \"b\\n\"\n}").unwrap().get(), r#"{    "a": "b\n" }"#);
        assert!(raw("not json").is_none());
        assert_eq!(raw_or_string("not\njson").get(), r#""not\njson""#);
    }
}
