//! A connection of LSP's or NDJSON's framing: a reader and a writer, each with its half of the stream. The writer sends what did not
//! go straight from a call to the stream ([`crate::rpc::outbox`]).

use super::LINGER;
use super::patience::Patience;
use crate::daemon::Daemon;
use crate::error::CallError;
use crate::inbound::framing::FrameError;
use crate::inbound::reader::{Frame, FrameReader};
use crate::limits::places::{PATIENCE, Place};
use crate::rpc::binding::Binding;
use crate::rpc::calls::{Calls, refusal, refuse_unread};
use crate::rpc::client::{Client, Ends};
use crate::rpc::guest;
use crate::rpc::outbox::{Queued, Straight};
use crate::rpc::table::Table;
use cupola_protocol::framing::Framing;
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Messages written with one system call at most; half an outbox, so that refilling and writing overlap.
const COALESCED_MESSAGES: usize = 64;
/// How often a client that has finished sending is looked at, to learn whether it still waits for its answers.
const HALF_CLOSED_POLL: Duration = Duration::from_millis(100);
/// A write buffer above this many bytes is given back after use.
const KEPT_BUFFER_BYTES: usize = 64 * 1024;

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
    /// The daemon is full and only answers the connection's first requests, which it has done.
    Served,
    /// The client is there and takes nothing. What waits is still sent.
    Stalled,
    /// The client is gone or was cut.
    Gone,
}

/// Serves one client whose framing is known, until it leaves, is cut, or the daemon ends.
pub(super) async fn serve(
    daemon: Arc<Daemon>,
    table: &'static Table,
    number: u64,
    framing: Framing,
    mut reader: FrameReader,
    (write, ends): (Patience, Ends),
    place: &Place,
) {
    let straight = write.straight().map(|connection| Straight { connection, framing });
    let (client, messages) = Client::new(&daemon, number, ends.clone(), true, straight);
    let cancelled = daemon.shutdown.work();
    let calls = Calls::new(Arc::clone(&daemon), table, client.clone(), Binding::default(), cancelled.clone(), place);
    let last = CancellationToken::new();

    let reading = async {
        let end = read_messages(&mut reader, &calls, &client, &ends, place).await;
        let unreadable = matches!(end, End::Unreadable(_));
        finish(end, &reader, &calls, &client, &cancelled, &ends).await;
        last.cancel();
        unreadable
    };
    let writing = write_messages(write, framing, messages, &client, &ends, &last);
    let (unreadable, ()) = tokio::join!(reading, writing);
    // What was kept for the connection's next call goes with it.
    cancelled.cancel();
    if unreadable && !ends.cut.is_cancelled() {
        reader.discard(LINGER).await;
    }
}

async fn read_messages(
    reader: &mut FrameReader,
    calls: &Arc<Calls>,
    client: &Client,
    ends: &Ends,
    place: &Place,
) -> End {
    let drained = calls.drained();
    tokio::pin!(drained);
    loop {
        let frame = tokio::select! {
            () = ends.cut.cancelled() => return sent_before(reader, calls).await,
            () = ends.stalled() => return End::Stalled,
            () = &mut drained, if !place.is_late() => return last_words(reader, calls, ends).await,
            frame = reader.next() => frame,
            () = served(calls), if place.is_kept() => return End::Served,
        };
        let received = match frame {
            Ok(Some(Frame { bytes, room })) => calls.receive(&bytes, room).await,
            Ok(None) => return End::Finished,
            Err(FrameError::NoRoom(start)) => {
                tracing::debug!(conn = client.number(), "refused a message: no memory is left for input");
                let refusal = refuse_unread(&start, guest::no_room());
                client.send(refusal).await.map(ControlFlow::Continue)
            }
            Err(FrameError::Stream(_)) => return End::Gone,
            Err(error) => return End::Unreadable(error),
        };
        match received {
            Ok(ControlFlow::Continue(())) => {}
            Ok(ControlFlow::Break(())) => return End::Exit,
            Err(_gone) if ends.is_stalled() => return End::Stalled,
            Err(_gone) => return sent_before(reader, calls).await,
        }
    }
}

/// What a client sent before it left counts, whatever it left unread: a program that cancels its run and ends waits for no answer.
async fn sent_before(reader: &mut FrameReader, calls: &Arc<Calls>) -> End {
    reader.end_input();
    while let Some(Frame { bytes, room }) = reader.rest().await {
        let _gone = calls.receive(&bytes, room).await;
    }
    End::Gone
}

