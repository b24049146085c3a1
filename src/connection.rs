//! One client: one reader and one writer, each the only owner of its half of the stream, and one bounded outbox.
//!
//! The first bytes decide the framing for the connection's life ([`crate::transport::reader`]). Whatever ends the
//! connection, its requests are answered or cancelled, and nothing of it is left behind when [`serve`] returns.

use crate::daemon::Daemon;
use crate::rpc::bounds::Binding;
use crate::rpc::table::Table;
use crate::rpc::{Calls, RpcError};
use crate::transport::framing::{FrameError, Framing};
use crate::transport::reader::{FrameReader, Sniffed};
use crate::transport::{self, Stream, WriteHalf};
use serde::Serialize;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Messages that wait for one client. A stream of text deltas fills it in about a second of not reading.
pub const OUTBOX_MESSAGES: usize = 128;
/// Messages written with one system call at most; half an outbox, so that refilling and writing overlap.
const COALESCED_MESSAGES: usize = 64;
/// How long a client may take nothing at all before it is cut: an editor that hangs for longer is not coming back soon.
pub const CLIENT_STALL: Duration = Duration::from_secs(10);
/// How often a client that has finished sending is looked at, to learn whether it still waits for its answers.
const HALF_CLOSED_POLL: Duration = Duration::from_millis(100);
/// How long input is read and thrown away after a fatal error, so that a client in the middle of writing gets to read it.
const LINGER: Duration = Duration::from_secs(1);
/// A write buffer above this many bytes is given back after use.
const KEPT_BUFFER_BYTES: usize = 64 * 1024;

/// The client has left or was cut; nothing can be sent to it any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the client is gone")]
pub struct ClientGone;

/// A handle to one connected client. Cheap to clone; keeps nothing alive.
#[derive(Debug, Clone)]
pub struct Client {
    number: u64,
    outbox: mpsc::Sender<String>,
    /// Cancelled when the client is gone, or stalled and therefore cut.
    cut: CancellationToken,
}

impl Client {
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
        let message = match self.outbox.try_send(message) {
            Ok(()) => return Ok(()),
            Err(mpsc::error::TrySendError::Closed(_)) => return Err(ClientGone),
            Err(mpsc::error::TrySendError::Full(message)) => message,
        };
        let sent = tokio::select! {
            () = self.cut.cancelled() => return Err(ClientGone),
            sent = tokio::time::timeout(CLIENT_STALL, self.outbox.send(message)) => sent,
        };
        if let Ok(sent) = sent {
            return sent.map_err(|_| ClientGone);
        }
        tracing::warn!(conn = self.number, "cut: its outbox stayed full for {CLIENT_STALL:?}");
        self.cut.cancel();
        Err(ClientGone)
    }
}

/// Why no more is read.
enum End {
    /// The client has sent all it wants to.
    Finished,
    /// The client said `exit`.
    Exit,
    /// Its bytes cannot be followed any further.
    Unreadable(FrameError),
    /// The daemon drains and every request is answered.
    Drained,
    /// The client is gone or was cut.
    Gone,
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
    };
    let framing = match sniffed {
        Sniffed::Framing(framing) => framing,
        Sniffed::Nothing => return,
        Sniffed::Unknown(error) => {
            tracing::debug!(conn = number, %error, "closed");
            let mut bytes = Vec::new();
            Framing::Ndjson.encode(&crate::rpc::refusal(RpcError::parse(error.to_string())), &mut bytes);
            let cut = CancellationToken::new();
            if write_all(&mut write, &bytes, &cut).await.is_ok() {
                let _ = write.shutdown().await;
                reader.discard(LINGER).await;
            }
            return;
        }
    };
    tracing::debug!(conn = number, ?framing, "connected");

    let (outbox, messages) = mpsc::channel(OUTBOX_MESSAGES);
    let cut = CancellationToken::new();
    let client = Client { number, outbox, cut: cut.clone() };
    let cancelled = daemon.shutdown.work();
    let calls = Calls::new(Arc::clone(&daemon), table, client.clone(), Binding::default(), cancelled.clone());
    let last = CancellationToken::new();

    let reading = async {
        let end = read_messages(&mut reader, &calls, &cut).await;
        let unreadable = matches!(end, End::Unreadable(_));
        finish(end, &reader, &calls, &client, &cancelled, &cut).await;
        last.cancel();
        unreadable
    };
    let writing = write_messages(write, framing, messages, &cut, &last);
    let (unreadable, ()) = tokio::join!(reading, writing);
    if unreadable && !cut.is_cancelled() {
        reader.discard(LINGER).await;
    }
    tracing::debug!(conn = number, "disconnected");
}

async fn read_messages(reader: &mut FrameReader, calls: &Arc<Calls>, cut: &CancellationToken) -> End {
    let drained = calls.drained();
    tokio::pin!(drained);
    loop {
        let frame = tokio::select! {
            () = cut.cancelled() => return End::Gone,
            () = &mut drained => return End::Drained,
            frame = reader.next() => frame,
        };
        let frame = match frame {
            Ok(Some(frame)) => frame,
            Ok(None) => return End::Finished,
            Err(FrameError::Stream(_)) => return End::Gone,
            Err(error) => return End::Unreadable(error),
        };
        match calls.receive(&frame).await {
            Ok(ControlFlow::Continue(())) => {}
            Ok(ControlFlow::Break(())) => return End::Exit,
            Err(_gone) => return End::Gone,
        }
    }
}

/// Sees to it that every request is answered, or cancelled when nobody waits for its answer.
async fn finish(
    end: End,
    reader: &FrameReader,
    calls: &Calls,
    client: &Client,
    cancelled: &CancellationToken,
    cut: &CancellationToken,
) {
    let answered = calls.answered();
    tokio::pin!(answered);
    match end {
        // `printf … | nc` ends its input at once and still reads, so requests go on while the other side is there.
        End::Finished => loop {
            tokio::select! {
                () = &mut answered => return,
                () = cut.cancelled() => break,
                () = tokio::time::sleep(HALF_CLOSED_POLL) => if reader.peer_is_gone() { break },
            }
        },
        End::Unreadable(error) => {
            tracing::debug!(conn = client.number, %error, "closing");
            let _ = client.send(crate::rpc::refusal(RpcError::parse(error.to_string()))).await;
        }
        End::Gone => cut.cancel(),
        End::Exit | End::Drained => {}
    }
    cancelled.cancel();
    answered.await;
}

/// Owns the write half: whatever is queued at one time goes out in one write. Returning drops the outbox's receiver,
/// which wakes everybody who waits for room in it.
async fn write_messages(
    mut half: WriteHalf,
    framing: Framing,
    mut outbox: mpsc::Receiver<String>,
    cut: &CancellationToken,
    last: &CancellationToken,
) {
    let mut messages = Vec::new();
    let mut bytes = Vec::new();
    loop {
        let taken = tokio::select! {
            biased;
            () = cut.cancelled() => return,
            taken = outbox.recv_many(&mut messages, COALESCED_MESSAGES) => taken,
            () = last.cancelled(), if !outbox.is_closed() => {
                outbox.close();
                continue;
            }
        };
        if taken == 0 {
            break;
        }
        for message in messages.drain(..) {
            framing.encode(&message, &mut bytes);
        }
        if write_all(&mut half, &bytes, cut).await.is_err() {
            cut.cancel();
            return;
        }
        bytes.clear();
        bytes.shrink_to(KEPT_BUFFER_BYTES);
    }
    let _ = half.shutdown().await;
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
