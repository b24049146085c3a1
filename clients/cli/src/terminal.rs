//! The only place that writes to standard output and standard error, so that text of the service or an agent never acts
//! on a terminal.
//!
//! - What this program says to a person (sentences, tables, errors, hints, notices) is made harmless wherever it goes.
//! - What an agent or the service wrote (an answer, a log, a file, a raw response) is made harmless on a terminal. Into a
//!   pipe or a file it goes byte for byte.
//! - JSON is escaped everywhere: it stays the same data, and scripts get the same bytes as a terminal.
//!
//! [`harmless`] has the functions, [`writer`] the stream that applies them.

pub mod harmless;
mod writer;

pub(crate) use harmless::{json, line, paragraph, text};
pub(crate) use writer::Harmless;

use std::io::{self, BufWriter, IsTerminal, Stderr, StdoutLock};

/// Standard output for what an agent or the service wrote.
pub(crate) fn stdout() -> Harmless<BufWriter<StdoutLock<'static>>> {
    Harmless::new(BufWriter::new(stdout_as_is()), stdout_is_terminal())
}

/// Standard error. Nothing written to it acts on a terminal.
pub(crate) fn stderr() -> Harmless<Stderr> {
    Harmless::new(stderr_as_is(), true)
}

/// Standard output without any check. It is for binary data, and for our own colours around text that [`text`] has made
/// harmless.
pub(crate) fn stdout_as_is() -> StdoutLock<'static> {
    io::stdout().lock()
}

/// Standard error without any check: for terminal sequences of our own.
pub(crate) fn stderr_as_is() -> Stderr {
    io::stderr()
}

/// Does a person see standard output?
pub(crate) fn stdout_is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Does a person see standard error?
pub(crate) fn stderr_is_terminal() -> bool {
    io::stderr().is_terminal()
}
