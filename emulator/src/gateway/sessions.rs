//! Sessions: create, show, list, stop, delete (contract section 4).

use super::call::{Call, Whole, json_body};
use super::paging::{Order, page};
use super::{Gateway, absent};
use crate::error::ApiError;
use crate::isolation::{self, Purpose};
use crate::sessions::NewSession;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;

pub(super) fn routes() -> Router<Arc<Gateway>> {
    Router::new()
        .route("/sessions", get(list).post(create))
        .route("/sessions/{session}", get(show).post(act).delete(delete))
}

#[derive(Deserialize)]
struct CreateBody {
    agent_session_id: Option<String>,
    version_indicator: Option<VersionIndicator>,
}

#[derive(Deserialize)]
struct VersionIndicator {
    agent_version: String,
}

async fn create(call: Call, Whole(body): Whole) -> Result<Response, ApiError> {
    let body: CreateBody = json_body(&body)?;
    let version = match body.version_indicator {
        Some(VersionIndicator { agent_version }) => call.agent.version(&agent_version)?,
        None => call.agent.default_version()?,
    };
    let session = call.agent.sessions.create(NewSession {
        id: body.agent_session_id,
        agent_version: version.spec.version.clone(),
        partition: call.partition(version.spec.model, Purpose::Manage)?,
        owner: isolation::ownership(&call.presented, &call.caller),
        now: call.now(),
    })?;
    let shown = session.to_json();
    // The answer says `creating`; the sandbox comes up behind it. A failure shows in the session's status and log.
    tokio::spawn(async move {
        let _shown_in_status = call.container(&session, &version).await;
    });
    Ok((StatusCode::CREATED, Json(shown)).into_response())
}

async fn show(call: Call) -> Result<Json<Value>, ApiError> {
    let entered = call.session(call.param("session"), Purpose::Manage).await?;
    Ok(Json(entered.session.to_json()))
}

async fn list(call: Call) -> Result<Json<Value>, ApiError> {
    let asking = call.default_partition(Purpose::Manage)?;
    call.gateway.settle(&call.agent).await;
    let sessions = call
        .agent
        .sessions
        .all()
        .iter()
        .filter(|session| isolation::lists(&asking, &call.caller, &session.record().partition))
        .map(|session| (session.id().to_owned(), session.to_json()))
        .collect();
    page(&call.query, sessions, Order::Ascending).map(Json)
}

/// `POST /sessions/{session}:stop`.
async fn act(call: Call) -> Result<StatusCode, ApiError> {
    let id = match call.param_and_verb("session") {
        (id, Some("stop")) => id,
        (_, Some(verb)) if absent::is_absent_verb(verb) => return Err(absent::error(verb)),
        _ => return Err(ApiError::not_found("Operation", call.param("session"))),
    };
    let entered = call.session(id, Purpose::Manage).await?;
    if entered.session.stop(call.now(), !entered.version.spec.memory_snapshot).await {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(ApiError::conflict("session_already_stopped", format!("Session '{id}' is stopped already.")))
    }
}

/// Succeeds also for a session that does not exist, once the request could see sessions at all.
async fn delete(call: Call) -> Result<StatusCode, ApiError> {
    let id = call.param("session");
    if call.agent.sessions.get(id).is_none() {
        call.default_partition(Purpose::Manage)?;
        return Ok(StatusCode::NO_CONTENT);
    }
    let entered = call.session(id, Purpose::Manage).await?;
    let owner = entered.session.record().owner;
    isolation::delete(entered.version.spec.model, &call.presented, &call.caller, &owner)?;
    call.agent.responses.forget_session(id);
    call.agent.sessions.delete(&entered.session).await?;
    Ok(StatusCode::NO_CONTENT)
}
