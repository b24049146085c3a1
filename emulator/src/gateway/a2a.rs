//! A2A (contract section 11): JSON-RPC in front of an agent's responses protocol; containers have no route for it.
//!
//! A message without a `contextId` begins a context; one that names a context continues it: it is given in the context's
//! session and knows its earlier turns. Like a conversation, a context belongs to its partition, but the two are separate.

use super::Gateway;
use super::call::{Call, Whole};
use super::forward::RESOLVED;
use super::invocations::SESSION_QUERY;
use super::record::Events;
use super::responses;
use crate::conversation::Conversation;
use crate::error::{ApiError, SESSION};
use crate::ids;
use crate::isolation::{self, Purpose, Refusal};
use crate::options::Protocol;
use axum::Json;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::header::CONTENT_TYPE;
use serde::Deserialize;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::future::ready;
use std::sync::Arc;

/// Where a context keeps the id of its latest answer, which its next turn follows.
const LATEST: &str = "latest";

/// Largest answer of an agent that is read whole. Agents' answers are far smaller; this only bounds memory.
const MAX_ANSWER: usize = 64 * 1024 * 1024;

/// The events of a run that its A2A client gets to see, in another form.
const PASSED: [&str; 5] =
    ["response.output_text.delta", "response.completed", "response.failed", "response.incomplete", "error"];

pub(super) fn routes() -> Router<Arc<Gateway>> {
    Router::new().route("/protocols/a2a", post(message)).route("/protocols/a2a/agentCard/v0.3", get(card))
}

/// The agent's card. The request needs a token, but concerns no session.
async fn card(call: Call) -> Result<Json<Value>, ApiError> {
    let name = &call.agent.name;
    let version = call.agent.default_version()?;
    version.speaks(Protocol::Responses)?;
    Ok(Json(json!({
        "protocolVersion": "0.3.0",
        "name": name,
        "description": format!("The agent {name}, emulated"),
        "version": version.spec.version,
        "url": format!("{}/agents/{name}/endpoint/protocols/a2a", call.gateway.project_endpoint),
        "preferredTransport": "JSONRPC",
        "capabilities": {"streaming": true, "pushNotifications": false},
        "defaultInputModes": ["text/plain"],
        "defaultOutputModes": ["text/plain"],
        "skills": [],
    })))
}

/// A request. Of the message only its text matters here.
#[derive(Deserialize)]
struct Request {
    #[serde(default)]
    id: Value,
    method: String,
    #[serde(default)]
    params: Value,
}

/// An error within the protocol: JSON-RPC's code and a message.
type RpcError = (i32, String);

async fn message(call: Call, Whole(body): Whole) -> Response {
    let mut session = None;
    let request = match serde_json::from_slice::<Value>(&body) {
        Err(error) => return failure(&Value::Null, &(-32700, format!("Parse error: {error}"))),
        Ok(value) => match Request::deserialize(&value) {
            Ok(request) if value["jsonrpc"] == "2.0" => request,
            _ => return failure(&value["id"], &(-32600, "This is not a JSON-RPC 2.0 request.".to_owned())),
        },
    };
    match run(&call, &request, &mut session).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => failure(&request.id, &error),
        Err(error) => error.of_invoke(session.as_deref()),
    }
}

fn failure(id: &Value, (code, message): &RpcError) -> Response {
    Json(json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}})).into_response()
}

async fn run(
    call: &Call,
    request: &Request,
    session: &mut Option<String>,
) -> Result<Result<Response, RpcError>, ApiError> {
    let streams = match request.method.as_str() {
        "message/send" => false,
        "message/stream" => true,
        other => return Ok(Err((-32601, format!("The method '{other}' is not offered.")))),
    };
    let Some(text) = text_of(&request.params) else {
        return Ok(Err((-32602, "The message has no part of kind 'text'.".to_owned())));
    };
    let continued = match request.params["message"]["contextId"].as_str() {
        Some(id) => Some(own_context(call, id)?),
        None => None,
    };
    let mut asked = json!({"input": text, "stream": streams});
    if let Some(context) = &continued {
        let record = context.record();
        if let Some(latest) = record.metadata.get(LATEST) {
            asked["previous_response_id"] = latest.clone();
        }
        if let Some(session) = record.session_id.and_then(|id| responses::usable(call, &id)) {
            asked[SESSION_QUERY] = json!(session.id());
        }
    }
    if let Some(id) = call.query(SESSION_QUERY) {
        asked[SESSION_QUERY] = json!(id);
    }
    let answered = responses::run(call, Bytes::from(asked.to_string()), session).await?;
    let context = match continued {
        Some(context) => context,
        None => call.agent.contexts.create(call.default_partition(Purpose::Invoke)?, json!({}), call.now())?,
    };
    context.change(|record| {
        record.session_id.clone_from(session);
        Ok(())
    })?;
    let headers = [SESSION, RESOLVED].map(|name| (answered.headers().get(&name).cloned(), name));
    let events =
        answered.headers().get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
    let mut response = if events && answered.status().is_success() {
        streamed(request.id.clone(), context, answered.into_body())
    } else {
        match whole(&context, answered).await? {
            Ok(result) => Json(json!({"jsonrpc": "2.0", "id": request.id, "result": result})).into_response(),
            Err(error) => failure(&request.id, &error),
        }
    };
    for (value, name) in headers {
        if let Some(value) = value {
            response.headers_mut().insert(name, value);
        }
    }
    Ok(Ok(response))
}

