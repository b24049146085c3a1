//! The service's front: who may come in, and which file answers which route (contract section 2). Which state a request reaches,
//! `isolation` decides.
//!
//! `door` refuses what a web page sends; then a token is needed for everything but `about`.
//! Every protocol under an agent's endpoint is one file with a `routes` function; a further one is one more
//! file and one more `merge` below.
//!
//! - `responses`, `invocations`, `invocations_ws`, `a2a`: the protocols; `project`: the project's own routes for responses
//! - `agents`, `sessions`, `files`, `logs`, `conversations`: everything else that a token may ask for; `absent`: what only the service
//!   has
//! - `call`: what a handler receives; `query`, `paging`: of its URL; `forward`: a request to a session's container, `answer`: the way
//!   back, `record`: what is learned from an answer that passes
//! - `version`: which version answers a call; `latency`: the headers that say where its time went

mod a2a;
mod about;
mod absent;
mod agents;
mod answer;
mod call;
mod conversations;
pub(crate) mod door;
mod files;
mod forward;
mod invocations;
mod invocations_ws;
mod latency;
mod logs;
mod paging;
mod project;
mod query;
mod record;
mod responses;
mod sessions;
mod version;

use crate::agent::{Agent, Catalog};
use crate::auth::{self, Secret};
use crate::clock::Clock;
use crate::conversation::Conversations;
use crate::error::ApiError;
use crate::hooks::Interceptor;
use crate::isolation::Presented;
use crate::options::Undocumented;
use crate::server::Stop;
use crate::session::Idling;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use door::Door;
use http::{HeaderName, HeaderValue, StatusCode};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::task::TaskTracker;

/// Largest JSON body the gateway reads itself. The service's limit is not documented; inputs carry files as base64, so
/// this leaves room for a few.
const MAX_JSON_BODY: usize = 64 * 1024 * 1024;

/// The versions of the API that clients of both eras send (contract section 1.3).
const API_VERSIONS: [&str; 2] = ["v1", "2025-11-15-preview"];

/// Where in the data directory the agents' state lies.
pub(crate) const AGENTS: &str = "agents";

/// What controls the emulator itself lies below it.
const CONTROL_PREFIX: &str = "/__cupola/";
const ABOUT_PATH: &str = "/__cupola/about";

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const APIM_REQUEST_ID: HeaderName = HeaderName::from_static("apim-request-id");
const EMULATOR: HeaderName = HeaderName::from_static("x-cupola-emulator");

/// What every request is answered from.
pub(crate) struct Gateway {
    pub(crate) catalog: Catalog,
    /// Those made at the project's own `openai/v1`.
    pub(crate) conversations: Arc<Conversations>,
    /// What containers are told as `FOUNDRY_PROJECT_ENDPOINT`.
    pub(crate) project_endpoint: String,
    /// Signs the tokens that let a caller in.
    pub(crate) secret: Secret,
    pub(crate) door: Door,
    pub(crate) clock: Clock,
    pub(crate) data_dir: PathBuf,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) withhold_impersonation: bool,
    /// When to close upgraded connections, and where they are counted.
    pub(crate) stop: Stop,
    pub(crate) tracker: TaskTracker,
}

impl Gateway {
    /// Lets time take its effect on an agent's sessions.
    pub(crate) async fn settle(&self, agent: &Agent) {
        let now = self.clock.now();
        let sessions = agent.sessions.all();
        let settled =
            sessions.iter().map(|session| session.settle(now, self.idling_of(agent, &session.record().agent_version)));
        futures_util::future::join_all(settled).await;
    }

    /// When a session of this version goes idle, and what it loses then.
    pub(crate) fn idling_of(&self, agent: &Agent, version: &str) -> Idling {
        let version = agent.version(version).or_else(|_| agent.default_version()).ok();
        let defined = version.as_ref().map_or(crate::agent::version::IDLE_TIMEOUT, |version| version.idle_timeout());
        Idling {
            after: self.idle_timeout.unwrap_or(defined),
            keeps_home: version.is_none_or(|version| !version.spec.memory_snapshot),
        }
    }

    /// Where an agent's state lies.
    pub(crate) fn directory_of(&self, agent: &str) -> PathBuf {
        self.data_dir.join(AGENTS).join(crate::store::file_name(agent))
    }

    /// Replaces every container that runs an agent's sources, because of `cause`.
    pub(crate) async fn renew_all(&self, cause: &str) {
        let agents = self.catalog.all();
        let renewals =
            agents.iter().flat_map(|agent| agent.sessions.all().into_iter().map(move |session| (agent, session)));
        let renewals = renewals.map(|(agent, session)| async move {
            let Ok(version) = agent.version(&session.record().agent_version) else { return };
            if !version.spec.runtime.runs_sources() {
                return;
            }
            let (project, logs) = (&self.project_endpoint, session.logs.clone());
            let context = agent.sandbox(&version.spec, project, session.id(), session.home(), logs);
            session.renew(version.spec.runtime.as_ref(), context, cause).await;
        });
        futures_util::future::join_all(renewals).await;
        for version in agents.iter().flat_map(|agent| agent.versions()) {
            if version.spec.runtime.runs_sources() {
                // It may describe another API now.
                version.forget_openapi();
            }
        }
    }

