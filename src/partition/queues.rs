//! Queues of this process: those who ask for one key have it one after the other, in the order in which they came.

use crate::sync::{Mutex, MutexGuard, PoisonError};
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, MaybeDone, maybe_done};
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::hash::Hash;
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::{OwnedMutexGuard, watch};

/// Those who hold a key or wait for it. The mutex hands the key on in the order of arrival; the places say who is where.
#[derive(Debug, Default)]
struct Queue {
    turn: Arc<tokio::sync::Mutex<()>>,
    places: Mutex<Places>,
    /// Told when somebody leaves.
    moved: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Places {
    next: u64,
    taken: BTreeSet<u64>,
}

impl Queue {
    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self) -> u64 {
        let mut places = self.places();
        let number = places.next;
        places.next += 1;
        places.taken.insert(number);
        number
    }

    /// Is nobody left?
    fn leave(&self, number: u64) -> bool {
        let mut places = self.places();
        places.taken.remove(&number);
        self.moved.send_replace(());
        places.taken.is_empty()
    }
}

/// Where a call is in its queue. Looking does not hold the place.
#[derive(Debug, Clone)]
pub struct Position {
    queue: Arc<Queue>,
    number: u64,
}

impl Position {
    /// How many calls of this process are ahead, the one that holds the key among them.
    pub fn ahead(&self) -> u64 {
        self.queue.places().taken.range(..self.number).count() as u64
    }

    /// Returns when fewer than `seen` calls are ahead.
    pub async fn below(&self, seen: u64) {
        let mut moved = self.queue.moved.subscribe();
        while self.ahead() >= seen {
            // The sender is in the queue, which this position keeps.
            if moved.changed().await.is_err() {
                return;
            }
        }
    }
}

/// A queue per key. Clones share them.
#[derive(Debug)]
pub struct Queues<Key>(Arc<Mutex<HashMap<Key, Arc<Queue>>>>);

impl<Key> Clone for Queues<Key> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<Key> Default for Queues<Key> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<Key> Queues<Key> {
    fn by_key(&self) -> MutexGuard<'_, HashMap<Key, Arc<Queue>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Are all queues empty?
    pub fn is_empty(&self) -> bool {
        self.by_key().is_empty()
    }
}

impl<Key: Eq + Hash + Clone> Queues<Key> {
    /// Takes a place behind all that have one, without waiting.
    pub fn join(&self, key: &Key) -> Queued<Key> {
        // Joined while the map is held: a queue cannot be removed between finding and joining it, and numbers are in the order of the
        // mutex.
        let mut queues = self.by_key();
        let queue = queues.entry(key.clone()).or_default();
        let position = Position { number: queue.enter(), queue: Arc::clone(queue) };
        // A task that has used up its budget would be turned away before it has a place.
        let mut guard = maybe_done(tokio::task::unconstrained(Arc::clone(&queue.turn).lock_owned()).boxed());
        // The mutex is fair: the first poll takes the place.
        let _ = (&mut guard).now_or_never();
        drop(queues);
        Queued { guard, place: Place { queues: self.clone(), key: key.clone(), position } }
    }
}

/// The key is this call's. Dropping it lets the next call have it.
#[derive(Debug)]
pub struct Turn<Key: Eq + Hash> {
    // Dropped in this order: the guard, then the place, which looks whether anyone is left.
    _guard: OwnedMutexGuard<()>,
    _place: Place<Key>,
}

/// A place in the queue of a key. Dropping it gives the place up.
pub struct Queued<Key: Eq + Hash> {
    // Dropped before the place, as in `Turn`.
    guard: MaybeDone<BoxFuture<'static, OwnedMutexGuard<()>>>,
    place: Place<Key>,
}

impl<Key: Eq + Hash> Queued<Key> {
    /// What it waits for.
    pub const fn key(&self) -> &Key {
        &self.place.key
    }

    /// Where it is in the queue.
    pub fn position(&self) -> Position {
        self.place.position.clone()
    }

    /// Has its turn come?
    pub fn has_turn(&mut self) -> bool {
        let _ = (&mut self.guard).now_or_never();
        matches!(self.guard, MaybeDone::Done(_))
    }

    /// Returns when its turn has come: everyone in front has left.
    pub async fn wait(&mut self) {
        (&mut self.guard).await;
    }

    /// The turn, if it has come.
    pub fn turn(mut self) -> Option<Turn<Key>> {
        let guard = Pin::new(&mut self.guard).take_output()?;
        Some(Turn { _guard: guard, _place: self.place })
    }
}

impl<Key: Eq + Hash + fmt::Debug> fmt::Debug for Queued<Key> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Queued").field("place", &self.place).finish_non_exhaustive()
    }
}

/// A place in a queue; the last one to leave removes the queue.
#[derive(Debug)]
struct Place<Key: Eq + Hash> {
    queues: Queues<Key>,
    key: Key,
    position: Position,
}

impl<Key: Eq + Hash> Drop for Place<Key> {
    fn drop(&mut self) {
        // While the map is held, nobody joins.
        let mut queues = self.queues.by_key();
        if self.position.queue.leave(self.position.number) {
            queues.remove(&self.key);
        }
    }
}
