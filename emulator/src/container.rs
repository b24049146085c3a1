//! What the gateway asks of an agent: start a container for a session, hand it HTTP requests, stop it.
//!
//! Every kind of agent is a [`Runtime`]: `builtin:notes` answers inside this process, `exec:` starts a command per
//! session, `url:` points at an agent that is already running. The gateway treats them alike, as the service does:
//! it speaks the container's HTTP routes (`/responses`, `/invocations`, contract section 16) and passes bodies through
//! unchanged.

use crate::hooks::Connection;
use crate::logs::LogSink;
use crate::variables::Refused;
use axum::body::Body;
use futures_util::future::BoxFuture;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// What a container is told about the session it serves.
#[derive(Debug, Clone)]
pub struct SandboxContext {
    /// The agent's name (`FOUNDRY_AGENT_NAME`).
    pub agent: String,
    /// The version this session is bound to (`FOUNDRY_AGENT_VERSION`).
    pub version: String,
    /// The session (`FOUNDRY_AGENT_SESSION_ID`).
    pub session_id: String,
    /// The session's home directory, which outlives the container (`HOME`).
    pub home: PathBuf,
    /// Where agent servers keep what outlives sessions: responses, their items and streams (`AGENTSERVER_STATE_ROOT`). All
    /// sessions of the agent share it, as hosted ones share the service's storage.
    pub state_root: PathBuf,
    /// More environment variables: those of the agent version's definition, and those that every hosted container gets.
    pub environment: BTreeMap<String, String>,
    /// Where the container's output and its lifecycle go.
    pub logs: LogSink,
}

/// A kind of agent: makes one container per session.
pub trait Runtime: Send + Sync {
    /// Starts a container and waits until it answers `GET /readiness`.
    fn start(&self, context: SandboxContext) -> BoxFuture<'_, Result<Arc<dyn Container>, StartError>>;

    /// Whether an agent version that a client posts may have these environment variables? A runtime that hands them to a process must
    /// say no to all that its operator did not allow.
    fn admit(&self, variables: &BTreeMap<String, String>) -> Result<(), Refused> {
        let _ = variables;
        Ok(())
    }

    /// Does a container run the agent's sources as they were when it was started? Then it is replaced when they change.
    fn runs_sources(&self) -> bool {
        false
    }
}

/// A running container.
pub trait Container: Send + Sync {
    /// Answers one request whose path is one of the container's own, for example `POST /responses`.
    /// Dropping the answer's body drops the connection, which cancels a foreground run. The answer to a WebSocket's handshake,
    /// if it is 101, has the connection as [`Upgraded`].
    fn call(&self, request: http::Request<Body>) -> BoxFuture<'_, Result<http::Response<Body>, CallError>>;

    /// Ends the container: asked to stop, given its grace period, then killed. Its home stays.
    fn stop(&self) -> BoxFuture<'_, ()>;
}

/// In the extensions of a request that the gateway makes for itself, of which the service's containers know nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OwnQuestion;

/// A container's end of a connection that its 101 answer has made a WebSocket: in that answer's extensions, to be taken once.
#[derive(Clone)]
pub struct Upgraded(Arc<Mutex<Option<Box<dyn Connection>>>>);

impl Upgraded {
    /// The end that the gateway reads from and writes to.
    pub fn new(connection: impl Connection + 'static) -> Self {
        Self(Arc::new(Mutex::new(Some(Box::new(connection)))))
    }

    /// The connection, unless it was already taken.
    pub fn take(&self) -> Option<Box<dyn Connection>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Why a container did not come up.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The command could not be started at all.
    #[error("the agent command {command:?} could not be started: {source}")]
    Spawn {
        /// The command as configured.
        command: String,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// The process ended before it was ready.
    #[error("the agent crashed while it started: {status}{}", last_lines(output))]
    Exited {
        /// Its exit code or the signal that ended it.
        status: String,
        /// The last lines it wrote; empty if it wrote none.
        output: String,
    },
    /// `GET /readiness` did not succeed in time.
    #[error("the agent did not answer GET /readiness within {seconds} s")]
    NotReady {
        /// How long it was waited for.
        seconds: u64,
    },
    /// The session's home could not be prepared.
    #[error("the session's home {path:?} could not be prepared: {source}")]
    Home {
        /// The directory.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
}

impl StartError {
    /// The same in one line, without what the agent wrote: its log has that already.
    pub(crate) fn summary(&self) -> String {
        match self {
            Self::Exited { status, .. } => format!("the agent crashed while it started: {status}"),
            other => other.to_string(),
        }
    }
}

/// What follows on the way an agent ended: the last lines that it wrote.
fn last_lines(output: &str) -> String {
    if output.is_empty() { "; it wrote nothing".to_owned() } else { format!("; its last lines:\n{output}") }
}

/// Why a container gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Nothing listens any more.
    #[error("the agent's container is gone: {0}")]
    Gone(String),
    /// The agent ended while it worked on the request.
    #[error("the agent crashed while it answered: {status}{}", last_lines(output))]
    Crashed {
        /// Its exit code or the signal that ended it.
        status: String,
        /// The last lines it wrote; empty if it wrote none.
        output: String,
    },
    /// The connection broke before an answer.
    #[error("the connection to the agent's container broke: {0}")]
    Broken(String),
}
