//! `cupola sessions create|list|show|use|stop|delete|prune`. All but `prune` have the flags and the output of `azd ai agent sessions`.
//!
//! - `prune`: deletes those that were not used for some time
//! - `named`: the session that a command names, by its id or by the id's beginning

mod named;
mod prune;

use crate::exit;
use crate::failure::Failure;
use crate::hooks::Hooks;
use crate::line::call::typed;
use crate::scope::ScopeFlags;
use crate::scope::target::parse;
use crate::show;
use crate::show::azd;
use crate::show::table::{self, Output};
use crate::terminal;
use clap::{Args, Subcommand, ValueEnum};
use cupola_protocol::Method;
use cupola_protocol::isolation::Isolation;
use cupola_protocol::sessions::{
    Create, CreateParams, Delete, List, ListParams, Order, SessionParams, Show, Stop, Use, UseParams,
};
use cupola_protocol::target::Target;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::io::Write;

pub(crate) const HELP: &str = "\
Examples:
  cupola sessions list --emulator --user-isolation-key tenant-acme -o table
  cupola sessions create --agent-name my-agent --version 3 --isolation-key sk-tenant-acme
  cupola sessions delete sess_abc123 --isolation-key sk-tenant-acme
  cupola sessions prune --older-than 7d --dry-run";

#[derive(Debug, Args)]
pub(crate) struct Flags {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Create a session and continue it in later calls
    Create {
        /// The agent; the project's only agent if omitted
        #[arg(value_name = "AGENT")]
        agent: Option<String>,
        /// The agent version to bind it to
        #[arg(value_name = "VERSION")]
        agent_version: Option<String>,
        /// As --isolation-key
        #[arg(value_name = "ISOLATION_KEY")]
        positional_key: Option<String>,
        /// The session's id; chosen by the service if omitted
        #[arg(long, value_name = "SESSION_ID")]
        session_id: Option<String>,
        /// The key required to delete it; derived from your token if omitted
        #[arg(long, value_name = "KEY", allow_hyphen_values = true, help_heading = "Isolation")]
        isolation_key: Option<String>,
        #[command(flatten)]
        common: Common,
    },
    /// List the sessions this isolation can see
    #[command(visible_alias = "ls")]
    List {
        /// Maximum number of results
        #[arg(long, value_name = "NUMBER")]
        limit: Option<u32>,
        /// Oldest or newest first
        #[arg(long, value_name = "ORDER")]
        order: Option<ListOrder>,
        /// Only sessions after this one
        #[arg(long, visible_alias = "pagination-token", value_name = "SESSION_ID")]
        after: Option<String>,
        /// Ignored, as azd does
        #[arg(hide = true)]
        ignored: Vec<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Show a session
    Show {
        #[command(flatten)]
        one: OneSession,
    },
    /// Continue this session in later calls
    Use {
        /// The session
        #[arg(value_name = "SESSION_ID")]
        session: String,
        /// Allow using a session that Cupola knows belongs to another user
        #[arg(long)]
        allow_shared_session: bool,
        #[command(flatten)]
        common: Common,
    },
    /// Stop a session's compute; its files stay
    Stop {
        #[command(flatten)]
        one: OneSession,
    },
    /// Delete a session and its files
    Delete {
        /// The session
        #[arg(value_name = "SESSION_ID")]
        session: String,
        /// The key it was created with; saved if Cupola created it
        #[arg(long, value_name = "KEY", allow_hyphen_values = true, help_heading = "Isolation")]
        isolation_key: Option<String>,
        /// Allow deleting a session that Cupola knows belongs to another user
        #[arg(long)]
        allow_shared_session: bool,
        #[command(flatten)]
        common: Common,
    },
    /// Delete the sessions, and their files, that were not used for some time
    Prune {
        #[command(flatten)]
        prune: prune::PruneFlags,
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Debug, Args)]
struct OneSession {
    /// The session; the one the next call would continue if omitted
    #[arg(value_name = "SESSION_ID")]
    session: Option<String>,
    /// Allow using a session that Cupola knows belongs to another user
    #[arg(long)]
    allow_shared_session: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
struct Common {
    /// Output format; `json` is the service's object. If omitted, a table on a terminal and JSON elsewhere; stop, delete and
    /// prune print sentences
    #[arg(long, short, value_name = "FORMAT")]
    output: Option<Output>,
    #[command(flatten)]
    scope: ScopeFlags,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ListOrder {
    /// Oldest first
    Asc,
    /// Newest first
    Desc,
}

impl Flags {
    /// Do programs read the output? Only when it was asked for: then failures are JSON, too.
    pub(crate) fn is_json(&self) -> bool {
        self.action.common().output == Some(Output::Json)
    }

    /// Which agent and whose state.
    pub(crate) fn scope_mut(&mut self) -> &mut ScopeFlags {
        &mut self.common_mut().scope
    }

    /// Columns where nothing else was asked for: a person reads this.
    pub(crate) fn prefer_table(&mut self) {
        self.common_mut().output.get_or_insert(Output::Table);
    }

    fn common_mut(&mut self) -> &mut Common {
        match &mut self.action {
            Action::Create { common, .. }
            | Action::List { common, .. }
            | Action::Use { common, .. }
            | Action::Prune { common, .. }
            | Action::Delete { common, .. } => common,
            Action::Show { one } | Action::Stop { one } => &mut one.common,
        }
    }
}

impl Action {
    /// The agent named without a flag: only where azd takes one.
    fn agent(&self) -> Option<&str> {
        match self {
            // As in azd, the flag counts more than the word.
            Self::Create { agent, common, .. } if common.scope.target.agent_name.is_none() => agent.as_deref(),
            _ => None,
        }
    }

