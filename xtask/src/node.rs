//! The Node client: its types and its suite against a real daemon. The VS Code extension is built on it.

use crate::root;
use crate::steps::Steps;
use std::process::Command;

/// Oldest Node that the package, and the extension's tools, run on.
const OLDEST_NODE: u32 = 20;

/// What can be checked without a `cupola`: packages, types, formatting.
pub(crate) fn prepare(steps: Steps<'_>) {
    if node_is_usable().is_ok() {
        steps.command(script("check.mjs"));
    }
}

/// Runs the suite with this `cupola`.
pub(crate) fn suite(steps: Steps<'_>, binary: &str) {
    match node_is_usable() {
        Ok(()) => {
            let mut suite = script("test.mjs");
            suite.env("CUPOLA_BINARY", root().join(binary));
            steps.tests(suite);
        }
        Err(reason) => steps.skip("clients/node", &reason),
    }
}

/// A script of the package.
fn script(name: &str) -> Command {
    let mut command = Command::new("node");
    command.arg(format!("clients/node/scripts/{name}")).current_dir(root());
    command
}

/// An error says why Node, in a version that is new enough, or its package manager cannot be used.
pub(crate) fn node_is_usable() -> Result<(), String> {
    let probe = format!("process.exit(Number(process.versions.node.split('.')[0]) < {OLDEST_NODE} ? 1 : 0)");
    match Command::new("node").args(["-e", &probe]).status() {
        Ok(status) if status.success() => {}
        Ok(_) => return Err(format!("node is older than {OLDEST_NODE}")),
        Err(error) => return Err(format!("node does not start: {error}")),
    }
    match Command::new("npm").arg("--version").output() {
        Ok(output) if output.status.success() => Ok(()),
        _ => Err("npm does not start (Debian: apt install npm)".to_owned()),
    }
}
