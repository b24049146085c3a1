//! `builtin:notes`: a small deterministic agent that remembers into its session's home, so that isolation can be seen.
//!
//! It speaks the container's protocols as Microsoft's agent server does (contract sections 7, 9, 15 and 16); the tests
//! hold its answers against captures of that server. What it does is chosen by the text it is sent:
//!
//! | text | answer |
//! |---|---|
//! | `remember [that] X` | appends the line `X` to `$HOME/notes.txt` |
//! | `what do you remember?` | lists those lines |
//! | `whoami` | the `x-agent-*` and `x-client-*` headers it was given, as JSON |
//! | `history` | how many items of earlier turns it knows, by `previous_response_id` or `conversation` |
//! | `stream X` | `X`, word by word |
//! | `slow N [MS]` | N words with MS (300) milliseconds before each; honours cancellation |
//! | `pause` | two words with 2.5 s before each, for keep-alive comments |
//! | `tool`, `reason` | a tool call or a reasoning item, then text |
//! | `ask TOOL [ARGUMENTS]` | asks for the person's approval of a tool call (`mcp_approval_request`); a later turn's `mcp_approval_response` answers it; only on `/responses` |
//! | `consent` | asks for the person's consent at a link (`oauth_consent_request`); only on `/responses` |
//! | `fail` or `failed`, `incomplete` | text, then `response.failed` or `response.incomplete` |
//! | `early-error`, `late-error` | crashes before or after its first output |
//! | `draining` | 503 `service_unavailable`, as of an agent server that is shutting down; only on `/responses` |
//! | `id-conflict` | 409 `response_id_conflict`, as if its response id were in use; only on `/responses` |
//! | `undeletable` | `echo: undeletable`, and deleting that response fails (500) |
//! | anything else | `echo: ` and the text |
//!
//! If a row has no placeholder, its text must be the whole input. `/invocations` takes the same texts; its module says
//! what it takes besides, and `dialogue` what is said on `/invocations_ws`.
//!
//! - `answer`: text → what to answer, pure
//! - `notebook`: the remembered lines
//! - `responses`: the `/responses` routes, and the history that a turn continues
//! - `request`: the body of `POST /responses`, checked
//! - `run`: one response from its start to its end, and the event log its readers follow
//! - `busy`: a turn of a conversation that has one already
//! - `perform`: plays an answer on a run as events
//! - `object`: the response object in each of its forms
//! - `events`: server-sent events as the agent server writes them
//! - `store`: responses by id and by conversation, outliving containers
//! - `invocations`: the `/invocations` routes; `jobs`: those that take long
//! - `dialogue`: `/invocations_ws`
//! - `ids`, `problem`: response and item ids, error envelopes

mod answer;
mod busy;
mod dialogue;
mod events;
mod ids;
mod invocations;
mod jobs;
mod notebook;
mod object;
mod perform;
mod problem;
mod request;
mod responses;
mod run;
mod store;

pub use busy::Busy;

use crate::container::{CallError, Container, OwnQuestion, Runtime, SandboxContext, StartError};
use crate::logs::LogStream;
use axum::Router;
use axum::body::Body;
use axum::extract::DefaultBodyLimit;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use notebook::Notebook;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use store::Store;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Largest request body. The agent server has no limit; this is far above any prompt and bounds memory.
const MAX_BODY_BYTES: usize = 4 * 1024 * 1024;

/// Environment variable with the seconds between keep-alive comments; 0 or absent means none (contract 15.1).
const KEEP_ALIVE_VARIABLE: &str = "SSE_KEEPALIVE_INTERVAL";

/// The one path whose answers lack the platform's headers (contract 1.6).
const WEBSOCKET_PATH: &str = "/invocations_ws";

/// The kind of agent named `builtin:notes`. Clones share the stored responses.
#[derive(Clone, Default)]
pub struct Notes {
    store: Arc<Store>,
    busy: Busy,
}

impl Notes {
    /// Finished responses are kept in `directory` instead of in memory. It must be this agent's alone; what is in it is
    /// removed when the first response ends.
    pub fn with_responses_in(directory: impl Into<PathBuf>) -> Self {
        Self { store: Arc::new(Store::in_directory(directory.into())), busy: Busy::default() }
    }

    /// Sets what it does with a turn of a conversation that has one running.
    #[must_use]
    pub const fn when_busy(mut self, busy: Busy) -> Self {
        self.busy = busy;
        self
    }
}

impl Runtime for Notes {
    fn start(&self, context: SandboxContext) -> BoxFuture<'_, Result<Arc<dyn Container>, StartError>> {
        Box::pin(async move {
            tokio::fs::create_dir_all(&context.home)
                .await
                .map_err(|source| StartError::Home { path: context.home.clone(), source })?;
            context.logs.push(LogStream::Stdout, format!("notes agent ready, home {}", context.home.display()));
            let container: Arc<dyn Container> =
                Arc::new(NotesContainer::new(context, Arc::clone(&self.store), self.busy));
            Ok(container)
        })
    }
}

