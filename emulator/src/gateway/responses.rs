//! The responses protocol (contract section 7): finds the session, hands the request to its container.

use super::Gateway;
use super::answer::pass_recorded;
use super::call::{Call, Entered, Whole};
use super::forward::forward;
use super::record::Recorder;
use super::{latency, version};
use crate::agent::Version;
use crate::conversation::{Conversation, input_items};
use crate::error::ApiError;
use crate::ids;
use crate::isolation::{self, Partition, Purpose, Refusal};
use crate::options::Protocol;
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

/// Names the version that is to answer.
const VERSION_FIELD: &str = "agent_reference.version";

pub(super) fn routes() -> Router<Arc<Gateway>> {
    let table = Router::new().route("/responses", post(create)).merge(of_one());
    Router::new().nest("/protocols/openai", table.clone()).nest("/protocols/openai/v1", table)
}

/// What can be asked about one response, by its id.
pub(super) fn of_one() -> Router<Arc<Gateway>> {
    Router::new()
        .route("/responses/{response}", get(show).delete(delete))
        .route("/responses/{response}/cancel", post(cancel))
        .route("/responses/{response}/input_items", get(input))
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
    /// The agent that is to answer, and its version. What is wrong with its other fields is the container's to say.
    #[serde(default)]
    agent_reference: Option<Value>,
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

    /// The version of `agent` that is to answer, if the request names one.
    fn version(&self, agent: &str) -> Result<Option<&str>, ApiError> {
        let field = |name| self.agent_reference.as_ref().and_then(|reference| reference.get(name));
        if let Some(other) = field("name").and_then(Value::as_str).filter(|name| *name != agent) {
            let message = format!("This is the endpoint of the agent '{agent}'; '{other}' cannot answer here.");
            return Err(ApiError::invalid("agent_reference.name", message));
        }
        match field("version") {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(label)) => Ok(Some(label).filter(|label| !label.is_empty()).map(String::as_str)),
            Some(_) => Err(ApiError::invalid(VERSION_FIELD, "The version of an agent is a string.")),
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
    let id = ids::response(asked.previous_response_id.as_deref().or(asked.conversation()));
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
        call.agent.responses.delete(&entry, &entered.session);
    }
    let (mut response, lease) = answered?;
    version::tell_fallback(call, &entered, response.headers_mut());
    latency::tell(call, &mut response);
    let recorder = Recorder::new(call, &entered, entry, &response);
    pass_recorded(response, lease, recorder).await
}

/// The session of a turn: the one named, else the conversation's, else a new one. Never that of the previous response.
async fn find_session(call: &Call, asked: &Asked) -> Result<Entered, ApiError> {
    let referred = asked.version(&call.agent.name)?.map(|label| call.agent.version(label)).transpose()?;
    // A reference to a version must be kept to; an override gives way.
    let wanted = referred.clone().or_else(|| version::wanted(call));
    let named = match asked.session() {
        Some(id) => Some(call.session(id, Purpose::Invoke).await?),
        None => None,
    };
    let (version, partition) = if let Some(entered) = &named {
        check_version(referred.as_deref(), &entered.session)?;
        (Arc::clone(&entered.version), entered.partition.clone())
    } else {
        let version = wanted.clone().map_or_else(|| call.agent.default_version(), Ok)?;
        let partition = call.partition(version.spec.model, Purpose::Invoke)?;
        (version, partition)
    };
    version.speaks(Protocol::Responses)?;
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
    let conversation = call.agent.conversation(id).ok_or_else(|| ApiError::not_found("Conversation", id))?;
    conversation.reach(&partition)?;
    match named {
        Some(entered) => {
            bind(&conversation, entered.session.id())?;
            Ok(entered)
        }
        None => in_conversation(call, &conversation, version, wanted.is_some(), partition).await,
    }
}

/// A session is bound to its version: it cannot answer as another.
fn check_version(wanted: Option<&Version>, session: &Session) -> Result<(), ApiError> {
    let bound = session.record().agent_version;
    match wanted {
        Some(wanted) if wanted.spec.version != bound => Err(ApiError::invalid(
            VERSION_FIELD,
            format!(
                "Session '{}' is bound to version '{bound}'; leave out the session to use version '{}'.",
                session.id(),
                wanted.spec.version
            ),
        )),
        _ => Ok(()),
    }
}

