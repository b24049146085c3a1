//! The commands, one file each. A command takes its flags and gives back an exit code or a [`Failure`].
//!
//! - `invoke`, `chat`, `runs`: turns; `invocations`: runs by azd's words; `sessions`, `files`, `monitor`: a session, its files and its log
//! - `agents`, `partitions`, `import`, `auth`, `doctor`: what there is, what is saved, and what a call needs
//! - `status`, `top`, `stop`, `socket`, `serve`, `attach`: the daemon; `gateway`: its methods over HTTPS; `emulator`: the separate emulator; `conformance`:
//!   the checklist of the wire contract
//! - `acp`: hosted agents in editors that speak the Agent Client Protocol; `mcp`: agents as tools for programs with
//!   a language model
//! - `completions`, `man`: files for the shell and for `man`; `complete`: what the shell's files ask for
//! - `short_id`: the beginning of an id in place of the id

pub(crate) mod acp;
pub(crate) mod agents;
pub(crate) mod attach;
pub(crate) mod auth;
pub(crate) mod chat;
pub(crate) mod complete;
pub(crate) mod completions;
pub(crate) mod conformance;
pub(crate) mod doctor;
pub(crate) mod emulator;
pub(crate) mod files;
pub(crate) mod gateway;
pub(crate) mod import;
pub(crate) mod invocations;
pub(crate) mod invoke;
pub(crate) mod man;
pub(crate) mod mcp;
pub(crate) mod monitor;
pub(crate) mod partitions;
pub(crate) mod runs;
pub(crate) mod serve;
pub(crate) mod sessions;
mod short_id;
pub(crate) mod socket;
pub(crate) mod status;
pub(crate) mod stop;
pub(crate) mod top;

use crate::failure::Failure;
use crate::hooks::Hooks;
use crate::line::version;
use crate::scope::ScopeFlags;
use crate::scope::choice;
use crate::terminal::waiting;
use crate::{environment, exit, terminal};
use clap::Subcommand;
use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

/// The commands.
#[expect(clippy::large_enum_variant, reason = "a process has one command, so its size does not matter")]
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Send a message to an agent and print its answer
    #[command(after_help = invoke::HELP, override_usage = invoke::USAGE, mut_arg("local", |local| local.short('l')))]
    Invoke(invoke::Flags),
    /// List, show, follow and cancel runs
    #[command(after_help = runs::HELP)]
    Runs(runs::Flags),
    /// Show, follow and cancel invocations, as azd does; see also `runs`
    #[command(after_help = invocations::HELP)]
    Invocations(invocations::Flags),
    /// Talk to an agent, turn by turn
    #[command(after_help = chat::HELP)]
    Chat(chat::Flags),
    /// Create, list, show, select, stop and delete sessions
    #[command(after_help = sessions::HELP)]
    Sessions(sessions::Flags),
    /// Upload, download, list and delete a session's files
    #[command(after_help = files::HELP)]
    Files(files::Flags),
    /// List a project's agents, and show how an agent isolates its users
    #[command(after_help = agents::HELP)]
    Agents(agents::Flags),
    /// List and forget saved sessions and conversations
    #[command(after_help = partitions::HELP)]
    Partitions(partitions::Flags),
    /// Import sessions saved by another tool
    #[command(after_help = import::HELP)]
    Import(import::Flags),
    /// Print a session's log, or follow it
    #[command(alias = "logs", after_help = monitor::HELP)]
    Monitor(monitor::Flags),
    /// Show the daemon's status
    #[command(after_help = status::HELP)]
    Status(status::Flags),
    /// Watch what the daemon is doing
    #[command(after_help = top::HELP)]
    Top(top::Flags),
    /// Check everything a call needs, and suggest how to fix problems
    #[command(after_help = doctor::HELP)]
    Doctor(doctor::Flags),
    /// Show sign-in and token status, or forget the tokens
    #[command(after_help = auth::HELP)]
    Auth(auth::Flags),
    /// Stop the daemon
    #[command(after_help = stop::HELP)]
    Stop(stop::Flags),
    /// Print the daemon's socket, and start the daemon if it is not running
    #[command(after_help = socket::HELP)]
    Socket(socket::Flags),
    /// Connect standard input and output to the daemon, for programs that start a child process
    #[command(after_help = attach::HELP)]
    Attach(attach::Flags),
    /// Serve hosted agents to an editor over the Agent Client Protocol
    #[command(after_help = acp::HELP)]
    Acp(acp::Flags),
    /// Offer agents as tools to programs that speak the Model Context Protocol
    #[command(after_help = mcp::HELP)]
    Mcp(mcp::Flags),
    /// Run the daemon in this terminal
    #[command(after_help = serve::HELP)]
    Serve(serve::Flags),
    /// Serve agents over HTTPS to callers who prove who they are
    #[command(after_help = gateway::HELP)]
    Gateway(gateway::Flags),
    /// Run an emulator of Foundry's data plane in this terminal
    #[command(after_help = emulator::HELP)]
    Emulator(emulator::Flags),
    /// Check whether a service answers as the wire contract says
    #[command(after_help = conformance::HELP)]
    Conformance(conformance::Flags),
    /// Print a completion script for a shell
    #[command(after_help = completions::HELP)]
    Completions(completions::Flags),
    /// Print what could stand at the end of a command line, for the completion scripts
    #[command(hide = true)]
    Complete(complete::Flags),
    /// Write the manual pages to a directory
    #[command(after_help = man::HELP)]
    Man(man::Flags),
}

