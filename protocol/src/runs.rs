//! `runs/*`: running and recent invokes, also for clients that did not start them.

use crate::Method;
use crate::busy::QueuePlace;
use crate::id::{ConversationId, PartitionId, ResponseId, RunId, SessionId};
use crate::invoke::{InvokeResponse, RunStatus};
use crate::isolation::Isolation;
use crate::latency::Latency;
use crate::question::Question;
use crate::reach::{Reach, Subject};
use crate::rpc::ProgressToken;
use crate::target::{AgentVersion, Target};
use serde::{Deserialize, Serialize};

/// Lists the running and recent runs, newest first; with `all` also those that earlier daemons left. The runs of a daemon that was
/// replaced and still finishes them are among the recent ones.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct List;

impl Method for List {
    const NAME: &'static str = "runs/list";
    const REACH: Reach = Reach::Owned;
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

/// Which runs. All, when nothing is given.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "RunListParams"))]
#[serde(rename_all = "camelCase", default)]
pub struct ListParams {
    /// Only those of this agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// Only those of this isolation; `{}` means calls without isolation. Needs `target`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub isolation: Option<Isolation>,
    /// Those of every agent that is in the same place as `target`: the same emulator, the same project, or this machine for a local
    /// agent. Needs `target`; cannot be combined with `isolation`, which belongs to one agent.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub any_agent: bool,
    /// Also runs that earlier daemons left when they ended, which are kept for a day, and those whose answer only the service still
    /// has.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub all: bool,
}

/// The runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "RunListResponse"))]
#[serde(rename_all = "camelCase")]
pub struct ListResponse {
    /// Newest first.
    pub runs: Vec<RunInfo>,
}

/// Shows one run.
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
    /// Whose run it is, on a bound connection: its own isolation, or on a gateway the label of the chat that the run belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isolation: Option<Isolation>,
}

/// Follows a run: its events so far, then new events, then its answer. Cancelling this call only detaches.
///
/// Each event comes once, in the order of its number. In place of events that the daemon no longer has, it sends a
/// `gap`, then a `snapshot` of their text, then the remaining events. If the run could not begin, the answer is its error.
///
/// A run that outlives the daemon is followed on the next one in the same way. One that ended with its daemon is `truncated`: the
/// answer says what is known of it.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Attach;

impl Method for Attach {
    const NAME: &'static str = "runs/attach";
    const REACH: Reach = Reach::Owned;
    type Params = AttachParams;
    type Response = InvokeResponse;

    fn hints(response: &mut InvokeResponse) -> Vec<&mut String> {
        response.failure.iter_mut().filter_map(|failure| failure.hint.as_mut()).collect()
    }
}

/// Which run, and where to start.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "RunAttachParams"))]
#[serde(rename_all = "camelCase")]
pub struct AttachParams {
    /// The run.
    pub run_id: RunId,
    /// Whose run it is, on a bound connection: its own isolation, or on a gateway the label of the chat that the run belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isolation: Option<Isolation>,
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

/// Cancels a run, here and at the service. Every attached client gets its `cancelled`. A run that has ended does not change.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Cancel;

impl Method for Cancel {
    const NAME: &'static str = "runs/cancel";
    const REACH: Reach = Reach::Owned;
    type Params = RunParams;
    type Response = RunInfo;
}

/// The status of a run. Times are RFC 3339, UTC.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct RunInfo {
    /// Its id.
    pub run_id: RunId,
    /// The agent, as saved state names it.
    pub agent: String,
    /// Whose it is: the id of its partition, as `partitions/list` shows it, once that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition_id: Option<PartitionId>,
    /// Running, or how it ended.
    pub status: RunState,
    /// The first words of what was asked. Not known of a run that an earlier daemon began: prompts are not saved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<String>,
    /// What the agent asked in this run and nobody has answered yet. Answer it with `invoke`. `runs/list` leaves it out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub questions: Vec<Question>,
    /// Where it waits, until it is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<QueuePlace>,
    /// The session that answers, once that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionId>,
    /// The conversation of this turn, once that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation_id: Option<ConversationId>,
    /// The response's or the invocation's id at the service, once that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_id: Option<ResponseId>,
    /// The version of the agent that answers, once that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_version: Option<AgentVersion>,
    /// How long the parts of the call took up to the answer's beginning, if the service measured it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
    /// When the request arrived.
    pub started_at: String,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    /// Number of its newest event; 0 before the first.
    pub last_event: u64,
    /// Whether it keeps running without any client.
    pub detached: bool,
    /// Whether it outlives the daemon: the next one continues it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub survives: bool,
    /// Why a run that an earlier daemon left has no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The number of clients that follow it.
    pub clients: u64,
}

/// Running, or how it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum RunState {
    /// It is running.
    Running,
    /// The agent finished its answer.
    Completed,
    /// It could not begin, or the agent or the service failed.
    Failed,
    /// The agent stopped early.
    Incomplete,
    /// It was cancelled.
    Cancelled,
    /// The stream ended without reporting how the run ended.
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
