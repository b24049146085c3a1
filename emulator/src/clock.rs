//! Time as data: the system's, or one that only a test moves.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use time::OffsetDateTime;
use tokio::sync::Notify;

/// What the emulator reads the time from. Clones share one time.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    manual: Option<Arc<Manual>>,
}

#[derive(Debug)]
struct Manual {
    milliseconds: AtomicI64,
    moved: Notify,
}

impl Clock {
    /// A clock that stands still at `unix_seconds` until [`Clock::advance`] moves it.
    pub fn manual(unix_seconds: i64) -> Self {
        let milliseconds = AtomicI64::new(unix_seconds.saturating_mul(1000));
        Self { manual: Some(Arc::new(Manual { milliseconds, moved: Notify::new() })) }
    }

    /// Moves a manual clock forward and wakes the tasks that wait for it. Has no effect on the system's clock.
    pub fn advance(&self, by: Duration) {
        if let Some(manual) = &self.manual {
            let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
            manual.milliseconds.fetch_add(by, Ordering::SeqCst);
            manual.moved.notify_waiters();
        }
    }

    /// Milliseconds since the Unix epoch, UTC.
    pub fn now(&self) -> i64 {
        match &self.manual {
            Some(manual) => manual.milliseconds.load(Ordering::SeqCst),
            None => i64::try_from(OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX),
        }
    }

    /// Waits until it is worth looking at the time again: `interval` of real time, or a move of a manual clock.
    pub(crate) async fn tick(&self, interval: Duration) {
        match &self.manual {
            Some(manual) => {
                tokio::select! {
                    () = manual.moved.notified() => {}
                    () = tokio::time::sleep(interval) => {}
                }
            }
            None => tokio::time::sleep(interval).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_when_told() {
        let clock = Clock::manual(1_795_390_000);
        assert_eq!(clock.now(), 1_795_390_000_000);
        clock.clone().advance(Duration::from_mins(1));
        assert_eq!(clock.now(), 1_795_390_060_000);
    }
}
