//! Starts and stops a whole emulator.

use crate::agent::{self, Agent, Catalog};
use crate::auth::{Secret, SecretError, Token};
use crate::conversation::Conversations;
use crate::gateway::door::{Door, is_beyond_loopback};
use crate::gateway::{self, Gateway};
use crate::options::{Listen, Options, SOCKET_HOST};
use crate::private;
use crate::registry::{self, Entry, Registration, RegistryError};
use crate::server::listener::Listener;
use crate::server::{Server, Stop};
use axum::Router;
use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::task::TaskTracker;

/// The project that [`Emulator::project_endpoint`] names. Any other name reaches the same agents.
const PROJECT: &str = "emulator";

/// How often idle and expired sessions are looked for. Idle times are minutes, so this is exact enough.
const SWEEP: Duration = Duration::from_secs(1);

/// How long connections may take to end after their containers stopped: time to send what is on its way.
const DRAIN: Duration = Duration::from_secs(1);

/// The file in the data directory that a running emulator holds locked.
const LOCK: &str = "lock";

/// A running emulator. Dropping it closes its connections; [`Emulator::shutdown`] also stops its containers.
pub struct Emulator {
    gateway: Arc<Gateway>,
    router: Router,
    address: Option<SocketAddr>,
    url: String,
    stop: Stop,
    tracker: TaskTracker,
    /// Held until the emulator is gone; the system lets go of it when the process ends in any way.
    _lock: File,
}

/// Why an emulator did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The agents cannot be offered as given.
    #[error("the emulator's agents are not usable: {0}")]
    Agents(String),
    /// The data directory cannot be made.
    #[error("the emulator's data directory {} cannot be used: {source}", path.display())]
    DataDirectory {
        /// The directory.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// Another emulator uses the data directory.
    #[error("the emulator's data directory {} is in use by another emulator; choose another directory", .0.display())]
    InUse(PathBuf),
    /// The secret that signs its tokens.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// Other machines could reach it, and the options do not allow that.
    #[error(
        "other machines could reach the emulator on {0}; listen on 127.0.0.1, or add --listen-beyond-loopback to \
         allow this"
    )]
    BeyondLoopback(SocketAddr),
    /// The address cannot be listened on.
    #[error("the emulator cannot listen on {address}: {source}; choose another address or port 0")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The operating system's reason.
        source: io::Error,
    },
    /// The Unix socket cannot be listened on.
    #[error("the emulator cannot listen on the socket {}: {source}", path.display())]
    Socket {
        /// The socket.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
}

/// Starts an emulator and returns once it accepts connections.
pub async fn start(options: Options) -> Result<Emulator, StartError> {
    agent::check(&options.agents).map_err(StartError::Agents)?;
    let reachable = options.listen.address().filter(|address| is_beyond_loopback(address.ip()));
    if let Some(address) = reachable.filter(|_| !options.listen_beyond_loopback) {
        return Err(StartError::BeyondLoopback(address));
    }
    // Containers get paths below it, and may change their working directory.
    let data_dir = std::path::absolute(&options.data_dir)
        .map_err(|source| StartError::DataDirectory { path: options.data_dir, source })?;
    let lock = take(&data_dir)?;
    let secret = Secret::of(&data_dir)?;
    let listen_failed = |source| match &options.listen {
        Listen::Address(address) => StartError::Listen { address: *address, source },
        #[cfg(unix)]
        Listen::Socket(path) => StartError::Socket { path: path.clone(), source },
    };
    let listener = Listener::bind(&options.listen).await.map_err(listen_failed)?;
    let address = listener.address().map_err(listen_failed)?;

    let encrypted = options.acceptor.is_some();
    let url = url(address, encrypted);
    let names = options.host_names.iter().map(|name| name.to_ascii_lowercase()).collect();
    let (stop, tracker) = (Stop::default(), TaskTracker::new());
    let gateway = Arc::new(Gateway {
        catalog: Catalog::default(),
        conversations: Arc::new(Conversations::load(&data_dir.join("conversations"))),
        project_endpoint: format!("{url}/api/projects/{PROJECT}"),
        secret,
        door: Door { address, names, encrypted },
        clock: options.clock,
        data_dir,
        idle_timeout: options.idle_timeout,
        withhold_impersonation: options.withhold_impersonation,
        stop: stop.clone(),
        tracker: tracker.clone(),
    });
    crate::store::sweep(&gateway.data_dir.join(gateway::AGENTS));
    for spec in options.agents {
        let directory = gateway.directory_of(&spec.name);
        let agent = Agent::new(spec, &directory, &gateway.conversations, gateway.clock.now());
        gateway.catalog.add(Arc::new(agent));
    }
    let router = gateway::router(&gateway, options.interceptor, &options.without);
    let server = Server {
        router: router.clone(),
        acceptor: options.acceptor,
        max_connections: options.max_connections,
        stop: stop.clone(),
        tracker: tracker.clone(),
    };
    tracker.spawn(server.serve(listener));
    tracker.spawn(sweep(Arc::clone(&gateway), stop.soon.clone()));
    Ok(Emulator { gateway, router, address, url, stop, tracker, _lock: lock })
}

