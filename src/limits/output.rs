//! The memory of messages that wait for room in their client's outbox, for all clients together.

use std::sync::Arc;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Bytes of messages that may wait for room in the outboxes of all clients together: a few of the longest answers. A client whose
/// message finds no room here either is cut, because it does not read what it asked for.
const WAITING_BYTES: usize = 128 * 1024 * 1024;

/// The budget of all clients.
#[derive(Debug, Clone)]
pub struct WaitingBudget(Arc<Semaphore>);

impl Default for WaitingBudget {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(WAITING_BYTES)))
    }
}

impl WaitingBudget {
    /// Room for a message of this many bytes, held while it waits; `None` if there is none.
    pub(crate) fn room(&self, bytes: usize) -> Option<SemaphorePermit<'_>> {
        self.0.try_acquire_many(u32::try_from(bytes).unwrap_or(u32::MAX)).ok()
    }
}
