//! A run's hold on its session and partition: who waits while a turn is sent, and under which lock its ids are saved.

use crate::partition::exclusion::under;
use crate::partition::locks::{Lock, Waiter};
use crate::partition::store::{Lease, Store};
use crate::partition::{AgentKey, Partition};
use cupola_protocol::id::SessionId;
use std::convert::Infallible;
use std::sync::Arc;

/// What a session is called among the locks.
pub(super) type SessionKey = (AgentKey, SessionId);

/// A run's hold on its session, until the run ends.
pub(super) enum SessionHold {
    /// No other call uses the session.
    Lock(Lock<SessionKey>),
    /// The run was sent beside other calls. Those that come later wait for it, too.
    Place(Waiter<SessionKey>),
}

impl SessionHold {
    /// The lease that it is, where it can be lost.
    pub(super) fn lease(&self) -> Option<&Lease> {
        match self {
            Self::Lock(lock) => lock.lease(),
            Self::Place(_) => None,
        }
    }

    /// Holds it until this is dropped. A place becomes the lock in its turn, so that calls of other processes wait, too.
    pub(super) async fn keep(hold: Option<Self>) -> Infallible {
        let _lock = match hold {
            None => None,
            Some(Self::Lock(lock)) => Some(lock),
            Some(Self::Place(place)) => place.wait().await.ok(),
        };
        std::future::pending().await
    }
}

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
