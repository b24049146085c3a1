//! The connections that all requests share: to the service, to this machine and to the embedded emulator, and how they are
//! set up.

use super::error::FoundryError;
use super::plain::PlainClient;
use super::retry::Failure;
use super::timing::{CALL_LIMIT, CONNECT_LIMIT, IDLE_CONNECTION, IDLE_CONNECTIONS, TCP_KEEPALIVE};
use super::url::{Address, AllowedHosts};
use crate::auth::Account;
use crate::system::proxies::Proxies;
use crate::system::tls::{self, CertificateFault, is_handshake_failure};
use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// How many bytes of one answer over HTTP/2 may be unread: enough for 5 MB a second when the service is 50 ms away.
const STREAM_WINDOW: u32 = 256 * 1024;
/// The same for all answers of a connection together: the most that HTTP/2 allows (RFC 9113 6.9.1), so that only the limit for one answer
/// counts. An answer that is not read yet must not delay the others: the call that will read it may be waiting for one of them.
const CONNECTION_WINDOW: u32 = (1 << 31) - 1;

/// What the user's configuration says about reaching the service.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The hosts that tokens may be sent to.
    pub allowed_hosts: AllowedHosts,
    /// PEM files with certificates to trust besides the system's: a company's proxy, or an emulator that speaks TLS.
    pub trusted_certificates: Vec<PathBuf>,
    /// Fixed addresses for host names, as with `curl --connect-to`: for private endpoints and for tests.
    pub resolve: Vec<(String, SocketAddr)>,
    /// The proxies that the environment names. Nothing on this machine is reached through them.
    pub proxies: Proxies,
    /// Where the emulator inside the daemon listens.
    pub embedded_socket: Option<PathBuf>,
    /// How long a call other than a turn may take, all its attempts together.
    pub call_limit: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            allowed_hosts: AllowedHosts::default(),
            trusted_certificates: Vec::new(),
            resolve: Vec::new(),
            proxies: Proxies::default(),
            embedded_socket: None,
            call_limit: CALL_LIMIT,
        }
    }
}

/// The connections, by where they lead and what they are for.
pub(super) struct Connections {
    pub(super) settings: Settings,
    /// Built when first needed: reading the system's certificates costs an idle daemon time and memory.
    remote: OnceLock<reqwest::Client>,
    plain: OnceLock<Arc<PlainClient>>,
    local: OnceLock<reqwest::Client>,
    /// The same once more, for connections of which each becomes a WebSocket: only those of HTTP/1.1 can.
    remote_upgradable: OnceLock<reqwest::Client>,
    local_upgradable: OnceLock<reqwest::Client>,
    embedded: OnceLock<reqwest::Client>,
    embedded_upgradable: OnceLock<reqwest::Client>,
}

/// Where connections lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The service.
    Remote,
    /// This machine's loopback.
    Local,
    /// The socket of the emulator inside the daemon.
    Embedded,
}

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Requests and answers, in any version of HTTP.
    Requests,
    /// One handshake, from which on it is a WebSocket.
    WebSocket,
}

/// The client that requests to one address go through.
pub(super) enum Http {
    /// Over TLS, or to the embedded emulator's socket.
    Reqwest(reqwest::Client),
    /// Without TLS.
    Plain(Arc<PlainClient>),
}

/// Why a request got no answer.
pub(super) struct Unanswered {
    pub(super) failure: Failure,
    pub(super) reason: String,
    /// The host's certificate was refused.
    pub(super) fault: Option<CertificateFault>,
}

impl Http {
    /// Sends one request and returns when the head of its answer is there.
    pub(super) async fn execute(&self, request: reqwest::Request) -> Result<reqwest::Response, Unanswered> {
        match self {
            Self::Reqwest(client) => {
                client.execute(request).await.map_err(|error| Unanswered::of(&error, error.is_connect()))
            }
            Self::Plain(client) => {
                // Boxed, because every future around it would be as large.
                Box::pin(client.execute(request))
                    .await
                    .map_err(|failed| Unanswered::of(&*failed.error, failed.is_connect))
            }
        }
    }
}

