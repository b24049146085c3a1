//! The commands, one file each. A command takes its flags and gives back an exit code or a [`Failure`].

pub(crate) mod agents;
pub(crate) mod attach;
pub(crate) mod auth;
pub(crate) mod chat;
pub(crate) mod completions;
pub(crate) mod doctor;
pub(crate) mod emulator;
pub(crate) mod files;
pub(crate) mod import;
pub(crate) mod invoke;
pub(crate) mod man;
pub(crate) mod monitor;
pub(crate) mod partitions;
pub(crate) mod runs;
pub(crate) mod serve;
pub(crate) mod sessions;
pub(crate) mod socket;
pub(crate) mod status;
pub(crate) mod stop;

use crate::arguments::Command;
use crate::failure::Failure;
use crate::scope::ScopeFlags;
use crate::{Hooks, choice, exit, terminal};
use std::io::Write as _;
use std::process::ExitCode;

/// Runs one command and reports its failure. What only a person can decide is asked, and the command run again: nothing has
/// been sent to an agent by then.
pub(crate) fn run(command: Command, hooks: Hooks) -> ExitCode {
    let mut command = match command {
        Command::Serve(flags) => return serve::run(flags, hooks),
        Command::Emulator(flags) => return emulator::run(flags, hooks),
        other => other,
    };
    let json = match &command {
        Command::Invoke(flags) => flags.output.is_json(),
        Command::Partitions(flags) => flags.is_json(),
        Command::Runs(flags) => flags.is_json(),
        Command::Sessions(flags) => flags.is_json(),
        Command::Files(flags) => flags.is_json(),
        Command::Import(flags) => flags.is_json(),
        Command::Monitor(flags) => flags.output.is_json(),
        Command::Status(flags) => flags.is_json(),
        Command::Doctor(flags) => flags.output == crate::table::Output::Json,
        _ => false,
    };
    let mut done = run_once(&command, hooks);
    if let Err(failure) = &done
        && let Some(scope) = scope_mut(&mut command)
        && choice::is_made(failure, scope)
    {
        done = run_once(&command, hooks);
    }
    ExitCode::from(done.unwrap_or_else(|failure| {
        let mut stderr = terminal::stderr();
        // Nothing is left to do if the failure cannot be shown; the exit code still tells.
        let _ = if json { failure.print_json(&mut stderr) } else { failure.print(&mut stderr) };
        failure.exit_code()
    }))
}

fn run_once(command: &Command, hooks: Hooks) -> Result<u8, Failure> {
    match command {
        Command::Invoke(flags) => invoke::run(flags, hooks),
        Command::Partitions(flags) => partitions::run(flags, hooks),
        Command::Runs(flags) => runs::run(flags, hooks),
        Command::Sessions(flags) => sessions::run(flags, hooks),
        Command::Files(flags) => files::run(flags, hooks),
        Command::Agents(flags) => agents::run(flags, hooks),
        Command::Import(flags) => import::run(flags, hooks),
        Command::Monitor(flags) => monitor::run(flags, hooks),
        Command::Status(flags) => status::run(flags),
        Command::Stop(flags) => stop::run(flags),
        Command::Socket(flags) => socket::run(flags, hooks),
        Command::Attach(flags) => attach::run(flags, hooks),
        Command::Completions(flags) => completions::run(flags),
        Command::Man(flags) => man::run(flags),
        Command::Doctor(flags) => doctor::run(flags, hooks),
        Command::Auth(flags) => auth::run(flags, hooks),
        Command::Chat(flags) => chat::run(flags, hooks),
        // They never return to here: they are the process.
        Command::Serve(_) | Command::Emulator(_) => Ok(exit::OK),
    }
}

/// The flags of a command that touches an agent.
fn scope_mut(command: &mut Command) -> Option<&mut ScopeFlags> {
    match command {
        Command::Invoke(flags) => Some(&mut flags.scope),
        Command::Sessions(flags) => Some(flags.scope_mut()),
        Command::Files(flags) => Some(flags.scope_mut()),
        Command::Agents(flags) => Some(flags.scope_mut()),
        Command::Monitor(flags) => Some(&mut flags.scope),
        _ => None,
    }
}

/// Says that a list is not all there is; there is no way to ask for the rest.
fn warn_of_more(what: &str) {
    let _ = writeln!(
        terminal::stderr(),
        "warning: the list is not complete; the {what} has more than can be listed at once"
    );
}
