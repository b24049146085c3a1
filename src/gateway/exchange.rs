//! One message, or batch, over HTTP, and its answer: as JSON, or with everything that a call tells on its way as server-sent events.

use super::answers::{self, tell_limits};
use super::caller::Caller;
use super::connection::{Connection, expiry};
use super::limits::Metered;
use crate::inbound::connection::http::response::{self, Body, Outbox};
use crate::limits::input::Room;
use crate::rpc::binding::Binding;
use crate::rpc::client::{CLIENT_STALL, Client, Stall};
use crate::rpc::proven::Proven;
use bytes::Bytes;
use cupola_protocol::headers::TraceParent;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::Response;
use hyper::body::Frame;
use serde::Deserialize;
use std::borrow::Cow;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long a stream may be silent before it says that it is still there: half of what proxies commonly wait, 30 s.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How often it is looked at whether a client takes what it is sent.
const WATCH: Duration = Duration::from_secs(1);

/// How the answer is to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answers {
    /// The response alone.
    Json,
    /// Every message, as server-sent events.
    Events,
}

/// Makes the calls in a message. Dropping this, or the body it gives, cancels them.
#[expect(clippy::too_many_arguments, reason = "each is a part of one request")]
pub(super) async fn exchange(
    connection: &Arc<Connection>,
    caller: &Caller,
    proven: Proven,
    meter: &Metered,
    answers: Answers,
    traceparent: Option<TraceParent>,
    message: Bytes,
    room: Room,
) -> Response<Body> {
    let daemon = &connection.gateway.daemon;
    let (client, messages) =
        Client::new(daemon, connection.number, connection.ends.clone(), answers == Answers::Events, None);
    let client = client.within(traceparent);
    let (cancelled, last) = (daemon.shutdown.work(), CancellationToken::new());
    let outbox = Outbox::new(messages, client.clone(), last.clone(), cancelled.clone().drop_guard());
    let calls = connection.calls(&client, Binding::proven(proven, true), &cancelled);
    // Of a batch some calls may have been made, and must not be made again.
    let is_batch = message.trim_ascii_start().starts_with(b"[");
    let received = calls.receive(&message, room).await;
    if received.is_err() || (!calls.has_begun() && outbox.is_empty()) {
        return response::nothing();
    }
    let (ends, expired, watched) = (connection.ends.clone(), expiry(caller.expires), client.clone());
    daemon.tasks.spawn(async move {
        tokio::select! {
            () = calls.answered() => {}
            () = ends.stalled() => {
                cancelled.cancel();
                calls.answered().await;
            }
            () = watch(&watched), if answers == Answers::Events => {
                cancelled.cancel();
                calls.answered().await;
            }
            // What a proof has begun ends with it.
            () = expired => {
                cancelled.cancel();
                calls.answered().await;
            }
        }
        last.cancel();
    });
    let mut response = match answers {
        Answers::Json => response::json(outbox).await,
        Answers::Events => events(outbox),
    };
    let left = meter.left();
    if answers == Answers::Json && !is_batch && meter.was_refused() {
        *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
        let wait = if left.remaining == 0 { left.reset.max(1) } else { 1 };
        response.headers_mut().insert(RETRY_AFTER, wait.into());
    }
    tell_limits(response.headers_mut(), left);
    answers::seal(response.headers_mut(), None);
    response
}

fn events(outbox: Outbox) -> Response<Body> {
    let stream = futures_util::stream::unfold(outbox, |mut outbox| async {
        let event = match tokio::time::timeout(KEEP_ALIVE, outbox.next()).await {
            Ok(message) => event(&message?),
            Err(_) => ": still there\n\n".to_owned(),
        };
        Some((Ok::<_, Infallible>(Frame::data(Bytes::from(event))), outbox))
    });
    let mut response = Response::new(StreamBody::new(stream).boxed_unsync());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// One message as an event. An event of a run has an id to continue after: `RUN/NUMBER`.
fn event(message: &str) -> String {
    #[derive(Deserialize)]
    struct Progress<'a> {
        #[serde(borrow)]
        params: Params<'a>,
    }
    #[derive(Deserialize)]
    struct Params<'a> {
        #[serde(borrow)]
        value: Numbered<'a>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Numbered<'a> {
        #[serde(borrow)]
        run_id: Cow<'a, str>,
        number: u64,
    }
    let text = response::event(message);
    match serde_json::from_str::<Progress<'_>>(message) {
        Ok(Progress { params: Params { value: Numbered { run_id, number } } }) => {
            format!("id: {run_id}/{number}\n{text}")
        }
        Err(_) => text,
    }
}

/// Returns when a client takes nothing of what waits for it. Its calls have been told to end then.
pub(super) async fn watch(client: &Client) {
    let (mut since, mut last) = (Instant::now(), client.backlog());
    loop {
        tokio::time::sleep(WATCH).await;
        let backlog = client.backlog();
        if backlog == 0 || backlog != last {
            (since, last) = (Instant::now(), backlog);
        } else if since.elapsed() >= CLIENT_STALL {
            client.stall(Stall::TookNothing);
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::event;

    #[test]
    fn an_event_of_a_run_says_where_to_continue() {
        let numbered =
            r#"{"method":"$/progress","params":{"token":1,"value":{"type":"textDelta","runId":"r-1","number":7}}}"#;
        assert_eq!(event(numbered), format!("id: r-1/7\ndata: {numbered}\n\n"));
        let answer = r#"{"id":1,"result":{"runId":"r-1"}}"#;
        assert_eq!(event(answer), format!("data: {answer}\n\n"));
    }
}
