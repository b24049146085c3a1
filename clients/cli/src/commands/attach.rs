//! `cupola attach`: the daemon's line on standard input and output, for programs that can only start a child.
//!
//! Messages pass through unchanged, in the framing the program speaks. When the daemon goes away, whatever was asked and not
//! answered is answered with an error that says whether it may be tried again; the next request opens a new connection (and starts a
//! daemon, if none runs), repeats the greetings on it, and continues.
//!
//! - [`pending`]: what the program still waits for

mod pending;

use crate::environment::version;
use crate::exit;
use crate::failure::Failure;
use crate::hooks::Hooks;
use crate::line::ahead::Ahead;
use crate::line::call::{Unbegun, lost, misunderstood};
use crate::line::frame;
use crate::line::patience::Patience;
use crate::line::silent::silent;
use crate::line::stream::{self, Stream};
use crate::line::version::too_old_to_bind;
use crate::scope::ScopeFlags;
use crate::{environment, terminal};
use clap::Args;
use cupola_protocol::daemon::{Bind, Initialize, InitializeParams, MethodPattern, ProgramInfo};
use cupola_protocol::error::ErrorKind;
use cupola_protocol::files::{Download, LocalPath, Upload};
use cupola_protocol::framing::Framing;
use cupola_protocol::rpc::{ErrorObject, Id, Request};
use cupola_protocol::{Method, PROTOCOL_VERSION};
use pending::{Asked, Pending};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

pub(crate) const HELP: &str = "\
Speaks LSP's `Content-Length` framing or one JSON message per line, depending on the first message on standard input. Given a \
target, a profile or an isolation, the connection is bound to them before the first message: it can only reach that agent \
under that isolation. A bound connection cannot upload or download local files unless `--files` allows a directory.

Examples:
  cupola attach --stdio
  cupola attach --emulator --user-isolation-key tenant-acme
  cupola attach --profile acme --only invoke --only 'sessions/*'
  cupola attach --profile acme --files ./data";

#[derive(Debug, Args)]
pub(crate) struct Flags {
    /// Use standard input and output; the only transport, and the default
    #[arg(long)]
    stdio: bool,
    /// Allow only this method, or all methods of a resource (`sessions/*`); can be repeated
    #[arg(long, value_name = "METHOD")]
    only: Vec<String>,
    /// Allow files/upload and files/download for files below this directory; with --only, list them there as well
    #[arg(long, value_name = "DIR")]
    files: Option<PathBuf>,
    #[command(flatten)]
    pub scope: ScopeFlags,
}

/// The variables that say which agent is meant, as flags do; what says whose state is part of the isolation.
/// `FOUNDRY_PROJECT_ENDPOINT` is not among them: other programs' shells have it, too.
const NAMING_VARIABLES: [&str; 3] = ["CUPOLA_PROFILE", "CUPOLA_EMULATOR", "CUPOLA_AGENT"];

/// The transfers that `--files` is for.
const TRANSFERS: [&str; 2] = [Upload::NAME, Download::NAME];
/// What a bound connection may call when its binding names no methods. `--files` without `--only` has to write it out, to add
/// the transfers to it.
const USUAL: [&str; 8] =
    ["invoke", "runs/*", "sessions/*", "files/*", "monitor", "agents/show", "partitions/list", "chats/*"];

/// The ids of the bridge's own requests: a program's are never of this form by accident.
const GREETING: &str = "cupola-attach/greeting";
const REPEAT: &str = "cupola-attach/initialize";
/// How often to look whether the last answer has come, where the daemon cannot be told that it is the last.
#[cfg(windows)]
const OWED_POLL: std::time::Duration = std::time::Duration::from_millis(10);

