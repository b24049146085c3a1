//! One stream, many readers: a run's events, a session's log.
//!
//! What is written is numbered from 1 and kept in a bounded ring ([`ring`]). Every [`Reader`] goes through it at its own
//! pace, from where it wants to begin. **The fastest reader sets the pace**: the writer waits before it drops an entry that
//! no reader has taken, so one reader alone loses nothing; a reader that falls behind the others is told what it lost and
//! continues from there, and the others do not notice.
//!
//! Knows nothing of what the entries say.

mod ring;

pub use ring::{Entry, Limits, Ring};

use crate::sync::{Mutex, MutexGuard, Notify, PoisonError};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Entries handed to a reader at one time. A reader keeps these alive even when the ring has dropped them.
const BATCH: usize = 64;

/// How many times a reader waits for one entry and takes it, before it looks again whether several come at once. To look costs one more
/// turn of its task: for every entry of a slow stream that would be too much.
const LONE_READS: u8 = 16;

/// A stream and its readers; `End` is what the stream leaves behind.
pub struct Feed<E: Entry, End> {
    state: Mutex<State<E, End>>,
    /// There is something new to read, or the end.
    written: Notify,
    /// A reader took something or left.
    read: Notify,
    ended: CancellationToken,
    deserted: CancellationToken,
    /// It ends when its last reader has left.
    needs_readers: bool,
}

struct State<E: Entry, End> {
    ring: Ring<E>,
    readers: HashMap<u64, Place>,
    next_reader: u64,
    end: Option<End>,
}

/// Where a reader is.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// It took the entry of this number last.
    After(u64),
    /// It reads nothing and waits for the end, so it sets no pace.
    WaitsForEnd,
}

impl Place {
    const fn number(self) -> Option<u64> {
        match self {
            Self::After(number) => Some(number),
            Self::WaitsForEnd => None,
        }
    }
}

/// What a reader gets next.
#[derive(Debug)]
pub enum Next<E: Entry, End> {
    /// Entries in a row.
    Entries(Vec<Arc<E>>),
    /// The ring no longer has what comes next.
    Lost {
        /// What this reader took last.
        after: u64,
        /// The last entry that is lost.
        until: u64,
        /// What is left of everything up to `until`.
        rest: E::Rest,
    },
    /// There was nothing after what came before.
    End(End),
}

impl<E: Entry, End: Clone> Feed<E, End> {
    /// Nothing written, no reader. `needs_readers`: the last one to leave makes it [`Self::deserted`].
    pub fn new(limits: Limits, needs_readers: bool) -> Self {
        let state = State { ring: Ring::new(limits), readers: HashMap::new(), next_reader: 0, end: None };
        Self {
            state: Mutex::new(state),
            written: Notify::new(),
            read: Notify::new(),
            ended: CancellationToken::new(),
            deserted: CancellationToken::new(),
            needs_readers,
        }
    }

    /// Returns once `entry` can be written without taking it from the fastest reader. There is one writer, which need not
    /// wait.
    pub async fn wait_for_room(&self, entry: &E) {
        while !self.has_room(entry) {
            let read = self.read.notified();
            tokio::pin!(read);
            read.as_mut().enable();
            if self.has_room(entry) {
                return;
            }
            read.await;
        }
    }

    fn has_room(&self, entry: &E) -> bool {
        let state = self.locked();
        let fastest = state.readers.values().filter_map(|place| place.number()).max();
        fastest.is_none_or(|fastest| state.ring.drops_until(entry.bytes()) <= fastest)
    }

    /// Writes an entry.
    pub fn write(&self, entry: E) {
        self.locked().ring.push(entry);
        self.written.notify_waiters();
    }

    /// Nothing more will be written. Only the first end counts.
    pub fn end(&self, end: End) {
        let mut state = self.locked();
        state.end.get_or_insert(end);
        state.ring.gather();
        drop(state);
        self.ended.cancel();
        self.written.notify_waiters();
    }

