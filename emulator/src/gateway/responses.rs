//! The responses protocol (contract section 7): finds the session, hands the request to its container.

use super::Gateway;
use super::answer::pass_recorded;
use super::call::{Call, Entered, Whole};
use super::forward::forward;
use super::record::Recorder;
use crate::conversation::{Conversation, input_items};
use crate::error::ApiError;
use crate::ids;
use crate::isolation::{self, Partition, Purpose};
use crate::responses::Entry;
use crate::session::{Session, Status};
use crate::sessions::NewSession;
use axum::Router;
use axum::body::Body;
use axum::response::Response;
use axum::routing::{get, post};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method};
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;

/// Makes the container use the gateway's response id (contract section 1.5).
const RESPONSE_ID: HeaderName = HeaderName::from_static("x-agent-response-id");

pub(super) fn routes() -> Router<Arc<Gateway>> {
    let table = Router::new()
        .route("/responses", post(create))
        .route("/responses/{response}", get(show).delete(delete))
        .route("/responses/{response}/cancel", post(cancel))
        .route("/responses/{response}/input_items", get(input));
    Router::new().nest("/protocols/openai", table.clone()).nest("/protocols/openai/v1", table)
}

/// What the gateway reads of a request's body; the rest is the container's business.
#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    input: Option<Value>,
    #[serde(default)]
    agent_session_id: Option<String>,
    /// The field of an older command line; its successor wins.
    #[serde(default)]
    session_id: Option<String>,
    #[serde(default)]
    conversation: Option<ConversationField>,
    #[serde(default)]
    previous_response_id: Option<String>,
    #[serde(default)]
    store: Option<bool>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "conversation must be an id or an object with an id")]
enum ConversationField {
    Id(String),
    Object { id: String },
}

impl Asked {
    fn session(&self) -> Option<&str> {
        let named = |id: &'_ Option<String>| id.as_deref().is_some_and(|id| !id.is_empty());
        match (named(&self.agent_session_id), named(&self.session_id)) {
            (true, _) => self.agent_session_id.as_deref(),
            (false, true) => self.session_id.as_deref(),
            (false, false) => None,
        }
    }

    fn conversation(&self) -> Option<&str> {
        match self.conversation.as_ref()? {
            ConversationField::Id(id) | ConversationField::Object { id } => Some(id.as_str()),
        }
    }
}

async fn create(call: Call, Whole(body): Whole) -> Response {
    let mut session = None;
    run(&call, body, &mut session).await.unwrap_or_else(|error| error.of_invoke(session.as_deref()))
}

/// Runs a turn; `session_id` is filled in as soon as it is known, for the answer of a failure.
pub(super) async fn run(call: &Call, body: Bytes, session_id: &mut Option<String>) -> Result<Response, ApiError> {
    let fields: serde_json::Map<String, Value> = serde_json::from_slice(&body)
        .map_err(|error| ApiError::invalid("body", format!("The body is not a JSON object: {error}.")))?;
    let asked = Asked::deserialize(&fields)
        .map_err(|error| ApiError::invalid("body", format!("The body is not valid: {error}.")))?;
    if asked.conversation.is_some() && asked.previous_response_id.is_some() {
        return Err(ApiError::invalid(
            "previous_response_id",
            "'conversation' and 'previous_response_id' cannot be used together.",
        ));
    }
    let entered = find_session(call, &asked).await?;
    *session_id = Some(entered.session.id().to_owned());
    let id = ids::response(asked.previous_response_id.as_deref());
    let entry = Entry {
        id: id.clone(),
        session_id: entered.session.id().to_owned(),
        partition: entered.partition.clone(),
        conversation: asked.conversation().map(str::to_owned),
        stored: asked.store.unwrap_or(true),
        deleted: false,
    };
    call.agent.responses.add(&entry, Some(input_items(asked.input.as_ref())), &entered.session)?;
    let body = with_session(body, fields, &asked, entered.session.id());
    let header = HeaderValue::from_str(&id).map_err(ApiError::internal)?;
    let answered = forward(call, &entered, Method::POST, "/responses", &[(RESPONSE_ID, header)], body).await;
    let refused = match &answered {
        Ok((response, _)) => !response.status().is_success(),
        Err(_) => true,
    };
    if refused {
        call.agent.responses.delete(&id, &entered.session);
    }
    let (response, lease) = answered?;
    let recorder = Recorder::new(&call.agent, &entered.session, &id);
    pass_recorded(response, lease, recorder).await
}

/// The session of a turn: the one named, else the conversation's, else a new one. Never that of the previous response.
async fn find_session(call: &Call, asked: &Asked) -> Result<Entered, ApiError> {
    let named = match asked.session() {
        Some(id) => Some(call.session(id, Purpose::Invoke).await?),
        None => None,
    };
    let (version, partition) = if let Some(entered) = &named {
        (Arc::clone(&entered.version), entered.partition.clone())
    } else {
        let version = call.agent.default_version()?;
        let partition = call.partition(version.spec.model, Purpose::Invoke)?;
        (version, partition)
    };
    if let Some(id) = asked.previous_response_id.as_deref() {
        if !ids::is_response(id) {
            return Err(malformed("previous_response_id".to_owned()));
        }
        own_response(call, id, &partition)?;
    }
    let Some(id) = asked.conversation() else {
        return match named {
            Some(entered) => Ok(entered),
            None => Ok(Entered { session: new_session(call, &version, &partition)?, version, partition }),
        };
    };
    let conversation = call
        .agent
        .conversation(id)
        .filter(|found| isolation::reach(&partition, &found.record().partition).is_ok())
        .ok_or_else(|| ApiError::not_found("Conversation", id))?;
    match named {
        Some(entered) => {
            bind(&conversation, entered.session.id())?;
            Ok(entered)
        }
        None => in_conversation(call, &conversation, version, partition).await,
    }
}

