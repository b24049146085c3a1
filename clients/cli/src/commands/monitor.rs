//! `cupola monitor`: a session's log in the lines of `azd ai agent monitor`, its last ones or followed as it grows.
//!
//! - [`resume`]: which lines of a followed log were printed before the daemon went away

mod resume;

use super::short_id::NamedSession;
use crate::environment;
use crate::exit;
use crate::failure::Failure;
use crate::hooks::Hooks;
use crate::line::call::{CALL, Connection, encode, misunderstood};
use crate::line::interrupt;
use crate::line::patience::Patience;
use crate::scope::ScopeFlags;
use crate::scope::target::parse;
use crate::show;
use crate::show::debug;
use crate::show::log::{Printer, Style};
use crate::terminal;
use clap::{Args, ValueEnum};
use cupola_protocol::Method;
use cupola_protocol::error::ErrorKind;
use cupola_protocol::monitor::{LogKind, Monitor, MonitorParams, Tail};
use cupola_protocol::observe::ProgressOptions;
use resume::Printed;
use serde_json::value::RawValue;
use std::io::{BufWriter, Write};
use std::thread;
use std::time::Duration;
use time::UtcOffset;

pub(crate) const HELP: &str = "\
Without --follow, the command prints the last lines and exits. With --follow, it prints new lines until Ctrl-C or the end of the \
session; a broken connection is reopened, and no line is printed twice. If the daemon dies, it is started again; if it was stopped, \
the log continues when it runs again.

Examples:
  cupola monitor --emulator --user-isolation-key tenant-acme
  cupola monitor --follow --user-isolation-key tenant-acme --chat-isolation-key thread-42
  cupola monitor my-agent --session-id sess_abc123 --tail 100 --type system --utc
  cupola monitor --emulator -f -o jsonl | jq -r 'select(.stream == \"stderr\").message'";

#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
#[derive(Debug, Args)]
pub(crate) struct Flags {
    /// The agent; the one named by other flags if omitted
    #[arg(value_name = "AGENT")]
    agent: Option<String>,
    /// Keep printing new lines
    #[arg(long, short)]
    follow: bool,
    /// Number of lines to start with, 1 to 300
    #[arg(long, short = 'l', value_name = "LINES", default_value_t = Tail::default().get(), value_parser = clap::value_parser!(u16).range(1..=i64::from(Tail::MAX.get())))]
    tail: u16,
    /// Which log to show: the agent's console or system events
    #[arg(long = "type", short = 't', value_name = "TYPE", default_value = "console")]
    kind: Kind,
    /// Show times in UTC instead of local time
    #[arg(long)]
    utc: bool,
    /// Print the service's events unchanged
    #[arg(long, conflicts_with = "output")]
    raw: bool,
    /// How to print it
    #[arg(long, short, value_name = "FORMAT", default_value = "default")]
    pub(crate) output: Output,
    /// The session; the one the next call would continue if omitted
    #[arg(long, short, value_name = "ID")]
    session_id: Option<String>,
    /// Allow reading a session that Cupola knows belongs to another user
    #[arg(long)]
    allow_shared_session: bool,
    #[command(flatten)]
    pub(crate) scope: ScopeFlags,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Output of the agent's container
    Console,
    /// Events of the container, such as a start or a stop
    System,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// Lines for people
    Default,
    /// All events as one JSON object; cannot be used with --follow
    Json,
    /// Every event as a line of JSON, the result as the last line
    Jsonl,
    /// As --raw
    Raw,
}

impl Output {
    /// Do programs read the output?
    pub(crate) fn is_json(self) -> bool {
        matches!(self, Self::Json | Self::Jsonl)
    }
}

impl Flags {
    /// The session that it names.
    pub(super) fn named_session(&mut self) -> NamedSession<'_> {
        NamedSession { scope: &self.scope, agent: self.agent.clone(), id: &mut self.session_id }
    }
}

/// Prints the log. Ctrl-C ends this process as it ends any other, or the log in a chat: the daemon sees the client leave, or
/// is told, and ends the stream.
pub(crate) fn run(flags: &Flags, hooks: Hooks) -> Result<u8, Failure> {
    let mut params = flags.params()?;
    // Found out while there is one thread: the local time zone cannot be read safely later.
    let style = flags.style();
    let mut printed = Printed::default();
    let mut lost_in_a_row = 0;
    loop {
        let call = encode::<Monitor>(params.clone())?;
        let mut connection = flags.scope.daemon.ask(hooks.embedded, call, |stream| interrupt::spares(stream, CALL))?;
        let failure = match print(flags, &mut connection, style, &mut printed) {
            Err(failure) if flags.follow && flags.scope.daemon.is_resident() => failure,
            ended => return ended.map(|()| exit::OK),
        };
        let has_spoken = connection.has_spoken();
        lost_in_a_row = if has_spoken { 0 } else { lost_in_a_row + 1 };
        if connection.is_lost() && lost_in_a_row < MOST_LOST_IN_A_ROW {
            tell("the daemon exited; the log continues with the next one");
            // A daemon that dies at once is not started again at once.
            thread::sleep(if has_spoken { Duration::ZERO } else { POLL });
        } else if matches!(&failure, Failure::Call(error) if error.code == ErrorKind::ShuttingDown.code()) {
            tell("the daemon was stopped; the log continues when it runs again");
            wait_for_a_daemon(flags)?;
        } else {
            return Err(failure);
        }
        if interrupt::happened() {
            return Ok(exit::CANCELLED);
        }
        if let Some(session) = printed.session() {
            params.session_id = Some(parse("session", session)?);
        }
        params.tail = Tail::MAX;
        printed.resume();
    }
}