/// The conversation's session; created and bound on the first turn, or again if the bound one is gone or is of another version
/// than the one that `is_wanted`.
async fn in_conversation(
    call: &Call,
    conversation: &Conversation,
    version: Arc<Version>,
    is_wanted: bool,
    partition: Partition,
) -> Result<Entered, ApiError> {
    let fits = |session: &Arc<Session>| !is_wanted || session.record().agent_version == version.spec.version;
    let usable = |id: &str| usable(call, id).filter(fits);
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

/// A new sandbox for a call that names none.
pub(super) fn new_session(call: &Call, version: &Version, partition: &Partition) -> Result<Arc<Session>, ApiError> {
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

/// A stored response of the request's own partition, to be continued. Another's is not shown to exist, unless the wall between
/// delegated and own state is all that hides it. The gateway answers in its own words, not the container's (case G-A4 of contract
/// section 13.5).
fn own_response(call: &Call, id: &str, asking: &Partition) -> Result<(), ApiError> {
    let mut refusal = Refusal::Hidden;
    for entry in call.agent.responses.get(id) {
        match isolation::reach(asking, &entry.partition) {
            Ok(()) => return Ok(()),
            Err(Refusal::Wall) => refusal = Refusal::Wall,
            Err(_) => {}
        }
    }
    Err(match refusal {
        Refusal::Hidden => ApiError::not_found("Response", id),
        refusal => refusal.into(),
    })
}

fn hidden_response(refusal: Refusal, id: &str) -> ApiError {
    match refusal {
        Refusal::Hidden => ApiError::no_response(id),
        refusal => refusal.into(),
    }
}

async fn show(call: Call) -> Response {
    existing(&call, Method::GET, true).await
}

async fn delete(call: Call) -> Response {
    existing(&call, Method::DELETE, false).await
}

async fn cancel(call: Call) -> Response {
    existing(&call, Method::POST, false).await
}

async fn input(call: Call) -> Response {
    existing(&call, Method::GET, false).await
}

/// Hands a request about a response to the container that ran it, woken if need be. `shows_it`: the answer is the response.
async fn existing(call: &Call, method: Method, shows_it: bool) -> Response {
    let mut session = None;
    ask(call, method, shows_it, &mut session).await.unwrap_or_else(|error| error.of_invoke(session.as_deref()))
}

/// The response of this id that the request may reach, and where its session may be entered for it.
pub(super) fn find(call: &Call, id: &str) -> Result<(Entry, Entered), ApiError> {
    let mut refusal = None;
    for entry in call.agent.responses.get(id) {
        let Some(session) = call.agent.sessions.get(&entry.session_id) else { continue };
        let version = call.agent.version(&session.record().agent_version).or_else(|_| call.agent.default_version())?;
        let asking = call.partition(version.spec.model, Purpose::Manage);
        let reached = asking.and_then(|asking| match isolation::reach(&asking, &entry.partition) {
            Ok(()) => Ok(asking),
            Err(refusal) => Err(hidden_response(refusal, id)),
        });
        match reached {
            Ok(partition) => return Ok((entry, Entered { session, version, partition })),
            Err(error) if error.is_not_found() => _ = refusal.get_or_insert(error),
            Err(error) => refusal = Some(error),
        }
    }
    Err(refusal.unwrap_or_else(|| unknown(id)))
}

/// The answer for an id that no response has.
pub(super) fn unknown(id: &str) -> ApiError {
    if ids::is_response(id) { ApiError::no_response(id) } else { malformed(format!("responseId{{{id}}}")) }
}

async fn ask(
    call: &Call,
    method: Method,
    shows_it: bool,
    session_id: &mut Option<String>,
) -> Result<Response, ApiError> {
    let id = call.param("response");
    if call.agent.responses.get(id).next().is_none() {
        // A request that could see no response at all is told so first.
        call.default_partition(Purpose::Manage)?;
    }
    let (entry, entered) = find(call, id)?;
    if entered.session.record().status == Status::Expired {
        return Err(ApiError::no_response(id));
    }
    *session_id = Some(entered.session.id().to_owned());
    let deletes = method == Method::DELETE;
    let target = call.container_target(None);
    let (response, lease) = forward(call, &entered, method, &target, &[], Body::empty()).await?;
    if deletes && response.status().is_success() {
        call.agent.responses.delete(&entry, &entered.session);
    }
    if shows_it {
        let recorder = Recorder::new(call, &entered, entry, &response);
        return pass_recorded(response, lease, recorder).await;
    }
    Ok(super::answer::pass(response, lease))
}
