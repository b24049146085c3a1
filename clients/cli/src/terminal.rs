//! The only place that writes to standard output and standard error, so that text of the service or an agent never acts
//! on a terminal.
//!
//! - What this program says to a person (sentences, tables, errors, hints, notices) is made harmless wherever it goes.
//! - What an agent or the service wrote (an answer, a log, a file, a raw response) is made harmless on a terminal. Into a
//!   pipe or a file it goes byte for byte.
//! - JSON is escaped everywhere: it stays the same data, and scripts get the same bytes as a terminal.
//!
//! - [`harmless`]: the functions; [`writer`]: the stream that applies them
//! - [`look`]: the colours of messages; [`waiting`]: the line that says what the command waits for

pub mod harmless;
mod look;
pub(crate) mod waiting;
mod writer;

pub(crate) use harmless::{json, line, paragraph, text};
pub(crate) use look::{ERROR, GOOD, WARNING, painted};
pub(crate) use writer::Harmless;

use look::Labels;
use std::io::{self, BufWriter, IsTerminal, Stderr, StdoutLock};
use std::sync::OnceLock;
use waiting::Below;

/// How many bytes a pipe takes at once if it takes any, on Linux: `PIPE_BUF`.
#[cfg(target_os = "linux")]
const AT_ONCE: usize = 4096;

/// What this process may do on its terminals. Nothing until [`attend`] says so, as in tests of one function.
static SCREEN: OnceLock<Screen> = OnceLock::new();

/// Facts about the terminals.
#[derive(Debug, Clone, Copy)]
struct Screen {
    /// Colours are allowed.
    colours: bool,
    /// The columns of the terminal that standard output is.
    columns: Option<usize>,
}

/// A process that shows its output to a person, if it has a terminal: `colours` says whether colours are allowed there.
pub(crate) fn attend(colours: bool) {
    let size = if stdout_is_terminal() { terminal_size::terminal_size_of(io::stdout()) } else { None };
    let columns = size.map(|(terminal_size::Width(columns), _)| usize::from(columns)).filter(|columns| *columns > 0);
    let _ = SCREEN.set(Screen { colours, columns });
}

/// The width of the terminal that standard output is, in columns.
pub(crate) fn stdout_columns() -> Option<usize> {
    SCREEN.get().and_then(|screen| screen.columns)
}

/// May standard output have colours?
pub(crate) fn stdout_has_colours() -> bool {
    stdout_is_terminal() && SCREEN.get().is_some_and(|screen| screen.colours)
}

/// Standard output for what an agent or the service wrote.
pub(crate) fn stdout() -> Harmless<BufWriter<Below<StdoutLock<'static>>>> {
    Harmless::new(BufWriter::new(stdout_as_is()), stdout_is_terminal())
}

/// Standard error. Nothing written to it acts on a terminal. The labels of messages have their colours there.
pub(crate) fn stderr() -> Harmless<Labels<Below<Stderr>>> {
    let is_terminal = stderr_is_terminal();
    let has_colours = is_terminal && SCREEN.get().is_some_and(|screen| screen.colours);
    Harmless::new(Labels::new(Below::new(stderr_as_is(), is_terminal), has_colours), true)
}

/// Standard output without any check. It is for binary data, and for our own colours around text that [`text`] has made
/// harmless.
pub(crate) fn stdout_as_is() -> Below<StdoutLock<'static>> {
    Below::new(io::stdout().lock(), stdout_is_terminal())
}

/// Does standard output take a message of this many bytes now, without waiting for its reader? Where that cannot be told, it does not.
pub(crate) fn stdout_takes(bytes: usize) -> bool {
    #[cfg(target_os = "linux")]
    {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let stdout = io::stdout();
        let mut asked = [PollFd::new(&stdout, PollFlags::OUT)];
        // A pipe or a socket that can be written to takes as much as a pipe takes at once.
        bytes <= AT_ONCE && poll(&mut asked, Some(&now)).is_ok_and(|ready| ready > 0)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = bytes;
        false
    }
}

/// Standard error without any check: for terminal sequences of our own.
pub(crate) fn stderr_as_is() -> Stderr {
    io::stderr()
}

/// Does a person see standard output? It is looked at once: every message that is written asks.
pub(crate) fn stdout_is_terminal() -> bool {
    static IS_TERMINAL: OnceLock<bool> = OnceLock::new();
    *IS_TERMINAL.get_or_init(|| io::stdout().is_terminal())
}

/// Does a person see standard error?
pub(crate) fn stderr_is_terminal() -> bool {
    io::stderr().is_terminal()
}
