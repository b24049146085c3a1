//! `agents/*`: the project's agents, as the service describes them.

use crate::Method;
use crate::isolation::IsolationModel;
use crate::observe::ProgressOptions;
use crate::reach::{Reach, Subject};
use crate::sessions::Order;
use crate::target::Target;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Lists the agents of the project that the target is in.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct List;

impl Method for List {
    const NAME: &'static str = "agents/list";
    const REACH: Reach = Reach::Daemon;
    type Params = ListParams;
    type Response = ListResponse;

    fn subject(params: &ListParams) -> Subject<'_> {
        Subject::agent(&params.target)
    }

    fn progress(params: &Self::Params) -> ProgressOptions {
        params.progress.clone()
    }
}

/// Which agents to list. The daemon follows the service's pages until it has `limit` agents.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "AgentListParams"))]
#[serde(rename_all = "camelCase")]
pub struct ListParams {
    /// Any agent of the project, or a directory; its project may have several agents.
    pub target: Target,
    /// How many at most; all when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Sort order by creation time; the service's own when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Order>,
    /// Whether to report the requests that the call makes.
    #[serde(flatten)]
    pub progress: ProgressOptions,
}

/// A list in the service's own shape (contract section 3).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "AgentListResponse"))]
pub struct ListResponse {
    /// The service's agent objects, verbatim.
    pub data: Vec<Value>,
    /// The first one's id.
    pub first_id: Option<String>,
    /// The last one's id.
    pub last_id: Option<String>,
    /// Whether there are more agents than were asked for.
    pub has_more: bool,
}

/// Shows one agent and the version that the target selects.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Show;

impl Method for Show {
    const NAME: &'static str = "agents/show";
    const REACH: Reach = Reach::Agent;
    type Params = ShowParams;
    type Response = ShowResponse;

    fn subject(params: &ShowParams) -> Subject<'_> {
        Subject::agent(&params.target)
    }

    fn progress(params: &Self::Params) -> ProgressOptions {
        params.progress.clone()
    }
}

/// Which agent to show.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "AgentShowParams"))]
#[serde(rename_all = "camelCase")]
pub struct ShowParams {
    /// The agent. For a directory without a version, the version that azd deployed last is shown.
    pub target: Target,
    /// Whether to report the requests that the call makes.
    #[serde(flatten)]
    pub progress: ProgressOptions,
}

/// An agent.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "AgentShowResponse"))]
#[serde(rename_all = "camelCase")]
pub struct ShowResponse {
    /// The service's agent object, verbatim.
    pub agent: Value,
    /// The service's object for the requested version, or for the version that new sessions get, verbatim; null without either.
    pub version: Value,
    /// How that version isolates its users; left out when its definition does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isolation_model: Option<IsolationModel>,
    /// The protocols of that version, each with its own version, such as `responses 2.0.0`.
    pub protocols: Vec<String>,
    /// The base URL of the agent's endpoints.
    pub url: String,
}
