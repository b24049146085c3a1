//! May the credential act for users? An agent that isolates by identity (container protocol 2.0.0) requires the permission
//! `UserIdentityImpersonation` for that, which no built-in role has (contract section 13.3).

use crate::config::gateway::{AgentSettings, GatewaySettings};
use crate::daemon::Daemon;
use crate::error::CallError;
use crate::foundry::{Extras, ListSessions};
use crate::rpc::scope::{Confirmed, Scope};
use cupola_protocol::error::ErrorKind;
use cupola_protocol::isolation::IsolationModel;
use cupola_protocol::target::AgentName;
use futures_util::future::join_all;
use std::time::Duration;

/// The user that a gateway's permission is tried with: one who does not exist and has no sessions. It fits the rules of keys and of identities.
const NOBODY: &str = "cupola-permission-check";

/// What the service says about acting for users.
#[derive(Debug)]
pub(crate) enum Delegation {
    /// The call names no user, or the agent does not isolate by identity.
    NotNeeded,
    Permitted,
    /// The permission is missing.
    Refused(CallError),
    /// The service did not say.
    Unknown(CallError),
}

/// Asks the service by reading at most one session of the user whom the scope names. Nothing changes, and the agent does not run.
pub(crate) async fn delegation(scope: &Scope) -> Delegation {
    if scope.model != IsolationModel::Identity || !scope.is_isolated() {
        return Delegation::NotNeeded;
    }
    let one = ListSessions { limit: Some(1), ..ListSessions::default() };
    match scope.agent.list_sessions(&scope.wire, one).await.map_err(|error| scope.explain(error)) {
        Ok(_) => Delegation::Permitted,
        Err(error) if error.kind() == ErrorKind::ImpersonationNotPermitted => Delegation::Refused(error),
        Err(error) => Delegation::Unknown(error),
    }
}

/// What stands in the way to one agent of a gateway. The error is that of its first step: its address, a token, its definition.
pub(crate) async fn of_agent(daemon: &Daemon, agent: &AgentSettings) -> Result<Delegation, CallError> {
    let isolation = agent.isolation(NOBODY).ok_or_else(|| CallError::internal("the check's own user was refused"))?;
    let scope = Scope::with(daemon, &agent.target, &isolation, Extras::default(), Confirmed::Recently).await?;
    Ok(delegation(&scope).await)
}

/// The same for every agent of a gateway, side by side. `None` for an agent about which the service says nothing
/// within `limit`; the others are still reported.
pub(crate) async fn of_gateway<'a>(
    daemon: &Daemon,
    settings: &'a GatewaySettings,
    limit: Duration,
) -> Vec<(&'a AgentName, Option<Result<Delegation, CallError>>)> {
    let look = async |(name, agent)| (name, tokio::time::timeout(limit, of_agent(daemon, agent)).await.ok());
    join_all(settings.agents.iter().map(look)).await
}
