//! A handle to one connected client: what is sent to it waits in a bounded outbox.

use crate::daemon::Daemon;
use crate::limits::output::WaitingBudget;
use futures_util::FutureExt;
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

/// Messages that wait for one client. A stream of text deltas fills it in about a second of not reading.
pub const OUTBOX_MESSAGES: usize = 128;
/// Bytes of messages that wait for one client; a longer message waits until it is alone. Far above what is usual, far below what
/// a few hundred answers of the longest kind would take.
const OUTBOX_BYTES: u32 = 1024 * 1024;
/// How long a client may take nothing at all before it is cut: an editor that hangs for longer is not coming back soon.
pub const CLIENT_STALL: Duration = Duration::from_secs(10);

/// The client has left or was cut; nothing can be sent to it any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the client is gone")]
pub struct ClientGone;

/// A message that waits for its client, and the room that it takes.
pub(crate) struct Queued {
    pub(crate) text: String,
    _room: OwnedSemaphorePermit,
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
    /// Cancelled when the client is gone, or stalled and therefore cut.
    cut: CancellationToken,
    /// Has it a way to take anything besides answers?
    takes_progress: bool,
}

impl Client {
    /// A client, and the outbox that whoever writes to it empties. `cut` is cancelled when it does not take what it is sent.
    pub(crate) fn new(
        daemon: &Daemon,
        number: u64,
        cut: CancellationToken,
        takes_progress: bool,
    ) -> (Self, mpsc::Receiver<Queued>) {
        let (outbox, messages) = mpsc::channel(OUTBOX_MESSAGES);
        let room = Arc::new(Semaphore::new(OUTBOX_BYTES as usize));
        let waiting = daemon.waiting.clone();
        (Self { number, outbox, room, waiting, cut, takes_progress }, messages)
    }

    /// Counts connections since the daemon's start, for logs.
    pub fn number(&self) -> u64 {
        self.number
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
        match serde_json::to_string(&Notification { jsonrpc: "2.0", method, params }) {
            Ok(text) => self.send(text).await,
            Err(error) => {
                tracing::error!(%error, method, "a notification could not be encoded");
                Ok(())
            }
        }
    }

    /// Queues one message, waiting for room; a client that makes no room for [`CLIENT_STALL`] is cut.
    pub(crate) async fn send(&self, message: String) -> Result<(), ClientGone> {
        let bytes = message.len();
        let mut queued = std::pin::pin!(self.queue(message));
        if let Some(sent) = queued.as_mut().now_or_never() {
            return sent;
        }
        // Held while it waits.
        let Some(_room) = self.waiting.room(bytes) else {
            tracing::warn!(conn = self.number, bytes, "cut: it does not read, and too many messages wait already");
            self.cut.cancel();
            return Err(ClientGone);
        };
        let sent = tokio::select! {
            () = self.cut.cancelled() => return Err(ClientGone),
            sent = tokio::time::timeout(CLIENT_STALL, queued) => sent,
        };
        if let Ok(sent) = sent {
            return sent;
        }
        tracing::warn!(conn = self.number, "cut: its outbox stayed full for {CLIENT_STALL:?}");
        self.cut.cancel();
        Err(ClientGone)
    }

    async fn queue(&self, text: String) -> Result<(), ClientGone> {
        let bytes = u32::try_from(text.len()).map_or(OUTBOX_BYTES, |bytes| bytes.min(OUTBOX_BYTES));
        let room = Arc::clone(&self.room).acquire_many_owned(bytes).await.map_err(|_| ClientGone)?;
        self.outbox.send(Queued { text, _room: room }).await.map_err(|_| ClientGone)
    }
}
