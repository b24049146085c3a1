//! Agents and their versions (contract section 3).

use super::Gateway;
use super::call::{Call, Whole, json_body};
use super::paging::{Order, page};
use crate::agent::{Agent, Version};
use crate::error::ApiError;
use crate::ids;
use crate::session::Status;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::StatusCode;
use http::request::Parts;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;

pub(super) fn routes() -> Router<Arc<Gateway>> {
    Router::new()
        .route("/agents", get(list).post(create))
        .route("/agents/{agent}", get(show).patch(update).delete(delete).post(act))
        .route("/agents/{agent}/versions", get(list_versions).post(create_version))
        .route("/agents/{agent}/versions/{version}", get(show_version).delete(delete_version))
}

async fn list(State(gateway): State<Arc<Gateway>>, parts: Parts) -> Result<Json<Value>, ApiError> {
    let agents = gateway.catalog.all();
    let Some(first) = agents.first() else {
        return Ok(Json(json!({"object": "list", "data": [], "first_id": null, "last_id": null, "has_more": false})));
    };
    let call = Call::of(Arc::clone(first), &parts, &gateway, HashMap::new())?;
    let hosted = matches!(call.query("kind"), None | Some("hosted"));
    let agents = agents.iter().filter(|_| hosted).map(|agent| (agent.name.clone(), agent.to_json())).collect();
    page(&call.query, agents, Order::Descending).map(Json)
}

async fn show(call: Call) -> Result<Json<Value>, ApiError> {
    Ok(Json(named(&call)?.to_json()))
}

/// The agent, unless the path names a verb that GET does not support.
fn named(call: &Call) -> Result<&Agent, ApiError> {
    match call.param_and_verb("agent") {
        (_, None) => Ok(&call.agent),
        _ => Err(ApiError::not_found("Agent", call.param("agent"))),
    }
}

/// `POST /agents`: an agent with one version, run by the first agent's runtime.
async fn create(State(gateway): State<Arc<Gateway>>, Whole(body): Whole) -> Result<Json<Value>, ApiError> {
    let body: Value = json_body(&body)?;
    let name = body.get("name").and_then(Value::as_str).unwrap_or_default();
    if !ids::is_agent(name) {
        return Err(ApiError::invalid("name", "An agent name is 1 to 63 letters, digits and inner hyphens."));
    }
    let like = gateway
        .catalog
        .all()
        .iter()
        .find_map(|agent| agent.latest())
        .ok_or_else(|| ApiError::conflict("no_runtime", "No configured agent has a runtime that could be used."))?;
    let directory = gateway.directory_of(name);
    let agent =
        Arc::new(Agent::posted(name, &body, &like.spec, &directory, &gateway.conversations, gateway.clock.now())?);
    let shown = agent.to_json();
    if gateway.catalog.add(agent) {
        Ok(Json(shown))
    } else {
        Err(ApiError::conflict("agent_already_exists", format!("Agent '{name}' exists already.")))
    }
}

async fn update(call: Call, Whole(body): Whole) -> Result<Json<Value>, ApiError> {
    let agent = named(&call)?;
    agent.patch(&json_body(&body)?)?;
    Ok(Json(agent.to_json()))
}

/// `POST /agents/{agent}:enable` and `:disable`.
async fn act(call: Call) -> Result<StatusCode, ApiError> {
    let enabled = match call.param_and_verb("agent").1 {
        Some("enable") => true,
        Some("disable") => false,
        _ => return Err(ApiError::not_found("Operation", call.param("agent"))),
    };
    call.agent.enable(enabled);
    Ok(StatusCode::NO_CONTENT)
}

async fn delete(call: Call) -> Result<Json<Value>, ApiError> {
    let name = named(&call)?.name.clone();
    end_sessions(&call, None).await?;
    call.gateway.catalog.remove(&name);
    let directory = call.gateway.directory_of(&name);
    crate::store::discard(&directory).map_err(ApiError::internal)?;
    Ok(Json(json!({"object": "agent.deleted", "name": name, "deleted": true})))
}

/// Deletes the sessions of the agent or one of its versions; refused while one is active, unless forced.
async fn end_sessions(call: &Call, version: Option<&str>) -> Result<(), ApiError> {
    call.gateway.settle(&call.agent).await;
    let mut sessions = call.agent.sessions.all();
    sessions.retain(|session| version.is_none_or(|version| session.record().agent_version == version));
    let active =
        sessions.iter().filter(|session| matches!(session.record().status, Status::Creating | Status::Active)).count();
    if active > 0 && call.query("force") != Some("true") {
        return Err(ApiError::conflict(
            "agent_has_active_sessions",
            format!("Agent '{}' has {active} active sessions; delete them or pass force=true.", call.agent.name),
        ));
    }
    for session in sessions {
        call.agent.responses.forget_session(session.id());
        call.agent.sessions.delete(&session).await?;
    }
    Ok(())
}

async fn list_versions(call: Call) -> Result<Json<Value>, ApiError> {
    let shown = |version: &Arc<Version>| (version.spec.version.clone(), version.to_json(&call.agent.name));
    let versions = call.agent.versions().iter().map(shown).collect();
    page(&call.query, versions, Order::Descending).map(Json)
}

async fn show_version(call: Call) -> Result<Json<Value>, ApiError> {
    Ok(Json(call.agent.version(call.param("version"))?.to_json(&call.agent.name)))
}

/// `POST /agents/{agent}/versions`, which also makes an agent that does not exist yet.
async fn create_version(
    State(gateway): State<Arc<Gateway>>,
    Path(params): Path<HashMap<String, String>>,
    Whole(body): Whole,
) -> Result<Response, ApiError> {
    let name = params.get("agent").map_or("", String::as_str);
    let posted: Value = json_body(&body)?;
    if let Ok(agent) = gateway.catalog.get(name) {
        let version = agent.add_version(&posted, gateway.clock.now())?;
        return Ok(Json(version.to_json(name)).into_response());
    }
    let mut named = posted;
    if let Some(fields) = named.as_object_mut() {
        fields.insert("name".to_owned(), json!(name));
    }
    let _made = create(State(Arc::clone(&gateway)), Whole(named.to_string().into())).await?;
    let version = gateway.catalog.get(name)?.version("1")?;
    Ok(Json(version.to_json(name)).into_response())
}

async fn delete_version(call: Call) -> Result<Json<Value>, ApiError> {
    let label = call.param("version").to_owned();
    call.agent.version(&label)?;
    end_sessions(&call, Some(&label)).await?;
    if !call.agent.remove_version(&label) {
        call.gateway.catalog.remove(&call.agent.name);
    }
    Ok(Json(json!({
        "object": "agent.version.deleted",
        "name": call.agent.name,
        "version": label,
        "deleted": true,
    })))
}
