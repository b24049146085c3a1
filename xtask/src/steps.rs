//! Runs named steps, in lanes side by side, shows how long each took, and ends with one plain line.

use std::io::{BufRead, BufReader};
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

/// How many checks or tests passed and failed.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Count {
    pub passed: u64,
    pub failed: u64,
}

/// What all steps of all lanes came to.
#[derive(Debug, Default)]
pub(crate) struct Report {
    so_far: Mutex<SoFar>,
}

#[derive(Debug, Default)]
struct SoFar {
    count: Count,
    /// What failed and what was skipped, for the end of a long output.
    remarks: Vec<String>,
    skipped: u64,
}

/// Steps that run one after another.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Steps<'report> {
    report: &'report Report,
    /// Stands before every line, so that the lines of lanes that run side by side can be told apart.
    lane: &'static str,
}

impl Report {
    /// A lane of steps. A name that is not empty stands before each of its lines.
    pub(crate) fn lane(&self, lane: &'static str) -> Steps<'_> {
        Steps { report: self, lane }
    }

    /// The closing line: `N passed, M failed`. With `is_complete`, a skipped step is a failure.
    pub(crate) fn finish(self, is_complete: bool) -> ExitCode {
        let SoFar { mut count, mut remarks, skipped } =
            self.so_far.into_inner().unwrap_or_else(PoisonError::into_inner);
        if is_complete && skipped > 0 {
            count.failed += 1;
            remarks.push("failed: a step was skipped, and with CI set nothing may be".to_owned());
        }
        println!();
        for remark in &remarks {
            println!("{remark}");
        }
        println!("{} passed, {} failed", count.passed, count.failed);
        if count.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    fn add(&self, change: impl FnOnce(&mut SoFar)) {
        change(&mut self.so_far.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Steps<'_> {
    /// A step that is one check: it passes when `check` does.
    pub(crate) fn check(&self, name: &str, check: impl FnOnce() -> Result<(), String>) {
        self.step(name, || check().map(|()| Count { passed: 1, failed: 0 }));
    }

    /// A step that is one command: it passes when the command does.
    pub(crate) fn command(&self, mut command: Command) {
        self.check(&shown(&command), || self.succeed(&mut command));
    }

    /// A step that runs many tests: each counts.
    pub(crate) fn tests(&self, mut command: Command) {
        self.step(&shown(&command), || self.count_tests(&mut command));
    }

    /// A step that cannot run here.
    pub(crate) fn skip(&self, name: &str, reason: &str) {
        self.say(&format!("== {name}\n   skipped: {reason}"));
        self.report.add(|report| {
            report.skipped += 1;
            report.remarks.push(format!("skipped: {name}: {reason}"));
        });
    }

    fn step(&self, name: &str, run: impl FnOnce() -> Result<Count, String>) {
        self.say(&format!("== {name}"));
        let started = Instant::now();
        let result = run();
        let seconds = started.elapsed().as_secs_f64();
        let (count, remark) = match result {
            Ok(count) if count.failed == 0 => {
                self.say(&format!("   ok, {seconds:.1} s: {name}"));
                (count, None)
            }
            Ok(count) => {
                self.say(&format!("   FAILED, {seconds:.1} s: {name}"));
                (count, Some(format!("failed: {name}: {} of {}", count.failed, count.passed + count.failed)))
            }
            Err(reason) => {
                self.say(&format!("   FAILED, {seconds:.1} s: {name}: {reason}"));
                (Count { passed: 0, failed: 1 }, Some(format!("failed: {name}: {reason}")))
            }
        };
        self.report.add(|report| {
            report.count.passed += count.passed;
            report.count.failed += count.failed;
            report.remarks.extend(remark);
        });
    }

    fn say(&self, text: &str) {
        for line in text.lines() {
            if self.lane.is_empty() { println!("{line}") } else { println!("{:<7} | {line}", self.lane) }
        }
    }

    fn succeed(&self, command: &mut Command) -> Result<(), String> {
        self.run(command, |line| self.say(&format!("   {line}")))
    }

    /// Runs a command whose output reports tests, shows all of it but the tests that passed, and adds the reports up.
    fn count_tests(&self, command: &mut Command) -> Result<Count, String> {
        let mut count = Count::default();
        let mut failed = Vec::new();
        let run = self.run(command, |line| match report(line) {
            Some(more) => {
                count.passed += more.passed;
                count.failed += more.failed;
                if more != Count::default() {
                    self.say(&format!("   {line}"));
                }
            }
            None if is_noise(line) => {}
            None => {
                if let Some(remark) = failed_test(line).map(|test| format!("failed test: {test}"))
                    && !failed.contains(&remark)
                {
                    failed.push(remark);
                }
                self.say(&format!("   {line}"));
            }
        });
        self.report.add(|report| report.remarks.extend(failed));
        match run {
            Err(reason) if count.failed == 0 => Err(reason),
            _ => Ok(count),
        }
    }

    /// Runs a command to its end and gives each line of its output to `take`; what it says on standard error is shown.
    fn run(&self, command: &mut Command, mut take: impl FnMut(&str)) -> Result<(), String> {
        let started = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = started.map_err(|error| format!("it does not start: {error}"))?;
        let (output, errors) = (child.stdout.take(), child.stderr.take());
        thread::scope(|scope| {
            scope.spawn(|| {
                for line in lines(errors) {
                    self.say(&format!("   {line}"));
                }
            });
            for line in lines(output) {
                take(&line);
            }
        });
        let status = child.wait().map_err(|error| error.to_string())?;
        if status.success() { Ok(()) } else { Err(format!("{status}")) }
    }
}

/// The lines of a program's output, whatever bytes are in them.
fn lines(output: Option<impl std::io::Read>) -> impl Iterator<Item = String> {
    let split = output.into_iter().flat_map(|output| BufReader::new(output).split(b'\n').map_while(Result::ok));
    split.map(|line| String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned())
}

/// The command as one would type it.
fn shown(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned();
    let arguments = command.get_args().map(|argument| argument.to_string_lossy().into_owned());
    std::iter::once(name).chain(arguments).collect::<Vec<_>>().join(" ")
}

/// `test result: ok. 46 passed; 0 failed; …` of a Rust test program, `12 passed, 0 failed` of the others.
fn report(line: &str) -> Option<Count> {
    let rest = match line.strip_prefix("test result: ") {
        Some(rest) => rest.split_once(". ")?.1,
        None => line,
    };
    let mut count = Count::default();
    let (passed, rest) = rest.split_once(" passed")?;
    count.passed = passed.parse().ok()?;
    let (failed, _) = rest.trim_start_matches([';', ',', ' ']).split_once(" failed")?;
    count.failed = failed.parse().ok()?;
    Some(count)
}

/// The name in a line by which a test program says that a test failed: Rust's and the editors' form, Node's, Python's.
fn failed_test(line: &str) -> Option<&str> {
    let line = line.trim();
    if let Some(name) = line.strip_suffix(" ... FAILED") {
        return name.strip_prefix("test ");
    }
    ["✖ ", "FAIL: ", "ERROR: "].iter().find_map(|mark| line.strip_prefix(mark)).filter(|name| *name != "failing tests:")
}

fn is_noise(line: &str) -> bool {
    line.is_empty() || line.ends_with(" ... ok") || line.starts_with("running ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_of_test_programs_are_understood() {
        for (line, passed, failed) in [
            ("test result: ok. 46 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.02s", 46, 0),
            ("test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.02s", 3, 2),
            ("12 passed, 1 failed", 12, 1),
        ] {
            assert_eq!(report(line), Some(Count { passed, failed }), "{line}");
        }
        for line in ["test a::b ... ok", "12 passed", "error: 3 passed, 1 failed"] {
            assert_eq!(report(line), None, "{line}");
        }
    }

    #[test]
    fn a_failed_test_is_named_whatever_program_ran_it() {
        for (line, name) in [
            ("test a::b ... FAILED", Some("a::b")),
            ("  ✖ an answer streams (12.3ms)", Some("an answer streams (12.3ms)")),
            ("FAIL: test_it (tests.Case.test_it)", Some("test_it (tests.Case.test_it)")),
            ("✖ failing tests:", None),
            ("test a::b ... ok", None),
        ] {
            assert_eq!(failed_test(line), name, "{line}");
        }
    }

    #[test]
    #[cfg(unix)]
    fn a_program_that_dies_without_a_report_is_a_failure() {
        let report = Report::default();
        let steps = report.lane("test");
        assert!(steps.count_tests(Command::new("sh").args(["-c", "exit 3"])).is_err());
        let mixed = steps.count_tests(Command::new("sh").args(["-c", "echo 2 passed, 1 failed; exit 1"])).unwrap();
        assert_eq!(mixed, Count { passed: 2, failed: 1 });
    }

    #[test]
    #[cfg(unix)]
    fn lanes_add_up_and_a_skipped_step_fails_a_complete_run() {
        let report = Report::default();
        thread::scope(|scope| {
            for lane in ["one", "two"] {
                let steps = report.lane(lane);
                scope.spawn(move || steps.tests(sh("echo noise >&2; echo 3 passed, 0 failed")));
            }
        });
        report.add(|so_far| assert_eq!(so_far.count, Count { passed: 6, failed: 0 }));
        report.lane("one").skip("an editor", "it is not installed");
        report.add(|so_far| assert_eq!(so_far.skipped, 1));
        assert_eq!(format!("{:?}", report.finish(true)), format!("{:?}", ExitCode::FAILURE));
    }

    #[cfg(unix)]
    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }
}
