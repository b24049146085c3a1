//! Starts and stops a whole emulator.

use crate::agent::{self, Agent, Catalog};
use crate::conversation::Conversations;
use crate::gateway::{self, Gateway};
use crate::options::Options;
use crate::server;
use axum::Router;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The project that [`Emulator::project_endpoint`] names. Any other name reaches the same agents.
const PROJECT: &str = "emulator";

/// How often idle and expired sessions are looked for. Idle times are minutes, so this is exact enough.
const SWEEP: Duration = Duration::from_secs(1);

/// How long connections may take to end after their containers stopped.
const DRAIN: Duration = Duration::from_secs(5);

/// A running emulator. Dropping it stops listening; [`Emulator::shutdown`] also waits for its containers.
pub struct Emulator {
    gateway: Arc<Gateway>,
    router: Router,
    address: SocketAddr,
    encrypted: bool,
    stopping: CancellationToken,
    tracker: TaskTracker,
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
    std::fs::create_dir_all(&data_dir)
        .map_err(|source| StartError::DataDirectory { path: data_dir.clone(), source })?;
    let address = options.listen;
    let listen_failed = |source| StartError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(listen_failed)?;
    let address = listener.local_addr().map_err(listen_failed)?;

    let encrypted = options.acceptor.is_some();
    let gateway = Arc::new(Gateway {
        catalog: Catalog::default(),
        conversations: Arc::new(Conversations::load(&data_dir.join("conversations"))),
        project_endpoint: project_endpoint(address, encrypted),
        clock: options.clock,
        data_dir,
        idle_timeout: options.idle_timeout,
        withhold_impersonation: options.withhold_impersonation,
    });
    for spec in options.agents {
        let directory = gateway.directory_of(&spec.name);
        let agent = Agent::new(spec, &directory, &gateway.conversations, gateway.clock.now());
        gateway.catalog.add(Arc::new(agent));
    }
    let router = gateway::router(&gateway, options.interceptor);
    let (stopping, tracker) = (CancellationToken::new(), TaskTracker::new());
    tracker.spawn(server::serve(listener, router.clone(), options.acceptor, stopping.clone(), tracker.clone()));
    tracker.spawn(sweep(Arc::clone(&gateway), stopping.clone()));
    Ok(Emulator { gateway, router, address, encrypted, stopping, tracker })
}

/// Stops idle sandboxes and expires old sessions, also when nobody asks about them.
async fn sweep(gateway: Arc<Gateway>, stopping: CancellationToken) {
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

    /// Stops accepting, stops every container, and waits a bounded time for the connections to end.
    pub async fn shutdown(self) {
        self.stopping.cancel();
        self.gateway.stop_all().await;
        self.tracker.close();
        if tokio::time::timeout(DRAIN, self.tracker.wait()).await.is_err() {
            tracing::warn!("connections were still open when the emulator ended");
        }
        // A request that was still being answered may have resumed a session meanwhile.
        self.gateway.stop_all().await;
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.stopping.cancel();
    }
}
