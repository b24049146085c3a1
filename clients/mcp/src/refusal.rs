//! Why a tool did not do what it was asked, for people and models.

use crate::text::{self, UNTRUSTED};
use cupola_cli::CallFailure;
use cupola_protocol::error::{ErrorKind, Turn};
use rmcp::model::{CallToolResult, ContentBlock};

/// Why a tool failed.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) kind: ErrorKind,
    message: String,
    advice: Option<String>,
    turn: Option<Turn>,
}

impl Refusal {
    pub(crate) fn new(kind: ErrorKind, message: String) -> Self {
        Self { kind, message, advice: None, turn: None }
    }

    /// The arguments cannot be used.
    pub(crate) fn arguments(message: &str) -> Self {
        Self::new(ErrorKind::InvalidParams, format!("the arguments are not valid: {message}"))
    }

    /// For people and models, in lines.
    pub(crate) fn words(&self) -> String {
        let kind = serde_json::to_value(self.kind).unwrap_or_default();
        let mut words = format!("error: {}\nkind: {}", text::short(&self.message), kind.as_str().unwrap_or("unknown"));
        if let Some(turn) = self.turn {
            words.push_str("\nturn: ");
            words.push_str(turn.name());
        }
        for line in self.advice.as_deref().unwrap_or_default().lines() {
            words.push_str("\nhint: ");
            words.push_str(&text::line(line));
        }
        words
    }

    /// Is the thing that was named not there, or not this server's?
    pub(crate) fn is_about_the_id(&self) -> bool {
        matches!(
            self.kind,
            ErrorKind::NotFound
                | ErrorKind::SessionNotFound
                | ErrorKind::AgentNotFound
                | ErrorKind::OutOfBounds
                | ErrorKind::InvalidParams
        )
    }

    pub(crate) fn result(&self) -> CallToolResult {
        let words = format!("{}\n{UNTRUSTED}", self.words());
        CallToolResult::error(vec![ContentBlock::text(words)])
    }
}

impl From<CallFailure> for Refusal {
    fn from(CallFailure { kind, message, advice, turn }: CallFailure) -> Self {
        Self { kind, message, advice, turn }
    }
}
