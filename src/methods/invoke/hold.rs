//! Who waits while a turn is sent, and under which lock its ids are saved.

use super::busy::SessionHold;
use crate::partition::Partition;
use crate::partition::exclusion::under;
use crate::partition::locks::Lock;
use crate::partition::store::Store;
use std::sync::Arc;

/// Without a lock on the partition, its next call may go ahead; without one on a session, there is none yet. At least one is held.
pub(super) struct Hold {
    pub(super) partition: Option<Lock<Partition>>,
    pub(super) session: Option<SessionHold>,
}

impl Hold {
    /// Where the answer's ids are saved: refused once the lock is lost, so that a daemon that was stopped for too long overwrites
    /// nothing.
    pub(super) fn store(&self, store: &Arc<dyn Store>) -> Arc<dyn Store> {
        match &self.partition {
            Some(lock) => under(store, lock.lease()),
            None => self.store_of_session(store),
        }
    }

    /// As [`Self::store`], under the session's lock alone.
    pub(super) fn store_of_session(&self, store: &Arc<dyn Store>) -> Arc<dyn Store> {
        under(store, self.session.as_ref().and_then(SessionHold::lease))
    }
}
