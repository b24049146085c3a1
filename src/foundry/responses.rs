//! A turn of the responses protocol (contract section 7): the request, and its answer streamed or whole.
//!
//! - [`mapping`]: the service's events as ours, [`text`]: their text, [`questions`]: what the agent asks (all pure)
//! - [`background`]: follows a response that runs without a connection

mod background;
mod mapping;
mod questions;
mod text;

use super::Agent;
use super::answer::{HttpAnswer, MAX_ANSWER_BYTES};
use super::background_turn::BackgroundTurn;
use super::error::{FoundryError, Operation};
use super::headers::WireIsolation;
use super::reply::{Mapping as _, Reply, ReplyStream, Split, raw};
use super::request::{JSON, Request};
use super::sse;
use background::Following;
use cupola_protocol::id::{ConversationId, ResponseId, SessionId};
use cupola_protocol::invoke::{AgentProtocol, Input};
use futures_util::StreamExt as _;
use http::Method;
use mapping::{ObjectMapping, ResponseMapping, Silence, id_of, is_under_way};
use serde::Serialize;
use std::collections::VecDeque;

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
    /// Another turn is running in the session.
    pub is_beside: bool,
    /// Run it in the background: it does not end with the connection.
    pub background: bool,
}

#[derive(Serialize)]
struct Body<'a> {
    input: &'a Input,
    stream: bool,
    /// Both or neither: what is not stored cannot run in the background (contract section 7.1).
    #[serde(skip_serializing_if = "Option::is_none")]
    background: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<bool>,
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
    ///
    /// An agent that refuses the background mode before it runs anything is asked once more without it: that run ends with the
    /// daemon, and its reply says so.
    pub async fn respond(&self, isolation: &WireIsolation, turn: ResponsesTurn<'_>) -> Result<Reply, FoundryError> {
        match self.ask(isolation, turn).await {
            Err(error) if turn.background && error.refuses_background() => {
                tracing::info!(%error, "the agent has no background mode; asking without it");
                self.ask(isolation, ResponsesTurn { background: false, ..turn }).await
            }
            answered => answered,
        }
    }

    async fn ask(&self, isolation: &WireIsolation, turn: ResponsesTurn<'_>) -> Result<Reply, FoundryError> {
        let body = Body {
            input: turn.input,
            stream: true,
            background: turn.background.then_some(true),
            store: turn.background.then_some(true),
            agent_session_id: turn.session_id,
            conversation: turn.conversation_id.map(|id| ConversationReference { id }),
            previous_response_id: turn.previous_response_id,
        };
        let body = serde_json::to_vec(&body).map_err(|error| FoundryError::Setup(error.to_string()))?;
        let url = self.address.protocol(AgentProtocol::Responses, &[]);
        let request = Request::new(Operation::Invoke, Method::POST, url).isolated(isolation).body(JSON, body);
        let answer = self.send(&request).await?;
        let is_raw = self.wants_raw();
        let continues = turn.conversation_id.is_some() || turn.previous_response_id.is_some();
        let silence = match continues && answer.header("x-platform-server").is_some() {
            false => Silence::Unknown,
            true if turn.is_beside => Silence::Locked,
            true => Silence::MaybeLocked,
        };
        let mut reply = Reply::of(&answer, is_raw);
        let target = |id: ResponseId| self.background(isolation, id);
        if !answer.is_events() && turn.background {
            return self.queued(isolation, answer, reply).await;
        }
        if !answer.is_events() {
            reply.events = ReplyStream::new(answer.body(), Split::whole(), ObjectMapping::default(), is_raw).boxed();
            return Ok(reply);
        }
        let mut events = ReplyStream::new(answer.body(), Split::events(), ResponseMapping::of_turn(silence), is_raw);
        if reply.session_id.is_none() || turn.background {
            // The first event's snapshot names it, and says whether the response can be found again.
            events.until(ResponseMapping::has_begun).await;
        }
        reply.session_id = reply.session_id.or_else(|| events.mapping().session_id.clone());
        reply.response_id.clone_from(&events.mapping().response_id);
        reply.events = match &reply.response_id {
            Some(id) if turn.background && events.mapping().is_background() => {
                let target = target(id.clone());
                reply.survives = true;
                reply.canceller = Some(target.canceller());
                Following::of(target, events)
            }
            _ => events.boxed(),
        };
        Ok(reply)
    }

    /// Follows a response that was begun in the background before, by its id. Nothing is sent but questions.
    pub fn resume_response(&self, isolation: &WireIsolation, id: ResponseId) -> Reply {
        let target = self.background(isolation, id.clone());
        let mut reply = Reply::resumed(id, target.canceller());
        reply.events = Following::resume(target);
        reply
    }

    fn background(&self, isolation: &WireIsolation, id: ResponseId) -> BackgroundTurn {
        let (agent, isolation, protocol) = (self.clone(), isolation.clone(), AgentProtocol::Responses);
        BackgroundTurn { agent, isolation, id, session_id: None, protocol }
    }

    /// An answer in the background without events: the response waits for another one, or the agent does not stream.
    async fn queued(
        &self,
        isolation: &WireIsolation,
        answer: HttpAnswer,
        mut reply: Reply,
    ) -> Result<Reply, FoundryError> {
        let body = answer.bytes(MAX_ANSWER_BYTES).await.map_err(|error| FoundryError::UnexpectedAnswer {
            operation: Operation::Invoke,
            reason: error.to_string(),
        })?;
        let object = std::str::from_utf8(&body).ok().and_then(raw);
        let id = object.as_deref().filter(|object| is_under_way(object)).and_then(id_of);
        if let Some(id) = id {
            let resumed = self.resume_response(isolation, id);
            let Reply { response_id, canceller, survives, events, .. } = resumed;
            return Ok(Reply { response_id, canceller, survives, events, ..reply });
        }
        let mut items = VecDeque::new();
        let data = String::from_utf8_lossy(&body).into_owned();
        ObjectMapping::default().event(sse::Event { name: None, data }, &mut items);
        reply.events = futures_util::stream::iter(items).boxed();
        Ok(reply)
    }
}
