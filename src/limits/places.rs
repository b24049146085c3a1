//! Who is served while the daemon is full: [`MAX_CONNECTIONS`] are held, and any further one is answered at once.
//!
//! A newcomer first takes one of a few *kept places*. It moves on to a regular place when one is free, or when a
//! connection that has said nothing gives way. Otherwise it stays where it is: it may ask for the daemon's status and stop
//! the daemon, every other request is refused as `overloaded` (`crate::rpc::guest`), and it is closed soon after.

use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// Connections that are held. An editor has one or two, and a thousand scripts at once are a defect somewhere; each costs
/// about 16 KiB and one file descriptor, and one more while its client is slow to read.
pub const MAX_CONNECTIONS: usize = 1000;
/// Connections beyond those that are answered at one time. Most are answered within a millisecond; one that says nothing
/// is closed after [`PATIENCE`], so even a flood of silent connections does not keep others waiting for long.
pub const KEPT_PLACES: usize = 64;
/// How long a connection in a kept place may take for a message, and how long one that has a place may be silent when
/// others wait. Programs speak at once.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);
/// How long a newcomer waits for silent connections to give way: closing one takes microseconds.
const GIVING_WAY: Duration = Duration::from_millis(50);
/// The share of the process's file descriptors that connections may take, and as many more while all of their clients are slow; the rest
/// is for the service's side, for files and for the emulator.
const DESCRIPTOR_SHARE: u64 = 3;

/// The places of one daemon.
#[derive(Debug)]
pub(crate) struct Places {
    own: Arc<Semaphore>,
    kept: Arc<Semaphore>,
}

/// A connection's place. It is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    is_kept: bool,
    is_late: bool,
    _permit: Option<OwnedSemaphorePermit>,
}

/// Somebody who is about to connect, in a kept place for now.
#[derive(Debug)]
pub(crate) struct Newcomer {
    own: Arc<Semaphore>,
    kept: Option<OwnedSemaphorePermit>,
}

impl Places {
    /// As many places as the process has file descriptors for, at most [`MAX_CONNECTIONS`] and [`KEPT_PLACES`].
    /// `descriptors` is the process's limit, if it has one.
    pub(crate) fn new(descriptors: Option<u64>) -> Self {
        let most = descriptors.map_or(u64::MAX, |limit| limit / DESCRIPTOR_SHARE);
        let own = usize::try_from(most).unwrap_or(usize::MAX).min(MAX_CONNECTIONS);
        let kept = (own / 8).clamp(1, KEPT_PLACES);
        Self { own: Arc::new(Semaphore::new(own)), kept: Arc::new(Semaphore::new(kept)) }
    }

    /// Waits for a kept place for the next connection.
    pub(crate) async fn newcomer(&self) -> Newcomer {
        // The semaphore is never closed.
        let kept = Arc::clone(&self.kept).acquire_owned().await.ok();
        Newcomer { own: Arc::clone(&self.own), kept }
    }

    /// For those who come while the daemon finishes its runs: each has a kept place, if there is one.
    pub(crate) fn late(&self) -> Option<Place> {
        let kept = Arc::clone(&self.kept).try_acquire_owned().ok()?;
        Some(Place { is_kept: true, is_late: true, _permit: Some(kept) })
    }

    /// The same without waiting, for connections that came just before the end: no other waits behind them.
    pub(crate) fn last(&self) -> Newcomer {
        Newcomer { own: Arc::clone(&self.own), kept: Arc::clone(&self.kept).try_acquire_owned().ok() }
    }
}

impl Newcomer {
    /// Moves to a regular place if one is free. `crowded` tells silent connections to give way.
    pub(crate) async fn settle(self, crowded: &Notify) -> Place {
        if let Ok(permit) = Arc::clone(&self.own).try_acquire_owned() {
            return Place { is_kept: false, is_late: false, _permit: Some(permit) };
        }
        crowded.notify_waiters();
        match tokio::time::timeout(GIVING_WAY, self.own.acquire_owned()).await {
            Ok(Ok(permit)) => Place { is_kept: false, is_late: false, _permit: Some(permit) },
            _ => Place { is_kept: true, is_late: false, _permit: self.kept },
        }
    }
}

impl Place {
    /// For a connection that is not counted: the only one of its daemon.
    pub(crate) const fn uncounted() -> Self {
        Self { is_kept: false, is_late: false, _permit: None }
    }

    /// Has the daemon been told to stop before the connection came?
    pub(crate) const fn is_late(&self) -> bool {
        self.is_late
    }

    /// Whether the connection is still in a kept place, because the daemon is full.
    pub(crate) const fn is_kept(&self) -> bool {
        self.is_kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(descriptors: Option<u64>) -> (usize, usize) {
        let places = Places::new(descriptors);
        (places.own.available_permits(), places.kept.available_permits())
    }

    #[test]
    fn a_small_descriptor_limit_makes_for_fewer_places() {
        assert_eq!(counts(None), (MAX_CONNECTIONS, KEPT_PLACES));
        assert_eq!(counts(Some(4096)), (MAX_CONNECTIONS, KEPT_PLACES));
        assert_eq!(counts(Some(256)), (85, 10));
        assert_eq!(counts(Some(4)), (1, 1));
    }
}
