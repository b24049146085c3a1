//! The emulator inside the daemon: started at the first call that wants it, gone with the daemon, its data kept.
//!
//! It listens on a Unix socket that only this user can open, so it has no port that others could use. On Windows it has a port
//! on loopback, and its secret keeps others out.

use crate::lifetime::shutdown::Shutdown;
use cupola_cli::owner::{Owner, STATE_LOCK};
#[cfg(unix)]
use cupola_emulator::MAX_SOCKET_PATH;
use cupola_emulator::agents::Notes;
use cupola_emulator::container::Runtime;
use cupola_emulator::{Emulator, Options, StartError, stock_agents};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Who calls an emulator: everything of this user is one caller to it, told apart by isolation alone.
pub const CALLER: &str = "cupola";

/// How many connections it serves at once. Each takes two of the daemon's file descriptors, one for either end: half of the
/// 1,024 that a process has by default on Linux stay free for clients.
const MAX_CONNECTIONS: usize = 256;

/// How long a call waits for the emulator of a daemon that was told to stop: as long as most runs take.
const HANDED_OVER: Duration = Duration::from_mins(1);
/// How often it is asked for meanwhile.
const HANDED_OVER_POLL: Duration = Duration::from_millis(20);

/// The socket's name in the data directory, and the beginning of its name elsewhere.
#[cfg(unix)]
const SOCKET: &str = "socket";

/// Where its agent keeps finished responses, in its data directory.
const RESPONSES: &str = "responses";

/// The emulator, once somebody has asked for it.
pub struct EmbeddedEmulator {
    directory: PathBuf,
    #[cfg(unix)]
    socket: PathBuf,
    /// Held by the task that starts it.
    starting: tokio::sync::Mutex<()>,
    /// Never held across `.await`.
    running: Mutex<Option<Arc<Emulator>>>,
    /// The next daemon may have it.
    is_released: AtomicBool,
    /// How its daemon ends.
    shutdown: Shutdown,
}

/// The embedded emulator did not start.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the embedded emulator did not start in {directory}: {reason}")]
pub struct EmulatorFailed {
    /// Its data directory.
    pub directory: String,
    /// Why.
    pub reason: String,
    /// The daemon was told to stop, and the next one has the emulator.
    pub is_handed_over: bool,
}

impl EmbeddedEmulator {
    /// Keeps its sessions below `directory`, and has its socket there too. If that path is too long for a socket, it is in
    /// `sockets`, a private directory with a short path. Nothing is started or touched yet.
    pub fn new(directory: PathBuf, sockets: impl AsRef<Path>) -> Self {
        Self::of(directory, sockets, Shutdown::new())
    }

    /// As [`Self::new`], of a daemon that ends by `shutdown`.
    pub(crate) fn of(directory: PathBuf, sockets: impl AsRef<Path>, shutdown: Shutdown) -> Self {
        #[cfg(unix)]
        let socket = socket_path(&directory, sockets.as_ref());
        #[cfg(not(unix))]
        let _ = sockets;
        Self {
            directory,
            #[cfg(unix)]
            socket,
            starting: tokio::sync::Mutex::default(),
            running: Mutex::default(),
            shutdown,
            is_released: AtomicBool::new(false),
        }
    }

    /// The Unix socket it listens on.
    pub fn socket(&self) -> Option<&Path> {
        #[cfg(unix)]
        return Some(&self.socket);
        #[cfg(not(unix))]
        None
    }