impl Unanswered {
    fn of(error: &(dyn Error + 'static), is_connect: bool) -> Self {
        let fault = CertificateFault::of(error);
        let failure = match is_connect {
            _ if fault.is_some() => Failure::NotTrusted,
            true if is_handshake_failure(error) => Failure::NotTrusted,
            true => Failure::NotConnected,
            false => Failure::Interrupted,
        };
        Self { failure, reason: innermost(error), fault }
    }
}

/// The last cause: the first ones only say that a request failed, and name the URL.
pub(super) fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut error = error;
    while let Some(cause) = error.source() {
        error = cause;
    }
    error.to_string()
}

impl Connections {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            remote: OnceLock::new(),
            plain: OnceLock::new(),
            local: OnceLock::new(),
            remote_upgradable: OnceLock::new(),
            local_upgradable: OnceLock::new(),
            embedded: OnceLock::new(),
            embedded_upgradable: OnceLock::new(),
        }
    }

    /// The client for an address, built when first needed.
    pub(super) fn http(&self, address: &Address, purpose: Purpose) -> Result<Http, FoundryError> {
        let place = match address.account() {
            Some(Account::Configured) => Place::Remote,
            _ if address.is_embedded() => Place::Embedded,
            Some(Account::Emulator(_)) | None => Place::Local,
        };
        if place == Place::Local && address.is_plain() {
            let client = self.plain.get_or_init(|| Arc::new(PlainClient::new(&self.settings.resolve)));
            return Ok(Http::Plain(Arc::clone(client)));
        }
        let slot = match (purpose, place) {
            (Purpose::Requests, Place::Remote) => &self.remote,
            (Purpose::Requests, Place::Local) => &self.local,
            (Purpose::Requests, Place::Embedded) => &self.embedded,
            (Purpose::WebSocket, Place::Remote) => &self.remote_upgradable,
            (Purpose::WebSocket, Place::Local) => &self.local_upgradable,
            (Purpose::WebSocket, Place::Embedded) => &self.embedded_upgradable,
        };
        if let Some(client) = slot.get() {
            return Ok(Http::Reqwest(client.clone()));
        }
        let client = self.build(place, purpose)?;
        Ok(Http::Reqwest(slot.get_or_init(|| client).clone()))
    }

    fn build(&self, place: Place, purpose: Purpose) -> Result<reqwest::Client, FoundryError> {
        tls::use_ring();
        let trusted = tls::trusted_certificates(&self.settings.trusted_certificates)
            .map_err(|error| FoundryError::Setup(error.to_string()))?;
        let mut builder = reqwest::Client::builder()
            // A redirect could carry the token to another host.
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_LIMIT)
            .pool_idle_timeout(IDLE_CONNECTION)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .tcp_nodelay(true)
            .tcp_keepalive(TCP_KEEPALIVE)
            .http2_initial_stream_window_size(STREAM_WINDOW)
            .http2_initial_connection_window_size(CONNECTION_WINDOW);
        builder = match place {
            // Loopback: no proxy, and no need for the system's certificates.
            Place::Local => builder.no_proxy().tls_certs_only(trusted),
            Place::Embedded => self.to_socket(builder.no_proxy().tls_certs_only([]))?,
            Place::Remote => {
                let builder = builder.https_only(true).tls_certs_merge(trusted);
                self.settings.proxies.apply(builder).map_err(|error| FoundryError::Setup(error.to_string()))?
            }
        };
        if purpose == Purpose::WebSocket {
            builder = builder.http1_only();
        }
        for (host, address) in &self.settings.resolve {
            builder = builder.resolve(host, *address);
        }
        builder.build().map_err(|error| FoundryError::Setup(innermost(&error)))
    }

    /// Sends everything to the embedded emulator's socket.
    #[cfg(unix)]
    fn to_socket(&self, builder: reqwest::ClientBuilder) -> Result<reqwest::ClientBuilder, FoundryError> {
        let socket = self.settings.embedded_socket.clone();
        let socket = socket.ok_or_else(|| FoundryError::Setup("the embedded emulator has no socket".to_owned()))?;
        Ok(builder.unix_socket(socket))
    }

    /// There it has its own port, and an address like any other emulator.
    #[cfg(not(unix))]
    fn to_socket(&self, _builder: reqwest::ClientBuilder) -> Result<reqwest::ClientBuilder, FoundryError> {
        Err(FoundryError::Setup("the embedded emulator has no socket".to_owned()))
    }
}
