//! Failures on demand: service failures that are rare in practice, switched on per route.
//!
//! - `rule`: what a fault is, which requests it is for and how often; pure
//! - `body`: answer bodies that come late, slowly, changed or not to their end; `connection`: connections that end before a request
//! - `control`: `GET`, `POST` and `DELETE /__cupola/faults`, for anyone with a token
//!
//! A [`Faults`] is handed to the gateway as its [`Interceptor`].

mod body;
mod connection;
mod control;
mod rule;

pub use rule::{Fault, LineEnd, Match, Rule};

use crate::hooks::{Interceptor, Reset, Tunnel};
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::future::BoxFuture;
use http::HeaderValue;
use http::header::CONTENT_LENGTH;
use rule::Chosen;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Where faults are controlled. Never itself a victim of one, else a fault on every path could not be taken back.
pub const CONTROL_PATH: &str = "/__cupola/faults";

/// The most of a refused request's body that is read, in bytes. Unread, it would cost the connection, which is another fault.
const MAX_REFUSED_BODY: usize = 64 * 1024 * 1024;

/// The most of a lost answer that is waited for, in bytes.
const MAX_LOST_ANSWER: usize = 64 * 1024 * 1024;

/// The header by which two proxies each add an id, so that a client sees them folded into one value.
const REQUEST_ID: &str = "x-request-id";

/// The faults switched on, shared by the gateway and the code that controls them.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    // Never held across an await: a decision is a look through a short list.
    rules: Arc<Mutex<rule::Rules>>,
}

impl Faults {
    /// Switches one on and returns its id.
    pub fn add(&self, rule: Rule) -> u64 {
        self.locked().add(rule)
    }

    /// Switches one off. False if no fault has this id, for example because its count is used up.
    pub fn remove(&self, id: u64) -> bool {
        self.locked().remove(id)
    }

    /// Switches all off.
    pub fn clear(&self) {
        self.locked().clear();
    }

    /// Those still switched on, with their ids, oldest first.
    pub fn list(&self) -> Vec<(u64, Rule)> {
        self.locked().list()
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, rule::Rules> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Interceptor for Faults {
    /// Every rule that matches counts and takes effect, in the order they were switched on.
    fn intercept(&self, request: Request, next: Next) -> BoxFuture<'_, Response> {
        Box::pin(async move {
            if request.uri().path() == CONTROL_PATH {
                control::answer(self, request).await
            } else {
                self.strike(request, next).await
            }
        })
    }
}

impl Faults {
    async fn strike(&self, request: Request, next: Next) -> Response {
        let chosen = self.locked().choose(request.method(), request.uri().path());
        for Chosen { fault, runs } in &chosen {
            match fault {
                Fault::Latency { milliseconds } => {
                    tokio::time::sleep(Duration::from_millis(*milliseconds)).await;
                }
                Fault::Status { .. } | Fault::Reset | Fault::Silence => {
                    if *runs || *fault == Fault::Silence {
                        // The answer is read to its end, so that the turn has run.
                        drop(to_bytes(next.run(request).await.into_body(), MAX_LOST_ANSWER).await);
                    } else {
                        drop(to_bytes(request.into_body(), MAX_REFUSED_BODY).await);
                    }
                    return in_place(fault).await;
                }
                _ => {}
            }
        }
        chosen.iter().fold(next.run(request).await, |answer, chosen| alter(answer, &chosen.fault))
    }
}

/// What comes in place of the emulator's answer.
async fn in_place(fault: &Fault) -> Response {
    match fault {
        Fault::Status { status, headers, body } => status_answer(*status, headers, body.as_ref()),
        Fault::Silence => std::future::pending().await,
        _ => reset_answer(),
    }
}

/// Changes an answer on its way out.
fn alter(answer: Response, fault: &Fault) -> Response {
    if let Some(tunnel) = answer.extensions().get::<Tunnel>() {
        // A WebSocket has no body: the only possible fault is to cut it off.
        if let Fault::Cut { after_bytes } = *fault {
            tunnel.cut(after_bytes);
        }
        return answer;
    }
    match *fault {
        Fault::Cut { after_bytes } => answer.map(|body| body::cut(body, after_bytes)),
        Fault::End { after_bytes } => of_another_length(answer.map(|body| body::end(body, after_bytes))),
        Fault::LongEvent { bytes } => of_another_length(answer.map(|body| body::after_event(body, bytes))),
        Fault::LineEnd { with } => of_another_length(answer.map(|body| body::line_ends(body, with.as_str()))),
        Fault::ByteOrderMark => of_another_length(answer.map(body::after_mark)),
        Fault::Drip { bytes, every_milliseconds } => {
            answer.map(|body| body::drip(body, bytes.get(), Duration::from_millis(every_milliseconds)))
        }
        Fault::SlowFirstByte { milliseconds } => {
            answer.map(|body| body::late(body, Duration::from_millis(milliseconds)))
        }
        Fault::FoldedRequestId => fold_request_id(answer),
        Fault::Latency { .. } | Fault::Status { .. } | Fault::Reset | Fault::Silence | Fault::GoAway => answer,
    }
}

/// The length that the answer states is no longer its body's.
fn of_another_length(mut answer: Response) -> Response {
    answer.headers_mut().remove(CONTENT_LENGTH);
    answer
}

fn fold_request_id(mut answer: Response) -> Response {
    let first = answer
        .headers()
        .get(REQUEST_ID)
        .and_then(|value| value.to_str().ok())
        .map_or_else(|| uuid::Uuid::new_v4().simple().to_string(), str::to_owned);
    let folded = format!("{first}, {}", uuid::Uuid::new_v4().simple());
    if let Ok(value) = HeaderValue::from_str(&folded) {
        answer.headers_mut().insert(REQUEST_ID, value);
    }
    answer
}

fn status_answer(status: rule::Status, headers: &rule::Headers, body: Option<&serde_json::Value>) -> Response {
    let mut answer = match body {
        None => Response::new(Body::empty()),
        Some(serde_json::Value::String(text)) => text.clone().into_response(),
        Some(json) => axum::Json(json).into_response(),
    };
    *answer.status_mut() = status.into();
    for (name, value) in headers.iter() {
        // In place of what the body brings: its type.
        answer.headers_mut().insert(name, value);
    }
    answer
}

fn reset_answer() -> Response {
    let mut answer = Response::new(Body::empty());
    answer.extensions_mut().insert(Reset);
    answer
}
