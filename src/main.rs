//! `cupola`: the command line alone, a small client of the daemon. What it starts is in `bin/cupola-daemon`.

use std::process::ExitCode;

fn main() -> ExitCode {
    cupola_cli::run_alone(std::env::args_os(), env!("CARGO_PKG_VERSION"))
}
