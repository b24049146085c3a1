//! Which agents a list is about.

use crate::error::CallError;
use crate::partition::AgentKey;
use crate::target::{named, placed};
use cupola_protocol::isolation::Isolation;
use cupola_protocol::target::Target;

/// Which agents a list is about.
#[derive(Debug)]
pub(super) enum Agents {
    /// All.
    All,
    /// This one.
    One(AgentKey),
    /// This one and all that are in the same place.
    Beside(AgentKey),
}

impl Agents {
    /// What a call's parameters say. `isolation` is not looked at any further.
    pub(super) async fn of(
        target: Option<&Target>,
        isolation: Option<&Isolation>,
        any_agent: bool,
    ) -> Result<Self, CallError> {
        Ok(match (target, any_agent) {
            (None, false) => Self::All,
            (None, true) => {
                return Err(CallError::invalid_params("anyAgent needs a target that says where the agents are")
                    .hint("give target as well, or leave anyAgent out for the agents of all places"));
            }
            (Some(_), true) if isolation.is_some() => {
                return Err(CallError::invalid_params(
                    "anyAgent cannot be combined with isolation: an isolation belongs to one agent",
                )
                .hint("leave one of them out"));
            }
            (Some(target), true) => {
                let place = placed(target).await?;
                Self::Beside(AgentKey::new(&place))
            }
            (Some(target), false) => Self::One(AgentKey::new(&named(target).await?.0)),
        })
    }

    pub(super) fn has(&self, agent: &AgentKey) -> bool {
        match self {
            Self::All => true,
            Self::One(one) => one == agent,
            Self::Beside(one) => one.is_beside(agent),
        }
    }
}
