//! One response from its start to its end: its state, and the event log that any number of readers follow.

use super::events;
use super::object::{Head, Snapshot, Status};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, header};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long a finished run's events can be replayed (contract 7.5).
const REPLAY_LIFE: Duration = Duration::from_mins(10);

/// How the request wanted its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mode {
    pub(super) background: bool,
    pub(super) stream: bool,
}

/// Who may see a run while it is in flight (contract 13.2, 13.3). Finished ones are guarded by the gateway's store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Owner {
    /// Created without an identity: anyone may see it.
    Unidentified,
    /// Container protocol 2.0.0: the same `x-agent-user-id`.
    User(String),
    /// Container protocol 1.0.0: the same chat key, whatever the user key.
    Chat(String),
}

const USER_HEADER: &str = "x-agent-user-id";
const CHAT_HEADER: &str = "x-agent-chat-isolation-key";

impl Owner {
    /// The owner of a run created by a request with these headers.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        if let Some(user) = text(headers, USER_HEADER) {
            return Self::User(user);
        }
        text(headers, CHAT_HEADER).map_or(Self::Unidentified, Self::Chat)
    }

    fn admits(&self, headers: &HeaderMap) -> bool {
        match self {
            Self::Unidentified => true,
            Self::User(user) => text(headers, USER_HEADER).as_ref() == Some(user),
            Self::Chat(chat) => text(headers, CHAT_HEADER).as_ref() == Some(chat),
        }
    }
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(name)?;
    Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// One response and how it is produced.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) head: Head,
    pub(super) mode: Mode,
    owner: Owner,
    pub(super) input: Vec<Value>,
    /// Items of the earlier turns it continues, oldest first.
    pub(super) history: Vec<Value>,
    /// Fires on a cancel call, and as a child of the container's when that stops.
    cancel: CancellationToken,
    /// Fires when another turn of the conversation takes over.
    steered: CancellationToken,
    stopped: CancellationToken,
    /// The reader of a foreground run has gone.
    abandoned: AtomicBool,
    // Never held across an await.
    log: Mutex<Log>,
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Log {
    /// The events, after those that no reader needs any more.
    frames: VecDeque<(i64, Bytes)>,
    /// How many events were dropped.
    dropped: usize,
    next_sequence: i64,
    /// None until the agent created the response.
    snapshot: Option<Snapshot>,
    ended: Option<Instant>,
}

/// A finished run as it lies on disk.
#[derive(Serialize, Deserialize)]
struct Finished<'a> {
    head: Cow<'a, Head>,
    mode: Mode,
    owner: Cow<'a, Owner>,
    input: Cow<'a, [Value]>,
    history: Cow<'a, [Value]>,
    snapshot: Option<Snapshot>,
    ended_at: SystemTime,
    /// Events that can be replayed.
    frames: Vec<(i64, String)>,
}

