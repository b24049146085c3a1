//! One request handed to a session's container: which headers it gets, and how its failures are answered.

use super::call::{Call, Entered};
use super::latency::{Measured, Start};
use crate::error::{ApiError, SESSION};
use crate::isolation::{CHAT_KEY, KeyRule, Model, Partition, USER_KEY};
use crate::session::{Lease, Session, Status};
use axum::body::Body;
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

/// Request headers the gateway passes on (contract section 1.5); everything else is dropped.
const PASSED: [&str; 11] = [
    "x-ms-client-request-id",
    "x-request-id",
    "traceparent",
    "tracestate",
    "baggage",
    "ms-cv",
    "request-id",
    "correlation-context",
    "request-context",
    "user-agent",
    "x-agent-invocation-id",
];

/// Prefixes of those that are passed on.
const PASSED_PREFIXES: [&str; 3] = ["x-client-", "accept", "content-"];

const USER_ID: HeaderName = HeaderName::from_static("x-agent-user-id");
/// Which version answers (contract section 21.1).
pub(super) const RESOLVED: HeaderName = HeaderName::from_static("x-agent-version-resolved");
const CALL_ID: HeaderName = HeaderName::from_static("x-agent-foundry-call-id");

/// Sends a request to the session's container, started if need be. The lease must live as long as the answer.
pub(super) async fn forward(
    call: &Call,
    entered: &Entered,
    method: Method,
    path: &str,
    extra: &[(HeaderName, HeaderValue)],
    body: Body,
) -> Result<(Response<Body>, Lease), ApiError> {
    let session = &entered.session;
    let lease = session.lease(&call.gateway.clock);
    let (preprocessing, start, began) = (call.received.elapsed(), start(session).await, Instant::now());
    let container = call.container(session, &entered.version).await?;
    let (readiness, began) = (began.elapsed(), Instant::now());
    let mut request = Request::builder().method(method).uri(path).body(body).map_err(ApiError::internal)?;
    *request.headers_mut() = headers(call, entered);
    request.headers_mut().extend(extra.iter().cloned());
    request.extensions_mut().insert(entered.partition.clone());
    match container.call(request).await {
        Ok(mut response) => {
            let measured = Measured { start, preprocessing, readiness, response: began.elapsed() };
            response.extensions_mut().insert(measured);
            let headers = response.headers_mut();
            // They belong to the container's connection, not to the client's.
            for name in [CONNECTION, TRANSFER_ENCODING, HeaderName::from_static("keep-alive")] {
                headers.remove(name);
            }
            if let Ok(id) = HeaderValue::from_str(session.id()) {
                headers.insert(SESSION, id);
            }
            if let Ok(version) = HeaderValue::from_str(&entered.version.spec.version) {
                headers.insert(RESOLVED, version);
            }
            Ok((response, lease))
        }
        Err(error) => {
            use crate::container::CallError;
            if matches!(error, CallError::Gone(_) | CallError::Crashed { .. }) {
                session.lost(&container, call.now()).await;
            }
            Err(ApiError::call(session.id(), &error))
        }
    }
}

/// How a session will be ready for a request.
async fn start(session: &Session) -> Start {
    match session.record().status {
        _ if session.running().await.is_some() => Start::Warm,
        Status::Idle => Start::Resume,
        _ => Start::Cold,
    }
}

/// The headers of a request to the session's container.
pub(super) fn headers(call: &Call, entered: &Entered) -> HeaderMap {
    container_headers(&call.headers, entered.version.spec.model, &entered.partition)
}

/// The headers a container sees: the documented ones of the client's, and whose request it is.
fn container_headers(client: &HeaderMap, model: Model, partition: &Partition) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in client {
        let passed =
            PASSED.contains(&name.as_str()) || PASSED_PREFIXES.iter().any(|prefix| name.as_str().starts_with(prefix));
        // The length is the gateway's to say: it may add the session to the body.
        if passed && *name != CONTENT_LENGTH {
            headers.append(name, value.clone());
        }
    }
    match model {
        Model::Keys { user, chat } => {
            for (rule, name) in [(user, USER_KEY), (chat, CHAT_KEY)] {
                if let (true, Some(value)) = (rule != KeyRule::Ignored, client.get(name)) {
                    headers.insert(HeaderName::from_static(name), value.clone());
                }
            }
        }
        Model::Identity => {
            for (name, value) in [(USER_ID, user_id(partition)), (CALL_ID, crate::ids::hex())] {
                if let Ok(value) = HeaderValue::from_str(&value) {
                    headers.insert(name, value);
                }
            }
        }
    }
    headers
}

/// One stable opaque value per user, the same for every agent (contract section 13.3).
fn user_id(partition: &Partition) -> String {
    let (class, user) = match partition {
        Partition::Own(id) => ("own", id.as_str()),
        Partition::Delegated(id) => ("delegated", id.as_str()),
        Partition::Keys { user, .. } => ("key", user.as_deref().unwrap_or_default()),
    };
    let digest = Sha256::digest(format!("{class}:{user}"));
    let half = digest.first_chunk().copied().unwrap_or_default();
    uuid::Uuid::from_bytes(half).simple().to_string()
}
