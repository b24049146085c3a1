//! Texts name commands and flags: in hints, help, comments and other clients. Each that is named exists.

use super::{SYNONYMS, definition};
use clap::Command;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Where texts are, from the top of the repository.
const SOURCES: [&str; 9] = [
    "docs",
    "src",
    "protocol/src",
    "emulator/src",
    "clients/cli/src",
    "clients/node/src",
    "clients/python/src",
    "clients/vscode/src",
    "clients/neovim",
];

/// Flags of other programs that our texts name: azd's and curl's; and those that tests make up.
const FOREIGN: [&str; 8] =
    ["scope", "data-raw", "data-binary", "unix-socket", "connect-to", "cacert", "set", "forever"];

fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !matches!(name.as_str(), "node_modules" | "dist" | "__pycache__") {
            files(&path, found);
        } else if matches!(
            path.extension().and_then(|end| end.to_str()),
            Some("rs" | "ts" | "py" | "lua" | "txt" | "md")
        ) {
            found.push(path);
        }
    }
}

/// Each text file with its path.
fn texts() -> Vec<(PathBuf, String)> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut found = Vec::new();
    for directory in SOURCES {
        files(&top.join(directory), &mut found);
    }
    assert!(found.len() > 200, "only {} files were found", found.len());
    found.into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

/// Everything between backticks that begins with `cupola`, line by line.
fn commands(text: &str) -> impl Iterator<Item = &str> {
    let quoted = text.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
    quoted.filter(|quoted| quoted.starts_with("cupola ") && !quoted.contains('…'))
}

/// What of a command line does not exist.
fn unknown(line: &str) -> Option<String> {
    let root = definition();
    let mut command = &root;
    let mut words = line.split_whitespace().skip(1).skip_while(|word| *word == "help").peekable();
    while let Some(word) = words.peek() {
        let found: Vec<_> = word.split('|').map(|name| command.find_subcommand(name)).collect();
        match found[..] {
            [Some(one)] => command = one,
            // A list of subcommands is the end of the line.
            [_, _, ..] => return found.iter().any(Option::is_none).then(|| (*word).to_owned()),
            _ => break,
        }
        words.next();
    }
    let word = words.peek().copied().unwrap_or_default();
    let is_synonym = command.get_name() == root.get_name() && SYNONYMS.iter().any(|(synonym, _)| *synonym == word);
    if is_synonym {
        return None;
    }
    if command.has_subcommands() && word.starts_with(|letter: char| letter.is_ascii_lowercase()) {
        return Some(word.to_owned());
    }
    let mut flags =
        words.filter_map(|word| word.strip_prefix("--")).map(|flag| flag.split('=').next().unwrap_or_default());
    let unknown = flags.find(|flag| !knows(command, flag) && !knows(&root, flag));
    unknown.map(|flag| format!("--{flag}"))
}

fn knows(command: &Command, flag: &str) -> bool {
    matches!(flag, "help" | "version")
        || command.get_arguments().any(|argument| {
            let names = argument.get_long().into_iter().chain(argument.get_all_aliases().into_iter().flatten());
            names.into_iter().any(|name| name == flag)
        })
}

/// The long flags of a command and all below it.
fn flags(command: &Command, found: &mut BTreeSet<String>) {
    for argument in command.get_arguments() {
        found.extend(argument.get_long().map(str::to_owned));
        found.extend(argument.get_all_aliases().into_iter().flatten().map(str::to_owned));
    }
    for command in command.get_subcommands() {
        flags(command, found);
    }
}

#[test]
fn every_command_that_a_text_names_exists() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    for (path, text) in texts() {
        for line in commands(&text) {
            seen += 1;
            wrong.extend(unknown(line).map(|word| format!("{}: `{line}`: {word}", path.display())));
        }
    }
    assert!(seen > 50, "only {seen} commands were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_flag_that_a_hint_names_exists() {
    let mut known = BTreeSet::from(["help".to_owned(), "version".to_owned()]);
    known.extend(FOREIGN.map(str::to_owned));
    flags(&definition(), &mut known);
    let mut wrong = Vec::new();
    // The commands of the pages are run by tests/it/pages.rs.
    for (path, text) in texts().into_iter().filter(|(path, _)| path.extension().is_some_and(|end| end != "md")) {
        for line in text.lines().filter(|line| line.contains('"') && !line.trim_start().starts_with("//")) {
            for words in line.split('"').skip(1).step_by(2) {
                // A host name in Punycode, as `xn--example`, is not a flag.
                for flag in words.replace("xn--", "").split("--").skip(1) {
                    let flag: String =
                        flag.chars().take_while(|letter| letter.is_ascii_lowercase() || *letter == '-').collect();
                    if flag.len() > 1 && !known.contains(flag.trim_end_matches('-')) {
                        wrong.push(format!("{}: --{flag} in {line}", path.display()));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_command_that_does_not_exist_is_noticed() {
    for (line, wrong) in [
        ("cupola stop", None),
        ("cupola sessions list|show", None),
        ("cupola files upload FILE --target-path PATH", None),
        ("cupola sessions lst", Some("lst")),
        ("cupola sessions list|shw", Some("list|shw")),
        ("cupola runs list --forever", Some("--forever")),
    ] {
        assert_eq!(unknown(line).as_deref(), wrong, "{line}");
    }
}
