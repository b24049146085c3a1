//! Conversations and their items (contract section 8): the gateway's own, the container has no such routes. An agent's endpoint
//! has them, and the project itself.

use super::Gateway;
use super::call::{Whole, json_body, path_params, who};
use super::paging::{Order, page_fetched};
use super::query::Query;
use crate::conversation::{Conversation, Conversations, ItemPlace, MAX_ITEMS, id_of};
use crate::error::ApiError;
use crate::isolation::{self, Caller, Model, Partition, Presented, Purpose};
use axum::extract::FromRequestParts;
use axum::routing::get;
use axum::{Json, Router};
use http::request::Parts;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;

pub(super) fn routes() -> Router<Arc<Gateway>> {
    Router::new().nest("/protocols/openai", table()).nest("/protocols/openai/v1", table())
}

/// The routes below either.
pub(super) fn table() -> Router<Arc<Gateway>> {
    Router::new()
        .route("/conversations", axum::routing::post(create))
        .route("/conversations/{conversation}", get(show).post(update).delete(delete))
        .route("/conversations/{conversation}/items", get(list_items).post(add_items))
        .route("/conversations/{conversation}/items/{item}", get(show_item).delete(delete_item))
}

/// A request about conversations: those behind an agent's endpoint, or the project's own.
struct Call {
    kept: Arc<Conversations>,
    model: Model,
    caller: Caller,
    presented: Presented,
    params: HashMap<String, String>,
    query: Query,
    /// Milliseconds, UTC.
    now: i64,
}

impl FromRequestParts<Arc<Gateway>> for Call {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, gateway: &Arc<Gateway>) -> Result<Self, ApiError> {
        let params = path_params(parts, gateway).await?;
        let (caller, presented) = who(parts)?;
        let (kept, model) = match params.get("agent") {
            Some(name) => {
                let agent = gateway.catalog.get(name)?;
                (Arc::clone(&agent.conversations), agent.default_version()?.spec.model)
            }
            None => (Arc::clone(&gateway.conversations), Model::Identity),
        };
        let (query, now) = (Query::of(&parts.uri), gateway.clock.now());
        Ok(Self { kept, model, caller, presented, params, query, now })
    }
}

impl Call {
    fn param(&self, name: &str) -> &str {
        self.params.get(name).map_or("", String::as_str)
    }

    fn partition(&self, purpose: Purpose) -> Result<Partition, ApiError> {
        Ok(isolation::partition(self.model, &self.presented, &self.caller, purpose)?)
    }
}

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    items: Option<Vec<Value>>,
    #[serde(default)]
    metadata: Option<Value>,
}

impl Body {
    fn items(self) -> Result<Vec<Value>, ApiError> {
        let items = self.items.unwrap_or_default();
        if items.len() > MAX_ITEMS {
            return Err(ApiError::invalid("items", format!("At most {MAX_ITEMS} items can be added at once.")));
        }
        if let Some(at) = items.iter().position(|item| !item.is_object()) {
            return Err(ApiError::invalid("items", format!("Item {at} is not an object.")));
        }
        Ok(items)
    }
}

async fn create(call: Call, Whole(body): Whole) -> Result<Json<Value>, ApiError> {
    let mut body: Body = json_body(&body)?;
    let metadata = body.metadata.take().unwrap_or_else(|| json!({}));
    let items = body.items()?;
    // The first half of an invoke, for every command line: a missing key is refused as an invoke's is.
    let partition = call.partition(Purpose::Invoke)?;
    let conversation = call.kept.create(partition, metadata, call.now)?;
    conversation.add(items)?;
    Ok(Json(conversation.to_json()))
}

/// The conversation the path names, if it is the request's own.
fn find(call: &Call) -> Result<Arc<Conversation>, ApiError> {
    let id = call.param("conversation");
    let asking = call.partition(Purpose::Manage)?;
    let conversation = call.kept.get(id).ok_or_else(|| ApiError::not_found("Conversation", id))?;
    conversation.reach(&asking)?;
    Ok(conversation)
}

async fn show(call: Call) -> Result<Json<Value>, ApiError> {
    Ok(Json(find(&call)?.to_json()))
}

async fn update(call: Call, Whole(body): Whole) -> Result<Json<Value>, ApiError> {
    let body: Body = json_body(&body)?;
    let conversation = find(&call)?;
    conversation.change(|record| {
        if let Some(metadata) = body.metadata {
            record.metadata = metadata;
        }
        Ok(())
    })?;
    Ok(Json(conversation.to_json()))
}

async fn delete(call: Call) -> Result<Json<Value>, ApiError> {
    let id = find(&call)?.record().id;
    call.kept.delete(&id)?;
    Ok(Json(json!({"id": id, "object": "conversation.deleted", "deleted": true})))
}

async fn list_items(call: Call) -> Result<Json<Value>, ApiError> {
    let conversation = find(&call)?;
    let fetch = |place: &ItemPlace| conversation.item(*place).unwrap_or_default();
    page_fetched(&call.query, conversation.items(), Order::Descending, fetch).map(Json)
}

async fn add_items(call: Call, Whole(body): Whole) -> Result<Json<Value>, ApiError> {
    let items = json_body::<Body>(&body)?.items()?;
    let added = find(&call)?.add(items)?;
    Ok(Json(json!({
        "object": "list",
        "first_id": added.first().map(id_of),
        "last_id": added.last().map(id_of),
        "data": added,
        "has_more": false,
    })))
}

async fn show_item(call: Call) -> Result<Json<Value>, ApiError> {
    let id = call.param("item");
    let conversation = find(&call)?;
    let found = conversation.items().into_iter().find(|(known, _)| known == id);
    found.and_then(|(_, place)| conversation.item(place)).map(Json).ok_or_else(|| ApiError::not_found("Item", id))
}

async fn delete_item(call: Call) -> Result<Json<Value>, ApiError> {
    let (conversation, id) = (find(&call)?, call.param("item"));
    if !conversation.remove(id)? {
        return Err(ApiError::not_found("Item", id));
    }
    Ok(Json(conversation.to_json()))
}
