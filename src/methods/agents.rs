//! `agents/list`, `agents/show`: the project's agents, in the service's own words.

use crate::error::CallError;
use crate::foundry::{Definition, SpokenProtocol};
use crate::rpc::Call;
use crate::rpc::explain::explain;
use crate::target::Resolved;
use cupola_protocol::agents::{ListParams, ListResponse, ShowParams, ShowResponse};

pub(crate) async fn list(call: Call, params: ListParams) -> Result<ListResponse, CallError> {
    let agent = call.daemon.targets.project(&params.target).await?.with(call.extras());
    agent.list_agents(params.limit, params.order).await.map_err(|error| explain(error, None))
}

pub(crate) async fn show(call: Call, params: ShowParams) -> Result<ShowResponse, CallError> {
    let Resolved { target, agent, deployed, .. } = call.daemon.targets.resolve(&params.target).await?;
    let agent = agent.with(call.extras());
    let version = target.version().or(deployed.as_ref());
    let (shown, definition) = agent.describe(version).await.map_err(|error| explain(error, None))?;
    let spoken = |spoken: &SpokenProtocol| format!("{} {}", spoken.name, spoken.version).trim_end().to_owned();
    Ok(ShowResponse {
        agent: shown.agent,
        version: shown.version,
        isolation_model: Definition::isolation_model(&definition),
        protocols: definition.protocols.iter().map(spoken).collect(),
        url: agent.address().shown(),
    })
}
