//! Streams in a row as one log: opens them, leaves out what they repeat, and knows when to end.
//!
//! Without follow, the last lines are wanted: they have been delivered when there are as many as were asked for, or when
//! it becomes quiet after them, because the service may leave the stream open. With follow, only the session's end is an
//! end; a stream that breaks is opened again, with growing pauses.

use super::window::{Verdict, Window};
use super::{Frames, LogQuery, Source, frame};
use crate::foundry::error::{FoundryError, Operation};
use crate::foundry::sse;
use cupola_protocol::error::ErrorKind;
use cupola_protocol::invoke::{Notice, NoticeCode};
use cupola_protocol::monitor::{LogKind, MonitorEvent, Tail};
use futures_util::StreamExt as _;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// How long a stream may take to say its first word. A log behind a container that is still starting takes as long as
/// the container; after this, waiting on is the caller's decision.
const ANSWER_LIMIT: Duration = Duration::from_mins(2);

/// Without follow: how long the first line is waited for once the stream has said anything. The service opens with
/// remarks while it connects to the container; azd gives up on the whole after as long (contract section 6).
const OPENING_QUIET: Duration = Duration::from_secs(5);

/// Without follow: how long the next line is waited for. The tail comes in one go.
const QUIET: Duration = Duration::from_secs(1);

/// Without follow: how often a stream that breaks before its end is opened again.
const MAX_REPAIRS: u32 = 3;

/// With follow: the first pause before a stream is opened again; it doubles.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause. Someone may be watching.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// Without follow: how long the whole may take, all streams together. Each may wait for a container that is starting.
const READ_LIMIT: Duration = Duration::from_mins(10);

/// Without follow: most events that are passed on, the longest tail there is and three times as many remarks.
const MAX_EVENTS: u64 = 4 * Tail::MAX.get() as u64;

/// Without follow: most bytes of them. They may be collected for one response.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// Most events in a row that only repeat what was passed on before. A new stream begins with as many lines as its tail has.
const MAX_REPEATED: u64 = 4 * Tail::MAX.get() as u64;

/// A stream that lasted this long was a good one: pauses start again from the shortest, and its end is not reported.
const GOOD_STREAM: Duration = Duration::from_mins(1);

/// Why a log could not be read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LogError {
    /// The service refused or could not be asked.
    #[error(transparent)]
    Foundry(#[from] FoundryError),
    /// The session is there, but nothing runs or ran in it.
    #[error("the session has no sandbox yet, and so no log")]
    NoSandbox,
    /// The stream broke repeatedly.
    #[error("the log's stream broke off {attempts} times: {reason}")]
    Broken {
        /// How often it was opened.
        attempts: u32,
        /// How it broke the last time.
        reason: String,
    },
}

/// One event of a log.
#[derive(Debug)]
pub struct LogEvent {
    /// As it is passed on.
    pub event: MonitorEvent,
    /// What it is, which a raw event does not show.
    pub part: LogPart,
}

/// What an event is to its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogPart {
    /// How the session is: the log's preamble.
    Session,
    /// One of the lines that `tail` counts.
    Line,
    /// Anything else the service says.
    Remark,
    /// Ours.
    Notice,
}

/// A session's log as events.
pub struct LogReader {
    source: Box<dyn Source>,
    query: LogQuery,
    window: Window,
    ready: VecDeque<LogEvent>,
    state: State,
    /// Streams opened, or tried to, since the last good one.
    attempts: u32,
    /// A stream was there before.
    was_open: bool,
    /// What the caller was told is wrong at present.
    trouble: Option<NoticeCode>,
    /// Events of the service passed on.
    count: u64,
    /// Lines among them.
    lines: u64,
    /// Bytes of them.
    bytes: usize,
    /// When the first stream was asked for.
    began: Option<Instant>,
}

enum State {
    Closed,
    Open(Open),
    Ended,
}

struct Open {
    frames: Frames,
    since: Instant,
    /// When the last event came.
    heard: Option<Instant>,
    /// Events since the last one that was new.
    repeated: u64,
}

impl Open {
    fn was_good(&self) -> bool {
        self.heard.is_some() && self.since.elapsed() >= GOOD_STREAM
    }
}

