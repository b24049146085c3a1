//! What the gateway sends over HTTP besides the answers of calls: refusals, health, and the headers that every answer has.

use super::limits::Left;
use crate::error::CallError;
use crate::inbound::connection::http::response::{Body, response};
use crate::rpc::message::CallId;
use cupola_protocol::error::ErrorKind;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, CACHE_CONTROL, RETRY_AFTER, VARY, WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use hyper::Response;

const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");

/// Why a request is not taken, before any call is looked at.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) error: CallError,
}

impl Refusal {
    pub(super) fn because(status: StatusCode, kind: ErrorKind, message: impl Into<String>, hint: &'static str) -> Self {
        Self { status, error: CallError::new(kind, message).hint(hint) }
    }

    /// Nobody was proven.
    pub(super) fn unproven(message: impl Into<String>) -> Self {
        let hint =
            "send Authorization: Bearer TOKEN, with a token that your identity provider has issued for this gateway";
        Self::because(StatusCode::UNAUTHORIZED, ErrorKind::AuthenticationFailed, message, hint)
    }
}

/// A refusal, as the error response of no call.
pub(super) fn refused(refusal: Refusal) -> Response<Body> {
    let mut response = response(refusal.status, "application/json", CallId::null().refuse(refusal.error));
    if refusal.status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer error=\"invalid_token\""));
    }
    if refusal.status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// A few words for a probe.
pub(super) fn words(status: StatusCode, text: &str) -> Response<Body> {
    response(status, "text/plain; charset=utf-8", format!("{text}\n"))
}

/// What a browser asks before a page of a listed origin may call.
pub(super) fn preflight() -> Response<Body> {
    let mut response = words(StatusCode::OK, "ok");
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, PUT"));
    headers.insert(
        ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static("authorization, content-type, accept, last-event-id, cupola-session, cupola-chat"),
    );
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    response
}

/// Adds what every answer has. Answers are one caller's own, so nothing on the way may keep them.
pub(super) fn seal(headers: &mut HeaderMap, origin: Option<HeaderValue>) {
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = origin {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("cupola-session"));
    }
}

/// Adds what a caller has left.
pub(super) fn tell_limits(headers: &mut HeaderMap, left: Left) {
    headers.insert(LIMIT, left.limit.into());
    headers.insert(REMAINING, left.remaining.into());
    headers.insert(RESET, left.reset.into());
}
