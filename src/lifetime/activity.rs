//! What keeps the daemon from leaving: open connections, unanswered requests, runs under way.
//!
//! Work in progress holds a [`WorkGuard`] for as long as it lasts. The daemon is idle when there is no guard.

use crate::sync::Notify;
use crate::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::Duration;

/// Counts the daemon's work. Cheap to clone; all clones count together.
#[derive(Debug, Clone, Default)]
pub struct Activity(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    connections: AtomicU64,
    requests: AtomicU64,
    runs: AtomicU64,
    background: AtomicU64,
    /// All of the above.
    all: AtomicU64,
    /// Told when `all` leaves or reaches zero; only [`Activity::idle_for`] listens.
    changed: Notify,
}

/// The kinds of work that are counted apart.
#[derive(Debug, Clone, Copy)]
enum Work {
    Connection,
    Request,
    Run,
    Background,
}

impl Counts {
    fn of(&self, work: Work) -> &AtomicU64 {
        match work {
            Work::Connection => &self.connections,
            Work::Request => &self.requests,
            Work::Run => &self.runs,
            Work::Background => &self.background,
        }
    }
}

/// Work under way; dropping it ends the work.
#[derive(Debug)]
#[must_use = "the work counts as ended when the guard is dropped"]
pub struct WorkGuard {
    counts: Arc<Counts>,
    work: Work,
}

impl Drop for WorkGuard {
    fn drop(&mut self) {
        self.counts.of(self.work).fetch_sub(1, Ordering::Relaxed);
        if self.counts.all.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.counts.changed.notify_waiters();
        }
    }
}

impl Activity {
    fn begin(&self, work: Work) -> WorkGuard {
        self.0.of(work).fetch_add(1, Ordering::Relaxed);
        if self.0.all.fetch_add(1, Ordering::AcqRel) == 0 {
            self.0.changed.notify_waiters();
        }
        WorkGuard { counts: Arc::clone(&self.0), work }
    }

    /// A client is connected.
    pub fn connection(&self) -> WorkGuard {
        self.begin(Work::Connection)
    }

    /// A request waits for its response.
    pub fn request(&self) -> WorkGuard {
        self.begin(Work::Request)
    }

    /// A run, or any other stream from the service, is under way; it may outlive the client that began it.
    pub fn run(&self) -> WorkGuard {
        self.begin(Work::Run)
    }

    /// Something that nobody waits for is under way: a session is kept ready.
    pub fn background(&self) -> WorkGuard {
        self.begin(Work::Background)
    }

    /// Open connections.
    pub fn connections(&self) -> u64 {
        self.0.connections.load(Ordering::Relaxed)
    }

    /// Requests not yet answered.
    pub fn requests(&self) -> u64 {
        self.0.requests.load(Ordering::Relaxed)
    }

    /// Runs under way.
    pub fn runs(&self) -> u64 {
        self.0.runs.load(Ordering::Relaxed)
    }

    fn is_idle(&self) -> bool {
        self.0.all.load(Ordering::Acquire) == 0
    }

    /// Returns once nothing has been going on for `quiet` without a break.
    pub async fn idle_for(&self, quiet: Duration) {
        loop {
            // Registered before the look, so that a change in between is not missed.
            let changed = self.0.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.is_idle() {
                if tokio::time::timeout(quiet, changed).await.is_err() {
                    return;
                }
            } else {
                changed.await;
            }
        }
    }

    /// Returns once nothing is going on, or `cause` says not to wait.
    pub async fn settled_or(&self, cause: impl Future<Output = ()>) {
        tokio::select! {
            () = self.idle_for(Duration::ZERO) => {}
            () = cause => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    const QUIET: Duration = Duration::from_mins(30);

    #[tokio::test(start_paused = true)]
    async fn a_run_without_a_client_keeps_the_daemon() {
        let activity = Activity::default();
        let connection = activity.connection();
        let run = activity.run();
        drop(connection);
        let start = Instant::now();
        let ending = async {
            tokio::time::sleep(Duration::from_hours(1)).await;
            drop(run);
        };
        tokio::join!(activity.idle_for(QUIET), ending);
        assert_eq!(start.elapsed(), Duration::from_hours(1) + QUIET);
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_visit_restarts_the_wait() {
        let activity = Activity::default();
        let start = Instant::now();
        let visit = async {
            tokio::time::sleep(Duration::from_secs(1000)).await;
            drop(activity.request());
        };
        tokio::join!(activity.idle_for(QUIET), visit);
        assert_eq!(start.elapsed(), Duration::from_secs(1000) + QUIET);
    }
}
