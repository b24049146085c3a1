//! A command line that is refused: clap's words, except where they are those of the Rust library or help nobody. Words that other tools
//! have as commands, azd above all, get a tip that says what does it here.

use clap::Command;
use clap::error::{ContextKind, ContextValue, Error, ErrorKind};
use std::error::Error as _;
use std::ffi::OsString;
use std::num::ParseIntError;

/// The refusal of `cupola invoke`, whose message is often typed without quotes.
pub(super) fn of_invoke(error: Error) -> Error {
    if error.kind() != ErrorKind::TooManyValues {
        return plain(error);
    }
    let message = "a message of several words must be in quotes\n\n\
        For example: cupola invoke \"first second third\"\n";
    Error::raw(ErrorKind::TooManyValues, message)
}

/// What people type as a command who know azd or other tools, and what to do in its place.
const TIPS: [(&[&str], &str); 14] = [
    (&["up", "deploy", "provision", "package", "publish"], DEPLOY),
    (&["down", "destroy"], "Cupola deletes no agents: azd does, with `azd down`. `cupola stop` stops the daemon"),
    (
        &["init", "new", "create"],
        "no project is needed: try `cupola invoke --emulator \"hello\"`. azd makes one with `azd ai agent init`",
    ),
    (
        &["env"],
        "azd's environments are used as they are: choose one with `-e NAME` on any command, or with `azd env select NAME`",
    ),
    (
        &["run"],
        "to run your own agent, use `cupola emulator --agent 'NAME=exec:COMMAND'`; if it runs already, `cupola invoke --local \"hello\"` \
         calls it",
    ),
    (&["start"], "the daemon starts with the first command that needs it; `cupola serve` runs it in this terminal"),
    (&["restart"], "run `cupola stop`; the next command starts the daemon again"),
    (&["kill", "quit", "shutdown"], "`cupola stop` stops the daemon; `cupola runs cancel RUN_ID` cancels a run"),
    (
        &["logout"],
        "`cupola auth clear` forgets the tokens that Cupola holds; `azd auth logout` or `az logout` signs you out",
    ),
    (&["ask", "send", "call", "prompt", "query"], "to send a message to an agent, use `cupola invoke \"hello\"`"),
    (&["repl", "talk", "shell"], "to talk to an agent turn by turn, use `cupola chat`"),
    (&["ps", "jobs"], "`cupola runs list` lists runs, `cupola status` shows the daemon"),
    (
        &["list", "ls"],
        "say what to list: `cupola agents list`, `sessions list`, `runs list`, `files list` or `partitions list`",
    ),
    (
        &["config", "configure", "set"],
        "settings are in ~/.config/cupola/config.toml; `cupola status` shows the file that is used",
    ),
];

const DEPLOY: &str =
    "Cupola calls agents and does not deploy them: deploy with `azd up` or `azd deploy`, then run `cupola invoke`";

/// The refusal of a command that does not exist. The `line` begins with the program's name.
pub(super) fn of_command(error: Error, line: &[OsString], definition: impl Fn() -> Command) -> Error {
    let word = match error.get(ContextKind::InvalidSubcommand) {
        Some(ContextValue::String(word)) if error.kind() == ErrorKind::InvalidSubcommand => word.clone(),
        _ => return plain(error),
    };
    if line.get(1).is_none_or(|first| *first != *word) {
        return plain(error);
    }
    match tip(&word, line, definition) {
        Some(tip) => {
            let message =
                format!("cupola has no command '{word}'\n\n  tip: {tip}\n\nFor more information, try '--help'.\n");
            Error::raw(ErrorKind::InvalidSubcommand, message)
        }
        None => plain(error),
    }
}

fn tip(word: &str, line: &[OsString], definition: impl Fn() -> Command) -> Option<String> {
    // `azd ai agent invoke` is `cupola invoke`.
    if matches!(word, "ai" | "agent") {
        let extra: Vec<_> = line.iter().skip(1).take_while(|word| *word == "ai" || *word == "agent").collect();
        let next = line.get(1 + extra.len()).and_then(|next| next.to_str());
        let prefix = if extra.len() > 1 { "ai agent" } else { word };
        let is_command = |next: &&str| {
            super::SYNONYMS.iter().any(|(word, _)| word == next) || definition().find_subcommand(next).is_some()
        };
        if let Some("list" | "ls") = next {
            return Some("`cupola agents list` lists the project's agents".to_owned());
        }
        return Some(match next.filter(is_command) {
            Some(command) => format!("leave out '{prefix}': `cupola {command}`"),
            None => match next.and_then(listed_tip) {
                Some(tip) => tip.to_owned(),
                None => format!("leave out '{prefix}', as in `cupola invoke` or `cupola sessions list`"),
            },
        });
    }
    listed_tip(word).map(str::to_owned)
}

