//! Can this gateway serve calls? What `/readyz` answers.
//!
//! It is not ready while it stops, or while something is missing that callers cannot provide: saved state, the keys of an issuer, a token for
//! its own credential, or the permission to act for users. It stays ready while the service does not answer: another gateway would not
//! reach it either.

use super::issuers::Issuers;
use crate::config::gateway::GatewaySettings;
use crate::daemon::Daemon;
use crate::error::CallError;
use crate::methods::doctor::delegation::{Delegation, of_gateway};
use cupola_protocol::error::ErrorKind;
use cupola_protocol::target::AgentName;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// How long a good result is kept. Probes come every few seconds, and a permission is rarely taken back.
const GOOD_FOR: Duration = Duration::from_mins(1);
/// How long a bad result is kept. It is short, so that an operator soon sees that the problem is solved.
const BAD_FOR: Duration = Duration::from_secs(5);
/// How long the service may take to answer for one agent; all of them are asked side by side. Probes commonly wait for 5 s.
const LOOK_LIMIT: Duration = Duration::from_secs(3);

/// What the service said last about the gateway's own credential.
#[derive(Debug, Default)]
pub(super) struct Readiness {
    /// Held while the service is asked, so that one look serves every probe.
    last: Mutex<Option<Look>>,
}

#[derive(Debug)]
struct Look {
    since: Instant,
    /// What is missing for each agent.
    agents: BTreeMap<AgentName, Option<&'static str>>,
}

impl Look {
    fn outcome(&self) -> Result<(), String> {
        let missing = self.agents.iter().find_map(|(name, missing)| Some((name, (*missing)?)));
        missing.map_or(Ok(()), |(name, missing)| Err(format!("agent {name}: {missing}")))
    }
}

impl Readiness {
    /// Why no call can be served, in a few words for an operator. Nothing in it is a secret: probes bring no token.
    pub(super) async fn look(
        &self,
        daemon: &Daemon,
        issuers: &Issuers,
        settings: &GatewaySettings,
    ) -> Result<(), String> {
        if daemon.shutdown.is_draining() {
            return Err("stopping".to_owned());
        }
        if daemon.store.count().await.is_err() {
            return Err("saved state cannot be read".to_owned());
        }
        if !issuers.are_ready().await {
            return Err("the keys of an issuer cannot be had".to_owned());
        }
        self.own_credential(daemon, settings).await
    }

    async fn own_credential(&self, daemon: &Daemon, settings: &GatewaySettings) -> Result<(), String> {
        let mut last = self.last.lock().await;
        if let Some(look) = &*last {
            let outcome = look.outcome();
            if look.since.elapsed() < if outcome.is_ok() { GOOD_FOR } else { BAD_FOR } {
                return outcome;
            }
        }
        let mut agents = BTreeMap::new();
        for (name, looked) in of_gateway(daemon, settings, LOOK_LIMIT).await {
            let missing = if let Some(looked) = looked {
                missing(&looked)
            } else {
                tracing::warn!(agent = %name, "the service did not say in time what the gateway's credential may do");
                last.as_ref().and_then(|look| *look.agents.get(name)?)
            };
            agents.insert(name.clone(), missing);
        }
        let look = Look { since: Instant::now(), agents };
        let outcome = look.outcome();
        if let Err(missing) = &outcome {
            tracing::warn!(missing, "not ready");
        }
        *last = Some(look);
        outcome
    }
}

/// What the operator of the gateway has to mend.
fn missing(looked: &Result<Delegation, CallError>) -> Option<&'static str> {
    match looked {
        Ok(Delegation::NotNeeded | Delegation::Permitted) => None,
        Ok(Delegation::Refused(_)) => {
            Some("the gateway's credential may not act for users (UserIdentityImpersonation)")
        }
        Ok(Delegation::Unknown(error)) | Err(error) => match error.kind() {
            ErrorKind::AuthenticationFailed => Some("the gateway's credential gives no token that the service accepts"),
            ErrorKind::Forbidden => Some("the service refuses the gateway's credential"),
            _ => None,
        },
    }
}
