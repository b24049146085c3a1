//! The `/invocations` routes (contract 9). Besides the texts of [`super`], as plain text or as the `input` or `message`
//! of a JSON object, a JSON object may ask by its `mode`:
//!
//! | mode | answer |
//! |---|---|
//! | `sse` | the answer to `text`, `input` or `message` as `token` events and a `done` event |
//! | `sse-openai` | the same as data-only events, ending with `[DONE]` |
//! | `sse-error` | an event, then an error event |
//! | `sse-crash` | an event, then the connection breaks |
//! | `sse-pause` | two events with 2.5 s between, for keep-alive comments |
//! | `lro` | 202, then to be polled; done after `seconds` (2) |
//! | `text`, `echo` | `text` back as plain text, or the whole object |
//! | `whoami` | the platform's headers and the query |
//! | any, with `busy=steer` and while an `lro` runs | 202 `delivered` |
//! | `bad`, `crash` | an error of the agent's own, an error in its code |

use super::answer::{Answer, Command, Ending, Step};
use super::busy::{self, Busy};
use super::events::{self, python_json};
use super::problem::upstream;
use super::responses::platform_headers;
use super::{Agent, json_body, set};
use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, Query};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, StatusCode, header};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Longest id the server takes over; anything else becomes a UUID.
const MAX_ID_CHARS: usize = 256;

/// Longest long-running invocation: past any client's patience, short of overflowing a timer.
const MAX_JOB_SECONDS: f64 = 24.0 * 60.0 * 60.0;

const INVOCATION_ID: &str = "x-agent-invocation-id";
const SESSION_ID: &str = "x-agent-session-id";

/// Who is asking, as the server sees it.
struct Call {
    invocation_id: String,
    session_id: String,
}

/// `POST /invocations`: any body.
pub(super) async fn invoke(
    Extension(agent): Extension<Arc<Agent>>,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let given = headers.get(INVOCATION_ID).and_then(|id| id.to_str().ok());
    let session = query.get("agent_session_id").filter(|id| !id.is_empty());
    let call = Call {
        invocation_id: clean_id(given),
        session_id: clean_id(session.or(Some(&agent.context.session_id)).map(String::as_str)),
    };
    let is_taken_in = agent.busy == Busy::Steer && agent.jobs.is_any_running();
    let mut response = match serde_json::from_slice::<Value>(&body) {
        _ if is_taken_in => busy::delivered(),
        Ok(Value::Object(body)) => by_mode(&agent, &call, body, &query, &headers).await,
        Ok(Value::String(text)) => plain(&agent, &text, &headers).await,
        _ => plain(&agent, &String::from_utf8_lossy(&body), &headers).await,
    };
    set(response.headers_mut(), INVOCATION_ID, &call.invocation_id);
    set(response.headers_mut(), SESSION_ID, &call.session_id);
    response
}

/// `GET /invocations/{id}`: the state of a long-running invocation.
pub(super) async fn poll(Extension(agent): Extension<Arc<Agent>>, Path(id): Path<String>) -> Response {
    about(&id, agent.jobs.state(&id))
}

/// `POST /invocations/{id}/cancel`.
pub(super) async fn cancel(Extension(agent): Extension<Arc<Agent>>, Path(id): Path<String>) -> Response {
    agent.jobs.cancel(&id);
    about(&id, agent.jobs.state(&id))
}

/// `GET /invocations/docs/{document}`.
pub(super) async fn document(Path(document): Path<String>) -> Response {
    let missing = |kind| {
        let message = format!("No {kind} spec registered");
        upstream(StatusCode::NOT_FOUND, &json!({"code": "not_found", "message": message}))
    };
    match document.as_str() {
        "openapi.json" => json_body(StatusCode::OK, &openapi()),
        "asyncapi.json" => missing("AsyncAPI (JSON)"),
        "asyncapi.yaml" => missing("AsyncAPI (YAML)"),
        _ => (StatusCode::NOT_FOUND, "Not Found").into_response(),
    }
}

fn about(id: &str, job: Option<Value>) -> Response {
    let mut response = match job {
        Some(job) => json_body(StatusCode::OK, &job),
        None => agent_error(StatusCode::NOT_FOUND, "not_found", "no such invocation"),
    };
    set(response.headers_mut(), INVOCATION_ID, &clean_id(Some(id)));
    response
}

