//! A WebSocket (RFC 6455): each message is one JSON-RPC message or batch, as a line of JSON is on the daemon's socket.

use super::caller::Caller;
use super::connection::{Connection, expiry};
use super::exchange::watch;
use crate::rpc::binding::Binding;
use crate::rpc::calls::{Calls, refuse_unread};
use crate::rpc::client::{Client, Ends};
use crate::rpc::guest;
use crate::rpc::outbox::Queued;
use crate::rpc::proven::Proven;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_util::sync::CancellationToken;

/// Longest message, in bytes. It is in memory before it can be counted, so it is shorter than what a POST may send.
pub(super) const MAX_MESSAGE_BYTES: usize = 4 * 1024 * 1024;
/// How often a line that says nothing is tried: one whose other end is gone would stay otherwise.
const PING: Duration = Duration::from_secs(30);
/// How long the goodbye may take.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);
/// The token has expired. From the range for applications; its last three digits are those of HTTP's status.
const EXPIRED: u16 = 4401;

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// Why no more is read.
enum End {
    /// The client has left, or said `exit`.
    Left,
    /// It takes nothing of what it is sent.
    Stalled,
    Expired,
    Draining,
    NotText,
    TooLong,
}

impl End {
    fn farewell(&self) -> Option<CloseFrame> {
        let (code, reason) = match self {
            Self::Left => (CloseCode::Normal, "goodbye"),
            Self::Stalled => return None,
            Self::Expired => (CloseCode::from(EXPIRED), "the token has expired; connect again with a new one"),
            Self::Draining => (CloseCode::Away, "the gateway is stopping; connect again"),
            Self::NotText => (CloseCode::Unsupported, "messages are text: JSON-RPC 2.0"),
            Self::TooLong => (CloseCode::Size, "a message must have at most 4 MiB; use POST for longer ones"),
        };
        Some(CloseFrame { code, reason: reason.into() })
    }
}

/// Serves one client until it leaves, its proof expires, or the gateway ends.
pub(super) async fn serve(connection: &Arc<Connection>, caller: Caller, proven: Proven, upgraded: Upgraded) {
    let limits =
        WebSocketConfig::default().max_message_size(Some(MAX_MESSAGE_BYTES)).max_frame_size(Some(MAX_MESSAGE_BYTES));
    let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(limits)).await;
    let (sink, mut source) = socket.split();
    let daemon = &connection.gateway.daemon;
    let ends = Ends::default();
    let (client, messages) = Client::new(daemon, connection.number, ends.clone(), true, None);
    let (cancelled, last) = (daemon.shutdown.work(), CancellationToken::new());
    let calls = connection.calls(&client, Binding::proven(proven, false), &cancelled);
    let reading = async {
        let end = tokio::select! {
            end = read(&mut source, &calls, &client, connection) => end,
            () = ends.cut.cancelled() => End::Left,
            () = ends.stalled() => End::Stalled,
            () = expiry(caller.expires) => End::Expired,
            () = calls.drained() => End::Draining,
            () = watch(&client) => End::Stalled,
        };
        if matches!(end, End::Stalled) {
            ends.cut.cancel();
        }
        cancelled.cancel();
        calls.answered().await;
        last.cancel();
        end
    };
    let (end, mut sink) = tokio::join!(reading, write(sink, messages, &ends, &last));
    if let Some(farewell) = end.farewell().filter(|_| !ends.cut.is_cancelled()) {
        // A client that is gone needs none.
        let _ = tokio::time::timeout(CLOSE_LIMIT, sink.send(Message::Close(Some(farewell)))).await;
    }
}

async fn read(source: &mut SplitStream<Socket>, calls: &Arc<Calls>, client: &Client, connection: &Connection) -> End {
    use tokio_tungstenite::tungstenite::Error;
    loop {
        let text = match source.next().await {
            Some(Ok(Message::Text(text))) => text,
            Some(Ok(Message::Binary(_))) => return End::NotText,
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
            Some(Err(Error::Capacity(_))) => return End::TooLong,
            Some(Ok(Message::Close(_)) | Err(_)) | None => return End::Left,
        };
        let mut room = connection.gateway.daemon.input.room();
        let received = if room.grow_to(text.len()).is_ok() {
            calls.receive(text.as_bytes(), room).await
        } else {
            client.send(refuse_unread(text.as_bytes(), guest::no_room())).await.map(ControlFlow::Continue)
        };
        match received {
            Ok(ControlFlow::Continue(())) => {}
            Ok(ControlFlow::Break(())) | Err(_) => return End::Left,
        }
    }
}

/// Sends what waits, until the last answer is sent.
async fn write(
    mut sink: SplitSink<Socket, Message>,
    mut messages: mpsc::Receiver<Queued>,
    ends: &Ends,
    last: &CancellationToken,
) -> SplitSink<Socket, Message> {
    loop {
        let message = tokio::select! {
            biased;
            () = ends.cut.cancelled() => return sink,
            message = messages.recv() => message,
            () = last.cancelled(), if !messages.is_closed() => {
                messages.close();
                continue;
            }
            () = tokio::time::sleep(PING) => None,
        };
        let (frame, _room) = match message {
            // Its room is kept until it is sent.
            Some(queued) => {
                let (text, room) = queued.into_parts();
                (Message::text(text), Some(room))
            }
            None if messages.is_closed() => return sink,
            None => (Message::Ping(bytes::Bytes::new()), None),
        };
        let sent = tokio::select! {
            () = ends.cut.cancelled() => return sink,
            sent = sink.send(frame) => sent,
        };
        if sent.is_err() {
            ends.cut.cancel();
            return sink;
        }
    }
}
