//! Order: calls on one session wait for each other, calls on different sessions do not.

use dashmap::DashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, OwnedMutexGuard};

/// How long a call waits for its turn: as long as a run may take by default, so that only a stuck queue is refused.
const MAX_WAIT: Duration = Duration::from_mins(30);

type Queues<Key> = Arc<DashMap<Key, Arc<Mutex<()>>>>;

/// A queue per key, first come first served.
#[derive(Debug)]
pub struct Locks<Key: Eq + Hash> {
    queues: Queues<Key>,
}

impl<Key: Eq + Hash> Default for Locks<Key> {
    fn default() -> Self {
        Self { queues: Arc::default() }
    }
}

/// The key is this call's. Dropping it lets the next call have it.
#[derive(Debug)]
pub struct Lock<Key: Eq + Hash> {
    // Dropped in this order: the place looks whether anyone is left once the guard has let go.
    _guard: OwnedMutexGuard<()>,
    _place: Place<Key>,
}

/// The queue did not move for as long as a run may take.
#[derive(Debug, thiserror::Error)]
#[error("another call has held this session for over {} minutes", MAX_WAIT.as_secs() / 60)]
pub struct LockTimeout;

impl<Key: Eq + Hash + Clone> Locks<Key> {
    /// Waits until the key is free. Dropping the future gives the place in the queue up.
    pub async fn take(&self, key: &Key) -> Result<Lock<Key>, LockTimeout> {
        let place = Place { queues: self.queues.clone(), key: key.clone() };
        // Cloned while the map's entry is held, so that a queue cannot be removed between finding and joining it.
        let queue = self.queues.entry(key.clone()).or_default().clone();
        let guard = tokio::time::timeout(MAX_WAIT, queue.lock_owned()).await.map_err(|_| LockTimeout)?;
        Ok(Lock { _guard: guard, _place: place })
    }

    /// Are all queues empty?
    #[cfg(test)]
    fn is_empty(&self) -> bool {
        self.queues.is_empty()
    }
}

/// A place in a queue; the last one to leave removes the queue.
#[derive(Debug)]
struct Place<Key: Eq + Hash> {
    queues: Queues<Key>,
    key: Key,
}

impl<Key: Eq + Hash> Drop for Place<Key> {
    fn drop(&mut self) {
        self.queues.remove_if(&self.key, |_, queue| Arc::strong_count(queue) == 1);
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
    async fn a_queue_is_gone_when_the_last_one_leaves_even_by_giving_up() {
        let locks = Locks::<&str>::default();
        let holder = locks.take(&"a").await.unwrap();
        let mut waiter = Box::pin(locks.take(&"a"));
        assert!(futures_util::poll!(&mut waiter).is_pending());
        drop(holder);
        drop(waiter);
        assert!(locks.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_stuck_queue_is_refused() {
        let locks = Locks::<&str>::default();
        let _holder = locks.take(&"a").await.unwrap();
        assert!(locks.take(&"a").await.is_err());
    }
}
