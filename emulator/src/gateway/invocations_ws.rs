//! WebSocket invocations (contract section 10): the handshake is a request like any other, and from its 101 on the bytes pass
//! unread in both directions.

use super::Gateway;
use super::answer::pass;
use super::call::Call;
use super::forward::forward;
use super::invocations::{SESSION_QUERY, enter};
use super::version;
use crate::container::Upgraded;
use crate::error::ApiError;
use crate::hooks::{Connection, Tunnel};
use crate::options::Protocol;
use crate::server::Held;
use crate::session::Lease;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::get;
use http::header::{
    CONNECTION, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy, sink, split};
use tokio::time::timeout;

/// What of a handshake is between the client and the agent, besides whose it is.
const HANDSHAKE: [HeaderName; 4] =
    [SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_EXTENSIONS];

/// How long a client may take to leave after the agent's end of the dialogue.
const LINGER: Duration = Duration::from_secs(1);

const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");
const TO_UPGRADE: HeaderValue = HeaderValue::from_static("Upgrade");

pub(super) fn routes() -> Router<Arc<Gateway>> {
    Router::new().nest("/protocols", Router::new().route("/invocations_ws", get(open)))
}

async fn open(call: Call, request: Request) -> Response {
    let mut session = None;
    connect(&call, request, &mut session).await.unwrap_or_else(|error| error.of_invoke(session.as_deref()))
}

async fn connect(call: &Call, mut request: Request, session_id: &mut Option<String>) -> Result<Response, ApiError> {
    let handshake = handshake(request.headers())?;
    let place = request.extensions_mut().remove::<Held>();
    let client = hyper::upgrade::on(&mut request);
    let entered = enter(call, Protocol::InvocationsWs).await?;
    let id = entered.session.id();
    *session_id = Some(id.to_owned());
    let path = call.container_target(Some((SESSION_QUERY, id)));
    let (mut response, lease) = forward(call, &entered, Method::GET, &path, &handshake, Body::empty()).await?;
    version::tell_fallback(call, &entered, response.headers_mut());
    let container = response.extensions_mut().remove::<Upgraded>().and_then(|upgraded| upgraded.take());
    let Some(container) = container.filter(|_| response.status() == StatusCode::SWITCHING_PROTOCOLS) else {
        return Ok(pass(response, lease));
    };
    response.headers_mut().insert(CONNECTION, TO_UPGRADE);
    response.headers_mut().insert(UPGRADE, WEBSOCKET);
    let tunnel = Tunnel::default();
    response.extensions_mut().insert(tunnel.clone());
    let stop = call.gateway.stop.now.clone();
    call.gateway.tracker.spawn(async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = relay(client, container, tunnel, lease) => {}
        }
        // It counted as a connection all the while.
        drop(place);
    });
    Ok(response)
}

/// The headers that make a request a WebSocket's handshake, as the container gets them.
fn handshake(headers: &HeaderMap) -> Result<Vec<(HeaderName, HeaderValue)>, ApiError> {
    let is_websocket = headers.get(UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
    if !is_websocket || !headers.contains_key(SEC_WEBSOCKET_KEY) {
        let message = "This endpoint is a WebSocket: the request must ask for an upgrade over HTTP/1.1.";
        return Err(ApiError::new(StatusCode::UPGRADE_REQUIRED, "upgrade_required", message));
    }
    let given = HANDSHAKE.into_iter().filter_map(|name| Some((name.clone(), headers.get(&name)?.clone())));
    Ok(given.chain([(UPGRADE, WEBSOCKET), (CONNECTION, TO_UPGRADE)]).collect())
}

/// Passes bytes until one side ends, or a fault ends it. The session stays awake for as long.
async fn relay(client: OnUpgrade, container: Box<dyn Connection>, tunnel: Tunnel, _lease: Lease) {
    let client = match client.await {
        Ok(client) => TokioIo::new(client),
        Err(error) => return tracing::debug!(%error, "a client left before its WebSocket was there"),
    };
    let ((mut from_client, mut to_client), (from_container, mut to_container)) = (split(client), split(container));
    let limit = tunnel.cut_after();
    let mut from_container = from_container.take(limit.unwrap_or(u64::MAX));
    // An error ends the connection too: there is nobody left to report it to.
    tokio::select! {
        _ended = copy(&mut from_client, &mut to_container) => {
            let _gone = to_container.shutdown().await;
        }
        _ended = copy(&mut from_container, &mut to_client) => {
            let _gone = to_client.shutdown().await;
            if limit.is_none() {
                // Closing while something is still unread would take the last message back.
                let _late = timeout(LINGER, copy(&mut from_client, &mut sink())).await;
            }
        }
    }
}
