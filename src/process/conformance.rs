//! The checklist as a process: says what a run costs, asks, shows progress, and cleans up also when a signal ends it.

use super::log::escaped;
use super::runtime;
use crate::config::{Config, Flags};
use crate::conformance::checklist::{self, Case};
use crate::conformance::report::{Report, Row};
use crate::conformance::subject::{Cost, PREFIX, Subject};
use crate::conformance::trial::Trial;
use crate::daemon::service;
use crate::error::CallError;
use crate::lifetime::shutdown::{StopSignal, signals};
use crate::target::emulator::EmbeddedEmulator;
use cupola_protocol::count::counted;
use cupola_protocol::rpc::ErrorObject;
use cupola_protocol::target::Target;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::Receiver;

/// How long deleting what was made may take in all: some dozen short requests.
const CLEANUP_LIMIT: Duration = Duration::from_mins(5);

/// How long an interrupted run waits for the answer under way, which may name something to delete. Most answers come within seconds; a
/// person who interrupts does not wait longer.
const LAST_ANSWER: Duration = Duration::from_secs(10);

/// Tries the checklist on an agent, and prints the report. True if it answered as the contract says.
pub fn conformance(
    target: &Target,
    is_agreed: bool,
    allows_unnamed: bool,
    json: bool,
) -> Result<bool, Box<ErrorObject>> {
    let run = || -> Result<bool, CallError> {
        let runtime = runtime().map_err(|error| CallError::internal(error.to_string()))?;
        let done = runtime.block_on(check(target, is_agreed, allows_unnamed, json));
        // A question that was not answered still waits for its line.
        runtime.shutdown_background();
        done
    };
    run().map_err(|CallError { message, data }| {
        Box::new(ErrorObject { code: data.kind.code(), message, data: Some(*data) })
    })
}

async fn check(target: &Target, is_agreed: bool, allows_unnamed: bool, json: bool) -> Result<bool, CallError> {
    let invalid = |error: &dyn std::error::Error| CallError::invalid_params(error.to_string());
    let mut asked = signals().map_err(|error| CallError::internal(error.to_string()))?;
    let cases = checklist::cases().map_err(CallError::internal)?;
    let config = Config::load(Flags::default()).map_err(|error| invalid(&error))?;
    // The daemon keeps its own emulator to itself; one of the same kind does as well, and leaves nothing behind.
    let directory = tempfile::tempdir().map_err(|error| invalid(&error))?;
    let emulator = Arc::new(EmbeddedEmulator::new(directory.path().join("emulator"), directory.path()));
    let (_, targets) = service(&config, Arc::clone(&emulator)).map_err(|error| invalid(&error))?;
    let subject = tokio::select! {
        subject = Subject::read(&targets, target, allows_unnamed) => subject?,
        _ = asked.recv() => return Err(CallError::cancelled()),
    };
    let cost = announcement(&subject, &cases);
    if !is_agreed && !agree(&cost, &mut asked).await {
        emulator.release().await;
        return Err(CallError::cancelled());
    }
    if is_agreed {
        say(&cost);
    }
    let report = tried(&subject, &cases, &mut asked).await;
    emulator.release().await;
    let shown = if json {
        serde_json::to_string_pretty(&report).map_err(|error| CallError::internal(error.to_string()))? + "\n"
    } else {
        report.markdown()
    };
    // A reader that has closed its end wants no more of it; the exit code still tells.
    let _ = io::stdout().write_all(shown.as_bytes()).and_then(|()| io::stdout().flush());
    for left in report.left() {
        say(&format!("warning: this could not be deleted: {}", escaped(left)));
    }
    Ok(report.is_clean())
}

/// Tries each case until a signal comes, then deletes what was made.
async fn tried(subject: &Subject, cases: &[Case], asked: &mut Receiver<StopSignal>) -> Report {
    let is_watched = io::stderr().is_terminal();
    let (mut trial, mut rows, mut interrupted) = (Trial::of(subject), Vec::new(), false);
    for case in cases {
        if is_watched {
            say(&format!("{:>3}/{} {} {}", rows.len() + 1, cases.len(), case.id, case.title));
        }
        let mut attempt = std::pin::pin!(trial.attempt(case));
        tokio::select! {
            row = &mut attempt => rows.push(row),
            _ = asked.recv() => {
                say("interrupted; waiting for the last answer (interrupt again to stop waiting)");
                interrupted = true;
                tokio::select! {
                    row = tokio::time::timeout(LAST_ANSWER, attempt) => rows.extend(row),
                    _ = asked.recv() => {}
                }
                break;
            }
        }
    }
    if interrupted {
        say("deleting what was created (interrupt again to stop at once)");
    }
    rows.extend(cases[rows.len()..].iter().map(Row::not_reached));
    // What is left when the time is over or a signal comes is named.
    tokio::select! {
        _ = tokio::time::timeout(CLEANUP_LIMIT, trial.clean_up()) => {}
        _ = asked.recv() => {}
    }
    Report::new(subject.described(), rows, trial.cleanup(), interrupted)
}

/// What a run costs, in a sentence.
fn announcement(subject: &Subject, cases: &[Case]) -> String {
    let Cost { turns, sessions, cases: applying } = subject.cost(cases);
    format!(
        "Of {}, {applying} apply to this agent. The run sends {}, creates {} (their ids begin with {PREFIX}) and uploads 50 MB \
         once. It deletes what it creates.",
        counted(cases.len(), "case"),
        counted(turns, "turn"),
        counted(sessions, "session"),
    )
}

/// Does the person agree? Only a clear yes counts.
async fn agree(cost: &str, asked: &mut Receiver<StopSignal>) -> bool {
    say(cost);
    // Standard error may be closed. Then nobody can answer.
    let _ = write!(io::stderr(), "Continue? [y/N] ");
    let reading = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        io::stdin().read_line(&mut line).map(|_| line)
    });
    let line = tokio::select! {
        line = reading => line,
        _ = asked.recv() => return false,
    };
    line.is_ok_and(|line| line.is_ok_and(|line| matches!(line.trim(), "y" | "Y" | "yes")))
}

fn say(line: &str) {
    // Standard error may be closed; then it cannot be said.
    let _ = writeln!(io::stderr(), "{line}");
}
