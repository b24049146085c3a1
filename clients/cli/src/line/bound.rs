//! Calls on bound connections. Each connection reaches one agent under one isolation, whichever daemon answers, because it is bound to
//! the two before anything is called on it. It is kept for the next call of the same binding.

use super::ahead::Ahead;
use super::call::{BESIDE, CALL, encode_as};
use super::connect::{DaemonFlags, Embedded};
use super::kept::{Binding, Kept};
use super::stop::Stop;
use crate::failure::Failure;
use cupola_protocol::Method;
use cupola_protocol::daemon::Bind;
use serde_json::value::RawValue;
use std::ops::ControlFlow;
use std::sync::Arc;

/// Makes calls on bound connections. Clones share the connections that are kept.
#[derive(Debug, Clone)]
pub(crate) struct BoundCalls {
    daemon: DaemonFlags,
    embedded: Embedded,
    kept: Kept,
}

/// A call that is made beside another one. Nobody reads its answer.
pub(crate) struct Beside(Vec<u8>);

impl Beside {
    pub(crate) fn new<M: Method>(params: M::Params) -> Result<Self, Failure> {
        encode_as::<M>(BESIDE, params).map(Self)
    }
}

impl BoundCalls {
    pub(crate) fn new(daemon: &DaemonFlags, embedded: Embedded) -> Self {
        Self { daemon: daemon.clone(), embedded, kept: Kept::default() }
    }

    /// One call, and its answer; none when `on_event` ends the call. `on_event` also gets what reads ahead, which it has to begin before
    /// it waits for anything.
    ///
    /// `beside` has ended, too, when this returns, however it ended. It goes ahead of the call: a daemon that leaves the call unread has
    /// not begun it, whatever it has read before.
    pub(crate) fn call<M: Method>(
        &self,
        bind: &Bind,
        params: M::Params,
        beside: Option<Beside>,
        stop: &Arc<Stop>,
        on_event: impl FnMut(&RawValue, &mut Ahead) -> Result<ControlFlow<()>, Failure>,
    ) -> Result<Option<Box<RawValue>>, Failure> {
        let has_beside = beside.is_some();
        let mut bytes = beside.map(|beside| beside.0).unwrap_or_default();
        bytes.extend(encode_as::<M>(CALL, params)?);
        let binding = Binding { bind: bind.clone(), kept: self.kept.clone(), stop: Arc::clone(stop), has_beside };
        let mut connection = self.daemon.ask_bound(self.embedded, binding, bytes)?;
        let answer = connection.receive_each(on_event);
        // From here on nothing is cancelled on this connection. The daemon may not have read a cancellation that was sent before.
        let is_free = stop.has_ended();
        // A daemon inside this process and a line to a gateway are there for one call.
        if is_free && matches!(answer, Ok(Some(_))) && self.daemon.is_resident() {
            self.kept.keep(bind, connection);
        }
        // What was lost on its way may have reached the agent.
        answer.map_err(|failure| if M::IS_TURN { failure.of_sent_turn() } else { failure })
    }
}

