//! Where requests may go: hosts that may get a token, and URLs built from percent-encoded segments only.

use super::suffix::{InvalidSuffix, SERVICE_SUFFIX, checked, is_label};
use crate::auth::Account;
use cupola_protocol::id::SessionId;
use cupola_protocol::invoke::AgentProtocol;
use cupola_protocol::target::{AgentName, EmulatorUrl, ProjectEndpoint};
use std::fmt;
use std::num::NonZeroU16;
use std::sync::Arc;
use url::Url;

/// The project an emulator is asked for. It has just one and takes any name.
const EMULATED_PROJECT: &str = "emulator";

/// Version of the service's API, required on every remote call (contract section 1.3).
const API_VERSION: (&str, &str) = ("api-version", "v1");

/// The hosts a token may be sent to: one label in front of one of these suffixes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedHosts {
    /// Lower case, without a leading dot.
    suffixes: Vec<String>,
}

/// The host is not one that tokens may be sent to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{host} may not receive a token: only hosts like {} may",
    std::iter::once(format!("ACCOUNT.{SERVICE_SUFFIX}")).chain(others.iter().map(|suffix| format!("NAME.{suffix}"))).collect::<Vec<_>>().join(" or ")
)]
pub struct HostNotAllowed {
    /// The host as given.
    pub host: String,
    /// The suffixes allowed by the user's configuration.
    pub others: Vec<String>,
}

impl Default for AllowedHosts {
    /// The service's own hosts.
    fn default() -> Self {
        Self { suffixes: vec![SERVICE_SUFFIX.to_owned()] }
    }
}

impl AllowedHosts {
    /// The service's own hosts and those under `suffixes`, which must come from the user's own configuration: never from a
    /// project's file or a caller.
    pub fn with(suffixes: impl IntoIterator<Item = String>) -> Result<Self, InvalidSuffix> {
        let mut hosts = Self::default();
        for given in suffixes {
            let suffix = checked(&given)?;
            if suffix != SERVICE_SUFFIX {
                hosts.suffixes.push(suffix);
            }
        }
        Ok(hosts)
    }

    fn check(&self, host: &str) -> Result<(), HostNotAllowed> {
        let lower = host.to_ascii_lowercase();
        let is_allowed = self.suffixes.iter().any(|suffix| {
            lower.strip_suffix(suffix.as_str()).and_then(|rest| rest.strip_suffix('.')).is_some_and(is_label)
        });
        if is_allowed {
            return Ok(());
        }
        Err(HostNotAllowed { host: host.to_owned(), others: self.suffixes.iter().skip(1).cloned().collect() })
    }
}

/// The URL of the emulator inside the daemon, which is reached by its Unix socket.
pub const EMBEDDED_EMULATOR: &str = "http://emulator.localhost";

/// A checked address of one agent, and whose token it gets. Cannot be made for a host that may not have one.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    /// `…/api/projects/{project}/agents/{agent}?api-version=v1`; for a local agent its root.
    agent: Arc<Url>,
    /// `None` for a local agent, which gets no token.
    account: Option<Account>,
}

impl Address {
    /// A deployed agent.
    pub fn project(
        endpoint: &ProjectEndpoint,
        agent: &AgentName,
        allowed: &AllowedHosts,
    ) -> Result<Self, HostNotAllowed> {
        let refused = || HostNotAllowed { host: endpoint.host().to_owned(), others: Vec::new() };
        let url = Url::parse(endpoint.as_str()).map_err(|_| refused())?;
        // The parsed host, not the text: the parser is what decides where the bytes go.
        allowed.check(url.host_str().ok_or_else(refused)?)?;
        let is_clean = url.port().is_none() && url.username().is_empty() && url.password().is_none();
        if url.scheme() != "https" || !is_clean {
            return Err(refused());
        }
        Ok(Self::agent_of(url, &["agents", agent.as_str()], Account::Configured))
    }

