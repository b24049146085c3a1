//! `cupola import azd`: continues the sessions and conversations that azd has saved.
//!
//! azd keeps them by agent and version, without saying whose they are, so that is asked: per agent on a terminal, or by
//! flags that hold for all. Its file is only read.

use crate::azd::{self, Saved};
use crate::environment::{Environment, variable};
use crate::failure::Failure;
use crate::hooks::Hooks;
use crate::line::call::{encode, typed};
use crate::line::connect::DaemonFlags;
use crate::ownership::User;
use crate::scope::isolation::IsolationFlags;
use crate::scope::profile::Profile;
use crate::show::table::columns;
use crate::{exit, places, show, terminal};
use clap::{Args, Subcommand, ValueEnum};
use cupola_protocol::isolation::Isolation;
use cupola_protocol::partitions::{Import, ImportEntry, ImportOutcome, ImportParams, Imported};
use serde_json::json;
use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::path::PathBuf;

pub(crate) const HELP: &str = "\
azd did not save whose its sessions are. On a terminal that is asked for each agent; elsewhere give the isolation that \
holds for all of them, or --unisolated. What Cupola has saved already stays, unless --force is given.

Examples:
  cupola import azd --dry-run --user-isolation-key tenant-acme
  cupola import azd
  cupola import azd --unisolated -o json";

/// Longest line read as an answer, in bytes: a key has at most 1024.
const MAX_ANSWER_BYTES: u64 = 2048;
/// What is typed to leave an agent out.
const SKIP: &str = "skip";

#[derive(Debug, Args)]
pub(crate) struct Flags {
    #[command(subcommand)]
    source: Source,
}

#[derive(Debug, Subcommand)]
enum Source {
    /// The Azure Developer CLI's sessions and conversations
    Azd(Box<AzdFlags>),
}

#[expect(clippy::doc_markdown, reason = "the comments are help texts")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
#[derive(Debug, Args)]
struct AzdFlags {
    /// azd's configuration directory, which has config.json [env: AZD_CONFIG_DIR] [default: ~/.azd]
    #[arg(long, value_name = "DIRECTORY")]
    azd_config_dir: Option<PathBuf>,
    /// Import them for calls without any isolation
    #[arg(long, conflicts_with_all = ["user_isolation_key", "chat_isolation_key", "user_identity", "chat"])]
    unisolated: bool,
    /// Replace sessions and conversations that are already saved
    #[arg(long)]
    force: bool,
    /// Print what would be imported, without changing anything
    #[arg(long)]
    dry_run: bool,
    /// Never prompt; fail if something is missing
    #[arg(long)]
    no_prompt: bool,
    /// Ignore CUPOLA_* variables that set an isolation
    #[arg(long)]
    no_env: bool,
    /// Output format
    #[arg(long, short, value_name = "FORMAT", default_value = "table")]
    output: Output,
    #[command(flatten)]
    isolation: IsolationFlags,
    #[command(flatten)]
    daemon: DaemonFlags,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// Columns
    Table,
    /// Indented JSON
    Json,
}

impl Flags {
    /// Do programs read the output?
    pub(crate) fn is_json(&self) -> bool {
        let Source::Azd(flags) = &self.source;
        flags.output == Output::Json
    }
}

/// Takes over what azd has saved.
pub(crate) fn run(flags: &Flags, hooks: Hooks) -> Result<u8, Failure> {
    let Source::Azd(flags) = &flags.source;
    let directory = flags.azd_config_dir.clone().or_else(|| places::azd_config_directory(variable));
    let Some(directory) = directory else {
        return Err(Failure::usage_hint(
            "azd's directory is not known: HOME is not set",
            "pass --azd-config-dir PATH, or set HOME",
        ));
    };
    let saved = azd::read(&directory.join("config.json"), User::current())?;
    let given = flags.isolation.resolve(&Environment::process(flags.no_env), &Profile::default())?;
    let (mut entries, mut shown, mut skipped) = (Vec::new(), Vec::new(), saved.skipped);
    for agent in saved.agents {
        let Some(isolation) = flags.owner(&agent, &given)? else {
            skipped.push((agent.name(), "you skipped it".to_owned()));
            continue;
        };
        for target in agent.targets() {
            shown.push((agent.name(), agent.session.clone(), agent.conversation.clone()));
            entries.push(ImportEntry {
                target,
                isolation: isolation.clone(),
                session_id: agent.session.clone(),
                conversation_id: agent.conversation.clone(),
            });
        }
    }
    let imported = if entries.is_empty() {
        Vec::new()
    } else {
        let params = ImportParams { entries: entries.clone(), force: flags.force, dry_run: flags.dry_run };
        let call = encode::<Import>(params)?;
        let raw = flags.daemon.ask(hooks.embedded, call, |_| ())?.receive(|_| Ok(()))?;
        typed::<Import>(&raw)?.entries
    };
    let is_refused = imported.iter().any(|entry| entry.refused.is_some());
    if flags.output == Output::Json {
        let entries: Vec<_> = entries
            .iter()
            .zip(&imported)
            .map(|(entry, imported)| {
                json!({"target": entry.target, "sessionId": entry.session_id,
                       "conversationId": entry.conversation_id, "outcome": imported})
            })
            .collect();
        let skipped: Vec<_> = skipped.iter().map(|(key, reason)| json!({"key": key, "reason": reason})).collect();
        let report = json!({"dryRun": flags.dry_run, "entries": entries, "skipped": skipped});
        show::print(&format!("{}\n", terminal::json(&format!("{report:#}"))))?;
    } else {
        let mut rows = vec![["AGENT", "VERSION", "SESSION", "CONVERSATION"].map(str::to_owned)];
        rows.extend(entries.iter().zip(shown).zip(&imported).map(
            |((entry, (name, session, conversation)), imported)| {
                let version = entry.target.version().map_or_else(|| "its own".to_owned(), ToString::to_string);
                let session = session.map(|session| (session.to_string(), imported.session));
                let conversation = conversation.map(|conversation| (conversation.to_string(), imported.conversation));
                [name, version, cell(session, imported), cell(conversation, imported)]
            },
        ));
        show::print(&if rows.len() > 1 { columns(&rows) } else { "There is nothing to import.\n".to_owned() })?;
        let mut stderr = terminal::stderr();
        for (key, reason) in skipped {
            let _ = writeln!(stderr, "skipped: {}", terminal::line(&format!("{key}: {reason}")));
        }
        if flags.dry_run {
            let _ = writeln!(stderr, "dry run: nothing was changed");
        }
    }
    Ok(if is_refused { exit::FAILED } else { exit::OK })
}

