//! The connections every call shares: one client for the service, one for this machine, and how they are set up.

use super::cache::ExpiringCache;
use super::client::innermost;
use super::definition::Definition;
use super::error::FoundryError;
use super::url::{Address, AllowedHosts};
use crate::auth::{Account, Tokens};
use crate::system::tls;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use url::Url;

/// How long a connection may take. Longer than three lost SYN packets.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// How long an unused connection is kept. Azure's front ends drop idle ones after four minutes.
const IDLE_CONNECTION: Duration = Duration::from_secs(210);

/// What the user's configuration says about reaching the service.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The hosts that tokens may be sent to.
    pub allowed_hosts: AllowedHosts,
    /// PEM files with certificates to trust besides the system's: a company's proxy, or an emulator that speaks TLS.
    pub trusted_certificates: Vec<PathBuf>,
    /// Fixed addresses for host names, as with `curl --connect-to`: for private endpoints and for tests.
    pub resolve: Vec<(String, SocketAddr)>,
}

/// What every call shares.
pub(super) struct Pool {
    pub(super) settings: Settings,
    pub(super) tokens: Arc<Tokens>,
    /// Can an agent's messages be streamed? By the address of its card.
    pub(super) cards: ExpiringCache<Url, bool>,
    /// What agents are, by the address of their definition.
    pub(super) definitions: ExpiringCache<Url, Definition>,
    /// Built when first needed: reading the system's certificates costs an idle daemon time and memory.
    remote: OnceLock<reqwest::Client>,
    local: OnceLock<reqwest::Client>,
    /// The same two once more, for connections of which each becomes a WebSocket: only those of HTTP/1.1 can.
    remote_upgradable: OnceLock<reqwest::Client>,
    local_upgradable: OnceLock<reqwest::Client>,
}

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Requests and answers, in any version of HTTP.
    Requests,
    /// One handshake, from which on it is a WebSocket.
    WebSocket,
}

impl Pool {
    pub(super) fn new(settings: Settings, tokens: Arc<Tokens>) -> Self {
        Self {
            settings,
            tokens,
            cards: ExpiringCache::default(),
            definitions: ExpiringCache::default(),
            remote: OnceLock::new(),
            local: OnceLock::new(),
            remote_upgradable: OnceLock::new(),
            local_upgradable: OnceLock::new(),
        }
    }

    /// The client for an address, built when first needed.
    pub(super) fn http(&self, address: &Address, purpose: Purpose) -> Result<reqwest::Client, FoundryError> {
        let is_local = match address.account() {
            Some(Account::Emulator) | None => true,
            Some(Account::Configured) => false,
        };
        let slot = match (purpose, is_local) {
            (Purpose::Requests, true) => &self.local,
            (Purpose::Requests, false) => &self.remote,
            (Purpose::WebSocket, true) => &self.local_upgradable,
            (Purpose::WebSocket, false) => &self.remote_upgradable,
        };
        if let Some(client) = slot.get() {
            return Ok(client.clone());
        }
        let client = self.build(is_local, purpose)?;
        Ok(slot.get_or_init(|| client).clone())
    }

    fn build(&self, is_local: bool, purpose: Purpose) -> Result<reqwest::Client, FoundryError> {
        tls::use_ring();
        let mut trusted = Vec::new();
        for path in &self.settings.trusted_certificates {
            let shown = path.display();
            let pem = std::fs::read(path).map_err(|error| FoundryError::Setup(format!("{shown}: {error}")))?;
            let certificates = reqwest::Certificate::from_pem_bundle(&pem)
                .map_err(|error| FoundryError::Setup(format!("{shown} is no PEM certificate: {error}")))?;
            trusted.extend(certificates);
        }
        let mut builder = reqwest::Client::builder()
            // A redirect could carry the token to another host.
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_LIMIT)
            .pool_idle_timeout(IDLE_CONNECTION)
            .tcp_nodelay(true)
            .tcp_keepalive(Duration::from_mins(1));
        builder = if is_local {
            // Loopback: no proxy, and no need for the system's certificates.
            builder.no_proxy().tls_certs_only(trusted)
        } else {
            // The system's proxy settings apply, as they do for azd and az.
            builder.https_only(true).http2_adaptive_window(true).tls_certs_merge(trusted)
        };
        if purpose == Purpose::WebSocket {
            builder = builder.http1_only();
        }
        for (host, address) in &self.settings.resolve {
            builder = builder.resolve(host, *address);
        }
        builder.build().map_err(|error| FoundryError::Setup(innermost(&error)))
    }
}
