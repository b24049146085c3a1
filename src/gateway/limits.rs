//! What each caller may do: calls in a minute, and runs at once.
//!
//! Each gateway counts for itself. With several replicas a caller has the limits at each of them.

use super::caller::CallerId;
use crate::config::gateway::GatewaySettings;
use crate::error::CallError;
use crate::rpc::proven::{Meter, RunPlace};
use cupola_protocol::error::ErrorKind;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// What calls are counted in.
const WINDOW: Duration = Duration::from_mins(1);
/// When trying again is worth it for one who has too many runs: runs take seconds.
const RUN_RETRY: Duration = Duration::from_secs(1);
/// How many callers are remembered before those who do nothing are forgotten. One takes about 200 bytes.
const REMEMBERED: usize = 10_000;

/// Open lines by `WebSocket` of one caller at once. A thousand connections are held, so no caller may hold them all.
const SOCKETS: usize = 32;

/// The accounts of all callers.
#[derive(Debug)]
pub(super) struct Limits {
    calls: u32,
    runs: u16,
    accounts: Mutex<HashMap<CallerId, Arc<Account>>>,
}

/// What one caller has done recently.
#[derive(Debug)]
struct Account {
    limit: u32,
    runs: Arc<Semaphore>,
    sockets: Arc<Semaphore>,
    window: Mutex<Window>,
}

#[derive(Debug)]
struct Window {
    since: Instant,
    calls: u32,
}

/// What is left of a caller's calls, for the headers of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Left {
    pub(super) limit: u32,
    pub(super) remaining: u32,
    /// Seconds until all are there again.
    pub(super) reset: u64,
}

/// Counts the calls of one connection or request.
#[derive(Debug)]
pub(super) struct Metered {
    account: Arc<Account>,
    was_refused: AtomicBool,
}

impl Limits {
    pub(super) fn new(settings: &GatewaySettings) -> Self {
        let (calls, runs) = (settings.calls_per_minute.get(), settings.runs_at_once.get());
        Self { calls, runs, accounts: Mutex::default() }
    }

    /// Counts what a caller does from now on, on one connection.
    pub(super) fn of(&self, caller: CallerId) -> Arc<Metered> {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        if accounts.len() >= REMEMBERED {
            accounts.retain(|_, account| account.is_in_use());
        }
        let account = accounts.entry(caller).or_insert_with(|| {
            let window = Mutex::new(Window { since: Instant::now(), calls: 0 });
            let (runs, sockets) = (Semaphore::new(self.runs.into()), Semaphore::new(SOCKETS));
            Arc::new(Account { limit: self.calls, runs: Arc::new(runs), sockets: Arc::new(sockets), window })
        });
        Arc::new(Metered { account: Arc::clone(account), was_refused: AtomicBool::new(false) })
    }
}

impl Account {
    /// Does a connection or a run hold it, or does its window still count?
    fn is_in_use(self: &Arc<Self>) -> bool {
        let window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::strong_count(self) > 1 || Arc::strong_count(&self.runs) > 1 || window.since.elapsed() < WINDOW
    }
}

impl Metered {
    /// Was anything refused?
    pub(super) fn was_refused(&self) -> bool {
        self.was_refused.load(Ordering::Relaxed)
    }

    /// A place for a WebSocket.
    pub(super) fn socket(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.account.sockets).try_acquire_owned().ok()
    }

    pub(super) fn left(&self) -> Left {
        let window = self.account.window.lock().unwrap_or_else(PoisonError::into_inner);
        let limit = self.account.limit;
        match WINDOW.checked_sub(window.since.elapsed()) {
            Some(rest) if window.calls > 0 => {
                Left { limit, remaining: limit.saturating_sub(window.calls), reset: seconds(rest) }
            }
            _ => Left { limit, remaining: limit, reset: 0 },
        }
    }

    fn refuse(&self, what: String, hint: &'static str, after: Duration) -> CallError {
        self.was_refused.store(true, Ordering::Relaxed);
        let mut refusal = CallError::new(ErrorKind::RateLimited, what).hint(hint);
        refusal.data.retry_after_ms = Some(seconds(after) * 1000);
        refusal
    }
}

impl Meter for Metered {
    fn count(&self, is_turn: bool) -> Result<Option<RunPlace>, CallError> {
        let account = &self.account;
        let mut window = account.window.lock().unwrap_or_else(PoisonError::into_inner);
        if window.since.elapsed() >= WINDOW {
            *window = Window { since: Instant::now(), calls: 0 };
        }
        if window.calls >= account.limit {
            let rest = WINDOW.saturating_sub(window.since.elapsed());
            let message = format!("{} calls of yours came within a minute, which is the most", window.calls);
            return Err(self.refuse(message, "send fewer calls; retryAfterMs says when the next one is served", rest));
        }
        window.calls += 1;
        drop(window);
        if !is_turn {
            return Ok(None);
        }
        match Arc::clone(&account.runs).try_acquire_owned() {
            Ok(place) => Ok(Some(Arc::new(place))),
            Err(_) => Err(self.refuse(
                "too many runs of yours are under way at once".to_owned(),
                "wait for one to end, or cancel one (runs/list, runs/cancel)",
                RUN_RETRY,
            )),
        }
    }
}

/// Whole seconds, rounded up, so that nobody comes too early.
fn seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits { calls: 3, runs: 1, accounts: Mutex::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_has_its_calls_in_each_minute_whatever_others_do() {
        let limits = limits();
        let ada = limits.of([1; 32]);
        for remaining in [2, 1, 0] {
            ada.count(false).unwrap();
            assert_eq!(ada.left().remaining, remaining);
        }
        tokio::time::advance(Duration::from_secs(20)).await;
        // Another connection of hers counts on.
        let again = limits.of([1; 32]);
        let refused = again.count(false).unwrap_err();
        assert_eq!((refused.kind(), refused.data.retry_after_ms), (ErrorKind::RateLimited, Some(40_000)));
        assert!(again.was_refused() && !ada.was_refused());
        limits.of([2; 32]).count(false).unwrap();
        tokio::time::advance(Duration::from_secs(40)).await;
        again.count(false).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_keeps_its_place_until_the_last_that_holds_it_is_done() {
        let ada = limits().of([1; 32]);
        let place = ada.count(true).unwrap().unwrap();
        let of_the_run = Arc::clone(&place);
        drop(place);
        assert_eq!(ada.count(true).unwrap_err().kind(), ErrorKind::RateLimited);
        drop(of_the_run);
        assert!(ada.count(true).unwrap().is_some());
    }
}
