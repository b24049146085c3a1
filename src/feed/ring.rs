//! The newest entries of a stream, within bounds. Pure.

use std::collections::VecDeque;
use std::sync::Arc;

/// Something that is written to a feed.
pub trait Entry: Clone + Send + Sync + 'static {
    /// What is left of entries that were dropped, for a reader that missed them.
    type Rest: Clone + Default + Send;

    /// How much memory it takes.
    fn bytes(&self) -> usize;

    /// It is dropped: adds to the rest what must not be lost with it.
    fn fold_into(&self, rest: &mut Self::Rest);

    /// The stream has ended: the same entries, in as few pieces of memory as can be. Each small piece that is kept holds on to the page
    /// it was made in, and the entries of many streams are made beside each other.
    fn gathered(entries: Vec<Self>) -> Vec<Self> {
        entries
    }
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
    entries: Entries<E>,
    bytes: usize,
    /// Number of the newest entry; 0 before the first.
    last: u64,
    rest: E::Rest,
}

/// The entries of a ring: one by one while more can come, and together afterwards.
#[derive(Debug)]
enum Entries<E> {
    Coming(VecDeque<Arc<E>>),
    Gathered(Vec<E>),
}

impl<E> Entries<E> {
    fn len(&self) -> usize {
        match self {
            Self::Coming(entries) => entries.len(),
            Self::Gathered(entries) => entries.len(),
        }
    }

    fn iter(&self) -> impl DoubleEndedIterator<Item = &E> {
        (0..self.len()).filter_map(|place| self.get(place))
    }

    fn get(&self, place: usize) -> Option<&E> {
        match self {
            Self::Coming(entries) => entries.get(place).map(|entry| &**entry),
            Self::Gathered(entries) => entries.get(place),
        }
    }
}

impl<E: Entry> Ring<E> {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, entries: Entries::Coming(VecDeque::new()), bytes: 0, last: 0, rest: E::Rest::default() }
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
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = &E> {
        self.entries.iter()
    }

    /// What would be left if all were dropped.
    pub fn whole(&self) -> E::Rest {
        let mut rest = self.rest.clone();
        self.entries().for_each(|entry| entry.fold_into(&mut rest));
        rest
    }

    /// At most `most` entries after a number.
    pub(super) fn after(&self, number: u64, most: usize) -> Vec<Arc<E>> {
        let skipped = usize::try_from((number + 1).saturating_sub(self.first())).unwrap_or(usize::MAX);
        match &self.entries {
            Entries::Coming(entries) => entries.iter().skip(skipped).take(most).cloned().collect(),
            Entries::Gathered(entries) => entries.iter().skip(skipped).take(most).cloned().map(Arc::new).collect(),
        }
    }

    /// The last entry that is dropped when one of this many bytes is added; 0 when none is.
    pub(super) fn drops_until(&self, bytes: usize) -> u64 {
        let (mut count, mut left) = (0, self.bytes);
        for entry in self.entries.iter() {
            if self.entries.len() - count < self.limits.entries && left + bytes <= self.limits.bytes {
                break;
            }
            count += 1;
            left -= entry.bytes();
        }
        if count == 0 { 0 } else { self.first() + count as u64 - 1 }
    }

    /// Adds an entry. Nothing comes after [`Self::gather`].
    pub(super) fn push(&mut self, entry: E) {
        let (dropped, mut first) = (self.drops_until(entry.bytes()), self.first());
        let Entries::Coming(entries) = &mut self.entries else { return };
        while first <= dropped
            && let Some(entry) = entries.pop_front()
        {
            self.bytes -= entry.bytes();
            entry.fold_into(&mut self.rest);
            first += 1;
        }
        self.bytes += entry.bytes();
        entries.push_back(Arc::new(entry));
        self.last += 1;
    }

    /// No more will come: what is kept is put together in memory.
    pub(super) fn gather(&mut self) {
        if let Entries::Coming(entries) = &mut self.entries {
            let entries = std::mem::take(entries).into_iter().map(Arc::unwrap_or_clone).collect();
            self.entries = Entries::Gathered(E::gathered(entries));
        }
    }
}
