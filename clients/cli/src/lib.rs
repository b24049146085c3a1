//! Cupola's command line: a small blocking client of the daemon, built to start fast.
//!
//! Reading order:
//! - [`arguments`]: the commands, their shared flags and the help
//! - [`commands`]: one file per command
//! - [`scope`]: the flags of every command that touches an agent: [`target`], [`isolation`], [`profile`]
//! - [`azd`]: what azd has saved; [`ownership`]: which files are believed
//! - [`choice`]: asks which agent is meant, on a terminal
//! - [`connect`], [`start`], [`socket`]: finds the daemon, checks that it is the user's own, starts it when none answers
//! - [`call`]: one call on the connection, its events and its answer; [`interrupt`]: Ctrl-C cancels it
//! - [`answer`], [`log`], [`table`]: what people and scripts see; [`show`]: printing
//! - [`terminal`]: the only way to standard output and error
//! - [`failure`], [`exit`]: what they see when it goes wrong, and the exit codes
//!
//! There is no async runtime here (but one that drives the pipe on Windows), and no file is read unless a profile is named: a warm call is one write and a few reads.
//! Only [`environment`] reads the process's environment.

mod answer;
mod arguments;
mod azd;
mod call;
mod choice;
mod commands;
mod connect;
mod debug;
mod environment;
mod exit;
mod failure;
mod interrupt;
mod isolation;
mod log;
pub mod ownership;
pub mod places;
mod profile;
mod raw;
mod scope;
mod show;
pub mod socket;
mod spool;
mod start;
mod stream;
mod table;
mod target;
mod terminal;
#[cfg(windows)]
pub mod user;

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

pub use commands::emulator::{EmulatorOptions, EmulatorTokenOptions, Undocumented};
pub use commands::serve::ServeOptions;
pub use environment::ISOLATION_VARIABLES;
pub use stream::Stream;

/// The parts of the program that the command line only starts: it depends on neither the daemon nor the emulator.
#[derive(Debug, Clone, Copy)]
pub struct Hooks {
    /// Runs the daemon until it ends.
    pub serve: fn(ServeOptions) -> ExitCode,
    /// Runs a daemon inside this process for one call and returns the client's end of its connection.
    pub embedded: fn() -> io::Result<Stream>,
    /// Runs a separate emulator until it ends.
    pub emulator: fn(EmulatorOptions) -> ExitCode,
    /// Prints a token for an emulator.
    pub emulator_token: fn(EmulatorTokenOptions) -> ExitCode,
}

/// Runs one command line. `arguments` starts with the program's name, as [`std::env::args_os`] does.
pub fn run(arguments: impl Iterator<Item = OsString>, hooks: Hooks) -> ExitCode {
    match arguments::parse(arguments) {
        Ok(arguments) => commands::run(arguments.command, hooks),
        Err(message) => {
            // Nothing is left to do if the message cannot be shown.
            let _ = message.print();
            ExitCode::from(if message.use_stderr() { exit::USAGE } else { exit::OK })
        }
    }
}