/// Passes messages on until the program has nothing more to say.
pub(crate) fn run(flags: &Flags, hooks: Hooks) -> Result<u8, Failure> {
    let bind = flags.bind()?;
    // A daemon that cannot be reached is reported now, not at the first request.
    drop(flags.scope.daemon.connect(hooks.embedded, &Patience::for_first_word())?);
    let mut input = BufReader::new(io::stdin());
    let Some(framing) = frame::detect(&mut input).map_err(|error| unreadable(&error))? else { return Ok(exit::OK) };
    let bridge = Bridge { flags, hooks, framing, bind, initialize: Arc::default() };
    let mut line = bridge.open()?;
    let mut message = Vec::new();
    while frame::read(framing, &mut input, &mut message).map_err(|error| unreadable(&error))? {
        let asked = Asked::of(&message);
        let is_exit = asked.is_exit;
        if let Err(asked) = line.ask(&message, asked) {
            // A notification needs no answer; a cancelled request has been answered already.
            if asked.wants_answer() {
                match bridge.open() {
                    Ok(opened) => {
                        line = opened;
                        if let Err(asked) = line.ask(&message, asked) {
                            answer(
                                framing,
                                &asked.refusal("the daemon exited again before the request was sent", false),
                            );
                        }
                    }
                    Err(failure) => answer(framing, &asked.refusal(&in_words(&failure), false)),
                }
            }
        }
        if is_exit {
            break;
        }
    }
    line.finish();
    Ok(exit::OK)
}

impl Flags {
    /// What the connection is bound to, if anything was said about that.
    fn bind(&self) -> Result<Option<Bind>, Failure> {
        let environment = environment::Environment::process(self.scope.no_env);
        if self.scope.daemon.gateway.is_some() {
            return self.bind_on_gateway(&environment);
        }
        let profile = self.scope.profile(&environment)?;
        let isolation = self.scope.isolation.resolve(&environment, &profile)?;
        let mut is_said = self.scope.target.is_given()
            || self.scope.profile.is_some()
            || !self.only.is_empty()
            || self.files.is_some()
            || isolation != cupola_protocol::isolation::Isolation::default();
        for name in NAMING_VARIABLES {
            is_said |= environment.text(name)?.is_some_and(|value| value != "0");
        }
        if !is_said {
            return Ok(None);
        }
        let files = self.files.as_deref().map(local_directory).transpose()?;
        let mut names: Vec<&str> = self.only.iter().map(String::as_str).collect();
        if files.is_some() {
            if names.is_empty() {
                names.extend(USUAL.into_iter().chain(TRANSFERS));
            } else if !names.iter().any(|name| TRANSFERS.contains(name)) {
                return Err(Failure::usage_hint(
                    "--files has no effect: --only lists neither files/upload nor files/download",
                    "add --only files/upload or --only files/download, or omit --files",
                ));
            }
        }
        let methods = patterns(&names)?;
        let target = self.scope.target.resolve(None, &environment, &profile)?;
        Ok(Some(Bind { target, isolation, methods: (!methods.is_empty()).then_some(methods), files }))
    }

    /// A gateway has bound the connection to its caller already: what is left is to narrow it.
    fn bind_on_gateway(&self, environment: &environment::Environment) -> Result<Option<Bind>, Failure> {
        let (target, isolation) = self.scope.of_gateway(None, environment)?;
        if self.files.is_some() {
            return Err(Failure::usage("--gateway cannot be combined with --files: a gateway has no files of yours"));
        }
        let methods = patterns(&self.only.iter().map(String::as_str).collect::<Vec<_>>())?;
        let is_said = target.agent().is_some() || !methods.is_empty() || isolation.chat.is_some();
        let methods = (!methods.is_empty()).then_some(methods);
        Ok(is_said.then_some(Bind { target, isolation, methods, files: None }))
    }
}

/// The methods of `--only`.
fn patterns(names: &[&str]) -> Result<Vec<MethodPattern>, Failure> {
    let methods: Result<Vec<MethodPattern>, _> = names.iter().map(|name| name.parse()).collect();
    methods.map_err(|_| {
        Failure::usage("--only must be a method name, or a resource with all its methods such as 'sessions/*'")
    })
}

/// The directory of `--files`, as the daemon finds it.
fn local_directory(path: &Path) -> Result<LocalPath, Failure> {
    let shown = path.display();
    let absolute = std::path::absolute(path).map_err(|error| Failure::usage(format!("--files {shown}: {error}")))?;
    let text = absolute.to_str().ok_or_else(|| Failure::usage(format!("--files {shown} is not valid UTF-8")))?;
    text.parse().map_err(|invalid: cupola_protocol::Invalid| Failure::usage(format!("--files {shown}: {invalid}")))
}

/// The program's `initialize`: stored when its answer is read, and repeated when the connection is opened again.
type Greeting = Arc<Mutex<Option<Vec<u8>>>>;