    /// Its URL, after it was started if need be. Parallel first calls start one.
    pub async fn url(&self) -> Result<String, EmulatorFailed> {
        let _starting = self.starting.lock().await;
        if self.is_released.load(Ordering::Relaxed) {
            return Err(self.handed_over());
        }
        if let Some(emulator) = self.emulator() {
            return Ok(emulator.url().to_owned());
        }
        let failed = |reason: String| self.failed(reason);
        let emulator = self.start().await.map_err(|error| match error {
            StartError::InUse(_) if self.shutdown.is_draining() => self.handed_over(),
            StartError::InUse(_) => failed(self.holder()),
            #[cfg(unix)]
            StartError::Socket { .. } => failed(format!("{error}; choose another directory with --state-dir")),
            error => failed(error.to_string()),
        })?;
        let url = emulator.url().to_owned();
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(emulator));
        Ok(url)
    }

    fn emulator(&self) -> Option<Arc<Emulator>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends it, so that the next daemon can start one with the same data.
    pub(crate) async fn release(&self) {
        self.is_released.store(true, Ordering::Relaxed);
        let emulator = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(emulator) = emulator.and_then(Arc::into_inner) {
            emulator.shutdown().await;
        }
    }

    /// Starts it. A daemon that was told to stop runs it until its last call has ended, and a call with `--no-daemon` until that has:
    /// they are waited for. A daemon that stays is not.
    async fn start(&self) -> Result<Emulator, StartError> {
        let deadline = Instant::now() + HANDED_OVER;
        loop {
            match cupola_emulator::start(self.options()).await {
                Err(StartError::InUse(_)) if self.daemon_that_stays().is_none() && Instant::now() < deadline => {
                    sleep(HANDED_OVER_POLL).await;
                }
                started => return started,
            }
        }
    }

    fn options(&self) -> Options {
        let notes: Arc<dyn Runtime> = Arc::new(Notes::with_responses_in(self.directory.join(RESPONSES)));
        let mut options = Options::new(&self.directory, stock_agents(&notes));
        options.max_connections = MAX_CONNECTIONS;
        #[cfg(unix)]
        {
            options.listen = cupola_emulator::Listen::Socket(self.socket.clone());
        }
        options
    }

    /// The process of another daemon that owns the state directory, in which the emulator's is.
    fn daemon_that_stays(&self) -> Option<u32> {
        let owner = Owner::holding(&self.directory.parent()?.join(STATE_LOCK))?;
        Some(owner.process).filter(|process| *process != std::process::id())
    }

    /// Who else runs it, and what helps.
    fn holder(&self) -> String {
        match self.daemon_that_stays() {
            Some(process) => format!(
                "the daemon (process {process}) runs it there; use that one by leaving out --no-daemon, or end it with `cupola stop`"
            ),
            None => format!(
                "a daemon that was told to stop still runs it there after {} s, because a run has not ended; wait for that, or end the \
                 process (`pgrep -f 'cupola serve'` shows it)",
                HANDED_OVER.as_secs()
            ),
        }
    }

    /// Why it did not start.
    pub(super) fn failed(&self, reason: String) -> EmulatorFailed {
        EmulatorFailed { directory: self.directory.display().to_string(), reason, is_handed_over: false }
    }

    /// The next daemon has it, and will serve the call.
    fn handed_over(&self) -> EmulatorFailed {
        let reason = "this daemon was told to stop, and the next one runs it".to_owned();
        EmulatorFailed { is_handed_over: true, ..self.failed(reason) }
    }

    /// Where it listens, if it runs: `unix:` and the path of its socket, or a URL on Windows.
    pub fn running(&self) -> Option<String> {
        let emulator = self.emulator()?;
        Some(self.socket().map_or_else(|| emulator.url().to_owned(), |path| format!("unix:{}", path.display())))
    }

    /// A token it accepts, if it runs and `origin` is its own.
    pub fn token(&self, origin: &str) -> Option<String> {
        self.emulator().filter(|emulator| emulator.url() == origin).map(|emulator| emulator.token(CALLER))
    }
}

/// In the data directory, else in `sockets` under its own name: there may be sockets of daemons with other directories.
#[cfg(unix)]
fn socket_path(directory: &Path, sockets: &Path) -> PathBuf {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use sha2::{Digest as _, Sha256};
    use std::os::unix::ffi::OsStrExt as _;

    let usual = directory.join(SOCKET);
    if usual.as_os_str().len() <= MAX_SOCKET_PATH {
        return usual;
    }
    let digest = Sha256::digest(directory.as_os_str().as_bytes());
    sockets.join(format!("emulator-{}.{SOCKET}", URL_SAFE_NO_PAD.encode(&digest[..8])))
}

impl std::fmt::Debug for EmbeddedEmulator {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("EmbeddedEmulator").field("running", &self.running()).finish_non_exhaustive()
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_path_too_long_for_a_socket_moves_only_the_socket() {
        let root = tempfile::tempdir().unwrap();
        let long = root.path().join("x".repeat(100));
        let emulator = EmbeddedEmulator::new(long.join("emulator"), root.path().join("run"));
        assert!(emulator.socket().unwrap().starts_with(root.path().join("run")));
        emulator.url().await.unwrap();
        assert!(emulator.socket().unwrap().exists() && long.join("emulator/secret").exists());
        let shown = emulator.running().unwrap();
        assert_eq!(shown, format!("unix:{}", emulator.socket().unwrap().display()));

        let hopeless = EmbeddedEmulator::new(long.join("other"), &long);
        let error = hopeless.url().await.unwrap_err().to_string();
        assert!(error.contains("103 bytes") && error.contains("--state-dir"), "{error}");
    }
}