impl Run {
    /// A run that has not begun. `stopped` is the container's.
    pub(super) fn new(
        head: Head,
        mode: Mode,
        owner: Owner,
        input: Vec<Value>,
        history: Vec<Value>,
        stopped: CancellationToken,
    ) -> Self {
        Self {
            head,
            mode,
            owner,
            input,
            history,
            cancel: stopped.child_token(),
            steered: CancellationToken::new(),
            stopped,
            abandoned: AtomicBool::new(false),
            log: Mutex::default(),
            changed: watch::Sender::new(()),
        }
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether its events still have a reader.
    fn has_reader(&self) -> bool {
        self.mode.stream && !self.abandoned.load(Ordering::Relaxed)
    }

    /// A finished run as text, for [`Self::restore`].
    pub(super) fn save(&self) -> serde_json::Result<Vec<u8>> {
        let replayed = self.can_replay();
        let log = self.log();
        let frames = log.frames.iter().filter(|_| replayed);
        serde_json::to_vec(&Finished {
            head: Cow::Borrowed(&self.head),
            mode: self.mode,
            owner: Cow::Borrowed(&self.owner),
            input: Cow::Borrowed(&self.input),
            history: Cow::Borrowed(&self.history),
            snapshot: log.snapshot.clone(),
            ended_at: SystemTime::now() - log.ended.map_or(Duration::ZERO, |ended| ended.elapsed()),
            frames: frames.map(|(number, frame)| (*number, String::from_utf8_lossy(frame).into_owned())).collect(),
        })
    }

    /// The run that [`Self::save`] wrote.
    pub(super) fn restore(saved: &[u8]) -> serde_json::Result<Self> {
        let saved: Finished<'static> = serde_json::from_slice(saved)?;
        let (input, history) = (saved.input.into_owned(), saved.history.into_owned());
        let (head, owner) = (saved.head.into_owned(), saved.owner.into_owned());
        let run = Self::new(head, saved.mode, owner, input, history, CancellationToken::new());
        let now = Instant::now();
        let passed = saved.ended_at.elapsed().unwrap_or_default();
        let mut log = run.log();
        log.frames = saved.frames.into_iter().map(|(number, frame)| (number, Bytes::from(frame))).collect();
        log.snapshot = saved.snapshot;
        log.ended = Some(now.checked_sub(passed).unwrap_or(now));
        drop(log);
        Ok(run)
    }

    /// Appends an event, numbering it, with the state that holds from then on.
    pub(super) fn emit(&self, event: &str, fields: Value, snapshot: Option<Snapshot>) {
        let mut log = self.log();
        log.push(event, fields, self.has_reader());
        if snapshot.is_some() {
            log.snapshot = snapshot;
        }
        drop(log);
        self.changed.send_replace(());
    }

    /// Appends the terminal event and ends the run, in one step for every reader.
    pub(super) fn end(&self, snapshot: Snapshot) {
        let event = match snapshot.status {
            Status::Completed => "response.completed",
            Status::Incomplete => "response.incomplete",
            // There is no `response.cancelled` (contract 15.2).
            Status::Failed | Status::Cancelled | Status::InProgress => "response.failed",
        };
        let mut log = self.log();
        if snapshot.status == Status::Cancelled {
            // The server has spent a number on the agent's own ending, which it then drops (contract 15.3).
            log.next_sequence += 1;
        }
        log.push(event, json!({"response": snapshot.event(&self.head)}), self.has_reader());
        log.snapshot = Some(snapshot);
        log.ended = Some(Instant::now());
        drop(log);
        self.changed.send_replace(());
    }

    /// Ends a run whose agent failed before it created anything: one bare `error` event (contract 1.7).
    pub(super) fn end_before_created(&self) {
        let mut log = self.log();
        let error = json!({"message": "An internal server error occurred.", "param": null, "code": null});
        log.push("error", error, self.has_reader());
        if self.mode.background {
            log.snapshot = Some(Snapshot::crashed_before_created());
        }
        log.ended = Some(Instant::now());
        drop(log);
        self.changed.send_replace(());
    }

    /// The first frame at or past `index` that is numbered above `after`, and the index past it.
    /// Waits for it; none once the run has ended without one.
    pub(super) async fn next_frame(&self, mut index: usize, after: i64) -> Option<(usize, Bytes)> {
        let mut changes = self.changed.subscribe();
        loop {
            changes.borrow_and_update();
            {
                let mut log = self.log();
                while let Some((sequence, frame)) = log.frames.get(index - log.dropped).cloned() {
                    index += 1;
                    if !self.mode.background {
                        // There is one reader, and it has this one now.
                        log.frames.pop_front();
                        log.dropped += 1;
                    }
                    if sequence > after {
                        return Some((index, frame));
                    }
                }
                if log.ended.is_some() {
                    return None;
                }
            }
            changes.changed().await.ok()?;
        }
    }

    /// Waits until the run has ended.
    pub(super) async fn wait_ended(&self) {
        self.wait(|log| log.ended.is_some()).await;
    }

    /// Waits until the response is created, or will never be.
    pub(super) async fn wait_created(&self) {
        self.wait(|log| log.snapshot.is_some() || log.ended.is_some()).await;
    }

    async fn wait(&self, reached: impl Fn(&Log) -> bool) {
        let mut changes = self.changed.subscribe();
        loop {
            changes.borrow_and_update();
            if reached(&self.log()) || changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// The state, unless nothing was created.
    pub(super) fn snapshot(&self) -> Option<Snapshot> {
        self.log().snapshot.clone()
    }

    /// Whether the run has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.log().ended.is_some()
    }

    /// Whether a request with these headers may know that the run exists.
    pub(super) fn admits(&self, headers: &HeaderMap) -> bool {
        self.has_ended() || self.owner.admits(headers)
    }

    /// The state as other requests may see it: a foreground run is hidden until its end.
    pub(super) fn visible(&self) -> Option<Snapshot> {
        let log = self.log();
        let seen = self.mode.background || log.ended.is_some();
        log.snapshot.clone().filter(|_| seen)
    }

    /// Its input, then its output as far as others may see it.
    pub(super) fn own_items(&self) -> Vec<Value> {
        let output = self.visible().map_or_else(Vec::new, |snapshot| snapshot.output);
        self.input.iter().cloned().chain(output).collect()
    }

    /// Whether its events can still be replayed.
    pub(super) fn can_replay(&self) -> bool {
        let fresh = match self.log().ended {
            Some(ended) => ended.elapsed() < REPLAY_LIFE,
            None => true,
        };
        self.mode.background && self.mode.stream && fresh
    }

    /// Shows the run to others before it has begun.
    pub(super) fn emerge(&self, snapshot: Snapshot) {
        self.log().snapshot.get_or_insert(snapshot);
    }

    /// Asks the run to end early, as completed: another turn takes over.
    pub(super) fn steer(&self) {
        self.steered.cancel();
    }

    /// Is it to end early?
    pub(super) fn is_steered(&self) -> bool {
        self.steered.is_cancelled()
    }

    /// Asks the run to end as cancelled.
    pub(super) fn cancel(&self) {
        self.cancel.cancel();
    }

    /// Waits between two pieces of output. A cancel cuts the wait short; a reader that went is noticed after it,
    /// as the server notices it only between events.
    pub(super) async fn pause(&self, pace: Duration) {
        if !pace.is_zero() {
            tokio::select! {
                () = self.cancel.cancelled() => {}
                () = self.steered.cancelled() => {}
                () = tokio::time::sleep(pace) => {}
            }
        }
    }

    /// How the run must end, when something other than the agent decides it.
    pub(super) fn interruption(&self) -> Option<Snapshot> {
        if self.stopped.is_cancelled() {
            Some(Snapshot::crashed())
        } else if self.cancel.is_cancelled() || self.abandoned.load(Ordering::Relaxed) {
            Some(Snapshot::cancelled())
        } else {
            None
        }
    }
}

impl Log {
    /// Numbers an event, and keeps it if a reader `reads` it.
    fn push(&mut self, event: &str, fields: Value, reads: bool) {
        let mut data = json!({"type": event});
        if let (Some(data), Value::Object(fields)) = (data.as_object_mut(), fields) {
            data.extend(fields);
            data.insert("sequence_number".to_owned(), self.next_sequence.into());
        }
        if reads {
            self.frames.push_back((self.next_sequence, events::frame(event, &data)));
        }
        self.next_sequence += 1;
    }
}

/// The answer that follows a run from after an event: earlier events, then new ones, then the end of the body.
///
/// `after` is the sequence number of the last event the reader has, -1 for none.
pub(super) fn follow(
    run: Arc<Run>,
    after: i64,
    keep_alive: Option<Duration>,
    abandon: Option<AbandonOnDrop>,
) -> Response {
    let frames = stream::unfold((run, 0, abandon), move |(run, index, abandon)| async move {
        let (next, frame) = run.next_frame(index, after).await?;
        Some((frame, (run, next, abandon)))
    });
    let headers = [
        (header::CONNECTION, "keep-alive"),
        (header::CACHE_CONTROL, "no-cache"),
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    (headers, events::body(frames, keep_alive)).into_response()
}

/// Cancels a foreground run when its connection goes before its end.
#[derive(Debug)]
pub(super) struct AbandonOnDrop(pub(super) Arc<Run>);

impl Drop for AbandonOnDrop {
    fn drop(&mut self) {
        let mut log = self.0.log();
        self.0.abandoned.store(true, Ordering::Relaxed);
        log.frames = VecDeque::new();
    }
}
