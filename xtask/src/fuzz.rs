//! `cargo xtask fuzz`: the targets of `fuzz/`, each for some seconds.

use crate::lint::{cargo_in_root, outcome};
use crate::root;
use std::process::{Command, ExitCode};

/// How long each target runs in `cargo xtask test`.
const SECONDS: u64 = 5;
/// Where bolero reads how long, in milliseconds.
const TIME: &str = "BOLERO_RANDOM_TEST_TIME_MS";
/// Every target is a module of this name and that of its file.
const PREFIX: &str = "fuzz_";

/// `cargo xtask fuzz [--seconds N] [TARGET]`.
pub(crate) fn run(options: &[&str]) -> ExitCode {
    let (seconds, target) = match options {
        [] => (SECONDS, ""),
        [target] if !target.starts_with('-') => (SECONDS, *target),
        ["--seconds", seconds, rest @ ..] if rest.len() <= 1 => match seconds.parse() {
            Ok(seconds) => (seconds, rest.first().copied().unwrap_or_default()),
            Err(_) => return refuse(&format!("--seconds needs a number, not {seconds:?}")),
        },
        _ => return refuse("usage: cargo xtask fuzz [--seconds N] [TARGET]"),
    };
    if !target.is_empty() && !root().join("fuzz").join(target).with_extension("rs").is_file() {
        return refuse(&format!("there is no fuzz/{target}.rs"));
    }
    let filter = format!("{PREFIX}{target}");
    let mut command = cargo_in_root(&["test", "--package", "cupola", "--lib", "--", &filter, "--nocapture"]);
    outcome(timed(&mut command, seconds))
}

/// Gives each target among a command's tests the time it has in `cargo xtask test`.
pub(crate) fn as_in_tests(mut command: Command) -> Command {
    timed(&mut command, SECONDS);
    command
}

fn timed(command: &mut Command, seconds: u64) -> &mut Command {
    command.env(TIME, seconds.saturating_mul(1000).to_string())
}

fn refuse(reason: &str) -> ExitCode {
    eprintln!("{reason}");
    ExitCode::from(2)
}
