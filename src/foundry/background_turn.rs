//! A turn that the service runs without a connection, by its id: a long-running invocation, which it accepted with 202 (contract
//! section 9), or a response in the background (contract section 7.5). Polls, reads and cancels it.

use super::agent::Agent;
use super::answer::HttpAnswer;
use super::canceller::Canceller;
use super::error::{FoundryError, Operation};
use super::headers::WireIsolation;
use super::request::Request;
use super::url::with_session;
use cupola_protocol::id::{ResponseId, SessionId};
use cupola_protocol::invoke::AgentProtocol;
use futures_util::FutureExt as _;
use http::Method;

/// One such turn.
#[derive(Clone)]
pub(super) struct BackgroundTurn {
    pub(super) agent: Agent,
    pub(super) isolation: WireIsolation,
    pub(super) id: ResponseId,
    /// Where an invocation runs. A response is found by its id alone.
    pub(super) session_id: Option<SessionId>,
    /// What began it.
    pub(super) protocol: AgentProtocol,
}

impl BackgroundTurn {
    /// What ends it. The agent may have no such handler (404), or the turn may have ended.
    pub(super) fn canceller(&self) -> Canceller {
        let turn = self.clone();
        Canceller::new(self.id.as_str(), move || {
            let turn = turn.clone();
            async move {
                let operation = match turn.protocol {
                    AgentProtocol::Responses => Operation::CancelResponse,
                    _ => Operation::CancelInvocation,
                };
                turn.agent.done(&turn.request(operation, Method::POST, &["cancel"])).await
            }
            .boxed()
        })
    }

    /// Reads the response.
    pub(super) async fn show(&self) -> Result<HttpAnswer, FoundryError> {
        self.agent.send(&self.request(Operation::ShowResponse, Method::GET, &[])).await
    }

    /// Reads the response's events after a sequence number, or all (contract section 15.4).
    pub(super) async fn replay(&self, after: Option<i64>) -> Result<HttpAnswer, FoundryError> {
        let mut request = self.request(Operation::FollowResponse, Method::GET, &[]);
        request.url.query_pairs_mut().append_pair("stream", "true");
        if let Some(after) = after {
            request.url.query_pairs_mut().append_pair("starting_after", &after.to_string());
        }
        self.agent.send(&request).await
    }

    /// Asks how the invocation is.
    pub(super) async fn poll(&self) -> Result<HttpAnswer, FoundryError> {
        self.agent.send(&self.request(Operation::PollInvocation, Method::GET, &[])).await
    }

    fn request(&self, operation: Operation, method: Method, rest: &[&str]) -> Request<'_> {
        let segments = [&[self.id.as_str()], rest].concat();
        let url = self.agent.address.protocol(self.protocol, &segments);
        Request::new(operation, method, with_session(url, self.session_id.as_ref())).isolated(&self.isolation)
    }
}