/// The syntax of the whole command line, for the commands that need it: it is defined above them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Syntax {
    /// Reads a line that begins with the program's name. The error is also how `--help` comes back.
    pub parse: fn(Vec<OsString>) -> Result<Command, clap::Error>,
    /// The definition of every command.
    pub definition: fn() -> clap::Command,
}

/// Runs one command and reports its failure. What only a person can decide is asked, and the command run again: nothing has
/// been sent to an agent by then.
pub(crate) fn run(command: Command, hooks: Hooks, syntax: Syntax) -> ExitCode {
    let mut command = match command {
        Command::Serve(flags) => return serve::run(flags, hooks),
        Command::Gateway(flags) => return gateway::run(flags, hooks),
        Command::Emulator(flags) => return emulator::run(flags, hooks),
        other => other,
    };
    let json = match &command {
        Command::Invoke(flags) => flags.output.is_json(),
        Command::Partitions(flags) => flags.is_json(),
        Command::Runs(flags) => flags.is_json(),
        Command::Invocations(flags) => flags.is_json(),
        Command::Sessions(flags) => flags.is_json(),
        Command::Files(flags) => flags.is_json(),
        Command::Import(flags) => flags.is_json(),
        Command::Monitor(flags) => flags.output.is_json(),
        Command::Status(flags) => flags.is_json(),
        Command::Top(flags) => flags.is_json(),
        Command::Conformance(flags) => flags.output == crate::show::table::Output::Json,
        Command::Doctor(flags) => flags.output == crate::show::table::Output::Json,
        _ => false,
    };
    let is_turn = matches!(command, Command::Invoke(_));
    explain_waiting(&command);
    if json {
        version::hold_warning();
    }
    let mut done = run_once(&command, hooks, syntax);
    if let Err(failure) = &done
        && let Some(scope) = scope_mut(&mut command)
        && choice::ask_for_agent(failure, scope)
    {
        done = run_once(&command, hooks, syntax);
    }
    if let Err(failure) = &done
        && let Some(session) = named_session(&mut command)
    {
        match session.complete(failure, hooks) {
            Ok(true) => done = run_once(&command, hooks, syntax),
            Ok(false) => {}
            Err(ambiguous) => done = Err(ambiguous),
        }
    }
    if done.is_ok() {
        version::warn();
    }
    ExitCode::from(done.unwrap_or_else(|failure| {
        let mut stderr = terminal::stderr();
        // Nothing is left to do if the failure cannot be shown; the exit code still tells.
        let _ = if json { failure.print_json(is_turn, &mut stderr) } else { failure.print(&mut stderr) };
        failure.exit_code()
    }))
}

