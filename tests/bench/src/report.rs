//! The result: a table for people, the same as JSON, and as the page docs/benchmarks.md.

use serde_json::{Value, json};
use std::fmt::Write as _;
use std::process::Command;
use std::time::{Duration, SystemTime};

/// What a figure has to be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target {
    /// This, or less.
    AtMost(f64),
    /// This, or more.
    AtLeast(f64),
    /// Stated for comparison.
    None,
}

/// One line of the result.
#[derive(Debug)]
struct Row {
    number: u8,
    name: String,
    value: f64,
    unit: &'static str,
    target: Target,
    /// Where the figure comes from.
    of: String,
}

impl Row {
    fn met(&self) -> bool {
        match self.target {
            Target::AtMost(most) => self.value <= most,
            Target::AtLeast(least) => self.value >= least,
            Target::None => true,
        }
    }

    fn measured(&self) -> String {
        figure(self.value, self.unit)
    }

    fn wanted(&self) -> String {
        match self.target {
            Target::AtMost(most) => format!("≤ {}", figure(most, self.unit)),
            Target::AtLeast(least) => format!("≥ {}", figure(least, self.unit)),
            Target::None => String::new(),
        }
    }

    fn verdict(&self) -> &'static str {
        match (self.target, self.met()) {
            (Target::None, _) => "",
            (_, true) => "met",
            (_, false) => "missed",
        }
    }
}

/// The result.
#[derive(Debug, Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
    failures: Vec<(String, String)>,
}

impl Report {
    /// Adds a line, and says so: the whole takes some minutes. `number` is the row of the table of what is measured.
    pub(crate) fn add(
        &mut self,
        number: u8,
        name: impl Into<String>,
        (value, unit): (f64, &'static str),
        target: Target,
        of: impl Into<String>,
    ) {
        let row = Row { number, name: name.into(), value, unit, target, of: of.into() };
        println!("{:>2} {}: {} ({}) {} {}", row.number, row.name, row.measured(), row.of, row.wanted(), row.verdict());
        self.rows.push(row);
    }

    /// Adds a line for what cannot be measured on this machine. It counts as nothing missed.
    pub(crate) fn not_measured(&mut self, number: u8, name: impl Into<String>, why: impl Into<String>) {
        self.add(number, name, (f64::NAN, ""), Target::None, why);
    }

    /// A part that gave no figures counts as missed.
    pub(crate) fn failed(&mut self, part: &str, error: &str) {
        self.failures.push((part.to_owned(), error.to_owned()));
    }

    pub(crate) fn all_met(&self) -> bool {
        self.failures.is_empty() && self.rows.iter().all(Row::met)
    }

    fn ordered(&self) -> Vec<&Row> {
        let mut rows: Vec<_> = self.rows.iter().collect();
        rows.sort_by_key(|row| row.number);
        rows
    }

    pub(crate) fn table(&self) -> String {
        let mut table = String::new();
        for row in self.ordered() {
            let (measured, wanted) = (row.measured(), row.wanted());
            // Writing to a string cannot fail.
            let _ = writeln!(
                table,
                "{:>2} {:<48} {measured:>12} {wanted:>14} {:<7} {}",
                row.number,
                row.name,
                row.verdict(),
                row.of
            );
        }
        for (part, error) in &self.failures {
            let _ = writeln!(table, "{part} could not be measured: {error}");
        }
        table
    }

    pub(crate) fn json(&self) -> String {
        let rows: Vec<Value> = self
            .ordered()
            .iter()
            .map(|row| {
                json!({"number": row.number, "name": row.name, "value": row.value, "unit": row.unit,
                    "target": row.wanted(), "met": row.met(), "of": row.of})
            })
            .collect();
        format!("{:#}\n", json!({"allMet": self.all_met(), "machine": machine(), "rows": rows}))
    }

    /// docs/benchmarks.md.
    pub(crate) fn page(&self) -> String {
        let mut page = format!("{INTRODUCTION}\n{}\n\n", machine());
        page.push_str("| # | what | measured | target | | from |\n|---|---|---|---|---|---|\n");
        for row in self.ordered() {
            let (measured, wanted) = (row.measured(), row.wanted());
            let _ = writeln!(
                page,
                "| {} | {} | {measured} | {wanted} | {} | {} |",
                row.number,
                row.name,
                row.verdict(),
                row.of
            );
        }
        for (part, error) in &self.failures {
            let _ = writeln!(page, "\n{part} could not be measured: {error}");
        }
        page.push_str(LIMITS);
        page
    }
}

const INTRODUCTION: &str = "# Benchmarks

`cargo xtask bench --page docs/benchmarks.md` measured these figures and wrote this page. It builds the release program, starts emulators
and a daemon in a temporary directory, and runs each thing in turns with what it is compared with, so that whatever else the machine does
hits both alike. Figures are medians unless a row says p99. No test asserts a time.

The caller on the socket is blocking and does not parse what it reads. Row 3 states what it uses of the CPU beside what the daemon
uses.

Round trips and warm calls are measured twice. On one processor, a figure is the work and the changes between the processes. On all
processors, it has the time in which an idle processor wakes up as well: about 30 µs on a virtual machine, and none when the system
happens to keep both processes on one processor. So only the first kind can be compared between two runs.
";

/// What is missed, and why, after the figures.
const LIMITS: &str = "
## What keeps the missed targets from being met

| # | what the limit is |
|---|---|
| 1 | Of the 17 µs, 13 are the three system calls that tokio's echo makes as well; a blocking echo makes two. In the other 4 µs the request's JSON is read and checked, and an answer of 750 bytes is written as JSON and made readable for every client |
| 2 | A call takes 250 µs of the daemon's CPU, 0.8 million instructions by callgrind: a quarter reads the agent's event stream (each of its 10 kB is JSON that is checked), a sixth makes the request and its session's locks, a tenth makes the answer, and the rest is HTTP, timers and allocation, no part of it above 3 %. 23 system calls are made, and no other thread is woken. The caller beside it counts the bytes of the stream and reads nothing of them |
| 3 | An event takes 28,000 instructions by callgrind, with its share of the whole texts that end the stream: its JSON is read, checked, made an event with a number, and written as JSON again. What was read at once is written at once. The direct caller looks for the end of the stream only |
| 4 | Each follower has an outbox of its own, with a bound and a clock, so that one that does not read costs the others nothing. An event is encoded once, and goes straight to each follower's socket. Above the write itself, a follower costs a task that is woken |
| 5 | Of the 3.3 ms that a command took in one run, 0.6 were the start and the end of any process, as those of `true`; 0.5 more were those of this program: 141 page faults. (As one program with the daemon it had 407, and a command took 1.2 ms more.) 1.5 were the call, as in row 2. What was left reads the command line, greets the daemon, and starts two threads: one for Ctrl-C, and one that reads ahead |
| 8 | An upload through the daemon is a read and a write more. Runs differ by more than the target allows: 0.90 to 1.00 × in five of them |
| 9 | Idle, 13 of the 15 MiB are pages of the program itself, which processes share and the system can drop. The first call makes 0.7 MiB that stay. After 200 streams, 3 MiB are live by heaptrack and by the allocator's own count, and 2.4 MiB are what the allocator keeps ready for the daemon's threads: without that (`tcache:false`), 4.5 MiB stay, and a call takes a tenth more of the CPU. The rest is pages on which one small piece is left. After 10,000 turns 1.7 MiB are kept ready, and 1 MiB says whose the latest 10,000 responses are. Runs differ: 5.7 to 7.5 MiB after the streams, and 4.1 to 5.7 after the turns |
| 10 | The daemon, the emulator and 1,000 callers share two processors; runs differ, from 7.4 to 12.9 ms |
| 13 | An editor's or a model's call passes one more process, with a read and a write on either side: two more changes between processes, each of which is as much as row 1, and its result is made of the answer's JSON |
| 15 | Callers who call without a pause share the processors with the gateway, the emulator and the benchmark: each waits for the work of all others |
";

/// Date, commit and machine.
fn machine() -> String {
    let said = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned()).filter(|text| !text.is_empty())
    };
    let commit = said("git", &["rev-parse", "--short", "HEAD"]).unwrap_or_else(|| "no commit".to_owned());
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!(
        "{} UTC, commit {commit}, {cores} × {}, Linux {}",
        said("date", &["-u", "+%Y-%m-%d"]).unwrap_or_else(|| format!("{:?}", SystemTime::now())),
        cpu.trim_start_matches([' ', '\t', ':']),
        kernel.trim()
    )
}

