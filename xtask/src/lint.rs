//! `cargo xtask lint`: what is wrong with the sources can be read off them.
//!
//! - `features`: dependencies have the same features in the tests as in what ships

mod features;

use crate::steps::{Report, Steps};
use crate::{cargo, deny, root, schema, tidy};
use std::process::{Command, ExitCode};

/// The documentation is for people who read the code, so it may lead to private items.
const DOCUMENTATION: &str = "-D warnings -A rustdoc::private_intra_doc_links";

/// Runs all of it.
pub(crate) fn run() -> ExitCode {
    let report = Report::default();
    all(report.lane(""));
    report.finish(false)
}

/// Only whether what is made from the protocol's types is what they say.
pub(crate) fn schema() -> ExitCode {
    let report = Report::default();
    report.lane("").check("schema", schema::check);
    report.finish(false)
}

/// What can be read off the sources first, then what needs the compiler: clippy and the documentation.
pub(crate) fn all(steps: Steps<'_>) {
    steps.command(cargo_in_root(&["fmt", "--all", "--check"]));
    steps.check("schema", schema::check);
    steps.check("dependencies (deny.toml)", deny::check);
    steps.check("features", features::check);
    steps.check("invariants", || {
        let broken = tidy::check(&root())?;
        if broken.is_empty() { Ok(()) } else { Err(format!("\n   {}", broken.join("\n   "))) }
    });
    steps.command(cargo_in_root(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]));
    let mut documentation = cargo_in_root(&["doc", "--workspace", "--no-deps", "--document-private-items"]);
    documentation.env("RUSTDOCFLAGS", DOCUMENTATION);
    steps.command(documentation);
}

/// Runs a command of cargo's; its outcome is the task's.
pub(crate) fn outcome(command: &mut Command) -> ExitCode {
    match command.status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("cargo does not start: {error}");
            ExitCode::from(2)
        }
    }
}

/// A cargo command in the workspace's directory.
pub(crate) fn cargo_in_root(arguments: &[&str]) -> Command {
    let mut command = Command::new(cargo());
    command.args(arguments).current_dir(root());
    command
}
