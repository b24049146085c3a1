//! What a connection without a regular place (`crate::limits::places`) may call: because the daemon is full, or because it has
//! been told to stop and only finishes its runs.

use crate::error::CallError;
use crate::limits::places::MAX_CONNECTIONS;
use cupola_protocol::Method;
use cupola_protocol::daemon::Stop;
use cupola_protocol::doctor::Doctor;
use cupola_protocol::error::ErrorKind;
use cupola_protocol::runs::{Attach, Cancel, List, Show};
use cupola_protocol::status::Status;
use std::sync::atomic::{AtomicBool, Ordering};

/// What a user needs to see what is wrong with a full daemon, and to end it. `initialize` is not among them: a client that
/// greets means to stay.
const SERVED: [&str; 3] = [Status::NAME, Stop::NAME, Doctor::NAME];
/// What a daemon that finishes its runs offers besides: these runs, which no other daemon knows.
const OFFERED_LATE: [&str; 4] = [List::NAME, Show::NAME, Attach::NAME, Cancel::NAME];
/// When trying again is worth it: connections come and go within seconds.
const RETRY_AFTER_MS: u64 = 1000;

/// A connection without a regular place: what became of its requests.
#[derive(Debug)]
pub(crate) struct Guest {
    is_late: bool,
    has_called: AtomicBool,
    was_refused: AtomicBool,
}

impl Guest {
    /// On a connection that came late, or to a full daemon.
    pub(crate) fn new(is_late: bool) -> Self {
        Self { is_late, has_called: AtomicBool::new(false), was_refused: AtomicBool::new(false) }
    }

    /// May the method be called though the daemon has been told to stop?
    pub(crate) fn is_offered_late(&self, method: &str) -> bool {
        self.is_late && (SERVED.contains(&method) || OFFERED_LATE.contains(&method))
    }

    /// Lets a method through, or says why not.
    pub(crate) fn admit(&self, method: &str) -> Result<(), CallError> {
        if SERVED.contains(&method) || self.is_offered_late(method) {
            self.has_called.store(true, Ordering::Relaxed);
            return Ok(());
        }
        self.was_refused.store(true, Ordering::Relaxed);
        Err(full())
    }

    /// Was every request refused?
    pub(crate) fn is_turned_away(&self) -> bool {
        self.was_refused.load(Ordering::Relaxed) && !self.has_called.load(Ordering::Relaxed)
    }
}

/// The daemon is full.
pub(crate) fn full() -> CallError {
    let mut refusal = CallError::new(
        ErrorKind::Overloaded,
        format!("the daemon is full: clients hold all of its connections (at most {MAX_CONNECTIONS})"),
    )
    .hint("close a client that you no longer need, then try again; `cupola status` and `cupola stop` still work");
    refusal.data.retry_after_ms = Some(RETRY_AFTER_MS);
    refusal
}

/// A message that was not read to its end, because too much is in memory already.
pub(crate) fn no_room() -> CallError {
    let mut refusal = CallError::new(
        ErrorKind::Overloaded,
        "the messages that the daemon is receiving take all the memory it has for them",
    )
    .hint("send it again in a moment");
    refusal.data.retry_after_ms = Some(RETRY_AFTER_MS);
    refusal
}
