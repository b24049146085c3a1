//! Polls and cancels a long-running invocation, which the service accepted with 202 and runs without a connection to the caller
//! (contract section 9).

use super::agent::Agent;
use super::answer::HttpAnswer;
use super::error::{FoundryError, Operation};
use super::headers::WireIsolation;
use super::request::Request;
use super::url::with_session;
use cupola_protocol::id::{ResponseId, SessionId};
use cupola_protocol::invoke::AgentProtocol;
use http::Method;
use std::fmt;

/// Ends a long-running invocation at the service.
#[derive(Clone)]
pub struct Canceller {
    pub(super) agent: Agent,
    pub(super) isolation: WireIsolation,
    pub(super) id: ResponseId,
    pub(super) session_id: Option<SessionId>,
}

impl fmt::Debug for Canceller {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Canceller").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Canceller {
    /// Asks the agent to cancel. An error may mean that the agent has no such handler (404) or that the invocation had ended.
    pub async fn cancel(&self) -> Result<(), FoundryError> {
        self.agent.done(&self.request(Operation::CancelInvocation, Method::POST, &["cancel"])).await
    }

    /// Asks how the invocation is.
    pub(super) async fn poll(&self) -> Result<HttpAnswer, FoundryError> {
        self.agent.send(&self.request(Operation::PollInvocation, Method::GET, &[])).await
    }

    fn request(&self, operation: Operation, method: Method, rest: &[&str]) -> Request<'_> {
        let segments = [&[self.id.as_str()], rest].concat();
        let url = self.agent.address.protocol(AgentProtocol::Invocations, &segments);
        Request::new(operation, method, with_session(url, self.session_id.as_ref())).isolated(&self.isolation)
    }
}