#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::stream::Stream;
    use cupola_protocol::chats::{Save, SaveParams};
    use cupola_protocol::error::Turn;
    use cupola_protocol::invoke::{Invoke, InvokeParams};
    use serde_json::{Value, json};
    use std::fs::{self, Permissions};
    use std::io::{self, BufRead as _, BufReader, Write as _};
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::net::UnixListener;
    use std::thread::{self, JoinHandle};
    use std::time::Duration;

    const DONE: &str = r#"{"id":1,"result":"done"}"#;
    const EVENT: &str = r#"{"method":"$/progress","params":{"token":1,"value":{"type":"x"}}}"#;
    const FAILED: &str =
        r#"{"id":1,"error":{"code":-32602,"message":"no","data":{"kind":"invalidParams","retryable":false}}}"#;

    /// How long a daemon waits for what a client should send.
    const PATIENCE: Duration = Duration::from_secs(10);

    /// What a daemon does on one connection, once the connection is bound.
    type Does = fn(&mut Line);

    /// Answers one call.
    const ANSWERS: Does = |line| {
        line.next();
        line.say(DONE);
    };

    /// The daemon's end of a connection.
    struct Line {
        /// What is not taken yet stays in the socket.
        stream: BufReader<Stream>,
        /// The methods that were called on it.
        called: Vec<String>,
        /// It stays open until the daemon ends.
        stays: bool,
    }

    impl Line {
        /// The next message, or nothing at the end.
        fn next(&mut self) -> Option<Value> {
            let mut line = String::new();
            let read = self.stream.read_line(&mut line).unwrap();
            let message: Value = (read > 0).then(|| serde_json::from_str(&line).unwrap())?;
            self.called.push(message["method"].as_str().unwrap().to_owned());
            Some(message)
        }

        fn say(&mut self, what: &str) {
            self.stream.get_mut().write_all(format!("{what}\n").as_bytes()).unwrap();
        }

        /// Waits until there is something to read, and leaves it unread.
        fn leave_unread(&mut self) {
            let stream = self.stream.get_ref();
            rustix::net::recv(stream, &mut [0_u8; 1][..], rustix::net::RecvFlags::PEEK).unwrap();
        }
    }

    /// A daemon that does these on its connections, one after another, and then ends. A connection ends when it was served, unless
    /// the next one comes first.
    struct Daemon {
        calls: BoundCalls,
        _directory: tempfile::TempDir,
        served: JoinHandle<Vec<Vec<String>>>,
    }

    impl Daemon {
        fn that(connections: &'static [Does]) -> Self {
            let directory = tempfile::tempdir().unwrap();
            fs::set_permissions(directory.path(), Permissions::from_mode(0o700)).unwrap();
            let socket = directory.path().join("v1.sock");
            let listener = UnixListener::bind(&socket).unwrap();
            let served = thread::spawn(move || {
                let mut open = Vec::new();
                let lines = connections.iter().map(|does| {
                    let stream = listener.accept().unwrap().0;
                    stream.set_read_timeout(Some(PATIENCE)).unwrap();
                    let mut line =
                        Line { stream: BufReader::with_capacity(1, stream), called: Vec::new(), stays: false };
                    assert!(line.next().unwrap()["params"]["bind"].is_object(), "it is not bound first");
                    line.say(r#"{"id":0,"result":{"bound":true}}"#);
                    does(&mut line);
                    if line.stays {
                        open.push(line.stream);
                    }
                    line.called.remove(0);
                    line.called
                });
                lines.collect()
            });
            let flags = DaemonFlags { socket: Some(socket), ..DaemonFlags::default() };
            let calls = BoundCalls::new(&flags, |_| Err(io::ErrorKind::Unsupported.into()));
            Self { calls, _directory: directory, served }
        }

        /// A call of a user. `stop` may be asked for when its first event comes.
        fn call(&self, user: &str, stop: &Arc<Stop>) -> Result<(), Failure> {
            self.call_beside(user, stop, None)
        }

        fn call_beside(&self, user: &str, stop: &Arc<Stop>, beside: Option<Beside>) -> Result<(), Failure> {
            let bind: Bind =
                serde_json::from_value(json!({"target": {"kind": "emulator"}, "isolation": {"userKey": user}}))
                    .unwrap();
            let params: InvokeParams =
                serde_json::from_value(json!({"target": bind.target, "isolation": bind.isolation, "input": "hello"}))
                    .unwrap();
            let answer = self.calls.call::<Invoke>(&bind, params, beside, stop, |_, _| {
                stop.now();
                Ok(ControlFlow::Continue(()))
            });
            answer.map(|answer| assert_eq!(answer.unwrap().get(), "\"done\""))
        }

        /// The methods that were called on each connection after it was bound.
        fn served(self) -> Vec<Vec<String>> {
            drop(self.calls);
            self.served.join().unwrap()
        }
    }

    fn stop() -> Arc<Stop> {
        Arc::default()
    }

    fn turn_of(failure: Failure) -> Option<Turn> {
        match failure {
            Failure::Call(error) => error.data.and_then(|data| data.turn),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn calls_of_one_binding_use_one_connection_and_those_of_another_binding_another() {
        let daemon = Daemon::that(&[
            |line| {
                for _ in 0..3 {
                    line.next();
                    line.say(DONE);
                }
                line.stays = true;
            },
            ANSWERS,
        ]);
        for user in ["acme", "acme", "acme", "contoso"] {
            daemon.call(user, &stop()).unwrap();
        }
        assert_eq!(daemon.served(), [vec!["invoke"; 3], vec!["invoke"]]);
    }

    #[test]
    fn a_call_that_a_daemon_leaves_unread_is_made_once_more_and_one_that_it_has_read_is_not() {
        let daemon = Daemon::that(&[
            |line| {
                line.next();
                line.say(DONE);
                line.leave_unread();
            },
            |line| {
                line.next();
                line.say(DONE);
                // Begun, and never answered.
                line.next();
            },
        ]);
        daemon.call("acme", &stop()).unwrap();
        daemon.call("acme", &stop()).unwrap();
        assert_eq!(turn_of(daemon.call("acme", &stop()).unwrap_err()), Some(Turn::MayHaveRun));
        assert_eq!(daemon.served(), [vec!["invoke"], vec!["invoke"; 2]]);
    }

    #[test]
    fn a_daemon_that_stops_refuses_a_call_on_a_kept_connection_and_the_next_one_begins_it() {
        let daemon = Daemon::that(&[
            |line| {
                line.next();
                line.say(DONE);
                line.next();
                line.say(
                    r#"{"id":1,"error":{"code":1064,"message":"stopping","data":{"kind":"shuttingDown","retryable":true}}}"#,
                );
            },
            ANSWERS,
        ]);
        for _ in 0..2 {
            daemon.call("acme", &stop()).unwrap();
        }
        assert_eq!(daemon.served(), [vec!["invoke"; 2], vec!["invoke"]]);
    }

    #[test]
    fn a_connection_on_which_a_call_was_cancelled_or_failed_is_not_used_again() {
        let daemon = Daemon::that(&[
            |line| {
                line.next();
                line.say(EVENT);
                // Answered nevertheless.
                assert_eq!(line.next().unwrap()["method"], "$/cancelRequest");
                line.say(DONE);
                assert!(line.next().is_none(), "it was used again");
            },
            |line| {
                line.next();
                line.say(FAILED);
                assert!(line.next().is_none(), "it was used again");
            },
            ANSWERS,
        ]);
        daemon.call("acme", &stop()).unwrap();
        assert!(daemon.call("acme", &stop()).is_err());
        daemon.call("acme", &stop()).unwrap();
        daemon.served();
    }

    #[test]
    fn what_was_cancelled_is_not_made_again() {
        let daemon = Daemon::that(&[
            |line| {
                line.next();
                // The cancellation stays unread, and the call does not.
                line.leave_unread();
            },
            ANSWERS,
        ]);
        let stopped = stop();
        stopped.now();
        assert!(daemon.call("acme", &stopped).is_err());
        daemon.call("acme", &stop()).unwrap();
        assert_eq!(daemon.served(), [["invoke"], ["invoke"]]);
    }

    #[test]
    fn a_daemon_that_is_silent_about_a_call_is_greeted_again_and_has_its_time_when_it_answers_that() {
        let daemon = Daemon::that(&[
            |line| {
                line.next();
                line.say(DONE);
                line.next();
                assert_eq!(line.next().unwrap()["id"], 0);
                line.say(r#"{"id":0,"result":{"bound":true}}"#);
                line.say(DONE);
                // It has read this call, and leaves only the greeting unread.
                line.next();
                line.leave_unread();
            },
            ANSWERS,
        ]);
        daemon.call("acme", &stop()).unwrap();
        daemon.call("acme", &stop()).unwrap();
        assert_eq!(turn_of(daemon.call("acme", &stop()).unwrap_err()), Some(Turn::MayHaveRun));
        daemon.call("acme", &stop()).unwrap();
        assert_eq!(daemon.served(), [vec!["invoke", "invoke", "initialize", "invoke"], vec!["invoke"]]);
    }

    #[test]
    fn a_call_beside_goes_ahead_and_has_ended_when_the_call_has() {
        let daemon = Daemon::that(&[
            |line| {
                assert_eq!(line.next().unwrap()["id"], 3);
                assert_eq!(line.next().unwrap()["id"], 1);
                line.say(DONE);
                line.say(r#"{"id":3,"error":{"code":1,"message":"no"}}"#);
                line.next();
                line.say(DONE);
                // How the second call beside has ended cannot be read.
                line.next();
                line.next();
                line.say(DONE);
                line.say("hello");
                assert!(line.next().is_none(), "it was used again");
            },
            ANSWERS,
        ]);
        let beside = || {
            let params = json!({"target": {"kind": "emulator"}, "isolation": {"chat": "a"}, "details": {}});
            Some(Beside::new::<Save>(serde_json::from_value::<SaveParams>(params).unwrap()).unwrap())
        };
        daemon.call_beside("acme", &stop(), beside()).unwrap();
        daemon.call("acme", &stop()).unwrap();
        daemon.call_beside("acme", &stop(), beside()).unwrap();
        daemon.call("acme", &stop()).unwrap();
        let turns = ["chats/save", "invoke", "invoke", "chats/save", "invoke"];
        assert_eq!(daemon.served(), [turns.to_vec(), vec!["invoke"]]);
    }
}