impl std::fmt::Debug for LogReader {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("LogReader").field("query", &self.query).finish_non_exhaustive()
    }
}

impl LogReader {
    pub(super) fn new(source: Box<dyn Source>, query: LogQuery) -> Self {
        Self {
            source,
            query,
            window: Window::new(query.kind),
            ready: VecDeque::new(),
            state: State::Closed,
            attempts: 0,
            was_open: false,
            trouble: None,
            count: 0,
            lines: 0,
            bytes: 0,
            began: None,
        }
    }

    /// How many events of the service were passed on.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The next event; `None` at the end. May wait for ever when following. A reader whose wait was given up must be
    /// dropped.
    pub async fn next(&mut self) -> Result<Option<LogEvent>, LogError> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(event));
            }
            match &self.state {
                State::Closed => self.open().await?,
                State::Open(_) => self.read().await?,
                State::Ended => return Ok(None),
            }
        }
    }

    async fn open(&mut self) -> Result<(), LogError> {
        self.began.get_or_insert_with(Instant::now);
        if self.attempts > 0 {
            tokio::time::sleep(pause(self.attempts)).await;
        }
        self.attempts += 1;
        let tail = if self.query.follow { self.window.tail(self.query.tail) } else { self.query.tail };
        let opened = match tokio::time::timeout(ANSWER_LIMIT, self.source.open(tail)).await {
            Ok(opened) => opened,
            Err(_) => Err(FoundryError::TimedOut { operation: Operation::ReadLog, after: ANSWER_LIMIT }),
        };
        match opened {
            Ok(Some(frames)) => {
                if self.trouble.take().is_some() {
                    self.notice(NoticeCode::Reconnected, "the log's stream is open");
                }
                self.window.begin_stream(!self.was_open);
                self.was_open = true;
                self.state = State::Open(Open { frames, since: Instant::now(), heard: None, repeated: 0 });
                Ok(())
            }
            Ok(None) if self.query.follow => {
                self.report(NoticeCode::NoSandbox, "the session has no sandbox now; waiting for it to have one");
                Ok(())
            }
            Ok(None) => Err(LogError::NoSandbox),
            Err(error) if self.was_open && error.status() == Some(404) => {
                self.notice(NoticeCode::SessionGone, "the session is gone, and its log with it");
                self.state = State::Ended;
                Ok(())
            }
            Err(error) if self.was_open && is_passing(error.kind()) => self.broken(&error.to_string()),
            Err(error) => Err(error.into()),
        }
    }

    async fn read(&mut self) -> Result<(), LogError> {
        if !self.query.follow && self.began.is_some_and(|began| began.elapsed() >= READ_LIMIT) {
            return Err(FoundryError::TimedOut { operation: Operation::ReadLog, after: READ_LIMIT }.into());
        }
        let State::Open(open) = &mut self.state else { return Ok(()) };
        let deadline = match open.heard {
            None => open.since + ANSWER_LIMIT,
            Some(heard) if !self.query.follow => heard + if self.lines == 0 { OPENING_QUIET } else { QUIET },
            // The stream itself notices when it is dead.
            Some(_) => {
                let next = open.frames.next().await;
                return self.take(next);
            }
        };
        match timeout_at(deadline, open.frames.next()).await {
            Ok(next) => self.take(next),
            Err(_) if open.heard.is_some() => {
                self.finish();
                Ok(())
            }
            Err(_) if self.query.follow => self.broken(&format!("nothing came for {} s", ANSWER_LIMIT.as_secs())),
            Err(_) => Err(FoundryError::TimedOut { operation: Operation::ReadLog, after: ANSWER_LIMIT }.into()),
        }
    }

    /// Takes what a stream gave: an event, how it broke, or that it ended.
    fn take(&mut self, next: Option<Result<sse::Event, String>>) -> Result<(), LogError> {
        let State::Open(open) = &mut self.state else { return Ok(()) };
        match next {
            Some(Ok(event)) => {
                open.heard = Some(Instant::now());
                open.repeated += 1;
                if open.repeated > MAX_REPEATED {
                    return self.broken("the service only repeats what was shown before");
                }
                self.pass(&event);
                if self.query.follow {
                    return Ok(());
                }
                if self.is_complete() {
                    self.finish();
                } else if self.count > MAX_EVENTS || self.bytes > MAX_BYTES {
                    let reason = format!(
                        "the end of the log has more than {MAX_EVENTS} events or {MAX_BYTES} bytes; ask for fewer lines"
                    );
                    return Err(FoundryError::UnexpectedAnswer { operation: Operation::ReadLog, reason }.into());
                }
                Ok(())
            }
            Some(Err(reason)) => self.broken(&reason),
            None if self.query.follow => {
                if open.was_good() {
                    // The service limits how long a stream lasts; the next one continues where this one ended.
                    self.attempts = 0;
                    self.state = State::Closed;
                    return Ok(());
                }
                self.broken("the service ended it")
            }
            None if open.heard.is_some() => {
                self.finish();
                Ok(())
            }
            None => self.broken("it ended before it said anything"),
        }
    }

    fn pass(&mut self, event: &sse::Event) {
        let shown = frame::read(event);
        if matches!(shown, MonitorEvent::Session { .. }) && self.count > 0 {
            // Each stream begins with it; the caller asked for one log.
            return;
        }
        match self.window.judge(&shown) {
            Verdict::Known => return,
            Verdict::New => {}
            Verdict::NewAfterGap => {
                self.notice(NoticeCode::Gap, "lines written while the stream was broken may be missing here");
            }
        }
        if let State::Open(open) = &mut self.state {
            open.repeated = 0;
        }
        self.count += 1;
        self.bytes += event.data.len();
        let part = self.part(&shown);
        self.lines += u64::from(part == LogPart::Line);
        let raw = || MonitorEvent::Raw { name: event.name.clone(), data: event.data.clone() };
        self.ready.push_back(LogEvent { event: if self.query.raw { raw() } else { shown }, part });
    }

    /// The console's status lines are the stream's own remarks.
    fn part(&self, event: &MonitorEvent) -> LogPart {
        match event {
            MonitorEvent::Session { .. } => LogPart::Session,
            MonitorEvent::Line { stream, .. }
                if self.query.kind == LogKind::System || stream.as_deref() != Some("status") =>
            {
                LogPart::Line
            }
            _ => LogPart::Remark,
        }
    }

    fn is_complete(&self) -> bool {
        self.lines >= u64::from(self.query.tail.get())
    }

    fn finish(&mut self) {
        if self.lines == 0 {
            self.notice(NoticeCode::NoLines, "the log has no lines so far");
        }
        self.state = State::Ended;
    }

    /// A stream is lost. It is opened again, unless that was tried often enough.
    fn broken(&mut self, reason: &str) -> Result<(), LogError> {
        if let State::Open(open) = &self.state
            && open.was_good()
        {
            self.attempts = 0;
        }
        self.state = State::Closed;
        if !self.query.follow && self.attempts > MAX_REPAIRS {
            return Err(LogError::Broken { attempts: self.attempts, reason: reason.to_owned() });
        }
        self.report(NoticeCode::Disconnected, &format!("the log's stream broke ({reason}); opening it again"));
        Ok(())
    }

    /// Says once what is wrong at present.
    fn report(&mut self, code: NoticeCode, message: &str) {
        if self.trouble != Some(code) {
            self.trouble = Some(code);
            self.notice(code, message);
        }
    }

    fn notice(&mut self, code: NoticeCode, message: &str) {
        let event = MonitorEvent::Notice { notice: Notice { code, message: message.to_owned() } };
        self.ready.push_back(LogEvent { event, part: LogPart::Notice });
    }
}

fn pause(attempts: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(attempts - 1)).min(MAX_PAUSE)
}

/// May the next attempt succeed without anybody doing anything?
const fn is_passing(kind: ErrorKind) -> bool {
    // A broken connection and a 5xx are among the service's errors: asking for a log again does no harm.
    kind.retryable() || matches!(kind, ErrorKind::ServiceError | ErrorKind::ProxyTimeout)
}

#[cfg(test)]
mod tests;
