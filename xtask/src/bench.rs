//! `cargo xtask bench`: Cupola side by side with what one would use instead, interleaved in one run.
//!
//! Seconds depend on the machine, so every target is a ratio of two medians of the same run; only memory and the
//! time to a first answer, which people feel, are absolute.
//! - [`bed`]: release binary, two emulators (plain, TLS), one daemon, all in one temporary directory
//! - [`capture`]: the exact request the daemon sends, so that curl can send the same
//! - [`memory`]: what is left of streams and turns after a minute
//! - [`measure`]: interleaved rounds and medians
//! - [`echo`]: the raw socket echo that an RPC round trip is held against
//! - [`report`]: the table, and the same as JSON

mod bed;
mod capture;
pub(crate) mod echo;
mod measure;
mod memory;
mod report;

use bed::{Bed, Endpoint, Memory};
use report::{Report, Row};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

/// Rounds of whole processes unless told otherwise: a median that moves by less than a twentieth between runs.
const DEFAULT_ROUNDS: usize = 200;
/// Round trips on an open connection; they take microseconds.
const ROUND_TRIPS: usize = 4000;
/// A whole `cupola invoke` against curl, plain.
const PLAIN_TARGET: f64 = 0.5;
/// The same over TLS, where the daemon's open connection saves the handshake.
const TLS_TARGET: f64 = 0.3;
/// An RPC round trip against a socket echo.
const ROUND_TRIP_TARGET: f64 = 1.3;
/// From connecting to the answer of `initialize`, ms: an editor must not conclude that there is nothing here.
const GREETING_TARGET: f64 = 5.0;
/// Connections for that.
const GREETINGS: usize = 1000;
/// Resident memory of the idle daemon, MiB.
const MEMORY_TARGET: f64 = 12.0;
/// Of that, what the daemon allocated, MiB: a leak shows here long before it shows beside the size of the program.
const OWN_MEMORY_TARGET: f64 = 4.0;

/// Runs the benchmark.
pub(crate) fn run(options: &[&str]) -> ExitCode {
    let measured = Options::parse(options).and_then(|options| Ok((options.measure()?, options)));
    match measured {
        Ok((report, options)) => {
            println!("{}", report.table());
            if let Some(file) = options.json
                && let Err(error) = std::fs::write(&file, report.json())
            {
                eprintln!("{} cannot be written: {error}", file.display());
                return ExitCode::FAILURE;
            }
            if report.all_met() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The command line of `bench`.
struct Options {
    json: Option<PathBuf>,
    rounds: usize,
    memory_alone: bool,
}

impl Options {
    fn parse(words: &[&str]) -> Result<Self, String> {
        let mut options = Self { json: None, rounds: DEFAULT_ROUNDS, memory_alone: false };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            if *word == "--memory" {
                options.memory_alone = true;
                continue;
            }
            match (*word, words.next()) {
                ("--json", Some(file)) => options.json = Some(PathBuf::from(file)),
                ("--rounds", Some(number)) => {
                    options.rounds = number.parse().map_err(|_| format!("--rounds needs a number, not {number}"))?;
                }
                _ => return Err(format!("bench takes --json FILE, --rounds N and --memory, not {word}")),
            }
        }
        Ok(options)
    }

    fn measure(&self) -> Result<Report, String> {
        if self.memory_alone {
            let mut report = Report::default();
            memory::measure(&bed::build()?, &mut report)?;
            return Ok(report);
        }
        measure_all(self.rounds)
    }
}

fn measure_all(rounds: usize) -> Result<Report, String> {
    if Command::new("curl").arg("--version").stdout(Stdio::null()).status().is_err() {
        return Err(
            "curl is not installed, and it is what Cupola is held against (Debian: apt install curl)".to_owned()
        );
    }
    let bed = Bed::build()?;
    let mut report = Report::default();
    report.add(Row::memory("idle daemon, just started", bed.daemon_memory_mib(Memory::Whole)?, MEMORY_TARGET));

    let request = capture::request(&bed)?;
    for (name, endpoint, target) in
        [("cupola invoke : curl, plain", &bed.plain, PLAIN_TARGET), ("cupola invoke : curl, TLS", &bed.tls, TLS_TARGET)]
    {
        let ids = bed.warm(endpoint)?;
        let pair = measure::interleaved(
            rounds,
            || bed::succeed(&mut bed.invoke(endpoint)),
            || bed::succeed(&mut curl(&request, &ids, endpoint)),
        )?;
        report.add(Row::ratio(name, pair, target));
    }

    let echo = echo::Echo::start(bed.directory())?;
    let mut daemon = echo::Peer::connect(&bed.socket())?;
    let mut raw = echo::Peer::connect(echo.socket())?;
    let pair = measure::interleaved(ROUND_TRIPS, || daemon.round_trip(), || raw.round_trip())?;
    report.add(Row::ratio("RPC round trip : socket echo", pair, ROUND_TRIP_TARGET));
    drop((daemon, raw, echo));

    let greeting = measure::usual(GREETINGS, || echo::Peer::connect(&bed.socket())?.round_trip())?;
    report.add(Row::time("connect and initialize, 95 of 100", greeting, GREETING_TARGET));

    report.add(Row::memory(
        "idle daemon, after all of the above",
        bed.daemon_memory_mib(Memory::Whole)?,
        MEMORY_TARGET,
    ));
    report.add(Row::memory("of that, allocated", bed.daemon_memory_mib(Memory::Own)?, OWN_MEMORY_TARGET));
    memory::measure(bed.binary(), &mut report)?;
    Ok(report)
}

/// The request the daemon sends, sent by curl.
fn curl(request: &capture::Request, ids: &bed::Ids, endpoint: &Endpoint) -> Command {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--no-buffer", "--fail", "--max-time", "20"]);
    if let Some(certificate) = &endpoint.certificate {
        command.arg("--cacert").arg(certificate);
    }
    command.args(["--request", "POST"]);
    for (name, value) in request.headers(ids, endpoint) {
        command.arg("--header").arg(format!("{name}: {value}"));
    }
    command.arg("--data-binary").arg(request.body(ids)).arg(request.url(ids, endpoint));
    command
}
