//! Sessions: the service's sandboxes (contract section 4).

use super::Agent;
use super::error::{FoundryError, Operation};
use super::headers::WireIsolation;
use super::pages::{LARGEST_PAGE, Listed, Part};
use super::request::{JSON, Request};
use cupola_protocol::id::SessionId;
use cupola_protocol::sessions::{ListResponse, Order, Session, VersionIndicator};
use cupola_protocol::target::AgentVersion;
use http::Method;
use serde::Serialize;

/// Which sessions to list.
#[derive(Debug, Clone, Copy, Default)]
pub struct ListSessions<'a> {
    /// How many at most; all when left out.
    pub limit: Option<u32>,
    /// By creation time; the service's own order when left out.
    pub order: Option<Order>,
    /// Only those after this one.
    pub after: Option<&'a SessionId>,
}

/// What stopping did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// It was running.
    Now,
    /// It had been stopped before.
    Already,
}

#[derive(Serialize)]
struct CreateBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_session_id: Option<&'a SessionId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version_indicator: Option<VersionIndicator>,
}

impl Agent {
    /// Creates a session, with the given id or one of the service's, bound to `version` or to the agent's own selection.
    pub async fn create_session(
        &self,
        isolation: &WireIsolation,
        id: Option<&SessionId>,
        version: Option<&AgentVersion>,
    ) -> Result<Session, FoundryError> {
        let body = CreateBody { agent_session_id: id, version_indicator: version.map(VersionIndicator::new) };
        let body = serde_json::to_vec(&body).map_err(|error| FoundryError::Setup(error.to_string()))?;
        let url = self.address.endpoint(&["sessions"]);
        let request = Request::new(Operation::CreateSession, Method::POST, url);
        let request = request.isolated(isolation).with_ownership().body(JSON, body);
        self.json(&request).await
    }

    /// Shows a session.
    pub async fn get_session(&self, isolation: &WireIsolation, id: &SessionId) -> Result<Session, FoundryError> {
        let url = self.address.endpoint(&["sessions", id.as_str()]);
        let request = Request::new(Operation::ShowSession, Method::GET, url).isolated(isolation);
        self.json(&request).await
    }

    /// Lists sessions, following pages until there are `limit` or no more.
    pub async fn list_sessions(
        &self,
        isolation: &WireIsolation,
        list: ListSessions<'_>,
    ) -> Result<ListResponse, FoundryError> {
        let ListSessions { limit, order, after } = list;
        let part = Part { limit, page_size: Some(LARGEST_PAGE), order, after: after.map(SessionId::as_str) };
        let url = self.address.endpoint(&["sessions"]);
        let Listed { items: data, has_more, .. } =
            self.list(Operation::ListSessions, &url, Some(isolation), part).await?;
        let id = |session: Option<&Session>| session.map(|session| session.agent_session_id.clone());
        Ok(ListResponse { first_id: id(data.first()), last_id: id(data.last()), data, has_more })
    }

    /// Stops a session's compute; its files stay.
    pub async fn stop_session(&self, isolation: &WireIsolation, id: &SessionId) -> Result<Stopped, FoundryError> {
        let url = self.address.endpoint(&["sessions", &format!("{id}:stop")]);
        let request = Request::new(Operation::StopSession, Method::POST, url).isolated(isolation);
        match self.done(&request).await {
            Ok(()) => Ok(Stopped::Now),
            Err(error) if is_already_stopped(&error) => Ok(Stopped::Already),
            Err(error) => Err(error),
        }
    }

    /// Deletes a session and its files. The service may answer success for one that does not exist (contract section 18).
    pub async fn delete_session(&self, isolation: &WireIsolation, id: &SessionId) -> Result<(), FoundryError> {
        let url = self.address.endpoint(&["sessions", id.as_str()]);
        let request = Request::new(Operation::DeleteSession, Method::DELETE, url).isolated(isolation).with_ownership();
        self.done(&request).await
    }
}

fn is_already_stopped(error: &FoundryError) -> bool {
    error.service().is_some_and(|error| error.status == 409 && error.code.as_deref() == Some("session_already_stopped"))
}
