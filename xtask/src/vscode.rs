//! The VS Code extension: its types, its suite against a real daemon, and a real VS Code in a browser.

use crate::node::node_is_usable;
use crate::root;
use crate::steps::Steps;
use std::process::Command;

/// What can be had and checked without a `cupola`: packages, types, formatting, and VS Code itself.
pub(crate) fn prepare(steps: Steps<'_>) {
    if node_is_usable().is_ok() {
        steps.command(script("check.mjs", &[]));
        if browser_is_usable().is_ok() {
            steps.command(script("code-server.mjs", &[]));
        }
    }
}

/// Runs the suites with this `cupola`.
pub(crate) fn suites(steps: Steps<'_>, binary: &str) {
    if let Err(reason) = node_is_usable() {
        steps.skip("clients/vscode", &reason);
        return;
    }
    let suite = |name| {
        let mut command = script("test.mjs", &[name]);
        command.env("CUPOLA_BINARY", root().join(binary));
        command
    };
    steps.tests(suite("unit"));
    match browser_is_usable() {
        Ok(()) => steps.tests(suite("browser")),
        Err(reason) => steps.skip("clients/vscode in a browser", &reason),
    }
}

/// A script of the extension.
fn script(name: &str, options: &[&str]) -> Command {
    let mut command = Command::new("node");
    command.arg(format!("clients/vscode/scripts/{name}")).args(options).current_dir(root());
    command
}

/// Is there what a real VS Code in a browser needs? The script knows what that is.
fn browser_is_usable() -> Result<(), String> {
    match script("code-server.mjs", &["--check"]).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
        Err(error) => Err(format!("node does not start: {error}")),
    }
}
