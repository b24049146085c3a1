//! The newest entries of a stream, within bounds. Pure.

use std::collections::VecDeque;
use std::sync::Arc;

/// Something that is written to a feed.
pub trait Entry: Send + Sync + 'static {
    /// What is left of entries that were dropped, for a reader that missed them.
    type Rest: Clone + Default + Send;

    /// How much memory it takes.
    fn bytes(&self) -> usize;

    /// It is dropped: adds to the rest what must not be lost with it.
    fn fold_into(&self, rest: &mut Self::Rest);
}

/// How much is kept. At least one entry always is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Entries.
    pub entries: usize,
    /// Their bytes together.
    pub bytes: usize,
}

/// The newest entries, numbered from 1 since the stream began.
#[derive(Debug)]
pub struct Ring<E: Entry> {
    limits: Limits,
    entries: VecDeque<Arc<E>>,
    bytes: usize,
    /// Number of the newest entry; 0 before the first.
    last: u64,
    rest: E::Rest,
}

impl<E: Entry> Ring<E> {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, entries: VecDeque::new(), bytes: 0, last: 0, rest: E::Rest::default() }
    }

    /// Number of the newest entry; 0 before the first.
    pub const fn last(&self) -> u64 {
        self.last
    }

    /// Number of the oldest entry that is kept; that of the next one when there is none.
    pub fn first(&self) -> u64 {
        self.last + 1 - self.entries.len() as u64
    }

    /// What is left of the entries before [`Self::first`].
    pub const fn rest(&self) -> &E::Rest {
        &self.rest
    }

    /// The bytes of all entries that are kept.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The entries that are kept, oldest first.
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = &Arc<E>> + ExactSizeIterator {
        self.entries.iter()
    }

    /// What would be left if all were dropped.
    pub fn whole(&self) -> E::Rest {
        let mut rest = self.rest.clone();
        self.entries.iter().for_each(|entry| entry.fold_into(&mut rest));
        rest
    }

    /// At most `most` entries after a number.
    pub(super) fn after(&self, number: u64, most: usize) -> Vec<Arc<E>> {
        let skipped = usize::try_from((number + 1).saturating_sub(self.first())).unwrap_or(usize::MAX);
        self.entries.iter().skip(skipped).take(most).cloned().collect()
    }

    /// The last entry that is dropped when one of this many bytes is added; 0 when none is.
    pub(super) fn drops_until(&self, bytes: usize) -> u64 {
        let (mut count, mut left) = (0, self.bytes);
        for entry in &self.entries {
            if self.entries.len() - count < self.limits.entries && left + bytes <= self.limits.bytes {
                break;
            }
            count += 1;
            left -= entry.bytes();
        }
        if count == 0 { 0 } else { self.first() + count as u64 - 1 }
    }

    pub(super) fn push(&mut self, entry: E) {
        let dropped = self.drops_until(entry.bytes());
        while self.first() <= dropped
            && let Some(entry) = self.entries.pop_front()
        {
            self.bytes -= entry.bytes();
            entry.fold_into(&mut self.rest);
        }
        self.bytes += entry.bytes();
        self.entries.push_back(Arc::new(entry));
        self.last += 1;
    }
}
