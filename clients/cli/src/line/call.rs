//! One call on a connection: newline-delimited JSON out, its events and exactly one answer back.
//!
//! - [`greeting`]: shows that the daemon works, and which version it is
//! - [`message`]: what the daemon sends

mod greeting;
mod message;

use self::greeting::Proof;
use self::message::{Message, Progress, error_object, is_refusal_to_begin};
use super::ahead::Ahead;
use super::continued::Continued;
use super::interrupt;
use super::patience::Patience;
use super::silent::silent;
use super::stream::{self, Stream};
use crate::failure::Failure;
use crate::terminal::waiting;
use cupola_protocol::Method;
use cupola_protocol::error::ErrorKind;
use cupola_protocol::rpc::{Id, MAX_MESSAGE_BYTES, PROGRESS, Request};
use cupola_protocol::runs::Attach;
use serde::Serialize;
use serde_json::value::RawValue;
use std::io::{self, BufRead, BufReader, Write};
use std::ops::ControlFlow;
use std::time::Duration;

/// Most messages are events of a few hundred bytes; this many are read at once.
const READ_BUFFER_BYTES: usize = 16 * 1024;
/// The id of the one call a command makes.
pub(crate) const CALL: Id = Id::Number(1);
/// The id of a call that is made beside it.
pub(super) const BESIDE: Id = Id::Number(3);
/// A line buffer above this many bytes is given back between two calls.
const KEPT_LINE_BYTES: usize = 64 * 1024;

/// A connection to the daemon.
pub(crate) struct Connection {
    reader: BufReader<Ahead>,
    line: Vec<u8>,
    /// How long the answer may take.
    patience: Patience,
    /// How long a write may take, as the stream was told.
    write_limit: Option<Duration>,
    /// What shows that the daemon works.
    proof: Proof,
    /// Is the answer to what was sent beside the call still to come?
    awaits_beside: bool,
    /// How the call is sent to another daemon if this one stops before it begins the call.
    again: Option<Again>,
    /// How the call continues on another daemon if this one ends in the middle of it.
    continued: Option<(Continued, Ask)>,
    /// Has an event of the call or its answer come?
    has_spoken: bool,
    /// Did it end before the answer?
    is_lost: bool,
}

/// Sends the call again, to the daemon that comes next. `None` when it has been tried for long enough.
pub(crate) type Again = Box<dyn FnOnce() -> Option<Result<Connection, Failure>>>;

/// Sends an encoded call to the daemon that runs then, or to one that is started.
pub(crate) type Ask = Box<dyn Fn(Vec<u8>) -> Result<Connection, Failure>>;

/// A connection between two calls.
pub(crate) struct Idle {
    reader: BufReader<Ahead>,
    line: Vec<u8>,
    write_limit: Option<Duration>,
}

impl Idle {
    /// Is it open, and has nothing come on it since its last call?
    pub(crate) fn is_quiet(&self) -> bool {
        self.reader.buffer().is_empty() && self.reader.get_ref().is_quiet()
    }
}

/// Why a daemon has not begun a call.
#[derive(Debug)]
pub(crate) enum Unbegun {
    /// It stops, or is gone: the next daemon will serve.
    Stopping(Failure),
    /// Another daemon would not help.
    Otherwise(Failure),
}

impl Unbegun {
    /// What is said when nothing more is tried.
    pub(crate) fn failure(self) -> Failure {
        match self {
            Self::Stopping(failure) | Self::Otherwise(failure) => failure,
        }
    }
}

/// One event of the call under way.
pub(crate) struct Event<'line> {
    /// The progress notification's value, verbatim.
    pub value: &'line RawValue,
    /// Has more arrived already? Then flushing can wait.
    pub more: bool,
}

impl Connection {
    /// Speaks on a stream.
    pub(crate) fn new(stream: Stream) -> Self {
        let reader = BufReader::with_capacity(READ_BUFFER_BYTES, Ahead::new(stream));
        Self::on(Idle { reader, line: Vec::new(), write_limit: None })
    }

    /// Continues on a connection that was kept, with the next call.
    pub(crate) fn kept(idle: Idle) -> Self {
        Self { proof: Proof::Awaited, ..Self::on(idle) }
    }

    fn on(idle: Idle) -> Self {
        let Idle { reader, line, write_limit } = idle;
        Self {
            reader,
            line,
            patience: Patience::for_first_word(),
            write_limit,
            proof: Proof::Word,
            awaits_beside: false,
            again: None,
            continued: None,
            has_spoken: false,
            is_lost: false,
        }
    }