fn cell(id: Option<(String, Option<ImportOutcome>)>, imported: &Imported) -> String {
    let Some((id, outcome)) = id else { return "-".to_owned() };
    let said = match outcome {
        Some(ImportOutcome::Imported) => "imported",
        Some(ImportOutcome::Unchanged) => "unchanged",
        Some(ImportOutcome::Kept) => "not imported: another one is saved (--force replaces it)",
        Some(ImportOutcome::Foreign) => "not imported: it belongs to another user",
        None => imported.refused.as_deref().unwrap_or("refused"),
    };
    format!("{id}: {said}")
}

impl AzdFlags {
    /// Whose an agent's session is; nothing when it is left out.
    fn owner(&self, agent: &Saved, given: &Isolation) -> Result<Option<Isolation>, Failure> {
        let is_given = given.user_key.is_some()
            || given.chat_key.is_some()
            || given.user_identity.is_some()
            || given.chat.is_some();
        if is_given || self.unisolated {
            return Ok(Some(given.clone()));
        }
        if self.no_prompt || !io::stdin().is_terminal() || !terminal::stderr_is_terminal() {
            return Err(Failure::usage_hint(
                "azd does not save which user its sessions belong to, and Cupola cannot ask you because this is not a terminal",
                "pass isolation flags such as --user-isolation-key that apply to all sessions, or pass --unisolated",
            ));
        }
        ask(agent, given, io::stdin().lock(), terminal::stderr())
    }
}

fn ask(
    agent: &Saved,
    given: &Isolation,
    mut input: impl BufRead,
    mut terminal: impl Write,
) -> Result<Option<Isolation>, Failure> {
    let mut question = |text: &str| -> io::Result<Option<String>> {
        write!(terminal, "{text}")?;
        terminal.flush()?;
        let mut line = String::new();
        let read = input.by_ref().take(MAX_ANSWER_BYTES).read_line(&mut line)?;
        Ok((read > 0).then(|| line.trim_end_matches(['\r', '\n']).to_owned()))
    };
    let unread = |error: io::Error| Failure::usage(format!("the answer cannot be read: {error}"));
    let ids = [agent.session.as_ref().map(ToString::to_string), agent.conversation.as_ref().map(ToString::to_string)];
    let ids: Vec<_> = ids.into_iter().flatten().collect();
    let head = format!("{}\n", terminal::line(&format!("{} ({})", agent.name(), ids.join(", "))));
    let whose = format!("{head}  user isolation key or identity (Enter: no user; {SKIP}: skip it): ");
    let Some(user) = question(&whose).map_err(unread)?.filter(|answer| answer != SKIP) else { return Ok(None) };
    let chat = question("  chat isolation key (Enter: none): ").map_err(unread)?.unwrap_or_default();
    let key = |name, value: String| {
        if value.is_empty() {
            return Ok(None);
        }
        Isolation::key(name, value).map(Some).map_err(|invalid| Failure::usage(invalid.to_string()))
    };
    let (user_key, chat_key) = (key("the user isolation key", user)?, key("the chat isolation key", chat)?);
    Ok(Some(Isolation { user_key, chat_key, ..given.clone() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_it_is_is_asked_and_an_agent_can_be_left_out() {
        let text = r#"{"extensions":{"ai-agents":{"sessions":{
            "acct.services.ai.azure.com/api/projects/p/agents/notes/versions/3/remote":"sess-00000001"}}}}"#;
        let agent = azd::parse(text).unwrap().agents.remove(0);
        let answer = |typed: &str| {
            let mut terminal = Vec::new();
            let owner = ask(&agent, &Isolation::default(), typed.as_bytes(), &mut terminal).unwrap();
            assert!(String::from_utf8(terminal).unwrap().starts_with("notes in p at acct.services.ai.azure.com"));
            owner.map(|owner| serde_json::to_value(owner).unwrap())
        };
        assert_eq!(
            answer("tenant-acme\nthread-42\n").unwrap(),
            json!({"userKey": "tenant-acme", "chatKey": "thread-42"})
        );
        assert_eq!(answer("\n\n").unwrap(), json!({}));
        assert_eq!(answer("skip\n"), None);
        assert_eq!(answer(""), None);
        assert!(ask(&agent, &Isolation::default(), "a\u{7}\n\n".as_bytes(), Vec::new()).is_err());
    }
}
