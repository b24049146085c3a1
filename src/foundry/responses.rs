//! A turn of the responses protocol (contract section 7): the request, and its answer streamed or whole.
//!
//! - [`mapping`]: the service's events as ours, [`text`]: their text, [`questions`]: what the agent asks (all pure)

mod mapping;
mod questions;
mod text;

use super::Agent;
use super::error::{FoundryError, Operation};
use super::headers::WireIsolation;
use super::reply::{Reply, ReplyStream, Split};
use super::request::{JSON, Request};
use cupola_protocol::id::{ConversationId, ResponseId, SessionId};
use cupola_protocol::invoke::{AgentProtocol, Input};
use futures_util::StreamExt as _;
use http::Method;
use mapping::{ObjectMapping, ResponseMapping};
use serde::Serialize;

/// One turn to ask for.
#[derive(Debug, Clone, Copy)]
pub struct ResponsesTurn<'a> {
    /// What to say.
    pub input: &'a Input,
    /// The session to use; the service makes one when left out.
    pub session_id: Option<&'a SessionId>,
    /// The conversation to continue.
    pub conversation_id: Option<&'a ConversationId>,
    /// The response to continue instead.
    pub previous_response_id: Option<&'a ResponseId>,
}

#[derive(Serialize)]
struct Body<'a> {
    input: &'a Input,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_session_id: Option<&'a SessionId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    conversation: Option<ConversationReference<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_response_id: Option<&'a ResponseId>,
}

#[derive(Serialize)]
struct ConversationReference<'a> {
    id: &'a ConversationId,
}

impl Agent {
    /// Asks for one turn, streamed. Returns when the service has taken it and named the session; an agent that does not
    /// stream is waited for as part of the reply's events.
    pub async fn respond(&self, isolation: &WireIsolation, turn: ResponsesTurn<'_>) -> Result<Reply, FoundryError> {
        let body = Body {
            input: turn.input,
            stream: true,
            agent_session_id: turn.session_id,
            conversation: turn.conversation_id.map(|id| ConversationReference { id }),
            previous_response_id: turn.previous_response_id,
        };
        let body = serde_json::to_vec(&body).map_err(|error| FoundryError::Setup(error.to_string()))?;
        let url = self.address.protocol(AgentProtocol::Responses, &[]);
        let request = Request::new(Operation::Invoke, Method::POST, url).isolated(isolation).body(JSON, body);
        let answer = self.send(&request).await?;
        let is_raw = self.wants_raw();
        let mut reply = Reply::of(&answer, is_raw);
        if !answer.is_events() {
            reply.events = ReplyStream::new(answer.body(), Split::whole(), ObjectMapping::default(), is_raw).boxed();
            return Ok(reply);
        }
        let mut events = ReplyStream::new(answer.body(), Split::events(), ResponseMapping::default(), is_raw);
        if reply.session_id.is_none() {
            // The first event's snapshot names it.
            events.until(ResponseMapping::has_begun).await;
        }
        reply.session_id = reply.session_id.or_else(|| events.mapping().session_id.clone());
        reply.response_id.clone_from(&events.mapping().response_id);
        reply.events = events.boxed();
        Ok(reply)
    }
}
