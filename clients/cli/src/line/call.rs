//! One call on a connection: newline-delimited JSON out, its events and exactly one answer back.
//!
//! Messages are read with borrowed types and raw JSON: what nobody looks at is never parsed into a tree.

use super::ahead::Ahead;
use super::stream::{self, Stream};
use crate::failure::Failure;
use crate::terminal;
use cupola_protocol::daemon::{Initialize, InitializeParams, ProgramInfo};
use cupola_protocol::error::{ErrorData, ErrorKind};
use cupola_protocol::rpc::{ErrorObject, Id, MAX_MESSAGE_BYTES, PROGRESS, Request};
use cupola_protocol::{Method, PROTOCOL_VERSION};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::ops::ControlFlow;
use std::time::Duration;

/// Longest line taken from the daemon, in bytes: a message and its end.
const MAX_LINE_BYTES: u64 = MAX_MESSAGE_BYTES as u64 + 1;
/// Most messages are events of a few hundred bytes; this many are read at once.
const READ_BUFFER_BYTES: usize = 16 * 1024;
/// How long the daemon may take for what it answers from itself alone; its saved state may keep it for seconds.
const AT_ONCE: Duration = Duration::from_secs(15);
/// The id of the one call a command makes.
pub(crate) const CALL: Id = Id::Number(1);
/// The id of the greeting that may travel ahead of it.
const GREETING: Id = Id::Number(0);

/// A connection to the daemon.
pub(crate) struct Connection {
    reader: BufReader<Ahead>,
    line: Vec<u8>,
    /// Has an event or an answer come?
    has_spoken: bool,
    /// Did it end before the answer?
    is_lost: bool,
}

/// What travels ahead of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Greeting {
    /// `initialize`, to learn the daemon's version. Costs no round trip: it goes out in the same write.
    Initialize,
    /// Nothing.
    None,
}

/// Anything the daemon sends. As [`cupola_protocol::rpc::Incoming`], borrowed from the line.
#[derive(Deserialize)]
struct Message<'line> {
    #[serde(default)]
    id: Option<Id>,
    #[serde(default, borrow)]
    method: Option<Cow<'line, str>>,
    #[serde(default, borrow)]
    params: Option<&'line RawValue>,
    #[serde(default, borrow)]
    result: Option<&'line RawValue>,
    #[serde(default, borrow)]
    error: Option<&'line RawValue>,
}

