//! What the agent server does with a turn of a conversation that has one running: by its options, it lets both run, refuses the second
//! one, or ends the first one early (contract sections 7.2, 15.4 and 15.5).

use super::object::{Head, Snapshot};
use super::problem::Problem;
use super::run::{Mode, Run};
use super::{Agent, events, json_body};
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use http::{StatusCode, header};
use serde_json::json;
use std::io;
use std::sync::Arc;

/// What an agent does with a second turn of a conversation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Busy {
    /// Both run: an agent server with default options.
    #[default]
    Parallel,
    /// The second one is refused: `resilient_background`.
    Lock,
    /// The first one ends early, and the second one follows it: `resilient_background` and `steerable_conversations`.
    Steer,
}

impl Busy {
    /// The choice of this name.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "parallel" => Self::Parallel,
            "lock" => Self::Lock,
            "steer" => Self::Steer,
            _ => return None,
        })
    }
}

/// What becomes of a new turn.
pub(super) enum Fate {
    /// It runs.
    Runs,
    /// It runs when these have ended.
    Waits(Vec<Arc<Run>>),
    /// It is refused.
    Refused(Response),
}

/// Decides about a turn that has not begun. The turns that are running are steered where the agent can be.
pub(super) fn fate(agent: &Agent, run: &Run) -> Fate {
    let conversation = run.head.conversation.as_deref();
    let ahead = conversation.map(|conversation| agent.store.running_in_conversation(conversation)).unwrap_or_default();
    match agent.busy {
        _ if ahead.is_empty() => Fate::Runs,
        Busy::Parallel => Fate::Runs,
        Busy::Lock => Fate::Refused(locked(run.mode)),
        Busy::Steer => {
            for turn in &ahead {
                turn.steer();
            }
            Fate::Waits(ahead)
        }
    }
}

/// A conversation that has a turn: a clean 409, but a stream has begun by then, and breaks off without an event.
fn locked(mode: Mode) -> Response {
    if !mode.stream {
        return Problem::locked().into_response();
    }
    let broken = stream::once(async {
        // The head must leave before the error, or hyper drops both.
        tokio::time::sleep(events::UNTIL_CUT).await;
        Err::<Bytes, _>(io::Error::other("the conversation is locked"))
    });
    ([(header::CONTENT_TYPE, events::CONTENT_TYPE)], Body::from_stream(broken)).into_response()
}

/// The answer to a turn that waits and is not streamed.
pub(super) fn queued(run: &Run) -> Response {
    run.emerge(Snapshot::in_progress(Vec::new()));
    let Head { id, model, .. } = &run.head;
    let body = json!({"id": id, "object": "response", "status": "queued", "model": model, "output": []});
    json_body(StatusCode::OK, &body)
}

/// The answer to an invocation that the running one takes in.
pub(super) fn delivered() -> Response {
    json_body(StatusCode::ACCEPTED, &json!({"status": "delivered"}))
}
