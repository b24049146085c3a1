//! `cupola doctor`: everything a call needs, looked at in the order of its way.

use crate::environment::Environment;
use crate::environment::version;
use crate::exit;
use crate::failure::Failure;
use crate::hooks::Hooks;
use crate::line::call::{misunderstood, typed};
use crate::scope::ScopeFlags;
use crate::show;
use crate::show::table::Output;
use crate::terminal;
use clap::Args;
use cupola_protocol::Method;
use cupola_protocol::doctor::{Check, CheckStatus, Doctor, DoctorParams};
use cupola_protocol::status::{Status, StatusParams};
use serde_json::value::to_raw_value;
use std::iter;

pub(crate) const HELP: &str = "\
Checks the socket and its permissions, the daemon, its saved state and its credential. Given an agent, also checks that agent \
and how it isolates its users. Sends nothing to the agent. Exits with 1 if calls will fail.

Examples:
  cupola doctor
  cupola doctor --emulator --user-isolation-key tenant-acme
  cupola doctor --project-endpoint https://acct.services.ai.azure.com/api/projects/proj my-agent -o json";

#[derive(Debug, Args)]
pub(crate) struct Flags {
    /// The agent
    #[arg(value_name = "AGENT")]
    agent: Option<String>,
    /// Output format
    #[arg(long, short, value_name = "FORMAT", default_value = "table")]
    pub output: Output,
    #[command(flatten)]
    pub scope: ScopeFlags,
}

/// Asks the daemon to look, and shows what it found.
pub(crate) fn run(flags: &Flags, hooks: Hooks) -> Result<u8, Failure> {
    let environment = Environment::process(flags.scope.no_env);
    // Without an agent this is the project around this directory; the daemon says whether there is one.
    let (target, isolation) = flags.scope.resolve_in(flags.agent.as_deref(), &environment)?;
    // Before anything that may take its time: does the daemon answer at all?
    let (mut connection, status) = flags.scope.daemon.after::<Status>(hooks.embedded, StatusParams::default)?;
    let status = typed::<Status>(&status)?;
    let mut found = connection.call::<Doctor>(DoctorParams { target: Some(target), isolation })?;
    found.checks.insert(0, program(&status.version));
    match flags.output {
        Output::Json => {
            let raw = to_raw_value(&found).map_err(|error| misunderstood(Doctor::NAME, &error))?;
            show::print_json(&raw)?;
        }
        Output::Table => show::print_painted(&lines(&found.checks, terminal::stdout_has_colours()))?,
    }
    let is_broken = found.checks.iter().any(|check| check.status == CheckStatus::Error);
    Ok(if is_broken { exit::FAILED } else { exit::OK })
}

/// This program, and whether the daemon is of the same version.
fn program(daemon: &str) -> Check {
    let name = "program".to_owned();
    let own = version();
    if daemon == own {
        return Check { name, status: CheckStatus::Ok, message: format!("version {own}"), hint: None };
    }
    Check {
        name,
        status: CheckStatus::Warning,
        message: format!("version {own}, but the daemon is version {daemon}"),
        hint: Some("run `cupola stop`; the next command starts a daemon of this version".to_owned()),
    }
}

/// The table. Text of others in it is harmless.
fn lines(checks: &[Check], has_colours: bool) -> String {
    let mut text = String::new();
    for Check { name, status, message, hint } in checks {
        let (status, colour) = match status {
            CheckStatus::Ok => ("ok", Some(terminal::GOOD)),
            CheckStatus::Warning => ("warning", Some(terminal::WARNING)),
            CheckStatus::Error => ("ERROR", Some(terminal::ERROR)),
            CheckStatus::Skipped => ("-", None),
        };
        let begins = text.len()..text.len() + status.len();
        let labelled = iter::once((format!("{status:<8} {:<11} ", terminal::line(name)), message));
        for (label, message) in labelled.chain(hint.iter().map(|hint| (format!("{:<20} ", ""), hint))) {
            text += &terminal::paragraph(&label, message);
            text.push('\n');
        }
        if let Some(colour) = colour.filter(|_| has_colours) {
            text.replace_range(begins, &terminal::painted(colour, status));
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
        let checks =
            [check("daemon", CheckStatus::Ok, None), check("credential", CheckStatus::Error, Some("run `az login`"))];
        let shown = lines(&checks, false);
        assert_eq!(
            shown,
            "ok       daemon      found\nERROR    credential  found\n                     run `az login`\n"
        );
        assert!(lines(&checks, true).contains("\n\x1b[1;31mERROR\x1b[0m    credential  found\n"));
    }

    #[test]
    fn a_daemon_of_another_version_is_pointed_out() {
        assert_eq!(program(version()).status, CheckStatus::Ok);
        let old = program("0.0.1");
        assert_eq!(old.status, CheckStatus::Warning);
        assert!(old.message.contains("the daemon is version 0.0.1"), "{}", old.message);
    }
}
