//! `sessions_*`: the sandboxes of the agent under the server's isolation.

use crate::call::{Call, Reply};
use crate::refusal::Refusal;
use crate::text::{self, UNTRUSTED};
use cupola_protocol::sessions::{Create, Delete, List, Session, Stop};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// How many sessions a list has unless it is told otherwise, and how many at most: a model reads all of it.
const LIMIT: u32 = 50;
const MAX_LIMIT: u32 = 200;

/// Which session.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Arguments {
    /// The session; the current one when left out.
    #[serde(default)]
    session_id: Option<String>,
}

/// Which session to delete. It must be named: nothing is deleted by what happens to be current.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct DeleteArguments {
    /// The session.
    session_id: String,
}

/// Which session to create.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct CreateArguments {
    /// Its id; the service makes one when left out.
    #[serde(default)]
    session_id: Option<String>,
}

/// Which sessions to list.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ListArguments {
    /// How many at most: 1 to 200, 50 when left out.
    #[serde(default)]
    limit: Option<u32>,
    /// Only those after this session, for the next part of a long list.
    #[serde(default)]
    after: Option<String>,
}

/// Sessions.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Page {
    untrusted: &'static str,
    sessions: Vec<Listed>,
    /// Whether there are more; pass the last session's id as `after`.
    has_more: bool,
}

/// The session that was created.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Created {
    untrusted: &'static str,
    session: Listed,
}

/// A session.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Listed {
    /// Its id.
    session_id: String,
    /// Such as active or idle.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<String>,
    /// The version of the agent in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_version: Option<String>,
    /// When it was created, in Unix seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<i64>,
    /// When it was last used, in Unix seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_accessed_at: Option<i64>,
    /// When it expires if it is not used, in Unix seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<i64>,
}

/// The session that was stopped.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Stopped {
    session_id: String,
    /// Whether it was already stopped.
    already_stopped: bool,
}

/// The session that was deleted.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Deleted {
    session_id: String,
}

pub(crate) async fn list(mut call: Call) -> Result<Reply, Refusal> {
    let ListArguments { limit, after } = call.arguments()?;
    let limit = limit.unwrap_or(LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(Refusal::arguments(&format!("limit must be 1 to {MAX_LIMIT}")));
    }
    let mut params = json!({"limit": limit});
    if let Some(after) = after {
        params["after"] = json!(after);
    }
    let listed = call.ask::<List>(params).await?;
    let sessions = listed.data.iter().map(Listed::of).collect();
    Reply::of(&Page { untrusted: UNTRUSTED, sessions, has_more: listed.has_more })
}

pub(crate) async fn create(mut call: Call) -> Result<Reply, Refusal> {
    let CreateArguments { session_id } = call.arguments()?;
    let session = call.ask::<Create>(named(session_id)).await?;
    Reply::of(&Created { untrusted: UNTRUSTED, session: Listed::of(&session) })
}

pub(crate) async fn stop(mut call: Call) -> Result<Reply, Refusal> {
    let Arguments { session_id } = call.arguments()?;
    let stopped = call.ask::<Stop>(named(session_id)).await?;
    Reply::of(&Stopped { session_id: stopped.session_id.to_string(), already_stopped: stopped.already_stopped })
}

pub(crate) async fn delete(mut call: Call) -> Result<Reply, Refusal> {
    let DeleteArguments { session_id } = call.arguments()?;
    let deleted = call.ask::<Delete>(named(Some(session_id))).await?;
    Reply::of(&Deleted { session_id: deleted.session_id.to_string() })
}

/// Parameters that name a session.
pub(super) fn named(session_id: Option<String>) -> Value {
    session_id.map_or_else(|| json!({}), |id| json!({"sessionId": id}))
}

impl Listed {
    fn of(session: &Session) -> Self {
        Self {
            session_id: text::line(&session.agent_session_id),
            status: session.status.as_deref().map(text::line),
            agent_version: session.version_indicator.as_ref().map(|indicator| text::line(&indicator.agent_version)),
            created_at: session.created_at,
            last_accessed_at: session.last_accessed_at,
            expires_at: session.expires_at,
        }
    }
}