    /// Returns once it has ended.
    pub async fn ended(&self) -> End {
        loop {
            self.ended.cancelled().await;
            if let Some(end) = self.locked().end.clone() {
                return end;
            }
        }
    }

    /// Returns once the last reader has left a feed that needs some.
    pub async fn deserted(&self) {
        self.deserted.cancelled().await;
    }

    /// Joins with the entries after the number that `after` chooses; `None` when it was deserted and has not ended.
    pub fn join(self: &Arc<Self>, after: impl FnOnce(&Ring<E>) -> u64) -> Option<Reader<E, End>> {
        let mut state = self.locked();
        if self.deserted.is_cancelled() && state.end.is_none() {
            return None;
        }
        let after = after(&state.ring).min(state.ring.last());
        let id = state.next_reader;
        state.next_reader += 1;
        state.readers.insert(id, Place::After(after));
        drop(state);
        Some(Reader { feed: Arc::clone(self), id, lone_reads: 0 })
    }

    /// Readers at present.
    pub fn readers(&self) -> usize {
        self.locked().readers.len()
    }

    /// What `inspect` finds in what is kept.
    pub fn inspect<Answer>(&self, inspect: impl FnOnce(&Ring<E>) -> Answer) -> Answer {
        inspect(&self.locked().ring)
    }

    fn locked(&self) -> MutexGuard<'_, State<E, End>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<E: Entry, End> fmt::Debug for Feed<E, End> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Feed").finish_non_exhaustive()
    }
}

/// One reader's place in a feed. Dropping it leaves.
#[derive(Debug)]
pub struct Reader<E: Entry, End> {
    feed: Arc<Feed<E, End>>,
    id: u64,
    /// How many times it has waited for one entry alone, up to [`LONE_READS`].
    lone_reads: u8,
}

impl<E: Entry, End: Clone> Reader<E, End> {
    /// What comes next; waits for it. When several entries come at once, it takes them together.
    pub async fn next(&mut self) -> Next<E, End> {
        let mut has_yielded = false;
        loop {
            let written = self.feed.written.notified();
            tokio::pin!(written);
            written.as_mut().enable();
            if let Some(next) = self.take() {
                let is_lone = matches!(&next, Next::Entries(entries) if entries.len() == 1);
                if has_yielded && is_lone {
                    self.lone_reads = 0;
                }
                return next;
            }
            written.await;
            has_yielded = self.lone_reads == LONE_READS;
            if has_yielded {
                // The writer continues first, with what it has at hand.
                tokio::task::yield_now().await;
            } else {
                self.lone_reads += 1;
            }
        }
    }

    /// Waits for the end without reading, and without setting a pace.
    pub async fn end(self) -> End {
        self.feed.locked().readers.insert(self.id, Place::WaitsForEnd);
        self.feed.read.notify_waiters();
        self.feed.ended().await
    }

    fn take(&self) -> Option<Next<E, End>> {
        let mut state = self.feed.locked();
        let State { ring, readers, end, .. } = &mut *state;
        let Place::After(place) = readers.get_mut(&self.id)? else {
            return end.clone().map(Next::End);
        };
        let next = if *place + 1 < ring.first() {
            let after = std::mem::replace(place, ring.first() - 1);
            Next::Lost { after, until: *place, rest: ring.rest().clone() }
        } else if *place < ring.last() {
            let entries = ring.after(*place, BATCH);
            *place += entries.len() as u64;
            Next::Entries(entries)
        } else {
            return end.clone().map(Next::End);
        };
        drop(state);
        self.feed.read.notify_waiters();
        Some(next)
    }
}

impl<E: Entry, End> Drop for Reader<E, End> {
    fn drop(&mut self) {
        let mut state = self.feed.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.readers.remove(&self.id);
        if self.feed.needs_readers && state.readers.is_empty() && state.end.is_none() {
            self.feed.deserted.cancel();
        }
        drop(state);
        self.feed.read.notify_waiters();
    }
}

#[cfg(test)]
mod tests;
