//! Ends a call, or what a thread waits for in its place, from another thread.

use super::call::CALL;
use super::stream::Stream;
use cupola_protocol::rpc::{CANCEL, Cancel, Request};
use std::fmt;
use std::io::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Ends what it was handed, also when that begins only after the end was asked for.
#[derive(Default)]
pub struct Stop(Mutex<State>);

#[derive(Default)]
struct State {
    is_wanted: bool,
    /// What ends that which is under way.
    end: Option<Box<dyn Fn() + Send>>,
}

impl Stop {
    /// Ends what is under way, and what begins later.
    pub fn now(&self) {
        let mut state = self.state();
        state.is_wanted = true;
        if let Some(end) = &state.end {
            end();
        }
    }

    /// Has somebody asked for the end?
    pub(crate) fn is_wanted(&self) -> bool {
        self.state().is_wanted
    }

    /// The call has been sent on this connection: here it can be cancelled from now on.
    pub(crate) fn sent(&self, stream: &Stream) {
        if let Ok(stream) = stream.try_clone() {
            self.ends_by(Box::new(move || cancel(&stream)));
        }
    }

    /// From now on, this ends what is under way. It must not block.
    pub(crate) fn ends_by(&self, end: Box<dyn Fn() + Send>) {
        let mut state = self.state();
        if state.is_wanted {
            end();
        }
        state.end = Some(end);
    }

    /// What was under way has ended, and nothing reaches it any more. True if nobody asked for its end until now. Without this its
    /// connection stays open as long as `self`.
    pub(crate) fn has_ended(&self) -> bool {
        let mut state = self.state();
        state.end = None;
        !state.is_wanted
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Stop {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Stop").field("is_wanted", &self.is_wanted()).finish_non_exhaustive()
    }
}

/// Cancels the one call on a connection. If it cannot be written the connection has ended, and the call with it.
fn cancel(mut stream: &Stream) {
    if let Ok(mut message) = serde_json::to_vec(&Request::notification(CANCEL, Cancel { id: CALL })) {
        message.push(b'\n');
        let _ = stream.write_all(&message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[cfg(unix)]
    #[test]
    fn a_call_that_is_cancelled_before_it_is_sent_is_cancelled_when_it_is() {
        let (client, daemon) = Stream::pair().unwrap();
        let stop = Stop::default();
        stop.now();
        assert!(stop.is_wanted());
        stop.sent(&client);
        drop((stop, client));
        let said = std::io::read_to_string(daemon).unwrap();
        assert!(said.contains(r#""method":"$/cancelRequest","params":{"id":1}"#), "{said}");
    }

    #[test]
    fn the_end_comes_to_what_is_under_way_and_not_to_what_was_before_it() {
        let (first, second) = (mpsc::channel(), mpsc::channel());
        let stop = Stop::default();
        for (ended, _) in [&first, &second] {
            let ended = ended.clone();
            stop.ends_by(Box::new(move || ended.send(()).unwrap()));
        }
        stop.now();
        stop.has_ended();
        stop.now();
        assert_eq!((first.1.try_iter().count(), second.1.try_iter().count()), (0, 1));
    }
}