    #[cfg(test)]
    pub(crate) fn read_ahead(&mut self) {
        self.reader.get_mut().begin();
    }

    /// Without its call, which was answered. None if something is still to come of it.
    pub(crate) fn into_idle(self) -> Option<Idle> {
        let Self { reader, mut line, write_limit, awaits_beside, .. } = self;
        line.clear();
        line.shrink_to(KEPT_LINE_BYTES);
        (!awaits_beside).then_some(Idle { reader, line, write_limit })
    }

    /// The stream itself.
    pub(crate) fn stream(&self) -> &Stream {
        self.reader.get_ref().stream()
    }

    /// Has the daemon said anything on it?
    pub(crate) fn has_spoken(&self) -> bool {
        self.has_spoken
    }

    /// Did it end before the answer?
    pub(crate) fn is_lost(&self) -> bool {
        self.is_lost
    }

    /// Sends the call by `again` if this daemon turns out to stop before it begins the call.
    pub(crate) fn again_by(&mut self, again: Again) {
        self.again = Some(again);
    }

    /// Continues the call on another daemon if this one ends in the middle of it.
    pub(crate) fn continue_by(&mut self, continued: Continued, ask: Ask) {
        self.continued = Some((continued, ask));
    }

    /// Sends a call and waits for its typed answer.
    pub(crate) fn call<M: Method>(&mut self, params: M::Params) -> Result<M::Response, Failure> {
        let raw = self.call_raw::<M>(params)?;
        typed::<M>(&raw)
    }

    /// Sends a call and waits for its answer, verbatim.
    pub(crate) fn call_raw<M: Method>(&mut self, params: M::Params) -> Result<Box<RawValue>, Failure> {
        self.send(&encode::<M>(params)?).map_err(|error| lost(&error))?;
        self.receive(|_| Ok(()))
    }

    /// Like [`Self::call_raw`], for methods that even a full daemon answers at once. It sends no greeting, and the answer must come
    /// within [`Patience::first_word`].
    pub(crate) fn call_at_once<M: Method>(
        &mut self,
        params: M::Params,
        patience: &Patience,
    ) -> Result<Box<RawValue>, Unbegun> {
        let call = encode::<M>(params).map_err(Unbegun::Otherwise)?;
        self.offer(&call, patience)?;
        self.first_word(patience)?;
        self.receive(|_| Ok(())).map_err(|failure| match failure {
            Failure::Call(error) if error.data.as_ref().is_some_and(is_refusal_to_begin) => {
                Unbegun::Stopping(Failure::Call(error))
            }
            other => Unbegun::Otherwise(other),
        })
    }

    /// Sends an encoded call. If this fails the daemon has not begun it: a call is whole only with its newline, its last byte.
    pub(crate) fn offer(&mut self, call: &[u8], patience: &Patience) -> Result<(), Unbegun> {
        self.reader.get_mut().limit(Some(patience.first_word())).map_err(|error| self.unbegun(&error, patience))?;
        self.offer_next(call, patience)
    }

    /// As [`Self::offer`], on a connection whose daemon has spoken before.
    pub(crate) fn offer_next(&mut self, call: &[u8], patience: &Patience) -> Result<(), Unbegun> {
        self.patience = *patience;
        self.limit_writes(patience.first_word())
            .and_then(|()| self.send(call))
            .map_err(|error| self.unbegun(&error, patience))
    }

    fn limit_writes(&mut self, limit: Duration) -> io::Result<()> {
        if self.write_limit != Some(limit) {
            self.stream().set_write_timeout(Some(limit))?;
            self.write_limit = Some(limit);
        }
        Ok(())
    }

    /// A second answer is to come, to what was sent with the call.
    pub(crate) fn awaits_beside(&mut self, awaits: bool) {
        self.awaits_beside = awaits;
    }

    fn unbegun(&self, error: &io::Error, patience: &Patience) -> Unbegun {
        if stream::is_over(error) {
            Unbegun::Otherwise(silent(self.stream(), patience.waited()))
        } else {
            Unbegun::Stopping(lost(error))
        }
    }

    /// Sends an encoded call in one write.
    pub(crate) fn send(&mut self, call: &[u8]) -> io::Result<()> {
        let mut stream = self.reader.get_ref().stream();
        stream.write_all(call)
    }

