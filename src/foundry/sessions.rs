//! Sessions: the service's sandboxes (contract section 4).

use super::Agent;
use super::client::{Call, JSON};
use super::error::{FoundryError, Operation};
use super::headers::WireIsolation;
use cupola_protocol::id::SessionId;
use cupola_protocol::sessions::{ListResponse, Order, Session, VersionIndicator};
use cupola_protocol::target::AgentVersion;
use http::Method;
use serde::{Deserialize, Serialize};

/// Most pages of one list that are followed. A region allows 50 sessions at once; a hundred pages of 100 are a loop.
const MAX_PAGES: usize = 100;

/// Most sessions the service puts in one page.
const MAX_PAGE: u32 = 100;

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

/// One page, of the service's scheme (`last_id`) or of the older one (`pagination_token`).
#[derive(Deserialize)]
struct Page {
    data: Vec<Session>,
    #[serde(default)]
    last_id: Option<String>,
    #[serde(default)]
    has_more: Option<bool>,
    #[serde(default)]
    pagination_token: Option<String>,
}

/// How the next page is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Next {
    After(String),
    Token(String),
}

impl Page {
    /// The next page, unless this was the last one. The SDK ignores `has_more` and asks until `last_id` is empty (contract
    /// section 4.3); an explicit `false` saves that request.
    fn next(&self) -> Option<Next> {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        if let Some(token) = given(&self.pagination_token) {
            return Some(Next::Token(token));
        }
        let has_more = self.has_more != Some(false) && !self.data.is_empty();
        given(&self.last_id).filter(|_| has_more).map(Next::After)
    }
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
        let call = Call::new(Operation::CreateSession, Method::POST, url);
        let call = call.isolated(isolation).with_ownership().body(JSON, body);
        self.client.json(&self.address, &call).await
    }

    /// Shows a session.
    pub async fn get_session(&self, isolation: &WireIsolation, id: &SessionId) -> Result<Session, FoundryError> {
        let url = self.address.endpoint(&["sessions", id.as_str()]);
        let call = Call::new(Operation::ShowSession, Method::GET, url).isolated(isolation);
        self.client.json(&self.address, &call).await
    }

    /// Lists sessions, following pages until there are `limit` or no more.
    pub async fn list_sessions(
        &self,
        isolation: &WireIsolation,
        list: ListSessions<'_>,
    ) -> Result<ListResponse, FoundryError> {
        let limit = list.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        let mut data: Vec<Session> = Vec::new();
        let mut next = list.after.map(|id| Next::After(id.as_str().to_owned()));
        let mut has_more = false;
        for _ in 0..MAX_PAGES {
            let mut url = self.address.endpoint(&["sessions"]);
            {
                let mut query = url.query_pairs_mut();
                let wanted = u32::try_from(limit - data.len()).unwrap_or(u32::MAX);
                query.append_pair("limit", &wanted.clamp(1, MAX_PAGE).to_string());
                if let Some(order) = list.order {
                    query.append_pair("order", if order == Order::Asc { "asc" } else { "desc" });
                }
                match &next {
                    Some(Next::After(id)) => query.append_pair("after", id),
                    Some(Next::Token(token)) => query.append_pair("pagination_token", token),
                    None => &mut query,
                };
            }
            let call = Call::new(Operation::ListSessions, Method::GET, url).isolated(isolation);
            let page: Page = self.client.json(&self.address, &call).await?;
            let following = page.next().filter(|following| next.as_ref() != Some(following));
            let is_empty = page.data.is_empty();
            data.extend(page.data);
            has_more = following.is_some() || data.len() > limit;
            if is_empty || following.is_none() || data.len() >= limit {
                break;
            }
            next = following;
        }
        data.truncate(limit);
        let id = |session: Option<&Session>| session.map(|session| session.agent_session_id.clone());
        Ok(ListResponse { first_id: id(data.first()), last_id: id(data.last()), data, has_more })
    }

    /// Stops a session's compute; its files stay.
    pub async fn stop_session(&self, isolation: &WireIsolation, id: &SessionId) -> Result<Stopped, FoundryError> {
        let url = self.address.endpoint(&["sessions", &format!("{id}:stop")]);
        let call = Call::new(Operation::StopSession, Method::POST, url).isolated(isolation);
        match self.client.done(&self.address, &call).await {
            Ok(()) => Ok(Stopped::Now),
            Err(error) if is_already_stopped(&error) => Ok(Stopped::Already),
            Err(error) => Err(error),
        }
    }

    /// Deletes a session and its files. The service may answer success for one that does not exist (contract section 18).
    pub async fn delete_session(&self, isolation: &WireIsolation, id: &SessionId) -> Result<(), FoundryError> {
        let url = self.address.endpoint(&["sessions", id.as_str()]);
        let call = Call::new(Operation::DeleteSession, Method::DELETE, url).isolated(isolation).with_ownership();
        self.client.done(&self.address, &call).await
    }
}

fn is_already_stopped(error: &FoundryError) -> bool {
    error.service().is_some_and(|error| error.status == 409 && error.code.as_deref() == Some("session_already_stopped"))
}