async fn by_mode(
    agent: &Arc<Agent>,
    call: &Call,
    body: Map<String, Value>,
    query: &BTreeMap<String, String>,
    headers: &HeaderMap,
) -> Response {
    let field = |name| body.get(name).and_then(Value::as_str);
    let text = field("input").or(field("message"));
    let spoken = field("text").or(text).unwrap_or("one two three");
    let Some(mode) = field("mode") else {
        return match text {
            Some(text) => structured(agent, call, text, headers).await,
            None => echoed(call, &body),
        };
    };
    match mode {
        "text" => format!("echo: {spoken}").into_response(),
        "sse" => tokens(agent, call, spoken, text.is_some(), headers).await,
        "sse-openai" => {
            let mut frames: Vec<Bytes> = spoken.split_whitespace().map(|word| data(&json!({"delta": word}))).collect();
            frames.push(Bytes::from_static(b"data: [DONE]\n\n"));
            events::body(stream::iter(frames), agent.keep_alive)
        }
        "sse-error" => {
            let error = json!({"code": "model_error", "type": "server_error", "message": "model went away"});
            let frames = [data(&json!({"type": "token", "content": "so far"})), data(&json!({"error": error}))];
            events::body(stream::iter(frames), agent.keep_alive)
        }
        "sse-crash" => cut(data(&json!({"type": "token", "content": "so far"}))),
        "sse-pause" => {
            let before = stream::iter([Bytes::from_static(b"data: before\n\n")]);
            let after = stream::once(async {
                tokio::time::sleep(Duration::from_millis(2500)).await;
                Bytes::from_static(b"data: after\n\n")
            });
            events::body(before.chain(after), agent.keep_alive)
        }
        "lro" => accept(agent, call, body.get("seconds").and_then(Value::as_f64)),
        "bad" => agent_error(StatusCode::BAD_REQUEST, "invalid_request", "field 'text' is required"),
        "crash" => crashed(),
        "whoami" => {
            let prefixes = ["x-agent-", "x-client-", "x-ms-", "traceparent"];
            let body = json!({
                "invocation_id": call.invocation_id,
                "session_id": call.session_id,
                "headers": platform_headers(headers, &prefixes),
                "query": query,
            });
            json_body(StatusCode::OK, &body)
        }
        _ => echoed(call, &body),
    }
}

fn echoed(call: &Call, body: &Map<String, Value>) -> Response {
    let answer = json!({
        "echo": body,
        "invocation_id": call.invocation_id,
        "session_id": call.session_id,
    });
    json_body(StatusCode::OK, &answer)
}

async fn plain(agent: &Agent, text: &str, headers: &HeaderMap) -> Response {
    match said(agent, text, headers).await {
        Ok(text) => text.into_response(),
        Err(error) => error,
    }
}

async fn structured(agent: &Agent, call: &Call, text: &str, headers: &HeaderMap) -> Response {
    match said(agent, text, headers).await {
        Ok(text) => {
            let body = json!({
                "output": text,
                "invocation_id": call.invocation_id,
                "session_id": call.session_id,
            });
            json_body(StatusCode::OK, &body)
        }
        Err(error) => error,
    }
}

/// The whole answer to a text, after its waits, or the error its ending means here.
pub(super) async fn said(agent: &Agent, text: &str, headers: &HeaderMap) -> Result<String, Response> {
    let answer = agent.answer(Command::parse(text), headers).await;
    for step in &answer.steps {
        if let Step::Message { pieces, pace } = step {
            let pieces = u32::try_from(pieces.len()).unwrap_or(u32::MAX);
            tokio::time::sleep(pace.saturating_mul(pieces)).await;
        }
    }
    match &answer.ending {
        Ending::Completed | Ending::Incomplete(_) => Ok(answer.full_text()),
        Ending::Failed(message) => Err(agent_error(StatusCode::INTERNAL_SERVER_ERROR, "server_error", message)),
        Ending::Crash | Ending::CrashBeforeCreated => Err(crashed()),
    }
}

