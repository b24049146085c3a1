//! A turn of the A2A protocol (contract section 11): a JSON-RPC request, and a message, a task or a stream of updates.
//!
//! What other protocols call a conversation is a context here: the agent begins one with a message that names none.
//!
//! - [`mapping`]: results as our events; [`artifacts`]: a task's artifacts (both pure)
//! - [`version`]: the protocol's two versions (pure)
//! - [`polling`]: a task that the agent works on without a connection

mod artifacts;
mod mapping;
mod polling;
mod version;

use super::Agent;
use super::agent::A2aManner;
use super::error::{FoundryError, Operation};
use super::headers::WireIsolation;
use super::reply::{Reply, ReplyStream, Split};
use super::request::{JSON, Request};
use super::url::with_session;
use cupola_protocol::id::{ConversationId, SessionId};
use cupola_protocol::invoke::AgentProtocol;
use http::{HeaderName, HeaderValue, Method};
use mapping::{Answered, ResultMapping};
use polling::Tasks;
use serde_json::Value;
use version::{Card, Version};

/// The header that names a version.
const fn version_header(version: Version) -> (HeaderName, HeaderValue) {
    (HeaderName::from_static("a2a-version"), HeaderValue::from_static(version.header()))
}

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
    /// The task that waits for this message.
    pub task_id: Option<&'a str>,
}

/// The context that a whole request names, if it names one.
pub fn context_named(request: &str) -> Option<ConversationId> {
    let request: Value = serde_json::from_str(request.trim_start_matches('\u{feff}')).ok()?;
    request.pointer("/params/message/contextId")?.as_str()?.parse().ok()
}

impl Agent {
    /// Sends one message, streamed if the agent's card says that it can be. A task that the agent leaves working is asked for until it
    /// has ended.
    pub async fn send_message(&self, isolation: &WireIsolation, message: A2aTurn<'_>) -> Result<Reply, FoundryError> {
        let (version, body) = if message.is_request {
            let request = message.input.trim_start_matches('\u{feff}');
            (Version::of_request(request), request.to_owned())
        } else {
            let manner = self.manner(isolation).await?;
            let (version, streams) = (Version::from(manner), manner.streams);
            (version, version.message(message.input, message.context_id, message.task_id, streams).to_string())
        };
        let url = with_session(self.address.protocol(AgentProtocol::A2a, &[]), message.session_id);
        let request = Request::new(Operation::Invoke, Method::POST, url)
            .isolated(isolation)
            .header(version_header(version))
            .body(JSON, body);
        let answer = self.send(&request).await?;
        let is_raw = self.wants_raw();
        let mut reply = Reply::of(&answer, is_raw);
        let (split, answered) =
            if answer.is_events() { (Split::events(), Answered::InEvents) } else { (Split::whole(), Answered::Whole) };
        let mut events = ReplyStream::new(answer.body(), split, ResultMapping::new(answered), is_raw);
        // The first result names the context, and the task.
        events.until(ResultMapping::has_begun).await;
        reply.conversation_id = events.mapping().context_id().cloned();
        let session_id = reply.session_id.clone().or_else(|| message.session_id.cloned());
        let tasks = Tasks { agent: self.clone(), isolation: isolation.clone(), session_id, version };
        reply.canceller = events.mapping().task().map(|task| tasks.canceller(task));
        reply.events = tasks.followed(events);
        Ok(reply)
    }

    /// What the agent's card says, from the cache if it was read recently. An agent without a card can still be sent messages.
    async fn manner(&self, isolation: &WireIsolation) -> Result<A2aManner, FoundryError> {
        let url = self.address.protocol(AgentProtocol::A2a, &["agentCard", "v0.3"]);
        if let Some(known) = self.shared.cards.get(&url) {
            return Ok(known);
        }
        let request = Request::new(Operation::ReadCard, Method::GET, url.clone())
            .isolated(isolation)
            .header(version_header(Version::default()));
        let manner = match self.json::<Card>(&request).await {
            Ok(card) => card.manner(),
            Err(error) if error.status() == Some(404) => A2aManner::default(),
            // Any other refusal is about this call, not about the agent.
            Err(FoundryError::Service(_) | FoundryError::UnexpectedAnswer { .. }) => return Ok(A2aManner::default()),
            Err(error) => return Err(error),
        };
        self.shared.cards.insert(url, manner);
        Ok(manner)
    }
}