/// Makes the data directory, which only its owner may enter, and locks it for this emulator.
fn take(path: &Path) -> Result<File, StartError> {
    let unusable = |source| StartError::DataDirectory { path: path.to_owned(), source };
    private::directory(path).map_err(unusable)?;
    let lock = File::create(path.join(LOCK)).map_err(unusable)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(std::fs::TryLockError::WouldBlock) => Err(StartError::InUse(path.to_owned())),
        Err(std::fs::TryLockError::Error(source)) => Err(unusable(source)),
    }
}

/// Stops idle sandboxes and expires old sessions, even without requests for them.
async fn sweep(gateway: Arc<Gateway>, stopping: tokio_util::sync::CancellationToken) {
    loop {
        tokio::select! {
            () = stopping.cancelled() => return,
            () = gateway.clock.tick(SWEEP) => {}
        }
        for agent in gateway.catalog.all() {
            gateway.settle(&agent).await;
        }
    }
}

/// Where a client on this machine finds it.
fn url(address: Option<SocketAddr>, encrypted: bool) -> String {
    let scheme = if encrypted { "https" } else { "http" };
    let Some(address) = address else { return format!("{scheme}://{SOCKET_HOST}") };
    let ip = match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        other => other,
    };
    format!("{scheme}://{}", SocketAddr::new(ip, address.port()))
}

impl Emulator {
    /// Its address as a URL without a path, for example `http://127.0.0.1:18080`; `http://emulator.localhost` on a Unix socket.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The project endpoint clients are pointed at.
    pub fn project_endpoint(&self) -> String {
        self.gateway.project_endpoint.clone()
    }

    /// Where it listens, unless that is a Unix socket.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// A token of `caller` for this emulator. It does not expire.
    pub fn token(&self, caller: &str) -> String {
        self.sign(&Token::of(caller).issuer(&self.url))
    }

    /// A token's text, signed with this emulator's secret.
    pub fn sign(&self, token: &Token) -> String {
        token.encode(&self.gateway.secret)
    }

    /// Enters it into the list of running emulators in `directory`, where other programs of the same user find its secret. It
    /// is found until the registration is dropped, which must happen before the emulator ends: another program could take its
    /// port.
    pub fn register(&self, directory: &Path) -> Result<Registration, RegistryError> {
        let path = Secret::path(&self.gateway.data_dir);
        let secret = std::path::absolute(&path).unwrap_or(path);
        registry::register(directory, &Entry { url: self.url.clone(), secret })
    }

    /// The sources of `exec:` agents have changed, `path` for one: replaces each of their containers that runs or did not start. Returns
    /// once the new ones are ready or have failed.
    pub async fn sources_changed(&self, path: &Path) {
        self.gateway.renew_all(&format!("Restarting the container: {} changed", path.display())).await;
    }

    /// Its routes, to call without a socket.
    pub fn router(&self) -> Router {
        self.router.clone()
    }

    /// Stops accepting, stops every container, and gives the connections a bounded time to end by themselves.
    pub async fn shutdown(self) {
        self.stop.soon.cancel();
        self.gateway.stop_all().await;
        self.tracker.close();
        if tokio::time::timeout(DRAIN, self.tracker.wait()).await.is_err() {
            tracing::debug!("closing connections that did not end by themselves");
            self.stop.now.cancel();
            self.tracker.wait().await;
        }
        // A request that was still being answered may have resumed a session meanwhile.
        self.gateway.stop_all().await;
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.stop.soon.cancel();
        self.stop.now.cancel();
    }
}
