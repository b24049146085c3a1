//! `cargo xtask test`: everything a contributor needs to know that a change is good.

use crate::dist;
use crate::editors;
use crate::fuzz;
use crate::lint;
use crate::lint::cargo_in_root;
use crate::node;
use crate::root;
use crate::steps::{Report, Steps};
use crate::vscode;
use std::process::{Command, ExitCode};
use std::sync::mpsc;
use std::thread;

/// Oldest Python that Microsoft's packages, and Cupola's own, run on.
const OLDEST_PYTHON: (u32, u32) = (3, 10);

/// What the clients are tested with, below the root.
const BINARY: &str = "target/debug/cupola";

/// The suites of real counterparts and of the Python client.
const REAL: &str = "tests/real/run.py";
const PYTHON: &str = "clients/python/tests/run.py";

/// The check of the Kubernetes manifests.
const MANIFESTS: &str = "tests/deploy/check.py";

/// The check of the OpenRPC document.
const OPENRPC: &str = "tests/openrpc/check.mjs";

/// What a step that cannot run here means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Skipping {
    /// A remark: not everybody has every tool.
    Allowed,
    /// A failure: the machine is supposed to have them all.
    Fails,
}

/// Runs all of it. What shares nothing runs side by side: one lane compiles and tests the Rust sources, the
/// others install what their suites need, wait for the binary, and run.
pub(crate) fn run(skipping: Skipping) -> ExitCode {
    let report = Report::default();
    let (tell_python, for_python) = mpsc::channel();
    let (tell_editors, for_editors) = mpsc::channel();
    let (tell_lint, for_lint) = mpsc::channel();
    thread::scope(|scope| {
        let steps = report.lane("rust");
        scope.spawn(move || {
            // This is the only build: the tests and the binary that ships have the same features. It comes first, because the
            // others wait for it.
            steps.command(cargo_in_root(&["test", "--workspace", "--exclude", "xtask", "--no-run"]));
            drop((tell_python, tell_editors, tell_lint));
            // The fuzz targets are among them.
            let mut tests = cargo_in_root(&["test", "--workspace", "--exclude", "xtask", "--no-fail-fast"]);
            tests.env("RUST_TEST_THREADS", test_threads().to_string());
            steps.tests(fuzz::as_in_tests(tests));
        });
        let steps = report.lane("lint");
        scope.spawn(move || {
            wait_for(&for_lint);
            // Its first steps need no compiler, so the tests have found their binaries before clippy locks the build directory.
            lint::all(steps);
            steps.tests(cargo_in_root(&["test", "--package", "xtask"]));
        });
        let steps = report.lane("python");
        scope.spawn(move || {
            let usable = python_is_usable();
            if usable.is_ok() {
                steps.command(real_counterparts(&["--prepare"]));
                steps.tests(manifests());
            }
            wait_for(&for_python);
            if let Err(reason) = &usable {
                steps.skip(MANIFESTS, reason);
            }
            for (name, suite) in [(REAL, real_counterparts(&[])), (PYTHON, python_client())] {
                match &usable {
                    Ok(()) => steps.tests(suite),
                    Err(reason) => steps.skip(name, reason),
                }
            }
        });
        let steps = report.lane("editors");
        scope.spawn(move || {
            node::prepare(steps);
            vscode::prepare(steps);
            openrpc_document(steps);
            wait_for(&for_editors);
            node::suite(steps, BINARY);
            vscode::suites(steps, BINARY);
            editors::suites(steps, BINARY);
            // After the other suites of Node, because it builds the same packages again.
            dist::suite(steps, BINARY);
        });
    });
    report.finish(skipping == Skipping::Fails)
}

/// How many tests of one binary run at once. Most of them wait for processes, time limits and retries, and need little of a core.
fn test_threads() -> usize {
    /// More would end sooner still, but then tests of time limits fail because their machine is busy.
    const FOR_EACH_CORE: usize = 2;
    thread::available_parallelism().map_or(1, usize::from) * FOR_EACH_CORE
}

/// Nothing is ever sent: the other end goes when the binary has been built.
fn wait_for(built: &mpsc::Receiver<()>) {
    let _ended = built.recv();
}

/// Published packages, among them Microsoft's agent servers and SDK, against the emulator.
fn real_counterparts(options: &[&str]) -> Command {
    let mut command = Command::new("python3");
    command.args([REAL, "--binary", BINARY]).args(options).current_dir(root());
    command
}

/// The OpenRPC document against the published meta-schemas.
fn openrpc_document(steps: Steps<'_>) {
    match node::node_is_usable() {
        Ok(()) => {
            let mut command = Command::new("node");
            command.arg(OPENRPC).current_dir(root());
            steps.tests(command);
        }
        Err(reason) => steps.skip(OPENRPC, &reason),
    }
}

/// The Kubernetes manifests against Kubernetes's own schemas.
fn manifests() -> Command {
    let mut command = Command::new("python3");
    command.arg(MANIFESTS).current_dir(root());
    command
}

/// The Python client against a separate daemon.
fn python_client() -> Command {
    let mut command = Command::new("python3");
    command.arg(PYTHON).current_dir(root()).env("CUPOLA_BINARY", root().join(BINARY));
    command
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
