//! `cargo xtask soak`: the daemon under faults and kills for as long as is wanted (`tests/it/soak.rs`).

use crate::lint::{cargo_in_root, outcome};
use std::process::ExitCode;

/// Minutes of a run without the option.
const MINUTES: u64 = 60;
/// Where the test reads how long.
const VARIABLE: &str = "CUPOLA_SOAK_SECONDS";
const USAGE: &str = "usage: cargo xtask soak [--minutes N]";

/// `cargo xtask soak [--minutes N]`. Prints the table for docs/soak.md.
pub(crate) fn run(options: &[&str]) -> ExitCode {
    let minutes = match options {
        [] => Some(MINUTES),
        ["--minutes", minutes] => minutes.parse().ok(),
        _ => None,
    };
    let Some(minutes) = minutes else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let mut command = cargo_in_root(&["test", "--package", "cupola", "--test", "it", "--", "soak::", "--nocapture"]);
    command.env(VARIABLE, minutes.saturating_mul(60).to_string());
    outcome(&mut command)
}
