//! Cupola's command line: a small blocking client of the daemon, built to start fast.
//!
//! Reading order:
//! - [`arguments`]: the command line as a whole and its help; [`commands`]: one file per command
//! - [`scope`]: which agent, and whose state: the flags of every command that touches an agent
//! - [`hooks`]: the daemon, the emulator, the checklist and the MCP server, which this crate only starts
//! - [`mod@line`]: finds the daemon, starts it, makes calls; [`socket`]: where it listens; [`owner`]: whose place that is
//! - [`show`]: answers, logs, tables, `--debug`; [`terminal`]: the only way to standard output and error, which makes the text of
//!   others harmless
//! - [`daemon_program`]: the program that has the rest
//! - [`azd`]: what azd has saved; [`spool`]: standard input as a file; [`ownership`]: which files are trusted
//! - `places`: where the user's files are; `user`: who the user is on Windows
//! - [`failure`], [`exit`]: errors, hints and exit codes; [`repeated`]: this command line's flags in the commands that hints name
//!
//! The command line is blocking. Only the named pipe on Windows needs an async runtime. It reads a configuration file
//! only when you name a profile, so a warm call is one write and a few reads. Only [`environment`] reads the process's
//! environment.

mod arguments;
mod azd;
mod commands;
mod daemon_program;
mod environment;
pub mod exit;
mod failure;
mod hooks;
mod line;
pub mod owner;
pub mod ownership;
pub mod places;
mod repeated;
mod scope;
mod show;
pub mod socket;
mod spool;
mod terminal;
#[cfg(windows)]
pub mod user;

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

pub use environment::{ISOLATION_VARIABLES, allows_colours, version};
pub use hooks::{
    BoundLine, CallFailure, ConformanceOptions, EmulatorOptions, EmulatorTokenOptions, GatewayOptions, Hooks, McpAgent,
    McpOptions, RecordedCall, SaveCall, ServeOptions, Stop, Undocumented,
};
pub use line::beside::already_served;
pub use line::stream::Stream;
pub use terminal::harmless;

/// As [`run`], in a program that is the command line alone: what is behind the hooks is left to `cupola-daemon`, which is installed
/// beside it.
pub fn run_alone(arguments: impl Iterator<Item = OsString>, version: &'static str) -> ExitCode {
    let arguments: Vec<_> = arguments.collect();
    if daemon_program::is_asked(&arguments) {
        daemon_program::instead(terminal::stderr());
    }
    run(arguments.into_iter(), Hooks::of_daemon_program(version))
}

/// Runs one command line. `arguments` starts with the program's name, as [`std::env::args_os`] does.
pub fn run(arguments: impl Iterator<Item = OsString>, hooks: Hooks) -> ExitCode {
    environment::set_version(hooks.version);
    terminal::attend(allows_colours());
    match arguments::parse(arguments) {
        Ok(arguments) => {
            for notice in &arguments.notices {
                // That it could not be told changes nothing about the command.
                let _ = writeln!(terminal::stderr(), "notice: {notice}");
            }
            commands::run(arguments.command, hooks, arguments::SYNTAX)
        }
        Err(message) => {
            // Nothing is left to do if the message cannot be shown.
            let _ = message.print();
            ExitCode::from(if message.use_stderr() { exit::USAGE } else { exit::OK })
        }
    }
}
