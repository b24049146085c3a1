//! What a handler receives: the agent, the caller and what the request says, with the checks they share.

use super::Gateway;
use super::query::Query;
use crate::agent::{Agent, Version};
use crate::container::Container;
use crate::content_type::{advice, is_json};
use crate::error::ApiError;
use crate::isolation::Caller;
use crate::isolation::{self, Model, Partition, Presented, Purpose, Refusal};
use crate::session::{Session, Status};
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::time::Instant;

/// One authenticated request to an agent: the one in the path, or in the request's extensions where the path names none.
pub(crate) struct Call {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) agent: Arc<Agent>,
    pub(crate) caller: Caller,
    pub(crate) presented: Presented,
    pub(crate) headers: HeaderMap,
    pub(crate) query: Query,
    /// When its head had been read.
    pub(crate) received: Instant,
    params: HashMap<String, String>,
    /// Its path below the protocol's root, with its percent-encoding: that of the container's own routes.
    path: String,
}

/// A session a request may use, with how its version isolates.
pub(crate) struct Entered {
    pub(crate) session: Arc<Session>,
    pub(crate) version: Arc<Version>,
    pub(crate) partition: Partition,
}

/// What the route takes from the path, by name.
pub(super) async fn path_params(
    parts: &mut Parts,
    gateway: &Arc<Gateway>,
) -> Result<HashMap<String, String>, ApiError> {
    let params = Path::<HashMap<String, String>>::from_request_parts(parts, gateway).await;
    params.map(|Path(params)| params).map_err(|error| ApiError::invalid("path", error.to_string()))
}

impl FromRequestParts<Arc<Gateway>> for Call {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, gateway: &Arc<Gateway>) -> Result<Self, ApiError> {
        let params = path_params(parts, gateway).await?;
        let agent = match parts.extensions.get::<Arc<Agent>>() {
            Some(agent) => Arc::clone(agent),
            None => gateway.catalog.get(params.get("agent").map_or("", |name| verb(name).0))?,
        };
        Self::of(agent, parts, gateway, params)
    }
}

impl Call {
    /// A call to an agent that is named elsewhere than in the path.
    pub(crate) fn of(
        agent: Arc<Agent>,
        parts: &Parts,
        gateway: &Arc<Gateway>,
        params: HashMap<String, String>,
    ) -> Result<Self, ApiError> {
        let (caller, presented) = who(parts)?;
        Ok(Self {
            agent,
            caller,
            gateway: Arc::clone(gateway),
            presented,
            headers: parts.headers.clone(),
            query: Query::of(&parts.uri),
            received: Instant::now(),
            params,
            path: parts.uri.path().to_owned(),
        })
    }

    /// A disabled agent's endpoint rejects all requests (contract section 3). The status is not documented.
    pub(crate) fn enabled(&self) -> Result<(), ApiError> {
        if self.agent.enabled() {
            return Ok(());
        }
        Err(ApiError::new(StatusCode::FORBIDDEN, "agent_disabled", format!("Agent '{}' is disabled.", self.agent.name)))
    }

    /// A path segment; empty when the route has no segment of that name.
    pub(crate) fn param(&self, name: &str) -> &str {
        self.params.get(name).map_or("", String::as_str)
    }

    /// A path segment and the verb after its colon, as in `{session}:stop`.
    pub(crate) fn param_and_verb(&self, name: &str) -> (&str, Option<&str>) {
        verb(self.param(name))
    }

    /// A query parameter; an empty one counts as absent.
    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        self.query.get(name)
    }

    /// The container's own path and query of this request, byte for byte as sent; with the session in the query if it is given.
    pub(crate) fn container_target(&self, session: Option<(&str, &str)>) -> String {
        format!("{}{}", self.path, self.query.for_container(session))
    }

    /// The running container of one of the agent's sessions, started or resumed if need be.
    pub(crate) async fn container(
        &self,
        session: &Arc<Session>,
        version: &Version,
    ) -> Result<Arc<dyn Container>, ApiError> {
        let project = &self.gateway.project_endpoint;
        let context = self.agent.sandbox(&version.spec, project, session.id(), session.home(), session.logs.clone());
        session.container(&version.spec.runtime, context).await
    }

    pub(crate) fn now(&self) -> i64 {
        self.gateway.clock.now()
    }

    /// Whose state the request asks for, by the rules of `model`.
    pub(crate) fn partition(&self, model: Model, purpose: Purpose) -> Result<Partition, ApiError> {
        Ok(isolation::partition(model, &self.presented, &self.caller, purpose)?)
    }

    /// The same by the rules of the version new sessions get.
    pub(crate) fn default_partition(&self, purpose: Purpose) -> Result<Partition, ApiError> {
        self.partition(self.agent.default_version()?.spec.model, purpose)
    }

    /// The session of this id, if the request may use it.
    pub(crate) async fn session(&self, id: &str, purpose: Purpose) -> Result<Entered, ApiError> {
        let Some(session) = self.agent.sessions.get(id) else {
            // A request that could see no session at all is told so first.
            self.default_partition(purpose)?;
            return Err(ApiError::no_session(id));
        };
        let record = session.record();
        let version = self.agent.version(&record.agent_version).or_else(|_| self.agent.default_version())?;
        let partition = self.partition(version.spec.model, purpose)?;
        isolation::enter(&partition, &self.caller, &record.partition, purpose).map_err(|refusal| match refusal {
            Refusal::Hidden => ApiError::no_session(id),
            refusal => refusal.into(),
        })?;
        session.settle(self.now(), self.gateway.idling_of(&self.agent, &record.agent_version)).await;
        if purpose == Purpose::Invoke && session.record().status == Status::Expired {
            return Err(ApiError::no_session(id));
        }
        Ok(Entered { session, version, partition })
    }
}

/// Who sent a request, and its isolation headers.
pub(super) fn who(parts: &Parts) -> Result<(Caller, Presented), ApiError> {
    let caller = parts.extensions.get::<Caller>().cloned();
    let caller = caller.ok_or_else(|| ApiError::unauthorized("The caller is not known."))?;
    Ok((caller, parts.extensions.get::<Presented>().cloned().unwrap_or_default()))
}

fn verb(segment: &str) -> (&str, Option<&str>) {
    segment.split_once(':').map_or((segment, None), |(name, verb)| (name, Some(verb)))
}

/// The whole body of a request that takes JSON; one that is too long or of another type is refused in the gateway's envelope.
pub(crate) struct Whole(pub(crate) Bytes);

impl<S: Send + Sync> FromRequest<S> for Whole {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let content_type = request.headers().get(CONTENT_TYPE).cloned();
        let body = Bytes::from_request(request, state)
            .await
            .map_err(|error| ApiError::new(error.status(), "invalid_request_error", error.body_text()))?;
        if !body.is_empty() && !is_json(content_type.as_ref()) {
            let message = advice(content_type.as_ref());
            return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", message));
        }
        Ok(Self(body))
    }
}

/// Reads a JSON body; an empty one is `{}`.
pub(crate) fn json_body<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| ApiError::invalid("body", format!("The body is not valid: {error}.")))
}
