//! `cupola partitions list|forget`: what is saved per agent and isolation, and forgetting it.

use super::short_id;
use crate::exit;
use crate::failure::Failure;
use crate::hooks::Hooks;
use crate::line::call::{misunderstood, typed};
use crate::scope::target::parse;
use crate::scope::{Listed, ScopeFlags};
use crate::show;
use crate::show::table::{Output, table};
use clap::{Args, Subcommand};
use cupola_protocol::Method as _;
use cupola_protocol::error::ErrorKind;
use cupola_protocol::id::PartitionId;
use cupola_protocol::partitions::{
    Forget, ForgetParams, ForgetResponse, List, ListParams, ListResponse, MAX_PAGE, PartitionInfo,
};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};
use std::cmp::Reverse;

pub(crate) const HELP: &str = "\
Forgetting makes the next call start a new session and a new conversation. The old ones, and the session's files, stay at \
the service: `cupola sessions delete` deletes a session.

Examples:
  cupola partitions list -o table
  cupola partitions list --emulator --user-isolation-key tenant-acme -o table
  cupola partitions forget --emulator --user-isolation-key tenant-acme
  cupola partitions forget 0123456789abcdef";

#[derive(Debug, Args)]
pub(crate) struct Flags {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List partitions: all, or those of the given emulator, project or agent, marking those of the given isolation as own
    #[command(visible_alias = "ls")]
    List {
        /// How to print it; if omitted, a table on a terminal and JSON elsewhere
        #[arg(long, short, value_name = "FORMAT")]
        output: Option<Output>,
        #[command(flatten)]
        scope: Box<ScopeFlags>,
    },
    /// Forget a partition by its id, or the one that calls with these flags would continue
    Forget {
        /// The partition; that of the given agent and isolation if omitted
        #[arg(value_name = "ID")]
        id: Option<String>,
        /// Output format; a sentence if omitted
        #[arg(long, short, value_name = "FORMAT")]
        output: Option<Output>,
        #[command(flatten)]
        scope: Box<ScopeFlags>,
    },
}

impl Flags {
    /// Do programs read the output? Then failures are JSON, too.
    pub(crate) fn is_json(&self) -> bool {
        matches!(&self.action, Action::Forget { output: Some(Output::Json), .. })
    }
}

/// Runs one of the actions.
pub(crate) fn run(flags: &Flags, hooks: Hooks) -> Result<u8, Failure> {
    match &flags.action {
        Action::List { output, scope } => {
            let Listed { target, isolation, any_agent } = scope.listed()?;
            let params = ListParams { target, isolation, any_agent, ..ListParams::default() };
            let raw = whole_list(scope, hooks, &params)?;
            match output.unwrap_or_else(Output::usual) {
                Output::Json => show::print_json(&raw)?,
                Output::Table => show::print(&partitions(&typed::<List>(&raw)?))?,
            }
        }
        Action::Forget { id, output, scope } => {
            let params = if let Some(id) = id {
                ForgetParams { id: Some(partition(id, scope, hooks)?), ..ForgetParams::default() }
            } else {
                let (target, isolation) = scope.resolve(None)?;
                ForgetParams { id: None, target: Some(target), isolation: Some(isolation) }
            };
            let raw = scope.call::<Forget>(hooks, params)?;
            match output {
                Some(Output::Json) => show::print_json(&raw)?,
                _ => show::print(&sentence(&typed::<Forget>(&raw)?))?,
            }
        }
    }
    Ok(exit::OK)
}

/// An answer as the daemon gives it, with what this version does not know.
#[derive(Serialize, Deserialize)]
struct Answer {
    partitions: Vec<Value>,
    #[serde(default, skip_serializing)]
    next: Option<String>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

/// The whole list as the daemon would give it at once, the most recently used first. It is read in pages, because it can be longer than a
/// message, and so that the daemon's other calls do not wait for it.
pub(super) fn whole_list(scope: &ScopeFlags, hooks: Hooks, params: &ListParams) -> Result<Box<RawValue>, Failure> {
    let page = |after| {
        let params = ListParams { limit: Some(MAX_PAGE), after, ..params.clone() };
        let raw = scope.call::<List>(hooks, params)?;
        serde_json::from_str::<Answer>(raw.get()).map_err(|error| misunderstood(List::NAME, &error))
    };
    let mut whole = match page(None) {
        // A daemon or a gateway of an earlier version has no pages. Whatever else it refuses, it refuses again.
        Err(failure) if failure.is(ErrorKind::InvalidParams) => return scope.call::<List>(hooks, params.clone()),
        first => first?,
    };
    while let Some(end) = whole.next.take() {
        let mut more = page(Some(end))?;
        whole.partitions.append(&mut more.partitions);
        whole.next = more.next;
    }
    // Times have one form, and so the order of their texts. Partitions of the same second keep that of their pages.
    whole.partitions.sort_by_cached_key(|partition| Reverse(partition["updatedAt"].as_str().map(ToOwned::to_owned)));
    to_raw_value(&whole).map_err(|error| misunderstood(List::NAME, &error))
}

/// The partition of this id, or the only one whose id begins like that.
fn partition(given: &str, scope: &ScopeFlags, hooks: Hooks) -> Result<PartitionId, Failure> {
    let refused = match parse("ID", given) {
        Ok(id) => return Ok(id),
        Err(failure) => failure,
    };
    let listed = typed::<List>(&whole_list(scope, hooks, &ListParams::default())?)?;
    let known: Vec<_> = listed.partitions.iter().map(|partition| partition.id.to_string()).collect();
    match short_id::whole(given, &known)? {
        Some(id) => parse("ID", &id),
        None => Err(refused),
    }
}

fn sentence(forgot: &ForgetResponse) -> String {
    match forgot.forgotten {
        0 => "Nothing was saved.\n".to_owned(),
        1 => "Forgot the saved session and conversation. The session and its files are still at the service.\n"
            .to_owned(),
        several => format!(
            "Forgot the saved sessions and conversations of {several} partitions. The sessions and their files are still at the service.\n"
        ),
    }
}

fn partitions(listed: &ListResponse) -> String {
    let text = |value: Option<String>| value.unwrap_or_default();
    let rows = listed.partitions.iter().cloned().map(|partition| {
        let PartitionInfo { id, agent, version, session_id, conversation_id, own, updated_at, .. } = partition;
        [
            id.to_string(),
            if own { "*" } else { "" }.to_owned(),
            text(session_id.map(|id| id.to_string())),
            text(conversation_id.map(|id| id.to_string())),
            text(updated_at),
            text(version.map(|version| version.to_string())),
            agent,
        ]
    });
    table(["ID", "OWN", "SESSION ID", "CONVERSATION ID", "UPDATED", "VERSION", "AGENT"], rows)
}
