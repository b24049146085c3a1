//! A project's agents (contract section 3).

use super::Agent;
use super::error::{FoundryError, Operation};
use super::pages::{LARGEST_PAGE, Listed, Part};
use cupola_protocol::agents::ListResponse;
use cupola_protocol::sessions::Order;
use serde_json::Value;

impl Agent {
    /// Lists the agents of this agent's project, following pages until there are `limit` or no more.
    pub async fn list_agents(&self, limit: Option<u32>, order: Option<Order>) -> Result<ListResponse, FoundryError> {
        let part = Part { limit, page_size: Some(LARGEST_PAGE), order, after: None };
        let Listed { items: data, has_more, .. } =
            self.list(Operation::ListAgents, &self.address.agents(), None, part).await?;
        let id = |agent: Option<&Value>| agent.and_then(|agent| agent.get("id")?.as_str().map(str::to_owned));
        Ok(ListResponse { first_id: id(data.first()), last_id: id(data.last()), data, has_more })
    }
}
