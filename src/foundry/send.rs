//! How a request is sent: with a token for a checked host, repeated where that is safe, and read within bounds.

use super::agent::Agent;
use super::answer::{BodyError, HttpAnswer, MAX_ANSWER_BYTES, MAX_ERROR_BYTES, beginning};
use super::connections::{Http, Purpose, Unanswered};
use super::curl::Outgoing;
use super::error::{FoundryError, Operation, ServiceError, request_id};
use super::head::HttpHead;
use super::headers::WireIsolation;
use super::request::Request;
use super::retry::{self, Failure, Next, START_LIMIT, Sending, Tries, next};
use super::route::Route;
use super::url::Address;
use crate::auth::{AccessToken, SCOPE};
use crate::system::proxies::Way;
use bytes::Bytes;
use cupola_protocol::error::Turn;
use cupola_protocol::invoke::{Notice, NoticeCode};
use http::HeaderName;
use serde::de::DeserializeOwned;
use std::time::{Duration, Instant};

/// Longest answer that describes one thing, in bytes: an agent's definition with its instructions is the longest of them.
const MAX_OBJECT_BYTES: usize = 4 * 1024 * 1024;

/// The span that a request is a part of: W3C Trace Context.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

impl Agent {
    /// Sends a request and returns once a success status is there.
    pub(super) async fn send(&self, request: &Request<'_>) -> Result<HttpAnswer, FoundryError> {
        let address = &self.address;
        if !address.covers(&request.url) {
            let reason = "the request leads to another host than its address".to_owned();
            return Err(FoundryError::UnexpectedAnswer { operation: request.operation, reason });
        }
        if address.is_local() && !request.operation.is_turn() {
            return Err(FoundryError::NotLocal);
        }
        let purpose = if request.opens_websocket() { Purpose::WebSocket } else { Purpose::Requests };
        let http = self.shared.connections.http(address, purpose)?;
        let account = address.account();
        let mut token = match account {
            Some(account) => Some(self.shared.tokens.get(account, SCOPE).await?),
            None => None,
        };
        let sending = Sending {
            repeat: request.repeat,
            is_turn: request.operation == Operation::Invoke,
            is_local: address.is_local(),
        };
        // A handshake carries no input: there the turn begins with the first message.
        let carries_input = sending.is_turn && !request.opens_websocket();
        let (mut attempt, mut is_refreshed) = (1, false);
        let began = tokio::time::Instant::now();
        loop {
            if carries_input {
                self.note_turn(Turn::MayHaveRun);
            }
            let (failure, error) = match self.attempt(&http, request, token.as_ref()).await {
                Ok(response) if request.is_success(response.status()) => return Ok(HttpAnswer { response }),
                Ok(response) => self.read_error(request, response).await,
                Err(failed) => match request.unreadable() {
                    Some(error) => return Err(error),
                    None => failed,
                },
            };
            if carries_input {
                self.note_turn(failure.turn());
            }
            let tries = Tries { attempt, waited: began.elapsed(), is_refreshed };
            match next(sending, tries, failure) {
                Next::GiveUp => return Err(error),
                Next::Refresh => {
                    let (Some(account), Some(refused)) = (account, &token) else { return Err(error) };
                    token = Some(self.shared.tokens.refresh(account, SCOPE, refused).await?);
                    is_refreshed = true;
                    continue;
                }
                Next::Wait(wait) => {
                    tracing::debug!(operation = %request.operation, attempt, ?wait, %error, "trying again");
                    if let Some(observer) = &self.extras.observer {
                        let message = retry::notice(wait, &error);
                        observer.tell(Notice { code: NoticeCode::Retried, message }).await;
                    }
                    tokio::time::sleep(wait).await;
                }
                Next::WaitForStart(wait) => {
                    if let (1, Some(observer)) = (attempt, &self.extras.observer) {
                        observer.waiting(not_started(address)).await;
                    }
                    tokio::time::sleep(wait).await;
                }
            }
            attempt += 1;
        }
    }

    /// As [`Self::send`], reading the JSON that describes one thing.
    pub(super) async fn json<T: DeserializeOwned>(&self, request: &Request<'_>) -> Result<T, FoundryError> {
        let odd = |reason: String| FoundryError::UnexpectedAnswer { operation: request.operation, reason };
        let body = self.read(request, MAX_OBJECT_BYTES).await?.map_err(|error| odd(error.to_string()))?;
        serde_json::from_slice(&body).map_err(|error| odd(format!("its JSON cannot be used: {error}")))
    }

