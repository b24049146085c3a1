//! The line to the service, and one agent at the end of it.

use super::cache::ExpiringCache;
use super::connections::{Connections, Settings};
use super::definitions::Definitions;
use super::error::FoundryError;
use super::observe::Observer;
use super::route::Route;
use super::url::{Address, AllowedHosts};
use crate::auth::{Account, CallerId, SCOPE, Tokens};
use crate::system::proxies::NotAProxy;
use cupola_protocol::invoke::AgentProtocol;
use http::{HeaderMap, HeaderValue};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// The line to the service: one set of connections and one token cache. Cheap to clone.
#[derive(Clone)]
pub struct Foundry {
    shared: Arc<Shared>,
}

/// What all agents share.
pub(super) struct Shared {
    pub(super) connections: Connections,
    pub(super) tokens: Arc<Tokens>,
    /// How an agent is sent messages, by the address of its card.
    pub(super) cards: ExpiringCache<Url, A2aManner>,
    /// Protocols that agents turned out to speak, by the address where responses are asked for.
    spoken: ExpiringCache<Url, AgentProtocol>,
    /// What agents are, by the address of their definition.
    pub(super) definitions: Definitions,
}

/// How an agent is sent messages of A2A, by its card.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct A2aManner {
    /// It speaks 1.0 only, not 0.3.
    pub(super) is_new: bool,
    /// It can stream its answers.
    pub(super) streams: bool,
}

impl Foundry {
    /// Nothing is read, connected or fetched before the first request.
    pub fn new(settings: Settings, tokens: Arc<Tokens>) -> Self {
        let connections = Connections::new(settings);
        let (cards, spoken, definitions) = (ExpiringCache::default(), ExpiringCache::default(), Definitions::default());
        Self { shared: Arc::new(Shared { connections, tokens, cards, spoken, definitions }) }
    }

    /// The agent at `address`. Costs nothing.
    pub fn agent(&self, address: Address) -> Agent {
        Agent { shared: Arc::clone(&self.shared), address, extras: Arc::default() }
    }

    /// The tokens it sends.
    pub fn tokens(&self) -> &Tokens {
        &self.shared.tokens
    }

    /// The hosts that tokens may be sent to.
    pub fn allowed_hosts(&self) -> &AllowedHosts {
        &self.shared.connections.settings.allowed_hosts
    }
}

impl fmt::Debug for Foundry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Foundry").field("settings", &self.shared.connections.settings).finish_non_exhaustive()
    }
}

impl Agent {
    /// The protocol that the agent turned out to speak recently, after it had no route for the one tried first.
    pub fn spoken(&self) -> Option<AgentProtocol> {
        self.shared.spoken.get(&self.address.protocol(AgentProtocol::Responses, &[]))
    }

    /// Remembers what it spoke.
    pub fn found_to_speak(&self, protocol: AgentProtocol) {
        self.shared.spoken.insert(self.address.protocol(AgentProtocol::Responses, &[]), protocol);
    }

    /// How long a call other than a turn may take.
    pub(super) fn call_limit(&self) -> Duration {
        self.shared.connections.settings.call_limit
    }
}

/// What one caller adds to its requests, and wants to see of them.
#[derive(Debug, Clone, Default)]
pub struct Extras {
    /// Headers of the turn itself, from [`super::TurnHeaders`]. Those we set win.
    pub headers: HeaderMap,
    /// `traceparent` of every request, so that the spans of the service and of the agent join the run's.
    pub traceparent: Option<HeaderValue>,
    /// Who observes the requests.
    pub observer: Option<Observer>,
}

impl Extras {
    /// Those of a run: someone observes its requests, and they are a part of its trace if it has one.
    pub fn of_run(observer: &Observer, traceparent: Option<HeaderValue>) -> Self {
        Self { headers: HeaderMap::new(), traceparent, observer: Some(observer.clone()) }
    }
}

/// One agent of the service. Cheap to clone; its calls are in the modules named after what they do.
#[derive(Clone)]
pub struct Agent {
    pub(super) shared: Arc<Shared>,
    pub(super) address: Address,
    pub(super) extras: Arc<Extras>,
}

impl Agent {
    /// Who calls: from the token's claims, else a fingerprint of the credential's configuration. Fetches a token if there is
    /// none.
    pub async fn caller(&self) -> Result<CallerId, FoundryError> {
        match self.address.account() {
            Some(account) => Ok(self.shared.tokens.caller(account, SCOPE).await?),
            None => Ok(CallerId::anonymous()),
        }
    }

    /// The same agent, for one caller that adds something to its requests or observes them.
    #[must_use]
    pub fn with(&self, extras: Extras) -> Self {
        Self { extras: Arc::new(extras), ..self.clone() }
    }

    /// Where it is.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The settings that apply to requests to it; `None` if it is on this machine.
    pub fn route(&self) -> Option<Result<Route, NotAProxy>> {
        let host = self.address.host().filter(|_| self.address.account() == Some(&Account::Configured))?;
        Some(Route::to(host, &self.shared.connections.settings))
    }

    /// Does the caller want answers unmodified?
    pub(super) fn wants_raw(&self) -> bool {
        self.extras.observer.as_ref().is_some_and(Observer::wants_raw)
    }
}

impl fmt::Debug for Agent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Agent").field("address", &self.address).finish_non_exhaustive()
    }
}
