//! `cupola complete LINE`: the agents, sessions, runs, partitions and profiles that could stand at the end of a command line. The
//! completion scripts call it; see [`super::completions`].
//!
//! The definition of the command line says what the last word is. The flags before it say which agent and whose state. Nothing is
//! prompted for, no error is shown, and the shell does not wait for long.

use super::partitions::whole_list;
use super::{Syntax, scope_mut};
use crate::exit;
use crate::failure::Failure;
use crate::hooks::Hooks;
use crate::line::call::typed;
use crate::scope::ScopeFlags;
use crate::scope::profile;
use crate::show;
use clap::Arg;
use cupola_protocol::observe::ProgressOptions;
use cupola_protocol::{agents, partitions, runs, sessions};
use std::ffi::OsString;
use std::process;
use std::thread;
use std::time::Duration;

/// A shell shows nothing while it waits, so it waits no longer than this. A warm call takes far less.
const LONGEST: Duration = Duration::from_secs(3);

#[derive(Debug, clap::Args)]
pub(crate) struct Flags {
    /// The command line up to the cursor
    #[arg(value_name = "LINE", allow_hyphen_values = true)]
    line: String,
}

/// What a word can be that only the daemon, the service or the user's files know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Agent,
    Session,
    Run,
    Partition,
    Profile,
}

/// The last word of a command line.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    kind: Kind,
    /// What of it has been typed.
    beginning: String,
    /// Stands before it in the same word, such as `--profile=`.
    before: String,
    /// The flags that say which agent and whose state.
    scope: Vec<String>,
}

/// Prints the words, one a line.
pub(crate) fn run(flags: &Flags, hooks: Hooks, syntax: Syntax) -> Result<u8, Failure> {
    let Some(wanted) = wanted(&flags.line, &(syntax.definition)()) else { return Ok(exit::OK) };
    // Fails only if a thread cannot be started. Then the shell waits for the service.
    let _ = thread::Builder::new().name("limit".to_owned()).spawn(|| {
        thread::sleep(LONGEST);
        process::exit(i32::from(exit::OK));
    });
    let Ok(known) = known(&wanted, hooks, syntax) else { return Ok(exit::OK) };
    let fitting = known.iter().filter(|word| word.starts_with(&wanted.beginning));
    let lines: Vec<_> = fitting.flat_map(|word| [wanted.before.as_str(), word, "\n"]).collect();
    show::print(&lines.concat())?;
    Ok(exit::OK)
}

/// What there is of this kind, for these flags.
fn known(wanted: &Wanted, hooks: Hooks, syntax: Syntax) -> Result<Vec<String>, Failure> {
    if wanted.kind == Kind::Profile {
        return profile::names();
    }
    let line = ["cupola", "agents", "list"].into_iter().chain(wanted.scope.iter().map(String::as_str));
    let mut command = (syntax.parse)(line.map(OsString::from).collect()).map_err(|_| Failure::usage("flags"))?;
    let Some(scope) = scope_mut(&mut command) else { return Ok(Vec::new()) };
    let scope: &ScopeFlags = scope;
    let progress = ProgressOptions::default();
    Ok(match wanted.kind {
        Kind::Agent => {
            let (target, _) = scope.resolve(None)?;
            let params = agents::ListParams { target, limit: None, order: None, progress };
            let listed = typed::<agents::List>(&scope.call::<agents::List>(hooks, params)?)?.data;
            listed.iter().filter_map(|agent| agent["name"].as_str().map(str::to_owned)).collect()
        }
        Kind::Session => {
            let (target, isolation) = scope.resolve(None)?;
            let params = sessions::ListParams { target, isolation, limit: None, order: None, after: None, progress };
            let listed = typed::<sessions::List>(&scope.call::<sessions::List>(hooks, params)?)?.data;
            listed.into_iter().map(|session| session.agent_session_id).collect()
        }
        Kind::Run => {
            let raw = scope.call::<runs::List>(hooks, runs::ListParams { all: true, ..runs::ListParams::default() })?;
            typed::<runs::List>(&raw)?.runs.iter().map(|run| run.run_id.to_string()).collect()
        }
        Kind::Partition => {
            let raw = whole_list(scope, hooks, &partitions::ListParams::default())?;
            typed::<partitions::List>(&raw)?.partitions.iter().map(|partition| partition.id.to_string()).collect()
        }
        Kind::Profile => Vec::new(),
    })
}

