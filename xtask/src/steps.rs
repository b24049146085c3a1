//! Runs named steps one after another, shows how long each took, and ends with one plain line.

use std::io::{BufRead, BufReader};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

/// How many checks or tests passed and failed.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Count {
    pub passed: u64,
    pub failed: u64,
}

/// The steps so far.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    count: Count,
    /// What failed and what was skipped, for the end of a long output.
    remarks: Vec<String>,
    skipped: u64,
}

impl Steps {
    /// A step that is one check: it passes when `check` does.
    pub(crate) fn check(&mut self, name: &str, check: impl FnOnce() -> Result<(), String>) {
        self.step(name, || match check() {
            Ok(()) => Ok(Count { passed: 1, failed: 0 }),
            Err(reason) => Err(reason),
        });
    }

    /// A step that is one command: it passes when the command does.
    pub(crate) fn command(&mut self, mut command: Command) {
        self.check(&shown(&command), || succeed(&mut command));
    }

    /// A step that runs many tests: each counts.
    pub(crate) fn tests(&mut self, mut command: Command) {
        self.step(&shown(&command), || count_tests(&mut command));
    }

    /// A step that cannot run here.
    pub(crate) fn skip(&mut self, name: &str, reason: &str) {
        println!("\n== {name}\n   skipped: {reason}");
        self.skipped += 1;
        self.remarks.push(format!("skipped: {name}: {reason}"));
    }

    /// How many steps were skipped.
    pub(crate) fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Counts a failure that belongs to no step.
    pub(crate) fn fail(&mut self, reason: &str) {
        self.count.failed += 1;
        self.remarks.push(format!("failed: {reason}"));
    }

    /// The closing line: `N passed, M failed`.
    pub(crate) fn finish(self) -> ExitCode {
        println!();
        for remark in &self.remarks {
            println!("{remark}");
        }
        println!("{} passed, {} failed", self.count.passed, self.count.failed);
        if self.count.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    fn step(&mut self, name: &str, run: impl FnOnce() -> Result<Count, String>) {
        println!("\n== {name}");
        let started = Instant::now();
        let result = run();
        let seconds = started.elapsed().as_secs_f64();
        match result {
            Ok(count) => {
                self.count.passed += count.passed;
                self.count.failed += count.failed;
                if count.failed == 0 {
                    println!("   ok, {seconds:.1} s");
                } else {
                    println!("   FAILED, {seconds:.1} s");
                    self.remarks.push(format!("failed: {name}: {} of {}", count.failed, count.passed + count.failed));
                }
            }
            Err(reason) => {
                println!("   FAILED, {seconds:.1} s: {reason}");
                self.fail(&format!("{name}: {reason}"));
            }
        }
    }
}

/// The command as one would type it.
fn shown(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned();
    let arguments = command.get_args().map(|argument| argument.to_string_lossy().into_owned());
    std::iter::once(name).chain(arguments).collect::<Vec<_>>().join(" ")
}

fn succeed(command: &mut Command) -> Result<(), String> {
    let status = command.status().map_err(|error| format!("it does not start: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{status}")) }
}

/// Runs a command whose output reports tests, shows all of it but the tests that passed, and adds the reports up.
fn count_tests(command: &mut Command) -> Result<Count, String> {
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(|error| format!("it does not start: {error}"))?;
    let mut count = Count::default();
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).lines() {
            let line = line.map_err(|error| format!("its output cannot be read: {error}"))?;
            match report(&line) {
                Some(more) => {
                    count.passed += more.passed;
                    count.failed += more.failed;
                    if more != Count::default() {
                        println!("   {line}");
                    }
                }
                None if is_noise(&line) => {}
                None => println!("   {line}"),
            }
        }
    }
    let status = child.wait().map_err(|error| error.to_string())?;
    if !status.success() && count.failed == 0 {
        return Err(format!("{status}"));
    }
    Ok(count)
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
    #[cfg(unix)]
    fn a_program_that_dies_without_a_report_is_a_failure() {
        assert!(count_tests(Command::new("sh").args(["-c", "exit 3"])).is_err());
        let mixed = count_tests(Command::new("sh").args(["-c", "echo 2 passed, 1 failed; exit 1"])).unwrap();
        assert_eq!(mixed, Count { passed: 2, failed: 1 });
    }
}
