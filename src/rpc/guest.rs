//! What a connection may call that got no place of its own because the daemon is full (`crate::limits::places`).

use crate::error::CallError;
use crate::limits::places::MAX_CONNECTIONS;
use cupola_protocol::Method;
use cupola_protocol::daemon::{Status, Stop};
use cupola_protocol::doctor::Doctor;
use cupola_protocol::error::ErrorKind;
use std::sync::atomic::{AtomicBool, Ordering};

/// What a user needs to see what is wrong with a full daemon, and to end it. `initialize` is not among them: a client that
/// greets means to stay.
const SERVED: [&str; 3] = [Status::NAME, Stop::NAME, Doctor::NAME];
/// When trying again is worth it: connections come and go within seconds.
const RETRY_AFTER_MS: u64 = 1000;

/// A connection without a place of its own: what became of its requests.
#[derive(Debug, Default)]
pub(crate) struct Guest {
    has_called: AtomicBool,
    was_refused: AtomicBool,
}

impl Guest {
    /// Lets a method through, or says why not.
    pub(crate) fn admit(&self, method: &str) -> Result<(), CallError> {
        if SERVED.contains(&method) {
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