/// Shows a person at a terminal what the command waits for. Commands that wait for events, such as `monitor`, show nothing, and neither
/// does `invoke --quiet`.
fn explain_waiting(command: &Command) {
    if !terminal::stderr_is_terminal() || environment::is_dumb() {
        return;
    }
    match command {
        Command::Invoke(flags) if flags.is_quiet() => {}
        Command::Invoke(_) | Command::Chat(_) | Command::Runs(_) | Command::Invocations(_) => {
            waiting::allow(waiting::AGENT);
        }
        Command::Sessions(_) | Command::Files(_) | Command::Agents(_) | Command::Doctor(_) | Command::Auth(_) => {
            waiting::allow(waiting::SERVICE);
        }
        _ => {}
    }
}

fn run_once(command: &Command, hooks: Hooks, syntax: Syntax) -> Result<u8, Failure> {
    match command {
        Command::Invoke(flags) => invoke::run(flags, hooks),
        Command::Partitions(flags) => partitions::run(flags, hooks),
        Command::Runs(flags) => runs::run(flags, hooks),
        Command::Invocations(flags) => invocations::run(flags, hooks),
        Command::Sessions(flags) => sessions::run(flags, hooks),
        Command::Files(flags) => files::run(flags, hooks),
        Command::Agents(flags) => agents::run(flags, hooks),
        Command::Import(flags) => import::run(flags, hooks),
        Command::Monitor(flags) => monitor::run(flags, hooks),
        Command::Status(flags) => status::run(flags),
        Command::Top(flags) => top::run(flags),
        Command::Stop(flags) => stop::run(flags),
        Command::Socket(flags) => socket::run(flags),
        Command::Attach(flags) => attach::run(flags, hooks),
        Command::Acp(flags) => acp::run(flags, hooks),
        Command::Mcp(flags) => mcp::run(flags, hooks),
        Command::Completions(flags) => completions::run(flags, syntax),
        Command::Complete(flags) => complete::run(flags, hooks, syntax),
        Command::Man(flags) => man::run(flags, syntax),
        Command::Doctor(flags) => doctor::run(flags, hooks),
        Command::Auth(flags) => auth::run(flags, hooks),
        Command::Conformance(flags) => conformance::run(flags, hooks),
        Command::Chat(flags) => chat::run(flags, hooks, syntax),
        // They never return to here: they are the process.
        Command::Serve(_) | Command::Gateway(_) | Command::Emulator(_) => Ok(exit::OK),
    }
}

/// The flags of a command that touches an agent.
fn scope_mut(command: &mut Command) -> Option<&mut ScopeFlags> {
    match command {
        Command::Invoke(flags) => Some(&mut flags.scope),
        Command::Invocations(flags) => Some(flags.scope_mut()),
        Command::Sessions(flags) => Some(flags.scope_mut()),
        Command::Files(flags) => Some(flags.scope_mut()),
        Command::Agents(flags) => Some(flags.scope_mut()),
        Command::Monitor(flags) => Some(&mut flags.scope),
        Command::Conformance(flags) => Some(&mut flags.scope),
        _ => None,
    }
}

/// The session that a command names, if it can be run again: standard input cannot be read twice.
fn named_session(command: &mut Command) -> Option<short_id::NamedSession<'_>> {
    match command {
        Command::Invoke(flags) => flags.named_session(),
        Command::Files(flags) => flags.named_session(),
        Command::Monitor(flags) => Some(flags.named_session()),
        _ => None,
    }
}

/// Warns that a list is incomplete. The service has no way to ask for the rest.
fn warn_of_more(what: &str) {
    let _ = writeln!(
        terminal::stderr(),
        "warning: the list is incomplete: the {what} has more than one request can return"
    );
}