/// The conversation's session; created and bound on the first turn, or again if the bound one is gone.
async fn in_conversation(
    call: &Call,
    conversation: &Conversation,
    version: Arc<crate::agent::Version>,
    partition: Partition,
) -> Result<Entered, ApiError> {
    let usable = |id: &str| usable(call, id);
    if let Some(session) = conversation.record().session_id.as_deref().and_then(usable) {
        return call.session(session.id(), Purpose::Invoke).await;
    }
    // Under the conversation's lock: of two first turns at once, the second finds the first one's session.
    let session = conversation.change(|record| {
        if let Some(session) = record.session_id.as_deref().and_then(usable) {
            return Ok(session);
        }
        let session = new_session(call, &version, &partition)?;
        record.session_id = Some(session.id().to_owned());
        Ok(session)
    })?;
    Ok(Entered { session, version, partition })
}

/// The session of this id, if it can still be entered.
pub(super) fn usable(call: &Call, id: &str) -> Option<Arc<Session>> {
    let session = call.agent.sessions.get(id)?;
    (!matches!(session.record().status, Status::Expired | Status::Deleted)).then_some(session)
}

fn bind(conversation: &Conversation, session_id: &str) -> Result<(), ApiError> {
    conversation.change(|record| {
        record.session_id.get_or_insert_with(|| session_id.to_owned());
        Ok(())
    })
}

/// A sandbox of its own for a call that names none.
pub(super) fn new_session(
    call: &Call,
    version: &crate::agent::Version,
    partition: &Partition,
) -> Result<Arc<Session>, ApiError> {
    call.agent.sessions.create(NewSession {
        id: None,
        agent_version: version.spec.version.clone(),
        partition: partition.clone(),
        owner: isolation::ownership(&call.presented, &call.caller),
        now: call.now(),
    })
}

/// The body as the container gets it: the client's bytes, with the session added where it is not named yet.
fn with_session(body: Bytes, mut fields: serde_json::Map<String, Value>, asked: &Asked, session_id: &str) -> Body {
    if asked.agent_session_id.as_deref() == Some(session_id) {
        return Body::from(body);
    }
    fields.insert("agent_session_id".to_owned(), Value::from(session_id));
    Body::from(Value::Object(fields).to_string())
}

fn malformed(param: String) -> ApiError {
    ApiError::new(http::StatusCode::BAD_REQUEST, "invalid_parameters", "Malformed identifier.").param(param)
}

/// A stored response of the request's own partition. Another's is not shown to exist.
fn own_response(call: &Call, id: &str, asking: &Partition) -> Result<Entry, ApiError> {
    call.agent
        .responses
        .get(id)
        .filter(|entry| isolation::reach(asking, &entry.partition).is_ok())
        .ok_or_else(|| ApiError::no_response(id))
}

async fn show(call: Call) -> Response {
    existing(&call, Method::GET, "").await
}

async fn delete(call: Call) -> Response {
    existing(&call, Method::DELETE, "").await
}

async fn cancel(call: Call) -> Response {
    existing(&call, Method::POST, "/cancel").await
}

async fn input(call: Call) -> Response {
    existing(&call, Method::GET, "/input_items").await
}

/// Hands a request about a response to the container that ran it, woken if need be.
async fn existing(call: &Call, method: Method, suffix: &str) -> Response {
    let mut session = None;
    ask(call, method, suffix, &mut session).await.unwrap_or_else(|error| error.of_invoke(session.as_deref()))
}

async fn ask(call: &Call, method: Method, suffix: &str, session_id: &mut Option<String>) -> Result<Response, ApiError> {
    let id = call.param("response");
    let Some(session) = call.agent.responses.get(id).and_then(|entry| call.agent.sessions.get(&entry.session_id))
    else {
        call.default_partition(Purpose::Manage)?;
        return Err(if ids::is_response(id) {
            ApiError::no_response(id)
        } else {
            malformed(format!("responseId{{{id}}}"))
        });
    };
    let record = session.record();
    let version = call.agent.version(&record.agent_version).or_else(|_| call.agent.default_version())?;
    let partition = call.partition(version.spec.model, Purpose::Manage)?;
    own_response(call, id, &partition)?;
    if record.status == Status::Expired {
        return Err(ApiError::no_response(id));
    }
    *session_id = Some(session.id().to_owned());
    let entered = Entered { session, version, partition };
    let path = format!("/responses/{id}{suffix}{}", call.container_query(&[]));
    let deletes = method == Method::DELETE;
    let (response, lease) = forward(call, &entered, method, &path, &[], Body::empty()).await?;
    if deletes && response.status().is_success() {
        call.agent.responses.delete(id, &entered.session);
    }
    if suffix.is_empty() && !deletes {
        let recorder = Recorder::new(&call.agent, &entered.session, id);
        return pass_recorded(response, lease, recorder).await;
    }
    Ok(super::answer::pass(response, lease))
}