/// `params` of `$/progress`, whose token can only be ours.
#[derive(Deserialize)]
struct Progress<'line> {
    #[serde(borrow)]
    value: &'line RawValue,
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
        Self {
            reader: BufReader::with_capacity(READ_BUFFER_BYTES, Ahead::new(stream)),
            line: Vec::new(),
            has_spoken: false,
            is_lost: false,
        }
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

    /// Sends a call and waits for its typed answer.
    pub(crate) fn call<M: Method>(&mut self, params: M::Params) -> Result<M::Response, Failure> {
        let raw = self.call_raw::<M>(params)?;
        typed::<M>(&raw)
    }

    /// Sends a call and waits for its answer, verbatim.
    pub(crate) fn call_raw<M: Method>(&mut self, params: M::Params) -> Result<Box<RawValue>, Failure> {
        self.send(&encode::<M>(params, Greeting::None)?).map_err(|error| lost(&error))?;
        self.receive(|_| Ok(()))
    }

    /// As [`Self::call_raw`], of what needs no service and nobody else: a daemon that does not answer hangs.
    pub(crate) fn call_at_once<M: Method>(&mut self, params: M::Params) -> Result<Box<RawValue>, Failure> {
        stream::limit(self.stream(), Some(AT_ONCE)).map_err(|error| lost(&error))?;
        self.send(&encode::<M>(params, Greeting::None)?).map_err(|error| lost(&error))?;
        self.wait().map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => hangs(stream::peer_process(self.stream())),
            _ => lost(&error),
        })?;
        stream::limit(self.stream(), None).map_err(|error| lost(&error))?;
        self.receive(|_| Ok(()))
    }

    /// Sends an encoded call in one write.
    pub(crate) fn send(&mut self, call: &[u8]) -> io::Result<()> {
        let mut stream = self.reader.get_ref().stream();
        stream.write_all(call)
    }

    /// Waits until the daemon has said anything, or has gone.
    pub(crate) fn wait(&mut self) -> io::Result<()> {
        self.reader.fill_buf().map(|_| ())
    }

    /// Waits for the call's answer; every event before it goes to `on_event`.
    pub(crate) fn receive(
        &mut self,
        mut on_event: impl FnMut(Event<'_>) -> Result<(), Failure>,
    ) -> Result<Box<RawValue>, Failure> {
        let answer = self.receive_until(|event| on_event(event).map(ControlFlow::Continue))?;
        Ok(answer.unwrap_or_else(|| RawValue::NULL.to_owned()))
    }

    /// As [`Self::receive`], until `on_event` has enough: then there is no answer yet.
    pub(crate) fn receive_until(
        &mut self,
        mut on_event: impl FnMut(Event<'_>) -> Result<ControlFlow<()>, Failure>,
    ) -> Result<Option<Box<RawValue>>, Failure> {
        loop {
            self.read_line()?;
            let more = self.reader.buffer().contains(&b'\n');
            let message: Message<'_> = serde_json::from_slice(&self.line).map_err(|error| garbage(&error))?;
            match (message.method.as_deref(), message.id) {
                (Some(PROGRESS), _) => {
                    // Whoever prints it may wait for a reader.
                    self.reader.get_mut().begin();
                    let params = message.params.map_or("null", RawValue::get);
                    let progress: Progress<'_> = serde_json::from_str(params).map_err(|error| garbage(&error))?;
                    if on_event(Event { value: progress.value, more })?.is_break() {
                        return Ok(None);
                    }
                }
                (None, Some(CALL)) => {
                    return match message.error {
                        Some(error) => Err(Failure::Call(Box::new(error_object(error)))),
                        // serde reads a `null` result as absent; both mean that there is nothing to say.
                        None => Ok(Some(message.result.unwrap_or(RawValue::NULL).to_owned())),
                    };
                }
                (None, Some(GREETING)) => {
                    if let Some(result) = message.result {
                        report_version_skew(result);
                    }
                }
                // The daemon could not read the request well enough to know its id.
                (None, None) if message.error.is_some() => {
                    return Err(Failure::Call(Box::new(error_object(message.error.unwrap_or(RawValue::NULL)))));
                }
                (None, None) => return Err(garbage(&"neither a notification nor an answer")),
                // Notifications for other kinds of clients, and answers to something this command did not ask.
                _ => {}
            }
        }
    }

    fn read_line(&mut self) -> Result<(), Failure> {
        self.line.clear();
        let read = (&mut self.reader).take(MAX_LINE_BYTES).read_until(b'\n', &mut self.line);
        match read {
            Ok(_) if self.line.last() == Some(&b'\n') => {
                self.has_spoken = true;
                Ok(())
            }
            Ok(read) if read as u64 == MAX_LINE_BYTES => {
                Err(Failure::daemon(format!("the daemon sent a message of more than {MAX_MESSAGE_BYTES} bytes")))
            }
            ended => {
                self.is_lost = true;
                Err(lost(&ended.err().unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into())))
            }
        }
    }
}

/// A call as it travels, with its newline.
pub(crate) fn encode<M: Method>(params: M::Params, greeting: Greeting) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    if greeting == Greeting::Initialize {
        let program = ProgramInfo { name: "cupola-cli".to_owned(), version: Some(VERSION.to_owned()) };
        let protocol_versions = Some(vec![PROTOCOL_VERSION]);
        let params = InitializeParams { client_info: Some(program), protocol_versions, bind: None };
        append(&mut bytes, &Request::call(GREETING, Initialize::NAME, params))?;
    }
    let start = bytes.len();
    append(&mut bytes, &Request::call(CALL, M::NAME, params))?;
    // The newline ends the line and is not part of the message.
    let length = bytes.len() - start - 1;
    if length > MAX_MESSAGE_BYTES {
        return Err(Failure::usage_hint(
            format!("the request has {length} bytes, and a message may have at most {MAX_MESSAGE_BYTES}"),
            "upload large data as a file with `cupola files upload`",
        ));
    }
    Ok(bytes)
}

/// This program's version.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Adds one message and its newline.
fn append<Params: Serialize>(bytes: &mut Vec<u8>, request: &Request<Params>) -> Result<(), Failure> {
    serde_json::to_writer(&mut *bytes, request)
        .map_err(|error| Failure::usage(format!("the request cannot be written as JSON: {error}")))?;
    bytes.push(b'\n');
    Ok(())
}

