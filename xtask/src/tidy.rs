//! The invariants of ARCHITECTURE.md that can be read off the sources, and the house rules about files.
//!
//! A rule is data: which files, which words may not be in them, and why. It runs in `cargo xtask lint` and as a test.
//!
//! - [`floors`]: which modules may use which; [`modules`]: what they use
//! - [`tasks`]: who may start tasks and threads
//! - [`english`]: phrases that are refused; [`hints`]: every hint is followed by a test
//! - [`counterparts`]: docs/emulator.md names the versions it is tested with
//! - [`architecture`]: what ARCHITECTURE.md and SECURITY.md promise; [`maps`]: the first lines of a file name the modules below it

mod architecture;
mod counterparts;
mod english;
mod floors;
mod hints;
mod maps;
mod modules;
mod tasks;

use std::fs;
use std::io;
use std::path::Path;

/// Words that may not be in some files.
struct Rule {
    /// What the rule keeps true.
    why: &'static str,
    /// Does the rule hold for this path? Relative to the root, with `/`.
    applies: fn(&str) -> bool,
    /// The words, compared without case.
    words: &'static [&'static str],
}

const RULES: &[Rule] = &[
    Rule {
        why: "foundry, auth and partition know nothing of the daemon's protocol",
        applies: is_below_rpc,
        words: &["jsonrpsee", "crate::rpc"],
    },
    Rule {
        // A2A speaks it to the service.
        why: "foundry, auth and partition know nothing of JSON-RPC",
        applies: |path| is_below_rpc(path) && !in_module(path, "src/foundry/a2a"),
        words: &["json-rpc", "jsonrpc"],
    },
    Rule {
        why: "protocol is data: it opens no file, no socket and no clock",
        applies: |path| path.starts_with("protocol/src/"),
        words: &["std::fs", "std::net", "std::time", "std::process", "std::env::", "tokio"],
    },
    Rule {
        why: "the environment is read in src/config.rs (daemon), clients/cli/src/environment.rs (client) and nowhere else",
        applies: |path| is_product(path) && !READS_ENVIRONMENT.contains(&path),
        words: &["env::var(", "env::var_os(", "env::vars(", "env::vars_os("],
    },
    Rule {
        why: "the command line starts fast: no async runtime",
        // A pipe is read and written at the same time by tokio alone, and only Windows has pipes.
        applies: |path| path.starts_with("clients/cli/src/") && path != "clients/cli/src/line/stream/pipe.rs",
        words: &["tokio"],
    },
    Rule {
        why: "text of the service goes to a terminal through clients/cli/src/terminal.rs, which makes it harmless",
        applies: |path| path.starts_with("clients/cli/src/") && !in_module(path, "clients/cli/src/terminal"),
        // Clippy refuses the macros that print.
        words: &["io::stdout", "io::stderr"],
    },
    Rule {
        why: "what is written as it is must be harmless by itself",
        applies: |path| path.starts_with("clients/cli/src/") && !WRITES_AS_IS.contains(&path),
        words: &["stdout_as_is", "stderr_as_is"],
    },
    Rule {
        why: "the emulator knows nothing of the daemon",
        applies: |path| path.starts_with("emulator/src/") || path == "emulator/Cargo.toml",
        words: &["cupola_protocol", "cupola-protocol", "cupola_cli", "cupola-cli"],
    },
    Rule {
        why: "paths of one machine mean nothing on another",
        applies: |path| !path.starts_with("xtask/src/tidy"),
        words: &[concat!("/", "work/"), concat!("/", "root/")],
    },
];

/// Who may read the environment: the daemon's settings, the client's, and the emulator's `exec:` agents, which get
/// `PATH` and the like from their parent as every process does.
const READS_ENVIRONMENT: &[&str] = &["src/config.rs", "clients/cli/src/environment.rs", "emulator/src/sandbox/exec.rs"];

/// Who may write to a terminal without any check: JSON that is escaped, messages for programs, a log in colours and a
/// progress line.
const WRITES_AS_IS: &[&str] = &[
    "clients/cli/src/show.rs",
    "clients/cli/src/terminal.rs",
    "clients/cli/src/commands/acp/editor.rs",
    "clients/cli/src/commands/attach.rs",
    "clients/cli/src/commands/files/transfer.rs",
    "clients/cli/src/commands/invoke/print.rs",
    "clients/cli/src/commands/monitor.rs",
];

/// Longest Rust file, not counting the unit tests at its end. The aim is 120 to 250 lines; past this a file is two files.
const MAX_LINES: usize = 500;
/// Longest file of tests: a table of cases reads well at a length that code does not.
const MAX_TEST_LINES: usize = 600;

/// Directories without our own sources.
const SKIPPED: &[&str] = &[".git", "node_modules", "__pycache__"];

/// What cargo puts into a directory that it builds in. Its name does not tell: `src/target` holds sources.
const BUILD_MARK: &str = "CACHEDIR.TAG";

/// Kinds of files the word rules are for.
const TEXT: &[&str] = &[
    "rs", "toml", "md", "py", "sh", "lua", "ts", "mjs", "el", "vim", "json", "jsonl", "yml", "yaml", "service",
    "plist", "txt",
];

