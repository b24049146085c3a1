//! The project's own `openai/v1` routes, which name the agent in the body instead of the path (contract section 1.1).

use super::Gateway;
use super::call::{Call, json_body};
use super::responses;
use crate::error::ApiError;
use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde::Deserialize;
use std::collections::HashMap;
use std::sync::Arc;

pub(super) fn routes() -> Router<Arc<Gateway>> {
    Router::new().route("/openai/v1/responses", post(create))
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
