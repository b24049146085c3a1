//! A handle to one connected client: what is sent to it waits in a bounded outbox.

use super::message::CallId;
use super::wire::made_readable;
use crate::daemon::Daemon;
use crate::error::CallError;
use crate::limits::output::WaitingBudget;
use cupola_protocol::error::{ErrorKind, LastEvent};
use cupola_protocol::headers::TraceParent;
use cupola_protocol::id::RunId;
use cupola_protocol::rpc::{MAX_MESSAGE_BYTES, ProgressToken};
use cupola_protocol::wording;
use futures_util::FutureExt;
use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

/// Messages that wait for one client. A stream of text deltas fills it in about a second of not reading.
pub const OUTBOX_MESSAGES: usize = 128;
/// Bytes of messages that wait for one client; a longer message waits until it is alone. Far above what is usual, far below what
/// a few hundred answers of the longest kind would take.
const OUTBOX_BYTES: u32 = 1024 * 1024;
/// How long a client may take nothing at all before its calls end: an editor that hangs for longer is not coming back soon.
pub const CLIENT_STALL: Duration = Duration::from_secs(10);
/// How long such a client then has to take what is there and to read why: a person who looks at a pager, a machine that
/// slept.
pub const STALLED_GRACE: Duration = Duration::from_mins(1);

/// The client has left, took nothing for too long, or was cut; nothing can be sent to it any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the client is gone")]
pub struct ClientGone;

/// A message that waits for its client, and the room that it takes.
pub(crate) struct Queued {
    pub(crate) text: String,
    room: OwnedSemaphorePermit,
}

impl Queued {
    /// Its text, and the room that it takes for as long as it is kept.
    pub(crate) fn into_parts(self) -> (String, OwnedSemaphorePermit) {
        (self.text, self.room)
    }
}

/// How a connection ends before its client leaves. Shared by the tasks that read, write and work for it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ends {
    /// Nothing more can be sent: the client is gone, or does not deserve it.
    pub(crate) cut: CancellationToken,
    /// Nothing more is begun or queued. What waits is still sent, and then why.
    stalled: CancellationToken,
    why: Arc<OnceLock<Stall>>,
}

/// Why a client's calls end although it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stall {
    /// It took nothing for [`CLIENT_STALL`].
    TookNothing,
    /// It reads more slowly than its answers come, and all clients together keep too much waiting.
    NoRoom,
}

impl Ends {
    /// The client's calls end. The first reason counts.
    pub(crate) fn stall(&self, why: Stall) {
        let _ = self.why.set(why);
        self.stalled.cancel();
    }

    /// Returns when the client's calls end.
    pub(crate) async fn stalled(&self) {
        self.stalled.cancelled().await;
    }

    /// Has it stalled?
    pub(crate) fn is_stalled(&self) -> bool {
        self.stalled.is_cancelled()
    }
}

/// A handle to one connected client. Cheap to clone; keeps nothing alive.
#[derive(Debug, Clone)]
pub struct Client {
    number: u64,
    outbox: mpsc::Sender<Queued>,
    /// The bytes that are free in the outbox.
    room: Arc<Semaphore>,
    /// What all clients share for messages that wait for that.
    waiting: WaitingBudget,
    ends: Ends,
    /// The last event that was queued of each run that is followed.
    followed: Arc<Mutex<BTreeMap<String, LastEvent>>>,
    /// Has it a way to take anything besides answers?
    takes_progress: bool,
    /// Which program it is, once it has said so: its hints are worded for it.
    wording: Arc<OnceLock<wording::Client>>,
    /// The span that its one request belongs to, as a header says. What a call itself says counts more.
    traceparent: Option<Arc<TraceParent>>,
}

impl Client {
    /// A client, and the outbox that the writing task empties.
    pub(crate) fn new(
        daemon: &Daemon,
        number: u64,
        ends: Ends,
        takes_progress: bool,
    ) -> (Self, mpsc::Receiver<Queued>) {
        let (outbox, messages) = mpsc::channel(OUTBOX_MESSAGES);
        let room = Arc::new(Semaphore::new(OUTBOX_BYTES as usize));
        let waiting = daemon.waiting.clone();
        let followed = Arc::default();
        (
            Self {
                number,
                outbox,
                room,
                waiting,
                ends,
                followed,
                takes_progress,
                wording: Arc::default(),
                traceparent: None,
            },
            messages,
        )
    }

    /// Counts connections since the daemon's start, for logs.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The client has said which program it is. The first name counts.
    pub(crate) fn is_named(&self, name: &str) {
        if let Some(client) = wording::Client::named(name) {
            let _ = self.wording.set(client);
        }
    }

    /// Puts advice for the command line into the words of this client.
    pub(crate) fn word(&self, advice: &mut String) {
        if let Some(client) = self.wording.get() {
            *advice = client.word(advice);
        }
    }

    /// As [`Self::word`], for what an error advises.
    pub(crate) fn worded(&self, mut error: CallError) -> CallError {
        if let Some(advice) = &mut error.data.hint {
            self.word(advice);
        }
        error
    }

    /// The same client, whose request is part of a trace.
    #[must_use]
    pub(crate) fn within(self, traceparent: Option<TraceParent>) -> Self {
        Self { traceparent: traceparent.map(Arc::new), ..self }
    }

