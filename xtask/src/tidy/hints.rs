//! Every hint is followed by a test. A hint tells a person what to do next, so it is only worth its place when doing so works.
//!
//! A test takes a hint up with `advice("a distinctive part of it")` (tests/it/hints.rs), which checks that the refusal gives that hint
//! and that what it advises works. Here each hint in the sources is held against those calls.
//!
//! - [`texts`]: the hints in the sources; [`followed`]: what the tests take up

mod followed;
mod texts;

use std::fs;
use std::path::Path;
use texts::Hint;

/// Where people's hints are written.
const SOURCES: &[&str] = &["src", "clients/cli/src", "clients/mcp/src"];
/// Where they are followed.
const TESTS: &str = "tests";
/// A shorter part of a hint would not tell which one is meant.
const MIN_PART: usize = 12;

/// Hints that no test can follow here: a part of each, and why.
const EXCEPTIONS: &[(&str, &str)] = &[
    ("name a pipe: set --socket", "only Windows has pipes, and these tests run on Unix"),
    ("set --socket or CUPOLA_SOCKET to another pipe", "only Windows has pipes, and these tests run on Unix"),
    (
        "if this persists, end its process (`cupola serve`)",
        "Linux and macOS always tell which process listens on a socket",
    ),
    (
        "run `cupola serve` in another terminal to see why",
        "needs a machine that does not start a process within its limit",
    ),
    ("run `cupola serve` to see why", "needs a daemon that ends without a word, which is a defect"),
    ("this is a defect in cupola; its log says more", "no call is known to end in a defect"),
    (
        "use another session (--new-session), or stop the daemon",
        "comes after half an hour in a queue that does not move",
    ),
    (
        "run the command again later; `cupola sessions list` shows which",
        "needs another call that saves what is gone at the same moment",
    ),
    ("check the free space of the store's disk", "needs a full disk below the store"),
    (
        "run the command again: the store works",
        "needs a daemon that is stopped in the middle of a call, or a large store that loads",
    ),
    ("use Valkey, or Redis 7.2 or newer", "needs a server that is too old; none is installed"),
    ("use the newer Cupola, or another prefix in [store]", "needs a store that a newer Cupola has written"),
    ("run `cupola doctor`, which looks at the store", "no call is known to meet an error of the store without a name"),
    (
        "send fewer calls; retryAfterMs says when",
        "comes to pass within a minute; src/gateway/limits.rs tests it on a paused clock",
    ),
    ("another gateway serves it, or this one after its start", "needs a second gateway"),
    ("the gateway's /readyz and its log say which issuer", "needs an issuer that comes back"),
    (
        "send a file in pieces: files/write",
        "needs a body of more than 64 MiB; tests/it/file_pieces.rs sends a file in pieces",
    ),
    ("do not trust this host; report it", "no list of revoked certificates is read here, so none is revoked"),
];

/// Everything that breaks the rule, one line each.
pub(super) fn check(root: &Path) -> Result<Vec<String>, String> {
    let files = read(root, SOURCES)?;
    let (texts, mut broken) = texts::read(files.into_iter().filter(|(file, _)| !file.ends_with("tests.rs")))?;
    let mut parts = Vec::new();
    for (file, text) in read(root, &[TESTS])? {
        parts.extend(followed::parts(&file, &text)?);
    }
    broken.extend(judge(&texts, &parts, EXCEPTIONS));
    Ok(broken)
}

/// All Rust files below these directories: paths and texts.
fn read(root: &Path, directories: &[&str]) -> Result<Vec<(String, String)>, String> {
    let mut files = Vec::new();
    for directory in directories {
        super::collect(root, &root.join(directory), &mut files)
            .map_err(|error| format!("{directory} cannot be read: {error}"))?;
    }
    files.retain(|file| super::is_rust(file));
    files.sort();
    let read = |file: String| match fs::read_to_string(root.join(&file)) {
        Ok(text) => Ok((file, text)),
        Err(error) => Err(format!("{file} cannot be read: {error}")),
    };
    files.into_iter().map(read).collect()
}

/// A part of a hint that a test takes up.
#[derive(Debug)]
struct TakenUp {
    file: String,
    line: usize,
    part: String,
}

