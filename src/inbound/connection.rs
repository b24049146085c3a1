//! One client, whatever it speaks.
//!
//! - [`framed`]: LSP's and NDJSON's framing: one stream of messages each way
//! - [`http`]: HTTP/1.1: one message, or batch, per request
//! - [`patience`]: a writer that notices a client that takes nothing
//!
//! The first bytes decide for the connection's life ([`crate::inbound::reader`]). Whatever ends the
//! connection, its requests are answered or cancelled, and nothing of it is left behind when [`serve`] returns.

mod framed;
pub(crate) mod http;
mod patience;

use super::listener::{self, Stream};
use super::reader::{FrameReader, Sniffed};
use crate::daemon::Daemon;
use crate::error::CallError;
use crate::limits::places::{PATIENCE, Place};
use crate::rpc::calls::refusal;
use crate::rpc::client::Ends;
use crate::rpc::table::Table;
use cupola_protocol::framing::Framing;
use patience::Patience;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::AsyncWriteExt;

/// How long input is read and thrown away after a fatal error, so that a client in the middle of writing gets to read it.
const LINGER: Duration = Duration::from_secs(1);

/// Serves one client until it leaves, is cut, or the daemon ends. It keeps its place until then.
pub(crate) fn serve(
    daemon: Arc<Daemon>,
    table: &'static Table,
    stream: Stream,
    place: impl Future<Output = Place> + Send,
) -> impl Future<Output = ()> + Send {
    // Counted before the task first runs, so that the daemon cannot find itself idle in between.
    let open = daemon.activity.connection();
    async move {
        let place = place.await;
        let ends = Ends::default();
        let mut serving = pin!(serve_counted(daemon, table, stream, ends.clone(), &place));
        tokio::select! {
            () = &mut serving => return,
            // It asks nothing more, so it does not keep the daemon.
            () = ends.stalled() => drop(open),
        }
        serving.await;
    }
}

async fn serve_counted(daemon: Arc<Daemon>, table: &'static Table, stream: Stream, ends: Ends, place: &Place) {
    static CONNECTIONS: AtomicU64 = AtomicU64::new(1);
    let number = CONNECTIONS.fetch_add(1, Ordering::Relaxed);
    let (read, write) = match listener::split(stream) {
        Ok(halves) => halves,
        Err(error) => {
            tracing::warn!(conn = number, %error, "closed: the system does not tell when it can be read");
            return;
        }
    };
    let mut write = Patience::new(write, ends.clone(), Arc::clone(&daemon));
    let mut reader = FrameReader::new(read, daemon.input.room());
    let sniffed = tokio::select! {
        sniffed = reader.sniff() => Some(sniffed),
        () = daemon.shutdown.draining(), if !place.is_late() => None,
        () = outstayed(&daemon, place) => {
            tracing::debug!(conn = number, "closed: it said nothing, and others wait");
            return;
        }
    };
    let sniffed = if let Some(sniffed) = sniffed {
        sniffed
    } else {
        // A client that has sent something gets an answer, even from a daemon that is stopping.
        reader.end_input();
        if cfg!(unix) { reader.sniff().await } else { Sniffed::Nothing }
    };
    match sniffed {
        Sniffed::Framing(framing) => {
            tracing::debug!(conn = number, ?framing, "connected");
            framed::serve(daemon, table, number, framing, reader, (write, ends), place).await;
        }
        Sniffed::Http => {
            tracing::debug!(conn = number, framing = "http", "connected");
            http::serve(daemon, table, number, reader, (write, ends), place).await;
        }
        Sniffed::Nothing => return,
        Sniffed::Unknown(error) => {
            tracing::debug!(conn = number, %error, "closed");
            let mut bytes = Vec::new();
            Framing::Ndjson.encode(refusal(CallError::parse(error.to_string())).as_bytes(), &mut bytes);
            if write.write_all(&bytes).await.is_ok() {
                let _ = write.shutdown().await;
                reader.discard(LINGER).await;
            }
        }
    }
    tracing::debug!(conn = number, "disconnected");
}

/// Returns when a client that has had time to speak holds a place that another one waits for.
async fn outstayed(daemon: &Daemon, place: &Place) {
    tokio::time::sleep(PATIENCE).await;
    if !place.is_kept() {
        daemon.crowded.notified().await;
    }
}

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]
#[path = "../../fuzz/connection.rs"]
mod fuzz_connection;
