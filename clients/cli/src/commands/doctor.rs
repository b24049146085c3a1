//! `cupola doctor`: everything a call needs, looked at in the order of its way.

use crate::Hooks;
use crate::call::{Connection, VERSION, typed};
use crate::environment::Environment;
use crate::exit;
use crate::failure::Failure;
use crate::scope::ScopeFlags;
use crate::table::Output;
use clap::Args;
use cupola_protocol::doctor::{Check, CheckStatus, Doctor, DoctorParams};
use std::fmt::Write;

pub(crate) const HELP: &str = "\
Looks at the socket and who may use it, the daemon, its saved state, its credential, and with an agent at that and at how it \
isolates its users. Sends nothing to the agent. Exits with 1 when calls will fail.

Examples:
  cupola doctor
  cupola doctor --emulator --user-isolation-key tenant-acme
  cupola doctor --project-endpoint https://acct.services.ai.azure.com/api/projects/proj my-agent -o json";

#[derive(Debug, Args)]
pub(crate) struct Flags {
    /// The agent
    #[arg(value_name = "AGENT")]
    agent: Option<String>,
    /// How to print what was found
    #[arg(long, short, value_name = "FORMAT", default_value = "table")]
    pub output: Output,
    #[command(flatten)]
    pub scope: ScopeFlags,
}

/// Asks the daemon to look, and shows what it found.
pub(crate) fn run(flags: &Flags, hooks: Hooks) -> Result<u8, Failure> {
    let environment = Environment::process(flags.scope.no_env);
    // Where nobody names an agent this is the project around here, and the daemon says whether there is one.
    let (target, isolation) = flags.scope.resolve_in(flags.agent.as_deref(), &environment)?;
    let mut connection = Connection::new(flags.scope.daemon.connect(hooks)?);
    let raw = connection.call_raw::<Doctor>(DoctorParams { target: Some(target), isolation })?;
    let found = typed::<Doctor>(&raw)?;
    super::print(&match flags.output {
        Output::Json => super::indented(&raw),
        Output::Table => lines(&found.checks),
    })?;
    let is_broken = found.checks.iter().any(|check| check.status == CheckStatus::Error);
    Ok(if is_broken { exit::FAILED } else { exit::OK })
}

fn lines(checks: &[Check]) -> String {
    let mut text = format!("ok       program     version {VERSION}\n");
    for Check { name, status, message, hint } in checks {
        let status = match status {
            CheckStatus::Ok => "ok",
            CheckStatus::Warning => "warning",
            CheckStatus::Error => "ERROR",
            CheckStatus::Skipped => "-",
        };
        // Writing to a string does not fail.
        let _ = writeln!(text, "{status:<8} {name:<11} {message}");
        if let Some(hint) = hint {
            let _ = writeln!(text, "{:<20} {hint}", "");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_finding_has_its_line_and_what_to_do_stands_below() {
        let check = |name: &str, status, hint: Option<&str>| Check {
            name: name.to_owned(),
            status,
            message: "found".to_owned(),
            hint: hint.map(str::to_owned),
        };
        let shown = lines(&[
            check("daemon", CheckStatus::Ok, None),
            check("credential", CheckStatus::Error, Some("run `az login`")),
        ]);
        let shown = shown.split_once('\n').unwrap().1;
        assert_eq!(
            shown,
            "ok       daemon      found\nERROR    credential  found\n                     run `az login`\n"
        );
    }
}
