//! A project's agents: listing them, and reading what one of them is (contract section 3).

use super::Agent;
use super::definition::{AgentObject, Definition, Described, VersionObject};
use super::error::{Denial, FoundryError, Operation};
use super::pages::{LARGEST_PAGE, Listed, Part};
use super::request::Request;
use cupola_protocol::agents::ListResponse;
use cupola_protocol::error::ErrorKind;
use cupola_protocol::sessions::Order;
use cupola_protocol::target::AgentVersion;
use http::Method;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;
use url::Url;

impl Agent {
    /// Lists the agents of this agent's project, following pages until there are `limit` or no more.
    pub async fn list_agents(&self, limit: Option<u32>, order: Option<Order>) -> Result<ListResponse, FoundryError> {
        let part = Part { limit, page_size: Some(LARGEST_PAGE), order, after: None };
        let Listed { items: data, has_more, .. } =
            self.list(Operation::ListAgents, &self.address.agents(), None, part).await?;
        let id = |agent: Option<&Value>| agent.and_then(|agent| agent.get("id")?.as_str().map(str::to_owned));
        Ok(ListResponse { first_id: id(data.first()), last_id: id(data.last()), data, has_more })
    }

    /// The definition of `version`, or of the version the agent selects, as the service tells it at `since` or later. `None` when
    /// the caller may invoke the agent but not read about it, as the consumer role (contract section 1.2).
    pub async fn definition(
        &self,
        version: Option<&AgentVersion>,
        since: Instant,
    ) -> Result<Option<Definition>, FoundryError> {
        let read = Box::pin(async {
            match self.read_definition(version).await {
                Ok(definition) => Ok(Some(definition)),
                // The network lets nothing through: that is not about reading.
                Err(error) if error.kind() == ErrorKind::Forbidden && error.denial() != Some(Denial::Network) => {
                    Ok(None)
                }
                Err(error) => Err(error),
            }
        });
        self.shared.definitions.get(&self.definition_url(version), since, read).await
    }

    /// An answer to what was sent at `sent` shows that the definition is still what it was.
    pub async fn confirm_definition(&self, version: Option<&AgentVersion>, sent: Instant) {
        self.shared.definitions.confirm(&self.definition_url(version), sent).await;
    }

    /// Has the next call read the definition again: the agent may have been redeployed.
    pub fn forget_definition(&self, version: Option<&AgentVersion>) {
        self.shared.definitions.forget(&self.definition_url(version));
    }

    fn definition_url(&self, version: Option<&AgentVersion>) -> Url {
        match version {
            Some(version) => self.address.agent(&["versions", version.as_str()]),
            None => self.address.agent(&[]),
        }
    }

    /// Reads the definition from the service. One request, or two when the selected version is not the latest.
    pub async fn read_definition(&self, version: Option<&AgentVersion>) -> Result<Definition, FoundryError> {
        if let Some(version) = version {
            return Ok(self.version(version).await?.into());
        }
        let request = Request::new(Operation::ReadAgent, Method::GET, self.address.agent(&[]));
        let agent: AgentObject = self.json(&request).await?;
        let selected = agent.selected();
        let latest = agent.versions.and_then(|versions| versions.latest);
        match selected {
            Some(selected) if latest.as_ref().and_then(|latest| latest.version.as_ref()) != Some(&selected) => {
                Ok(self.version(&selected).await?.into())
            }
            _ => Ok(latest.map(Definition::from).unwrap_or_default()),
        }
    }

    /// The version that was deployed last; `None` if the agent has none.
    pub async fn latest_version(&self) -> Result<Option<AgentVersion>, FoundryError> {
        let request = Request::new(Operation::ReadAgent, Method::GET, self.address.agent(&[]));
        let agent: AgentObject = self.json(&request).await?;
        Ok(agent.versions.and_then(|versions| versions.latest?.version))
    }

    /// Reads the agent and `version`, or the version the agent selects, in the service's words and in ours.
    pub async fn describe(&self, version: Option<&AgentVersion>) -> Result<(Described, Definition), FoundryError> {
        let odd = |error: serde_json::Error| FoundryError::UnexpectedAnswer {
            operation: Operation::ReadAgent,
            reason: format!("its JSON cannot be used: {error}"),
        };
        let read = |url| async { self.json::<Value>(&Request::new(Operation::ReadAgent, Method::GET, url)).await };
        let agent = read(self.address.agent(&[])).await?;
        let object = AgentObject::deserialize(&agent).map_err(odd)?;
        let latest = agent.pointer("/versions/latest").cloned().unwrap_or_default();
        let wanted = version.cloned().or_else(|| object.selected());
        let is_latest =
            wanted.as_ref().is_none_or(|wanted| latest.get("version").and_then(Value::as_str) == Some(wanted.as_str()));
        let version = match &wanted {
            Some(wanted) if !is_latest => read(self.address.agent(&["versions", wanted.as_str()])).await?,
            _ => latest,
        };
        let known = Option::<VersionObject>::deserialize(&version).map_err(odd)?;
        let definition = known.map(Definition::from).unwrap_or_default();
        Ok((Described { agent, version }, definition))
    }

    async fn version(&self, version: &AgentVersion) -> Result<VersionObject, FoundryError> {
        let url = self.address.agent(&["versions", version.as_str()]);
        self.json(&Request::new(Operation::ReadAgent, Method::GET, url)).await
    }
}
