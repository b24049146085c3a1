//! What azd prints for a command and what Cupola prints for it: `tests/fixtures/azd-output.toml`. Cupola's side is run here, and the
//! table in `docs/azd.md` is made of the cases that differ.

use crate::support::{Home, finish};
use serde::Deserialize;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

#[derive(Deserialize)]
struct Fixture {
    case: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    command: String,
    /// What the command shows, where its words do not say it.
    what: Option<String>,
    /// In words, where the texts are long.
    difference: Option<String>,
    azd: String,
    #[serde(default)]
    azd_exit: i32,
    cupola: Option<String>,
    #[serde(default)]
    cupola_exit: i32,
}

fn cases() -> Vec<Case> {
    toml::from_str::<Fixture>(include_str!("../fixtures/azd-output.toml")).unwrap().case
}

/// Is this the text of the template? `…` stands for any text.
fn is_like(text: &str, template: &str) -> bool {
    let mut parts = template.split('…');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut last = None;
    for part in parts {
        let Some(place) = rest.find(part) else { return false };
        rest = &rest[place + part.len()..];
        last = Some(part);
    }
    rest.is_empty() || last.is_some_and(|part| part.is_empty() || rest.ends_with(part))
}

/// As a cell of a table: one line, with nothing that Markdown acts on.
fn cell(text: &str, exit: i32) -> String {
    let lines: Vec<_> = text.trim_matches('\n').lines().map(|line| format!("`{line}`").replace("``", "")).collect();
    let shown = if lines.iter().all(String::is_empty) { "nothing".to_owned() } else { lines.join("<br>") };
    format!("{shown} (exit code {exit})")
}

fn table() -> String {
    let mut table = "| command | azd prints | Cupola prints |\n|---|---|---|\n".to_owned();
    for case in cases() {
        let Some(cupola) = &case.cupola else { continue };
        let what = case.what.as_ref().map(|what| format!(", {what}")).unwrap_or_default();
        let (azd, cupola) = match &case.difference {
            Some(difference) => ("JSON".to_owned(), format!("the same members, {difference}")),
            None => (cell(&case.azd, case.azd_exit), cell(cupola, case.cupola_exit)),
        };
        writeln!(table, "| `{}`{what} | {azd} | {cupola} |", case.command).unwrap();
    }
    table
}

#[test]
fn a_template_is_matched_as_a_whole() {
    for (text, template, fits) in [
        ("a\n", "a\n", true),
        ("a\nb\n", "a\n", false),
        ("at 12 s\n", "at … s\n", true),
        ("at 12 s\nmore\n", "at … s\n", false),
        ("x a y a z", "x…a z", true),
    ] {
        assert_eq!(is_like(text, template), fits, "{text:?} {template:?}");
    }
}

#[test]
fn cupola_prints_what_azd_prints_except_where_the_page_says_so() {
    let home = Home::new();
    fs::write(home.path("in.txt"), "hello\n").unwrap();
    let mut wrong = Vec::new();
    for case in cases() {
        let line = format!("cupola {} --emulator", case.command);
        let mut command = home.command(&[]);
        let program = Path::new(command.get_program()).parent().unwrap().to_owned();
        command = std::process::Command::new("bash");
        command.args(["-c", &line]).env_clear().env("HOME", home.path("")).env("XDG_RUNTIME_DIR", home.path("run"));
        command.env("PATH", format!("{}:/usr/bin:/bin", program.display())).current_dir(home.path(""));
        command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::piped());
        command.stderr(std::process::Stdio::piped());
        let output = finish(command);
        let printed = String::from_utf8(output.stdout).unwrap();
        let expected = case.cupola.as_ref().unwrap_or(&case.azd);
        let exit = output.status.code().unwrap();
        if !is_like(&printed, expected) || exit != case.cupola_exit {
            let complaint = String::from_utf8_lossy(&output.stderr);
            wrong.push(format!("## {line}, exit code {exit}\n{printed}\n{complaint}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_page_shows_every_difference() {
    let page = include_str!("../../docs/azd.md");
    let table = table();
    assert!(page.contains(&table), "docs/azd.md must have this table:\n{table}");
}
