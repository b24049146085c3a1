//! The one binary: `cupola serve` is the daemon, everything else a small client of it.

use cupola::config::Flags;
use cupola::process;
use cupola_cli::{EmulatorOptions, Hooks, ServeOptions, Undocumented};
use std::process::ExitCode;

fn main() -> ExitCode {
    cupola_cli::run(std::env::args_os(), Hooks { serve, embedded: process::embedded, emulator })
}

fn serve(options: ServeOptions) -> ExitCode {
    let ServeOptions { socket, state_directory, idle_exit, log, log_file, background } = options;
    process::serve(Flags { socket, state_directory, idle_exit, log, log_file }, background)
}

fn emulator(options: EmulatorOptions) -> ExitCode {
    let EmulatorOptions { listen, tls, agents, data_directory, idle_seconds, withhold_impersonation, without, json } =
        options;
    let idle_timeout = idle_seconds.map(std::time::Duration::from_secs);
    process::emulator(cupola_emulator::command::CommandOptions {
        listen,
        tls,
        agents,
        data_directory,
        idle_timeout,
        withhold_impersonation,
        without: without.into_iter().map(undocumented).collect(),
        json,
    })
}

const fn undocumented(operation: Undocumented) -> cupola_emulator::Undocumented {
    match operation {
        Undocumented::Mkdir => cupola_emulator::Undocumented::MakeDirectory,
        Undocumented::Stat => cupola_emulator::Undocumented::Stat,
    }
}
