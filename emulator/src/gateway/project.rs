//! The project's own `openai/v1` routes, which name the agent in the body instead of the path (contract section 1.1).
//!
//! Its conversations belong to the caller, or to the user it acts for, and to no agent until one of protocol 2.0.0
//! answers in them.

use super::Gateway;
use super::call::{Call, Whole, json_body};
use super::responses;
use crate::conversation::Conversation;
use crate::error::ApiError;
use crate::isolation::Caller;
use crate::isolation::{self, Model, Partition, Presented, Purpose};
use axum::extract::{FromRequestParts, Path as Ids, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::request::Parts;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;

pub(super) fn routes() -> Router<Arc<Gateway>> {
    Router::new()
        .route("/openai/v1/responses", post(create))
        .route("/openai/v1/conversations", post(create_conversation))
        .route("/openai/v1/conversations/{conversation}", get(show_conversation).delete(delete_conversation))
}

#[derive(Deserialize)]
struct Body {
    agent_reference: AgentReference,
}

#[derive(Deserialize)]
struct AgentReference {
    name: String,
}

async fn create(
    State(gateway): State<Arc<Gateway>>,
    mut parts: Parts,
    Whole(body): Whole,
) -> Result<Response, ApiError> {
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

#[derive(Deserialize)]
struct NewConversation {
    #[serde(default)]
    metadata: Option<Value>,
}

async fn create_conversation(caller: ProjectCaller, Whole(body): Whole) -> Result<Json<Value>, ApiError> {
    let metadata = json_body::<NewConversation>(&body)?.metadata.unwrap_or_else(|| json!({}));
    let gateway = &caller.gateway;
    let made = gateway.conversations.create(caller.partition, metadata, gateway.clock.now())?;
    Ok(Json(made.to_json()))
}

async fn show_conversation(caller: ProjectCaller, Ids(ids): Ids<Named>) -> Result<Json<Value>, ApiError> {
    Ok(Json(caller.conversation(&ids.conversation)?.to_json()))
}

async fn delete_conversation(caller: ProjectCaller, Ids(ids): Ids<Named>) -> Result<Json<Value>, ApiError> {
    let id = caller.conversation(&ids.conversation)?.record().id;
    caller.gateway.conversations.delete(&id)?;
    Ok(Json(json!({"id": id, "object": "conversation.deleted", "deleted": true})))
}

#[derive(Deserialize)]
struct Named {
    conversation: String,
}

/// Whose conversations a request at project level is about.
struct ProjectCaller {
    gateway: Arc<Gateway>,
    partition: Partition,
}

impl ProjectCaller {
    fn conversation(&self, id: &str) -> Result<Arc<Conversation>, ApiError> {
        self.gateway
            .conversations
            .get(id)
            .filter(|found| isolation::reach(&self.partition, &found.record().partition).is_ok())
            .ok_or_else(|| ApiError::not_found("Conversation", id))
    }
}

impl FromRequestParts<Arc<Gateway>> for ProjectCaller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, gateway: &Arc<Gateway>) -> Result<Self, ApiError> {
        let caller = parts.extensions.get::<Caller>();
        let caller = caller.ok_or_else(|| ApiError::unauthorized("The caller is not known."))?;
        let presented = parts.extensions.get::<Presented>().cloned().unwrap_or_default();
        let partition = isolation::partition(Model::Identity, &presented, caller, Purpose::Manage)?;
        Ok(Self { gateway: Arc::clone(gateway), partition })
    }
}