fn listed_tip(word: &str) -> Option<&'static str> {
    TIPS.iter().find(|(words, _)| words.contains(&word)).map(|(_, tip)| *tip)
}

/// The refusal without the words of Rust's parser of numbers.
pub(super) fn plain(error: Error) -> Error {
    if !error.source().is_some_and(<dyn std::error::Error>::is::<ParseIntError>) {
        return error;
    }
    let (Some(ContextValue::String(argument)), Some(ContextValue::String(value))) =
        (error.get(ContextKind::InvalidArg), error.get(ContextKind::InvalidValue))
    else {
        return error;
    };
    let message = format!("invalid value '{value}' for '{argument}': it must be a whole number\n");
    Error::raw(ErrorKind::ValueValidation, message)
}

#[cfg(test)]
mod tests {
    use crate::arguments::parse;
    use std::ffi::OsString;

    fn refused(line: &str) -> String {
        parse(line.split(' ').map(OsString::from)).unwrap_err().to_string()
    }

    #[test]
    fn a_value_that_is_not_a_number_is_refused_in_plain_words() {
        for (line, shown) in [
            (
                "cupola invoke -t soon hi",
                "error: invalid value 'soon' for '--timeout <SECONDS>': it must be a whole number\n",
            ),
            (
                "cupola agents list --limit=many",
                "error: invalid value 'many' for '--limit <NUMBER>': it must be a whole number\n",
            ),
        ] {
            assert_eq!(refused(line), shown);
        }
    }

    #[test]
    fn a_command_of_azd_gets_a_tip_that_names_the_one_that_does_it_here() {
        for (line, tip) in [
            ("cupola up", "`azd up`"),
            ("cupola deploy my-agent", "`azd deploy`"),
            ("cupola init", "`azd ai agent init`"),
            ("cupola env select dev", "`azd env select NAME`"),
            ("cupola run", "`cupola emulator --agent 'NAME=exec:COMMAND'`"),
            ("cupola start", "`cupola serve`"),
            ("cupola agent invoke hi", "leave out 'agent': `cupola invoke`"),
            ("cupola ai agent invoke hi", "leave out 'ai agent': `cupola invoke`"),
            ("cupola ai agent sessions list", "leave out 'ai agent': `cupola sessions`"),
            ("cupola ai agent run", "'NAME=exec:COMMAND'"),
            ("cupola ai agent show", "leave out 'ai agent': `cupola show`"),
            ("cupola agent list", "`cupola agents list` lists the project's agents"),
            ("cupola ai", "leave out 'ai', as in `cupola invoke`"),
            ("cupola ls", "`cupola agents list`"),
        ] {
            let shown = refused(line);
            assert!(shown.contains("\n  tip: ") && shown.contains(tip), "{line}: {shown}");
            assert!(shown.starts_with("error: cupola has no command '"), "{line}: {shown}");
        }
        // A slip of the keyboard keeps clap's words.
        assert!(refused("cupola dctor").contains("a similar subcommand exists: 'doctor'"));
        assert!(refused("cupola sessions up").contains("unrecognized subcommand 'up'"));
        assert_eq!(parse(["cupola", "auth", "login"].map(OsString::from).into_iter()).unwrap().notices, [""; 0]);
    }

    #[test]
    fn no_tip_is_about_a_command_that_exists() {
        let definition = crate::arguments::definition();
        for word in super::TIPS.iter().flat_map(|(words, _)| *words).chain(&["ai", "agent"]) {
            assert!(definition.find_subcommand(word).is_none(), "{word}");
        }
    }

    #[test]
    fn a_message_without_quotes_is_recognized() {
        let shown = refused("cupola invoke notes hello big world");
        assert!(shown.contains("a message of several words must be in quotes"), "{shown}");
        assert!(!refused("cupola invoke -X hi").contains("quotes"));
    }
}
