//! `cupola runs list|show|attach|cancel`: the invokes under way, also those begun elsewhere, and those that ended recently.

use super::invoke::{self, How};
use crate::exit;
use crate::failure::Failure;
use crate::hooks::Hooks;
use crate::line::call::{CALL, Greeting, encode, typed};
use crate::line::connect::DaemonFlags;
use crate::scope::ScopeFlags;
use crate::scope::target::parse;
use crate::show;
use crate::show::table::{Output, fields, table};
use clap::{Args, Subcommand};
use cupola_protocol::Method;
use cupola_protocol::isolation::Isolation;
use cupola_protocol::runs::{Attach, AttachParams, Cancel, List, ListParams, RunInfo, RunParams, RunState, Show};
use serde_json::value::RawValue;

pub(crate) const HELP: &str = "\
A run is one invoke. It continues while a client follows it, or on its own after `cupola invoke --detach`. The daemon keeps \
finished runs in memory for a few minutes.

Examples:
  cupola runs list -o table
  cupola runs list --agent-name my-agent --user-isolation-key tenant-acme
  cupola runs attach run-0f3c
  cupola runs cancel run-0f3c";

#[derive(Debug, Args)]
pub(crate) struct Flags {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List runs, newest first: all, or those of the given agent and isolation
    List {
        /// How to print it
        #[arg(long, short, value_name = "FORMAT", default_value = "json")]
        output: Output,
        #[command(flatten)]
        scope: Box<ScopeFlags>,
    },
    /// Show a run's status
    Show {
        #[command(flatten)]
        one: OneRun,
        /// How to print it
        #[arg(long, short, value_name = "FORMAT", default_value = "json")]
        output: Output,
    },
    /// Print a run's answer from the beginning and as it arrives. Ctrl-C detaches and does not cancel the run
    Attach {
        #[command(flatten)]
        one: OneRun,
        /// Skip events up to this number; -o jsonl shows each event's number
        #[arg(long, value_name = "NUMBER")]
        after: Option<u64>,
        /// How to print the answer
        #[arg(long, short, value_name = "FORMAT", default_value = "default", value_parser = attach_output())]
        output: invoke::Output,
        /// Print only the answer and errors
        #[arg(long)]
        quiet: bool,
    },
    /// Cancel a run, here and at the service
    Cancel {
        #[command(flatten)]
        one: OneRun,
        /// Output format; a sentence if omitted
        #[arg(long, short, value_name = "FORMAT")]
        output: Option<Output>,
    },
}

#[derive(Debug, Args)]
struct OneRun {
    /// The run
    #[arg(value_name = "RUN_ID")]
    run: String,
    #[command(flatten)]
    daemon: DaemonFlags,
}

impl Flags {
    /// Do programs read the output? Then failures are JSON, too.
    pub(crate) fn is_json(&self) -> bool {
        match &self.action {
            Action::Attach { output, .. } => output.is_json(),
            Action::Cancel { output, .. } => *output == Some(Output::Json),
            Action::List { .. } | Action::Show { .. } => false,
        }
    }
}

/// A run may have been begun for any output, so the unmodified HTTP answer is not always to be had.
fn attach_output() -> impl clap::builder::TypedValueParser<Value = invoke::Output> {
    use clap::ValueEnum;
    use clap::builder::{PossibleValuesParser, TypedValueParser};
    let formats = invoke::Output::value_variants().iter().filter(|output| **output != invoke::Output::Raw);
    PossibleValuesParser::new(formats.filter_map(ValueEnum::to_possible_value))
        .try_map(|name| invoke::Output::from_str(&name, false))
}

