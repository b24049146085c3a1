//! `cupola runs list|show|attach|cancel`: the invokes under way, also those begun elsewhere, and those that ended recently.

use super::invoke::{self, How};
use super::short_id;
use crate::exit;
use crate::failure::Failure;
use crate::hooks::Hooks;
use crate::line::call::{CALL, encode, typed};
use crate::line::connect::DaemonFlags;
use crate::line::continued::Continued;
use crate::scope::target::parse;
use crate::scope::{Listed, ScopeFlags};
use crate::show;
use crate::show::latency;
use crate::show::table::{Output, fields, table};
use clap::{Args, Subcommand};
use cupola_protocol::Method;
use cupola_protocol::busy::QueuePlace;
use cupola_protocol::error::{ErrorData, ErrorKind};
use cupola_protocol::id::RunId;
use cupola_protocol::isolation::Isolation;
use cupola_protocol::question::{Question, QuestionKind};
use cupola_protocol::rpc::ErrorObject;
use cupola_protocol::runs::{Attach, AttachParams, Cancel, List, ListParams, RunInfo, RunParams, RunState, Show};
use serde_json::value::RawValue;
use std::cell::OnceCell;

pub(crate) const HELP: &str = "\
A run is one invoke. It continues while a client follows it, or on its own after `cupola invoke --detach`. The daemon keeps \
finished runs in memory for a few minutes. After the daemon has ended, the next one continues the runs that survive, and \
`cupola runs list --all` shows the others for a day.

