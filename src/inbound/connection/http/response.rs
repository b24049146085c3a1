//! What is sent: the answer as JSON, all messages as server-sent events, or why a request is not taken.

use super::request::{HINT, Refusal};
use crate::error::CallError;
use crate::rpc::calls::refusal;
use crate::rpc::client::Client;
use crate::rpc::message::CallId;
use crate::rpc::outbox::Queued;
use bytes::Bytes;
use futures_util::Stream;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::Response;
use hyper::body::Frame;
use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

/// How long a stream may be silent before it says that it is still there: half of the shortest limit that proxies and
/// client libraries commonly have, 30 s.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// When trying again is worth it, as the errors say in milliseconds.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("1");

/// A body that Cupola sends.
pub(crate) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// The messages for one request's client. Dropping it cancels the calls that make them.
pub(crate) struct Outbox {
    messages: mpsc::Receiver<Queued>,
    client: Client,
    /// Has the client been told why it gets no more?
    has_said_farewell: bool,
    /// Cancelled when every call is answered. A run that continues may still send, but its events are not wanted here.
    last: CancellationToken,
    _cancel: DropGuard,
}

impl Outbox {
    pub(crate) fn new(
        messages: mpsc::Receiver<Queued>,
        client: Client,
        last: CancellationToken,
        cancel: DropGuard,
    ) -> Self {
        Self { messages, client, has_said_farewell: false, last, _cancel: cancel }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// The next message; nothing after the last one.
    pub(crate) async fn next(&mut self) -> Option<String> {
        loop {
            tokio::select! {
                biased;
                message = self.messages.recv() => return message.map(|message| message.text).or_else(|| self.farewell()),
                () = self.last.cancelled(), if !self.messages.is_closed() => self.messages.close(),
            }
        }
    }
}

impl Outbox {
    /// Why a client that has stalled gets no more; nothing for any other, and the second time.
    fn farewell(&mut self) -> Option<String> {
        let is_due = self.client.has_stalled() && !std::mem::replace(&mut self.has_said_farewell, true);
        is_due.then(|| self.client.farewell())
    }
}

/// The answer alone.
pub(crate) async fn json(mut outbox: Outbox) -> Response<Body> {
    match outbox.next().await {
        Some(answer) => response(StatusCode::OK, "application/json", answer),
        // Every call is answered once, so this is never seen.
        None => response(
            StatusCode::INTERNAL_SERVER_ERROR,
            "application/json",
            refusal(CallError::internal("no answer came")),
        ),
    }
}

/// The daemon is full: the answers, which say so, with the status for it.
pub(super) async fn turned_away(outbox: Outbox) -> Response<Body> {
    let mut response = json(outbox).await;
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response.headers_mut().insert(RETRY_AFTER, RETRY_AFTER_SECONDS);
    response
}

/// Every message as it comes.
pub(super) fn events(outbox: Outbox) -> Response<Body> {
    let mut response = Response::new(StreamBody::new(stream(outbox)).boxed_unsync());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn stream(outbox: Outbox) -> impl Stream<Item = Result<Frame<Bytes>, Infallible>> + Send {
    futures_util::stream::unfold(outbox, |mut outbox| async {
        let event = match tokio::time::timeout(KEEP_ALIVE, outbox.next()).await {
            Ok(message) => event(&message?),
            Err(_) => ": still there\n\n".to_owned(),
        };
        Some((Ok(Frame::data(Bytes::from(event))), outbox))
    })
}

/// One message as an event. What the service wrote over several lines is one value again when the lines are joined.
pub(crate) fn event(message: &str) -> String {
    let mut event = String::with_capacity(message.len() + 8);
    for line in message.lines() {
        event.push_str("data: ");
        event.push_str(line);
        event.push('\n');
    }
    event.push('\n');
    event
}

/// There is nothing to answer.
pub(crate) fn nothing() -> Response<Body> {
    let mut response = Response::new(Full::default().boxed_unsync());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// A refusal, as the error response of no call; to a method that people try, in words.
pub(super) fn refused(refused: Refusal) -> Response<Body> {
    let Refusal { status, error, id } = refused;
    if status != StatusCode::METHOD_NOT_ALLOWED {
        let mut response = response(status, "application/json", id.unwrap_or_else(CallId::null).refuse(error));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, RETRY_AFTER_SECONDS);
        }
        return response;
    }
    let mut response = response(status, "text/plain; charset=utf-8", HINT.to_owned());
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
    response
}

/// A whole answer.
pub(crate) fn response(status: StatusCode, kind: &'static str, text: String) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from(text)).boxed_unsync());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_message_whatever_its_line_ends() {
        assert_eq!(event(r#"{"a":1}"#), "data: {\"a\":1}\n\n");
        assert_eq!(event("{\n \"a\":\r\n1}"), "data: {\ndata:  \"a\":\ndata: 1}\n\n");
    }
}
