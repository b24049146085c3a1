//! `runs/*`: invokes under way and those that ended lately, for whoever did not begin them.

use crate::Method;
use crate::id::{ConversationId, RunId, SessionId};
use crate::invoke::{InvokeResponse, RunStatus};
use crate::isolation::Isolation;
use crate::reach::{Reach, Subject};
use crate::rpc::ProgressToken;
use crate::target::Target;
use serde::{Deserialize, Serialize};

/// Lists the runs this daemon knows: those under way and those that ended lately. Newest first.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct List;

impl Method for List {
    const NAME: &'static str = "runs/list";
    const REACH: Reach = Reach::Owned;
    type Params = ListParams;
    type Response = ListResponse;

    fn subject(params: &ListParams) -> Subject<'_> {
        Subject { target: params.target.as_ref(), isolation: params.isolation.as_ref(), ..Subject::default() }
    }
}

/// Which runs. All, when nothing is given.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "RunListParams"))]
#[serde(rename_all = "camelCase", default)]
pub struct ListParams {
    /// Only those of this agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// Only those of this isolation; `{}` is a call's that gives none. Needs `target`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub isolation: Option<Isolation>,
}

/// The runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "RunListResponse"))]
#[serde(rename_all = "camelCase")]
pub struct ListResponse {
    /// Newest first.
    pub runs: Vec<RunInfo>,
}

/// How one run is.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Show;

impl Method for Show {
    const NAME: &'static str = "runs/show";
    const REACH: Reach = Reach::Owned;
    type Params = RunParams;
    type Response = RunInfo;
}

/// Which run.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct RunParams {
    /// From an event, from `runs/list`, or from a response.
    pub run_id: RunId,
}

/// Follows a run: what it has said so far, then what it says, then its answer. Cancelling this call only detaches.
///
/// Each event comes once, in the order of its number. Where the daemon no longer has events, a `gap` comes, then a
/// `snapshot` of the text they made, then what is left. A run that could not begin answers with its error here, too.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Attach;

impl Method for Attach {
    const NAME: &'static str = "runs/attach";
    const REACH: Reach = Reach::Owned;
    type Params = AttachParams;
    type Response = InvokeResponse;
}

/// Which run, and from where on.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "RunAttachParams"))]
#[serde(rename_all = "camelCase")]
pub struct AttachParams {
    /// The run.
    pub run_id: RunId,
    /// The last event number this client has seen; everything when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// Leave out `output` events, as in `invoke`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub text_only: bool,
    /// Send events as `$/progress` with this token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partial_result_token: Option<ProgressToken>,
}

/// Ends a run, here and at the service; everybody attached gets its `cancelled`. One that has ended stays as it is.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Cancel;

impl Method for Cancel {
    const NAME: &'static str = "runs/cancel";
    const REACH: Reach = Reach::Owned;
    type Params = RunParams;
    type Response = RunInfo;
}

/// How a run is. Times are RFC 3339, UTC.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct RunInfo {
    /// Its id.
    pub run_id: RunId,
    /// The agent, as saved state names it.
    pub agent: String,
    /// Under way, or how it ended.
    pub status: RunState,
    /// The session that answers, once that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionId>,
    /// The conversation of this turn, once that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation_id: Option<ConversationId>,
    /// When the request arrived.
    pub started_at: String,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    /// Number of its newest event; 0 before the first.
    pub last_event: u64,
    /// Goes on without any client.
    pub detached: bool,
    /// Clients that follow it.
    pub clients: u64,
}

/// Under way, or how it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum RunState {
    /// Under way.
    Running,
    /// The agent finished its answer.
    Completed,
    /// It could not begin, or the agent or the service failed.
    Failed,
    /// The agent stopped early.
    Incomplete,
    /// It was cancelled.
    Cancelled,
    /// The stream ended without saying how the run did.
    Truncated,
}

impl From<RunStatus> for RunState {
    fn from(status: RunStatus) -> Self {
        match status {
            RunStatus::Completed => Self::Completed,
            RunStatus::Failed => Self::Failed,
            RunStatus::Incomplete => Self::Incomplete,
            RunStatus::Cancelled => Self::Cancelled,
            RunStatus::Truncated => Self::Truncated,
        }
    }
}
