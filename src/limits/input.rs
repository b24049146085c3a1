//! Messages that have begun and not ended: how much memory they may take together, and how long each may take.
//!
//! Every connection may hold a little for nothing. What a message has beyond that it takes from one budget for all
//! connections, and gives it back when its call is answered: until then it is in memory in one form or another.

use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// Bytes that the messages of all connections may take together, beyond [`FREE_BYTES`] of each: the longest
/// (`framing::MAX_FRAME_BYTES`) alone, or four of the largest prompts (`cupola_protocol::invoke::MAX_INPUT_BYTES`). Usual messages are far below `FREE_BYTES` and never wait for it.
pub const BUDGET_BYTES: usize = 64 * 1024 * 1024;
/// Bytes of a message that are not counted: a usual prompt with its envelope.
pub const FREE_BYTES: usize = 16 * 1024;
/// How long a message that has begun may make no progress. Longer than a busy machine suspends a program.
pub const STALL_TIME: Duration = Duration::from_secs(30);
/// Bytes per second that a message must have on average once it takes from the budget: slower than any program writes,
/// and fast enough that a client cannot hold the budget with almost nothing.
const PACE_BYTES: usize = 4 * 1024;

/// The budget of all connections.
#[derive(Debug, Clone)]
pub struct InputBudget(Arc<Semaphore>);

/// There is no room for the rest of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoRoom;

/// What one message takes from the budget. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Room {
    budget: Arc<Semaphore>,
    held: Option<OwnedSemaphorePermit>,
}

impl Default for InputBudget {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(BUDGET_BYTES)))
    }
}

impl InputBudget {
    /// For one message, which takes nothing yet.
    pub(crate) fn room(&self) -> Room {
        Room { budget: Arc::clone(&self.0), held: None }
    }

    /// Bytes that are taken.
    pub fn taken(&self) -> usize {
        BUDGET_BYTES - self.0.available_permits()
    }
}

impl Room {
    /// Makes it room for a message of `bytes` so far.
    pub(crate) fn grow_to(&mut self, bytes: usize) -> Result<(), NoRoom> {
        let held = self.held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let more = bytes.saturating_sub(FREE_BYTES).saturating_sub(held);
        if more == 0 {
            return Ok(());
        }
        let more = u32::try_from(more).map_err(|_| NoRoom)?;
        let permit = Arc::clone(&self.budget).try_acquire_many_owned(more).map_err(|_| NoRoom)?;
        match &mut self.held {
            Some(held) => held.merge(permit),
            None => self.held = Some(permit),
        }
        Ok(())
    }

    /// Hands over what is taken, and takes nothing any more.
    pub(crate) fn take(&mut self) -> Self {
        Self { budget: Arc::clone(&self.budget), held: self.held.take() }
    }
}

/// The time of one message that has begun.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Progress {
    begun: Instant,
    last: Instant,
}

impl Progress {
    /// It begins now.
    pub(crate) fn begin() -> Self {
        let now = Instant::now();
        Self { begun: now, last: now }
    }

    /// Some of it has come.
    pub(crate) fn made(&mut self) {
        self.last = Instant::now();
    }

    /// When it is given up, unless more than these `bytes` come.
    pub(crate) fn deadline(&self, bytes: usize) -> Instant {
        let stalled = self.last + STALL_TIME;
        if bytes <= FREE_BYTES {
            return stalled;
        }
        let paced = self.begun + STALL_TIME + Duration::from_secs((bytes / PACE_BYTES) as u64);
        stalled.min(paced)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_messages_take_nothing_and_large_ones_what_they_have_beyond() {
        let budget = InputBudget::default();
        let mut room = budget.room();
        assert_eq!(room.grow_to(FREE_BYTES), Ok(()));
        assert_eq!(budget.taken(), 0);
        assert_eq!((room.grow_to(FREE_BYTES + 10), room.grow_to(FREE_BYTES + 7)), (Ok(()), Ok(())));
        assert_eq!(budget.taken(), 10);
        let mut other = budget.room();
        assert_eq!(other.grow_to(FREE_BYTES + BUDGET_BYTES - 9), Err(NoRoom));
        assert_eq!(other.grow_to(FREE_BYTES + BUDGET_BYTES - 10), Ok(()));
        let handed_over = room.take();
        assert_eq!(budget.taken(), BUDGET_BYTES);
        drop(other);
        assert_eq!(budget.taken(), 10);
        drop(handed_over);
        assert_eq!(budget.taken(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_sender_of_little_has_all_the_time_and_a_holder_of_the_budget_has_not() {
        let start = Instant::now();
        let mut progress = Progress::begin();
        tokio::time::advance(Duration::from_hours(1)).await;
        progress.made();
        let passed = Duration::from_hours(1);
        assert_eq!(progress.deadline(FREE_BYTES) - start, passed + STALL_TIME);
        assert!(progress.deadline(FREE_BYTES + 1) - start < passed);
        assert_eq!(progress.deadline(usize::MAX / 2) - start, passed + STALL_TIME);
    }
}