fn figure(value: f64, unit: &str) -> String {
    match unit {
        _ if value.is_nan() => "not measured".to_owned(),
        "×" => format!("{value:.2} ×"),
        "" => format!("{value:.0}"),
        _ if value.abs() < 10.0 => format!("{value:.2} {unit}"),
        _ if value.abs() < 100.0 => format!("{value:.1} {unit}"),
        _ => format!("{value:.0} {unit}"),
    }
}

/// A duration for people.
pub(crate) fn duration(time: Duration) -> String {
    let microseconds = time.as_secs_f64() * 1e6;
    if microseconds < 1000.0 { format!("{microseconds:.0} µs") } else { format!("{:.2} ms", microseconds / 1000.0) }
}

/// Two times, ours first.
pub(crate) fn pair(ours: Duration, theirs: Duration) -> String {
    format!("{} : {}", duration(ours), duration(theirs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missed_target_is_a_missed_benchmark() {
        let mut report = Report::default();
        report.add(1, "a", (0.6, "×"), Target::AtMost(0.6), "600 µs : 1.00 ms");
        report.add(2, "b", (0.9, "×"), Target::AtLeast(0.9), "");
        report.add(3, "c", (7.0, "ms"), Target::None, "");
        assert!(report.all_met());
        report.add(9, "d", (12.1, "MiB"), Target::AtMost(12.0), "");
        assert!(!report.all_met());
        assert!(report.table().contains("missed") && report.page().contains("| 1 | a | 0.60 × | ≤ 0.60 × | met |"));
        let value: Value = serde_json::from_str(&report.json()).unwrap();
        assert_eq!((&value["rows"][0]["met"], &value["allMet"]), (&json!(true), &json!(false)));
    }

    #[test]
    fn a_part_that_could_not_be_measured_is_a_missed_benchmark() {
        let mut report = Report::default();
        report.failed("files", "no curl");
        assert!(!report.all_met() && report.table().contains("no curl"));
    }

    #[test]
    fn what_cannot_be_measured_here_says_why_and_fails_nothing() {
        let mut report = Report::default();
        report.not_measured(5, "beside Python", "python3 does not start");
        assert!(report.all_met());
        assert!(report.page().contains("| 5 | beside Python | not measured |  |  | python3 does not start |"));
        assert!(report.table().contains("not measured"));
        assert!(serde_json::from_str::<Value>(&report.json()).unwrap()["rows"][0]["value"].is_null());
    }
}
