//! `agents/*`: the project's agents, as the service describes them.

use crate::Method;
use crate::isolation::IsolationModel;
use crate::observe::Watch;
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

    fn watch(params: &Self::Params) -> Watch {
        params.watch.clone()
    }
}

/// Which agents to list. Pages of the service are followed until `limit` agents are there.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "AgentListParams"))]
#[serde(rename_all = "camelCase")]
pub struct ListParams {
    /// Any agent of the project, or a directory, whatever agents its project has.
    pub target: Target,
    /// How many at most; all when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Sort order by creation time; the service's own when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Order>,
    /// What the caller wants to see of the requests.
    #[serde(flatten)]
    pub watch: Watch,
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
    /// Are there more than were asked for?
    pub has_more: bool,
}

/// Shows one agent and the version that the target means.
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

    fn watch(params: &Self::Params) -> Watch {
        params.watch.clone()
    }
}

/// Which agent to show.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "AgentShowParams"))]
#[serde(rename_all = "camelCase")]
pub struct ShowParams {
    /// The agent; of a directory without a version, the version that azd deployed last is shown.
    pub target: Target,
    /// What the caller wants to see of the requests.
    #[serde(flatten)]
    pub watch: Watch,
}

/// An agent.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "AgentShowResponse"))]
#[serde(rename_all = "camelCase")]
pub struct ShowResponse {
    /// The service's agent object, verbatim.
    pub agent: Value,
    /// The service's object of the version that was asked for, or that new sessions get, verbatim; null if there is none.
    pub version: Value,
    /// How that version isolates its users; left out when its definition does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isolation_model: Option<IsolationModel>,
    /// What that version speaks, each with its version, such as `responses 2.0.0`.
    pub protocols: Vec<String>,
    /// Where the agent is: the URL its endpoints are below.
    pub url: String,
}
