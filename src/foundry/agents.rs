//! A project's agents (contract section 3).

use super::Agent;
use super::client::Call;
use super::error::{FoundryError, Operation};
use cupola_protocol::agents::ListResponse;
use cupola_protocol::sessions::Order;
use http::Method;
use serde::Deserialize;
use serde_json::Value;

/// Most pages of one list that are followed. Ten thousand agents are more than a project holds; more pages are a loop.
const MAX_PAGES: usize = 100;

/// Most agents the service puts in one page.
const MAX_PAGE: usize = 100;

#[derive(Deserialize)]
struct Page {
    data: Vec<Value>,
    #[serde(default)]
    last_id: Option<String>,
    #[serde(default)]
    has_more: Option<bool>,
}

impl Agent {
    /// Lists the agents of this agent's project, following pages until there are `limit` or no more.
    pub async fn list_agents(&self, limit: Option<u32>, order: Option<Order>) -> Result<ListResponse, FoundryError> {
        let limit = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        let mut data: Vec<Value> = Vec::new();
        let mut after: Option<String> = None;
        let mut has_more = false;
        for _ in 0..MAX_PAGES {
            let mut url = self.address.agents();
            {
                let mut query = url.query_pairs_mut();
                query.append_pair("limit", &(limit - data.len()).clamp(1, MAX_PAGE).to_string());
                if let Some(order) = order {
                    query.append_pair("order", if order == Order::Asc { "asc" } else { "desc" });
                }
                if let Some(after) = &after {
                    query.append_pair("after", after);
                }
            }
            let page: Page =
                self.client.json(&self.address, &Call::new(Operation::ListAgents, Method::GET, url)).await?;
            // As with sessions: only an explicit `false` ends the list before its empty page.
            let next = page.last_id.filter(|id| !id.is_empty() && page.has_more != Some(false));
            let is_last = page.data.is_empty() || next.is_none() || next == after;
            data.extend(page.data);
            has_more = !is_last || data.len() > limit;
            if is_last || data.len() >= limit {
                break;
            }
            after = next;
        }
        data.truncate(limit);
        let id = |agent: Option<&Value>| agent.and_then(|agent| agent.get("id")?.as_str().map(str::to_owned));
        Ok(ListResponse { first_id: id(data.first()), last_id: id(data.last()), data, has_more })
    }
}
