//! `sessions/*`: the service's sandboxes, as the caller's isolation sees them.

use crate::Method;
use crate::id::SessionId;
use crate::isolation::Isolation;
use crate::observe::ProgressOptions;
use crate::reach::{Reach, Subject};
use crate::target::{AgentVersion, Target};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A session as the service describes it, in the service's own field names (contract section 4.1). Times are Unix
/// seconds, UTC. Fields a newer service adds are kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Session {
    /// The session's id.
    pub agent_session_id: String,
    /// The version it is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_indicator: Option<VersionIndicator>,
    /// `creating`, `active`, `idle`, `updating`, `failed`, `deleting`, `deleted` or `expired`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// When it was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<i64>,
    /// When it was last used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_accessed_at: Option<i64>,
    /// When it expires if it is not used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<i64>,
    /// All other fields from the service.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Session {
    /// Is it bound to this version?
    pub fn is_of(&self, version: &AgentVersion) -> bool {
        self.version_indicator.as_ref().is_some_and(|indicator| indicator.agent_version == version.as_str())
    }
}

/// Which version a session is bound to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct VersionIndicator {
    /// Always `version_ref` so far.
    #[serde(rename = "type")]
    pub kind: String,
    /// The concrete version.
    pub agent_version: String,
}

/// Creates a session and makes it the partition's current one.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Create;

impl Method for Create {
    const NAME: &'static str = "sessions/create";
    const REACH: Reach = Reach::Agent;
    type Params = CreateParams;
    type Response = Session;

    fn subject(params: &CreateParams) -> Subject<'_> {
        Subject::of(&params.target, &params.isolation)
    }

    fn progress(params: &Self::Params) -> ProgressOptions {
        params.progress.clone()
    }
}

/// What to create.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "SessionCreateParams"))]
#[serde(rename_all = "camelCase")]
pub struct CreateParams {
    /// Which agent; its `version` is the one the session is bound to.
    pub target: Target,
    /// Whose session. An ownership key given here is remembered for `sessions/delete`.
    #[serde(default)]
    pub isolation: Isolation,
    /// Its id; the service generates one when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionId>,
    /// Whether to report the requests that the call makes.
    #[serde(flatten)]
    pub progress: ProgressOptions,
}

/// Lists the sessions this isolation can see, in the service's order.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct List;

impl Method for List {
    const NAME: &'static str = "sessions/list";
    const REACH: Reach = Reach::Agent;
    type Params = ListParams;
    type Response = ListResponse;

    fn subject(params: &ListParams) -> Subject<'_> {
        Subject::of(&params.target, &params.isolation)
    }

    fn progress(params: &Self::Params) -> ProgressOptions {
        params.progress.clone()
    }
}

/// Sort order by creation time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum Order {
    /// Oldest first.
    Asc,
    /// Newest first.
    Desc,
}

/// Which sessions to list. The daemon follows the service's pages until it has `limit` sessions.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "SessionListParams"))]
#[serde(rename_all = "camelCase")]
pub struct ListParams {
    /// Which agent.
    pub target: Target,
    /// Whose sessions.
    #[serde(default)]
    pub isolation: Isolation,
    /// How many at most; all when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Sort order; the service's own when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Order>,
    /// Only those after this session in the order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<SessionId>,
    /// Whether to report the requests that the call makes.
    #[serde(flatten)]
    pub progress: ProgressOptions,
}

/// A list in the service's own shape (contract section 4.2).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "SessionListResponse"))]
pub struct ListResponse {
    /// The sessions.
    pub data: Vec<Session>,
    /// The first one's id.
    pub first_id: Option<String>,
    /// The last one's id: pass it as `after` for more.
    pub last_id: Option<String>,
    /// Whether there are more after `last_id`.
    pub has_more: bool,
}

/// Names one session. When `sessionId` is left out, the partition's current one is meant.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct SessionParams {
    /// Which agent.
    pub target: Target,
    /// Whose session.
    #[serde(default)]
    pub isolation: Isolation,
    /// Which session; the partition's current one when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionId>,
    /// Allow a session that Cupola knows to belong to another partition.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_shared_session: bool,
    /// Whether to report the requests that the call makes.
    #[serde(flatten)]
    pub progress: ProgressOptions,
}

/// Shows one session.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Show;

impl Method for Show {
    const NAME: &'static str = "sessions/show";
    const REACH: Reach = Reach::Agent;
    type Params = SessionParams;
    type Response = Session;

    fn subject(params: &SessionParams) -> Subject<'_> {
        params.subject()
    }

    fn progress(params: &Self::Params) -> ProgressOptions {
        params.progress.clone()
    }
}

/// Stops a session's compute; its files stay and the next invoke resumes it.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Stop;

impl Method for Stop {
    const NAME: &'static str = "sessions/stop";
    const REACH: Reach = Reach::Agent;
    type Params = SessionParams;
    type Response = StopResponse;

    fn subject(params: &SessionParams) -> Subject<'_> {
        params.subject()
    }

    fn progress(params: &Self::Params) -> ProgressOptions {
        params.progress.clone()
    }
}

/// What stopping did.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "SessionStopResponse"))]
#[serde(rename_all = "camelCase")]
pub struct StopResponse {
    /// The session.
    pub session_id: SessionId,
    /// Whether it was already stopped.
    pub already_stopped: bool,
}

/// Deletes a session and its files, and forgets it if it was saved.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Delete;

impl Method for Delete {
    const NAME: &'static str = "sessions/delete";
    const REACH: Reach = Reach::Agent;
    type Params = SessionParams;
    type Response = DeleteResponse;

    fn subject(params: &SessionParams) -> Subject<'_> {
        params.subject()
    }

    fn progress(params: &Self::Params) -> ProgressOptions {
        params.progress.clone()
    }
}

/// What was deleted.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "SessionDeleteResponse"))]
#[serde(rename_all = "camelCase")]
pub struct DeleteResponse {
    /// The session.
    pub session_id: SessionId,
}

/// Makes a session the partition's current one without calling the agent.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Use;

impl Method for Use {
    const NAME: &'static str = "sessions/use";
    const REACH: Reach = Reach::Agent;
    type Params = UseParams;
    type Response = Session;

    fn subject(params: &UseParams) -> Subject<'_> {
        Subject {
            session_id: Some(&params.session_id),
            allow_shared_session: params.allow_shared_session,
            ..Subject::of(&params.target, &params.isolation)
        }
    }

    fn progress(params: &Self::Params) -> ProgressOptions {
        params.progress.clone()
    }
}

/// Which session to use from now on.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "SessionUseParams"))]
#[serde(rename_all = "camelCase")]
pub struct UseParams {
    /// Which agent.
    pub target: Target,
    /// Whose session.
    #[serde(default)]
    pub isolation: Isolation,
    /// The session. It must exist for this isolation.
    pub session_id: SessionId,
    /// Allow a session that Cupola knows to belong to another partition.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_shared_session: bool,
    /// Whether to report the requests that the call makes.
    #[serde(flatten)]
    pub progress: ProgressOptions,
}

impl VersionIndicator {
    /// A reference to a concrete version.
    pub fn new(version: &AgentVersion) -> Self {
        Self { kind: "version_ref".to_owned(), agent_version: version.as_str().to_owned() }
    }
}

impl SessionParams {
    /// What a call with these names.
    pub(crate) fn subject(&self) -> Subject<'_> {
        Subject {
            session_id: self.session_id.as_ref(),
            allow_shared_session: self.allow_shared_session,
            ..Subject::of(&self.target, &self.isolation)
        }
    }
}
