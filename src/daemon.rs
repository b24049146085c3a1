//! `Daemon`: what every handler receives. It owns what clients share; what belongs to one client is in `connection`.

use crate::activity::Activity;
use crate::config::Config;
use crate::directory::{DirectoryError, PrivateDirectory};
use crate::shutdown::Shutdown;
use std::sync::Arc;
use std::time::{Instant, SystemTime};
use tokio_util::task::TaskTracker;

/// Everything clients share.
#[derive(Debug)]
pub struct Daemon {
    /// The settings it was started with.
    pub config: Config,
    /// What keeps it from leaving.
    pub activity: Activity,
    /// How to end it.
    pub shutdown: Shutdown,
    /// Every task that must have ended before the process may: connections, runs.
    pub tasks: TaskTracker,
    /// When it started, by the clock on the wall.
    pub started_at: SystemTime,
    /// When it started, for measuring.
    pub started: Instant,
    /// Where saved state lives; checked to be private to this user.
    pub state_directory: PrivateDirectory,
}

/// Why the daemon did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The state directory cannot be used.
    #[error("the state directory cannot be used: {0}")]
    StateDirectory(#[source] DirectoryError),
}

impl Daemon {
    /// Checks the state directory and makes the daemon. It serves nobody yet: see [`crate::server`].
    pub fn start(config: Config) -> Result<Arc<Self>, StartError> {
        let state_directory = PrivateDirectory::open(&config.state_directory).map_err(StartError::StateDirectory)?;
        Ok(Arc::new(Self {
            config,
            activity: Activity::default(),
            shutdown: Shutdown::new(),
            tasks: TaskTracker::new(),
            started_at: SystemTime::now(),
            started: Instant::now(),
            state_directory,
        }))
    }
}
