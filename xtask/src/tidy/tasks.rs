//! Who may start tasks and threads. What a tracker starts is waited for when the daemon (or the emulator) ends; anything else
//! could outlive it or be cut in the middle, so each place that starts something else is named here with its reason.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use std::fs;
use std::path::Path;

/// The crates that the rule holds for. Their tests may start what they like.
const SOURCES: &[&str] = &["src", "emulator/src", "clients/cli/src", "clients/mcp/src"];

/// Names that start something.
const STARTS: &[&str] = &["spawn", "spawn_blocking", "spawn_local", "spawn_pinned", "spawn_scoped"];

/// What stands before the name when it is a function of tokio's or of the standard library's.
const STARTERS: &[&str] = &["tokio", "task", "thread"];

/// Receivers whose method of that name is allowed: the trackers, and an object's own method, which is itself checked.
const TRACKERS: &[&str] = &["tasks", "tracker", "exchanges", "self"];

/// A function that may start something outside the trackers: its file, its name, and why.
const PLACES: &[(&str, &str, &str)] = &[
    ("clients/cli/src/line/ahead.rs", "start", "reads as long as the connection; the process ends with the command"),
    ("clients/cli/src/commands/acp/adapter.rs", "prompt", "waited for in place: the session is saved beside its turn"),
    ("clients/cli/src/commands/complete.rs", "run", "ends the process at its time limit"),
    ("clients/cli/src/terminal/waiting.rs", "begin", "ends a second after its wait, or with the command"),
    ("clients/mcp/src/call.rs", "ask", "waited for in place: the line to the daemon blocks"),
    ("clients/mcp/src/call.rs", "begin", "waited for in place: the line to the daemon blocks"),
    ("clients/mcp/src/call.rs", "insist", "waited for in place: the line to the daemon blocks"),
    ("emulator/src/sandbox/exec.rs", "start", "waits for the end of a process, which ends with the emulator"),
    ("src/auth/cache.rs", "start", "a fetch serves all callers that wait for it; forcing the end may drop it"),
    ("src/auth/cache.rs", "fetch", "renews a used token in time; it holds its slot weakly and may be dropped"),
    ("src/foundry/content.rs", "pieces_of", "waited for in place: a disk may be slow"),
    ("src/foundry/invocations_ws/stream.rs", "leave", "bounded by CLOSE_LIMIT; nobody waits for a goodbye"),
    ("src/foundry/reply/stream.rs", "poll_next", "bounded by DRAIN_LIMIT; keeps a connection usable"),
    ("src/lifetime/shutdown.rs", "signals", "runs as long as the process"),
    ("src/methods/doctor.rs", "state", "waited for in place: a disk may be slow"),
    ("src/methods/files/write.rs", "on_thread", "waited for in place: a disk may be slow"),
    ("src/partition/exclusion.rs", "put", "ends when no lock is kept, which is KEPT_FOR after the last one at most"),
    (
        "src/partition/redis/leases.rs",
        "keep",
        "renews leases; it holds the store weakly, and what it drops ends with its time",
    ),
    ("src/partition/redis/simulation.rs", "simulate", "a test's daemons; they end with its runtime"),
    (
        "src/partition/redis/simulation.rs",
        "the_script_places_as_the_rule_says",
        "a test's replica; it ends with its runtime",
    ),
    ("src/partition/redis/simulation/network.rs", "trouble", "a test's faults; they end with its runtime"),
    ("src/partition/sqlite.rs", "with_groups_of", "the store's thread; it ends with its last handle"),
    ("src/pieces.rs", "keep", "gives work up after KEPT_FOR; it holds the table weakly"),
    ("src/process/line.rs", "open", "passes the messages of one command on; the process ends with the command"),
    ("src/process.rs", "embedded", "the whole daemon of --no-daemon"),
    ("src/process/conformance.rs", "agree", "waits for a person; the process ends with the command"),
    ("src/system/file.rs", "on_thread", "waited for in place: a disk may be slow"),
    ("src/target/emulator_tokens.rs", "listed", "waited for in place: a disk may be slow"),
    ("src/target/project.rs", "apart", "waited for in place: a network drive may be slow"),
    ("emulator/src/gateway/files.rs", "blocking", "waited for in place: a disk may be slow"),
    ("emulator/src/gateway/sessions.rs", "create", "a container starts behind the answer; its session ends it"),
    ("emulator/src/sandbox/process.rs", "start", "ends with its process, which the emulator ends"),
    ("emulator/src/session.rs", "container", "waited for in place: a caller that goes away must not stop the start"),
    (
        "clients/cli/src/commands/attach.rs",
        "new",
        "reads one connection; its handle is joined when the connection is replaced",
    ),
    (
        "clients/cli/src/commands/acp.rs",
        "hand_over",
        "reads and answers requests; the command waits for all of them before it ends",
    ),
    (
        "clients/cli/src/line/kept.rs",
        "start_closer",
        "closes connections that nothing uses; it ends by itself once none is left, and nothing is lost with it",
    ),
    ("clients/cli/src/line/start.rs", "wait_for_report", "ends with the daemon's first line or its process"),
];

