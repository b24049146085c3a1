//! Which agents a list is about.

use crate::error::CallError;
use crate::partition::AgentKey;
use crate::partition::pages::Among;
use crate::target::{named, placed};
use cupola_protocol::isolation::Isolation;
use cupola_protocol::target::Target;

/// What a call's parameters say. `isolation` is not looked at any further.
pub(super) async fn among(
    target: Option<&Target>,
    isolation: Option<&Isolation>,
    any_agent: bool,
) -> Result<Among, CallError> {
    Ok(match (target, any_agent) {
        (None, false) => Among::All,
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
            Among::Beside(AgentKey::new(&place))
        }
        (Some(target), false) => Among::Of(AgentKey::new(&named(target).await?.0)),
    })
}
