//! The emulator inside the daemon: started at the first call that wants it, gone with the daemon, its data kept.
//!
//! It listens on a Unix socket that only this user can open, so it has no port that others could use. On Windows it has a port
//! on loopback, and its secret keeps others out.

#[cfg(unix)]
use cupola_emulator::MAX_SOCKET_PATH;
use cupola_emulator::agents::Notes;
use cupola_emulator::container::Runtime;
use cupola_emulator::{Emulator, Options, StartError, stock_agents};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::OnceCell;

/// Who calls an emulator: everything of this user is one caller to it, told apart by isolation alone.
pub const CALLER: &str = "cupola";

/// How many connections it serves at once. Each takes two of the daemon's file descriptors, one for either end: half of the
/// 1,024 that a process has by default on Linux stay free for clients.
const MAX_CONNECTIONS: usize = 256;

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
    running: OnceCell<Emulator>,
}

/// The embedded emulator did not start.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the embedded emulator did not start in {directory}: {reason}")]
pub struct EmulatorFailed {
    /// Its data directory.
    pub directory: String,
    /// Why.
    pub reason: String,
}

impl EmbeddedEmulator {
    /// Keeps its sessions below `directory`, and has its socket there too. If that path is too long for a socket, it is in
    /// `sockets`, a private directory with a short path. Nothing is started or touched yet.
    pub fn new(directory: PathBuf, sockets: impl AsRef<Path>) -> Self {
        #[cfg(unix)]
        let socket = socket_path(&directory, sockets.as_ref());
        #[cfg(not(unix))]
        let _ = sockets;
        Self {
            directory,
            #[cfg(unix)]
            socket,
            running: OnceCell::new(),
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
    pub async fn url(&self) -> Result<&str, EmulatorFailed> {
        let failed = |reason: String| self.failed(reason);
        let emulator = self
            .running
            .get_or_try_init(|| async {
                let notes: Arc<dyn Runtime> = Arc::new(Notes::with_responses_in(self.directory.join(RESPONSES)));
                let mut options = Options::new(&self.directory, stock_agents(&notes));
                options.max_connections = MAX_CONNECTIONS;
                #[cfg(unix)]
                {
                    options.listen = cupola_emulator::Listen::Socket(self.socket.clone());
                }
                cupola_emulator::start(options).await.map_err(|error| match error {
                    StartError::InUse(_) => failed(
                        "another Cupola runs it there; use that one (leave --no-daemon out), or stop it with \
                         `cupola stop`"
                            .to_owned(),
                    ),
                    #[cfg(unix)]
                    StartError::Socket { .. } => failed(format!("{error}; choose another directory with --state-dir")),
                    error => failed(error.to_string()),
                })
            })
            .await?;
        Ok(emulator.url())
    }

    /// Why it did not start.
    pub(super) fn failed(&self, reason: String) -> EmulatorFailed {
        EmulatorFailed { directory: self.directory.display().to_string(), reason }
    }

    /// Where it listens, if it runs: `unix:` and the path of its socket, or a URL on Windows.
    pub fn running(&self) -> Option<String> {
        let emulator = self.running.get()?;
        Some(self.socket().map_or_else(|| emulator.url().to_owned(), |path| format!("unix:{}", path.display())))
    }

    /// A token it accepts, if it runs and `origin` is its own.
    pub fn token(&self, origin: &str) -> Option<String> {
        self.running.get().filter(|emulator| emulator.url() == origin).map(|emulator| emulator.token(CALLER))
    }
}

/// In the data directory, else in `sockets` under a name of its own: there may be sockets of daemons with other directories.
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
