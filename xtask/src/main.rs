//! What people and CI run: `cargo xtask test|lint|fuzz|kills|soak|schema|advisories|bench|dist`.
//!
//! - [`steps`]: runs named steps, counts what passed, prints the closing line
//! - [`mod@test`]: everything a contributor needs to know that a change is good
//! - [`lint`]: formatting, clippy, documentation; [`tidy`]: the invariants that can be read off the sources
//! - [`fuzz`]: the fuzz targets; [`kills`]: the daemon, killed repeatedly; [`soak`]: under load for long
//! - [`deny`]: licences, bans and advisories of the dependencies
//! - [`schema`]: what is made from the protocol's types: OpenRPC, the clients' types, the reference
//! - [`node`]: the suite of the Node client; [`vscode`]: those of the VS Code extension; [`editors`]: those of Neovim, Emacs and Vim
//! - [`mod@bench`]: builds and runs the benchmark of tests/bench
//! - [`dist`]: the packages of a release

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "printing is what a build task is for")]

mod bench;
mod deny;
mod dist;
mod editors;
mod fuzz;
mod kills;
mod lint;
mod node;
mod schema;
mod soak;
mod steps;
mod test;
mod tidy;
mod vscode;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  test      formatting, lints, invariants, all tests, then real counterparts
  ci        the same, but a step that cannot run here is a failure; also with the variable CI set
  lint      formatting, lints and invariants alone
  fuzz [--seconds N] [TARGET]
            runs the fuzz targets of fuzz/, or one of them, for 5 or N seconds each
  kills [--real] [--rounds N] [--seed N]
            kills the daemon at 500 or N random points of streams, and checks that nothing is lost or told twice; with --real
            the agent is a published agent server
  soak [--minutes N]
            keeps the daemon under load, faults and kills for an hour or N minutes, and measures what it holds
  schema [--check]
            writes what is made from the protocol's types, or says what of it is stale
  advisories DIRECTORY
            makes deny/advisories.json from a clone of the RustSec database
  bench [--json FILE] [--page FILE] [--rounds N] [PART ...]
            builds the release program and measures it beside what one would use instead (tests/bench), or these parts of it
  dist [--target TRIPLE] [--binary FILE] [--out DIRECTORY] [--quick]
            builds the packages of a release for this platform, or another one, into target/dist; with --binary it packs this
            program instead of building one; --quick makes larger packages sooner
  dist manifests --url URL --homepage URL [--out DIRECTORY]
            writes what Homebrew, winget and scoop read, for the archives in the directory, which will be found below the first URL";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["test"] if std::env::var_os("CI").is_none() => test::run(test::Skipping::Allowed),
        ["test" | "ci"] => test::run(test::Skipping::Fails),
        ["lint"] => lint::run(),
        ["fuzz", options @ ..] => fuzz::run(options),
        ["kills", options @ ..] => kills::run(options),
        ["soak", options @ ..] => soak::run(options),
        ["advisories", database] => advisories(database.as_ref()),
        ["schema"] => schema::write(),
        ["schema", "--check"] => lint::schema(),
        ["bench", options @ ..] => bench::run(options),
        ["dist", options @ ..] => dist::run(options),
        ["--help" | "-h" | "help"] => {
            println!("{USAGE}");
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn advisories(database: &Path) -> ExitCode {
    match deny::advisories::write(database) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("error: {reason}");
            ExitCode::FAILURE
        }
    }
}

/// The workspace's directory.
fn root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent().map(PathBuf::from).unwrap_or(here)
}

/// The cargo that runs this task, so that a toolchain chosen on the command line stays chosen.
fn cargo() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned())
}
