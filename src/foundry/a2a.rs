//! A turn of the A2A protocol (contract section 11): a JSON-RPC request, and a message, a task or a stream of updates.
//!
//! - [`mapping`]: results as our events (pure)

mod mapping;

use super::Agent;
use super::client::{Call, JSON, innermost};
use super::error::{FoundryError, Operation};
use super::headers::WireIsolation;
use super::invocations::with_session;
use super::reply::{Events, Mapped, Raw, Reply, Whole};
use super::watch::HttpHead;
use cupola_protocol::id::SessionId;
use cupola_protocol::invoke::AgentProtocol;
use futures_util::{StreamExt as _, TryStreamExt as _};
use http::{HeaderName, HeaderValue, Method};
use mapping::{Answered, ResultMapping};
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

/// The version of the protocol that the service speaks.
const VERSION: (HeaderName, HeaderValue) = (HeaderName::from_static("a2a-version"), HeaderValue::from_static("0.3"));

/// One message to send.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// What to say, or the whole JSON-RPC request.
    pub input: &'a str,
    /// Is `input` the whole request, to be sent unchanged?
    pub is_request: bool,
    /// The session to use; the service makes one when left out.
    pub session_id: Option<&'a SessionId>,
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
    pub async fn send_message(&self, isolation: &WireIsolation, message: Message<'_>) -> Result<Reply, FoundryError> {
        let body = if message.is_request {
            message.input.to_owned()
        } else {
            let method = if self.streams_messages(isolation).await? { "message/stream" } else { "message/send" };
            let id = || Uuid::new_v4().to_string();
            let part = json!({"kind": "text", "text": message.input});
            let message = json!({"role": "user", "messageId": id(), "parts": [part]});
            json!({"jsonrpc": "2.0", "id": id(), "method": method, "params": {"message": message}}).to_string()
        };
        let url = with_session(self.address.protocol(AgentProtocol::A2a, &[]), message.session_id);
        let call = Call::new(Operation::Invoke, Method::POST, url).isolated(isolation).header(VERSION).body(JSON, body);
        let mut answer = self.client.send(&self.address, &call).await?;
        let is_raw = self.client.wants_raw();
        let mut reply = Reply {
            session_id: answer.session_id(),
            request_id: answer.request_id(),
            response_id: None,
            notices: std::mem::take(&mut answer.notices),
            head: is_raw.then(|| HttpHead::of(&answer.response)),
            canceller: None,
            events: futures_util::stream::empty().boxed(),
        };
        let is_events = answer.is_events();
        let body = answer.response.bytes_stream().map_err(|error| innermost(&error));
        reply.events = if is_events {
            Mapped::new(body, Raw::new(Events::new(ResultMapping::new(Answered::InEvents)), is_raw)).boxed()
        } else {
            Mapped::new(body, Raw::new(Whole::new(ResultMapping::new(Answered::Whole)), is_raw)).boxed()
        };
        Ok(reply)
    }

    /// What the agent's card says. An agent that shows none can be sent messages all the same.
    async fn streams_messages(&self, isolation: &WireIsolation) -> Result<bool, FoundryError> {
        let url = self.address.protocol(AgentProtocol::A2a, &["agentCard", "v0.3"]);
        let call = Call::new(Operation::ReadCard, Method::GET, url).isolated(isolation).header(VERSION);
        match self.client.json::<Card>(&self.address, &call).await {
            Ok(card) => Ok(card.capabilities.streaming),
            Err(FoundryError::Service(_) | FoundryError::UnexpectedAnswer { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