/// The context of this id, if it is the request's own. Another's is not shown to exist.
fn own_context(call: &Call, id: &str) -> Result<Arc<Conversation>, ApiError> {
    let asking = call.default_partition(Purpose::Invoke)?;
    let context = call.agent.contexts.get(id).ok_or_else(|| ApiError::not_found("Context", id))?;
    isolation::reach(&asking, &context.record().partition).map_err(|refusal| match refusal {
        Refusal::Hidden => ApiError::not_found("Context", id),
        refusal => refusal.into(),
    })?;
    Ok(context)
}

/// Records that the context continues from this answer.
fn answered_in(context: &Conversation, response: &Value) {
    let Some(id) = response.get("id") else { return };
    let kept = context.change(|record| {
        record.metadata[LATEST] = id.clone();
        Ok(())
    });
    if let Err(error) = kept {
        tracing::error!(?error, "a context could not be written");
    }
}

/// The text parts of a request's message.
fn text_of(params: &Value) -> Option<String> {
    let parts = params["message"]["parts"].as_array()?;
    let texts: Vec<&str> =
        parts.iter().filter(|part| part["kind"] == "text").filter_map(|part| part["text"].as_str()).collect();
    (!texts.is_empty()).then(|| texts.join("\n"))
}

/// The agent's answer as a message.
async fn whole(context: &Conversation, answered: Response) -> Result<Result<Value, RpcError>, ApiError> {
    let body = to_bytes(answered.into_body(), MAX_ANSWER).await.map_err(ApiError::internal)?;
    let object: Value = serde_json::from_slice(&body).unwrap_or_default();
    if object["status"] != "completed" {
        let reason = object["error"]["message"].as_str().unwrap_or("the agent did not complete its answer");
        return Ok(Err((-32603, reason.to_owned())));
    }
    let items = object["output"].as_array().into_iter().flatten();
    let contents = items.filter_map(|item| item["content"].as_array()).flatten();
    let text: String = contents.filter_map(|part| part["text"].as_str()).collect();
    answered_in(context, &object);
    let mut message = message_of(&text);
    message["contextId"] = json!(context.record().id);
    Ok(Ok(message))
}

fn message_of(text: &str) -> Value {
    json!({"kind": "message", "role": "agent", "messageId": ids::hex(), "parts": [{"kind": "text", "text": text}]})
}

/// The agent's events as those of a task.
fn streamed(id: Value, context: Arc<Conversation>, body: Body) -> Response {
    let mut task = Task { request_id: id, id: ids::hex(), context, events: Events::of(&PASSED), has_chunk: false };
    let begun = task.frame(&json!({"kind": "task", "status": {"state": "working"}}));
    let updates = body.into_data_stream().filter_map(move |chunk| {
        let frames = chunk.map(|bytes| task.take(&bytes));
        // An answer that breaks off ends without its last update, as it does behind the service.
        ready(frames.ok().filter(|frames| !frames.is_empty()).map(Ok::<_, Infallible>))
    });
    let body = Body::from_stream(stream::iter([Ok(begun)]).chain(updates));
    ([(CONTENT_TYPE, "text/event-stream")], body).into_response()
}

/// One streamed answer.
struct Task {
    /// The request's.
    request_id: Value,
    /// The task's own.
    id: String,
    context: Arc<Conversation>,
    events: Events,
    /// A piece of the answer was sent.
    has_chunk: bool,
}

impl Task {
    fn take(&mut self, bytes: &[u8]) -> Bytes {
        let mut frames = Vec::new();
        for data in self.events.push(bytes) {
            let event: Value = serde_json::from_str(&data).unwrap_or_default();
            let update = match event["type"].as_str().unwrap_or_default() {
                "response.output_text.delta" => self.chunk(&event["delta"], false),
                "response.completed" => {
                    answered_in(&self.context, &event["response"]);
                    if self.has_chunk {
                        let last = self.chunk(&json!(""), true);
                        frames.extend_from_slice(&self.frame(&last));
                    }
                    status("completed", None)
                }
                _ => {
                    let message = event["response"]["error"]["message"].as_str().or(event["message"].as_str());
                    status("failed", message)
                }
            };
            frames.extend_from_slice(&self.frame(&update));
        }
        Bytes::from(frames)
    }

    /// A piece of the answer. Only the first is sent without `append`, which is for an artifact that the client knows. That a
    /// piece was the last shows only when the run has ended, so the last one is empty.
    fn chunk(&mut self, text: &Value, is_last: bool) -> Value {
        let append = std::mem::replace(&mut self.has_chunk, true);
        json!({
            "kind": "artifact-update",
            "append": append,
            "lastChunk": is_last,
            "artifact": {"artifactId": "answer", "parts": [{"kind": "text", "text": text}]},
        })
    }

    /// A result as one event.
    fn frame(&self, result: &Value) -> Bytes {
        let mut result = result.clone();
        let name = if result["kind"] == "task" { "id" } else { "taskId" };
        result[name] = json!(self.id);
        result["contextId"] = json!(self.context.record().id);
        Bytes::from(format!("data: {}\n\n", json!({"jsonrpc": "2.0", "id": self.request_id, "result": result})))
    }
}

fn status(state: &str, message: Option<&str>) -> Value {
    let mut update = json!({"kind": "status-update", "final": true, "status": {"state": state}});
    if let Some(message) = message {
        update["status"]["message"] = message_of(message);
    }
    update
}