/// Connections that end without a word before it is given up.
const MOST_LOST_IN_A_ROW: u32 = 5;
/// How often to look for a daemon.
const POLL: Duration = Duration::from_millis(500);

/// Returns when a daemon runs, or at Ctrl-C. Starts none: the user stopped it on purpose.
fn wait_for_a_daemon(flags: &Flags) -> Result<(), Failure> {
    let place = flags.scope.daemon.place()?;
    // The one that was stopped may still be there, with other calls to finish.
    loop {
        thread::sleep(POLL);
        if interrupt::happened() || place.running(&Patience::for_first_word())?.is_some() {
            return Ok(());
        }
    }
}

/// A notice about the log. A failure to print it does not end the command.
fn tell(message: &str) {
    let _ = writeln!(terminal::stderr(), "{}", terminal::paragraph("notice: ", message));
}

/// Prints what comes on one connection.
fn print(flags: &Flags, connection: &mut Connection, style: Style, shown: &mut Printed) -> Result<(), Failure> {
    // On a terminal each piece is escaped separately, because Cupola adds colours of its own to the log.
    let mut out = BufWriter::new(terminal::stdout_as_is());
    match flags.output {
        Output::Default | Output::Raw => {
            let mut printer = Printer { out, err: terminal::stderr(), style };
            connection.receive(|event| {
                debug::show(event.value, || &mut printer.err);
                if shown.is_new(event.value) { printer.event(event.value, event.more) } else { Ok(()) }
            })?;
        }
        Output::Json => {
            let mut events = Vec::new();
            let raw = connection.receive(|event| {
                if !debug::show(event.value, terminal::stderr) {
                    events.push(event.value.to_owned());
                }
                Ok(())
            })?;
            drop(out);
            show::print_json(&whole(raw, events)?)?;
        }
        Output::Jsonl => {
            let mut print = |line: &RawValue, more: bool| {
                writeln!(out, "{}", terminal::json(line.get())).map_err(Failure::writing)?;
                if more { Ok(()) } else { out.flush().map_err(Failure::writing) }
            };
            let raw = connection.receive(|event| {
                debug::show(event.value, terminal::stderr);
                if shown.is_new(event.value) { print(event.value, event.more) } else { Ok(()) }
            })?;
            print(&raw, false)?;
        }
    }
    Ok(())
}

/// The response, with the events that came ahead of it in their place.
fn whole(raw: Box<RawValue>, events: Vec<Box<RawValue>>) -> Result<Box<RawValue>, Failure> {
    if events.is_empty() {
        return Ok(raw);
    }
    let wrong = |error| misunderstood(Monitor::NAME, &error);
    let mut response: serde_json::Map<String, serde_json::Value> = serde_json::from_str(raw.get()).map_err(wrong)?;
    response.insert("events".to_owned(), serde_json::to_value(events).map_err(wrong)?);
    serde_json::value::to_raw_value(&response).map_err(wrong)
}

impl Flags {
    fn params(&self) -> Result<MonitorParams, Failure> {
        if self.follow && self.output == Output::Json {
            return Err(Failure::usage_hint(
                "--follow cannot be used with -o json, which prints only at the end",
                "use -o jsonl, which prints one line of JSON per event",
            ));
        }
        let (target, isolation) = self.scope.resolve(self.agent.as_deref())?;
        Ok(MonitorParams {
            target,
            isolation,
            session_id: self.session_id.as_deref().map(|id| parse("--session-id", id)).transpose()?,
            allow_shared_session: self.allow_shared_session,
            follow: self.follow,
            tail: u64::from(self.tail).try_into().map_err(|_| Failure::usage("--tail must be 1 to 300"))?,
            kind: match self.kind {
                Kind::Console => LogKind::Console,
                Kind::System => LogKind::System,
            },
            raw: self.raw || self.output == Output::Raw,
            progress: ProgressOptions {
                debug: self.scope.debug,
                partial_result_token: (self.output != Output::Json || self.scope.debug).then_some(CALL),
            },
        })
    }

    fn style(&self) -> Style {
        let is_terminal = terminal::stdout_is_terminal();
        let zone = if self.utc { UtcOffset::UTC } else { UtcOffset::current_local_offset().unwrap_or(UtcOffset::UTC) };
        Style { is_terminal, has_colours: is_terminal && environment::allows_colours(), zone }
    }
}
