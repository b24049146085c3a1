//! Which request is taken, and what becomes of it: the only place that looks at a request's head.
//!
//! Who calls is proven by a bearer token or by the connection's certificate, and by nothing else: no other header and no part of the URL
//! says whose state is meant.

use super::answers::{self, Refusal, refused, seal, words};
use super::caller::{Caller, NoCaller};
use super::connection::Connection;
use super::exchange::{Answers, exchange};
use super::files::{self, Sent, whole};
use super::issuers::NoProof;
use super::token::TokenFault;
use super::websocket;
use crate::inbound::connection::http::body;
use crate::inbound::connection::http::response::Body;
use crate::rpc::proven::Proven;
use bytes::Bytes;
use cupola_protocol::error::ErrorKind;
use cupola_protocol::files::RemotePath;
use cupola_protocol::headers::TraceParent;
use cupola_protocol::id::RunId;
use cupola_protocol::target::AgentName;
use http::header::{
    ACCEPT, AUTHORIZATION, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, ORIGIN,
    SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::{Request, Response};
use percent_encoding::percent_decode_str;
use std::borrow::Cow;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// Where a browser or a program continues a stream of events.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// What follows the version in `traceparent`: the ids of the trace and the span and the flags, each after a dash.
const TRACEPARENT_REST: usize = 53;
/// The span that a request is part of.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// How long what a certificate has proven counts: its own end is looked at when the next connection is made.
const CERTIFICATE_FOR: Duration = Duration::from_hours(1);

/// What a path means.
#[derive(Debug, PartialEq, Eq)]
enum Route {
    /// Is the process there?
    Health,
    /// Can calls be served?
    Readiness,
    /// JSON-RPC, for the agent that the path names.
    Rpc(Option<AgentName>),
    /// The events of a run.
    Events(Option<AgentName>, RunId),
    /// A file of a session.
    File(Option<AgentName>, RemotePath),
}

/// Answers one request. Every answer passes here once, so this is where requests are counted.
pub(super) async fn answer(
    connection: Arc<Connection>,
    request: Request<Incoming>,
) -> Result<Response<Sent>, Infallible> {
    let began = Instant::now();
    let method = request.method().clone();
    let allowed = allowed_origin(&connection, request.headers());
    let (mut response, origin) = match allowed {
        Ok(origin) => (take(&connection, request).await.unwrap_or_else(|refusal| whole(refused(refusal))), origin),
        Err(refusal) => (whole(refused(refusal)), None),
    };
    seal(response.headers_mut(), origin);
    let milliseconds = began.elapsed().as_secs_f64() * 1e3;
    tracing::debug!(conn = connection.number, %method, status = response.status().as_u16(), milliseconds, "answered");
    Ok(response)
}

/// The origin of a page, if it is listed. Requests of other pages are refused: certificates go along with them without being asked.
fn allowed_origin(connection: &Connection, headers: &HeaderMap) -> Result<Option<HeaderValue>, Refusal> {
    let mut origins = headers.get_all(ORIGIN).iter();
    let Some(origin) = origins.next() else { return Ok(None) };
    let is_listed = |listed: &String| origin.as_bytes() == listed.as_bytes();
    if origins.next().is_some() || !connection.gateway.settings.origins.iter().any(is_listed) {
        return Err(Refusal::because(
            StatusCode::FORBIDDEN,
            ErrorKind::Forbidden,
            "requests of web pages of this origin are not served",
            "add the origin to origins in [gateway] if its pages may call",
        ));
    }
    Ok(Some(origin.clone()))
}

async fn take(connection: &Arc<Connection>, mut request: Request<Incoming>) -> Result<Response<Sent>, Refusal> {
    let route = route(request.uri().path(), request.uri().query())?;
    let gateway = &connection.gateway;
    let (agent, run, file) = match route {
        Route::Health => return Ok(whole(words(StatusCode::OK, "ok"))),
        Route::Readiness => {
            let found = gateway.readiness.look(&gateway.daemon, &gateway.issuers, &gateway.settings).await;
            let (status, reason) = found.map_or_else(
                |reason| (StatusCode::SERVICE_UNAVAILABLE, reason),
                |()| (StatusCode::OK, "ready".to_owned()),
            );
            return Ok(whole(words(status, &reason)));
        }
        Route::Rpc(agent) => (agent, None, None),
        Route::Events(agent, run) => (agent, Some(run), None),
        Route::File(agent, path) => (agent, None, Some(path)),
    };
    if request.method() == Method::OPTIONS && request.headers().contains_key(ORIGIN) {
        return Ok(whole(answers::preflight()));
    }
    let caller = prove(connection, request.headers()).await?;
    let meter = gateway.limits.of(caller.id);
    let proven = Proven::new(Arc::clone(&caller.agents), agent, Arc::clone(&meter) as Arc<_>);
    // The same answer whether it does not exist or is not granted.
    let proven = proven.ok_or_else(|| {
        let hint = "check the name in the URL, or ask the gateway's operator for a grant";
        Refusal::because(StatusCode::FORBIDDEN, ErrorKind::Forbidden, "no such agent was granted to you", hint)
    })?;
    if gateway.daemon.shutdown.is_draining() {
        let hint = "send it again: another gateway serves it, or this one after its start";
        let (status, kind) = (StatusCode::SERVICE_UNAVAILABLE, ErrorKind::ShuttingDown);
        return Err(Refusal::because(status, kind, "the gateway is stopping", hint));
    }
    if let Some(path) = file {
        if !matches!(*request.method(), Method::GET | Method::PUT) {
            return Err(wrong_method("GET or PUT"));
        }
        return Ok(files::serve(connection, &caller, proven, &meter, &path, request).await);
    }
    if let Some(run) = run {
        if request.method() != Method::GET {
            return Err(wrong_method("GET"));
        }
        let message = attach(&run, request.headers())?;
        let room = gateway.daemon.input.room();
        return Ok(whole(exchange(connection, &caller, proven, &meter, Answers::Events, None, message, room).await));
    }
    if request.method() == Method::GET {
        let Some(place) = meter.socket() else {
            let hint = "close one that you no longer need";
            let message = "too many WebSockets of yours are open";
            return Err(Refusal::because(StatusCode::TOO_MANY_REQUESTS, ErrorKind::RateLimited, message, hint));
        };
        let accepted = accept_websocket(request.headers())?;
        let upgrade = hyper::upgrade::on(&mut request);
        let connection = Arc::clone(connection);
        let tasks = gateway.daemon.tasks.clone();
        tasks.spawn(async move {
            if let Ok(upgraded) = upgrade.await {
                websocket::serve(&connection, caller, proven, upgraded).await;
            }
            drop(place);
        });
        return Ok(whole(accepted));
    }
    let (head, body) = request.into_parts();
    let answers = check(&head)?;
    let read = body::read(body, gateway.daemon.input.room()).await;
    let frame = read.map_err(|refused| Refusal { status: refused.status, error: refused.error })?;
    let trace = traceparent(&head.headers);
    Ok(whole(exchange(connection, &caller, proven, &meter, answers, trace, frame.bytes, frame.room).await))
}

fn route(path: &str, query: Option<&str>) -> Result<Route, Refusal> {
    let unknown = || {
        let hint = "calls go to /rpc or /agents/NAME/rpc; events of a run come from /runs/RUN/events, and files are at /files/PATH";
        Refusal::because(StatusCode::NOT_FOUND, ErrorKind::NotFound, "there is nothing at this path", hint)
    };
    if query.is_some() {
        // Above all no token: URLs are logged on the way.
        let hint = "leave the query out; a token goes into the Authorization header";
        return Err(Refusal::because(
            StatusCode::BAD_REQUEST,
            ErrorKind::InvalidRequest,
            "a URL here has no query",
            hint,
        ));
    }
    let segments: Vec<&str> = path.strip_prefix('/').unwrap_or(path).split('/').collect();
    let (agent, rest) = match segments.as_slice() {
        ["agents", name, rest @ ..] => (Some(name.parse::<AgentName>().map_err(|_| unknown())?), rest),
        rest => (None, rest),
    };
    match (agent, rest) {
        (None, ["healthz"]) => Ok(Route::Health),
        (None, ["readyz"]) => Ok(Route::Readiness),
        (agent, ["rpc"]) => Ok(Route::Rpc(agent)),
        // Its segments are the file's: what they hold is decoded once, and is a part of the path only.
        (agent, ["files", path @ ..]) => {
            let path = percent_decode_str(&path.join("/")).decode_utf8().map(Cow::into_owned).map_err(|_| unknown())?;
            Ok(Route::File(agent, path.parse().map_err(|_| unknown())?))
        }
        (agent, ["runs", run, "events"]) => Ok(Route::Events(agent, run.parse().map_err(|_| unknown())?)),
        _ => Err(unknown()),
    }
}

/// Who calls. A token counts before a certificate: a caller who sends one means to be the person it names.
async fn prove(connection: &Connection, headers: &HeaderMap) -> Result<Caller, Refusal> {
    let gateway = &connection.gateway;
    let caller = if headers.contains_key(AUTHORIZATION) {
        let token = only(headers, &AUTHORIZATION).and_then(bearer);
        let token = token.ok_or_else(|| Refusal::unproven("the Authorization header holds no bearer token"))?;
        gateway.issuers.caller(token, &gateway.settings).await
    } else if let Some(name) = &connection.certificate {
        let caller = Caller::of_certificate(name, SystemTime::now() + CERTIFICATE_FOR, &gateway.settings);
        caller.map_err(NoProof::from)
    } else {
        return Err(Refusal::unproven("the request has no token"));
    };
    caller.map_err(|none| match none {
        NoProof::Token(TokenFault::NoKeys) => {
            let hint = "try again; the gateway's /readyz and its log say which issuer does not answer";
            let message = "the token cannot be checked: the keys of its issuer cannot be had";
            Refusal::because(StatusCode::SERVICE_UNAVAILABLE, ErrorKind::ServiceUnavailable, message, hint)
        }
        NoProof::Token(fault) => Refusal::unproven(format!("the token was refused: {fault}")),
        NoProof::Caller(NoCaller::NoIsolation) => Refusal::unproven(format!("the proof was refused: {none}")),
        NoProof::Caller(NoCaller::NoGrant) => {
            let hint = "the gateway's operator grants agents by claims; ask for yours";
            Refusal::because(StatusCode::FORBIDDEN, ErrorKind::Forbidden, none.to_string(), hint)
        }
    })
}

/// The token of a header's value.
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Looks at the head of a POST.
fn check(head: &Parts) -> Result<Answers, Refusal> {
    if head.method != Method::POST {
        return Err(wrong_method("POST, or GET with Upgrade: websocket,"));
    }
    let headers = &head.headers;
    let kind = only(headers, &CONTENT_TYPE).map(|kind| kind.split(';').next().unwrap_or_default().trim());
    if !kind.is_some_and(|kind| kind.eq_ignore_ascii_case("application/json")) || headers.contains_key(CONTENT_ENCODING)
    {
        let message = "the body must be application/json, and not compressed";
        let hint = "send JSON as it is, with its own Content-Type";
        return Err(Refusal::because(StatusCode::UNSUPPORTED_MEDIA_TYPE, ErrorKind::InvalidRequest, message, hint));
    }
    // What is announced as too long need not be sent.
    let length = only(headers, &CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
    if length.is_some_and(|length| length > crate::inbound::framing::MAX_FRAME_BYTES as u64) {
        let message = format!("a message must have at most {} bytes", crate::inbound::framing::MAX_FRAME_BYTES);
        let hint = "send a file in pieces: files/write";
        return Err(Refusal::because(StatusCode::PAYLOAD_TOO_LARGE, ErrorKind::InvalidRequest, message, hint));
    }
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let wants_events = accepted
        .flat_map(|value| value.split(','))
        .any(|kind| kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("text/event-stream"));
    Ok(if wants_events { Answers::Events } else { Answers::Json })
}

/// The caller's own span (W3C Trace Context). A value that breaks its rules begins a new trace, as they ask; so do several.
fn traceparent(headers: &HeaderMap) -> Option<TraceParent> {
    let value = only(headers, &TRACEPARENT)?;
    let (version, rest) = value.split_at_checked(2)?;
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if version == "00" || version == "ff" || !version.bytes().all(is_hex) {
        return value.parse().ok();
    }
    // A later version begins as this one does, and may have more after a dash.
    let (known, more) = rest.split_at_checked(TRACEPARENT_REST)?;
    (more.is_empty() || more.starts_with('-')).then(|| format!("00{known}").parse().ok())?
}

fn wrong_method(served: &str) -> Refusal {
    let message = format!("only {served} is served at this path");
    let hint = "send JSON-RPC 2.0 as POST, or one message at a time over a WebSocket";
    Refusal::because(StatusCode::METHOD_NOT_ALLOWED, ErrorKind::InvalidRequest, message, hint)
}

/// The call that follows a run, after the event that the client has had last.
fn attach(run: &RunId, headers: &HeaderMap) -> Result<Bytes, Refusal> {
    let after = match only(headers, &LAST_EVENT_ID) {
        None if headers.contains_key(LAST_EVENT_ID) => None,
        None => Some(0),
        Some(id) => id.strip_prefix(run.as_str()).and_then(|rest| rest.strip_prefix('/')?.parse::<u64>().ok()),
    };
    let after = after.ok_or_else(|| {
        let hint = "send the id of the last event as it came, or leave the header out for all of them";
        let message = "Last-Event-ID is not the id of an event of this run";
        Refusal::because(StatusCode::BAD_REQUEST, ErrorKind::InvalidRequest, message, hint)
    })?;
    let mut params = serde_json::json!({"runId": run, "after": after, "partialResultToken": 1});
    let chat = files::chat(headers).map_err(|error| Refusal { status: StatusCode::BAD_REQUEST, error })?;
    if let Some(isolation) = chat {
        params["isolation"] = isolation;
    }
    let call = serde_json::json!({"jsonrpc": "2.0", "id": 1, "method": "runs/attach", "params": params});
    Ok(Bytes::from(call.to_string()))
}

/// The answer to a client that asks for a WebSocket.
fn accept_websocket(headers: &HeaderMap) -> Result<Response<Body>, Refusal> {
    let has = |name: &HeaderName, word: &str| {
        let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|value| value.trim().eq_ignore_ascii_case(word))
    };
    let key = only(headers, &SEC_WEBSOCKET_KEY);
    let (true, true, Some("13"), Some(key)) =
        (has(&CONNECTION, "upgrade"), has(&UPGRADE, "websocket"), only(headers, &SEC_WEBSOCKET_VERSION), key)
    else {
        return Err(wrong_method("POST, or GET with Upgrade: websocket (version 13),"));
    };
    let accepted = derive_accept_key(key.as_bytes()).parse::<HeaderValue>();
    let mut response = Response::new(Empty::new().boxed_unsync());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accepted) = accepted {
        headers.insert(SEC_WEBSOCKET_ACCEPT, accepted);
    }
    Ok(response)
}