/// What is needed to open the line again.
struct Bridge<'a> {
    flags: &'a Flags,
    hooks: Hooks,
    framing: Framing,
    bind: Option<Bind>,
    /// The program's own greeting, as it came and was granted.
    initialize: Greeting,
}

impl Bridge<'_> {
    /// A new connection on which everything that must come first has been said. A daemon that is just ending may still be found:
    /// then the next one is greeted.
    fn open(&self) -> Result<Line, Failure> {
        let patience = Patience::for_first_word();
        self.flags.scope.daemon.replace_older(&patience)?;
        self.flags.scope.daemon.tried(&patience, || self.try_open(&patience))
    }

    fn try_open(&self, patience: &Patience) -> Result<Line, Unbegun> {
        let stream = self.flags.scope.daemon.connect(self.hooks.embedded, patience).map_err(Unbegun::Otherwise)?;
        let unbegun = |error: &io::Error| {
            if stream::is_over(error) {
                Unbegun::Otherwise(silent(&stream, patience.waited()))
            } else {
                Unbegun::Stopping(lost(error))
            }
        };
        stream::limit(&stream, Some(patience.first_word())).map_err(|error| unbegun(&error))?;
        let mut reader = BufReader::new(Ahead::new(stream.try_clone().map_err(|error| unbegun(&error))?));
        self.greetings(&stream, &mut reader, &unbegun)?;
        stream::limit(&stream, None).map_err(|error| unbegun(&error))?;
        Ok(Line::new(self.framing, stream, reader, Arc::clone(&self.initialize)))
    }

    /// Binds the connection, and repeats the program's own greeting on it.
    fn greetings(
        &self,
        stream: &Stream,
        reader: &mut BufReader<Ahead>,
        unbegun: &dyn Fn(&io::Error) -> Unbegun,
    ) -> Result<(), Unbegun> {
        // Said even when there is nothing to bind to: who answers has read it, so what follows is read as well.
        let params = InitializeParams {
            client_info: Some(ProgramInfo { name: "cupola attach".to_owned(), version: Some(version().to_owned()) }),
            protocol_versions: Some(vec![PROTOCOL_VERSION]),
            bind: self.bind.clone(),
        };
        let request = Request::call(Id::Text(GREETING.to_owned()), Initialize::NAME, params);
        let request =
            serde_json::to_vec(&request).map_err(|error| Unbegun::Otherwise(Failure::daemon(error.to_string())))?;
        if !self.greet(stream, reader, &request, unbegun)? && self.bind.is_some() {
            // It ignores what it does not know, as it should, and would let the program reach everything.
            return Err(Unbegun::Otherwise(too_old_to_bind()));
        }
        let initialize = self.initialize.lock().unwrap_or_else(PoisonError::into_inner).as_deref().and_then(again);
        if let Some(initialize) = initialize {
            self.greet(stream, reader, &initialize, unbegun)?;
        }
        Ok(())
    }

    /// Sends the greeting again and consumes its answer, which the program must not see. Returns whether the connection is bound now.
    fn greet(
        &self,
        stream: &Stream,
        reader: &mut BufReader<Ahead>,
        request: &[u8],
        unbegun: &dyn Fn(&io::Error) -> Unbegun,
    ) -> Result<bool, Unbegun> {
        #[derive(Deserialize)]
        struct Answer {
            error: Option<ErrorObject>,
            result: Option<Granted>,
        }
        #[derive(Deserialize)]
        struct Granted {
            #[serde(default)]
            bound: bool,
        }
        let mut message = Vec::new();
        frame::write(self.framing, stream, request).map_err(|error| unbegun(&error))?;
        if !frame::read(self.framing, reader, &mut message).map_err(|error| unbegun(&error))? {
            return Err(unbegun(&io::Error::from(io::ErrorKind::UnexpectedEof)));
        }
        match serde_json::from_slice(&message) {
            Ok(Answer { error: Some(error), .. }) => {
                let is_stopping = error.data.as_ref().is_some_and(|data| data.kind == ErrorKind::ShuttingDown);
                let failure = Failure::Call(Box::new(error));
                Err(if is_stopping { Unbegun::Stopping(failure) } else { Unbegun::Otherwise(failure) })
            }
            Ok(Answer { result, .. }) => Ok(result.is_some_and(|granted| granted.bound)),
            Err(error) => Err(Unbegun::Otherwise(misunderstood(Initialize::NAME, &error))),
        }
    }
}

