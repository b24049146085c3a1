//! What an emulator is started with: where it listens, what it keeps, which agents it offers.

use crate::clock::Clock;
use crate::container::Runtime;
use crate::hooks::{Acceptor, Interceptor};
use crate::isolation::{KeyRule, Model};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How many connections an emulator serves at once. One to it may mean a second one to an agent, so this stays below the 1,024
/// files that a process may have open by default on Linux, and leaves room for files.
pub const MAX_CONNECTIONS: usize = 400;

/// Longest path of a Unix socket, in bytes, on every system: macOS has room for 104 with the NUL at its end, Linux for 108.
pub const MAX_SOCKET_PATH: usize = 103;

/// The host in the URL of an emulator that listens on a Unix socket. Names below `localhost` never lead to another machine.
pub const SOCKET_HOST: &str = "emulator.localhost";

/// Where an emulator listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// An address; port 0 takes a free one.
    Address(SocketAddr),
    /// A Unix socket that only its owner can open. What stands at the path is replaced.
    #[cfg(unix)]
    Socket(PathBuf),
}

impl Listen {
    /// The address, unless it is a socket.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Address(address) => Some(*address),
            #[cfg(unix)]
            Self::Socket(_) => None,
        }
    }
}

impl From<SocketAddr> for Listen {
    fn from(address: SocketAddr) -> Self {
        Self::Address(address)
    }
}

/// How to start an emulator. [`Options::new`] has what most callers want.
pub struct Options {
    /// Where to listen.
    pub listen: Listen,
    /// Allows an address that other machines can reach.
    pub listen_beyond_loopback: bool,
    /// Names it may be called by in `Host`, besides those of this machine: what its certificate is for.
    pub host_names: Vec<String>,
    /// How many connections it serves at once; to more it only says that they are too many.
    pub max_connections: usize,
    /// Where sessions, their homes and conversations are kept. Made when absent; survives a restart.
    pub data_dir: PathBuf,
    /// The agents it offers.
    pub agents: Vec<AgentSpec>,
    /// Where it reads the time from.
    pub clock: Clock,
    /// Idle time of every session, in place of what the agent versions say.
    pub idle_timeout: Option<Duration>,
    /// No caller may send `x-ms-user-identity`, whatever its token says.
    pub withhold_impersonation: bool,
    /// What of the undocumented is left out.
    pub without: Vec<Undocumented>,
    /// Encrypts the connections; plain HTTP without.
    pub acceptor: Option<Arc<dyn Acceptor>>,
    /// Stands around every request, for example to inject faults.
    pub interceptor: Option<Arc<dyn Interceptor>>,
}

impl Options {
    /// Plain HTTP on a free loopback port, with the system's clock.
    pub fn new(data_dir: impl Into<PathBuf>, agents: Vec<AgentSpec>) -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into(),
            listen_beyond_loopback: false,
            host_names: Vec::new(),
            max_connections: MAX_CONNECTIONS,
            data_dir: data_dir.into(),
            agents,
            clock: Clock::default(),
            idle_timeout: None,
            withhold_impersonation: false,
            without: Vec::new(),
            acceptor: None,
            interceptor: None,
        }
    }
}

/// Operations on a session's files that azd has and the service does not document (contract section 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undocumented {
    /// Making directories.
    MakeDirectory,
    /// Showing one file.
    Stat,
}

/// An agent and its versions.
#[derive(Clone)]
pub struct AgentSpec {
    /// 1 to 63 letters, digits and inner hyphens.
    pub name: String,
    /// Its versions, oldest first; at least one.
    pub versions: Vec<VersionSpec>,
    /// The version new sessions get; the newest when absent.
    pub default_version: Option<String>,
}

impl AgentSpec {
    /// An agent with these versions, the newest as default.
    pub fn new(name: &str, versions: Vec<VersionSpec>) -> Self {
        Self { name: name.to_owned(), versions, default_version: None }
    }
}

/// One version of an agent.
#[derive(Clone)]
pub struct VersionSpec {
    /// Its label, for example `3`.
    pub version: String,
    /// How it isolates; decides the container protocol version it shows.
    pub model: Model,
    /// What runs in its sandboxes.
    pub runtime: Arc<dyn Runtime>,
    /// The protocols that its container speaks and its definition lists. Requests by others are refused.
    pub protocols: BTreeSet<Protocol>,
    /// Environment variables of its definition.
    pub environment: BTreeMap<String, String>,
    /// How long a session may do nothing before its sandbox stops; 900 s when absent (contract section 14.1).
    pub idle_timeout: Option<Duration>,
    /// Its sessions are suspended as snapshots of their memory, and keep neither memory nor home when they go idle (contract section
    /// 21.1).
    pub memory_snapshot: bool,
}

impl VersionSpec {
    /// A version that speaks all protocols, without environment and with the usual idle time.
    pub fn new(version: &str, model: Model, runtime: Arc<dyn Runtime>) -> Self {
        let protocols = Protocol::ALL.into_iter().collect();
        let (version, environment) = (version.to_owned(), BTreeMap::new());
        Self { version, model, runtime, protocols, environment, idle_timeout: None, memory_snapshot: false }
    }
}

/// A protocol between the gateway and a container (contract section 3). A2A is the gateway's own, in front of responses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// The responses protocol (contract section 7).
    Responses,
    /// The invocations protocol (contract section 9).
    Invocations,
    /// Invocations over a WebSocket (contract section 10).
    InvocationsWs,
}

impl Protocol {
    /// Every protocol, in the order definitions list them.
    pub const ALL: [Self; 3] = [Self::Responses, Self::Invocations, Self::InvocationsWs];

    /// Its word in definitions.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Responses => "responses",
            Self::Invocations => "invocations",
            Self::InvocationsWs => "invocations_ws",
        }
    }

    /// The protocol of a word in a definition.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|protocol| protocol.as_str() == word)
    }
}

/// Protocol 1.0.0 with both keys optional: a key partitions when it is sent.
pub const KEYS_OPTIONAL: Model = Model::Keys { user: KeyRule::Optional, chat: KeyRule::Optional };

/// Protocol 1.0.0 that refuses a request without a user key. The chat key stays optional, so that a client can be
/// tried with one key and with both.
pub const KEYS_REQUIRED: Model = Model::Keys { user: KeyRule::Required, chat: KeyRule::Optional };

/// The three agents an emulator offers by itself, all running `notes`:
///
/// - `notes`: protocol 1.0.0, keys optional; two versions that do the same, to try version binding
/// - `notes-required`: protocol 1.0.0, the user key required
/// - `notes-identity`: protocol 2.0.0
pub fn stock_agents(notes: &Arc<dyn Runtime>) -> Vec<AgentSpec> {
    let version = |label, model| VersionSpec::new(label, model, Arc::clone(notes));
    vec![
        AgentSpec::new("notes", vec![version("1", KEYS_OPTIONAL), version("2", KEYS_OPTIONAL)]),
        AgentSpec::new("notes-required", vec![version("1", KEYS_REQUIRED)]),
        AgentSpec::new("notes-identity", vec![version("1", Model::Identity)]),
    ]
}
