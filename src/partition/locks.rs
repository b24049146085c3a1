//! Order: calls on one session wait for each other, calls on different sessions do not. Where saved state is shared, the same holds
//! for calls of other processes that use it.

use super::exclusion::{Exclusion, ExclusionError, Held};
use super::queues::{Queued, Queues, Turn};
use super::store::{Lease, LockName};
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

pub use super::queues::Position;

/// How long a call waits for its turn: as long as a run may take by default, so that only a stuck queue is refused.
const MAX_WAIT: Duration = Duration::from_mins(30);

/// A queue per key, first come first served.
#[derive(Debug)]
pub struct Locks<Key: Eq + Hash> {
    queues: Queues<Key>,
    shared: Option<Shared<Key>>,
}

/// Where processes lock a key between them, and what a key is called there.
#[derive(Debug)]
struct Shared<Key> {
    locks: Arc<dyn Exclusion>,
    name: fn(&Key) -> LockName,
}

impl<Key: Eq + Hash> Default for Locks<Key> {
    fn default() -> Self {
        Self { queues: Queues::default(), shared: None }
    }
}

/// The key is this call's. Dropping it lets the next call have it.
#[derive(Debug)]
pub struct Lock<Key: Eq + Hash> {
    // Dropped in this order: other processes first.
    shared: Option<Held>,
    _turn: Turn<Key>,
}

impl<Key: Eq + Hash> Lock<Key> {
    /// The lease that it is, where it can be lost.
    pub fn lease(&self) -> Option<&Lease> {
        self.shared.as_ref().and_then(Held::lease)
    }

    /// Takes out the hold on a partition's current session that came with it.
    pub fn take_session(&mut self) -> Option<Held> {
        self.shared.as_mut().and_then(Held::take_session)
    }
}

/// A place in the queue of a key. Dropping it gives the place up.
pub struct Waiter<Key: Eq + Hash> {
    queued: Queued<Key>,
    /// Where other processes wait for the key, and its name there.
    shared: Option<(Arc<dyn Exclusion>, LockName)>,
    /// The hold that keeps other processes out already.
    granted: Option<Held>,
}

/// Why a key could not be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// The queue did not move for as long as a run may take.
    #[error("another call has held this session for over {} minutes", MAX_WAIT.as_secs() / 60)]
    Timeout,
    /// Other processes could not be kept out.
    #[error(transparent)]
    Unusable(#[from] ExclusionError),
}

impl<Key: Eq + Hash + Clone> Locks<Key> {
    /// Queues in which other processes stand, too: those that use the same saved state. `name` says what a key is called there.
    pub fn between_processes(locks: Arc<dyn Exclusion>, name: fn(&Key) -> LockName) -> Self {
        Self { shared: Some(Shared { locks, name }), ..Self::default() }
    }

    /// Takes a place behind all calls that have one, without waiting.
    pub fn join(&self, key: &Key) -> Waiter<Key> {
        let queued = self.queues.join(key);
        let shared = self.shared.as_ref().map(|shared| (Arc::clone(&shared.locks), (shared.name)(key)));
        Waiter { queued, shared, granted: None }
    }

    /// Waits until the key is free. Dropping the future gives the place in the queue up.
    pub async fn take(&self, key: &Key) -> Result<Lock<Key>, LockError> {
        self.join(key).wait().await
    }

    /// Are all queues empty?
    #[cfg(test)]
    fn is_empty(&self) -> bool {
        self.queues.is_empty()
    }
}

impl<Key: Eq + Hash> Waiter<Key> {
    /// The same place, with a hold that keeps other processes out already. It is given back if calls of this process are in front: they
    /// wait for it, too.
    #[must_use]
    pub fn granted(mut self, held: Option<Held>) -> Self {
        let has_turn = self.queued.has_turn();
        self.granted = held.filter(|_| has_turn);
        self
    }

    /// What it waits for.
    pub const fn key(&self) -> &Key {
        self.queued.key()
    }

    /// Where it is in the queue.
    pub fn position(&self) -> Position {
        self.queued.position()
    }

    /// The key, if nobody has it: neither a call of this process nor, as far as that can be told, one of another. `Err`: the place in
    /// the queue.
    pub async fn now(mut self) -> Result<Result<Lock<Key>, Self>, LockError> {
        // Its turn may have come since it was joined.
        if !self.queued.has_turn() {
            return Ok(Err(self));
        }
        let shared = match &self.shared {
            None => None,
            Some(_) if self.granted.is_some() => self.granted.take(),
            Some((locks, name)) => match locks.attempt(name).await? {
                None => return Ok(Err(self)),
                held => held,
            },
        };
        let turn = self.queued.turn().ok_or(LockError::Timeout)?;
        Ok(Ok(Lock { shared, _turn: turn }))
    }

