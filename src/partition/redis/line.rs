//! The line to the shared store: an operation is tried again while the store comes back. [`Remote`] is what does it there.

use super::scripts::Script;
use super::seal::Sealer;
use super::settings::RedisSettings;
use crate::partition::store::{SharedFault, StoreError};
use futures_util::future::BoxFuture;
use redis::{Pipeline, Value};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long an operation may take in all, with new connections: as long as a state file may be busy. A store that is started again
/// within this time is not noticed.
const PATIENCE: Duration = Duration::from_secs(5);

/// The first pause before another try. It doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(20);

/// The longest pause.
const MAX_PAUSE: Duration = Duration::from_millis(250);

/// What is known of the whole store.
pub(super) struct Known {
    /// Its own random name: another one means that it was emptied or replaced.
    pub(super) id: String,
    /// What session ids are made with.
    pub(super) secret: Vec<u8>,
    pub(super) sealer: Sealer,
    /// Knows `WAITAOF`.
    pub(super) waits_for_disk: bool,
}

/// One script with its key and arguments, and whether its effect must be safe before it counts.
pub(super) struct Ask<'a> {
    pub(super) script: &'a Script,
    pub(super) key: &'a str,
    pub(super) arguments: &'a [&'a str],
    pub(super) is_write: bool,
}

/// What is tried.
pub(super) enum Work<'a> {
    Ask(Ask<'a>),
    Send(&'a Pipeline),
    Know,
    Look,
}

/// What was answered, and by which store.
pub(super) type Answered = (Vec<Value>, Arc<Known>);

/// What does the work in the store: connections to a server, or a simulated one in tests.
pub(super) trait Remote: Send + Sync {
    /// Tries it once.
    fn attempt<'a>(&'a self, work: &'a Work<'a>) -> BoxFuture<'a, Result<Answered, SharedFault>>;

    /// The next try begins with new connections: the address may lead to another server by now.
    fn reconnect(&self);

    /// How often the store was found emptied or replaced.
    fn replaced(&self) -> u64;
}

/// The line.
pub(super) struct Line {
    pub(super) settings: RedisSettings,
    address: String,
    remote: Box<dyn Remote>,
}

impl Line {
    /// A line to what is at this address.
    pub(super) const fn new(settings: RedisSettings, address: String, remote: Box<dyn Remote>) -> Self {
        Self { settings, address, remote }
    }

    pub(super) fn address(&self) -> String {
        self.address.clone()
    }

    pub(super) fn error(&self, fault: SharedFault) -> StoreError {
        StoreError::Shared { address: self.address(), fault }
    }

    /// How often the store was found emptied or replaced.
    pub(super) fn replaced(&self) -> u64 {
        self.remote.replaced()
    }

    /// Runs a script, again while the store comes back. Each script may run twice: its effect is the same.
    pub(super) async fn ask(&self, ask: Ask<'_>) -> Result<Value, StoreError> {
        Ok(self.patiently(&Work::Ask(ask)).await?.0.pop().unwrap_or(Value::Nil))
    }

    /// Sends commands that need not be safe, all at once.
    pub(super) async fn send(&self, commands: &Pipeline) -> Result<Vec<Value>, StoreError> {
        Ok(self.patiently(&Work::Send(commands)).await?.0)
    }

    /// What is known of the whole store.
    pub(super) async fn known(&self) -> Result<Arc<Known>, StoreError> {
        Ok(self.patiently(&Work::Know).await?.1)
    }

    /// Looks whether the store is still the same one.
    pub(super) async fn look(&self) -> Result<(), StoreError> {
        self.patiently(&Work::Look).await.map(drop)
    }

    async fn patiently(&self, work: &Work<'_>) -> Result<(Vec<Value>, Arc<Known>), StoreError> {
        let (until, mut pause) = (Instant::now() + PATIENCE, FIRST_PAUSE);
        // What it says when the time is over in the middle of a try.
        let mut last = SharedFault::Slow(PATIENCE.as_secs());
        loop {
            let answer = tokio::time::timeout_at(until, self.remote.attempt(work)).await;
            let fault = match answer.unwrap_or_else(|_| Err(last.clone())) {
                Ok(answer) => return Ok(answer),
                Err(fault) => fault,
            };
            last = fault.clone();
            let passes = matches!(fault, SharedFault::Unreachable(_) | SharedFault::Loading | SharedFault::ReadOnly);
            if passes || matches!(fault, SharedFault::Slow(_) | SharedFault::NotDurable(_)) {
                self.remote.reconnect();
            }
            if !passes || Instant::now() + pause >= until {
                return Err(self.error(fault));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(MAX_PAUSE);
        }
    }
}

impl std::fmt::Debug for Line {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Line").field("address", &self.address()).finish_non_exhaustive()
    }
}
