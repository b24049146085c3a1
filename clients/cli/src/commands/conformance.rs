//! `cupola conformance`: the checklist of the wire contract on any agent. This crate only takes its flags; what it does is behind
//! [`Hooks`].

use crate::environment::Environment;
use crate::exit;
use crate::failure::Failure;
use crate::hooks::{ConformanceOptions, Hooks};
use crate::scope::ScopeFlags;
use crate::show::table::Output;
use clap::Args;

pub(crate) const HELP: &str = "\
Sends the requests of a checklist to an agent and compares each answer with what the wire contract says. Prints a Markdown table \
in which ids, keys, tokens and hosts are replaced, so that you can paste it into a report.

It first says how many turns and sessions a run costs, and asks; `--yes` skips the question. All its sessions have ids that begin with \
cupola-conformance-. It deletes everything it creates, also when a case fails or you press Ctrl-C. It uses keys and identities of its \
own, not yours, and leaves saved sessions alone.

Exits with 0 if every case that applies to the agent was answered as the contract says, and with 1 otherwise.

Examples:
  cupola conformance --emulator notes-identity
  cupola conformance --project-endpoint https://acct.services.ai.azure.com/api/projects/proj my-agent
  cupola conformance --project-endpoint https://acct.services.ai.azure.com/api/projects/proj my-agent --yes -o json";

#[derive(Debug, Args)]
pub(crate) struct Flags {
    /// The agent
    #[arg(value_name = "AGENT")]
    agent: Option<String>,
    /// Do not ask before the run
    #[arg(long, short)]
    yes: bool,
    /// Also try the cases in which the service creates and names a session; they are deleted too
    #[arg(long)]
    service_named_sessions: bool,
    /// Output format
    #[arg(long, short, value_name = "FORMAT", default_value = "table")]
    pub output: Output,
    #[command(flatten)]
    pub scope: ScopeFlags,
}

/// Runs the checklist.
pub(crate) fn run(flags: &Flags, hooks: Hooks) -> Result<u8, Failure> {
    let (target, _) = flags.scope.resolve_in(flags.agent.as_deref(), &Environment::process(flags.scope.no_env))?;
    if !flags.yes && !flags.scope.may_ask() {
        return Err(Failure::usage_hint(
            "a run uses turns and sessions of the agent, and nobody can be asked whether that is all right",
            "add --yes to start the run without a question",
        ));
    }
    let is_clean = (hooks.conformance)(ConformanceOptions {
        target,
        is_agreed: flags.yes,
        allows_unnamed: flags.service_named_sessions,
        json: flags.output == Output::Json,
    });
    Ok(if is_clean.map_err(Failure::Call)? { exit::OK } else { exit::FAILED })
}
