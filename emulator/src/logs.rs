//! A session's log: what its container wrote and what happened to it, kept for log streams.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use time::OffsetDateTime;

/// Lines kept per session. A log stream asks for at most 300 (contract section 6); the rest is slack for two kinds.
const KEPT_LINES: usize = 1000;

/// Where a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogStream {
    /// The container's standard output.
    Stdout,
    /// The container's standard error.
    Stderr,
    /// The sandbox itself: started, stopped, resumed.
    Status,
}

/// One log message.
#[derive(Debug, Clone)]
pub struct LogLine {
    /// When it was written, UTC.
    pub at: OffsetDateTime,
    /// Where it came from.
    pub stream: LogStream,
    /// The text, without its line end.
    pub message: String,
}

/// Takes a session's log lines and keeps the newest of them.
#[derive(Debug, Clone, Default)]
pub struct LogSink {
    // Never held across an await: a push and a copy are all that happens inside.
    lines: Arc<Mutex<VecDeque<LogLine>>>,
}

impl LogSink {
    /// Adds a line, dropping the oldest when full.
    pub fn push(&self, stream: LogStream, message: impl Into<String>) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == KEPT_LINES {
            lines.pop_front();
        }
        lines.push_back(LogLine { at: OffsetDateTime::now_utc(), stream, message: message.into() });
    }

    /// The newest `count` lines, oldest first.
    pub fn tail(&self, count: usize) -> Vec<LogLine> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().skip(lines.len().saturating_sub(count)).cloned().collect()
    }
}