    /// As [`Self::send`], reading the whole answer of at most `limit` bytes within [`Settings::call_limit`](super::Settings::call_limit). They are counted as they
    /// are kept, after decompression.
    pub(super) async fn read(
        &self,
        request: &Request<'_>,
        limit: usize,
    ) -> Result<Result<Bytes, BodyError>, FoundryError> {
        let answer = async { Ok(self.send(request).await?.bytes(limit).await) };
        limited(request.operation, self.call_limit(), answer).await
    }

    /// As [`Self::send`], for answers without a body that matters.
    pub(super) async fn done(&self, request: &Request<'_>) -> Result<(), FoundryError> {
        let done = async {
            // The body is read so that the connection can be used again.
            let _ignored = self.send(request).await?.of_the_service(request.operation)?.bytes(MAX_ERROR_BYTES).await;
            Ok(())
        };
        limited(request.operation, self.call_limit(), done).await
    }

    /// Sends it once and returns when the head of the answer is there.
    async fn attempt(
        &self,
        http: &Http,
        request: &Request<'_>,
        token: Option<&AccessToken>,
    ) -> Result<reqwest::Response, (Failure, FoundryError)> {
        let mut headers = request.headers(&self.extras.headers, token, self.wants_raw());
        if let Some(traceparent) = &self.extras.traceparent {
            headers.insert(TRACEPARENT, traceparent.clone());
        }
        if let Some(observer) = &self.extras.observer {
            let body = request.shown_body();
            let outgoing = Outgoing { method: &request.method, url: &request.url, headers: &headers, body };
            observer.request(outgoing, &self.shared.connections.settings).await;
        }
        let mut outgoing = reqwest::Request::new(request.method.clone(), request.url.clone());
        *outgoing.headers_mut() = headers;
        *outgoing.body_mut() = request.outgoing_body();
        let began = Instant::now();
        let result = http.execute(outgoing).await;
        let milliseconds = began.elapsed().as_millis();
        match &result {
            Ok(response) => tracing::debug!(
                method = %request.method, path = request.url.path(), status = response.status().as_u16(), milliseconds,
                request_id = request_id(response.headers()), "asked the service"
            ),
            Err(error) => tracing::debug!(
                method = %request.method, path = request.url.path(), milliseconds, error = error.reason,
                "could not ask the service"
            ),
        }
        result.map_err(|unanswered| self.unanswered(unanswered))
    }

    /// Notes for the caller whether the turn ran, as far as that is known now.
    pub(super) fn note_turn(&self, turn: Turn) {
        if let Some(observer) = &self.extras.observer {
            observer.note_turn(turn);
        }
    }

    pub(super) fn unanswered(&self, Unanswered { failure, reason, fault }: Unanswered) -> (Failure, FoundryError) {
        let mut origin = self.address.origin();
        if let Some(Ok(Route { way: Way::Through { proxy, .. }, .. })) = self.route() {
            origin = format!("{origin} through the proxy {proxy}");
        }
        let error = match (fault, failure) {
            (Some(fault), _) => FoundryError::NotTrusted { origin, fault },
            (None, Failure::NotConnected | Failure::NotTrusted) => FoundryError::NotConnected { origin, reason },
            (None, _) => FoundryError::Interrupted { origin, reason },
        };
        (failure, error)
    }

    /// Reads an error answer, and shows it unmodified to a caller that asked for that.
    async fn read_error(&self, request: &Request<'_>, response: reqwest::Response) -> (Failure, FoundryError) {
        let (head, status, headers) = (HttpHead::of(&response), response.status(), response.headers().clone());
        let raw = self.extras.observer.as_ref().filter(|observer| observer.wants_raw());
        let limit = if raw.is_some() { MAX_ANSWER_BYTES } else { MAX_ERROR_BYTES };
        let body = beginning(response, limit).await;
        let delegated = request.isolation.is_some_and(WireIsolation::is_delegated);
        let error = ServiceError::read(request.operation, delegated, self.address.is_local(), status, &headers, &body);
        if let Some(observer) = raw {
            observer.refusal(head, body).await;
        }
        let &ServiceError { status, kind, speaker, is_named, turn, retry_after, .. } = &error;
        let failure = Failure::Refused { status, kind, speaker, is_named, turn, retry_after };
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