    /// Stops every sandbox. Their sessions stay, idle.
    pub(crate) async fn stop_all(&self) {
        let now = self.clock.now();
        let sessions: Vec<_> = self.catalog.all().iter().flat_map(|agent| agent.sessions.all()).collect();
        futures_util::future::join_all(sessions.iter().map(|session| session.stop(now, true))).await;
        // A client that follows a log would keep its connection open forever.
        for session in &sessions {
            session.logs.close();
        }
    }
}

/// Everything the emulator answers.
pub(crate) fn router(
    gateway: &Arc<Gateway>,
    interceptor: Option<Arc<dyn Interceptor>>,
    without: &[Undocumented],
) -> Router {
    let endpoint = Router::new()
        .merge(sessions::routes())
        .merge(files::routes(without))
        .merge(conversations::routes())
        .merge(responses::routes())
        .merge(invocations::routes())
        .merge(invocations_ws::routes())
        .merge(a2a::routes())
        .route_layer(middleware::from_fn_with_state(Arc::clone(gateway), refuse_disabled));
    let project = Router::new()
        .merge(agents::routes())
        .merge(project::routes(gateway))
        .merge(logs::routes())
        .merge(absent::routes())
        .nest("/agents/{agent}/endpoint", endpoint)
        .route_layer(middleware::from_fn_with_state(Arc::clone(gateway), authenticate));
    let mut router = Router::new()
        .nest("/api/projects/{project}", project)
        .route(ABOUT_PATH, get(about::about))
        .fallback(no_route)
        .method_not_allowed_fallback(wrong_method)
        .with_state(Arc::clone(gateway))
        .layer(DefaultBodyLimit::max(MAX_JSON_BODY));
    if let Some(interceptor) = interceptor {
        router = router.layer(middleware::from_fn(move |request: Request, next: Next| {
            let interceptor = Arc::clone(&interceptor);
            async move { interceptor.intercept(request, next).await }
        }));
    }
    router.layer(middleware::from_fn_with_state(Arc::clone(gateway), admit)).layer(middleware::from_fn(stamp))
}

/// Before everything else: is the request for this emulator, and from no web page? What controls the emulator itself takes a
/// token as well.
async fn admit(State(gateway): State<Arc<Gateway>>, request: Request, next: Next) -> Result<Response, ApiError> {
    gateway.door.admit(&request)?;
    let path = request.uri().path();
    if path.starts_with(CONTROL_PREFIX) && path != ABOUT_PATH {
        auth::authenticate(request.headers(), &gateway.secret, gateway.clock.now())?;
    }
    Ok(next.run(request).await)
}

/// Marks every answer with its ids and as the emulator's.
///
/// The request id follows the container's own rule (contract section 1.6), so that both sides name the same one.
async fn stamp(mut request: Request, next: Next) -> Response {
    let headers = request.headers_mut();
    let trace = headers
        .get("traceparent")
        .and_then(|value| value.to_str().ok()?.split('-').nth(1))
        .filter(|trace| trace.len() == 32)
        .and_then(|trace| HeaderValue::from_str(trace).ok());
    let id =
        trace.or_else(|| headers.get(&REQUEST_ID).cloned()).or_else(|| HeaderValue::from_str(&crate::ids::hex()).ok());
    if let Some(id) = &id {
        headers.insert(REQUEST_ID, id.clone());
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    if let Some(id) = id {
        headers.entry(REQUEST_ID).or_insert(id);
    }
    if let Ok(id) = HeaderValue::from_str(&uuid::Uuid::new_v4().to_string()) {
        headers.insert(APIM_REQUEST_ID, id);
    }
    headers.insert(EMULATOR, HeaderValue::from_static(env!("CARGO_PKG_VERSION")));
    response
}

/// 401 for want of a token, 400 for want of an API version; then the request knows its caller.
async fn authenticate(
    State(gateway): State<Arc<Gateway>>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let mut caller = auth::authenticate(request.headers(), &gateway.secret, gateway.clock.now())?;
    caller.impersonates &= !gateway.withhold_impersonation;
    check_api_version(request.uri())?;
    let presented = Presented::read(request.headers())?;
    request.extensions_mut().insert(caller);
    request.extensions_mut().insert(presented);
    Ok(next.run(request).await)
}

fn check_api_version(uri: &http::Uri) -> Result<(), ApiError> {
    // Two callers send none: the CLI that asks for the OpenAPI document, and OpenAI clients at project level.
    if uri.path().contains("/protocols/invocations/docs/") || uri.path().starts_with("/openai/v1/") {
        return Ok(());
    }
    let query = uri.query().unwrap_or_default();
    let version =
        url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "api-version").map(|(_, value)| value);
    match version {
        None => Err(ApiError::invalid(
            "api-version",
            "The query parameter 'api-version' is required, for example api-version=v1.",
        )),
        Some(version) if !API_VERSIONS.contains(&version.as_ref()) => {
            Err(ApiError::invalid("api-version", format!("The API version '{version}' is not supported; use v1.")))
        }
        Some(_) => Ok(()),
    }
}

async fn refuse_disabled(call: call::Call, request: Request, next: Next) -> Result<Response, ApiError> {
    call.enabled()?;
    Ok(next.run(request).await)
}

async fn no_route(request: Request) -> Response {
    ApiError::new(StatusCode::NOT_FOUND, "not_found", format!("There is no resource at '{}'.", request.uri().path()))
        .into_response()
}

async fn wrong_method(request: Request) -> Response {
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        format!("'{}' does not answer {}.", request.uri().path(), request.method()),
    )
    .into_response()
}