    /// Waits for the call's answer; every event before it goes to `on_event`.
    pub(crate) fn receive(
        &mut self,
        mut on_event: impl FnMut(Event<'_>) -> Result<(), Failure>,
    ) -> Result<Box<RawValue>, Failure> {
        let answer = self.receive_until(|event| on_event(event).map(ControlFlow::Continue))?;
        Ok(answer.unwrap_or_else(|| RawValue::NULL.to_owned()))
    }

    /// As [`Self::receive`], but returns without an answer when `on_event` ends the wait.
    pub(crate) fn receive_until(
        &mut self,
        mut on_event: impl FnMut(Event<'_>) -> Result<ControlFlow<()>, Failure>,
    ) -> Result<Option<Box<RawValue>>, Failure> {
        self.receive_raw(|event, ahead| {
            // Printing it may have to wait for a reader.
            ahead.begin();
            on_event(event)
        })
    }

    /// As [`Self::receive_until`], but only reads ahead when `on_event` begins that.
    pub(crate) fn receive_each(
        &mut self,
        mut on_event: impl FnMut(&RawValue, &mut Ahead) -> Result<ControlFlow<()>, Failure>,
    ) -> Result<Option<Box<RawValue>>, Failure> {
        self.receive_raw(|Event { value, .. }, ahead| on_event(value, ahead))
    }

    fn receive_raw(
        &mut self,
        mut on_event: impl FnMut(Event<'_>, &mut Ahead) -> Result<ControlFlow<()>, Failure>,
    ) -> Result<Option<Box<RawValue>>, Failure> {
        let wait = waiting::begin();
        loop {
            if let Err(error) = self.proven().and_then(|()| self.read_line(None)) {
                // Linux resets a Unix socket's connection when its peer closes with bytes unread, and only then. After Ctrl-C the
                // unread bytes may be the cancellation, with the call read long before.
                let is_unread = cfg!(target_os = "linux")
                    && error.kind() == io::ErrorKind::ConnectionReset
                    && !self.has_spoken
                    && self.proof != Proof::GreetedAgain
                    && !interrupt::happened();
                if !is_unread || !self.go_to_next()? {
                    if !stream::is_over(&error) && self.continue_on_next()? {
                        continue;
                    }
                    self.is_lost = !stream::is_over(&error) && error.kind() != io::ErrorKind::FileTooLarge;
                    return Err(self.broken(&error));
                }
                continue;
            }
            let more = self.reader.buffer().contains(&b'\n');
            let message: Message<'_> = serde_json::from_slice(&self.line).map_err(|error| garbage(&error))?;
            match (message.method.as_deref(), message.id) {
                (Some(PROGRESS), _) => {
                    self.has_spoken = true;
                    wait.has_come();
                    let params = message.params.map_or("null", RawValue::get);
                    let progress: Progress<'_> = serde_json::from_str(params).map_err(|error| garbage(&error))?;
                    if let Some((continued, _)) = &mut self.continued {
                        continued.saw(progress.value);
                    }
                    if on_event(Event { value: progress.value, more }, self.reader.get_mut())?.is_break() {
                        return Ok(None);
                    }
                }
                // Without an id: the daemon could not read the request well enough to know it.
                (None, Some(CALL) | None) if message.error.is_some() => {
                    let error = error_object(message.error.unwrap_or(RawValue::NULL));
                    let is_left = error.data.as_ref().is_some_and(|data| data.kind == ErrorKind::ShuttingDown);
                    if is_left && self.continue_on_next()? {
                        continue;
                    }
                    let was_begun = self.has_spoken || !error.data.as_ref().is_some_and(is_refusal_to_begin);
                    if was_begun || interrupt::happened() || !self.go_to_next()? {
                        self.wait_for_beside();
                        return Err(Failure::Call(Box::new(error)));
                    }
                }
                // serde reads a `null` result as absent; both mean that there is nothing to say.
                (None, Some(CALL)) => {
                    let answer = message.result.unwrap_or(RawValue::NULL).to_owned();
                    self.wait_for_beside();
                    return Ok(Some(answer));
                }
                (None, Some(BESIDE)) => self.awaits_beside = false,
                (None, None) => return Err(garbage(&"neither a notification nor an answer")),
                // Notifications for other kinds of clients, and answers to something this command did not ask.
                _ => {}
            }
        }
    }

    /// The call has its answer; this waits for the answer to what was sent beside it, whatever that says.
    fn wait_for_beside(&mut self) {
        while self.awaits_beside {
            let read = self.read_line(Some(self.patience.first_word()));
            let Some(message) = read.ok().and_then(|()| serde_json::from_slice::<Message<'_>>(&self.line).ok()) else {
                return;
            };
            self.awaits_beside = message.method.is_some() || message.id != Some(BESIDE);
        }
    }

    /// Sends the call to the next daemon, because this one stopped before it began the call. Returns false if it cannot be tried again.
    fn go_to_next(&mut self) -> Result<bool, Failure> {
        let Some(next) = self.again.take().and_then(|again| again()) else { return Ok(false) };
        let continued = self.continued.take();
        *self = next?;
        self.continued = continued;
        Ok(true)
    }

    /// Continues what this daemon has begun on the next one. Returns false if it cannot be continued.
    fn continue_on_next(&mut self) -> Result<bool, Failure> {
        if interrupt::happened() {
            return Ok(false);
        }
        let Some((mut continued, ask)) = self.continued.take() else { return Ok(false) };
        let Some(next) = continued.next() else { return Ok(false) };
        *self = ask(encode::<Attach>(next)?)?;
        if let Some(run) = continued.run_to_cancel() {
            interrupt::cancels_run(self.stream(), run);
        }
        (self.continued, self.has_spoken) = (Some((continued, ask)), true);
        Ok(true)
    }

    /// The answer did not come.
    fn broken(&self, error: &io::Error) -> Failure {
        if stream::is_over(error) { silent(self.stream(), self.patience.waited()) } else { lost(error) }
    }

    /// Reads one message, with its newline. Each piece of it may take `limit`; without one, the message what is left of the call's
    /// own time.
    fn read_line(&mut self, limit: Option<Duration>) -> io::Result<()> {
        self.line.clear();
        loop {
            if self.reader.buffer().is_empty() {
                let rest = limit.or_else(|| self.patience.rest());
                if rest.is_some_and(|rest| rest.is_zero()) {
                    return Err(io::Error::from(io::ErrorKind::TimedOut));
                }
                self.reader.get_mut().limit(rest)?;
            }
            let available = fill(&mut self.reader)?;
            if available.is_empty() {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
            }
            let end = available.iter().position(|byte| *byte == b'\n').map(|place| place + 1);
            let taken = end.unwrap_or(available.len());
            self.line.extend_from_slice(&available[..taken]);
            self.reader.consume(taken);
            if end.is_some() {
                return Ok(());
            }
            if self.line.len() > MAX_MESSAGE_BYTES {
                return Err(io::ErrorKind::FileTooLarge.into());
            }
        }
    }
}

/// What has been read and not taken, after a read if that is nothing. A read with a limit is interrupted by a signal that is handled,
/// such as Ctrl-C; the limit then begins again.
fn fill(reader: &mut BufReader<Ahead>) -> io::Result<&[u8]> {
    while let Err(error) = reader.fill_buf() {
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    Ok(reader.buffer())
}

/// A call as it travels, with its newline.
pub(crate) fn encode<M: Method>(params: M::Params) -> Result<Vec<u8>, Failure> {
    encode_as::<M>(CALL, params)
}

/// As [`encode`], with an id.
pub(super) fn encode_as<M: Method>(id: Id, params: M::Params) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    append(&mut bytes, &Request::call(id, M::NAME, params))?;
    // The newline ends the line and is not part of the message.
    let length = bytes.len() - 1;
    if length > MAX_MESSAGE_BYTES {
        return Err(Failure::usage_hint(
            format!("the request has {length} bytes, and a message may have at most {MAX_MESSAGE_BYTES}"),
            "upload large data as a file with `cupola files upload`",
        ));
    }
    Ok(bytes)
}

/// Adds one message and its newline.
fn append<Params: Serialize>(bytes: &mut Vec<u8>, request: &Request<Params>) -> Result<(), Failure> {
    serde_json::to_writer(&mut *bytes, request)
        .map_err(|error| Failure::usage(format!("the request cannot be written as JSON: {error}")))?;
    bytes.push(b'\n');
    Ok(())
}

/// The connection ended before the answer.
pub(crate) fn lost(error: &io::Error) -> Failure {
    let how = match error.kind() {
        io::ErrorKind::UnexpectedEof => "closed the connection before answering".to_owned(),
        io::ErrorKind::FileTooLarge => format!("sent a message of more than {MAX_MESSAGE_BYTES} bytes"),
        _ => format!("cannot be reached: {error}"),
    };
    Failure::daemon_hint(
        format!("the daemon {how}"),
        "it may have been stopped; run the command again to restart it, and see `cupola sessions list` for sessions it created",
    )
}

/// What to do about a daemon that does not speak as this program does.
const VERSIONS_HINT: &str =
    "the daemon may be of another version: run `cupola stop`; the next command starts one of this version";

fn garbage(error: &dyn std::fmt::Display) -> Failure {
    Failure::daemon_hint(format!("the daemon sent an invalid message: {error}"), VERSIONS_HINT)
}

/// An answer as the type that the method promises.
pub(crate) fn typed<M: Method>(answer: &RawValue) -> Result<M::Response, Failure> {
    serde_json::from_str(answer.get()).map_err(|error| misunderstood(M::NAME, &error))
}

/// The answer does not have the shape the method promises.
pub(crate) fn misunderstood(method: &str, error: &serde_json::Error) -> Failure {
    Failure::daemon_hint(
        format!("the daemon's answer to {method} is not what this version expects: {error}"),
        VERSIONS_HINT,
    )
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;
    use cupola_protocol::daemon::{Stop, StopParams};
    use cupola_protocol::status::{Status, StatusParams};
    use std::thread;

    /// A daemon that reads `requests` lines and then says exactly `script`; gives back what it read.
    fn scripted(requests: usize, script: &'static str) -> (Connection, thread::JoinHandle<Vec<String>>) {
        let (client, daemon) = Stream::pair().unwrap();
        let daemon = thread::spawn(move || {
            let mut lines = BufReader::new(&daemon).lines();
            let read = (0..requests).map(|_| lines.next().unwrap().unwrap()).collect();
            (&daemon).write_all(script.as_bytes()).unwrap();
            read
        });
        (Connection::new(client), daemon)
    }

    #[test]
    fn a_call_is_one_line_and_its_answer_is_typed() {
        let (mut connection, daemon) = scripted(1, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"runs\":3}}\n");
        assert_eq!(connection.call::<Stop>(StopParams { force: true, ..StopParams::default() }).unwrap().runs, 3);
        let sent: serde_json::Value = serde_json::from_str(&daemon.join().unwrap()[0]).unwrap();
        assert_eq!(sent["method"], "daemon/stop");
        assert_eq!(sent["params"]["force"], true);
    }

    #[test]
    fn events_come_in_order_before_the_answer_and_others_are_skipped() {
        let (mut connection, daemon) = scripted(
            1,
            "{\"method\":\"window/logMessage\",\"params\":{}}\n\
             {\"method\":\"$/progress\",\"params\":{\"token\":1,\"value\":{\"n\":1}}}\n\
             {\"method\":\"$/progress\",\"params\":{\"token\":1,\"value\":{\"n\":2}}}\n\
             {\"id\":7,\"result\":\"not ours\"}\n\
             {\"id\":1,\"result\":\"done\"}\n",
        );
        connection.send(&encode::<Status>(StatusParams::default()).unwrap()).unwrap();
        let mut events = Vec::new();
        let answer = connection.receive(|event| {
            events.push(event.value.to_string());
            Ok(())
        });
        assert_eq!(answer.unwrap().get(), "\"done\"");
        assert_eq!(events, [r#"{"n":1}"#, r#"{"n":2}"#]);
        assert!(daemon.join().unwrap()[0].contains("daemon/status"));
    }

    const STOPPING: &str =
        r#"{"code":1064,"message":"the daemon is stopping","data":{"kind":"shuttingDown","retryable":true}}"#;
    const CUT: &str =
        r#"{"code":1064,"message":"the daemon is stopping","data":{"kind":"shuttingDown","retryable":false}}"#;

    const CUT_RUN: &str = r#"{"code":1064,"message":"the daemon is stopping","data":{"kind":"shuttingDown","retryable":true,"runId":"run_1"}}"#;

    /// What the daemon says is leaked: it lives as long as the test.
    fn saying(id: &str, error: &str) -> &'static str {
        Box::leak(format!("{{\"id\":{id},\"error\":{error}}}\n").into_boxed_str())
    }

    #[test]
    fn a_call_that_was_not_begun_is_made_again_and_one_that_was_begun_is_not() {
        let done = "{\"id\":1,\"result\":\"done\"}\n";
        for (said, is_again) in [
            (saying("1", STOPPING), true),
            (saying("null", STOPPING), true),
            (saying("1", CUT), false),
            (saying("1", CUT_RUN), false),
            ("{\"method\":\"$/progress\",\"params\":{\"token\":1,\"value\":1}}\n", false),
            ("", false),
        ] {
            let (mut connection, _daemon) = scripted(1, said);
            connection.again_by(Box::new(move || {
                let (mut next, _daemon) = scripted(1, done);
                next.send(&encode::<Status>(StatusParams::default()).unwrap()).unwrap();
                Some(Ok(next))
            }));
            connection.send(&encode::<Status>(StatusParams::default()).unwrap()).unwrap();
            let answer = connection.receive(|_| Ok(()));
            assert_eq!(answer.is_ok(), is_again, "{said}: {answer:?}");
        }
    }

    #[test]
    fn a_greeting_tells_a_daemon_that_stops_from_one_that_is_full_and_from_one_that_serves() {
        let full = r#"{"code":1062,"message":"full","data":{"kind":"overloaded","retryable":true}}"#;
        let unknown = r#"{"code":-32601,"message":"what?","data":{"kind":"methodNotFound","retryable":false}}"#;
        for (said, expected) in [
            ("{\"id\":0,\"result\":{\"serverInfo\":{\"name\":\"cupola\",\"version\":\"9.9.9\"}}}\n", "serves"),
            (saying("0", unknown), "serves"),
            (saying("0", STOPPING), "stops"),
            (saying("null", STOPPING), "stops"),
            ("", "stops"),
            (saying("0", full), "will not"),
            ("hello\n", "will not"),
        ] {
            let (mut connection, _daemon) = scripted(1, said);
            let found = match connection.greet(None, &Patience::for_first_word()) {
                Ok(_) => "serves",
                Err(Unbegun::Stopping(_)) => "stops",
                Err(Unbegun::Otherwise(_)) => "will not",
            };
            assert_eq!(found, expected, "{said}");
        }
    }

    #[test]
    fn a_daemon_that_says_nothing_is_not_waited_for_beyond_the_limit() {
        let (client, _daemon) = Stream::pair().unwrap();
        let patience = Patience::for_all(Some(Duration::from_millis(1)));
        let Err(Unbegun::Otherwise(Failure::Daemon { message, .. })) = Connection::new(client).greet(None, &patience)
        else {
            panic!("it did not say that the daemon is silent")
        };
        assert!(message.contains("has not answered within"), "{message}");
    }

    #[test]
    fn an_error_of_a_newer_daemon_keeps_its_message_and_what_its_number_tells() {
        for (script, code, kind) in [
            (
                "{\"id\":1,\"error\":{\"code\":1022,\"message\":\"gone\",\"data\":{\"kind\":\"notFound\",\"retryable\":false}}}\n",
                1022,
                Some(ErrorKind::NotFound),
            ),
            (
                "{\"id\":1,\"error\":{\"code\":1022,\"message\":\"gone\",\"data\":{\"kind\":\"vanished\",\"retryable\":false}}}\n",
                1022,
                Some(ErrorKind::NotFound),
            ),
            ("{\"id\":1,\"error\":{\"code\":1999,\"message\":\"gone\"}}\n", 1999, None),
            ("{\"id\":null,\"error\":{\"code\":-32700,\"message\":\"gone\"}}\n", -32700, None),
        ] {
            let (mut connection, _daemon) = scripted(1, script);
            let Err(Failure::Call(error)) = connection.call::<Status>(StatusParams::default()) else {
                panic!("{script}")
            };
            assert_eq!((error.code, error.message.as_str()), (code, "gone"));
            assert_eq!(error.data.map(|data| data.kind), kind);
        }
    }

    #[test]
    fn a_daemon_that_goes_away_or_talks_nonsense_is_a_daemon_failure() {
        for (script, says) in [
            ("", "closed the connection"),
            ("{\"id\":1,\"result\":", "closed the connection"),
            ("hello\n", "an invalid message"),
            ("{\"method\":\"$/progress\",\"params\":[]}\n", "an invalid message"),
            ("[]\n", "an invalid message"),
            ("{\"id\":1,\"result\":{\"runs\":\"many\"}}\n", "not what this version expects"),
        ] {
            let (mut connection, daemon) = scripted(1, script);
            match connection.call::<Stop>(StopParams::default()) {
                Err(Failure::Daemon { message, .. }) => assert!(message.contains(says), "{script:?}: {message}"),
                other => panic!("{script:?}: {other:?}"),
            }
            daemon.join().unwrap();
        }
    }
}