/// A header's value, if it is there once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_an_agent_at_most_and_no_query_is_taken() {
        let notes: AgentName = "notes".parse().unwrap();
        assert_eq!(route("/rpc", None).unwrap(), Route::Rpc(None));
        assert_eq!(route("/agents/notes/rpc", None).unwrap(), Route::Rpc(Some(notes.clone())));
        let file = |path: &str| path.parse::<RemotePath>().unwrap();
        assert_eq!(route("/files/a%20b/c%2Fd", None).unwrap(), Route::File(None, file("a b/c/d")));
        assert_eq!(route("/agents/notes/files/rpc", None).unwrap(), Route::File(Some(notes), file("rpc")));
        for (path, query, status) in [
            ("/rpc", Some("access_token=x"), 400),
            ("/rpc", Some(""), 400),
            ("/", None, 404),
            ("/rpc/", None, 404),
            ("/agents/../rpc", None, 404),
            ("/agents/a%2fb/rpc", None, 404),
            ("/agents/a/b/rpc", None, 404),
            ("/agents/notes/healthz", None, 404),
            ("/runs//events", None, 404),
            ("/files", None, 404),
            ("/files/", None, 404),
            ("/files/a%ff", None, 404),
            ("/files/a%0ab", None, 404),
            ("/files/a", Some("sessionId=x"), 400),
        ] {
            assert_eq!(route(path, query).unwrap_err().status.as_u16(), status, "{path} {query:?}");
        }
    }

    #[test]
    fn a_token_is_the_whole_of_one_bearer_header() {
        for (value, token) in
            [("Bearer a.b.c", Some("a.b.c")), ("bearer a", Some("a")), ("Basic a", None), ("a.b.c", None)]
        {
            assert_eq!(bearer(value), token);
        }
    }
}