    /// An agent of an emulator on this machine.
    pub fn emulator(emulator: &EmulatorUrl, agent: &AgentName) -> Result<Self, HostNotAllowed> {
        let refused = || HostNotAllowed { host: emulator.to_string(), others: Vec::new() };
        let url = Url::parse(emulator.as_str()).map_err(|_| refused())?;
        let is_loopback = match url.host() {
            Some(url::Host::Domain(name)) => name == "localhost",
            Some(url::Host::Ipv4(address)) => address.is_loopback(),
            Some(url::Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        if !is_loopback {
            return Err(refused());
        }
        Ok(Self::emulated(url, agent))
    }

    /// An agent of the emulator inside the daemon. Wherever its name would lead, requests go to its socket.
    pub fn embedded(agent: &AgentName) -> Result<Self, HostNotAllowed> {
        let refused = |_| HostNotAllowed { host: EMBEDDED_EMULATOR.to_owned(), others: Vec::new() };
        Ok(Self::emulated(Url::parse(EMBEDDED_EMULATOR).map_err(refused)?, agent))
    }

    fn emulated(url: Url, agent: &AgentName) -> Self {
        let account = Account::Emulator(url.origin().ascii_serialization().into());
        Self::agent_of(url, &["api", "projects", EMULATED_PROJECT, "agents", agent.as_str()], account)
    }

    /// An agent's container on this machine, without a service in front of it.
    pub fn local(port: NonZeroU16) -> Result<Self, HostNotAllowed> {
        let text = format!("http://127.0.0.1:{port}");
        let url = Url::parse(&text).map_err(|_| HostNotAllowed { host: text, others: Vec::new() })?;
        Ok(Self { agent: Arc::new(url), account: None })
    }

    fn agent_of(mut url: Url, segments: &[&str], account: Account) -> Self {
        url.query_pairs_mut().clear().append_pair(API_VERSION.0, API_VERSION.1);
        Self { agent: Arc::new(extended(&url, segments)), account: Some(account) }
    }

    /// Whose token goes there; `None` for a local agent.
    pub fn account(&self) -> Option<&Account> {
        self.account.as_ref()
    }

    /// Is it an agent of the emulator inside the daemon?
    pub fn is_embedded(&self) -> bool {
        is_embedded(&self.agent)
    }

    /// Is it a container on this machine without a service in front of it?
    pub fn is_local(&self) -> bool {
        self.account.is_none()
    }

    /// Is it reached without TLS?
    pub(super) fn is_plain(&self) -> bool {
        self.agent.scheme() == "http"
    }

    /// `{scheme}://{host}` and the port if there is one, for messages.
    pub fn origin(&self) -> String {
        self.agent.origin().ascii_serialization()
    }

    /// The host that requests go to.
    pub(super) fn host(&self) -> Option<&str> {
        self.agent.host_str()
    }

    /// The project's agents: `{P}/agents`.
    pub(super) fn agents(&self) -> Url {
        let mut url = Url::clone(&self.agent);
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop();
        }
        url
    }

    /// The agent's name; a local agent has none.
    pub fn agent_name(&self) -> Option<AgentName> {
        // No character of a name is encoded in a path.
        self.agent.path_segments()?.next_back()?.parse().ok()
    }

    /// The agent's own URL, for people.
    pub fn shown(&self) -> String {
        let mut url = Url::clone(&self.agent);
        url.set_query(None);
        url.into()
    }

    /// The agent itself: `{P}/agents/{agent}` and below.
    pub(super) fn agent(&self, segments: &[&str]) -> Url {
        extended(&self.agent, segments)
    }

    /// Below the agent's endpoint, `{P}/agents/{agent}/endpoint/…`.
    pub(super) fn endpoint(&self, segments: &[&str]) -> Url {
        let mut url = extended(&self.agent, &["endpoint"]);
        push(&mut url, segments);
        url
    }

    /// A protocol of the agent and what lies below it. A container serves its protocols at its root (contract section 16).
    pub(super) fn protocol(&self, protocol: AgentProtocol, segments: &[&str]) -> Url {
        let mut url = match (protocol, self.is_local()) {
            (AgentProtocol::Responses, false) => self.endpoint(&["protocols", "openai", "responses"]),
            (_, false) => self.endpoint(&["protocols", protocol.name()]),
            (_, true) => extended(&self.agent, &[protocol.name()]),
        };
        push(&mut url, segments);
        url
    }

    /// Does `url` lead to the checked origin? Asked again before every token leaves.
    pub(super) fn covers(&self, url: &Url) -> bool {
        self.agent.origin() == url.origin() && url.username().is_empty() && url.password().is_none()
    }
}

/// The session of an invocation, a dialogue or a message of A2A travels in the query, and only there.
pub(super) fn with_session(mut url: Url, session_id: Option<&SessionId>) -> Url {
    if let Some(id) = session_id {
        url.query_pairs_mut().append_pair("agent_session_id", id.as_str());
    }
    url
}

/// Does this URL lead to the emulator inside the daemon?
pub(super) fn is_embedded(url: &Url) -> bool {
    url.origin().ascii_serialization() == EMBEDDED_EMULATOR
}

fn extended(url: &Url, segments: &[&str]) -> Url {
    let mut url = url.clone();
    push(&mut url, segments);
    url
}

fn push(url: &mut Url, segments: &[&str]) {
    // Only URLs like `mailto:` have no segments; ours begin with http(s).
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(segments);
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Address({})", self.agent)
    }
}

