//! `partitions/*`: saved state, without calling an agent.

use crate::Method;
use crate::id::{ConversationId, PartitionId, SessionId};
use crate::isolation::Isolation;
use crate::reach::{Reach, Subject};
use crate::target::{AgentVersion, Target};
use serde::{Deserialize, Serialize};

/// The most partitions of one page. At about 300 bytes each, its answer is far below the longest message, and it keeps other calls
/// from saved state for a few milliseconds.
pub const MAX_PAGE: u32 = 1000;

/// Lists what is saved: which session and conversation each partition continues. The service is asked only
/// for the agent's definition, and only to find which partitions are the caller's own.
///
/// Without `limit` and `after`, the answer has all partitions, the most recently used first. If they are more than a message can hold,
/// the call is refused. With one of the two, the answer is a page: it has the next partitions in the order of their keys. A key never
/// changes, so a client that reads page after page gets each partition exactly once that is there all the time, whatever is saved and
/// forgotten meanwhile. A page takes as long whether there are few partitions or many. In a shared store, one of all agents takes
/// longer the more agents there are.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct List;

impl Method for List {
    const NAME: &'static str = "partitions/list";
    const REACH: Reach = Reach::Owned;
    const HAS_PAGES: bool = true;
    type Params = ListParams;
    type Response = ListResponse;

    fn subject(params: &ListParams) -> Subject<'_> {
        Subject {
            target: params.target.as_ref(),
            isolation: params.isolation.as_ref(),
            is_any_agent: params.any_agent,
            ..Subject::default()
        }
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
    /// Mark those of this isolation as `own`; `{}` means calls without isolation. Needs `target`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub isolation: Option<Isolation>,
    /// Those of every agent that is in the same place as `target`: the same emulator, the same project, or this machine for a local
    /// agent. Needs `target`; cannot be combined with `isolation`, which belongs to one agent.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub any_agent: bool,
    /// The largest number of partitions to return, at least 1. It is 1000 if only `after` is given, and a larger number counts as 1000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Only those after this place in the order of pages: `next` of the page before, which was read with the same `target`, `isolation`
    /// and `anyAgent`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// What is saved.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "PartitionListResponse"))]
#[serde(rename_all = "camelCase")]
pub struct ListResponse {
    /// The most recently used first; in a page, in the order of their keys. A bound connection sees only its own.
    pub partitions: Vec<PartitionInfo>,
    /// Pass this as `after` to get the next page. The last page does not have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// What one partition continues.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PartitionInfo {
    /// The id to forget it by.
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
    /// Whether it belongs to the given isolation.
    pub own: bool,
    /// When it last changed. RFC 3339, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<String>,
}

/// Forgets which session and conversation partitions continue, so that their next call starts new ones, and the ownership
/// keys of their sessions. The service keeps the sessions, their files and the conversations, and Cupola still knows
/// whose they are.
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
    /// Whose state; the state without isolation when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub isolation: Option<Isolation>,
}

/// What was forgotten.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "PartitionForgetResponse"))]
#[serde(rename_all = "camelCase")]
pub struct ForgetResponse {
    /// The number of partitions.
    pub forgotten: u64,
}

/// Imports sessions and conversations saved by another program, so that the next call continues them.
///
/// Cupola does not check whether they still exist: the next call replaces a missing session, with a notice. The service
/// is asked only for the agent's definition, unless every isolation names its model.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Import;

impl Method for Import {
    const NAME: &'static str = "partitions/import";
    type Params = ImportParams;
    type Response = ImportResponse;
}

/// What to import.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ImportParams {
    /// One per agent, version and user. At most 1000.
    pub entries: Vec<ImportEntry>,
    /// Replace existing saved state.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub force: bool,
    /// Report what would happen, without changing anything.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
}

/// What one user last used with one agent.
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

/// What was imported.
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
    /// It became the current one, or would have.
    Imported,
    /// It already was the current one.
    Unchanged,
    /// Another one is saved and was kept.
    Kept,
    /// It is known to belong to another user, and was not imported.
    Foreign,
}