/// A text as `token` events and a `done` event. `asked` says it is to be answered first, not just said.
async fn tokens(agent: &Agent, call: &Call, text: &str, asked: bool, headers: &HeaderMap) -> Response {
    let answer = if asked { agent.answer(Command::parse(text), headers).await } else { Answer::text(text) };
    let full_text = answer.full_text();
    let done = events::frame(
        "done",
        &json!({
            "type": "done",
            "invocation_id": call.invocation_id,
            "session_id": call.session_id,
            "full_text": full_text,
        }),
    );
    let words: Vec<(Duration, Bytes)> = answer
        .steps
        .into_iter()
        .flat_map(|step| match step {
            Step::Message { pieces, pace } => {
                let paced = move |piece: String| (pace, token(&piece, asked));
                pieces.into_iter().map(paced).collect()
            }
            Step::Reasoning(_)
            | Step::ToolCall { .. }
            | Step::ToolOutput(_)
            | Step::ApprovalRequest { .. }
            | Step::ConsentRequest => Vec::new(),
        })
        .collect();
    let frames = stream::iter(words).then(|(pace, frame)| async move {
        tokio::time::sleep(pace).await;
        frame
    });
    events::body(frames.chain(stream::iter([done])), agent.keep_alive)
}

/// A `token` event. An answer's pieces keep their whitespace, so that they make the text again when joined.
fn token(piece: &str, whole: bool) -> Bytes {
    let content = if whole { piece } else { piece.trim() };
    events::frame("token", &json!({"type": "token", "content": content}))
}

/// An event stream whose code fails after one event: the body just breaks off.
fn cut(frame: Bytes) -> Response {
    let broken = stream::once(async {
        // The event must leave before the error, or hyper drops both.
        tokio::time::sleep(events::UNTIL_CUT).await;
        Err(io::Error::other("the agent's stream failed"))
    });
    let mut response = Body::from_stream(stream::iter([Ok(frame)]).chain(broken)).into_response();
    set(response.headers_mut(), header::CONTENT_TYPE.as_str(), events::CONTENT_TYPE);
    response
}

fn data(value: &Value) -> Bytes {
    Bytes::from(format!("data: {}\n\n", python_json(value)))
}

fn accept(agent: &Arc<Agent>, call: &Call, seconds: Option<f64>) -> Response {
    let seconds = seconds.unwrap_or(2.0).clamp(0.0, MAX_JOB_SECONDS);
    let cancel = agent.jobs.start(&call.invocation_id, &agent.stopped);
    let (worker, id) = (Arc::clone(agent), call.invocation_id.clone());
    agent.tasks.spawn(async move {
        tokio::select! {
            () = cancel.cancelled() => worker.jobs.end(&id, "cancelled", None),
            () = tokio::time::sleep(Duration::from_secs_f64(seconds)) => {
                worker.jobs.end(&id, "completed", Some(format!("done after {seconds}s")));
            }
        }
    });
    let body = json!({"invocation_id": call.invocation_id, "status": "running"});
    let mut response = json_body(StatusCode::ACCEPTED, &body);
    set(response.headers_mut(), header::RETRY_AFTER.as_str(), "1");
    response
}

/// An error the agent wrote itself: no error source.
fn agent_error(status: StatusCode, code: &str, message: &str) -> Response {
    json_body(status, &json!({"error": {"code": code, "message": message}}))
}

fn crashed() -> Response {
    let error = json!({"code": "internal_error", "message": "Internal server error"});
    upstream(StatusCode::INTERNAL_SERVER_ERROR, &error)
}

/// A given id when it is one, else a new UUID.
fn clean_id(given: Option<&str>) -> String {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    given
        .filter(|id| (1..=MAX_ID_CHARS).contains(&id.len()) && id.bytes().all(allowed))
        .map_or_else(|| uuid::Uuid::new_v4().to_string(), str::to_owned)
}

fn openapi() -> Value {
    let text = json!({"type": "string"});
    json!({
        "openapi": "3.1.0",
        "info": {"title": "notes", "version": env!("CARGO_PKG_VERSION")},
        "paths": {"/invocations": {"post": {
            "requestBody": {
                "required": true,
                "content": {"application/json": {
                    "schema": {"type": "object", "properties": {"mode": text, "text": text, "input": text}},
                    "example": {"input": "remember that the milk is sour"},
                }},
            },
            "responses": {"200": {"description": "ok"}},
        }}},
    })
}