    /// Which agent and whose state, with the version that was named without a flag.
    fn scope(&self) -> Cow<'_, ScopeFlags> {
        let scope = &self.common().scope;
        match self {
            Self::Create { agent_version: Some(version), .. } if scope.target.version.is_none() => {
                let mut scope = scope.clone();
                scope.target.version = Some(version.clone());
                Cow::Owned(scope)
            }
            _ => Cow::Borrowed(scope),
        }
    }

    fn common(&self) -> &Common {
        match self {
            Self::Create { common, .. }
            | Self::List { common, .. }
            | Self::Use { common, .. }
            | Self::Prune { common, .. }
            | Self::Delete { common, .. } => common,
            Self::Show { one } | Self::Stop { one } => &one.common,
        }
    }
}

impl Common {
    fn print_session(&self, raw: &RawValue) -> Result<(), Failure> {
        if self.output.unwrap_or_else(Output::usual) == Output::Table {
            return show::print(&table::session(&typed::<Show>(raw)?));
        }
        show::print_json(raw)
    }

    fn print_sentence(&self, raw: &RawValue, sentence: &str) -> Result<(), Failure> {
        if self.output == Some(Output::Json) {
            return show::print_json(raw);
        }
        show::print(&format!("{sentence}\n"))
    }
}

/// Runs one of the actions.
pub(crate) fn run(flags: &Flags, hooks: Hooks) -> Result<u8, Failure> {
    let common = flags.action.common();
    let (target, mut isolation) = flags.action.scope().resolve(flags.action.agent())?;
    let progress = common.scope.progress();
    match &flags.action {
        Action::Create { session_id: given, isolation_key, positional_key, .. } => {
            common.scope.own(&mut isolation, isolation_key.as_ref().or(positional_key.as_ref()))?;
            let session_id = given.as_deref().map(|session| parse("--session-id", session)).transpose()?;
            let raw = common.scope.call::<Create>(hooks, CreateParams { target, isolation, session_id, progress })?;
            common.print_session(&raw)?;
        }
        Action::List { limit, order, after, ignored, .. } => {
            if let Some(word) = ignored.first() {
                let _ = writeln!(
                    terminal::stderr(),
                    "notice: {} is ignored; to name the agent, use --agent-name",
                    terminal::line(word)
                );
            }
            let order = order.map(|order| match order {
                ListOrder::Asc => Order::Asc,
                ListOrder::Desc => Order::Desc,
            });
            let after = after.as_deref().map(|after| parse("--after", after)).transpose()?;
            let params = ListParams { target, isolation, limit: *limit, order, after, progress };
            let raw = common.scope.call::<List>(hooks, params)?;
            print_list(common, &raw)?;
        }
        Action::Show { one } => {
            let raw = one.call::<Show>(hooks, &target, &isolation)?;
            common.print_session(&raw)?;
        }
        Action::Use { session, allow_shared_session, .. } => {
            let raw = named::named(common, hooks, (&target, &isolation), session, |session_id| {
                let (target, isolation) = (target.clone(), isolation.clone());
                let (allow_shared_session, progress) = (*allow_shared_session, common.scope.progress());
                let params = UseParams { target, isolation, session_id, allow_shared_session, progress };
                common.scope.call::<Use>(hooks, params)
            })?;
            common.print_session(&raw)?;
        }
        Action::Stop { one } => {
            let raw = one.call::<Stop>(hooks, &target, &isolation)?;
            let stopped = typed::<Stop>(&raw)?;
            let what = if stopped.already_stopped { "was already stopped" } else { "was stopped; its files are kept" };
            common.print_sentence(&raw, &format!("Session {} {what}.", stopped.session_id))?;
        }
        Action::Delete { session, isolation_key, allow_shared_session, .. } => {
            common.scope.own(&mut isolation, isolation_key.as_ref())?;
            let (session_id, was_there) = named::to_delete(common, hooks, (&target, &isolation), session)?;
            let session_id = Some(session_id);
            let (allow_shared_session, progress) = (*allow_shared_session, common.scope.progress());
            let params = SessionParams { target, isolation, session_id, allow_shared_session, progress };
            let raw = common.scope.call::<Delete>(hooks, params)?;
            let deleted = typed::<Delete>(&raw)?;
            let id = deleted.session_id;
            let sentence = if was_there {
                format!("Deleted session {id}.")
            } else {
                format!(
                    "Found no session {id} to delete. It was deleted earlier, or never existed under this isolation."
                )
            };
            common.print_sentence(&raw, &sentence)?;
        }
        Action::Prune { prune, .. } => {
            common.scope.own(&mut isolation, prune.isolation_key())?;
            return prune::run(prune, common, hooks, &target, &isolation);
        }
    }
    Ok(exit::OK)
}

impl OneSession {
    /// A call about this session, or about the one that the next call would continue.
    fn call<M: Method<Params = SessionParams>>(
        &self,
        hooks: Hooks,
        target: &Target,
        isolation: &Isolation,
    ) -> Result<Box<RawValue>, Failure> {
        let call = |session_id| {
            let (target, isolation) = (target.clone(), isolation.clone());
            let (allow_shared_session, progress) = (self.allow_shared_session, self.common.scope.progress());
            let params = SessionParams { target, isolation, session_id, allow_shared_session, progress };
            self.common.scope.call::<M>(hooks, params)
        };
        match &self.session {
            Some(session) => named::named(&self.common, hooks, (target, isolation), session, |id| call(Some(id))),
            None => call(None),
        }
    }
}

fn print_list(common: &Common, raw: &RawValue) -> Result<(), Failure> {
    if common.output.unwrap_or_else(Output::usual) == Output::Json {
        return show::print_json(&azd::sessions(raw));
    }
    let list = typed::<List>(raw)?;
    show::print(&(table::sessions(&list.data) + &azd::more(&list)))
}
