//! `cargo xtask bench`: builds the release program and the benchmark (`tests/bench`), and runs it.

use crate::lint::{cargo_in_root, outcome};
use crate::root;
use std::process::{Command, ExitCode};

/// What is measured, and what measures it. They are built apart, so that the program is the one that ships: built together they would
/// share the features of their dependencies.
const BUILDS: [[&str; 4]; 2] =
    [["build", "--release", "--package", "cupola"], ["build", "--release", "--package", "cupola-bench"]];

/// Runs it with these options.
pub(crate) fn run(options: &[&str]) -> ExitCode {
    for build in BUILDS {
        if !cargo_in_root(&build).status().is_ok_and(|status| status.success()) {
            eprintln!("error: the release build failed");
            return ExitCode::FAILURE;
        }
    }
    let [program, benchmark] = ["cupola", "cupola-bench"].map(|name| root().join("target/release").join(name));
    outcome(Command::new(benchmark).arg(program).args(options).current_dir(root()))
}
