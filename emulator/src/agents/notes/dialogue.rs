//! `GET /invocations_ws`: a dialogue over a WebSocket (contract 10). What is said is the agent's to define:
//!
//! | message | answer |
//! |---|---|
//! | `bye` | the end of the dialogue: close 1000 |
//! | `tokens X` | each word of `X` as `{"type":"token","content":…}`, then `{"type":"done","full_text":"X"}` |
//! | `repeat N` | one message of N bytes |
//! | a text that fails on `/invocations` | close 1011 "Internal server error" |
//! | any other text | what `/invocations` answers to it, as one text |
//! | bytes | the same bytes |

use super::Agent;
use super::invocations::said;
use crate::container::Upgraded;
use axum::Extension;
use axum::response::{IntoResponse, Response};
use futures_util::{SinkExt as _, StreamExt as _};
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use http::{HeaderMap, StatusCode};
use serde_json::json;
use std::sync::Arc;
use tokio::io::DuplexStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Message, Utf8Bytes};

/// Bytes on their way in each direction before the sender waits.
const PIPE_BYTES: usize = 64 * 1024;

/// Largest message taken, as large as a request's body may be.
const MAX_MESSAGE_BYTES: usize = super::MAX_BODY_BYTES;

/// Largest answer of `repeat`, far above any limit a client would be tested with.
const MAX_REPEATED: usize = 32 * 1024 * 1024;

/// Most bytes that wait for a peer to read them: the largest answer with room for what stands around it.
const MAX_UNSENT: usize = MAX_REPEATED + 1024 * 1024;

type Socket = WebSocketStream<DuplexStream>;

/// Why a dialogue ends before the other side leaves.
type Ending = (CloseCode, &'static str);

/// The handshake; the dialogue continues in its own task.
pub(super) async fn open(Extension(agent): Extension<Arc<Agent>>, headers: HeaderMap) -> Response {
    let Some(key) = headers.get(SEC_WEBSOCKET_KEY) else {
        // As the framework answers to plain HTTP here.
        return (StatusCode::NOT_FOUND, "Not Found").into_response();
    };
    let accept = derive_accept_key(key.as_bytes());
    let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
    let worker = Arc::clone(&agent);
    agent.tasks.spawn(async move {
        let limits = WebSocketConfig::default()
            .max_message_size(Some(MAX_MESSAGE_BYTES))
            .max_frame_size(Some(MAX_MESSAGE_BYTES))
            .max_write_buffer_size(MAX_UNSENT);
        let mut socket = WebSocketStream::from_raw_socket(ours, Role::Server, Some(limits)).await;
        let stopped = worker.stopped.clone();
        let ended = tokio::select! {
            () = stopped.cancelled() => Ok((CloseCode::Away, "")),
            ended = converse(&worker, &mut socket, &headers) => ended,
        };
        // A client that has left needs no close frame.
        if let Ok((code, reason)) = ended {
            let frame = CloseFrame { code, reason: Utf8Bytes::from_static(reason) };
            let _gone = socket.close(Some(frame)).await;
        }
    });
    let headers = [(SEC_WEBSOCKET_ACCEPT, accept.as_str()), (UPGRADE, "WebSocket"), (CONNECTION, "Upgrade")];
    let mut response = (StatusCode::SWITCHING_PROTOCOLS, headers).into_response();
    response.extensions_mut().insert(Upgraded::new(theirs));
    response
}

/// Answers message after message.
async fn converse(agent: &Agent, socket: &mut Socket, headers: &HeaderMap) -> Result<Ending, tungstenite::Error> {
    while let Some(message) = socket.next().await {
        let text = match message? {
            Message::Text(text) => text,
            Message::Binary(bytes) => {
                socket.send(Message::Binary(bytes)).await?;
                continue;
            }
            Message::Ping(_) => {
                // Its pong must leave before anything else is read: else the pongs for a peer that never reads would pile up.
                socket.flush().await?;
                continue;
            }
            Message::Close(_) | Message::Pong(_) | Message::Frame(_) => continue,
        };
        match text.split_once(' ') {
            _ if text.as_str() == "bye" => return Ok((CloseCode::Normal, "")),
            Some(("tokens", words)) => {
                for word in words.split_inclusive(' ') {
                    socket.send(object(&json!({"type": "token", "content": word}))).await?;
                }
                socket.send(object(&json!({"type": "done", "full_text": words}))).await?;
            }
            Some(("repeat", count)) if count.parse::<usize>().is_ok_and(|count| count <= MAX_REPEATED) => {
                let count = count.parse().unwrap_or_default();
                socket.send(Message::text("x".repeat(count))).await?;
            }
            _ => match said(agent, &text, headers).await {
                Ok(answer) => socket.send(Message::text(answer)).await?,
                Err(_) => return Ok((CloseCode::Error, "Internal server error")),
            },
        }
    }
    Ok((CloseCode::Normal, ""))
}

fn object(value: &serde_json::Value) -> Message {
    Message::text(value.to_string())
}
