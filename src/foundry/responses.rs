//! A turn of the responses protocol (contract section 7): the request, and its answer streamed or whole.
//!
//! - [`mapping`]: the service's events as ours (pure)

mod mapping;

use super::Agent;
use super::client::{Answer, Call, JSON, MAX_ANSWER_BYTES, innermost};
use super::error::{FoundryError, Operation};
use super::headers::WireIsolation;
use super::reply::{Ending, Events, Mapped, Reply, ReplyItem};
use cupola_protocol::id::{ConversationId, SessionId};
use cupola_protocol::invoke::AgentProtocol;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use http::Method;
use mapping::{ResponseMapping, from_object};
use serde::Serialize;
use std::collections::VecDeque;

/// One turn to ask for.
#[derive(Debug, Clone, Copy)]
pub struct Respond<'a> {
    /// What to say.
    pub input: &'a str,
    /// The session to use; the service makes one when left out.
    pub session_id: Option<&'a SessionId>,
    /// The conversation to continue.
    pub conversation_id: Option<&'a ConversationId>,
}

#[derive(Serialize)]
struct Body<'a> {
    input: &'a str,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_session_id: Option<&'a SessionId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    conversation: Option<ConversationReference<'a>>,
}

#[derive(Serialize)]
struct ConversationReference<'a> {
    id: &'a ConversationId,
}

impl Agent {
    /// Asks for one turn, streamed. Returns when the service has taken it and named the session; an agent that does not
    /// stream is waited for as part of the reply's events.
    pub async fn respond(&self, isolation: &WireIsolation, turn: Respond<'_>) -> Result<Reply, FoundryError> {
        let body = Body {
            input: turn.input,
            stream: true,
            agent_session_id: turn.session_id,
            conversation: turn.conversation_id.map(|id| ConversationReference { id }),
        };
        let body = serde_json::to_vec(&body).map_err(|error| FoundryError::Setup(error.to_string()))?;
        let url = self.address.protocol(AgentProtocol::Responses, &[]);
        let call = Call::new(Operation::Invoke, Method::POST, url).isolated(isolation).body(JSON, body);
        let answer = self.client.send(&self.address, &call).await?;
        Ok(if answer.is_events() { streamed(answer).await } else { whole(answer) })
    }
}

async fn streamed(mut answer: Answer) -> Reply {
    let notices = std::mem::take(&mut answer.notices);
    let (session_id, request_id) = (answer.session_id(), answer.request_id());
    let body = answer.response.bytes_stream().map_err(|error| innermost(&error));
    let mut events = Mapped::new(body, Events::new(ResponseMapping::default()));
    if session_id.is_none() {
        // The first event's snapshot names it.
        events.peek().await;
    }
    let mapping = &events.mapping.mapping;
    Reply {
        session_id: session_id.or_else(|| mapping.session_id.clone()),
        request_id,
        response_id: mapping.response_id.clone(),
        notices,
        canceller: None,
        events: events.boxed(),
    }
}

/// An answer that is no event stream: the final object, or something else altogether.
fn whole(mut answer: Answer) -> Reply {
    let notices = std::mem::take(&mut answer.notices);
    let (session_id, request_id) = (answer.session_id(), answer.request_id());
    let items = async move {
        match answer.bytes(MAX_ANSWER_BYTES).await {
            Ok(body) => stream::iter(from_object(&String::from_utf8_lossy(&body))),
            Err(error) => {
                stream::iter(VecDeque::from([ReplyItem::End(Box::new(Ending::truncated(error.to_string())))]))
            }
        }
    };
    Reply {
        session_id,
        request_id,
        response_id: None,
        notices,
        canceller: None,
        events: stream::once(items).flatten().boxed(),
    }
}
