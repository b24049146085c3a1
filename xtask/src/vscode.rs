//! The VS Code extension: its types, its suite against a real daemon, and a real VS Code in a browser.

use crate::lint::cargo_in_root;
use crate::root;
use crate::steps::Steps;
use std::process::Command;

/// Oldest Node that the extension's tools run on.
const OLDEST_NODE: u32 = 20;

/// Runs all of it.
pub(crate) fn suites(steps: &mut Steps) {
    if let Err(reason) = node_is_usable() {
        steps.skip("clients/vscode", &reason);
        return;
    }
    steps.command(script(&["check.mjs"]));
    steps.command(cargo_in_root(&["build", "--bin", "cupola"]));
    steps.tests(script(&["test.mjs", "unit"]));
}

/// A script of the extension, with the `cupola` to test.
fn script(words: &[&str]) -> Command {
    let (name, options) = words.split_first().unwrap_or((&"", &[]));
    let mut command = Command::new("node");
    command.arg(format!("clients/vscode/scripts/{name}")).args(options).current_dir(root());
    command.env("CUPOLA_BINARY", root().join("target/debug/cupola"));
    command
}

/// Is there a Node that is new enough, with its package manager?
fn node_is_usable() -> Result<(), String> {
    let probe = format!("process.exit(Number(process.versions.node.split('.')[0]) < {OLDEST_NODE})");
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
