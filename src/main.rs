//! The one binary: `cupola serve` is the daemon, everything else a small client of it.

use cupola::config::Flags;
use cupola::process;
use cupola_cli::{EmulatorOptions, Hooks, ServeOptions};
use std::process::ExitCode;

fn main() -> ExitCode {
    cupola_cli::run(std::env::args_os(), Hooks { serve, embedded: process::embedded, emulator })
}

fn serve(options: ServeOptions) -> ExitCode {
    let ServeOptions { socket, state_directory, idle_exit, log, log_file, background } = options;
    process::serve(Flags { socket, state_directory, idle_exit, log, log_file }, background)
}

fn emulator(_options: EmulatorOptions) -> ExitCode {
    ExitCode::FAILURE
}
