//! A dialogue of the WebSocket invocations protocol (contract section 10). The handshake is a request like any other, with the
//! token, the checks and the retries of all; from its 101 on the connection carries messages.
//!
//! - [`mapping`]: messages and closing codes as our events (pure)
//! - [`metered`]: the bytes of the connection, counted
//! - [`stream`]: the connection: sends, receives, answers pings, closes

mod mapping;
mod metered;
mod stream;

use super::Agent;
use super::connections::innermost;
use super::error::{FoundryError, Operation};
use super::headers::{WireIsolation, version_override};
use super::reply::Reply;
use super::request::Request;
use super::url::with_session;
use cupola_protocol::error::Turn;
use cupola_protocol::id::SessionId;
use cupola_protocol::invoke::AgentProtocol;
use futures_util::StreamExt as _;
use http::{HeaderValue, Method};
use mapping::MessageMapping;
use std::time::Duration;
use stream::Messages;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// Longest message the service takes, in bytes: its limit for a frame is 1 MB, and each message is one frame.
pub const MAX_SENT_BYTES: usize = 1024 * 1024;

/// What to say in a dialogue, and when it is over.
#[derive(Debug, Clone)]
pub struct WebSocketTurn<'a> {
    /// The messages, sent one after the other without waiting for answers.
    pub messages: Vec<&'a str>,
    /// The session to use; the service makes one when left out.
    pub session_id: Option<&'a SessionId>,
    /// How long the agent may say nothing, once it has said something and heard all, before the dialogue is taken as over.
    /// `None` leaves its end to the agent.
    pub idle_limit: Option<Duration>,
}

impl Agent {
    /// Opens a dialogue. Returns when the service has agreed to it.
    pub async fn converse(
        &self,
        isolation: &WireIsolation,
        dialogue: WebSocketTurn<'_>,
    ) -> Result<Reply, FoundryError> {
        let mut url = with_session(self.address.protocol(AgentProtocol::InvocationsWs, &[]), dialogue.session_id);
        if let Some((name, version)) = version_override(&self.extras.headers) {
            url.query_pairs_mut().append_pair(name, version);
        }
        let key = generate_key();
        let odd = |reason: String| FoundryError::UnexpectedAnswer { operation: Operation::Invoke, reason };
        let header = HeaderValue::from_str(&key).map_err(|error| odd(error.to_string()))?;
        let request = Request::new(Operation::Invoke, Method::GET, url).isolated(isolation).websocket(header);
        let answer = self.send(&request).await.map_err(|error| refused(error, odd))?;
        if answer.header("sec-websocket-accept") != Some(derive_accept_key(key.as_bytes()).as_str()) {
            return Err(odd("its WebSocket was not opened for this request".to_owned()));
        }
        let is_raw = self.wants_raw();
        let mut reply = Reply::of(&answer, is_raw);
        let connection = answer.response.upgrade().await.map_err(|error| odd(innermost(&error)))?;
        let mapping = MessageMapping::new(dialogue.messages.len(), is_raw);
        let observer = self.extras.observer.clone();
        self.note_turn(Turn::MayHaveRun);
        reply.events = Messages::begin(connection, &dialogue, mapping, observer).await.boxed();
        Ok(reply)
    }
}

/// A refused handshake, where its status alone says too little.
fn refused(error: FoundryError, odd: impl Fn(String) -> FoundryError) -> FoundryError {
    match error {
        FoundryError::Service(answer) if (200..300).contains(&answer.status) => {
            odd("it answered the request instead of opening a WebSocket".to_owned())
        }
        // What the agent servers answer with when the agent's code has no handler; the service says more.
        FoundryError::Service(answer) if answer.status == 403 && answer.code.is_none() => FoundryError::NoWebSockets,
        other => other,
    }
}
