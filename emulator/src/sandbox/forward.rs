//! HTTP to an agent on this machine: bodies stream both ways, nothing is decoded, retried or redirected.

use crate::container::{CallError, StartError, Upgraded};
use axum::body::{Body, HttpBody};
use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderValue, StatusCode};
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

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

/// An agent's address and the connection pool to it.
#[derive(Debug, Clone)]
pub(crate) struct Forward {
    /// Scheme, host, port and path prefix, without a slash at the end.
    base: String,
    client: reqwest::Client,
}

impl Forward {
    /// `base` is an `http` URL on loopback.
    pub(crate) fn new(base: &str) -> Result<Self, reqwest::Error> {
        let mut builder = reqwest::Client::builder()
            // A proxy from the environment must never see a session's traffic.
            .no_proxy()
            .no_gzip()
            .http1_only()
            .redirect(reqwest::redirect::Policy::none())
            // A kept connection to an agent that has just ended would turn "gone" into "broken".
            .pool_max_idle_per_host(0);
        if let Some(tls) = no_tls() {
            builder = builder.tls_backend_preconfigured(tls);
        }
        Ok(Self { base: base.trim_end_matches('/').to_owned(), client: builder.build()? })
    }

    /// Passes one request on and gives back the answer as it arrives.
    pub(crate) async fn call(&self, request: http::Request<Body>) -> Result<http::Response<Body>, CallError> {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        let mut headers = parts.headers;
        headers.remove(HOST);
        let upgrade = headers.get(UPGRADE).cloned();
        remove_per_connection(&mut headers);
        if let Some(upgrade) = upgrade {
            // The gateway has asked for a WebSocket: this connection is to become one.
            headers.insert(UPGRADE, upgrade);
            headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        }
        let mut request = self.client.request(parts.method, format!("{}{path}", self.base));
        let length = body.size_hint().exact();
        if length != Some(0) {
            if let Some(length) = length {
                // A streamed body loses its length, which some agents need.
                headers.insert(CONTENT_LENGTH, length.into());
            }
            request = request.body(reqwest::Body::wrap_stream(body.into_data_stream()));
        }
        let answer = request.headers(headers).send().await.map_err(|error| call_error(&error))?;
        if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
            return switched(answer).await;
        }
        let mut answer = http::Response::<reqwest::Body>::from(answer).map(Body::new);
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
            let attempt = self.client.get(format!("{}/readiness", self.base)).timeout(READINESS_ATTEMPT).send().await;
            if attempt.is_ok_and(|answer| accept(answer.status())) {
                return Ok(());
            }
            if Instant::now() + READINESS_INTERVAL > deadline {
                return Err(StartError::NotReady { seconds: within.as_secs() });
            }
            tokio::time::sleep(READINESS_INTERVAL).await;
        }
    }
}

/// A 101 answer and the connection behind it.
async fn switched(answer: reqwest::Response) -> Result<http::Response<Body>, CallError> {
    let mut switched = http::Response::new(Body::empty());
    *switched.status_mut() = answer.status();
    *switched.headers_mut() = answer.headers().clone();
    remove_per_connection(switched.headers_mut());
    let connection = answer.upgrade().await.map_err(|error| call_error(&error))?;
    switched.extensions_mut().insert(Upgraded::new(connection));
    Ok(switched)
}

/// reqwest wants a TLS configuration although only `http` is spoken here, and takes it from the process unless given
/// one: an emulator inside another program must not depend on what that program set up.
fn no_tls() -> Option<rustls::ClientConfig> {
    rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .ok()
        .map(|builder| builder.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth())
}

fn remove_per_connection(headers: &mut HeaderMap) {
    for name in PER_CONNECTION {
        headers.remove(name);
    }
}

fn call_error(error: &reqwest::Error) -> CallError {
    // The outermost message only says "error sending request"; the cause says why.
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        message = cause.to_string();
        source = cause.source();
    }
    if error.is_connect() { CallError::Gone(message) } else { CallError::Broken(message) }
}
