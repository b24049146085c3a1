//! `cargo xtask bench`: Cupola beside what one would use instead, interleaved in one run.
//!
//! Seconds depend on the machine, so a target is a ratio or a difference of two medians of the same run; only memory and the time to a
//! first answer, which people feel, are absolute.
//!
//! - [`bed`]: release binary, emulators, daemons, all in one temporary directory; [`process`]: a process that ends with its value, and
//!   what it has used
//! - [`mod@line`]: a caller on the socket, lighter than what it measures; [`direct`]: a caller that asks the emulator without Cupola
//! - [`echo`]: the least that a round trip can cost; [`capture`]: the exact request the daemon sends, so that others can send the same
//! - [`measure`]: interleaved rounds and medians; [`report`]: the table, as JSON and as docs/benchmarks.md
//!
//! What is measured, with the numbers of its rows:
//!
//! - [`calls`]: round trips and warm calls (1, 2), ACP and MCP (13); [`streams`]: many events, many followers, many streams (3, 4, 10)
//! - [`commands`]: whole processes (5), cold starts (6), the size of the program; [`tokens`]: first calls together (7)
//! - [`files`]: large files (8); [`memory`]: what is held, and what comes back (9)
//! - [`state`]: saved state beside SQLite alone, [`commits`]: new partitions a second (11); [`warm`]: first answers of cold and warm
//!   sessions (14); [`gateway`]: what the gateway adds (15); [`growth`]: cost by connections and partitions (12)

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "printing is what a benchmark is for")]

mod bed;
mod calls;
mod capture;
mod commands;
mod commits;
mod direct;
mod echo;
mod files;
mod gateway;
mod growth;
mod line;
mod measure;
mod memory;
mod process;
mod report;
mod state;
mod streams;
mod tokens;
mod warm;

use report::Report;
use std::path::PathBuf;
use std::process::ExitCode;

/// A part of the benchmark: its name, and what measures it.
type Part = (&'static str, fn(&Setting, &mut Report) -> Result<(), String>);

/// The parts, in the order in which they run: those that need a quiet machine most come first.
const PARTS: [Part; 12] = [
    ("calls", calls::measure),
    ("gateway", gateway::measure),
    ("streams", streams::measure),
    ("commands", commands::measure),
    ("tokens", tokens::measure),
    ("files", files::measure),
    ("state", state::measure),
    ("commits", commits::measure),
    ("warm", warm::measure),
    ("growth", growth::measure),
    ("memory", memory::measure),
    ("size", commands::size),
];
const USAGE: &str = "usage: cargo xtask bench [--json FILE] [--page FILE] [--rounds N] [PART ...]
parts: calls gateway streams commands tokens files state commits warm growth memory size";

/// What every part is given.
struct Setting {
    /// The release program.
    binary: PathBuf,
    /// Rounds of whole processes, and a measure for everything else.
    rounds: usize,
}

/// The command line.
struct Options {
    setting: Setting,
    json: Option<PathBuf>,
    page: Option<PathBuf>,
    parts: Vec<String>,
}

/// Rounds of whole processes unless told otherwise: a median that moves by less than a twentieth between runs.
const ROUNDS: usize = 200;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if let ["echo", options @ ..] = words.as_slice() {
        return echo::serve(options);
    }
    let Some(options) = Options::parse(&words) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    // Fails only where one is chosen already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match options.run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

impl Options {
    /// `BINARY [OPTIONS] [PART ...]`: the program comes from `cargo xtask bench`, which has built it.
    fn parse(words: &[&str]) -> Option<Self> {
        let (binary, rest) = words.split_first()?;
        let mut options = Self {
            setting: Setting { binary: PathBuf::from(binary), rounds: ROUNDS },
            json: None,
            page: None,
            parts: Vec::new(),
        };
        let mut rest = rest.iter();
        while let Some(word) = rest.next() {
            match *word {
                "--json" => options.json = Some(PathBuf::from(rest.next()?)),
                "--page" => options.page = Some(PathBuf::from(rest.next()?)),
                "--rounds" => options.setting.rounds = rest.next()?.parse().ok().filter(|rounds| *rounds > 0)?,
                part if PARTS.iter().any(|(name, _)| *name == part) => options.parts.push(part.to_owned()),
                _ => return None,
            }
        }
        Some(options)
    }

    /// Measures. True if every target is met.
    fn run(&self) -> Result<bool, String> {
        let mut report = Report::default();
        for (name, measure) in PARTS {
            if self.parts.is_empty() || self.parts.iter().any(|part| part == name) {
                println!("measuring {name}");
                // One part that fails does not lose the others' figures.
                if let Err(error) = measure(&self.setting, &mut report) {
                    eprintln!("{name} could not be measured: {error}");
                    report.failed(name, &error);
                }
            }
        }
        println!("{}", report.table());
        for (file, text) in [(&self.json, report.json()), (&self.page, report.page())] {
            if let Some(file) = file {
                std::fs::write(file, text).map_err(|error| format!("{} cannot be written: {error}", file.display()))?;
            }
        }
        Ok(report.all_met())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_and_parts_come_in_any_order() {
        let options = Options::parse(&["cupola", "files", "--rounds", "9", "calls", "--json", "a.json"]).unwrap();
        assert_eq!((options.setting.rounds, options.parts), (9, vec!["files".to_owned(), "calls".to_owned()]));
        for wrong in [&[][..], &["cupola", "--rounds"], &["cupola", "--rounds", "0"], &["cupola", "fast"]] {
            assert!(Options::parse(wrong).is_none(), "{wrong:?}");
        }
    }
}
