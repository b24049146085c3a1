//! The emulator inside the daemon: started at the first call that wants it, gone with the daemon, its data kept.

use cupola_emulator::agents::Notes;
use cupola_emulator::container::Runtime;
use cupola_emulator::{Emulator, Options, StartError, stock_agents};
use cupola_protocol::target::EmulatorUrl;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::OnceCell;

/// Who calls the emulator: everything on this machine is one caller to it, told apart by isolation alone.
const CALLER: &str = "cupola";

/// The emulator, once somebody has asked for it.
pub struct EmbeddedEmulator {
    directory: PathBuf,
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
    /// Keeps its sessions below `directory`. Nothing is started or touched yet.
    pub fn new(directory: PathBuf) -> Self {
        Self { directory, running: OnceCell::new() }
    }

    /// Where it listens, starting it first if need be. Parallel first calls start one.
    pub async fn url(&self) -> Result<EmulatorUrl, EmulatorFailed> {
        let failed = |reason: String| EmulatorFailed { directory: self.directory.display().to_string(), reason };
        let emulator = self
            .running
            .get_or_try_init(|| async {
                let notes: Arc<dyn Runtime> = Arc::new(Notes::default());
                cupola_emulator::start(Options::new(&self.directory, stock_agents(&notes))).await.map_err(|error| {
                    match error {
                        StartError::InUse(_) => failed(
                            "another Cupola runs it there; use that one (leave --no-daemon out), or stop it with \
                             `cupola stop`"
                                .to_owned(),
                        ),
                        error => failed(error.to_string()),
                    }
                })
            })
            .await?;
        emulator.url().parse().map_err(|invalid: cupola_protocol::Invalid| failed(invalid.to_string()))
    }

    /// Where it listens, if it runs.
    pub fn running(&self) -> Option<String> {
        self.running.get().map(Emulator::url)
    }

    /// A token it accepts.
    pub fn token() -> String {
        cupola_emulator::token(CALLER)
    }
}

impl std::fmt::Debug for EmbeddedEmulator {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("EmbeddedEmulator").field("running", &self.running()).finish_non_exhaustive()
    }
}
