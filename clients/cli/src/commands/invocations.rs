//! `cupola invocations show|follow|cancel`: what `azd ai agent invocations` does, for scripts. An invocation is a run of this agent and
//! this isolation; the daemon knows it by the id of the response or the invocation at the service, too.

use super::invoke;
use super::runs::{OneRun, name, unknown};
use crate::exit;
use crate::failure::Failure;
use crate::hooks::Hooks;
use crate::line::call::{misunderstood, typed};
use crate::scope::ScopeFlags;
use crate::show;
use crate::show::table::{Output, fields};
use clap::{Args, Subcommand};
use cupola_protocol::Method;
use cupola_protocol::runs::{Cancel, List, ListParams, RunInfo, RunState, Show};
use serde_json::json;
use serde_json::value::to_raw_value;

pub(crate) const HELP: &str = "\
Without --id, the newest invocation of this agent and isolation is meant. --id takes the id of a response or an invocation at the \
service, or a run's id. `cupola runs` shows the same invocations, of all agents.

Examples:
  cupola invoke my-agent --long-running --no-wait \"write the report\"
  cupola invocations show --agent-name my-agent
  cupola invocations follow --agent-name my-agent --id caresp_0123
  cupola invocations cancel --agent-name my-agent";

#[derive(Debug, Args)]
pub(crate) struct Flags {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show an invocation's id, status and session
    Show {
        #[command(flatten)]
        one: One,
        /// How to print it; if omitted, a table on a terminal and JSON elsewhere
        #[arg(long, short, value_name = "FORMAT")]
        output: Option<Output>,
    },
    /// Print the answer from its beginning and as it arrives. Ctrl-C detaches and does not cancel the run
    Follow {
        #[command(flatten)]
        one: One,
    },
    /// Cancel an invocation, here and at the service
    Cancel {
        #[command(flatten)]
        one: One,
    },
}

#[derive(Debug, Args)]
struct One {
    /// The response, invocation or run; the newest one if omitted
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// Accepted for scripts written for azd: an id is unique, whatever the protocol
    #[arg(long, short, value_name = "PROTOCOL")]
    protocol: Option<invoke::Protocol>,
    #[command(flatten)]
    scope: ScopeFlags,
}

impl Flags {
    /// Do programs read the output? Only when it was asked for: then failures are JSON, too.
    pub(crate) fn is_json(&self) -> bool {
        matches!(self.action, Action::Show { output: Some(Output::Json), .. })
    }

    /// Which agent and whose state.
    pub(crate) fn scope_mut(&mut self) -> &mut ScopeFlags {
        match &mut self.action {
            Action::Show { one, .. } | Action::Follow { one } | Action::Cancel { one } => &mut one.scope,
        }
    }
}

/// Runs one of the actions.
pub(crate) fn run(flags: &Flags, hooks: Hooks) -> Result<u8, Failure> {
    match &flags.action {
        Action::Show { one, output } => {
            let raw = one.run(hooks)?.call::<Show>(hooks)?;
            print(&typed::<Show>(&raw)?, output.unwrap_or_else(Output::usual))?;
        }
        Action::Follow { one } => return one.run(hooks)?.attach(hooks, None, invoke::Output::Default, false),
        Action::Cancel { one } => {
            let cancelled = typed::<Cancel>(&one.run(hooks)?.call::<Cancel>(hooks)?)?;
            let (kind, id) = named(&cancelled);
            let sentence = match cancelled.status {
                RunState::Cancelled => format!("{kind} {id} is cancelled.\n"),
                other => format!("{kind} {id} is already {}; nothing to cancel.\n", name(other)),
            };
            show::print(&sentence)?;
        }
    }
    Ok(exit::OK)
}

impl One {
    /// The run that is meant.
    fn run(&self, hooks: Hooks) -> Result<OneRun, Failure> {
        let (target, isolation) = self.scope.resolve(None)?;
        let params = ListParams { target: Some(target), isolation: Some(isolation), any_agent: false, all: true };
        let raw = self.scope.call::<List>(hooks, params)?;
        let listed = typed::<List>(&raw)?.runs;
        let found = match self.id.as_deref() {
            Some(id) => listed.iter().find(|run| {
                run.run_id.as_str() == id || run.response_id.as_ref().is_some_and(|known| known.as_str() == id)
            }),
            None => listed.first(),
        };
        let Some(found) = found else {
            let what = self.id.as_deref().map_or("no invocation".to_owned(), |id| format!("no invocation {id}"));
            return Err(unknown(format!("{what} of this agent and isolation is known")));
        };
        Ok(OneRun::of(&found.run_id, self.scope.daemon.clone()))
    }
}

/// What it is called, and its id: the service's, once there is one.
fn named(run: &RunInfo) -> (&'static str, String) {
    run.response_id.as_ref().map_or_else(|| ("Run", run.run_id.to_string()), |id| ("Response", id.to_string()))
}

/// The service's words for a status.
const fn status(state: RunState) -> &'static str {
    match state {
        RunState::Running => "in_progress",
        RunState::Truncated => "incomplete",
        other => name(other),
    }
}

/// As azd prints it: the members of a response that scripts read, or its table.
fn print(run: &RunInfo, output: Output) -> Result<(), Failure> {
    let session = run.session_id.as_ref().map(ToString::to_string);
    match output {
        Output::Json => {
            let (_, id) = named(run);
            let shown = json!({"id": id, "object": "response", "status": status(run.status), "agent_session_id": session, "run": run});
            show::print_json(&to_raw_value(&shown).map_err(|error| misunderstood(Show::NAME, &error))?)
        }
        Output::Table => {
            let rows = [
                ("Response ID", named(run).1),
                ("Status", status(run.status).to_owned()),
                ("Session ID", session.unwrap_or_default()),
            ];
            show::print(&fields(rows.map(|(field, value)| (field.to_owned(), value))))
        }
    }
}
