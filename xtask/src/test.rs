//! `cargo xtask test`: everything a contributor needs to know that a change is good.

use crate::editors;
use crate::fuzz;
use crate::lint;
use crate::lint::cargo_in_root;
use crate::root;
use crate::steps::Steps;
use crate::vscode;
use std::process::{Command, ExitCode};

/// Oldest Python that Microsoft's packages, and Cupola's own, run on.
const OLDEST_PYTHON: (u32, u32) = (3, 10);

/// What the clients are tested with, below the root.
const BINARY: &str = "target/debug/cupola";

/// What a step that cannot run here means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Skipping {
    /// A remark: not everybody has every tool.
    Allowed,
    /// A failure: the machine is supposed to have them all.
    Fails,
}

/// Runs all of it.
pub(crate) fn run(skipping: Skipping) -> ExitCode {
    let mut steps = Steps::default();
    lint::all(&mut steps);
    // The fuzz targets are among them.
    steps.tests(fuzz::as_in_tests(cargo_in_root(&["test", "--workspace", "--no-fail-fast"])));
    steps.command(cargo_in_root(&["build", "--bin", "cupola"]));
    real_counterparts(&mut steps);
    vscode::suites(&mut steps, BINARY);
    python_client(&mut steps);
    editors::suites(&mut steps, BINARY);
    if skipping == Skipping::Fails && steps.skipped() > 0 {
        steps.fail("a step was skipped, and with CI set nothing may be");
    }
    steps.finish()
}

/// Microsoft's own agent servers and SDK against the emulator, from `tests/real`.
fn real_counterparts(steps: &mut Steps) {
    let name = "tests/real/run.py";
    if let Err(reason) = python_is_usable() {
        steps.skip(name, &reason);
        return;
    }
    let mut command = Command::new("python3");
    command.args([name, "--binary", BINARY]).current_dir(root());
    steps.tests(command);
}

/// The Python client against a daemon of its own.
fn python_client(steps: &mut Steps) {
    let name = "clients/python/tests/run.py";
    if let Err(reason) = python_is_usable() {
        steps.skip(name, &reason);
        return;
    }
    let mut command = Command::new("python3");
    command.arg(name).current_dir(root()).env("CUPOLA_BINARY", root().join(BINARY));
    steps.tests(command);
}

/// Is there a Python that can make an environment with packages?
fn python_is_usable() -> Result<(), String> {
    let (major, minor) = OLDEST_PYTHON;
    let probe = format!("import sys, venv, ensurepip; sys.exit(sys.version_info < ({major}, {minor}))");
    match Command::new("python3").args(["-c", &probe]).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) if output.status.code() == Some(1) && output.stderr.is_empty() => {
            Err(format!("python3 is older than {major}.{minor}"))
        }
        Ok(_) => Err("python3 has no venv module (Debian: apt install python3-venv)".to_owned()),
        Err(error) => Err(format!("python3 does not start: {error}")),
    }
}