/// Reads a line up to the cursor. `None` if its last word is not a name of one of these kinds.
fn wanted(line: &str, definition: &clap::Command) -> Option<Wanted> {
    let mut words = shlex::split(line)?;
    let last = if line.ends_with(char::is_whitespace) { String::new() } else { words.pop()? };
    let scope_of = definition.find_subcommand("agents")?.find_subcommand("list")?;
    let (mut command, mut positional, mut scope) = (definition, 0, Vec::new());
    let mut words = words.into_iter().skip(1).peekable();
    let mut open = None;
    while let Some(word) = words.next() {
        let flag = flag(command, &word);
        if let Some((arg, has_value)) = flag {
            let is_scope =
                scope_of.get_arguments().any(|other| other.get_id() == arg.get_id() && other.get_id() != "output");
            let takes_next = takes_value(arg) && !has_value;
            let value = if takes_next { words.next() } else { None };
            if takes_next && value.is_none() {
                open = Some(arg);
            } else if is_scope {
                scope.push(word);
                scope.extend(value);
            }
        } else if let Some(inner) = command.find_subcommand(&word) {
            command = inner;
        } else if !word.starts_with('-') {
            positional += 1;
        }
    }
    let (arg, before, beginning) = match (open, last.split_once('=')) {
        (Some(arg), _) => (arg, String::new(), last),
        (None, Some((name, value))) if name.starts_with("--") => {
            (flag(command, name)?.0, format!("{name}="), value.to_owned())
        }
        _ if last.starts_with('-') => return None,
        _ => (command.get_positionals().nth(positional).or(command.get_positionals().last())?, String::new(), last),
    };
    let kind = kind(arg, command)?;
    if kind == Kind::Agent {
        // Which agent is meant is not known yet.
        while let Some(at) = scope.iter().position(|word| word == "-n" || word.starts_with("--agent-name")) {
            scope.drain(at..(at + if scope[at].contains('=') { 1 } else { 2 }).min(scope.len()));
        }
    }
    Some(Wanted { kind, beginning, before, scope })
}

/// The flag that a word is, and whether the word has its value, too.
fn flag<'a>(command: &'a clap::Command, word: &str) -> Option<(&'a Arg, bool)> {
    let arg = |is_it: &dyn Fn(&Arg) -> bool| command.get_arguments().find(|arg| is_it(arg));
    if let Some(long) = word.strip_prefix("--") {
        let (name, has_value) = long.split_once('=').map_or((long, false), |(name, _)| (name, true));
        return Some((arg(&|arg| arg.get_long() == Some(name))?, has_value));
    }
    let mut letters = word.strip_prefix('-')?.chars();
    let letter = letters.next()?;
    Some((arg(&|arg| arg.get_short() == Some(letter))?, !letters.as_str().is_empty()))
}

/// Is the next word its value? Not where the value can only come behind `=`.
fn takes_value(arg: &Arg) -> bool {
    arg.get_action().takes_values() && !arg.is_require_equals_set()
}

fn kind(arg: &Arg, command: &clap::Command) -> Option<Kind> {
    let value = arg.get_value_names().and_then(|names| names.first()).map(clap::builder::Str::as_str);
    Some(match (arg.get_long(), value) {
        (Some("agent-name"), _) | (None, Some("AGENT" | "[AGENT] MESSAGE")) => Kind::Agent,
        // A session that is made gets an id of its own.
        (Some("session-id"), _) if command.get_name() == "create" => return None,
        (Some("session-id" | "after"), Some("ID" | "SESSION_ID")) | (None, Some("SESSION_ID")) => Kind::Session,
        (Some("profile"), _) => Kind::Profile,
        (None, Some("RUN_ID")) => Kind::Run,
        (None, Some("ID")) if command.get_name() == "forget" => Kind::Partition,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Option<(Kind, String, Vec<String>)> {
        let wanted = wanted(line, &(crate::arguments::SYNTAX.definition)())?;
        Some((wanted.kind, format!("{}{}", wanted.before, wanted.beginning), wanted.scope))
    }

    #[test]
    fn the_definition_says_what_the_last_word_is() {
        for (line, kind, typed, scope) in [
            ("cupola runs show ", Kind::Run, "", ""),
            ("cupola runs attach --quiet run-0", Kind::Run, "run-0", ""),
            ("cupola sessions delete --emulator -n notes sess_", Kind::Session, "sess_", "--emulator -n notes"),
            ("cupola files list --user-isolation-key 'a b' -s ", Kind::Session, "", "--user-isolation-key a b"),
            ("cupola invoke --emulator --session-id=se", Kind::Session, "--session-id=se", "--emulator"),
            ("cupola invoke --emulator --agent-name no", Kind::Agent, "no", "--emulator"),
            ("cupola invoke --emulator=http://127.0.0.1:1 no", Kind::Agent, "no", "--emulator=http://127.0.0.1:1"),
            ("cupola agents show -n old -o json ", Kind::Agent, "", ""),
            ("cupola chat --profile ", Kind::Profile, "", ""),
            ("cupola partitions forget 0", Kind::Partition, "0", ""),
        ] {
            let (found, word, flags) = of(line).unwrap_or_else(|| panic!("{line}"));
            assert_eq!((found, word.as_str(), flags.join(" ").as_str()), (kind, typed, scope), "{line}");
        }
        for line in [
            "cupola",
            "cupola run",
            "cupola runs show --",
            "cupola sessions create --session-id ",
            "cupola invoke 'open",
            "cupola files upload ",
            "cupola invoke -f ",
        ] {
            assert_eq!(of(line), None, "{line}");
        }
    }
}
