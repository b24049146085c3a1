//! The line that says what a command waits for, and for how long: the last line of a terminal's standard error. Whatever is written
//! next replaces it.

use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// An answer that takes longer than this needs an explanation. A warm call is far below it.
const UNEXPLAINED: Duration = Duration::from_secs(2);
/// The line counts seconds.
const TICK: Duration = Duration::from_secs(1);
/// How long a new session takes to start at most, as measured at the service.
const LONGEST_START: Duration = Duration::from_secs(90);
/// To the beginning of the line, which is then erased.
const ERASE: &[u8] = b"\r\x1b[2K";

/// A process has one terminal, so there is one line.
static LINE: Mutex<Line> =
    Mutex::new(Line { what: None, began: None, turn: 0, has_answered: false, is_shown: false, is_unended: false });

struct Line {
    /// What this command waits for. Nothing is shown without it.
    what: Option<&'static str>,
    /// Since when it waits; nothing when it does not.
    began: Option<Instant>,
    /// Which wait it is: the thread of an earlier one ends.
    turn: u64,
    /// Something of the answer has come.
    has_answered: bool,
    is_shown: bool,
    /// Text without its line end stands in front of the cursor.
    is_unended: bool,
}

/// From now on the line is shown while a call waits for this, such as `the agent`. For a terminal that can erase a line.
pub(crate) fn allow(what: &'static str) {
    held().what = Some(what);
}

/// A wait. It ends when this is dropped.
pub(crate) struct Wait {
    turn: u64,
}

/// Begins to wait.
pub(crate) fn begin() -> Wait {
    let mut line = held();
    if line.what.is_some() {
        (line.began, line.has_answered) = (Some(Instant::now()), false);
        line.turn += 1;
        let turn = line.turn;
        // Without a thread nothing is said, which does no harm.
        let _ = thread::Builder::new().name("waiting".to_owned()).spawn(move || tick(turn));
    }
    Wait { turn: line.turn }
}

impl Wait {
    /// A part of the answer has come, so the time begins again.
    pub(crate) fn has_come(&self) {
        let mut line = held();
        if line.turn != self.turn {
            return;
        }
        line.began = line.began.map(|_| Instant::now());
        line.has_answered = true;
        line.erase();
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        let mut line = held();
        line.began = None;
        line.erase();
    }
}

/// Shows the line once a second, until its wait is over.
fn tick(turn: u64) {
    loop {
        thread::sleep(TICK);
        let mut line = held();
        let Some(began) = line.began.filter(|_| line.turn == turn) else { return };
        let waited = began.elapsed();
        if let (Some(what), true, false) = (line.what, waited >= UNEXPLAINED, line.is_unended) {
            let mut stderr = io::stderr();
            line.is_shown = true;
            let _ = stderr.write_all(ERASE).and_then(|()| write!(stderr, "{}", said(what, waited, line.has_answered)));
            let _ = stderr.flush();
        }
    }
}

fn said(what: &str, waited: Duration, has_answered: bool) -> String {
    let starts = !has_answered && what == AGENT && waited <= LONGEST_START;
    let why = if starts { "; a new session can take 90 s to start" } else { "" };
    format!("waiting for {what}: {} s{why}", waited.as_secs())
}

/// What a turn waits for.
pub(crate) const AGENT: &str = "the agent";
/// What other calls wait for.
pub(crate) const SERVICE: &str = "the service";

fn held() -> MutexGuard<'static, Line> {
    LINE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Line {
    fn erase(&mut self) {
        if std::mem::take(&mut self.is_shown) {
            let _ = io::stderr().write_all(ERASE);
        }
    }
}

/// A stream to the terminal, on which the line is never in the way.
pub(crate) struct Below<Out> {
    out: Out,
    is_terminal: bool,
}

impl<Out> Below<Out> {
    /// What is written to a file or pipe does not move the cursor.
    pub(crate) fn new(out: Out, is_terminal: bool) -> Self {
        Self { out, is_terminal }
    }
}

impl<Out: Write> Write for Below<Out> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.is_terminal {
            return self.out.write(bytes);
        }
        // Held while it is written, so that the line does not come in between.
        let mut line = held();
        line.erase();
        let written = self.out.write(bytes)?;
        if let Some(last) = bytes[..written].last() {
            line.is_unended = *last != b'\n';
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_wait_for_a_first_answer_of_an_agent_is_explained_by_its_start() {
        let seconds = Duration::from_secs;
        assert_eq!(
            said(AGENT, seconds(12), false),
            "waiting for the agent: 12 s; a new session can take 90 s to start"
        );
        assert_eq!(said(AGENT, seconds(12), true), "waiting for the agent: 12 s");
        assert_eq!(said(AGENT, seconds(91), false), "waiting for the agent: 91 s");
        assert_eq!(said(SERVICE, seconds(3), false), "waiting for the service: 3 s");
    }
}