#[cfg(test)]
#[path = "../../fuzz/url.rs"]
mod fuzz_url;

#[cfg(test)]
mod tests {
    use super::*;

    fn project(endpoint: &str, allowed: &AllowedHosts) -> Result<Address, HostNotAllowed> {
        let agent = "notes".parse().unwrap();
        Address::project(&endpoint.parse().expect("the shape is fine"), &agent, allowed)
    }

    #[test]
    fn a_token_goes_to_one_label_before_an_allowed_suffix_only() {
        let allowed = AllowedHosts::with(["foundry.contoso.com".to_owned()]).unwrap();
        for host in ["acct.services.ai.azure.com", "ACCT.Services.AI.Azure.com", "a-1.foundry.contoso.com"] {
            let endpoint = format!("https://{host}/api/projects/p");
            assert!(project(&endpoint, &allowed).is_ok(), "{host}");
        }
        for host in [
            "services.ai.azure.com",
            "a.b.services.ai.azure.com",
            "evilservices.ai.azure.com",
            "acct.services.ai.azure.com.evil.example",
            "acct.services.ai.azure.com.",
            "-.services.ai.azure.com",
            "ac_ct.services.ai.azure.com",
            "foundry.contoso.com",
            "contoso.com",
            "localhost",
            "127.0.0.1",
        ] {
            let endpoint = format!("https://{host}/api/projects/p");
            let refusal = project(&endpoint, &allowed).unwrap_err();
            assert!(refusal.to_string().contains("NAME.foundry.contoso.com"), "{refusal}");
        }
    }

    #[test]
    fn urls_are_built_from_encoded_segments() {
        let address = project("https://acct.services.ai.azure.com/api/projects/p1/", &AllowedHosts::default()).unwrap();
        assert_eq!(
            address.endpoint(&["sessions", "s-1:stop"]).as_str(),
            "https://acct.services.ai.azure.com/api/projects/p1/agents/notes/endpoint/sessions/s-1:stop?api-version=v1"
        );
        assert_eq!(
            address.agent(&["versions", "a/../%2e?#"]).path(),
            "/api/projects/p1/agents/notes/versions/a%2F..%2F%252e%3F%23"
        );
        assert_eq!(address.account(), Some(&Account::Configured));
    }

    #[test]
    fn an_emulator_is_on_this_machine() {
        let agent = "notes".parse().unwrap();
        for url in ["http://127.0.0.1:8787", "http://localhost:1/", "http://[::1]:8787", "https://localhost:8443"] {
            let address = Address::emulator(&url.parse().unwrap(), &agent).unwrap();
            assert_eq!(address.account(), Some(&Account::Emulator(url.trim_end_matches('/').into())));
            assert!(!address.is_embedded());
            assert_eq!(address.agent(&[]).path(), "/api/projects/emulator/agents/notes");
        }
    }

    #[test]
    fn the_embedded_emulator_has_a_name_and_an_account_of_its_own() {
        let address = Address::embedded(&"notes".parse().unwrap()).unwrap();
        assert!(address.is_embedded());
        assert_eq!(address.account(), Some(&Account::Emulator(EMBEDDED_EMULATOR.into())));
        assert_eq!(address.agent(&[]).host_str(), Some("emulator.localhost"));
    }

    #[test]
    fn a_local_agent_serves_its_protocols_at_its_root_and_gets_no_token() {
        let address = Address::local(NonZeroU16::new(8088).unwrap()).unwrap();
        assert_eq!(address.account(), None);
        assert_eq!(address.protocol(AgentProtocol::Responses, &[]).as_str(), "http://127.0.0.1:8088/responses");
        let cancel = address.protocol(AgentProtocol::Invocations, &["i-1", "cancel"]);
        assert_eq!(cancel.as_str(), "http://127.0.0.1:8088/invocations/i-1/cancel");
    }

    #[test]
    fn another_origin_is_not_covered() {
        let address = project("https://acct.services.ai.azure.com/api/projects/p", &AllowedHosts::default()).unwrap();
        for (url, covered) in [
            ("https://acct.services.ai.azure.com/anything", true),
            ("http://acct.services.ai.azure.com/anything", false),
            ("https://acct.services.ai.azure.com:8443/", false),
            ("https://other.services.ai.azure.com/", false),
            ("https://me@acct.services.ai.azure.com/", false),
        ] {
            assert_eq!(address.covers(&Url::parse(url).unwrap()), covered, "{url}");
        }
    }
}
