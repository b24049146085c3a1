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
use clap::{ArgMatches, Args, FromArgMatches, Subcommand};
use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

/// Makes [`Command`]: as `derive(Subcommand)` does, but the flags of a command are defined only when it is the one that is called. All
/// of them together take longer than the rest of a warm call. A command has the name of its module.
macro_rules! commands {
    ($( #[doc = $about:literal] $command:ident($module:ident): $($method:ident($value:expr)).+; )+) => {
        /// The commands.
        #[expect(clippy::large_enum_variant, reason = "a process has one command, so its size does not matter")]
        #[derive(Debug)]
        pub(crate) enum Command {
            $( #[doc = $about] $command($module::Flags), )+
        }

        impl Subcommand for Command {
            fn augment_subcommands(program: clap::Command) -> clap::Command {
                program$(.subcommand(
                    clap::Command::new(stringify!($module))
                        .about($about.trim_ascii())
                        $(.$method($value))+
                        .defer($module::Flags::augment_args),
                ))+
            }

            fn augment_subcommands_for_update(program: clap::Command) -> clap::Command {
                Self::augment_subcommands(program)
            }

            fn has_subcommand(name: &str) -> bool {
                [$(stringify!($module)),+].contains(&name)
            }
        }

        impl FromArgMatches for Command {
            fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
                Self::from_arg_matches_mut(&mut matches.clone())
            }

            fn from_arg_matches_mut(matches: &mut ArgMatches) -> Result<Self, clap::Error> {
                match matches.remove_subcommand() {
                    $( Some((name, mut flags)) if name == stringify!($module) => {
                        $module::Flags::from_arg_matches_mut(&mut flags).map(Self::$command)
                    } )+
                    // The definition requires one of them.
                    _ => Err(clap::Error::new(clap::error::ErrorKind::MissingSubcommand)),
                }
            }

            fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
                Self::from_arg_matches(matches).map(|command| *self = command)
            }
        }
    };
}

commands! {
    /// Send a message to an agent and print its answer
    Invoke(invoke): after_help(invoke::HELP).override_usage(invoke::USAGE);
    /// List, show, follow and cancel runs
    Runs(runs): after_help(runs::HELP);
    /// Show, follow and cancel invocations, as azd does; see also `runs`
    Invocations(invocations): after_help(invocations::HELP);
    /// Talk to an agent, turn by turn
    Chat(chat): after_help(chat::HELP);
    /// Create, list, show, select, stop and delete sessions
    Sessions(sessions): after_help(sessions::HELP);
    /// Upload, download, list and delete a session's files
    Files(files): after_help(files::HELP);
    /// List a project's agents, and show how an agent isolates its users
    Agents(agents): after_help(agents::HELP);
    /// List and forget saved sessions and conversations
    Partitions(partitions): after_help(partitions::HELP);
    /// Import sessions saved by another tool
    Import(import): after_help(import::HELP);
    /// Print a session's log, or follow it
    Monitor(monitor): alias("logs").after_help(monitor::HELP);
    /// Show the daemon's status
    Status(status): after_help(status::HELP);
    /// Watch what the daemon is doing
    Top(top): after_help(top::HELP);
    /// Check everything a call needs, and suggest how to fix problems
    Doctor(doctor): after_help(doctor::HELP);
    /// Show sign-in and token status, or forget the tokens
    Auth(auth): after_help(auth::HELP);
    /// Stop the daemon
    Stop(stop): after_help(stop::HELP);
    /// Print the daemon's socket, and start the daemon if it is not running
    Socket(socket): after_help(socket::HELP);
    /// Connect standard input and output to the daemon, for programs that start a child process
    Attach(attach): after_help(attach::HELP);
    /// Serve hosted agents to an editor over the Agent Client Protocol
    Acp(acp): after_help(acp::HELP);
    /// Offer agents as tools to programs that speak the Model Context Protocol
    Mcp(mcp): after_help(mcp::HELP);
    /// Run the daemon in this terminal
    Serve(serve): after_help(serve::HELP);
    /// Serve agents over HTTPS to callers who prove who they are
    Gateway(gateway): after_help(gateway::HELP);
    /// Run an emulator of Foundry's data plane in this terminal
    Emulator(emulator): after_help(emulator::HELP);
    /// Check whether a service answers as the wire contract says
    Conformance(conformance): after_help(conformance::HELP);
    /// Print a completion script for a shell
    Completions(completions): after_help(completions::HELP);
    /// Print what could stand at the end of a command line, for the completion scripts
    Complete(complete): hide(true);
    /// Write the manual pages to a directory
    Man(man): after_help(man::HELP);
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
