//! The command line as a whole. Each command's own flags are in its file under [`crate::commands`].
//!
//! - `refusal`: a command line that is refused, in words that say what to do
//! - `forms`: what azd's flags can be written like and clap's cannot
//! - `azd`, `mentioned`: tests: azd's flags exist here, and so does every command and flag that a text names

mod forms;
mod refusal;

use crate::commands::{Command, Syntax};
use crate::exit;
use clap::{CommandFactory, Parser};
use std::ffi::OsString;

/// A resident, isolated line to Microsoft Foundry hosted agents.
#[derive(Debug, Parser)]
#[command(name = "cupola", version = crate::environment::version(), long_about = LONG_ABOUT, after_help = exit::HELP, disable_help_subcommand = true, args_override_self = true)]
pub(crate) struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// What to tell about how the command line was read.
    #[arg(skip)]
    pub notices: Vec<String>,
}

const LONG_ABOUT: &str = "\
A resident, isolated line to Microsoft Foundry hosted agents.

Every command except `serve`, `emulator` and `conformance` is a small client of one daemon per user, and starts the daemon if it is not running. \
The daemon keeps tokens and connections warm and, per isolation key, the session and conversation to continue.

  cupola invoke --emulator --user-isolation-key tenant-acme \"remember the launch code is 4711\"
  cupola invoke --emulator --user-isolation-key tenant-acme \"what do you remember?\"";

/// What people type who know other tools, and what it stands for. `cupola logs` is an alias of `cupola monitor`.
const SYNONYMS: [(&str, &[&str]); 3] =
    [("version", &["--version"]), ("show", &["agents", "show"]), ("login", &["auth", "login"])];

/// Reads the arguments. The error is also how `--help` and `--version` come back.
pub(crate) fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Arguments, clap::Error> {
    let mut arguments: Vec<OsString> = arguments.collect();
    // `cupola help files upload` is `cupola files upload --help`.
    if arguments.get(1).is_some_and(|command| command == "help") {
        arguments.remove(1);
        arguments.push("--help".into());
    }
    let synonym = SYNONYMS.iter().find(|(word, _)| arguments.get(1).is_some_and(|command| command == word));
    if let Some((_, meant)) = synonym {
        arguments.splice(1..2, meant.iter().map(OsString::from));
    }
    let forms::Rewritten { line, notices } = forms::rewritten(arguments, definition);
    let parsed = Arguments::try_parse_from(&line).map_err(|error| match line.get(1) {
        Some(command) if command == "invoke" => refusal::of_invoke(error),
        _ => refusal::of_command(error, &line, definition),
    })?;
    Ok(Arguments { notices, ..parsed })
}

/// The definition of every command, for completions and manual pages.
fn definition() -> clap::Command {
    let mut definition = Arguments::command();
    definition.build();
    definition
}

/// The syntax, for the commands that need it themselves.
pub(crate) const SYNTAX: Syntax = Syntax { parse: |line| Ok(parse(line.into_iter())?.command), definition };

#[cfg(test)]
mod azd;