/// Everything that breaks the rule, one line each.
pub(super) fn check(root: &Path) -> Result<Vec<String>, String> {
    let mut files = Vec::new();
    for sources in SOURCES {
        super::collect(root, &root.join(sources), &mut files)
            .map_err(|error| format!("{sources} cannot be read: {error}"))?;
    }
    files.retain(|file| super::is_rust(file) && !file.ends_with("tests.rs"));
    files.sort();
    let mut found = Vec::new();
    for file in files {
        let text = fs::read_to_string(root.join(&file)).map_err(|error| format!("{file} cannot be read: {error}"))?;
        found.extend(starts(&file, &text)?);
    }
    Ok(judge(&found, PLACES))
}

/// One place that starts something outside the trackers.
#[derive(Debug, PartialEq, Eq)]
struct Start {
    file: String,
    line: usize,
    /// The function it is in.
    within: String,
}

fn judge(found: &[Start], places: &[(&str, &str, &str)]) -> Vec<String> {
    let is_at = |start: &Start, place: &(&str, &str, &str)| start.file == place.0 && start.within == place.1;
    let unnamed = found.iter().filter(|start| !places.iter().any(|place| is_at(start, place))).map(|start| {
        format!(
            "{}:{}: {} starts a task or a thread outside the trackers; use the tracker, or name the place in PLACES with its reason",
            start.file, start.line, start.within
        )
    });
    let stale = places.iter().filter(|place| !found.iter().any(|start| is_at(start, place)));
    unnamed
        .chain(stale.map(|(file, within, _)| {
            format!("{file}: {within} starts nothing outside the trackers any more; remove it from PLACES")
        }))
        .collect()
}

/// What a file starts outside the trackers. Reads words, not syntax, so that it sees into the calls of macros too.
fn starts(file: &str, text: &str) -> Result<Vec<Start>, String> {
    let tokens: TokenStream = text.parse().map_err(|error| format!("{file} is not valid Rust: {error}"))?;
    let mut found = Vec::new();
    search(tokens, file, "", &mut found);
    Ok(found)
}

fn search(tokens: TokenStream, file: &str, within: &str, found: &mut Vec<Start>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut within = within.to_owned();
    let mut is_test = false;
    for (at, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Ident(name) => {
                if is_word(&tokens, at.wrapping_sub(1), "fn") {
                    within = name.to_string();
                } else if STARTS.contains(&name.to_string().as_str()) && is_start(&tokens, at) {
                    let line = name.span().start().line;
                    found.push(Start { file: file.to_owned(), line, within: within.clone() });
                }
            }
            TokenTree::Group(group) => match group.delimiter() {
                Delimiter::Bracket if is_mark(&tokens, at.wrapping_sub(1), '#') => {
                    is_test |= group.stream().to_string().replace(' ', "") == "cfg(test)";
                }
                // The item that the attribute is about ends with its braces.
                Delimiter::Brace if std::mem::take(&mut is_test) => {}
                _ => search(group.stream(), file, &within, found),
            },
            TokenTree::Punct(mark) if mark.as_char() == ';' => is_test = false,
            _ => {}
        }
    }
}