/// What has come when the daemon drains and has nothing left to answer is refused, so that its sender knows that it was not begun.
/// What comes later its sender cannot send.
async fn last_words(reader: &mut FrameReader, calls: &Arc<Calls>, ends: &Ends) -> End {
    reader.end_input();
    while let Some(Frame { bytes, room }) = reader.rest().await {
        match calls.receive(&bytes, room).await {
            Ok(ControlFlow::Continue(())) => {}
            Ok(ControlFlow::Break(())) => return End::Exit,
            Err(_gone) if ends.is_stalled() => return End::Stalled,
            Err(_gone) => return End::Gone,
        }
    }
    End::Drained
}

/// Returns when a connection in a kept place has had its answers and asks nothing more.
async fn served(calls: &Calls) {
    loop {
        tokio::time::sleep(PATIENCE).await;
        if !calls.has_begun() {
            return;
        }
    }
}

/// Waits until every request is answered, or cancels it when nobody waits for its answer.
async fn finish(
    end: End,
    reader: &FrameReader,
    calls: &Calls,
    client: &Client,
    cancelled: &CancellationToken,
    ends: &Ends,
) {
    let answered = calls.answered();
    tokio::pin!(answered);
    match end {
        // `printf … | nc` ends its input at once and still reads, so requests continue while the other side is there.
        End::Finished => loop {
            tokio::select! {
                () = &mut answered => return,
                () = ends.cut.cancelled() => break,
                () = ends.stalled() => break,
                () = tokio::time::sleep(HALF_CLOSED_POLL) => if reader.peer_is_gone() { break },
            }
        },
        End::Unreadable(error) => {
            tracing::debug!(conn = client.number(), %error, "closing");
            let _ = client.send(refusal(CallError::parse(error.to_string()))).await;
        }
        End::Gone => ends.cut.cancel(),
        // Half a message gets an answer, too.
        End::Served if reader.is_within() => {
            let _ = client.send(refusal(guest::full())).await;
        }
        // So does one that the daemon has read in part: only the daemon knows that it was not begun.
        End::Drained if reader.is_within() => {
            let _ = client.send(refusal(CallError::shutting_down())).await;
        }
        End::Served | End::Stalled | End::Exit | End::Drained => {}
    }
    cancelled.cancel();
    answered.await;
}

/// Whatever is queued at one time goes out in one write. Returning drops the outbox's receiver,
/// which wakes everybody who waits for room in it. A client that has stalled gets what waits, and then hears why.
async fn write_messages(
    mut half: Patience,
    framing: Framing,
    mut outbox: mpsc::Receiver<Queued>,
    client: &Client,
    ends: &Ends,
    last: &CancellationToken,
) {
    let mut messages = Vec::new();
    let mut bytes = Vec::new();
    let mut is_over = false;
    // Made once: most messages are written while nothing ends.
    let mut cut = std::pin::pin!(ends.cut.cancelled());
    let mut last = std::pin::pin!(last.cancelled());
    loop {
        let taken = tokio::select! {
            biased;
            () = &mut cut => return,
            taken = outbox.recv_many(&mut messages, COALESCED_MESSAGES) => taken,
            () = &mut last, if !outbox.is_closed() => {
                outbox.close();
                continue;
            }
        };
        if taken == 0 && (is_over || !ends.is_stalled()) {
            break;
        }
        if taken == 0 {
            is_over = true;
            framing.encode(client.farewell().as_bytes(), &mut bytes);
        }
        for Queued { text, written, .. } in &messages {
            let frame = bytes.len();
            framing.encode(text.as_bytes(), &mut bytes);
            bytes.drain(frame..frame + written);
        }
        let written = tokio::select! {
            biased;
            written = half.write_all(&bytes) => written,
            () = &mut cut => Err(io::ErrorKind::ConnectionAborted.into()),
        };
        if written.is_err() {
            // Nothing may be written behind half of a frame, and the room of what was not written is free when this returns.
            outbox.close();
            ends.cut.cancel();
            return;
        }
        // Only now is there room for more.
        messages.clear();
        bytes.clear();
        bytes.shrink_to(KEPT_BUFFER_BYTES);
    }
    let _ = half.shutdown().await;
}