/// An error of a newer daemon may have a kind this program does not know: its message and number are kept.
fn error_object(raw: &RawValue) -> ErrorObject {
    #[derive(Deserialize)]
    struct Bare {
        #[serde(default)]
        code: i32,
        #[serde(default)]
        message: String,
    }
    serde_json::from_str(raw.get()).unwrap_or_else(|_| {
        let bare = serde_json::from_str(raw.get())
            .unwrap_or(Bare { code: 0, message: format!("the daemon answered with an error: {raw}") });
        let known = ErrorKind::ALL.iter().find(|kind| kind.code() == bare.code);
        ErrorObject { code: bare.code, message: bare.message, data: known.map(|kind| ErrorData::new(*kind)) }
    })
}

/// An older daemon keeps running after an update; say so, because its behaviour is the older one's.
fn report_version_skew(result: &RawValue) {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Greeted {
        server_info: ProgramInfo,
    }
    let Ok(greeted) = serde_json::from_str::<Greeted>(result.get()) else { return };
    if let Some(version) = greeted.server_info.version.filter(|version| version != VERSION) {
        let _ = writeln!(
            terminal::stderr(),
            "warning: the running daemon is version {}, but this program is {VERSION}; run `cupola stop` to update it",
            terminal::line(&version)
        );
    }
}

/// The connection ended before the answer.
pub(crate) fn lost(error: &io::Error) -> Failure {
    let how = match error.kind() {
        io::ErrorKind::UnexpectedEof => "closed the connection before answering".to_owned(),
        _ => format!("cannot be reached: {error}"),
    };
    Failure::daemon_hint(
        format!("the daemon {how}"),
        "it may have been stopped; run the command again to restart it, and see `cupola sessions list` for sessions it created",
    )
}

/// The daemon runs but does not answer.
fn hangs(process: Option<i32>) -> Failure {
    let (who, kill) = match process {
        Some(id) => (format!("the daemon (process {id})"), format!("kill -9 {id}")),
        None => ("the daemon".to_owned(), "kill -9 PID".to_owned()),
    };
    Failure::daemon_hint(
        format!("{who} has not answered within {} s", AT_ONCE.as_secs()),
        format!("if this persists, end it with `{kill}`; the next command starts a new one, and saved state is kept"),
    )
}

fn garbage(error: &dyn std::fmt::Display) -> Failure {
    Failure::daemon_hint(
        format!("the daemon sent an invalid message: {error}"),
        "run `cupola status` to compare versions",
    )
}

/// An answer as the type that the method promises.
pub(crate) fn typed<M: Method>(answer: &RawValue) -> Result<M::Response, Failure> {
    serde_json::from_str(answer.get()).map_err(|error| misunderstood(M::NAME, &error))
}

/// The answer does not have the shape the method promises.
pub(crate) fn misunderstood(method: &str, error: &serde_json::Error) -> Failure {
    Failure::daemon_hint(
        format!("the daemon's answer to {method} is not what this version expects: {error}"),
        "run `cupola status` to compare versions",
    )
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;
    use cupola_protocol::daemon::{NoParams, Status, Stop, StopParams};
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
        assert_eq!(connection.call::<Stop>(StopParams { force: true }).unwrap().runs, 3);
        let sent: serde_json::Value = serde_json::from_str(&daemon.join().unwrap()[0]).unwrap();
        assert_eq!(sent["method"], "daemon/stop");
        assert_eq!(sent["params"]["force"], true);
    }

    #[test]
    fn events_come_in_order_before_the_answer_and_others_are_skipped() {
        let (mut connection, daemon) = scripted(
            2,
            "{\"method\":\"window/logMessage\",\"params\":{}}\n\
             {\"id\":0,\"result\":{\"serverInfo\":{\"name\":\"cupola\",\"version\":\"9.9.9\"}}}\n\
             {\"method\":\"$/progress\",\"params\":{\"token\":1,\"value\":{\"n\":1}}}\n\
             {\"method\":\"$/progress\",\"params\":{\"token\":1,\"value\":{\"n\":2}}}\n\
             {\"id\":7,\"result\":\"not ours\"}\n\
             {\"id\":1,\"result\":\"done\"}\n",
        );
        connection.send(&encode::<Status>(NoParams {}, Greeting::Initialize).unwrap()).unwrap();
        let mut events = Vec::new();
        let answer = connection.receive(|event| {
            events.push(event.value.to_string());
            Ok(())
        });
        assert_eq!(answer.unwrap().get(), "\"done\"");
        assert_eq!(events, [r#"{"n":1}"#, r#"{"n":2}"#]);
        assert!(daemon.join().unwrap()[0].contains("initialize"));
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
            let Err(Failure::Call(error)) = connection.call::<Status>(NoParams {}) else { panic!("{script}") };
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
