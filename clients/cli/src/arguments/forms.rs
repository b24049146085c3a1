//! The forms in which azd's flags can be written and clap's cannot: `--follow=false`, flags of every command before the command, and
//! empty values. azd reads its command line with Go's pflag and cobra; a script may use all that they take.
//!
//! The result is the same command line as clap takes it, so that every flag is defined once.

use clap::{Arg, ArgAction, Command};
use std::ffi::{OsStr, OsString};

/// The flags that azd takes on every command. They may precede the command.
const OF_EVERY_COMMAND: [&str; 5] = ["cwd", "debug", "environment", "no_prompt", "output"];

/// Flags that azd ignores when their value is empty: in a script, a variable that is not set.
const IGNORED_WHEN_EMPTY: [&str; 12] = [
    "after",
    "agent_endpoint",
    "agent_name",
    "call_id",
    "conversation_id",
    "dir_flag",
    "file_flag",
    "input_file",
    "positional_key",
    "protocol",
    "session_id",
    "target_path",
];

/// Flags whose empty value means that no key is sent, even where a variable or a profile has one.
const SENDS_NOTHING_WHEN_EMPTY: [&str; 4] =
    ["chat_isolation_key", "isolation_key", "user_identity", "user_isolation_key"];

/// A command line as clap takes it, and what to tell about it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Rewritten {
    /// The command line, which begins with the program's name.
    pub line: Vec<OsString>,
    /// Notices for standard error.
    pub notices: Vec<String>,
}

/// Rewrites what clap does not take. The definition is made only where it is needed: it costs more than the rest of a warm call.
pub(super) fn rewritten(line: Vec<OsString>, definition: impl FnOnce() -> Command) -> Rewritten {
    if !line.iter().skip(1).any(|word| needs_care(word)) && !begins_with_flag(&line) {
        return Rewritten { line, notices: Vec::new() };
    }
    rewrite(&line, &definition())
}

/// Could this word be a form that clap does not take?
fn needs_care(word: &OsStr) -> bool {
    let Some(word) = word.to_str() else { return false };
    word.is_empty()
        || (word.starts_with('-') && word.split_once('=').is_some_and(|(_, value)| value.is_empty() || is_truth(value)))
}

/// Does a flag precede the command, or stand between the words of one such as `sessions list`?
fn begins_with_flag(line: &[OsString]) -> bool {
    let is_flag =
        |index: usize| line.get(index).and_then(|word| word.to_str()).is_some_and(|word| word.starts_with('-'));
    let has_commands = line.get(1).is_some_and(|word| word == "sessions" || word == "files");
    // A flag alone precedes nothing: `cupola --version`.
    (is_flag(1) && line.len() > 2) || (has_commands && is_flag(2))
}

fn is_truth(value: &str) -> bool {
    truth(value).is_some()
}

/// A truth value as Go's `strconv.ParseBool` reads it.
fn truth(value: &str) -> Option<bool> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

fn rewrite(line: &[OsString], root: &Command) -> Rewritten {
    let mut words = line.iter();
    let mut done = Rewritten::default();
    done.line.extend(words.next().cloned());
    // The command's own words come first, and the flags that were before them after that.
    let (mut command, mut before): (_, Vec<OsString>) = (root, Vec::new());
    while let Some(word) = words.as_slice().first() {
        if let Some(found) = command.find_subcommand(word) {
            command = found;
            done.line.push(word.clone());
            words.next();
        } else if let Some(flag) = word.to_str().and_then(|word| flag_of_every_command(root, word)) {
            before.push(word.clone());
            words.next();
            if flag.has_value_in_next_word {
                before.extend(words.next().cloned());
            }
        } else {
            break;
        }
    }
    let rest: Vec<OsString> = before.into_iter().chain(words.cloned()).collect();
    let mut rest = rest.into_iter();
    while let Some(word) = rest.next() {
        if word == "--" {
            done.line.push(word);
            break;
        }
        let Some(flag) = word.to_str().and_then(|word| Flag::read(command, word)) else {
            done.line.push(word);
            continue;
        };
        let value = if flag.has_value_in_next_word { rest.next() } else { None };
        let is_empty = value.as_deref().map_or(flag.value == Some(""), OsStr::is_empty);
        let id = flag.argument.get_id().as_str();
        if let (true, Some(truth)) = (flag.is_switch, flag.value.and_then(truth)) {
            // The last one counts, so an earlier one is taken back.
            done.line.retain(|word| word != flag.name);
            done.line.extend(truth.then(|| flag.name.into()));
        } else if is_empty && IGNORED_WHEN_EMPTY.contains(&id) {
            done.notices.push(format!("{} is empty, so it counts as left out", flag.name));
        } else {
            if is_empty && SENDS_NOTHING_WHEN_EMPTY.contains(&id) {
                done.notices.push(format!("{} is empty, so none is sent", flag.name));
            }
            done.line.push(word.clone());
            done.line.extend(value);
        }
    }
    done.line.extend(rest);
    done
}

/// A flag as it is written in a word.
struct Flag<'a> {
    argument: &'a Arg,
    /// `--follow` or `-f`.
    name: &'a str,
    /// What follows `=` in the same word.
    value: Option<&'a str>,
    is_switch: bool,
    has_value_in_next_word: bool,
}

