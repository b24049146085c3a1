//! HTTP to an agent on this machine: paths and bodies pass byte for byte, and nothing is decoded, retried or redirected.

use crate::container::{CallError, StartError, Upgraded};
use axum::body::{Body, HttpBody};
use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderValue, Request, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::error::Error;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// Between two looks at `/readiness`: short against a process's start, long against a loopback round trip.
const READINESS_INTERVAL: Duration = Duration::from_millis(50);

/// One look at `/readiness`. A process that accepts but never answers must not use up the whole wait.
const READINESS_ATTEMPT: Duration = Duration::from_secs(2);

/// Headers that belong to one connection and end at a proxy (RFC 9110, section 7.6.1).
const PER_CONNECTION: [HeaderName; 8] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// In the extensions of an answer without a length: its connection ends in the same way when it is complete and when its agent has
/// crashed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EndsWithConnection;

/// An agent's address and the connection pool to it.
#[derive(Debug, Clone)]
pub(crate) struct Forward {
    /// Scheme, host, port and path prefix, without a slash at the end.
    base: String,
    client: Client<HttpConnector, Body>,
}

impl Forward {
    /// `base` is an `http` URL on loopback.
    pub(crate) fn new(base: &str) -> Result<Self, http::uri::InvalidUri> {
        let base = base.trim_end_matches('/').to_owned();
        base.parse::<Uri>()?;
        let client = Client::builder(TokioExecutor::new())
            // A turn must not be sent twice.
            .retry_canceled_requests(false)
            // A kept connection to an agent that has just ended would turn "gone" into "broken".
            .pool_max_idle_per_host(0)
            .build_http();
        Ok(Self { base, client })
    }

    /// Passes one request on and gives back the answer as it arrives.
    pub(crate) async fn call(&self, mut request: Request<Body>) -> Result<http::Response<Body>, CallError> {
        let path = request.uri().path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        let uri = format!("{}{path}", self.base).parse().map_err(|error| CallError::Broken(format!("{error}")))?;
        *request.uri_mut() = uri;
        let length = request.body().size_hint().exact().filter(|length| *length > 0);
        let headers = request.headers_mut();
        headers.remove(HOST);
        let upgrade = headers.get(UPGRADE).cloned();
        remove_per_connection(headers);
        if let Some(upgrade) = upgrade {
            // The gateway has asked for a WebSocket: this connection is to become one.
            headers.insert(UPGRADE, upgrade);
            headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        }
        if let Some(length) = length {
            headers.insert(CONTENT_LENGTH, length.into());
        }
        let mut answer = self.client.request(request).await.map_err(|error| call_error(&error))?.map(Body::new);
        if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
            let connection = hyper::upgrade::on(&mut answer).await;
            let connection = connection.map_err(|error| CallError::Broken(error.to_string()))?;
            answer.extensions_mut().insert(Upgraded::new(TokioIo::new(connection)));
        }
        let is_framed = [CONTENT_LENGTH, TRANSFER_ENCODING].iter().any(|name| answer.headers().contains_key(name));
        if !is_framed && answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            answer.extensions_mut().insert(EndsWithConnection);
        }
        remove_per_connection(answer.headers_mut());
        Ok(answer)
    }

    /// Waits until `GET /readiness` is answered with a status that `accept`s.
    pub(crate) async fn ready(
        &self,
        within: Duration,
        accept: impl Fn(StatusCode) -> bool + Send,
    ) -> Result<(), StartError> {
        let deadline = Instant::now() + within;
        loop {
            let request = Request::get("/readiness").body(Body::empty()).map(|request| self.call(request));
            if let Ok(request) = request
                && let Ok(Ok(answer)) = timeout(READINESS_ATTEMPT, request).await
                && accept(answer.status())
            {
                return Ok(());
            }
            if Instant::now() + READINESS_INTERVAL > deadline {
                return Err(StartError::NotReady { seconds: within.as_secs() });
            }
            tokio::time::sleep(READINESS_INTERVAL).await;
        }
    }
}

fn remove_per_connection(headers: &mut HeaderMap) {
    for name in PER_CONNECTION {
        headers.remove(name);
    }
}

fn call_error(error: &hyper_util::client::legacy::Error) -> CallError {
    // The outermost message only says "client error (Connect)"; the cause says why.
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        message = cause.to_string();
        source = cause.source();
    }
    if error.is_connect() { CallError::Gone(message) } else { CallError::Broken(message) }
}
