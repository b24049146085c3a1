//! `replay:FILE`: an agent that gives the answers of a recording, each to the user it was recorded for. What the file does not have is
//! an error that says so: never another user's answer, and never a similar one.

use super::capture::is_events;
use super::format::{Exchange, Recording, RecordingError, read};
use super::markers::Values;
use super::request::{Known, partition};
use crate::container::{CallError, Container, OwnQuestion, Runtime, SandboxContext, StartError};
use crate::isolation::Partition;
use axum::body::{Body, to_bytes};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use serde_json::json;
use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Longest request that is looked at, in bytes: as long as what the emulator's own routes take.
const MAX_REQUEST_BYTES: usize = 64 * 1024 * 1024;

/// Answers from a file.
#[derive(Debug, Clone)]
pub struct Replay {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    recording: Recording,
    is_timed: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// How many answers were given, by digest.
    given: HashMap<String, usize>,
    /// What the recording calls the responses of this run.
    names: HashMap<String, String>,
}

impl Replay {
    /// Reads the file, which must have something for `agent`. `is_timed`: answers take as long as they did.
    pub fn of(path: &Path, agent: &str, is_timed: bool) -> Result<Self, RecordingError> {
        let recording = read(path)?;
        let agents: BTreeSet<_> = recording.exchanges.iter().map(|exchange| exchange.agent.as_str()).collect();
        if !agents.contains(agent) {
            let others = agents.into_iter().map(str::to_owned).collect();
            return Err(RecordingError::NoAgent { path: path.to_owned(), agent: agent.to_owned(), others });
        }
        Ok(Self { shared: Arc::new(Shared { recording, is_timed, state: Mutex::default() }) })
    }

    /// The container's paths that `agent` was asked for, such as `/responses`.
    pub fn paths(&self, agent: &str) -> impl Iterator<Item = &str> {
        let of_agent = self.shared.recording.exchanges.iter().filter(move |exchange| exchange.agent == agent);
        of_agent.map(|exchange| exchange.request.path.as_str())
    }
}

impl Runtime for Replay {
    fn start(&self, context: SandboxContext) -> BoxFuture<'_, Result<Arc<dyn Container>, StartError>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            let (agent, session) = (context.agent, context.session_id);
            Ok(Arc::new(ReplayContainer { shared, agent, session }) as Arc<dyn Container>)
        })
    }
}

struct ReplayContainer {
    shared: Arc<Shared>,
    agent: String,
    session: String,
}

impl Container for ReplayContainer {
    fn call(&self, request: Request<Body>) -> BoxFuture<'_, Result<Response<Body>, CallError>> {
        Box::pin(async move {
            let began = Instant::now();
            let (parts, body) = request.into_parts();
            let broken = |error: &dyn std::error::Error| CallError::Broken(error.to_string());
            let Some(user) =
                parts.extensions.get::<Partition>().filter(|_| parts.extensions.get::<OwnQuestion>().is_none())
            else {
                // Without a user there is nothing to compare with the recording.
                return Ok(refusal(StatusCode::NOT_FOUND, "not_in_recording", "Only requests of users are recorded."));
            };
            let body = to_bytes(body, MAX_REQUEST_BYTES).await.map_err(|error| broken(&error))?;
            let known = {
                let state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
                Known::of(&parts.method, &parts.uri, &body, &state.names)
            };
            let head = &self.shared.recording.head;
            let digest = known.digest(&head.salt, &self.agent, &partition(&head.salt, user));
            let new_id = parts.headers.get("x-agent-response-id").and_then(|id| id.to_str().ok());
            match self.shared.next(&digest, new_id) {
                Ok(exchange) => {
                    let values = known.values(&self.session, user, &parts.headers, head.prompts);
                    answer(exchange, &values, self.shared.is_timed.then_some(began)).map_err(|error| broken(&error))
                }
                Err(recorded) => Ok(self.unknown(&known, recorded)),
            }
        })
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

impl Shared {
    /// The next answer to a request; if all were given, how many there were.
    fn next(&self, digest: &str, new_id: Option<&str>) -> Result<&Exchange, usize> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let given = state.given.entry(digest.to_owned()).or_default();
        let mut matching = self.recording.exchanges.iter().filter(|exchange| exchange.digest == digest);
        let exchange = matching.nth(*given).ok_or(*given)?;
        *given += 1;
        if let (Some(id), Some(name)) = (new_id, &exchange.response_id) {
            state.names.insert(id.to_owned(), name.clone());
        }
        Ok(exchange)
    }
}

impl ReplayContainer {
    /// The answer to a request that is not in the file, or not once more.
    fn unknown(&self, known: &Known, recorded: usize) -> Response<Body> {
        let file = self.shared.recording.path.display();
        let (agent, request) = (&self.agent, known.shown());
        let message = if recorded == 0 {
            format!(
                "The recording {file} has no answer of the agent '{agent}' for this user to: {request}. Send what was recorded, as \
                 the user it was recorded for, or record this request too."
            )
        } else {
            format!(
                "The recording {file} has no further answer of the agent '{agent}' for this user to: {request}. It was recorded \
                 {recorded} time(s), and that many answers were given. Record it more often, or start the emulator again."
            )
        };
        refusal(StatusCode::UNPROCESSABLE_ENTITY, "not_in_recording", &message)
    }
}

fn refusal(status: StatusCode, code: &str, message: &str) -> Response<Body> {
    let body = json!({"error": {"code": code, "message": message, "param": null, "type": "invalid_request_error"}});
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A recorded answer with this run's own values; at the recorded times after `began`, or at once.
fn answer(exchange: &Exchange, values: &Values, began: Option<Instant>) -> Result<Response<Body>, http::Error> {
    let kept = &exchange.answer;
    let kind = kept.headers.get(CONTENT_TYPE.as_str()).map_or("", String::as_str);
    let is_json = is_events(kind) || kind.contains("json");
    let mut response = Response::builder().status(kept.status);
    for (name, value) in &kept.headers {
        let value = HeaderValue::try_from(values.fill(value, false))?;
        response = response.header(HeaderName::try_from(name.as_str())?, value);
    }
    let pieces = kept.pieces.iter().map(|piece| {
        let text = piece.text.as_deref().map(|text| Bytes::from(values.fill(text, is_json)));
        let decoded = || piece.base64.as_deref().and_then(|text| STANDARD.decode(text).ok()).map(Bytes::from);
        (Duration::from_millis(piece.after_ms), text.or_else(decoded).unwrap_or_default())
    });
    let pieces = pieces.collect::<Vec<_>>();
    let body = futures_util::stream::iter(pieces).then(move |(after, bytes)| async move {
        if let Some(began) = began {
            tokio::time::sleep_until(began + after).await;
        }
        Ok::<_, std::convert::Infallible>(bytes)
    });
    response.body(Body::from_stream(body))
}
