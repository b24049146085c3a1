//! Connections that wait, bound, for the next call of the same binding.
//!
//! Only a connection on which the last call was answered is kept, and only if nothing but that answer has come. It is used for exactly
//! the binding that it was made for.

use super::call::{Connection, Idle};
use cupola_protocol::daemon::Bind;
use cupola_protocol::target::Target;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

/// How long a connection is kept after its last call. A daemon with an open connection does not leave, so an editor that does nothing
/// must hold none; calls that follow each other, as those of a model do, come within seconds.
const KEPT_FOR: Duration = Duration::from_secs(5);

/// Most connections that are kept: as many calls at once as a model or a person with several sessions makes.
const MOST: usize = 8;

/// The connections of one process.
#[derive(Clone, Default)]
pub(crate) struct Kept(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// The oldest first.
    waiting: Vec<Waiting>,
    /// Does a thread close what was kept for long enough?
    has_closer: bool,
}

struct Waiting {
    bind: Bind,
    idle: Idle,
    until: Instant,
}

impl Kept {
    /// A connection that is bound to exactly this, if one waits and its daemon has not ended it.
    pub(super) fn take(&self, bind: &Bind) -> Option<Connection> {
        loop {
            let found = {
                let mut state = locked(&self.0);
                let place = state.waiting.iter().rposition(|waiting| waiting.bind == *bind)?;
                state.waiting.remove(place)
            };
            // One that says anything between two calls, or has ended, is closed here.
            if found.until > Instant::now() && found.idle.is_quiet() {
                return Some(Connection::kept(found.idle));
            }
        }
    }

    /// Keeps a connection that is bound to this, and on which the last call was answered.
    pub(super) fn keep(&self, bind: &Bind, connection: Connection) {
        self.keep_for(KEPT_FOR, bind, connection);
    }

    fn keep_for(&self, time: Duration, bind: &Bind, connection: Connection) {
        // What a directory says is read when a connection is bound, so a kept one would not see that it has changed.
        if matches!(bind.target, Target::Directory(_)) {
            return;
        }
        let Some(idle) = connection.into_idle().filter(Idle::is_quiet) else { return };
        let mut state = locked(&self.0);
        if !state.has_closer && !self.start_closer() {
            return;
        }
        state.has_closer = true;
        if state.waiting.len() >= MOST {
            state.waiting.remove(0);
        }
        state.waiting.push(Waiting { bind: bind.clone(), idle, until: Instant::now() + time });
    }

    fn start_closer(&self) -> bool {
        let state = Arc::downgrade(&self.0);
        thread::Builder::new().name("close kept".to_owned()).spawn(move || close_late(&state)).is_ok()
    }
}

/// Closes connections when their time is over, until none is left.
fn close_late(state: &Weak<Mutex<State>>) {
    while let Some(shared) = state.upgrade() {
        let now = Instant::now();
        let mut state = locked(&shared);
        state.waiting.retain(|waiting| waiting.until > now);
        let Some(next) = state.waiting.iter().map(|waiting| waiting.until).min() else {
            state.has_closer = false;
            return;
        };
        drop(state);
        drop(shared);
        thread::sleep(next.saturating_duration_since(now));
    }
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Kept {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Kept").field("waiting", &locked(&self.0).waiting.len()).finish_non_exhaustive()
    }
}