    /// Waits until everyone in front has left.
    pub async fn wait(mut self) -> Result<Lock<Key>, LockError> {
        let waiting = async {
            self.queued.wait().await;
            if let Some(granted) = self.granted.take() {
                return Ok(Some(granted));
            }
            let Some((locks, name)) = &self.shared else { return Ok::<_, ExclusionError>(None) };
            locks.acquire(name).await.map(Some)
        };
        let shared = tokio::time::timeout(MAX_WAIT, waiting).await.map_err(|_| LockError::Timeout)??;
        let turn = self.queued.turn().ok_or(LockError::Timeout)?;
        Ok(Lock { shared, _turn: turn })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn one_key_is_served_in_order_of_arrival_and_others_at_once() {
        let locks = Locks::<&str>::default();
        let first = locks.take(&"a").await.unwrap();
        let other = locks.take(&"b").now_or_never();
        assert!(other.is_some_and(|turn| turn.is_ok()), "another key waited");

        let mut second = Box::pin(locks.take(&"a"));
        let mut third = Box::pin(locks.take(&"a"));
        assert!(futures_util::poll!(&mut second).is_pending());
        assert!(futures_util::poll!(&mut third).is_pending());
        drop(first);
        assert!(futures_util::poll!(&mut third).is_pending(), "the third went before the second");
        let second = second.await.unwrap();
        drop(second);
        third.await.unwrap();
    }

    #[tokio::test]
    async fn a_place_is_taken_before_anyone_waits() {
        let locks = Locks::<&str>::default();
        let (first, second, third) = (locks.join(&"a"), locks.join(&"a"), locks.join(&"a"));
        let mut third = Box::pin(third.wait());
        assert!(futures_util::poll!(&mut third).is_pending(), "it came last");
        drop(first.wait().await.unwrap());
        assert!(
            futures_util::poll!(&mut third).is_pending(),
            "the second is in the queue, though it does not wait yet"
        );
        drop(second);
        drop(third.await.unwrap());
        assert!(locks.is_empty());
    }

    #[tokio::test]
    async fn a_queue_is_gone_when_the_last_one_leaves_even_by_giving_up() {
        let locks = Locks::<&str>::default();
        let holder = locks.take(&"a").await.unwrap();
        let mut waiter = Box::pin(locks.take(&"a"));
        assert!(futures_util::poll!(&mut waiter).is_pending());
        drop(holder);
        drop(waiter);
        assert!(locks.is_empty());
    }

    #[tokio::test]
    async fn a_place_knows_how_many_are_ahead_and_hears_when_that_changes() {
        let locks = Locks::<&str>::default();
        let holder = locks.take(&"a").await.unwrap();
        let (second, third) = (locks.join(&"a"), locks.join(&"a"));
        let position = third.position();
        assert_eq!((second.position().ahead(), position.ahead()), (1, 2));
        let mut below = Box::pin(position.below(2));
        assert!(futures_util::poll!(&mut below).is_pending());
        drop(second);
        below.await;
        assert_eq!(position.ahead(), 1);
        drop(holder);
        position.below(1).await;
        assert!(third.now().await.is_ok_and(|now| now.is_ok()));
        assert!(locks.is_empty());
    }

    #[tokio::test]
    async fn a_key_is_had_at_once_or_the_place_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let [left, right] = two(directory.path());
        let Ok(Ok(held)) = left.join(&"a").now().await else { panic!("it is free") };
        let Ok(Err(waiting)) = left.join(&"a").now().await else { panic!("two have it") };
        assert!(right.join(&"a").now().await.is_ok_and(|now| now.is_err()), "another process has it");
        let behind = left.join(&"a");
        drop(held);
        assert!(behind.now().await.is_ok_and(|now| now.is_err()), "the place that was kept is ahead");
        drop(waiting);
        assert!(right.join(&"a").now().await.is_ok_and(|now| now.is_ok()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stuck_queue_is_refused() {
        let locks = Locks::<&str>::default();
        let _holder = locks.take(&"a").await.unwrap();
        assert!(matches!(locks.take(&"a").await, Err(LockError::Timeout)));
    }

    /// Two daemons of one state directory; each has its own queues.
    fn two(directory: &std::path::Path) -> [Locks<&'static str>; 2] {
        [(), ()].map(|()| in_directory(directory.join("locks")))
    }

    fn in_directory(directory: std::path::PathBuf) -> Locks<&'static str> {
        let locks = Arc::new(super::super::exclusion::FileLocks::new(directory));
        Locks::between_processes(locks, |key| LockName::Daemon((*key).to_owned()))
    }

    #[tokio::test]
    async fn a_key_that_another_process_holds_is_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let [left, right] = two(directory.path());
        let held = left.take(&"a").await.unwrap();
        right.take(&"b").await.unwrap();
        let mut waiting = Box::pin(right.take(&"a"));
        assert!(futures_util::poll!(&mut waiting).is_pending());
        drop(held);
        waiting.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_that_never_lets_go_is_waited_for_within_bounds() {
        let directory = tempfile::tempdir().unwrap();
        let [left, right] = two(directory.path());
        let _held = left.take(&"a").await.unwrap();
        assert!(matches!(right.take(&"a").await, Err(LockError::Timeout)));
        let nowhere = in_directory("/nowhere/at/all".into());
        assert!(matches!(nowhere.take(&"a").await, Err(LockError::Unusable(ExclusionError::Files { .. }))));
    }
}
