//! The project's own `openai/v1` routes, which name the agent in the body instead of the path (contract section 1.1).

use super::Gateway;
use super::call::{Call, json_body};
use super::{conversations, responses};
use crate::error::ApiError;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use bytes::Bytes;
use http::request::Parts;
use serde::Deserialize;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;

pub(super) fn routes() -> Router<Arc<Gateway>> {
    Router::new()
        .route("/openai/v1/responses", post(create))
        .route("/openai/v1/conversations", post(create_conversation))
}

/// A conversation with the first agent: the body names none, and conversations are kept per agent.
async fn create_conversation(
    State(gateway): State<Arc<Gateway>>,
    mut parts: Parts,
    body: Bytes,
) -> Result<Json<Value>, ApiError> {
    let agents = gateway.catalog.all();
    let first = agents.first().ok_or_else(|| ApiError::not_found("Agent", "(any)"))?;
    let call = Call::of(Arc::clone(first), &mut parts, &gateway, HashMap::new()).await?;
    call.enabled()?;
    conversations::create(call, body).await
}

#[derive(Deserialize)]
struct Body {
    agent_reference: AgentReference,
}

#[derive(Deserialize)]
struct AgentReference {
    name: String,
}

async fn create(State(gateway): State<Arc<Gateway>>, request: Request) -> Result<Response, ApiError> {
    let (mut parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, super::MAX_JSON_BODY)
        .await
        .map_err(|error| ApiError::invalid("body", error.to_string()))?;
    let name = json_body::<Body>(&body)?.agent_reference.name;
    let agent = gateway.catalog.get(&name)?;
    let call = Call::of(agent, &mut parts, &gateway, HashMap::new()).await?;
    call.enabled()?;
    let mut session = None;
    Ok(responses::run(&call, body, &mut session)
        .await
        .unwrap_or_else(|error| error.of_invoke(session.as_deref()))
        .into_response())
}
