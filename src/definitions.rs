//! Agents' definitions asked for lately: how an agent isolates its users and what it speaks.

use crate::foundry::cache::ExpiringCache;
use crate::foundry::{Agent, Definition, FoundryError};
use crate::partition::AgentKey;
use cupola_protocol::error::ErrorKind;
use cupola_protocol::target::AgentVersion;

/// Definitions by agent and version.
#[derive(Debug, Default)]
pub struct Definitions {
    known: ExpiringCache<(AgentKey, Option<AgentVersion>), Definition>,
}

impl Definitions {
    /// The agent's definition: remembered, or asked for. `None` when the caller may invoke the agent but not read about
    /// it, as the consumer role (contract section 1.2).
    pub async fn get(
        &self,
        agent: &Agent,
        key: &AgentKey,
        version: Option<&AgentVersion>,
    ) -> Result<Option<Definition>, FoundryError> {
        let slot = (key.clone(), version.cloned());
        if let Some(known) = self.known.get(&slot) {
            return Ok(Some(known));
        }
        match agent.definition(version).await {
            Ok(definition) => {
                self.known.keep(slot, definition.clone());
                Ok(Some(definition))
            }
            Err(error) if error.kind() == ErrorKind::Forbidden => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The agent has been deployed anew: the next call asks again.
    pub fn forget(&self, key: &AgentKey, version: Option<&AgentVersion>) {
        self.known.forget(&(key.clone(), version.cloned()));
    }
}
