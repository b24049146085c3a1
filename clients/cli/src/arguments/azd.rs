//! Every flag that `docs/azd.md` lists is one that this command line takes.

use super::parse;
use std::ffi::OsString;

const TABLES: &str = include_str!("../../../../docs/azd.md");

/// One flag as it is typed, on one command.
struct Row {
    command: String,
    flag: String,
    value: String,
    /// The positional arguments are given by this flag.
    replaces_positional: bool,
}

/// The commands that a flag "on every command" is tried on.
const EVERY_COMMAND: [&str; 6] =
    ["invoke", "sessions create", "sessions list", "sessions show", "files list", "monitor"];

/// The least that a command needs besides its flags.
fn positional(command: &str) -> &'static str {
    match command {
        "invoke" => "hello",
        "sessions show" | "sessions stop" | "sessions delete" => "session-0001",
        "files upload" | "files download" | "files stat" | "files delete" | "files mkdir" => "in.txt",
        _ => "",
    }
}

fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    let mut commands: Vec<String> = Vec::new();
    let mut replaces_positional = false;
    for line in TABLES.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            commands =
                if heading == "On every command" { EVERY_COMMAND.map(str::to_owned).to_vec() } else { code(heading) };
            replaces_positional = false;
        } else if line.starts_with("With ") {
            replaces_positional = true;
        } else if line.starts_with("| `") {
            let cells: Vec<&str> = line.split(" | ").map(str::trim).collect();
            let [flags, value, ..] = cells.as_slice() else { panic!("no row: {line}") };
            let value = code(value).pop().unwrap_or_default();
            for command in &commands {
                rows.extend(code(flags).into_iter().map(|flag| Row {
                    command: command.clone(),
                    flag,
                    value: value.clone(),
                    replaces_positional,
                }));
            }
        }
    }
    rows
}

/// What stands between backticks.
fn code(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn every_flag_of_azd_is_taken() {
    let rows = rows();
    assert!(rows.len() > 100, "the tables are not read: {} rows", rows.len());
    for Row { command, flag, value, replaces_positional } in rows {
        let positional = if replaces_positional { "" } else { positional(&command) };
        let line = format!("cupola {command} {flag} {value} {positional}");
        let words = line.split_whitespace().map(OsString::from);
        if let Err(error) = parse(words) {
            panic!("{line}\n{error}");
        }
    }
}
