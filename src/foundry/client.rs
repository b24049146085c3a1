//! One request to the service: a token for a checked host, retries, one fresh token on 401, bounded answers.

use super::cache::ExpiringCache;
use super::connections::{Http, Pool, Purpose, Settings, Unanswered, innermost};
use super::content::Content;
use super::definition::Definition;
use super::error::{FoundryError, Operation, ServiceError, request_id};
use super::headers::WireIsolation;
use super::meter::{Excess, Meter};
use super::observe::{Body, HttpHead, Outgoing, Watcher};
use super::retry::{Failure, Repeat, START_LIMIT, pause, start_pause};
use super::url::{Address, AllowedHosts};
use crate::auth::{AccessToken, SCOPE, Tokens};
use bytes::{Bytes, BytesMut};
use cupola_protocol::id::SessionId;
use cupola_protocol::invoke::{Notice, NoticeCode};
use http::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_VERSION, UPGRADE, USER_AGENT,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::{Duration, Instant};
use url::Url;

/// How long a call other than a turn may take, all its attempts together. Creating a session waits for a sandbox.
pub(super) const CALL_LIMIT: Duration = Duration::from_mins(2);

/// Longest answer to a turn that is read whole, in bytes. A response object with long tool outputs is a few MiB.
pub(super) const MAX_ANSWER_BYTES: usize = 32 * 1024 * 1024;

/// Longest answer that describes one thing, in bytes: an agent's definition with its instructions is the longest of them.
const MAX_OBJECT_BYTES: usize = 4 * 1024 * 1024;

/// As much is read of an error answer, in bytes; only a bounded part of its message is passed on.
const MAX_ERROR_BYTES: usize = 64 * 1024;

/// How long the body of an error answer is waited for. Its head says that and mostly why the call failed.
const ERROR_BODY_LIMIT: Duration = Duration::from_secs(10);

pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");
const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");
pub(super) const TEXT: HeaderValue = HeaderValue::from_static("text/plain");
/// A turn: events if the agent streams, else whatever it has.
pub(super) const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream, application/json, */*;q=0.5");
const PROGRAM: HeaderValue = HeaderValue::from_static(concat!("cupola/", env!("CARGO_PKG_VERSION")));
/// A log: events only.
const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream");
const IDENTITY_ENCODING: HeaderValue = HeaderValue::from_static("identity");
static NOTHING: Bytes = Bytes::new();

pub(super) struct Client {
    pool: Arc<Pool>,
    extras: Extras,
}

/// What one caller adds to its requests, and wants to see of them.
#[derive(Debug, Clone, Default)]
pub struct Extras {
    /// Headers of the turn itself, from [`super::turn_headers`]. Those we set win.
    pub headers: HeaderMap,
    /// Who looks on.
    pub watcher: Option<Watcher>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Client").field("settings", &self.pool.settings).finish_non_exhaustive()
    }
}

/// One request.
pub(super) struct Call<'a> {
    operation: Operation,
    method: Method,
    url: Url,
    isolation: Option<&'a WireIsolation>,
    with_ownership: bool,
    /// One that only this kind of call has.
    header: Option<(HeaderName, HeaderValue)>,
    body: Option<(HeaderValue, Payload)>,
    /// The handshake's key, if the connection is to become a WebSocket: only 101 is success then.
    websocket: Option<HeaderValue>,
    repeat: Repeat,
}

/// What a request carries.
enum Payload {
    Whole(Bytes),
    Streamed(Content),
}

impl<'a> Call<'a> {
    pub(super) fn new(operation: Operation, method: Method, url: Url) -> Self {
        // By what the call does: a POST that makes something may make it twice.
        let repeat = match operation {
            Operation::CreateSession | Operation::CreateConversation | Operation::MakeDirectory | Operation::Invoke => {
                Repeat::Harmful
            }
            _ => Repeat::Harmless,
        };
        Self {
            operation,
            method,
            url,
            isolation: None,
            with_ownership: false,
            header: None,
            body: None,
            websocket: None,
            repeat,
        }
    }

    pub(super) fn isolated(self, isolation: &'a WireIsolation) -> Self {
        Self { isolation: Some(isolation), ..self }
    }

    pub(super) fn with_ownership(self) -> Self {
        Self { with_ownership: true, ..self }
    }

    pub(super) fn header(self, header: (HeaderName, HeaderValue)) -> Self {
        Self { header: Some(header), ..self }
    }

    pub(super) fn body(self, content_type: HeaderValue, body: impl Into<Bytes>) -> Self {
        Self { body: Some((content_type, Payload::Whole(body.into()))), ..self }
    }

    /// Sends content that is read again for every attempt.
    pub(super) fn content(self, content: Content) -> Self {
        Self { body: Some((OCTETS, Payload::Streamed(content))), ..self }
    }

    /// Asks for a WebSocket. Whoever does must look whether the answer's 101 was given to this key.
    pub(super) fn websocket(self, key: HeaderValue) -> Self {
        Self { websocket: Some(key), ..self }
    }

    fn is_success(&self, status: StatusCode) -> bool {
        match self.websocket {
            Some(_) => status == StatusCode::SWITCHING_PROTOCOLS,
            None => status.is_success(),
        }
    }

    /// Why what was to be sent could not be read.
    fn unreadable(&self) -> Option<FoundryError> {
        match &self.body {
            Some((_, Payload::Streamed(content))) => content.failure().map(FoundryError::Content),
            _ => None,
        }
    }
}

/// An answer with a success status whose body is still to come.
pub(super) struct Answer {
    pub(super) response: reqwest::Response,
    pub(super) notices: Vec<Notice>,
}

/// Why a body could not be read whole.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    #[error(transparent)]
    TooMuch(Excess),
    #[error("{}", innermost(.0))]
    Broken(reqwest::Error),
}

impl Client {
    pub(super) fn new(settings: Settings, tokens: Arc<Tokens>) -> Self {
        Self { pool: Arc::new(Pool::new(settings, tokens)), extras: Extras::default() }
    }

    /// The same connections and tokens, for one caller.
    pub(super) fn with(&self, extras: Extras) -> Self {
        Self { pool: Arc::clone(&self.pool), extras }
    }

    pub(super) fn tokens(&self) -> &Tokens {
        &self.pool.tokens
    }

    pub(super) fn cards(&self) -> &ExpiringCache<Url, bool> {
        &self.pool.cards
    }

    pub(super) fn definitions(&self) -> &ExpiringCache<Url, Definition> {
        &self.pool.definitions
    }

    pub(super) fn allowed_hosts(&self) -> &AllowedHosts {
        &self.pool.settings.allowed_hosts
    }

    /// Does the caller want answers unmodified?
    pub(super) fn wants_raw(&self) -> bool {
        self.extras.watcher.as_ref().is_some_and(Watcher::wants_raw)
    }

    /// Who looks on.
    pub(super) fn watcher(&self) -> Option<&Watcher> {
        self.extras.watcher.as_ref()
    }

    /// Sends a call and returns once a success status is there.
    pub(super) async fn send(&self, address: &Address, call: &Call<'_>) -> Result<Answer, FoundryError> {
        if !address.covers(&call.url) {
            let reason = "the request leads to another host than its address".to_owned();
            return Err(FoundryError::UnexpectedAnswer { operation: call.operation, reason });
        }
        if address.is_local() && !call.operation.is_turn() {
            return Err(FoundryError::NotLocal);
        }
        let purpose = if call.websocket.is_some() { Purpose::WebSocket } else { Purpose::Requests };
        let client = self.pool.http(address, purpose)?;
        let account = address.account();
        let mut token = match account {
            Some(account) => Some(self.pool.tokens.get(account, SCOPE).await?),
            None => None,
        };
        let mut is_refreshed = false;
        let mut notices = Vec::new();
        let mut attempt = 1;
        let began = tokio::time::Instant::now();
        loop {
            let (failure, error) = match self.once(&client, address, call, token.as_ref()).await {
                Ok(response) if call.is_success(response.status()) => return Ok(Answer { response, notices }),
                Ok(response) => match (account, &token) {
                    (Some(account), Some(refused))
                        if response.status() == StatusCode::UNAUTHORIZED && !is_refreshed =>
                    {
                        drop(response);
                        token = Some(self.pool.tokens.refresh(account, SCOPE, refused).await?);
                        is_refreshed = true;
                        continue;
                    }
                    _ => self.read_error(call, response).await,
                },
                Err(failed) => match call.unreadable() {
                    Some(error) => return Err(error),
                    None => failed,
                },
            };
            if address.is_local() && call.operation == Operation::Invoke && failure == Failure::NotConnected {
                let Some(wait) = start_pause(attempt, began.elapsed()) else { return Err(error) };
                if let (1, Some(watcher)) = (attempt, &self.extras.watcher) {
                    watcher.waiting(not_started(address)).await;
                }
                tokio::time::sleep(wait).await;
                attempt += 1;
                continue;
            }
            let Some(wait) = pause(call.repeat, attempt, failure) else { return Err(error) };
            tracing::debug!(operation = %call.operation, attempt, ?wait, %error, "trying again");
            notices.push(Notice { code: NoticeCode::Retried, message: format!("tried again: {error}") });
            tokio::time::sleep(wait).await;
            attempt += 1;
        }
    }

    /// As [`Self::send`], reading the JSON that describes one thing.
    pub(super) async fn json<T: DeserializeOwned>(
        &self,
        address: &Address,
        call: &Call<'_>,
    ) -> Result<T, FoundryError> {
        let odd = |reason: String| FoundryError::UnexpectedAnswer { operation: call.operation, reason };
        let body = self.read(address, call, MAX_OBJECT_BYTES).await?.map_err(|error| odd(error.to_string()))?;
        serde_json::from_slice(&body).map_err(|error| odd(format!("its JSON cannot be used: {error}")))
    }

    /// As [`Self::send`], reading the whole answer of at most `limit` bytes within [`CALL_LIMIT`]. They are counted as they
    /// are kept, after decompression.
    pub(super) async fn read(
        &self,
        address: &Address,
        call: &Call<'_>,
        limit: usize,
    ) -> Result<Result<Bytes, BodyError>, FoundryError> {
        let answer = async { Ok(self.send(address, call).await?.bytes(limit).await) };
        limited(call.operation, CALL_LIMIT, answer).await
    }

    /// As [`Self::send`], for answers without a body that matters.
    pub(super) async fn done(&self, address: &Address, call: &Call<'_>) -> Result<(), FoundryError> {
        let done = async {
            // The body is read so that the connection can be used again.
            let _ignored = self.send(address, call).await?.bytes(MAX_ERROR_BYTES).await;
            Ok(())
        };
        limited(call.operation, CALL_LIMIT, done).await
    }

    async fn once(
        &self,
        client: &Http,
        address: &Address,
        call: &Call<'_>,
        token: Option<&AccessToken>,
    ) -> Result<reqwest::Response, (Failure, FoundryError)> {
        let mut headers =
            if call.operation == Operation::Invoke { self.extras.headers.clone() } else { HeaderMap::with_capacity(8) };
        headers.insert(USER_AGENT, PROGRAM);
        if let Some((name, value)) = &call.header {
            headers.insert(name, value.clone());
        }
        if let Some(token) = token {
            headers.insert(AUTHORIZATION, token.authorization());
        }
        if let Some(isolation) = call.isolation {
            isolation.apply(&mut headers);
            if call.with_ownership {
                isolation.apply_ownership(&mut headers);
            }
        }
        // Compressed, an event stream arrives in lumps, and a file's bytes are not as many as it has.
        let (accept, is_verbatim) = match call.operation {
            Operation::Invoke => (EVENTS, true),
            Operation::ReadLog => (EVENT_STREAM, true),
            Operation::DownloadFile => (OCTETS, true),
            // The last answer of a long-running invocation is shown as it came.
            Operation::PollInvocation => (JSON, self.wants_raw()),
            _ => (JSON, false),
        };
        headers.insert(ACCEPT, accept);
        if is_verbatim {
            headers.insert(ACCEPT_ENCODING, IDENTITY_ENCODING);
        }
        if let Some(key) = &call.websocket {
            headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
            headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            headers.insert(SEC_WEBSOCKET_KEY, key.clone());
        }
        let mut request = reqwest::Request::new(call.method.clone(), call.url.clone());
        if let Some((content_type, body)) = &call.body {
            headers.insert(CONTENT_TYPE, content_type.clone());
            *request.body_mut() = Some(match body {
                Payload::Whole(body) => body.clone().into(),
                Payload::Streamed(content) => {
                    headers.insert(CONTENT_LENGTH, content.length().into());
                    content.body()
                }
            });
        } else if call.method == Method::POST {
            // Some servers insist on a length.
            *request.body_mut() = Some(Bytes::new().into());
        }
        if let Some(watcher) = &self.extras.watcher {
            let body = match &call.body {
                Some((_, Payload::Whole(body))) => Body::Bytes(body),
                Some((_, Payload::Streamed(content))) => content.source().map_or(Body::None, Body::File),
                None if call.method == Method::POST => Body::Bytes(&NOTHING),
                None => Body::None,
            };
            let request = Outgoing { method: &call.method, url: &call.url, headers: &headers, body };
            watcher.request(request, &self.pool.settings).await;
        }
        let began = Instant::now();
        *request.headers_mut() = headers;
        let result = client.execute(request).await;
        let milliseconds = began.elapsed().as_millis();
        match &result {
            Ok(response) => tracing::debug!(
                method = %call.method, path = call.url.path(), status = response.status().as_u16(), milliseconds,
                request_id = request_id(response.headers()), "asked the service"
            ),
            Err(error) => tracing::debug!(
                method = %call.method, path = call.url.path(), milliseconds, error = error.reason,
                "could not ask the service"
            ),
        }
        result.map_err(|Unanswered { failure, reason, fault }| {
            let origin = address.origin();
            let error = match (fault, failure) {
                (Some(fault), _) => FoundryError::NotTrusted { origin, fault },
                (None, Failure::NotConnected | Failure::NotTrusted) => FoundryError::NotConnected { origin, reason },
                (None, _) => FoundryError::Interrupted { origin, reason },
            };
            (failure, error)
        })
    }

    /// Reads an error answer, and shows it to whoever wants it unmodified.
    async fn read_error(&self, call: &Call<'_>, response: reqwest::Response) -> (Failure, FoundryError) {
        let (head, status, headers) = (HttpHead::of(&response), response.status(), response.headers().clone());
        let raw = self.extras.watcher.as_ref().filter(|watcher| watcher.wants_raw());
        let limit = if raw.is_some() { MAX_ANSWER_BYTES } else { MAX_ERROR_BYTES };
        let body = beginning(response, limit).await;
        let delegated = call.isolation.is_some_and(WireIsolation::is_delegated);
        let error = ServiceError::read(call.operation, delegated, status, &headers, &body);
        if let Some(watcher) = raw {
            watcher.refusal(head, body).await;
        }
        let failure = Failure::Status { status: error.status, kind: error.kind, retry_after: error.retry_after };
        (failure, FoundryError::Service(Box::new(error)))
    }
}

pub(super) async fn limited<T>(
    operation: Operation,
    limit: Duration,
    work: impl Future<Output = Result<T, FoundryError>>,
) -> Result<T, FoundryError> {
    tokio::time::timeout(limit, work).await.unwrap_or(Err(FoundryError::TimedOut { operation, after: limit }))
}

fn not_started(address: &Address) -> Notice {
    let message = format!(
        "nothing listens at {} yet; waiting up to {} s for the local agent to start",
        address.origin(),
        START_LIMIT.as_secs()
    );
    Notice { code: NoticeCode::WaitingForAgent, message }
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
async fn beginning(mut response: reqwest::Response, limit: usize) -> Bytes {
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

impl Answer {
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

    fn content_type(&self) -> Option<String> {
        self.header("content-type")
            .and_then(|value| value.split(';').next())
            .map(|kind| kind.trim().to_ascii_lowercase())
    }

    /// The whole body.
    pub(super) async fn bytes(self, limit: usize) -> Result<Bytes, BodyError> {
        collect(self.response, limit).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::{Stream, StreamExt as _, stream};

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
