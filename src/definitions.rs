//! Agents' definitions asked for lately: how an agent isolates its users and what it speaks.

use crate::foundry::{Agent, Definition, FoundryError};
use crate::partition::AgentKey;
use cupola_protocol::error::ErrorKind;
use cupola_protocol::target::AgentVersion;
use dashmap::DashMap;
use std::time::Duration;
use tokio::time::Instant;

/// How long a definition is believed. A redeploy that changes it is rare, and its first wrong call gets the service's
/// error.
const LIFE: Duration = Duration::from_mins(5);

/// Agents remembered at most. A daemon talks to a handful; a script that makes up names must not fill the memory.
const MAX_DEFINITIONS: usize = 1000;

/// Definitions by agent and version.
#[derive(Debug, Default)]
pub struct Definitions {
    known: DashMap<(AgentKey, Option<AgentVersion>), (Definition, Instant)>,
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
        if let Some(known) = self.known.get(&slot)
            && known.1.elapsed() < LIFE
        {
            return Ok(Some(known.0.clone()));
        }
        match agent.definition(version).await {
            Ok(definition) => {
                if self.known.len() >= MAX_DEFINITIONS {
                    self.known.clear();
                }
                self.known.insert(slot, (definition.clone(), Instant::now()));
                Ok(Some(definition))
            }
            Err(error) if error.kind() == ErrorKind::Forbidden => Ok(None),
            Err(error) => Err(error),
        }
    }
}
