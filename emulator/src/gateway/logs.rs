//! A session's log as a stream of events (contract section 6).
//!
//! Two paths lead here: below the version, as the service documents it, and below the agent, as the command line of
//! today asks. Both take the same parameters. A stream neither wakes a session nor keeps it awake.

use super::Gateway;
use super::call::Call;
use crate::error::ApiError;
use crate::isolation::Purpose;
use crate::logs::{LogKind, LogReader, LogStream, Read};
use crate::session::{Session, Status};
use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use futures_util::stream;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use tokio::time::timeout;

/// Lines before the live ones when nothing is said, and how many may be asked for.
const DEFAULT_TAIL: usize = 50;
const MAX_TAIL: usize = 300;

/// How long a stream may be silent before it says so; the service's own message names the time.
const KEEP_ALIVE: Duration = Duration::from_mins(1);
const KEEP_ALIVE_MESSAGE: &str = "No logs since last 60 seconds";

const CONNECTING: &str = "Connecting to the container 'agent-container'...";
const CONNECTED: &str = "Successfully connected to container";

pub(super) fn routes() -> Router<Arc<Gateway>> {
    Router::new()
        .route("/agents/{agent}/sessions/{session}", get(of_agent))
        .route("/agents/{agent}/versions/{version}/sessions/{session}", get(of_version))
}

async fn of_agent(call: Call) -> Result<Response, ApiError> {
    open(&call, None).await
}

async fn of_version(call: Call) -> Result<Response, ApiError> {
    open(&call, Some(call.param("version"))).await
}

async fn open(call: &Call, version: Option<&str>) -> Result<Response, ApiError> {
    let (id, Some("logstream")) = call.param_and_verb("session") else {
        return Err(ApiError::not_found("Operation", call.param("session")));
    };
    let wanted = Wanted::read(call)?;
    let session = call.session(id, Purpose::Manage).await?.session;
    let record = session.record();
    if version.is_some_and(|version| version != record.agent_version) {
        return Err(ApiError::no_session(id));
    }
    if record.status == Status::Creating || !session.logs.has_begun() {
        return Err(ApiError::not_found("Sandbox of session", id));
    }
    let reader = session.logs.read(wanted.kind, wanted.tail);
    let ready = VecDeque::from(opening(&call.agent.name, &session, wanted.kind));
    let frames = Frames { ready, reader: Some(reader), follow: wanted.follow };
    let body = stream::unfold(frames, |mut frames| async move {
        let frame = frames.next().await?;
        Some((Ok::<_, Infallible>(frame), frames))
    });
    let headers = [(CONTENT_TYPE, "text/event-stream; charset=utf-8"), (CACHE_CONTROL, "no-cache")];
    Ok((headers, Body::from_stream(body)).into_response())
}

/// What the query asks for.
struct Wanted {
    kind: LogKind,
    tail: usize,
    follow: bool,
}

impl Wanted {
    fn read(call: &Call) -> Result<Self, ApiError> {
        let kind = match call.query("kind") {
            None | Some("console") => LogKind::Console,
            Some("system") => LogKind::System,
            Some(_) => return Err(ApiError::invalid("kind", "kind must be console or system")),
        };
        let tail = match call.query("tail").map(str::parse) {
            None => DEFAULT_TAIL,
            Some(Ok(tail)) if (1..=MAX_TAIL).contains(&tail) => tail,
            Some(_) => return Err(ApiError::invalid("tail", "tail must be a number from 1 to 300")),
        };
        let follow = match call.query("follow") {
            // The documented path has no parameters, and its streams stay open.
            None | Some("true") => true,
            Some("false") => false,
            Some(_) => return Err(ApiError::invalid("follow", "follow must be true or false")),
        };
        Ok(Self { kind, tail, follow })
    }
}

/// Frames to send, and where the next ones come from.
struct Frames {
    ready: VecDeque<Bytes>,
    /// `None` once there will be no more.
    reader: Option<LogReader>,
    follow: bool,
}

impl Frames {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(frame) = self.ready.pop_front() {
                return Some(frame);
            }
            let reader = self.reader.as_mut()?;
            if !self.follow {
                let read = reader.take();
                self.reader = None;
                self.add(read);
                continue;
            }
            match timeout(KEEP_ALIVE, reader.next()).await {
                Ok(Some(read)) => self.add(read),
                Ok(None) => self.reader = None,
                Err(_) => return Some(status(KEEP_ALIVE_MESSAGE)),
            }
        }
    }

    fn add(&mut self, read: Read) {
        if read.lost > 0 {
            self.ready.push_back(status(&format!("{} lines came too fast and are left out", read.lost)));
        }
        let lines = read.lines.into_iter().map(|line| log(line.at, line.stream, &line.message));
        self.ready.extend(lines);
    }
}

/// The preamble, and for the console how the connection to the container went.
fn opening(agent: &str, session: &Session, kind: LogKind) -> Vec<Bytes> {
    let record = session.record();
    let state = match record.status {
        Status::Creating => "Creating",
        Status::Active => "Running",
        Status::Idle => "Idle",
        Status::Failed => "Failed",
        Status::Expired => "Expired",
        Status::Deleted => "Deleted",
    };
    let accessed = OffsetDateTime::from_unix_timestamp(record.last_accessed_at / 1000).ok();
    let mut frames = vec![frame(&json!({
        "timestamp": stamp(OffsetDateTime::now_utc()),
        "session_id": record.id,
        "session_state": state,
        "agent": agent,
        "version": record.agent_version,
        "last_accessed": accessed.and_then(|at| at.format(&Rfc3339).ok()),
    }))];
    if kind == LogKind::Console {
        frames.push(status(CONNECTING));
        if record.status == Status::Active {
            frames.push(status(CONNECTED));
        }
    }
    frames
}

fn status(message: &str) -> Bytes {
    log(OffsetDateTime::now_utc(), LogStream::Status, message)
}

fn log(at: OffsetDateTime, stream: LogStream, message: &str) -> Bytes {
    frame(&json!({"timestamp": stamp(at), "stream": stream.name(), "message": message}))
}

fn frame(data: &Value) -> Bytes {
    Bytes::from(format!("event: log\ndata: {data}\n\n"))
}

/// RFC 3339 with microseconds, UTC. Always as many digits, so that a repeated line is the same text.
fn stamp(at: OffsetDateTime) -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");
    at.format(format).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::LogSink;

    #[tokio::test(start_paused = true)]
    async fn a_silent_stream_says_every_minute_that_it_is_one() {
        let sink = LogSink::default();
        let reader = Some(sink.read(LogKind::Console, 1));
        let mut frames = Frames { ready: VecDeque::new(), reader, follow: true };
        let began = tokio::time::Instant::now();
        for minute in 1..=2 {
            let frame = frames.next().await.unwrap();
            assert!(String::from_utf8_lossy(&frame).contains("No logs since last 60 seconds"));
            assert_eq!(began.elapsed(), KEEP_ALIVE * minute);
        }
        sink.push(LogStream::Stdout, "two\nlines");
        let frame = String::from_utf8(frames.next().await.unwrap().to_vec()).unwrap();
        assert!(frame.ends_with("\"stream\":\"stdout\",\"message\":\"two\\nlines\"}\n\n"), "{frame}");
        sink.close();
        assert!(frames.next().await.is_none());
    }
}