Examples:
  cupola runs list -o table
  cupola runs list --all
  cupola runs show
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
    /// List runs, newest first: all, or those of the given emulator, project, agent or isolation
    #[command(visible_alias = "ls")]
    List {
        /// Also list what earlier daemons left when they ended
        #[arg(long)]
        all: bool,
        /// How to print it; if omitted, a table on a terminal and JSON elsewhere
        #[arg(long, short, value_name = "FORMAT")]
        output: Option<Output>,
        #[command(flatten)]
        scope: Box<ScopeFlags>,
    },
    /// Show a run's status: that of the newest one if no run is named
    Show {
        /// The run; if omitted, the newest one: of all, or of the given agent and isolation
        #[arg(value_name = "RUN_ID")]
        run: Option<String>,
        /// How to print it; if omitted, a table on a terminal and JSON elsewhere
        #[arg(long, short, value_name = "FORMAT")]
        output: Option<Output>,
        #[command(flatten)]
        scope: Box<ScopeFlags>,
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
pub(super) struct OneRun {
    /// The run
    #[arg(value_name = "RUN_ID")]
    run: String,
    /// The run's whole id, where `run` was only the beginning of it.
    #[arg(skip)]
    whole: OnceCell<String>,
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

/// A run may have been begun for any output, so its unmodified HTTP answer may not have been kept.
fn attach_output() -> impl clap::builder::TypedValueParser<Value = invoke::Output> {
    use clap::ValueEnum;
    use clap::builder::{PossibleValuesParser, TypedValueParser};
    let formats = invoke::Output::value_variants().iter().filter(|output| **output != invoke::Output::Raw);
    PossibleValuesParser::new(formats.filter_map(ValueEnum::to_possible_value))
        .try_map(|name| invoke::Output::from_str(&name, false))
}

/// Runs one of the actions. If no run has the given id, the id may be the beginning of a longer one.
pub(crate) fn run(flags: &Flags, hooks: Hooks) -> Result<u8, Failure> {
    match &flags.action {
        Action::List { all, output, scope } => {
            let raw = listed(scope, *all, hooks)?;
            print::<List>(output.unwrap_or_else(Output::usual), &raw, |listed| runs(&listed.runs))?;
            Ok(exit::OK)
        }
        Action::Show { run, scope, .. } => {
            let daemon = scope.daemon.clone();
            let one = match run {
                Some(run) => OneRun { run: run.clone(), whole: OnceCell::new(), daemon },
                None => OneRun::of(&newest(scope, hooks)?, daemon),
            };
            completed(&flags.action, &one, hooks)
        }
        Action::Attach { one, .. } | Action::Cancel { one, .. } => completed(&flags.action, one, hooks),
    }
}

/// Does it with one run, and again if what was given is the beginning of a longer id.
fn completed(action: &Action, one: &OneRun, hooks: Hooks) -> Result<u8, Failure> {
    let done = act(action, one, hooks);
    if (is_unknown(&done) || matches!(done, Err(Failure::Usage { .. }))) && one.complete(hooks)? {
        return act(action, one, hooks);
    }
    done
}

/// The runs of all, or of the place, the agent and the isolation that the flags name.
fn listed(scope: &ScopeFlags, all: bool, hooks: Hooks) -> Result<Box<RawValue>, Failure> {
    let Listed { target, isolation, any_agent } = scope.listed()?;
    let isolation = isolation.filter(|isolation| *isolation != Isolation::default());
    scope.call::<List>(hooks, ListParams { target, isolation, any_agent, all })
}

/// The newest of the runs that [`listed`] finds. Runs of earlier daemons count, too.
fn newest(scope: &ScopeFlags, hooks: Hooks) -> Result<RunId, Failure> {
    let runs = typed::<List>(&listed(scope, true, hooks)?)?.runs;
    runs.into_iter().next().map(|run| run.run_id).ok_or_else(|| unknown("no run is known"))
}

/// The error for a run or an invocation that Cupola does not know.
pub(super) fn unknown(message: impl Into<String>) -> Failure {
    let mut data = ErrorData::new(ErrorKind::NotFound);
    data.hint = Some(
        "`cupola runs list --all` lists those that are; Cupola knows the ones that it began, for a day at most"
            .to_owned(),
    );
    Failure::Call(Box::new(ErrorObject { code: data.kind.code(), message: message.into(), data: Some(data) }))
}

fn act(action: &Action, one: &OneRun, hooks: Hooks) -> Result<u8, Failure> {
    match action {
        Action::List { .. } => {}
        Action::Show { output, .. } => {
            let raw = one.call::<Show>(hooks)?;
            print::<Show>(output.unwrap_or_else(Output::usual), &raw, one_run)?;
        }
        Action::Attach { after, output, quiet, .. } => return one.attach(hooks, *after, *output, *quiet),
        Action::Cancel { output, .. } => {
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
    /// A run by its whole id.
    pub(super) fn of(run: &RunId, daemon: DaemonFlags) -> Self {
        Self { run: run.to_string(), whole: OnceCell::new(), daemon }
    }

    fn id(&self) -> &str {
        self.whole.get().unwrap_or(&self.run)
    }

    /// Finds the only run whose id begins with what was given.
    fn complete(&self, hooks: Hooks) -> Result<bool, Failure> {
        let call = encode::<List>(ListParams { all: true, ..ListParams::default() })?;
        let raw = self.daemon.ask(hooks.embedded, call, |_| ())?.receive(|_| Ok(()))?;
        let known: Vec<_> = typed::<List>(&raw)?.runs.iter().map(|run| run.run_id.to_string()).collect();
        let whole = short_id::whole(&self.run, &known)?.filter(|id| *id != self.run);
        Ok(whole.is_some_and(|id| self.whole.set(id).is_ok()))
    }

    /// Prints the answer, from after this event on. Ctrl-C ends this process as it ends any other: the daemon sees it disconnect, and
    /// the run continues.
    pub(super) fn attach(
        &self,
        hooks: Hooks,
        after: Option<u64>,
        output: invoke::Output,
        quiet: bool,
    ) -> Result<u8, Failure> {
        let params = AttachParams {
            isolation: None,
            run_id: parse("RUN_ID", self.id())?,
            after,
            text_only: output != invoke::Output::Jsonl,
            partial_result_token: (output != invoke::Output::Json).then_some(CALL),
        };
        let continued = Continued::of_attach(&params);
        let call = encode::<Attach>(params)?;
        let how = How { output, introduce: false, quiet, asides: Vec::new(), asks: false };
        let mut connection = self.daemon.ask(hooks.embedded, call, |_| ())?;
        if self.daemon.is_resident() {
            connection.continue_by(continued, self.daemon.asking(hooks.embedded, |_| ()));
        }
        invoke::print(&mut connection, &how).map(|(code, _)| code).map_err(Failure::of_sent_turn)
    }

    /// A call about this run.
    pub(super) fn call<M: Method<Params = RunParams>>(&self, hooks: Hooks) -> Result<Box<RawValue>, Failure> {
        let call = encode::<M>(RunParams { run_id: parse("RUN_ID", self.id())?, isolation: None })?;
        self.daemon.ask(hooks.embedded, call, |_| ())?.receive(|_| Ok(()))
    }
}

/// Does the daemon not know the run?
fn is_unknown<Done>(asked: &Result<Done, Failure>) -> bool {
    matches!(asked, Err(Failure::Call(error)) if error.data.as_ref().is_some_and(|data| data.kind == ErrorKind::NotFound))
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

pub(super) const fn name(state: RunState) -> &'static str {
    match state {
        RunState::Running => "running",
        RunState::Completed => "completed",
        RunState::Failed => "failed",
        RunState::Incomplete => "incomplete",
        RunState::Cancelled => "cancelled",
        RunState::Truncated => "truncated",
    }
}

fn waits_for(place: &QueuePlace) -> String {
    match place.ahead {
        0 | 1 => place.waits_for.clone(),
        ahead => format!("{}; {ahead} calls are ahead", place.waits_for),
    }
}

fn session(run: &RunInfo) -> String {
    run.session_id.as_ref().map(ToString::to_string).unwrap_or_default()
}

fn runs(runs: &[RunInfo]) -> String {
    let rows = runs.iter().map(|run| {
        [
            run.run_id.to_string(),
            run.queue.as_ref().map_or_else(|| name(run.status).to_owned(), |place| format!("queued ({})", place.ahead)),
            run.clients.to_string(),
            run.started_at.clone(),
            session(run),
            run.agent.clone(),
        ]
    });
    table(["RUN ID", "STATUS", "CLIENTS", "STARTED", "SESSION ID", "AGENT"], rows)
}

/// A question that waits for an answer: what the agent wants, and the id to answer it by.
fn open(question: &Question) -> String {
    let wanted = match question.kind {
        QuestionKind::Approval => format!("approval of {}", question.tool.as_deref().unwrap_or("a tool")),
        QuestionKind::Consent => "consent".to_owned(),
        QuestionKind::Input | QuestionKind::Other => "information".to_owned(),
    };
    format!("{wanted} ({})", question.id)
}

fn one_run(run: &RunInfo) -> String {
    let conversation = run.conversation_id.as_ref().map(ToString::to_string).unwrap_or_default();
    let rows = [
        ("Run ID", run.run_id.to_string()),
        ("Agent", run.agent.clone()),
        ("Question", run.question.clone().unwrap_or_default()),
        ("Status", name(run.status).to_owned()),
        ("Open Questions", run.questions.iter().map(open).collect::<Vec<_>>().join("; ")),
        ("Waits For", run.queue.as_ref().map(waits_for).unwrap_or_default()),
        ("Session ID", session(run)),
        ("Conversation ID", conversation),
        ("Response ID", run.response_id.as_ref().map(ToString::to_string).unwrap_or_default()),
        ("Agent Version", run.agent_version.as_ref().map(ToString::to_string).unwrap_or_default()),
        ("Latency", run.latency.as_ref().map(latency::line).unwrap_or_default()),
        ("Started At", run.started_at.clone()),
        ("Ended At", run.ended_at.clone().unwrap_or_default()),
        ("Last Event", run.last_event.to_string()),
        ("Detached", if run.detached { "yes" } else { "no" }.to_owned()),
        ("Survives", if run.survives { "yes" } else { "" }.to_owned()),
        ("Reason", run.reason.clone().unwrap_or_default()),
        ("Clients", run.clients.to_string()),
    ];
    fields(rows.into_iter().filter(|(_, value)| !value.is_empty()).map(|(field, value)| (field.to_owned(), value)))
}
