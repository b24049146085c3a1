//! One answer of the service: its head, read, and its body, read within bounds.

use super::connections::innermost;
use super::error::{FoundryError, Operation, request_id};
use super::meter::{Excess, Meter};
use bytes::{Bytes, BytesMut};
use cupola_protocol::id::SessionId;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use http::StatusCode;
use std::time::Duration;

/// Longest answer to a turn that is read whole, in bytes. A response object with long tool outputs is a few MiB.
pub(super) const MAX_ANSWER_BYTES: usize = 32 * 1024 * 1024;

/// How much is read of an error answer, in bytes. Only a bounded part of its message is passed on.
pub(super) const MAX_ERROR_BYTES: usize = 64 * 1024;

/// How long the body of an error answer is waited for. Its head says that and mostly why the call failed.
const ERROR_BODY_LIMIT: Duration = Duration::from_secs(10);

/// An answer with a success status whose body is still to come.
pub(super) struct HttpAnswer {
    pub(super) response: reqwest::Response,
}

/// Why a body could not be read whole.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    #[error(transparent)]
    TooMuch(Excess),
    #[error("{}", innermost(.0))]
    Broken(reqwest::Error),
}

impl HttpAnswer {
    pub(super) fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// A header's text; `None` when it is missing, empty or no text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name).and_then(|value| value.to_str().ok()).filter(|value| !value.is_empty())
    }

    pub(super) fn request_id(&self) -> Option<String> {
        request_id(self.response.headers())
    }

    /// The session that answers (contract section 1.6); one that breaks the rule of session ids is ignored.
    pub(super) fn session_id(&self) -> Option<SessionId> {
        self.header("x-agent-session-id").and_then(|id| id.parse().ok())
    }

    pub(super) fn is_events(&self) -> bool {
        self.content_type().is_some_and(|kind| kind == "text/event-stream")
    }

    pub(super) fn is_json(&self) -> bool {
        self.content_type().is_some_and(|kind| kind == "application/json" || kind.ends_with("+json"))
    }

    /// Refuses a page: a proxy's "200, sign in to the network" must not count as done. The service answers without a body or
    /// with JSON where nothing is asked for.
    pub(super) fn of_the_service(self, operation: Operation) -> Result<Self, FoundryError> {
        if self.content_type().is_some_and(|kind| kind == "text/html") {
            let reason = "it is an HTML page, perhaps of a proxy".to_owned();
            return Err(FoundryError::UnexpectedAnswer { operation, reason });
        }
        Ok(self)
    }

    fn content_type(&self) -> Option<String> {
        self.header("content-type")
            .and_then(|value| value.split(';').next())
            .map(|kind| kind.trim().to_ascii_lowercase())
    }

    /// The body as it comes. An error says how the connection broke.
    pub(super) fn body(self) -> BoxStream<'static, Result<Bytes, String>> {
        self.response.bytes_stream().map_err(|error| innermost(&error)).boxed()
    }

    /// The whole body.
    pub(super) async fn bytes(self, limit: usize) -> Result<Bytes, BodyError> {
        collect(self.response, limit).await
    }
}

async fn collect(mut response: reqwest::Response, limit: usize) -> Result<Bytes, BodyError> {
    let (mut body, mut meter) = (BytesMut::new(), Meter::new(limit as u64));
    while let Some(piece) = response.chunk().await.map_err(BodyError::Broken)? {
        meter.take(piece.len()).map_err(BodyError::TooMuch)?;
        body.extend_from_slice(&piece);
    }
    Ok(body.freeze())
}

/// What comes of an error's body before it ends, breaks, takes too long or is longer than `limit`.
pub(super) async fn beginning(mut response: reqwest::Response, limit: usize) -> Bytes {
    let mut body = BytesMut::new();
    let reading = async {
        while let Ok(Some(piece)) = response.chunk().await {
            let room = limit - body.len();
            body.extend_from_slice(piece.get(..room).unwrap_or(&piece));
            if piece.len() >= room {
                break;
            }
        }
    };
    let _in_time = tokio::time::timeout(ERROR_BODY_LIMIT, reading).await;
    body.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::{Stream, stream};

    fn response(pieces: impl Stream<Item = &'static str> + Send + 'static) -> reqwest::Response {
        http::Response::new(reqwest::Body::wrap_stream(pieces.map(Ok::<_, std::io::Error>))).into()
    }

    #[tokio::test]
    async fn an_answer_is_read_whole_or_not_at_all() {
        assert_eq!(collect(response(stream::iter(["ab", "cd"])), 4).await.unwrap(), "abcd");
        let error = collect(response(stream::repeat("ab")), 1000).await.unwrap_err();
        assert_eq!(error.to_string(), "it is longer than 1000 bytes");
        // No bytes at all, but never an end.
        let error = collect(response(stream::repeat("x")), usize::MAX).await.unwrap_err();
        assert!(error.to_string().contains("tiny pieces"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_errors_body_is_read_as_far_as_it_comes() {
        assert_eq!(beginning(response(stream::repeat("abc")), 10).await, "abcabcabca");
        assert_eq!(beginning(response(stream::iter(["ab"])), 10).await, "ab");
        assert_eq!(beginning(response(stream::iter(["ab"]).chain(stream::pending())), 10).await, "ab");
    }
}