/// Everything that breaks a rule, one line each.
pub(crate) fn check(root: &Path) -> Result<Vec<String>, String> {
    let mut files = Vec::new();
    collect(root, root, &mut files).map_err(|error| format!("the sources cannot be read: {error}"))?;
    files.sort();
    let mut broken = Vec::new();
    for path in files {
        let text = fs::read_to_string(root.join(&path)).map_err(|error| format!("{path} cannot be read: {error}"))?;
        broken.extend(check_file(&path, &text));
        broken.extend(english::check(&path, &text));
        broken.extend(maps::check(&path, &text));
    }
    broken.extend(floors::check(root)?);
    broken.extend(tasks::check(root)?);
    broken.extend(hints::check(root)?);
    broken.extend(architecture::check(root)?);
    broken.extend(counterparts::check(root)?);
    Ok(broken)
}

/// The paths of all text files, relative, with `/`.
fn collect(root: &Path, directory: &Path, files: &mut Vec<String>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type()?.is_dir() {
            if !SKIPPED.contains(&name.as_str()) && !path.join(BUILD_MARK).exists() {
                collect(root, &path, files)?;
            }
        } else if path.extension().is_some_and(|extension| TEXT.contains(&extension.to_string_lossy().as_ref()))
            && let Ok(relative) = path.strip_prefix(root)
        {
            files.push(relative.to_string_lossy().replace('\\', "/"));
        }
    }
    Ok(())
}

/// What is wrong with one file.
fn check_file(path: &str, text: &str) -> Vec<String> {
    let mut broken = Vec::new();
    for rule in RULES.iter().filter(|rule| (rule.applies)(path)) {
        for (number, line) in text.lines().enumerate() {
            let line = line.to_lowercase();
            for word in rule.words.iter().filter(|word| line.contains(**word)) {
                broken.push(format!("{path}:{} must not say {word}: {}", number + 1, rule.why));
            }
        }
    }
    if !is_rust(path) {
        return broken;
    }
    if path.ends_with("/mod.rs") {
        broken.push(format!("{path}: write it as foo.rs beside foo/"));
    }
    let limit = if path.contains("tests/") { MAX_TEST_LINES } else { MAX_LINES };
    let lines = text.lines().take_while(|line| *line != "#[cfg(test)]").count();
    if lines > limit {
        broken.push(format!("{path}: {lines} lines; past {limit} a file is two files"));
    }
    if !text.starts_with("//!") {
        broken.push(format!("{path}: the first lines (`//!`) say what belongs in the file"));
    }
    broken
}

/// The modules that the daemon's own protocol is built on.
fn is_below_rpc(path: &str) -> bool {
    ["src/foundry", "src/auth", "src/partition"].iter().any(|part| in_module(path, part))
}

/// Is this file the module or below it?
fn in_module(path: &str, module: &str) -> bool {
    path.strip_prefix(module).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
}

fn is_rust(path: &str) -> bool {
    Path::new(path).extension().is_some_and(|extension| extension == "rs")
}

/// Code that ships, as opposed to tests and build tasks.
fn is_product(path: &str) -> bool {
    is_rust(path)
        && ["src/", "protocol/src/", "emulator/src/", "clients/cli/src/", "clients/mcp/src/"]
            .iter()
            .any(|part| path.starts_with(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sources_keep_the_invariants() {
        let broken = check(&crate::root()).unwrap();
        assert!(broken.is_empty(), "\n{}", broken.join("\n"));
    }

    #[test]
    fn sources_are_found_in_every_directory_that_is_not_built() {
        let mut files = Vec::new();
        let root = crate::root();
        collect(&root, &root, &mut files).unwrap();
        assert!(files.iter().any(|file| file == "src/target/project.rs"));
        assert!(!files.iter().any(|file| file.starts_with("target/")));
    }

    #[test]
    fn each_rule_sees_what_it_is_for() {
        let long = "//! Long.\n".repeat(MAX_LINES + 1);
        for (path, text, says) in [
            ("src/foundry/sse.rs", "//! As JSON-RPC does.", "JSON-RPC"),
            ("src/auth.rs", "//! A.\nuse jsonrpsee::core;", "src/auth.rs:2"),
            ("protocol/src/id.rs", "//! A.\nuse std::time::Instant;", "no clock"),
            ("src/server.rs", "//! A.\nlet home = std::env::var_os(\"HOME\");", "src/config.rs"),
            ("clients/cli/src/line/call.rs", "//! A.\nuse tokio::net;", "no async runtime"),
            ("clients/cli/src/show/answer.rs", "//! A.\nlet out = std::io::stdout();", "terminal.rs"),
            ("clients/cli/src/show/answer.rs", "//! A.\nlet out = terminal::stdout_as_is();", "harmless by itself"),
            ("emulator/Cargo.toml", "cupola-protocol.workspace = true", "nothing of the daemon"),
            ("docs/x.md", concat!("see /", "root/.cache"), "one machine"),
            ("src/rpc/mod.rs", "//! A.", "foo.rs beside foo/"),
            ("src/long.rs", long.as_str(), "two files"),
            ("src/bare.rs", "use std::io;", "what belongs"),
        ] {
            let broken = check_file(path, text);
            assert!(broken.iter().any(|line| line.contains(says)), "{path}: {broken:?}");
        }
        for (path, text) in [
            ("src/config.rs", "//! A.\nlet home = std::env::var_os(\"HOME\");"),
            ("src/rpc.rs", "//! JSON-RPC.\nuse jsonrpsee::core;"),
            ("tests/it/process.rs", "//! A.\nlet home = std::env::var_os(\"HOME\");"),
        ] {
            assert_eq!(check_file(path, text), Vec::<String>::new());
        }
    }
}
