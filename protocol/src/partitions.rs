//! `partitions/*`: saved state, without calling an agent.

use crate::Method;
use crate::id::{ConversationId, PartitionId, SessionId};
use crate::isolation::Isolation;
use crate::reach::{Reach, Subject};
use crate::target::{AgentVersion, Target};
use serde::{Deserialize, Serialize};

/// Lists what is saved: which session and conversation each partition continues. The service is asked for nothing but, to
/// tell which are the caller's own, the agent's definition.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct List;

impl Method for List {
    const NAME: &'static str = "partitions/list";
    const REACH: Reach = Reach::Owned;
    type Params = ListParams;
    type Response = ListResponse;

    fn subject(params: &ListParams) -> Subject<'_> {
        Subject { target: params.target.as_ref(), isolation: params.isolation.as_ref(), ..Subject::default() }
    }
}

/// Which partitions. All, when nothing is given.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "PartitionListParams"))]
#[serde(rename_all = "camelCase", default)]
pub struct ListParams {
    /// Only those of this agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// Mark those of this isolation as `own`; `{}` is a call's that gives none. Needs `target`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub isolation: Option<Isolation>,
}

/// What is saved.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "PartitionListResponse"))]
#[serde(rename_all = "camelCase")]
pub struct ListResponse {
    /// The latest used first. To a bound connection, its own only.
    pub partitions: Vec<PartitionInfo>,
}

/// What one partition continues.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PartitionInfo {
    /// To forget it by.
    pub id: PartitionId,
    /// The agent, as saved state names it.
    pub agent: String,
    /// The version that was asked for, if one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<AgentVersion>,
    /// The session the next call continues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionId>,
    /// The conversation the next call continues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation_id: Option<ConversationId>,
    /// The context the next call by A2A continues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_id: Option<ConversationId>,
    /// Is it of the isolation that was given?
    pub own: bool,
    /// When it changed last. RFC 3339, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<String>,
}

/// Forgets which session and conversation partitions continue, so that their next call starts new ones, and the ownership
/// keys of their sessions. The sessions, their files and the conversations stay at the service, and whose they are stays
/// known here.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Forget;

impl Method for Forget {
    const NAME: &'static str = "partitions/forget";
    const REACH: Reach = Reach::Daemon;
    type Params = ForgetParams;
    type Response = ForgetResponse;

    fn subject(params: &ForgetParams) -> Subject<'_> {
        Subject { target: params.target.as_ref(), isolation: params.isolation.as_ref(), ..Subject::default() }
    }
}

/// What to forget: one partition by its id, or those of an agent and an isolation.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "PartitionForgetParams"))]
#[serde(rename_all = "camelCase", default)]
pub struct ForgetParams {
    /// From `partitions/list`. Not together with `target`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<PartitionId>,
    /// The agent; of all its versions if it names none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// Whose; without any isolation when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub isolation: Option<Isolation>,
}

/// What was forgotten.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "PartitionForgetResponse"))]
#[serde(rename_all = "camelCase")]
pub struct ForgetResponse {
    /// How many partitions.
    pub forgotten: u64,
}

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
