//! A turn of the invocations protocol: any body in, and JSON, text, events or a long-running operation out (contract
//! section 9).
//!
//! - [`mapping`]: answers as events (pure)
//! - [`shapes`]: what an agent's own events mean (pure)
//! - [`polling`]: following an operation that was accepted with 202

mod mapping;
mod polling;
pub(super) mod shapes;

use super::Agent;
use super::answer::HttpAnswer;
use super::background_turn::BackgroundTurn;
use super::error::{FoundryError, Operation};
use super::headers::WireIsolation;
use super::reply::{Reply, ReplyStream, Split};
use super::request::{JSON, Request, TEXT};
use super::url::with_session;
use cupola_protocol::id::{ResponseId, SessionId};
use cupola_protocol::invoke::AgentProtocol;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use http::{Method, StatusCode};
use mapping::{JsonMapping, TextMapping, TokenMapping};
use polling::Polling;
use serde::de::IgnoredAny;
use tokio::time::Instant;

/// One invocation to ask for.
#[derive(Debug, Clone, Copy)]
pub struct InvocationsTurn<'a> {
    /// The request's body, sent as JSON if it parses as JSON, else as plain text.
    pub body: &'a str,
    /// The session to use; the service makes one when left out.
    pub session_id: Option<&'a SessionId>,
    /// When to stop following a long-running operation; never when left out.
    pub deadline: Option<Instant>,
}

impl Agent {
    /// Asks for one invocation. Returns when the service has answered with a success status.
    pub async fn invoke(
        &self,
        isolation: &WireIsolation,
        invocation: InvocationsTurn<'_>,
    ) -> Result<Reply, FoundryError> {
        let url = self.address.protocol(AgentProtocol::Invocations, &[]);
        let url = with_session(url, invocation.session_id);
        // Editors of Windows begin JSON files with a byte order mark, which JSON does not allow.
        let json = invocation.body.trim_start_matches('\u{feff}');
        let is_json = serde_json::from_str::<IgnoredAny>(json).is_ok();
        let (kind, body) = if is_json { (JSON, json) } else { (TEXT, invocation.body) };
        let request =
            Request::new(Operation::Invoke, Method::POST, url).isolated(isolation).body(kind, body.to_owned());
        let answer = self.send(&request).await?;
        let mut reply = Reply::of(&answer, self.wants_raw());
        reply.response_id = answer.header("x-agent-invocation-id").and_then(|id| id.parse().ok());
        if answer.status() == StatusCode::ACCEPTED {
            let session_id = reply.session_id.clone().or_else(|| invocation.session_id.cloned());
            Polling::begin(self, isolation, session_id, invocation.deadline, answer, &mut reply).await;
        } else {
            reply.events = mapped(answer, reply.response_id.clone(), self.wants_raw());
        }
        Ok(reply)
    }
}

impl Agent {
    /// Follows an invocation that the agent accepted with 202 before, by its id. Nothing is sent but questions.
    pub fn resume_invocation(&self, isolation: &WireIsolation, id: ResponseId, session_id: Option<SessionId>) -> Reply {
        let protocol = AgentProtocol::Invocations;
        Polling::resume(BackgroundTurn { agent: self.clone(), isolation: isolation.clone(), id, session_id, protocol })
    }
}

fn mapped(answer: HttpAnswer, id: Option<ResponseId>, is_raw: bool) -> BoxStream<'static, super::ReplyItem> {
    let (is_events, is_json) = (answer.is_events(), answer.is_json());
    if is_events {
        ReplyStream::new(answer.body(), Split::lenient_events(), TokenMapping::new(id), is_raw).boxed()
    } else if is_json {
        ReplyStream::new(answer.body(), Split::whole(), JsonMapping::new(id), is_raw).boxed()
    } else {
        ReplyStream::new(answer.body(), Split::text(), TextMapping::new(id), is_raw).boxed()
    }
}
