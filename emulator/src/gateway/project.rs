//! The project's own `openai/v1` routes, which name the agent in the body, or by the response they are about, instead of in the
//! path (contract sections 1.1 and 21.2).
//!
//! Its conversations belong to the caller, or to the user it acts for, and to no agent until one of protocol 2.0.0
//! answers in them.

use super::call::{Call, Whole, json_body};
use super::{Gateway, conversations, refuse_disabled, responses};
use crate::agent::Agent;
use crate::error::ApiError;
use axum::Router;
use axum::extract::{Path, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::StatusCode;
use http::request::Parts;
use serde::Deserialize;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;

pub(super) fn routes(gateway: &Arc<Gateway>) -> Router<Arc<Gateway>> {
    let disabled = middleware::from_fn_with_state(Arc::clone(gateway), refuse_disabled);
    let named = middleware::from_fn_with_state(Arc::clone(gateway), name_agent);
    let table = Router::new()
        .merge(responses::of_one().route_layer(disabled).route_layer(named))
        .route("/responses", post(create))
        .merge(conversations::table());
    Router::new().nest("/openai/v1", table)
}

#[derive(Deserialize)]
struct Body {
    agent_reference: AgentReference,
    #[serde(default)]
    tools: Value,
}

#[derive(Deserialize)]
struct AgentReference {
    name: String,
}

async fn create(State(gateway): State<Arc<Gateway>>, parts: Parts, Whole(body): Whole) -> Result<Response, ApiError> {
    let Body { agent_reference, tools } = json_body(&body)?;
    if !tools.is_null() {
        // As reported from the service (microsoft/agent-framework#5130): the agent defines its own tools.
        return Err(ApiError::new(StatusCode::BAD_REQUEST, "invalid_payload", "Not allowed when agent is specified.")
            .param("tools"));
    }
    let agent = gateway.catalog.get(&agent_reference.name)?;
    let call = Call::of(agent, &parts, &gateway, HashMap::new())?;
    call.enabled()?;
    let mut session = None;
    Ok(responses::run(&call, body, &mut session)
        .await
        .unwrap_or_else(|error| error.of_invoke(session.as_deref()))
        .into_response())
}

/// Names the agent that gave the response in the path: of those with a response of this id, the first whose response the
/// request may reach.
async fn name_agent(
    State(gateway): State<Arc<Gateway>>,
    Path(params): Path<HashMap<String, String>>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let (mut parts, body) = request.into_parts();
    let agent = agent_of_response(&parts, &gateway, &params)?;
    parts.extensions.insert(agent);
    Ok(next.run(Request::from_parts(parts, body)).await)
}

fn agent_of_response(
    parts: &Parts,
    gateway: &Arc<Gateway>,
    params: &HashMap<String, String>,
) -> Result<Arc<Agent>, ApiError> {
    let id = params.get("response").map_or("", String::as_str);
    let mut refusal: Option<ApiError> = None;
    for agent in gateway.catalog.all() {
        if agent.responses.get(id).next().is_none() {
            continue;
        }
        let call = Call::of(Arc::clone(&agent), parts, gateway, params.clone())?;
        match responses::find(&call, id) {
            Ok(_) => return Ok(agent),
            Err(error) if error.is_not_found() => _ = refusal.get_or_insert(error),
            Err(error) => refusal = Some(error),
        }
    }
    Err(refusal.unwrap_or_else(|| responses::unknown(id)))
}
