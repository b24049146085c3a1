//! A container's answer on its way to the client: the bytes unchanged, the session kept awake until the last of them.

use super::record::Recorder;
use crate::error::ApiError;
use crate::session::Lease;
use axum::body::{Body, HttpBody};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::Response;
use http::header::CONTENT_TYPE;
use hyper::body::{Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll};

/// Largest JSON answer read whole before it is passed on. Agents' answers are far smaller; this only bounds memory.
const MAX_JSON_ANSWER: usize = 64 * 1024 * 1024;

/// A body that holds its session's lease and shows a recorder what passes.
struct Watched {
    body: Body,
    recorder: Option<Recorder>,
    /// What is done before the frame passes.
    finishing: Option<(BoxFuture<'static, ()>, Frame<Bytes>)>,
    _lease: Lease,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        if this.finishing.is_none() {
            let frame = std::task::ready!(Pin::new(&mut this.body).poll_frame(context));
            // Before the client sees the bytes: it may ask for what they name at once.
            let turn = match (&frame, &mut this.recorder) {
                (Some(Ok(frame)), Some(recorder)) => frame.data_ref().and_then(|data| recorder.stream(data)),
                _ => None,
            };
            match (frame, turn) {
                (Some(Ok(frame)), Some(turn)) => this.finishing = Some((Box::pin(turn.add()), frame)),
                (frame, _) => return Poll::Ready(frame),
            }
        }
        if let Some((finish, _)) = &mut this.finishing {
            std::task::ready!(finish.as_mut().poll(context));
        }
        Poll::Ready(this.finishing.take().map(|(_, frame)| Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.finishing.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Passes an answer through as it comes.
pub(super) fn pass(response: Response<Body>, lease: Lease) -> Response<Body> {
    watch(response, lease, None)
}

/// Passes a responses answer through and notes its id and items: event streams as they come, JSON once it is whole.
pub(super) async fn pass_recorded(
    response: Response<Body>,
    lease: Lease,
    recorder: Recorder,
) -> Result<Response<Body>, ApiError> {
    let event_stream =
        response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
    if event_stream {
        return Ok(watch(response, lease, Some(recorder)));
    }
    let (parts, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, MAX_JSON_ANSWER).await.map_err(|error| {
        ApiError::new(
            http::StatusCode::BAD_GATEWAY,
            "bad_gateway",
            format!("The agent's answer was interrupted: {error}."),
        )
    })?;
    if parts.status.is_success()
        && let Some(turn) = recorder.whole(&bytes)
    {
        turn.add().await;
    }
    Ok(Response::from_parts(parts, Body::from(bytes)))
}

fn watch(response: Response<Body>, lease: Lease, recorder: Option<Recorder>) -> Response<Body> {
    response.map(|body| Body::new(Watched { body, recorder, finishing: None, _lease: lease }))
}
