//! One client, whatever it speaks.
//!
//! - [`framed`]: LSP's and NDJSON's framing: one stream of messages each way
//! - [`http`]: HTTP/1.1: one message, or batch, per request
//!
//! The first bytes decide for the connection's life ([`crate::inbound::reader`]). Whatever ends the
//! connection, its requests are answered or cancelled, and nothing of it is left behind when [`serve`] returns.

mod framed;
mod http;

use crate::daemon::Daemon;
use crate::error::CallError;
use crate::inbound::framing::Framing;
use crate::inbound::listener::{self, Stream};
use crate::inbound::reader::{FrameReader, Sniffed};
use crate::rpc::table::Table;
use futures_util::FutureExt;
use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

/// Messages that wait for one client. A stream of text deltas fills it in about a second of not reading.
pub const OUTBOX_MESSAGES: usize = 128;
/// Bytes of messages that wait for one client; a longer message waits until it is alone. Far above what is usual, far below what
/// a few hundred answers of the longest kind would take.
const OUTBOX_BYTES: u32 = 1024 * 1024;
/// How long a client may take nothing at all before it is cut: an editor that hangs for longer is not coming back soon.
pub const CLIENT_STALL: Duration = Duration::from_secs(10);
/// How long a client may take to say its first word even when others wait for its place. Programs speak at once.
const FIRST_WORD: Duration = Duration::from_secs(1);
/// How long input is read and thrown away after a fatal error, so that a client in the middle of writing gets to read it.
const LINGER: Duration = Duration::from_secs(1);

/// The client has left or was cut; nothing can be sent to it any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the client is gone")]
pub struct ClientGone;

/// A message that waits for its client, and the room that it takes.
pub(crate) struct Queued {
    text: String,
    _room: OwnedSemaphorePermit,
}

/// A handle to one connected client. Cheap to clone; keeps nothing alive.
#[derive(Debug, Clone)]
pub struct Client {
    number: u64,
    outbox: mpsc::Sender<Queued>,
    /// The bytes that are free in the outbox.
    room: Arc<Semaphore>,
    /// Cancelled when the client is gone, or stalled and therefore cut.
    cut: CancellationToken,
    /// Has it a way to take anything besides answers?
    takes_progress: bool,
}

impl Client {
    /// A client, and the outbox that whoever writes to it empties. `cut` is cancelled when it does not take what it is sent.
    fn new(number: u64, cut: CancellationToken, takes_progress: bool) -> (Self, mpsc::Receiver<Queued>) {
        let (outbox, messages) = mpsc::channel(OUTBOX_MESSAGES);
        let room = Arc::new(Semaphore::new(OUTBOX_BYTES as usize));
        (Self { number, outbox, room, cut, takes_progress }, messages)
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
        let mut queued = std::pin::pin!(self.queue(message));
        if let Some(sent) = queued.as_mut().now_or_never() {
            return sent;
        }
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

/// Serves one client until it leaves, is cut, or the daemon ends.
pub(crate) fn serve(daemon: Arc<Daemon>, table: &'static Table, stream: Stream) -> impl Future<Output = ()> + Send {
    // Counted before the task first runs, so that the daemon cannot find itself idle in between.
    let open = daemon.activity.connection();
    async move {
        serve_counted(daemon, table, stream).await;
        drop(open);
    }
}

async fn serve_counted(daemon: Arc<Daemon>, table: &'static Table, stream: Stream) {
    static CONNECTIONS: AtomicU64 = AtomicU64::new(1);
    let number = CONNECTIONS.fetch_add(1, Ordering::Relaxed);
    let (read, mut write) = transport::split(stream);
    let mut reader = FrameReader::new(read);
    let sniffed = tokio::select! {
        sniffed = reader.sniff() => sniffed,
        () = daemon.shutdown.draining() => return,
        () = outstayed(&daemon) => {
            tracing::debug!(conn = number, "closed: it said nothing, and others wait");
            return;
        }
    };
    match sniffed {
        Sniffed::Framing(framing) => {
            tracing::debug!(conn = number, ?framing, "connected");
            framed::serve(daemon, table, number, framing, reader, write).await;
        }
        Sniffed::Http => {
            tracing::debug!(conn = number, framing = "http", "connected");
            http::serve(daemon, table, number, reader, write).await;
        }
        Sniffed::Nothing => return,
        Sniffed::Unknown(error) => {
            tracing::debug!(conn = number, %error, "closed");
            let mut bytes = Vec::new();
            Framing::Ndjson.encode(&crate::rpc::refusal(CallError::parse(error.to_string())), &mut bytes);
            let cut = CancellationToken::new();
            if write_all(&mut write, &bytes, &cut).await.is_ok() {
                let _ = write.shutdown().await;
                reader.discard(LINGER).await;
            }
        }
    }
    tracing::debug!(conn = number, "disconnected");
}

/// Returns when a client that has had time to speak holds a place that another one waits for.
async fn outstayed(daemon: &Daemon) {
    tokio::time::sleep(FIRST_WORD).await;
    daemon.crowded.notified().await;
}

/// Writes everything, as long as some of it is taken every [`CLIENT_STALL`].
async fn write_all(
    half: &mut (impl AsyncWrite + Unpin),
    mut bytes: &[u8],
    cut: &CancellationToken,
) -> Result<(), ClientGone> {
    while !bytes.is_empty() {
        let written = tokio::select! {
            () = cut.cancelled() => return Err(ClientGone),
            written = tokio::time::timeout(CLIENT_STALL, half.write(bytes)) => written,
        };
        match written {
            Ok(Ok(count)) if count > 0 => bytes = bytes.get(count..).unwrap_or_default(),
            Ok(_) => return Err(ClientGone),
            Err(_) => {
                tracing::warn!("cut: a client took nothing for {CLIENT_STALL:?}");
                return Err(ClientGone);
            }
        }
    }
    Ok(())
}
