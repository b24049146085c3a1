//! `partitions/*`: saved state, without calling an agent.

use crate::Method;
use crate::id::{ConversationId, SessionId};
use crate::isolation::Isolation;
use crate::target::Target;
use serde::{Deserialize, Serialize};

/// Takes over sessions and conversations that another program has saved, so that the next call continues them.
///
/// Whether they still exist is not asked: a session that is gone is replaced at the next call, with a notice. The service
/// is asked at most for the agent's definition, and not even that when every isolation names its model.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Import;

impl Method for Import {
    const NAME: &'static str = "partitions/import";
    type Params = ImportParams;
    type Response = ImportResponse;
}

/// What to take over.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ImportParams {
    /// One per agent, version and user. At most 1000.
    pub entries: Vec<ImportEntry>,
    /// Replace what is saved already.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub force: bool,
    /// Say what would happen, and change nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
}

/// What one user was last doing with one agent.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ImportEntry {
    /// Which agent.
    pub target: Target,
    /// Whose it is.
    #[serde(default)]
    pub isolation: Isolation,
    /// The session to continue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionId>,
    /// The conversation to continue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation_id: Option<ConversationId>,
}

/// What was taken over.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ImportResponse {
    /// One per entry, in their order.
    pub entries: Vec<Imported>,
}

/// What happened to one entry.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Imported {
    /// What happened to its session, if it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<ImportOutcome>,
    /// What happened to its conversation, if it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<ImportOutcome>,
    /// Why the entry was refused, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// What happened to one id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum ImportOutcome {
    /// It is the current one from now on, or would be.
    Imported,
    /// It was already.
    Unchanged,
    /// Another one is saved, and stays.
    Kept,
    /// It is known as another user's, and stays theirs.
    Foreign,
}