/// Does the name at this place start something outside the trackers?
fn is_start(tokens: &[TokenTree], at: usize) -> bool {
    let arguments = match tokens.get(at + 1) {
        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis => {
            Some(!group.stream().is_empty())
        }
        _ => None,
    };
    let before = |back: usize| at.checked_sub(back).and_then(|at| tokens.get(at));
    let is_one_of = |token: Option<&TokenTree>, names: &[&str]| match token {
        Some(TokenTree::Ident(name)) => names.contains(&name.to_string().as_str()),
        _ => false,
    };
    match before(1) {
        Some(TokenTree::Punct(mark)) if mark.as_char() == ':' => is_one_of(before(3), STARTERS),
        // A child process is started without arguments.
        Some(TokenTree::Punct(mark)) if mark.as_char() == '.' => {
            arguments == Some(true) && !is_one_of(before(2), TRACKERS)
        }
        // Imported by its name.
        _ => arguments == Some(true),
    }
}

fn is_word(tokens: &[TokenTree], at: usize, word: &str) -> bool {
    matches!(tokens.get(at), Some(TokenTree::Ident(name)) if name == word)
}

fn is_mark(tokens: &[TokenTree], at: usize, mark: char) -> bool {
    matches!(tokens.get(at), Some(TokenTree::Punct(found)) if found.as_char() == mark)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<(usize, String)> {
        starts("src/a.rs", text).unwrap().into_iter().map(|start| (start.line, start.within)).collect()
    }

    #[test]
    fn what_starts_outside_the_trackers_is_found_however_it_is_written() {
        for line in [
            "tokio::spawn(async {});",
            "tokio::task::spawn(work());",
            "task::spawn_blocking(|| 1);",
            "std::thread::spawn(move || {});",
            "spawn(async {});",
            "use tokio::spawn;",
            "let start = tokio::spawn;",
            "runtime.spawn(async {});",
            "Handle::current().spawn(async {});",
            "Builder::new().name(name).spawn(move || {});",
            "select! { () = done => { tokio::spawn(async {}); } }",
            "handle.spawn_blocking(work);",
        ] {
            let text = format!("fn work() {{\n    {line}\n}}\n");
            assert_eq!(lines(&text), [(2, "work".to_owned())], "{line}");
        }
    }

    #[test]
    fn trackers_child_processes_and_tests_are_fine() {
        for text in [
            "fn work() { self.tasks.spawn(async {}); daemon.tracker.spawn(x); self.exchanges.spawn(y); }",
            "fn work() { Command::new(\"az\").spawn()?; }",
            "fn spawn(work: Work) {}",
            "// tokio::spawn(async {})\nfn work() { let text = \"tokio::spawn(x)\"; }",
            "#[cfg(test)]\nmod tests { fn work() { tokio::spawn(async {}); } }",
            "fn work() { Slot::spawn(x); }",
        ] {
            assert_eq!(lines(text), [], "{text}");
        }
        let mixed = "#[cfg(test)]\nmod tests;\nfn work() { tokio::spawn(x); }";
        assert_eq!(lines(mixed), [(3, "work".to_owned())]);
    }

    #[test]
    fn a_place_is_named_or_refused_and_named_no_longer_than_needed() {
        let found = starts("src/a.rs", "fn one() { tokio::spawn(x); }\nfn two() { tokio::spawn(x); }").unwrap();
        let broken = judge(&found, &[("src/a.rs", "one", "a reason"), ("src/b.rs", "gone", "a reason")]);
        assert_eq!(broken.len(), 2, "{broken:?}");
        assert!(broken[0].starts_with("src/a.rs:2: two starts a task"), "{broken:?}");
        assert!(broken[1].starts_with("src/b.rs: gone starts nothing"), "{broken:?}");
        assert!(PLACES.iter().all(|(_, _, reason)| !reason.is_empty()));
    }
}
