//! Connections that wait, bound, for the next call of the same binding.
//!
//! Only a connection on which the last call was answered is kept, and only if nothing but that answer has come. It is used for exactly
//! the binding that it was made for.

use super::call::{Connection, Idle};
use super::stop::Stop;
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

/// What the connection of a call is bound to, and how the call ends early.
#[derive(Clone)]
pub(super) struct Binding {
    pub(super) bind: Bind,
    pub(super) kept: Kept,
    pub(super) stop: Arc<Stop>,
    /// A second call goes ahead of the call itself; its answer is waited for as well.
    pub(super) has_beside: bool,
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

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::stream::{self, Stream};
    use cupola_protocol::status::{Status, StatusParams};
    use serde_json::json;
    use std::io::{Read as _, Write as _};

    /// Long enough for a whole test.
    const LONG: Duration = Duration::from_mins(5);
    /// When a connection that is not closed fails its test.
    const PATIENCE: Duration = Duration::from_secs(10);

    fn bind(target: &serde_json::Value, user: &str, methods: &[&str]) -> Bind {
        serde_json::from_value(json!({"target": target, "isolation": {"userKey": user}, "methods": methods})).unwrap()
    }

    fn emulator() -> serde_json::Value {
        json!({"kind": "emulator"})
    }

    /// Keeps a connection, and gives the daemon's end.
    fn kept_for(kept: &Kept, time: Duration, bind: &Bind) -> Stream {
        let (client, daemon) = Stream::pair().unwrap();
        kept.keep_for(time, bind, Connection::new(client));
        daemon
    }

    fn has_ended(mut daemon: Stream) -> bool {
        daemon.set_nonblocking(true).unwrap();
        matches!(daemon.read(&mut [0; 1]), Ok(0))
    }

    #[test]
    fn a_connection_is_used_for_exactly_its_own_binding_and_once() {
        let kept = Kept::default();
        let own = bind(&emulator(), "acme", &["invoke"]);
        let _daemon = kept_for(&kept, LONG, &own);
        for other in [
            bind(&emulator(), "contoso", &["invoke"]),
            bind(&emulator(), "acme", &["invoke", "sessions/*"]),
            bind(&json!({"kind": "emulator", "agent": "other"}), "acme", &["invoke"]),
        ] {
            assert!(kept.take(&other).is_none(), "{other:?}");
        }
        assert!(kept.take(&own).is_some());
        assert!(kept.take(&own).is_none(), "it serves two calls at once");
    }

    #[test]
    fn one_that_has_ended_or_has_said_something_is_not_used() {
        let (kept, own) = (Kept::default(), bind(&emulator(), "acme", &["invoke"]));
        drop(kept_for(&kept, LONG, &own));
        assert!(kept.take(&own).is_none(), "its daemon is gone");
        let mut daemon = kept_for(&kept, LONG, &own);
        daemon.write_all(b"{}").unwrap();
        assert!(kept.take(&own).is_none(), "what it said would be taken for an answer");
        // What was read together with the answer counts, too.
        let (client, mut daemon) = Stream::pair().unwrap();
        daemon.write_all(b"{\"id\":1,\"result\":{}}\n{}\n").unwrap();
        let mut connection = Connection::new(client);
        connection.call_raw::<Status>(StatusParams::default()).unwrap();
        kept.keep_for(LONG, &own, connection);
        assert!(kept.take(&own).is_none(), "the rest of what it read would be taken for an answer");
    }

    #[test]
    fn one_that_a_thread_reads_ahead_is_not_used_once_the_thread_has_read_something() {
        let (kept, own) = (Kept::default(), bind(&emulator(), "acme", &["invoke"]));
        let (client, mut daemon) = Stream::pair().unwrap();
        let socket = client.try_clone().unwrap();
        let mut connection = Connection::new(client);
        connection.read_ahead();
        kept.keep_for(LONG, &own, connection);
        let connection = kept.take(&own).unwrap();
        daemon.write_all(b"{}").unwrap();
        let until = Instant::now() + PATIENCE;
        // From then on only what the thread has read shows it.
        while !stream::is_quiet(&socket) {
            assert!(Instant::now() < until, "the thread does not read");
        }
        kept.keep_for(LONG, &own, connection);
        while let Some(connection) = kept.take(&own) {
            assert!(Instant::now() < until, "what it said would be taken for an answer");
            kept.keep_for(LONG, &own, connection);
        }
    }

    #[test]
    fn a_connection_is_closed_when_its_time_is_over() {
        let (kept, own) = (Kept::default(), bind(&emulator(), "acme", &["invoke"]));
        for _ in 0..2 {
            let mut daemon = kept_for(&kept, Duration::from_millis(5), &own);
            daemon.set_read_timeout(Some(PATIENCE)).unwrap();
            // Returns when it is closed, and not before.
            assert_eq!(daemon.read(&mut [0; 1]).unwrap(), 0);
        }
        let daemon = kept_for(&kept, Duration::ZERO, &own);
        assert!(kept.take(&own).is_none() && has_ended(daemon), "its time was over");
    }

    #[test]
    fn what_a_directory_says_is_read_for_each_call_and_no_more_are_kept_than_the_bound() {
        let kept = Kept::default();
        let directory = bind(&json!({"kind": "directory", "path": "/tmp"}), "acme", &["invoke"]);
        assert!(has_ended(kept_for(&kept, LONG, &directory)));
        let own = bind(&emulator(), "acme", &["invoke"]);
        let mut daemons: Vec<_> = (0..=MOST).map(|_| kept_for(&kept, LONG, &own)).collect();
        assert!(has_ended(daemons.remove(0)), "the oldest is not closed");
        assert!(!daemons.into_iter().any(has_ended));
    }
}
