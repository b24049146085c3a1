//! A session's log: what its container wrote and what happened to its sandbox, kept for log streams.
//!
//! Readers hold a place in the log, not a queue: a line is kept once however many streams there are, and a
//! stream that reads too slowly finds the oldest lines gone.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use time::OffsetDateTime;
use tokio::sync::Notify;

/// Lines kept per kind and session. A log stream asks for at most 300 (contract section 6); the rest is how far a slow
/// reader may fall behind.
const KEPT_LINES: usize = 1000;

/// Text kept per kind and session, in bytes. Lines may be long; this bounds what a thousand of them hold.
const KEPT_BYTES: usize = 4 * 1024 * 1024;

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

impl LogStream {
    /// Its name in a log frame.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
            Self::Status => "status",
        }
    }
}

/// The two logs of a session, as the query parameter `kind` names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogKind {
    /// What the container wrote.
    Console,
    /// What happened to the sandbox.
    System,
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

/// Is told each line that an agent writes, and what happens to its sandboxes.
#[derive(Clone)]
pub struct AgentOutput(Arc<Show>);

type Show = dyn Fn(&str, LogStream, &str) + Send + Sync;

impl AgentOutput {
    /// `show` gets the agent's name, where the line comes from, and the line as it was written: it may have control characters. It must
    /// not wait.
    pub fn new(show: impl Fn(&str, LogStream, &str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(show))
    }
}

impl fmt::Debug for AgentOutput {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("AgentOutput")
    }
}

/// Takes a session's log lines and keeps the newest of them. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct LogSink(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    // Never held across an await: a push and a copy are all that happens inside.
    logs: Mutex<Logs>,
    /// Who else is told each line, and the name of the agent.
    mirror: OnceLock<(AgentOutput, String)>,
    /// Told at every line and at the end.
    changed: Notify,
}

#[derive(Debug, Default)]
struct Logs {
    console: Ring,
    system: Ring,
    is_closed: bool,
}

/// The newest lines of one kind.
#[derive(Debug, Default)]
struct Ring {
    lines: VecDeque<LogLine>,
    bytes: usize,
    /// How many lines have been dropped: the place of the first one kept.
    dropped: u64,
}

impl Ring {
    fn push(&mut self, line: LogLine) {
        self.bytes += line.message.len();
        self.lines.push_back(line);
        while self.lines.len() > KEPT_LINES || (self.bytes > KEPT_BYTES && self.lines.len() > 1) {
            let oldest = self.lines.pop_front().map_or(0, |line| line.message.len());
            self.bytes -= oldest;
            self.dropped += 1;
        }
    }

    fn tail(&self, count: usize) -> impl Iterator<Item = &LogLine> {
        self.lines.iter().skip(self.lines.len().saturating_sub(count))
    }

    /// The place after the last line.
    fn end(&self) -> u64 {
        self.dropped + self.lines.len() as u64
    }
}

impl Logs {
    const fn of(&self, kind: LogKind) -> &Ring {
        match kind {
            LogKind::Console => &self.console,
            LogKind::System => &self.system,
        }
    }
}

impl LogSink {
    fn locked(&self) -> MutexGuard<'_, Logs> {
        self.0.logs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on `output` is told each line as well, as `agent`'s. The first one told stays.
    pub(crate) fn mirror(&self, output: &AgentOutput, agent: &str) {
        let _mirrored_before = self.0.mirror.set((output.clone(), agent.to_owned()));
    }

    /// Adds a line, dropping the oldest when there are too many.
    pub fn push(&self, stream: LogStream, message: impl Into<String>) {
        let message = message.into();
        self.mirror_line(stream, &message);
        self.keep(stream, message);
    }

    /// Adds a line that repeats what the agent wrote. The mirror has shown that, and gets `short` instead.
    pub(crate) fn push_repeated(&self, stream: LogStream, message: String, short: &str) {
        self.mirror_line(stream, short);
        self.keep(stream, message);
    }

    fn mirror_line(&self, stream: LogStream, message: &str) {
        if let Some((output, agent)) = self.0.mirror.get() {
            output.0(agent, stream, message);
        }
    }

    fn keep(&self, stream: LogStream, message: String) {
        let line = LogLine { at: OffsetDateTime::now_utc(), stream, message };
        {
            let mut logs = self.locked();
            match stream {
                LogStream::Stdout | LogStream::Stderr => logs.console.push(line),
                LogStream::Status => logs.system.push(line),
            }
        }
        self.0.changed.notify_waiters();
    }