/// What the handlers of one container share.
struct Agent {
    context: SandboxContext,
    notebook: Notebook,
    store: Arc<Store>,
    jobs: jobs::Jobs,
    busy: Busy,
    keep_alive: Option<Duration>,
    stopped: CancellationToken,
    tasks: TaskTracker,
}

impl Agent {
    fn log(&self, line: impl Into<String>) {
        self.context.logs.push(LogStream::Stdout, line);
    }
}

/// The id of one HTTP request, as `x-request-id` and in error envelopes.
#[derive(Debug, Clone)]
struct RequestId(String);

/// The routes of every container; whose a request is comes with it. A table for each container would be most of what an
/// awake session takes of memory.
static ROUTES: LazyLock<TowerToHyperService<Router>> = LazyLock::new(|| TowerToHyperService::new(routes()));

struct NotesContainer {
    agent: Arc<Agent>,
}

impl NotesContainer {
    fn new(context: SandboxContext, store: Arc<Store>, busy: Busy) -> Self {
        let agent = Arc::new(Agent {
            notebook: Notebook::in_home(&context.home),
            store,
            jobs: jobs::Jobs::default(),
            busy,
            keep_alive: keep_alive(&context),
            stopped: CancellationToken::new(),
            tasks: TaskTracker::new(),
            context,
        });
        Self { agent }
    }
}

impl Container for NotesContainer {
    fn call(&self, mut request: Request<Body>) -> BoxFuture<'_, Result<Response, CallError>> {
        Box::pin(async move {
            if self.agent.stopped.is_cancelled() {
                return Err(CallError::Gone("the notes agent was stopped".to_owned()));
            }
            let id = request_id(request.headers());
            request.extensions_mut().insert(RequestId(id.clone()));
            request.extensions_mut().insert(Arc::clone(&self.agent));
            let is_shown = request.extensions().get::<OwnQuestion>().is_none();
            let line = format!("{} {}", request.method(), request.uri().path());
            let is_websocket = request.uri().path() == WEBSOCKET_PATH;
            let mut response = ROUTES.call(request).await.unwrap_or_else(|never| match never {});
            if is_shown {
                self.agent.log(format!("{line} {}", response.status().as_u16()));
            }
            if is_websocket {
                return Ok(response);
            }
            set(response.headers_mut(), "x-request-id", &id);
            set(
                response.headers_mut(),
                "x-platform-server",
                concat!("cupola-emulator/", env!("CARGO_PKG_VERSION"), " (builtin:notes)"),
            );
            Ok(response)
        })
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.agent.stopped.cancel();
            self.agent.tasks.close();
            self.agent.tasks.wait().await;
            self.agent.log("notes agent stopped");
        })
    }
}

fn routes() -> Router {
    Router::new()
        .route("/readiness", get(readiness))
        .route("/responses", post(responses::create))
        .route("/responses/{id}", get(responses::retrieve).delete(responses::delete))
        .route("/responses/{id}/cancel", post(responses::cancel))
        .route("/responses/{id}/input_items", get(responses::input_items))
        .route("/invocations", post(invocations::invoke))
        .route("/invocations/{id}", get(invocations::poll))
        .route("/invocations/{id}/cancel", post(invocations::cancel))
        .route("/invocations/docs/{document}", get(invocations::document))
        .route(WEBSOCKET_PATH, get(dialogue::open))
        .fallback(async || (StatusCode::NOT_FOUND, "Not Found"))
        .method_not_allowed_fallback(async || (StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed"))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
}

async fn readiness() -> Response {
    json_body(StatusCode::OK, &serde_json::json!({"status": "healthy"}))
}

/// Trace id of `traceparent`, else the caller's `x-request-id`, else a new one (contract 1.6).
fn request_id(headers: &HeaderMap) -> String {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let trace = text("traceparent").and_then(|parent| parent.split('-').nth(1));
    trace
        .filter(|id| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()))
        .or_else(|| text("x-request-id").filter(|id| !id.is_empty()))
        .map_or_else(|| uuid::Uuid::new_v4().simple().to_string(), str::to_owned)
}

fn keep_alive(context: &SandboxContext) -> Option<Duration> {
    let seconds: f64 = context.environment.get(KEEP_ALIVE_VARIABLE)?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok().filter(|interval| !interval.is_zero())
}

/// Sets a header unless the value cannot be one: ids a caller made up may hold anything.
fn set(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// A JSON answer in the compact spacing of the agent server's bodies.
fn json_body(status: StatusCode, body: &serde_json::Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

/// Now, in whole seconds since 1970, as the objects' time fields are.
fn now() -> i64 {
    time::OffsetDateTime::now_utc().unix_timestamp()
}