impl<'a> Flag<'a> {
    /// Reads a word. Nothing if it is not a flag of this command.
    fn read(command: &'a Command, word: &'a str) -> Option<Self> {
        let (name, value) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
        let (argument, is_whole) = if let Some(long) = name.strip_prefix("--") {
            (command.get_arguments().find(|argument| has_long(argument, long))?, true)
        } else {
            let mut letters = name.strip_prefix('-')?.chars();
            let letter = letters.next()?;
            let argument = command.get_arguments().find(|argument| argument.get_short() == Some(letter))?;
            (argument, letters.next().is_none())
        };
        let is_switch = matches!(argument.get_action(), ArgAction::SetTrue);
        let takes_next = !is_switch && is_whole && value.is_none() && !argument.is_require_equals_set();
        let takes_next = takes_next && argument.get_action().takes_values();
        Some(Self { argument, name, value, is_switch, has_value_in_next_word: takes_next })
    }
}

fn has_long(argument: &Arg, long: &str) -> bool {
    argument.get_long() == Some(long) || argument.get_all_aliases().is_some_and(|aliases| aliases.contains(&long))
}

/// A flag that may precede the command. `invoke` has all of them.
fn flag_of_every_command<'a>(root: &'a Command, word: &'a str) -> Option<Flag<'a>> {
    let flag = Flag::read(root.find_subcommand("invoke")?, word)?;
    OF_EVERY_COMMAND.contains(&flag.argument.get_id().as_str()).then_some(flag)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::definition;

    fn of(line: &[&str]) -> Rewritten {
        rewritten(line.iter().map(OsString::from).collect(), definition)
    }

    /// The words after the program's name, and the notices.
    fn shown(line: &[&str]) -> (String, Vec<String>) {
        let Rewritten { line, notices } = of(&[&["cupola"], line].concat());
        let words: Vec<_> = line.iter().skip(1).map(|word| word.to_str().unwrap()).collect();
        (words.join(" "), notices)
    }

    #[test]
    fn a_switch_can_have_a_truth_value_and_the_last_one_counts() {
        for (line, expected) in [
            (&["invoke", "--new-session=true", "hi"][..], "invoke --new-session hi"),
            (&["invoke", "--new-session=false", "hi"], "invoke hi"),
            (&["invoke", "--new-session", "--new-session=F", "hi"], "invoke hi"),
            (&["invoke", "--new-session=0", "--new-session", "hi"], "invoke --new-session hi"),
            (&["monitor", "-f=false", "--utc=1"], "monitor --utc"),
            (&["files", "rm", "x", "--recursive=T"], "files rm x --recursive"),
        ] {
            assert_eq!(shown(line), (expected.to_owned(), vec![]), "{line:?}");
        }
    }

    #[test]
    fn nothing_is_defined_for_a_line_that_clap_takes_as_it_is() {
        for line in [&["cupola", "--version"][..], &["cupola", "--help"], &["cupola", "invoke", "--emulator", "hi"]] {
            let line: Vec<_> = line.iter().map(OsString::from).collect();
            let taken = rewritten(line.clone(), || unreachable!("the commands are defined for {line:?}"));
            assert_eq!(taken.line, line);
        }
    }

    #[test]
    fn a_value_is_never_taken_for_a_flag() {
        for line in [
            &["invoke", "--user-isolation-key", "--new-session=true", "hi"][..],
            &["invoke", "--", "--new-session=true"],
            &["invoke", "--client-header=x-client-a: b", "--new-session=maybe", "hi"],
            &["invoke", "-s", "--new-session=true", "hi"],
            &["invoke", "--emulator", "--forever=true", ""],
        ] {
            assert_eq!(shown(line), (line.join(" "), vec![]), "{line:?}");
        }
    }

    #[test]
    fn flags_of_every_command_may_precede_the_command() {
        for (line, expected) in [
            (&["-C", "..", "--no-prompt", "invoke", "hi"][..], "invoke -C .. --no-prompt hi"),
            (&["--output", "raw", "--debug", "invoke", "hi"], "invoke --output raw --debug hi"),
            (&["-e=dev", "sessions", "-o", "table", "list"], "sessions list -e=dev -o table"),
            (&["--no-prompt=false", "files", "ls"], "files ls"),
            (&["--version"], "--version"),
            (&["--help"], "--help"),
            (&["--new-session", "invoke", "hi"], "--new-session invoke hi"),
        ] {
            assert_eq!(shown(line).0, expected, "{line:?}");
        }
    }

    #[test]
    fn an_empty_value_counts_as_left_out_and_is_told() {
        let (line, notices) = shown(&["invoke", "-s", "", "--conversation-id=", "--user-isolation-key", "", "hi"]);
        assert_eq!(line, "invoke --user-isolation-key  hi");
        assert_eq!(
            notices,
            [
                "-s is empty, so it counts as left out",
                "--conversation-id is empty, so it counts as left out",
                "--user-isolation-key is empty, so none is sent",
            ]
        );
        // azd refuses an empty version and an empty message.
        assert_eq!(shown(&["invoke", "--version", "", ""]).1, Vec::<String>::new());
    }
}