    /// The span that its request is part of.
    pub(crate) fn traceparent(&self) -> Option<&TraceParent> {
        self.traceparent.as_deref()
    }

    /// Sends one notification.
    pub async fn notify(&self, method: &str, params: &impl Serialize) -> Result<(), ClientGone> {
        #[derive(Serialize)]
        struct Notification<'a, Params> {
            jsonrpc: &'static str,
            method: &'a str,
            params: &'a Params,
        }
        if !self.takes_progress {
            return Ok(());
        }
        match serde_json::to_string(&Notification { jsonrpc: "2.0", method, params }).map(made_readable) {
            Ok(text) if text.len() > MAX_MESSAGE_BYTES => {
                tracing::warn!(conn = self.number, bytes = text.len(), "left out an event that no message can hold");
                Ok(())
            }
            Ok(text) => self.send(text).await,
            Err(error) => {
                tracing::error!(%error, method, "a notification could not be encoded");
                Ok(())
            }
        }
    }

    /// Sends one event. `event` is readable already.
    pub(super) async fn notify_event(
        &self,
        method: &str,
        token: &ProgressToken,
        event: &RawValue,
    ) -> Result<(), ClientGone> {
        if !self.takes_progress {
            return Ok(());
        }
        let token = serde_json::to_string(token).map(made_readable).unwrap_or_default();
        let parts = [
            r#"{"jsonrpc":"2.0","method":""#,
            method,
            r#"","params":{"token":"#,
            &token,
            r#","value":"#,
            event.get(),
            "}}",
        ];
        let text = parts.concat();
        if text.len() > MAX_MESSAGE_BYTES {
            tracing::warn!(conn = self.number, bytes = text.len(), "left out an event that no message can hold");
            return Ok(());
        }
        self.send(text).await
    }

    /// Queues one message, waiting for room. The writing task notices when the client stops reading.
    pub(crate) async fn send(&self, message: String) -> Result<(), ClientGone> {
        if self.ends.is_stalled() {
            return Err(ClientGone);
        }
        let bytes = message.len();
        let mut queued = std::pin::pin!(self.queue(message));
        if let Some(sent) = queued.as_mut().now_or_never() {
            return sent;
        }
        // Held while it waits.
        let Some(_room) = self.waiting.room(bytes) else {
            tracing::warn!(conn = self.number, bytes, "stalled: it reads slowly, and too many messages wait already");
            self.ends.stall(Stall::NoRoom);
            return Err(ClientGone);
        };
        tokio::select! {
            () = self.ends.cut.cancelled() => Err(ClientGone),
            () = self.ends.stalled() => Err(ClientGone),
            sent = queued => sent,
        }
    }

    async fn queue(&self, text: String) -> Result<(), ClientGone> {
        let bytes = u32::try_from(text.len()).map_or(OUTBOX_BYTES, |bytes| bytes.min(OUTBOX_BYTES));
        let room = Arc::clone(&self.room).acquire_many_owned(bytes).await.map_err(|_| ClientGone)?;
        self.outbox.send(Queued { text, room }).await.map_err(|_| ClientGone)
    }

    /// The client follows a run from now on.
    pub(crate) fn follows(&self, run: &RunId) -> Following<'_> {
        Following { client: self, run: run.clone() }
    }

    /// How many bytes wait for it.
    pub(crate) fn backlog(&self) -> usize {
        (OUTBOX_BYTES as usize).saturating_sub(self.room.available_permits())
    }

    /// Its calls end.
    pub(crate) fn stall(&self, why: Stall) {
        self.ends.stall(why);
    }

    /// Has it stalled?
    pub(crate) fn has_stalled(&self) -> bool {
        self.ends.is_stalled()
    }

    /// What a client that has stalled is told last: why, and how far it got.
    pub(crate) fn farewell(&self) -> String {
        let message = match self.ends.why.get() {
            Some(Stall::NoRoom) => {
                "this client reads more slowly than its answers come, and too many messages wait".to_owned()
            }
            Some(Stall::TookNothing) | None => {
                format!("this client took nothing for {} s", CLIENT_STALL.as_secs())
            }
        };
        let mut error = CallError::new(ErrorKind::ClientStalled, format!("{message}; its calls have ended"));
        let followed = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
        error.data.last_events = followed.values().cloned().collect();
        drop(followed);
        CallId::null().refuse(
            error.hint(
                "connect again; `runs/attach` with the run and `after`, the last event's number, continues a run",
            ),
        )
    }
}

/// A run that a client follows. How far it got stays known when it stalled: it is told.
pub(crate) struct Following<'client> {
    client: &'client Client,
    run: RunId,
}

impl Following<'_> {
    /// The client was sent the event of this number.
    pub(crate) fn got(&self, number: u64) {
        let mut followed = self.client.followed.lock().unwrap_or_else(PoisonError::into_inner);
        match followed.get_mut(self.run.as_str()) {
            Some(last) => last.number = number,
            None => {
                followed.insert(self.run.as_str().to_owned(), LastEvent { run_id: self.run.clone(), number });
            }
        }
    }
}

impl Drop for Following<'_> {
    fn drop(&mut self) {
        if !self.client.ends.is_stalled() {
            self.client.followed.lock().unwrap_or_else(PoisonError::into_inner).remove(self.run.as_str());
        }
    }
}
