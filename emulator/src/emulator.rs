//! Starts and stops a whole emulator.

use crate::agent::{self, Agent, Catalog};
use crate::conversation::Conversations;
use crate::gateway::{self, Gateway};
use crate::options::Options;
use crate::server::{self, Stop};
use axum::Router;
use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
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
    address: SocketAddr,
    encrypted: bool,
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
    #[error("the emulator's data directory {path:?} cannot be used: {source}")]
    DataDirectory {
        /// The directory.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// Another emulator uses the data directory.
    #[error("the emulator's data directory {0:?} is in use by another emulator; choose another directory")]
    InUse(PathBuf),
    /// The address cannot be listened on.
    #[error("the emulator cannot listen on {address}: {source}; choose another address or port 0")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The operating system's reason.
        source: io::Error,
    },
}

/// Starts an emulator and returns once it accepts connections.
pub async fn start(options: Options) -> Result<Emulator, StartError> {
    agent::check(&options.agents).map_err(StartError::Agents)?;
    let data_dir = options.data_dir;
    let lock = take(&data_dir)?;
    let address = options.listen;
    let listen_failed = |source| StartError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(listen_failed)?;
    let address = listener.local_addr().map_err(listen_failed)?;

    let encrypted = options.acceptor.is_some();
    let (stop, tracker) = (Stop::default(), TaskTracker::new());
    let gateway = Arc::new(Gateway {
        catalog: Catalog::default(),
        conversations: Arc::new(Conversations::load(&data_dir.join("conversations"))),
        project_endpoint: project_endpoint(address, encrypted),
        clock: options.clock,
        data_dir,
        idle_timeout: options.idle_timeout,
        withhold_impersonation: options.withhold_impersonation,
        stop: stop.clone(),
        tracker: tracker.clone(),
    });
    for spec in options.agents {
        let directory = gateway.directory_of(&spec.name);
        let agent = Agent::new(spec, &directory, &gateway.conversations, gateway.clock.now());
        gateway.catalog.add(Arc::new(agent));
    }
    let router = gateway::router(&gateway, options.interceptor, &options.without);
    tracker.spawn(server::serve(listener, router.clone(), options.acceptor, stop.clone(), tracker.clone()));
    tracker.spawn(sweep(Arc::clone(&gateway), stop.soon.clone()));
    Ok(Emulator { gateway, router, address, encrypted, stop, tracker, _lock: lock })
}

/// Makes the data directory, readable by its owner only, and takes it for this emulator.
fn take(path: &Path) -> Result<File, StartError> {
    let unusable = |source| StartError::DataDirectory { path: path.to_owned(), source };
    let mut directory = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut directory, 0o700);
    directory.recursive(true).create(path).map_err(unusable)?;
    let lock = File::create(path.join(LOCK)).map_err(unusable)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(std::fs::TryLockError::WouldBlock) => Err(StartError::InUse(path.to_owned())),
        Err(std::fs::TryLockError::Error(source)) => Err(unusable(source)),
    }
}

/// Stops idle sandboxes and expires old sessions, also when nobody asks about them.
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

fn url(address: SocketAddr, encrypted: bool) -> String {
    let scheme = if encrypted { "https" } else { "http" };
    format!("{scheme}://{address}")
}

fn project_endpoint(address: SocketAddr, encrypted: bool) -> String {
    format!("{}/api/projects/{PROJECT}", url(address, encrypted))
}

impl Emulator {
    /// Its address as a URL without a path, for example `http://127.0.0.1:18080`.
    pub fn url(&self) -> String {
        url(self.address, self.encrypted)
    }

    /// The project endpoint clients are pointed at.
    pub fn project_endpoint(&self) -> String {
        self.gateway.project_endpoint.clone()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
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
