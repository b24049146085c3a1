//! A turn of the A2A protocol (contract section 11): a JSON-RPC request, and a message, a task or a stream of updates.
//!
//! What other protocols call a conversation is a context here: the agent begins one with a message that names none.
//!
//! - [`mapping`]: results as our events (pure)

mod mapping;

use super::Agent;
use super::error::{FoundryError, Operation};
use super::headers::WireIsolation;
use super::reply::{Reply, ReplyStream, Split};
use super::request::{JSON, Request};
use super::url::with_session;
use cupola_protocol::id::{ConversationId, SessionId};
use cupola_protocol::invoke::AgentProtocol;
use futures_util::StreamExt as _;
use http::{HeaderName, HeaderValue, Method};
use mapping::{Answered, ResultMapping};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

/// The version of the protocol that the service speaks.
const VERSION: (HeaderName, HeaderValue) = (HeaderName::from_static("a2a-version"), HeaderValue::from_static("0.3"));

/// One message to send.
#[derive(Debug, Clone, Copy)]
pub struct A2aTurn<'a> {
    /// What to say, or the whole JSON-RPC request.
    pub input: &'a str,
    /// Is `input` the whole request, to be sent unchanged?
    pub is_request: bool,
    /// The session to use; the service makes one when left out.
    pub session_id: Option<&'a SessionId>,
    /// The context to continue; the agent begins one when left out. A whole request names its own.
    pub context_id: Option<&'a ConversationId>,
}

impl A2aTurn<'_> {
    /// The request that sends it.
    fn request(&self, streams: bool) -> String {
        let id = || Uuid::new_v4().to_string();
        let part = json!({"kind": "text", "text": self.input});
        let mut message = json!({"role": "user", "messageId": id(), "parts": [part]});
        if let Some(context) = self.context_id {
            message["contextId"] = json!(context);
        }
        let method = if streams { "message/stream" } else { "message/send" };
        json!({"jsonrpc": "2.0", "id": id(), "method": method, "params": {"message": message}}).to_string()
    }
}

/// The context that a whole request names, if it names one.
pub fn context_named(request: &str) -> Option<ConversationId> {
    let request: Value = serde_json::from_str(request).ok()?;
    request.pointer("/params/message/contextId")?.as_str()?.parse().ok()
}

/// An agent's card, as far as it decides how to talk to it.
#[derive(Default, Deserialize)]
struct Card {
    #[serde(default)]
    capabilities: Capabilities,
}

#[derive(Default, Deserialize)]
struct Capabilities {
    #[serde(default)]
    streaming: bool,
}

impl Agent {
    /// Sends one message, streamed if the agent's card says that it can be.
    pub async fn send_message(&self, isolation: &WireIsolation, message: A2aTurn<'_>) -> Result<Reply, FoundryError> {
        let body = if message.is_request {
            message.input.to_owned()
        } else {
            message.request(self.streams_messages(isolation).await?)
        };
        let url = with_session(self.address.protocol(AgentProtocol::A2a, &[]), message.session_id);
        let request =
            Request::new(Operation::Invoke, Method::POST, url).isolated(isolation).header(VERSION).body(JSON, body);
        let answer = self.send(&request).await?;
        let is_raw = self.wants_raw();
        let mut reply = Reply::of(&answer, is_raw);
        let (split, answered) =
            if answer.is_events() { (Split::events(), Answered::InEvents) } else { (Split::whole(), Answered::Whole) };
        let mut events = ReplyStream::new(answer.body(), split, ResultMapping::new(answered), is_raw);
        // The first result names the context.
        events.until(ResultMapping::has_begun).await;
        reply.conversation_id = events.mapping().context_id().cloned();
        reply.events = events.boxed();
        Ok(reply)
    }

    /// What the agent's card says, from the cache if it was read recently. An agent without a card can still be sent messages.
    async fn streams_messages(&self, isolation: &WireIsolation) -> Result<bool, FoundryError> {
        let url = self.address.protocol(AgentProtocol::A2a, &["agentCard", "v0.3"]);
        if let Some(known) = self.shared.cards.get(&url) {
            return Ok(known);
        }
        let request = Request::new(Operation::ReadCard, Method::GET, url.clone()).isolated(isolation).header(VERSION);
        let streams = match self.json::<Card>(&request).await {
            Ok(card) => card.capabilities.streaming,
            Err(error) if error.status() == Some(404) => false,
            // Any other refusal is about this call, not about the agent.
            Err(FoundryError::Service(_) | FoundryError::UnexpectedAnswer { .. }) => return Ok(false),
            Err(error) => return Err(error),
        };
        self.shared.cards.insert(url, streams);
        Ok(streams)
    }
}