    /// The newest `count` lines of a kind, oldest first.
    pub fn tail(&self, kind: LogKind, count: usize) -> Vec<LogLine> {
        self.locked().of(kind).tail(count).cloned().collect()
    }

    /// Was there ever a line? A session without a sandbox so far has none.
    pub(crate) fn has_begun(&self) -> bool {
        let logs = self.locked();
        logs.console.end() + logs.system.end() > 0
    }

    /// Ends every reader once it has read what is there.
    pub(crate) fn close(&self) {
        self.locked().is_closed = true;
        self.0.changed.notify_waiters();
    }

    /// Reads from `tail` lines before the end on.
    pub(crate) fn read(&self, kind: LogKind, tail: usize) -> LogReader {
        let next = {
            let logs = self.locked();
            let ring = logs.of(kind);
            ring.end().saturating_sub(tail as u64).max(ring.dropped)
        };
        LogReader { sink: self.clone(), kind, next }
    }
}

/// A place in a session's log.
#[derive(Debug)]
pub(crate) struct LogReader {
    sink: LogSink,
    kind: LogKind,
    next: u64,
}

/// What a reader finds.
#[derive(Debug, Default)]
pub(crate) struct Read {
    /// Lines it was too slow for.
    pub(crate) lost: u64,
    /// Those after them.
    pub(crate) lines: Vec<LogLine>,
}

impl LogReader {
    /// The lines that are there and not read yet, possibly none.
    pub(crate) fn take(&mut self) -> Read {
        let logs = self.sink.locked();
        let ring = logs.of(self.kind);
        let lost = ring.dropped.saturating_sub(self.next);
        let unread = usize::try_from(ring.end() - self.next.max(ring.dropped)).unwrap_or(usize::MAX);
        let read = Read { lost, lines: ring.tail(unread).cloned().collect() };
        self.next = ring.end();
        read
    }

    /// Waits for lines; `None` when there will be no more. Nothing is lost when the wait is given up.
    pub(crate) async fn next(&mut self) -> Option<Read> {
        let sink = self.sink.clone();
        loop {
            let mut changed = std::pin::pin!(sink.0.changed.notified());
            // Registered before the look, so that a line in between is not missed.
            changed.as_mut().enable();
            let read = self.take();
            if !read.lines.is_empty() {
                return Some(read);
            }
            if self.sink.locked().is_closed {
                return None;
            }
            changed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(lines: &[LogLine]) -> Vec<&str> {
        lines.iter().map(|line| line.message.as_str()).collect()
    }

    #[test]
    fn kinds_do_not_push_each_other_out() {
        let sink = LogSink::default();
        sink.push(LogStream::Status, "started");
        for number in 0..KEPT_LINES + 5 {
            sink.push(LogStream::Stdout, number.to_string());
        }
        assert_eq!(texts(&sink.tail(LogKind::System, 10)), ["started"]);
        assert_eq!(sink.tail(LogKind::Console, usize::MAX).len(), KEPT_LINES);
        assert_eq!(texts(&sink.tail(LogKind::Console, 2)), ["1003", "1004"]);
    }

    #[test]
    fn long_lines_are_bounded_by_their_bytes() {
        let sink = LogSink::default();
        for _ in 0..10 {
            sink.push(LogStream::Stdout, "x".repeat(KEPT_BYTES / 4));
        }
        assert_eq!(sink.tail(LogKind::Console, usize::MAX).len(), 4);
    }

    #[tokio::test]
    async fn a_reader_gets_its_tail_then_what_comes_then_the_end() {
        let sink = LogSink::default();
        for text in ["a", "b", "c"] {
            sink.push(LogStream::Stdout, text);
        }
        let mut reader = sink.read(LogKind::Console, 2);
        assert_eq!(texts(&reader.take().lines), ["b", "c"]);
        let pushing = sink.clone();
        let (read, ()) = tokio::join!(reader.next(), async move { pushing.push(LogStream::Stderr, "d") });
        assert_eq!(texts(&read.unwrap().lines), ["d"]);
        sink.push(LogStream::Stdout, "e");
        sink.close();
        assert_eq!(texts(&reader.next().await.unwrap().lines), ["e"]);
        assert!(reader.next().await.is_none());
    }

    #[tokio::test]
    async fn a_slow_reader_is_told_what_it_missed() {
        let sink = LogSink::default();
        let mut reader = sink.read(LogKind::Console, 0);
        for number in 0..KEPT_LINES + 7 {
            sink.push(LogStream::Stdout, number.to_string());
        }
        let read = reader.next().await.unwrap();
        assert_eq!((read.lost, read.lines.len()), (7, KEPT_LINES));
    }
}