fn judge(texts: &[Hint], parts: &[TakenUp], exceptions: &[(&str, &str)]) -> Vec<String> {
    let mut broken = Vec::new();
    let mut used = vec![false; texts.len()];
    let taken = parts.iter().map(|part| (format!("{}:{}", part.file, part.line), part.part.as_str()));
    let excepted = exceptions.iter().map(|(part, _)| ("EXCEPTIONS".to_owned(), *part));
    for (place, part) in taken.chain(excepted) {
        let mut meant: Vec<&str> = Vec::new();
        for (text, used) in texts.iter().zip(&mut used).filter(|(text, _)| text.contains(part)) {
            *used = true;
            if !meant.contains(&text.text.as_str()) {
                meant.push(&text.text);
            }
        }
        if part.chars().count() < MIN_PART {
            broken.push(format!("{place}: {part:?} is too short to tell which hint is meant"));
        } else if meant.is_empty() {
            broken.push(format!("{place}: {part:?} is in no hint, or runs across a value that is filled in"));
        } else if meant.len() > 1 {
            broken.push(format!("{place}: {part:?} is in {} hints; take a part that only one has", meant.len()));
        }
    }
    for (text, _) in texts.iter().zip(used).filter(|(_, used)| !used) {
        broken.push(format!(
            "{}:{}: no test follows the hint {:?}; add one to tests/it/hints that calls advice() with a part of it",
            text.file, text.line, text.text
        ));
    }
    broken
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(source: &str, test: &str) -> Vec<String> {
        let (texts, mut broken) = texts::read([("src/a.rs".to_owned(), source.to_owned())]).unwrap();
        broken.extend(judge(&texts, &followed::parts("tests/it/a.rs", test).unwrap(), &[]));
        broken
    }

    const SOURCE: &str = r#"fn a() { no("it failed").hint(format!("run `cupola sessions delete {id}` once more")) }
        impl E { fn hint(self, hint: &str) {} }"#;

    #[test]
    fn a_hint_that_no_test_follows_is_refused() {
        for test in [
            "fn nothing() {}",
            r#"fn talk() { let text = "run `cupola sessions delete"; }"#,
            r#"// advice("run `cupola sessions delete")"#,
        ] {
            let broken = judged(SOURCE, test);
            assert_eq!(broken.len(), 1, "{broken:?}");
            assert!(broken[0].starts_with("src/a.rs:1: no test follows the hint \"run `cupola"), "{broken:?}");
        }
    }

    #[test]
    fn a_hint_is_followed_by_a_test_that_takes_up_a_part_of_it() {
        for test in [
            r#"fn t() { advice("run `cupola sessions delete").given_by(&refused).works(&answer); }"#,
            r#"fn t() { for (words, hint) in [("a", hints::advice("` once more"))] {} }"#,
            "fn t() { assert!(advice(\"run `cupola \\\n                 sessions delete\").is()); }",
        ] {
            let broken = judged(SOURCE, test);
            assert!(broken.iter().all(|line| line.contains("too short")), "{test}: {broken:?}");
        }
    }

    #[test]
    fn a_part_names_one_hint_and_one_that_exists() {
        let two =
            r#"const A_HINT: &str = "leave it out and try again"; const B_HINT: &str = "wait a minute and try again";"#;
        for (test, says) in [
            (
                r#"fn t() { advice("and try again"); advice("leave it out"); advice("wait a minute"); }"#,
                "is in 2 hints",
            ),
            (
                r#"fn t() { advice("leave them out"); advice("leave it out"); advice("wait a minute"); }"#,
                "is in no hint",
            ),
            (r#"fn t() { advice("leave"); advice("leave it out"); advice("wait a minute"); }"#, "too short"),
        ] {
            let broken = judged(two, test);
            assert!(broken.len() == 1 && broken[0].contains(says), "{test}: {broken:?}");
        }
        assert!(EXCEPTIONS.iter().all(|(_, reason)| !reason.is_empty()));
        let (texts, _) = texts::read([("src/a.rs".to_owned(), two.to_owned())]).unwrap();
        let excepted = [("leave it out and", "a reason"), ("wait a minute", "a reason"), ("gone for long", "a reason")];
        let broken = judge(&texts, &[], &excepted);
        assert!(broken.len() == 1 && broken[0].starts_with("EXCEPTIONS: \"gone for long\""), "{broken:?}");
    }
}