#[cfg(test)]
mod mentioned;

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Arguments, clap::Error> {
        parse(std::iter::once("cupola").chain(line.split_whitespace()).map(OsString::from))
    }

    #[test]
    fn the_definition_is_sound() {
        definition().debug_assert();
    }

    #[test]
    fn the_flags_of_a_command_are_defined_when_it_is_called() {
        let flags = |program: &clap::Command| -> usize {
            program.get_subcommands().map(|command| command.get_arguments().count()).sum()
        };
        assert_eq!(flags(&Arguments::command()), 0, "flags of commands that nobody has called");
        assert!(flags(&definition()) > 100);
    }

    #[test]
    fn paragraphs_of_help_are_broken_by_the_terminal_alone() {
        let help = definition()
            .get_subcommands()
            .filter_map(|command| Some(command.get_after_help()?.to_string()))
            .collect::<Vec<_>>();
        assert!(help.len() > 10, "only {} commands have help below their flags", help.len());
        for text in help {
            let lines: Vec<_> = text.lines().take_while(|line| *line != "Examples:").collect();
            for pair in lines.windows(2) {
                assert!(pair.iter().any(|line| line.is_empty()), "a line ends where the source's does: {pair:?}");
            }
        }
    }

    #[test]
    fn lines_that_are_taken() {
        for line in [
            "invoke hello",
            "invoke my-agent hello",
            "invoke --emulator hello",
            "invoke --emulator=http://127.0.0.1:8787 -- -hello",
            "invoke --user-isolation-key -dash --chat-isolation-key c -o jsonl hi",
            "invoke --version 3 --conversation-id conv_1 --timeout 0 hi",
            "invoke --session-id sess_12345 --conversation-id conv_1 hi",
            "invoke --protocol invocations -f body.json",
            "invoke -",
            "invoke --agent-endpoint https://x hello",
            "invoke --local --port 9000 my-agent hello",
            "invoke --local --protocol a2a hello",
            "invoke --emulator --detach -o json hello",
            "runs list -o table",
            "runs ls -o table",
            "sessions ls --emulator",
            "agents ls",
            "partitions ls",
            "runs list --emulator --user-isolation-key acme",
            "runs show run-1 -o table",
            "runs attach run-1 --after 7 -o jsonl",
            "runs cancel run-1",
            "sessions create --agent-name a --version 3 --isolation-key sk-tenant-acme",
            "sessions create my-agent 3 --session-id my-session-0001",
            "sessions create my-agent 3 sk-tenant-acme",
            "sessions list -n my-agent -e dev -C ..",
            "invoke -p invocations -s sess_12345 -t 0 --no-prompt --profile acme hi",
            "sessions list --user-isolation-key tenant-acme -o table --limit 5",
            "sessions show sess_abc123 --user-isolation-key tenant-acme",
            "sessions delete sess_abc123 --isolation-key sk-tenant-acme",
            "sessions use sess_abc123 --allow-shared-session",
            "sessions stop",
            "files upload ./seed.json --user-isolation-key tenant-acme --chat-isolation-key thread-42",
            "files upload --file ./input.csv -n my-agent -t /data/input.csv -s my-session-0001",
            "files upload my-agent ./input.csv",
            "files ls /data -o table",
            "files list",
            "files download /data/output.csv --target-path ./output.csv",
            "files stat /data -o json",
            "files mkdir -d /data/out",
            "files rm /data --recursive",
            "files rm -r /data",
            "files remove -f /data",
            "agents list --emulator -o table --limit 5",
            "agents show my-agent --version 3 -o json",
            "partitions list -o table",
            "partitions list --emulator --user-isolation-key acme",
            "partitions forget 0123456789abcdef",
            "partitions forget --emulator --user-isolation-key acme -o json",
            "import azd --dry-run --unisolated -o json",
            "import azd --user-identity alice --force --no-prompt",
            "monitor --follow --user-isolation-key tenant-acme --chat-isolation-key thread-42",
            "monitor my-agent -s sess_abc123 -f -l 300 -t system --utc --raw",
            "monitor --tail 1 --type console --session-id sess_abc123 -o jsonl",
            "status -o json",
            "stop --force",
            "socket --socket /s/v1.sock",
            "attach --stdio",
            "attach --emulator --user-isolation-key a --only invoke --only sessions/*",
            "serve --idle-exit never",
            "emulator --listen 127.0.0.1:0 --tls --json --agent a=exec:x,protocol=2.0.0",
            "completions fish",
            "man out",
            "doctor my-agent --emulator -o json",
            "doctor",
            "auth status -o json",
            "auth clear",
            "chat --emulator --user-isolation-key a my-agent",
            "logs -f",
            "show my-agent",
            "login",
            "sessions prune --older-than 7d --dry-run",
            "sessions prune --older-than 12h --yes -o json",
            "status -o table",
            "invoke --user-isolation-key a --user-isolation-key b --emulator --emulator -o raw -o default hi",
            "invoke --new-session=true --no-prompt=true --new-session=false hi",
            "invoke --session-id s_1234567 --new-session hi",
            "invoke --conversation-id c --new-conversation hi",
            "invoke --long-running --no-wait hi",
            "--no-prompt -C .. --debug -o raw invoke hi",
            "sessions -o table list extra",
            "sessions create a 3 --version 4",
            "sessions create a 3 sk-1 --isolation-key sk-2",
            "files mkdir x -d y",
            "files delete a -f b --recursive=false",
            "files upload -f -dash.txt",
            "files upload my-agent a.txt --file b.txt",
            "invocations show --id resp_1 -p responses -n my-agent -o table",
            "invocations follow",
            "invocations cancel --id run-1 --emulator --user-isolation-key acme",
        ] {
            if let Err(error) = parsed(line) {
                panic!("{line}: {error}");
            }
        }
    }

    #[test]
    fn lines_that_are_refused() {
        for line in [
            "",
            "no-such-command",
            "invoke a b c",
            "invoke --isolation-key k hello",
            "sessions list --isolation-key k",
            "files list --isolation-key k",
            "monitor --isolation-key k",
            "invoke --detach --no-daemon hello",
            "runs",
            "runs attach run-1 -o raw",
            "runs attach run-1 --after -1",
            "sessions delete",
            "sessions create a 3 sk-1 more",
            "sessions use",
            "sessions prune",
            "sessions prune --older-than week",
            "monitor --tail 0",
            "monitor --tail 301",
            "monitor --type other",
            "monitor --raw -o json",
            "monitor --isolation-key k",
            "files",
            "files upload",
            "files upload a b c",
            "files download",
            "files stat",
            "files mkdir",
            "files delete",
            "files delete a b",
            "invoke --emulator --project-endpoint https://x hello",
            "invoke --agent-endpoint https://x --project-endpoint https://x hello",
            "invoke --agent-endpoint https://x --local hello",
            "invoke --local --emulator hello",
            "invoke --local --version 2 hello",
            "invoke --port 9000 hello",
            "invoke --local --port 0 hello",
            "invoke --session-id s_1234567 --version 2 hello",
            "invoke --isolation-model wrong hello",
            "invoke --timeout -1 hello",
            "invoke -o raw-ish hello",
            "invoke --no-daemon --socket /s hello",
            "completions cmd",
            "import azd --unisolated --user-identity alice",
            "import",
            "help no-such-command",
        ] {
            assert!(parsed(line).is_err(), "{line} was taken");
        }
    }

    #[test]
    fn help_can_be_asked_for_with_a_word() {
        for (line, shown) in [
            ("help", "Usage: cupola <COMMAND>"),
            ("help files upload", "Usage: cupola files upload "),
            ("help logs", "Usage: cupola monitor "),
            ("show --help", "Usage: cupola agents show "),
            ("help login", "Usage: cupola auth login"),
        ] {
            let help = parsed(line).unwrap_err();
            assert_eq!(help.kind(), clap::error::ErrorKind::DisplayHelp, "{line}");
            assert!(help.to_string().contains(shown), "{line}: {help}");
        }
    }

    #[test]
    fn version_is_a_word_too() {
        let version = parsed("version").unwrap_err();
        assert_eq!(version.kind(), clap::error::ErrorKind::DisplayVersion);
    }

    #[test]
    fn every_command_shows_an_example() {
        for command in definition().get_subcommands().filter(|command| !command.is_hide_set()) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains(&format!("cupola {}", command.get_name())), "{}: {help}", command.get_name());
        }
    }
}
