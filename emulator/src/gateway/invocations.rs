//! The invocations protocol (contract section 9): any body, the session only from the query.

use super::Gateway;
use super::answer::pass;
use super::call::{Call, Entered};
use super::forward::forward;
use super::responses::new_session;
use super::{latency, version};
use crate::agent::Version;
use crate::error::ApiError;
use crate::isolation::Purpose;
use crate::logs::LogSink;
use crate::options::Protocol;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Method, StatusCode};
use std::sync::Arc;

/// Names the session in the query, for the gateway and for the container.
pub(super) const SESSION_QUERY: &str = "agent_session_id";

/// Largest description of an agent's own API that is kept.
const MAX_DOCUMENT: usize = 8 * 1024 * 1024;

pub(super) fn routes() -> Router<Arc<Gateway>> {
    let table = Router::new()
        .route("/invocations", post(create))
        .route("/invocations/{invocation}", get(show))
        .route("/invocations/{invocation}/cancel", post(cancel))
        .route("/invocations/docs/{document}", get(document));
    Router::new().nest("/protocols", table)
}

async fn create(call: Call, request: Request) -> Response {
    let mut session = None;
    run(&call, request.into_body(), &mut session).await.unwrap_or_else(|error| error.of_invoke(session.as_deref()))
}

async fn run(call: &Call, body: Body, session_id: &mut Option<String>) -> Result<Response, ApiError> {
    let entered = enter(call, Protocol::Invocations).await?;
    let id = entered.session.id();
    *session_id = Some(id.to_owned());
    let path = call.container_target(Some((SESSION_QUERY, id)));
    let (mut response, lease) = forward(call, &entered, Method::POST, &path, &[], body).await?;
    version::tell_fallback(call, &entered, response.headers_mut());
    latency::tell(call, &mut response);
    if let Some(Ok(invocation)) = response.headers().get("x-agent-invocation-id").map(|id| id.to_str()) {
        entered.session.remember_invocation(invocation);
    }
    Ok(pass(response, lease))
}

/// The session of the query, or a new one.
pub(super) async fn enter(call: &Call, protocol: Protocol) -> Result<Entered, ApiError> {
    if let Some(id) = call.query(SESSION_QUERY) {
        let entered = call.session(id, Purpose::Invoke).await?;
        entered.version.speaks(protocol)?;
        return Ok(entered);
    }
    let version = version::wanted(call).map_or_else(|| call.agent.default_version(), Ok)?;
    version.speaks(protocol)?;
    let partition = call.partition(version.spec.model, Purpose::Invoke)?;
    Ok(Entered { session: new_session(call, &version, &partition)?, version, partition })
}

async fn show(call: Call) -> Response {
    existing(&call, Method::GET, Body::empty()).await
}

async fn cancel(call: Call, request: Request) -> Response {
    existing(&call, Method::POST, request.into_body()).await
}

async fn existing(call: &Call, method: Method, body: Body) -> Response {
    let mut session = None;
    ask(call, method, body, &mut session).await.unwrap_or_else(|error| error.of_invoke(session.as_deref()))
}

async fn ask(call: &Call, method: Method, body: Body, session_id: &mut Option<String>) -> Result<Response, ApiError> {
    let invocation = call.param("invocation");
    // A poll after a call without a session names none either: the invocation then leads to it.
    let started_in = || {
        let sessions = call.agent.sessions.all();
        let found = sessions.iter().find(|session| session.has_invocation(invocation));
        found.map(|session| session.id().to_owned())
    };
    let Some(id) = call.query(SESSION_QUERY).map(str::to_owned).or_else(started_in) else {
        call.default_partition(Purpose::Manage)?;
        return Err(ApiError::not_found("Invocation", invocation));
    };
    let entered = call.session(&id, Purpose::Manage).await?;
    entered.version.speaks(Protocol::Invocations)?;
    *session_id = Some(id.clone());
    let path = call.container_target(Some((SESSION_QUERY, &id)));
    let (response, lease) = forward(call, &entered, method, &path, &[], body).await?;
    Ok(pass(response, lease))
}

/// The agent's description of its own API. Requests carry no isolation header, so a missing one is not an
/// error, and no session is touched: a sandbox without a session answers once per version.
async fn document(call: Call) -> Result<Response, ApiError> {
    let version = call.agent.default_version()?;
    version.speaks(Protocol::Invocations)?;
    let name = call.param("document");
    if name != "openapi.json" {
        let (status, body) = ask_document(&call, &version, name).await?;
        return Ok((status, [(CONTENT_TYPE, "application/json")], body).into_response());
    }
    let known = version.openapi();
    let (status, body) = known.get_or_try_init(|| ask_document(&call, &version, name)).await?.clone();
    Ok((status, [(CONTENT_TYPE, "application/json")], body).into_response())
}

async fn ask_document(call: &Call, version: &Version, name: &str) -> Result<(StatusCode, Bytes), ApiError> {
    if !matches!(name, "openapi.json" | "asyncapi.json" | "asyncapi.yaml") {
        return Err(ApiError::not_found("Document", name));
    }
    let home = call.gateway.directory_of(&call.agent.name).join("documents").join(crate::ids::hex());
    std::fs::create_dir_all(&home).map_err(ApiError::internal)?;
    let (agent, project, id) = (&call.agent, &call.gateway.project_endpoint, crate::ids::session());
    let context = agent.sandbox(&version.spec, project, &id, home.clone(), LogSink::default());
    let container = version.spec.runtime.start(context).await.map_err(|error| ApiError::start("documents", &error))?;
    let answer = read_document(container.as_ref(), name).await;
    container.stop().await;
    if let Err(error) = std::fs::remove_dir_all(&home) {
        tracing::warn!(%error, "a sandbox's home could not be removed");
    }
    answer
}

async fn read_document(
    container: &dyn crate::container::Container,
    name: &str,
) -> Result<(StatusCode, Bytes), ApiError> {
    let request =
        http::Request::get(format!("/invocations/docs/{name}")).body(Body::empty()).map_err(ApiError::internal)?;
    let response = container.call(request).await.map_err(|error| ApiError::call("documents", &error))?;
    let status = response.status();
    let body = axum::body::to_bytes(response.into_body(), MAX_DOCUMENT).await.map_err(ApiError::internal)?;
    Ok((status, body))
}