/// Runs one of the actions.
pub(crate) fn run(flags: &Flags, hooks: Hooks) -> Result<u8, Failure> {
    match &flags.action {
        Action::List { output, scope } => {
            let mut params = ListParams::default();
            if let Some((target, isolation)) = scope.named()? {
                params.target = Some(target);
                params.isolation = Some(isolation).filter(|isolation| *isolation != Isolation::default());
            }
            let raw = scope.call::<List>(hooks, params)?;
            print::<List>(*output, &raw, |listed| runs(&listed.runs))?;
        }
        Action::Show { one, output } => {
            let raw = one.call::<Show>(hooks)?;
            print::<Show>(*output, &raw, one_run)?;
        }
        Action::Attach { one, after, output, quiet } => {
            let params = AttachParams {
                run_id: parse("RUN_ID", &one.run)?,
                after: *after,
                text_only: *output != invoke::Output::Jsonl,
                partial_result_token: (*output != invoke::Output::Json).then_some(CALL),
            };
            // Ctrl-C ends this process as it ends any other: the daemon sees it leave, and the run goes on.
            let mut connection = one.daemon.ask(hooks.embedded, &encode::<Attach>(params, Greeting::None)?, |_| ())?;
            let how = How { output: *output, introduce: false, quiet: *quiet };
            return invoke::print(&mut connection, &how).map_err(Failure::of_sent_turn);
        }
        Action::Cancel { one, output } => {
            let raw = one.call::<Cancel>(hooks)?;
            match output {
                Some(output) => print::<Cancel>(*output, &raw, one_run)?,
                None => show::print(&sentence(&typed::<Cancel>(&raw)?))?,
            }
        }
    }
    Ok(exit::OK)
}

impl OneRun {
    /// A call about this run.
    fn call<M: Method<Params = RunParams>>(&self, hooks: Hooks) -> Result<Box<RawValue>, Failure> {
        let call = encode::<M>(RunParams { run_id: parse("RUN_ID", &self.run)? }, Greeting::None)?;
        self.daemon.ask(hooks.embedded, &call, |_| ())?.receive(|_| Ok(()))
    }
}

fn print<M: Method>(
    output: Output,
    raw: &RawValue,
    in_columns: impl FnOnce(&M::Response) -> String,
) -> Result<(), Failure> {
    match output {
        Output::Json => show::print_json(raw),
        Output::Table => show::print(&in_columns(&typed::<M>(raw)?)),
    }
}

fn sentence(run: &RunInfo) -> String {
    match run.status {
        RunState::Cancelled => format!("Cancelled run {}.\n", run.run_id),
        other => format!("Run {} had already ended: {}.\n", run.run_id, name(other)),
    }
}

const fn name(state: RunState) -> &'static str {
    match state {
        RunState::Running => "running",
        RunState::Completed => "completed",
        RunState::Failed => "failed",
        RunState::Incomplete => "incomplete",
        RunState::Cancelled => "cancelled",
        RunState::Truncated => "truncated",
    }
}

fn session(run: &RunInfo) -> String {
    run.session_id.as_ref().map(ToString::to_string).unwrap_or_default()
}

fn runs(runs: &[RunInfo]) -> String {
    let rows = runs.iter().map(|run| {
        [
            run.run_id.to_string(),
            name(run.status).to_owned(),
            run.clients.to_string(),
            run.started_at.clone(),
            session(run),
            run.agent.clone(),
        ]
    });
    table(["RUN ID", "STATUS", "CLIENTS", "STARTED", "SESSION ID", "AGENT"], rows)
}

fn one_run(run: &RunInfo) -> String {
    let conversation = run.conversation_id.as_ref().map(ToString::to_string).unwrap_or_default();
    let rows = [
        ("Run ID", run.run_id.to_string()),
        ("Agent", run.agent.clone()),
        ("Status", name(run.status).to_owned()),
        ("Session ID", session(run)),
        ("Conversation ID", conversation),
        ("Started At", run.started_at.clone()),
        ("Ended At", run.ended_at.clone().unwrap_or_default()),
        ("Last Event", run.last_event.to_string()),
        ("Detached", if run.detached { "yes" } else { "no" }.to_owned()),
        ("Clients", run.clients.to_string()),
    ];
    fields(rows.into_iter().filter(|(_, value)| !value.is_empty()).map(|(field, value)| (field.to_owned(), value)))
}
