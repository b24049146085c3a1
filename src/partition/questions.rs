//! What agents asked and nobody has answered yet, per partition: kept in saved state, so that the next daemon, and another one on the same
//! shared store, know of it.
//!
//! A question is answered once: the first caller claims it, and others are refused while the answer is on its way. If the answer
//! turns out not to have been sent, the question is open again. It stays claimed if the daemon is killed meanwhile: the answer may have
//! been sent.

use cupola_protocol::id::{ConversationId, ResponseId};
use cupola_protocol::question::Question;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Most questions that are kept for one partition: far more than an agent asks in one turn. The oldest is forgotten first.
pub const MAX_QUESTIONS: usize = 64;

/// How long a question is kept: a working day, and the night before somebody looks.
pub const KEPT_FOR: Duration = Duration::from_hours(24);

/// Where a question was asked: what its answer continues.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskedIn {
    /// The conversation, or the context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<ConversationId>,
    /// The response, for one that was asked outside a conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<ResponseId>,
}

/// A question, and where it was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// What the agent asked.
    pub question: Question,
    /// Where.
    pub asked_in: AskedIn,
}

/// Why a question cannot be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotOpen {
    /// It was not asked in this partition, or too long ago.
    Unknown,
    /// It has an answer, or one is on its way.
    Answered,
}

/// What was asked, or the first question that is not open, and why.
pub type Claimed = Result<Vec<Asked>, (String, NotOpen)>;