/// The program's greeting with a new id, because its own id was answered long ago.
fn again(initialize: &[u8]) -> Option<Vec<u8>> {
    #[derive(Deserialize)]
    struct Greeting<'a> {
        #[serde(default, borrow)]
        params: Option<&'a RawValue>,
    }
    let greeting: Greeting<'_> = serde_json::from_slice(initialize).ok()?;
    let params = greeting.params.unwrap_or(RawValue::NULL);
    serde_json::to_vec(&Request::call(Id::Text(REPEAT.to_owned()), Initialize::NAME, params)).ok()
}

/// One connection to a daemon, and the thread that reads from it.
struct Line {
    framing: Framing,
    stream: Stream,
    /// What is owed on it; nothing once it is lost, and nothing more is taken then.
    pending: Arc<Mutex<Option<Pending>>>,
    reading: JoinHandle<()>,
}

impl Line {
    fn new(framing: Framing, stream: Stream, mut reader: BufReader<Ahead>, greeting: Greeting) -> Self {
        // The program may take its time to read, and the daemon must not wait for it.
        reader.get_mut().begin();
        let pending = Arc::new(Mutex::new(Some(Pending::default())));
        let owed = Arc::clone(&pending);
        let reading = thread::spawn(move || {
            let mut message = Vec::new();
            while matches!(frame::read(framing, &mut reader, &mut message), Ok(true)) {
                // Before it is passed on: the program may use the id again at once.
                let mut pending = owed.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(granted) = pending.as_mut().and_then(|pending| pending.answered(&message)) {
                    *greeting.lock().unwrap_or_else(PoisonError::into_inner) = Some(granted);
                }
                drop(pending);
                answer(framing, &message);
            }
            let left = owed.lock().unwrap_or_else(PoisonError::into_inner).take();
            for asked in left.map(|mut pending| pending.take()).unwrap_or_default() {
                answer(framing, &asked.refusal("the daemon exited before answering", true));
            }
        });
        Self { framing, stream, pending, reading }
    }

    /// Sends one message. Gives it back when this connection is lost; once it is taken, its requests are answered for sure.
    fn ask(&self, message: &[u8], asked: Asked) -> Result<(), Asked> {
        match self.pending.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            Some(pending) => pending.add(asked),
            None => return Err(asked),
        }
        // If this fails the reading side finds the end as well, and answers.
        let _ = frame::write(self.framing, &self.stream, message);
        Ok(())
    }

    /// Says that nothing more will come, and waits for what is still to be answered.
    #[cfg(unix)]
    fn finish(self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Write);
        let _ = self.reading.join();
    }

    /// A pipe has no half that can be closed alone, and `exit` would cancel what is under way: that is waited for first.
    #[cfg(windows)]
    fn finish(self) {
        let is_owed =
            || self.pending.lock().unwrap_or_else(PoisonError::into_inner).as_ref().is_some_and(Pending::is_owed);
        while is_owed() {
            thread::sleep(OWED_POLL);
        }
        let _ = frame::write(self.framing, &self.stream, br#"{"jsonrpc":"2.0","method":"exit"}"#);
        let _ = self.reading.join();
    }
}

/// Passes one message to the program, escaped for a person at a terminal. Without a reader there is nothing left to do.
fn answer(framing: Framing, message: &[u8]) {
    let text = terminal::stdout_is_terminal().then(|| String::from_utf8_lossy(message));
    let escaped = text.as_deref().map(terminal::json);
    let message = escaped.as_deref().map_or(message, str::as_bytes);
    if frame::write(framing, terminal::stdout_as_is(), message).is_err() {
        process::exit(exit::READER_GONE.into());
    }
}

fn unreadable(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::InvalidData => Failure::usage(format!("standard input: {error}")),
        io::ErrorKind::UnexpectedEof => Failure::usage("standard input ended in the middle of a message"),
        _ => Failure::usage(format!("could not read standard input: {error}")),
    }
}

/// Why there is no line, for an answer.
fn in_words(failure: &Failure) -> String {
    let mut text = Vec::new();
    // Writing to memory does not fail.
    let _ = failure.print(&mut text);
    let text = String::from_utf8_lossy(&text);
    format!("cannot reach a daemon: {}", text.split_whitespace().collect::<Vec<_>>().join(" "))
}
