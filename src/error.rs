//! Why a call failed: one type from the bottom of the daemon to the table of methods.
//!
//! The latest failures are kept ([`recent`]), for `daemon/status`.
//!
//! The layers below have their own error types; `rpc::error` turns each of them into this one, with its kind and what to do about it.

pub mod recent;

use cupola_protocol::error::{ErrorData, ErrorKind, Turn};
use cupola_protocol::id::RunId;

/// A failure as the caller gets it. The code follows from the kind, `retryable` from the kind and the turn.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CallError {
    /// What happened, for people.
    pub message: String,
    /// The rest, for programs. Boxed to keep every `Result` small.
    pub data: Box<ErrorData>,
}

impl CallError {
    /// A failure of a kind, with what happened in words.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { message: message.into(), data: Box::new(ErrorData::new(kind)) }
    }

    /// The kind of failure.
    pub fn kind(&self) -> ErrorKind {
        self.data.kind
    }

    /// What happened, for people.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.data.hint = Some(hint.into());
        self
    }

    /// Adds the run that had begun.
    #[must_use]
    pub fn of_run(mut self, run: RunId) -> Self {
        self.data.run_id = Some(run);
        self
    }

    /// Says whether the turn ran, unless that is said already.
    #[must_use]
    pub fn of_turn(mut self, turn: Turn) -> Self {
        if self.data.turn.is_none() {
            self.data.set_turn(turn);
        }
        self
    }

    /// A parameter is missing or breaks its rule.
    pub fn invalid_params(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidParams, message)
    }

    /// The message is JSON, but no request.
    pub fn invalid_request(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidRequest, message)
    }

    /// The bytes were not JSON, or not framed as the protocol requires.
    pub fn parse(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::ParseError, message)
    }

    /// A defect in the daemon. The message must not repeat anything the caller sent.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InternalError, message)
            .hint("this is a defect in cupola; its log says more when started with --log debug")
    }

    /// The caller cancelled the call.
    pub fn cancelled() -> Self {
        Self::new(ErrorKind::Cancelled, "the call was cancelled")
    }

    /// The same failure, recognised as another kind, with its cause as the hint.
    #[must_use]
    pub fn because(mut self, kind: ErrorKind, hint: impl Into<String>) -> Self {
        self.data.set_kind(kind);
        self.hint(hint)
    }

    /// The daemon is stopping, and ended a call that it had begun.
    pub fn cut_by_shutdown() -> Self {
        let mut error = Self::new(ErrorKind::ShuttingDown, "the daemon stopped before the call had ended")
            .hint("check what it has done before you send it again");
        error.data.retryable = false;
        error
    }

    /// The daemon is stopping, and does not begin the call.
    pub fn shutting_down() -> Self {
        Self::new(ErrorKind::ShuttingDown, "the daemon is stopping").hint("connect again: a new daemon will answer")
    }
}
