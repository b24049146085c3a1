//! What agents asked and nobody has answered yet, per partition: kept in saved state, so that the next daemon, and another one on the same
//! shared store, know of it. And which responses are whose, which is kept in memory.
//!
//! A question is answered once: the first caller claims it, and others are refused while the answer is on its way. If the answer
//! turns out not to have been sent, the question is open again. It stays claimed if the daemon is killed meanwhile: the answer may have
//! been sent.

use super::{AgentKey, Owner, Partition};
use cupola_protocol::id::{ConversationId, ResponseId};
use cupola_protocol::question::Question;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Most questions that are kept for one partition: far more than an agent asks in one turn. The oldest is forgotten first.
pub const MAX_QUESTIONS: usize = 64;

/// How long a question is kept: a working day, and the night before somebody looks.
pub const KEPT_FOR: Duration = Duration::from_hours(24);

/// Most responses whose owner is remembered.
const MAX_RESPONSES: usize = 10_000;

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

#[derive(Debug, Default)]
struct Kept {
    owners: HashMap<(AgentKey, ResponseId), Owner>,
    responses: VecDeque<(AgentKey, ResponseId)>,
}

/// Whose the latest responses are.
#[derive(Debug, Clone, Default)]
pub struct Responses {
    // Never held across an await.
    kept: Arc<Mutex<Kept>>,
}

impl Responses {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers whose a response is.
    pub fn answered_with(&self, partition: &Partition, response: &ResponseId) {
        let mut kept = self.kept();
        let key = (partition.agent.clone(), response.clone());
        if kept.owners.insert(key.clone(), partition.owner).is_none() {
            kept.responses.push_back(key);
            if kept.responses.len() > MAX_RESPONSES
                && let Some(oldest) = kept.responses.pop_front()
            {
                kept.owners.remove(&oldest);
            }
        }
    }

    /// Whose a response is, if that is remembered.
    pub fn owner(&self, agent: &AgentKey, response: &ResponseId) -> Option<Owner> {
        self.kept().owners.get(&(agent.clone(), response.clone())).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cupola_protocol::target::Target;

    #[test]
    fn the_owners_of_the_latest_responses_are_remembered() {
        let target: Target = serde_json::from_str(r#"{"kind":"emulator"}"#).unwrap();
        let mine = Partition { agent: AgentKey::new(&target), owner: Owner([1; 32]), version: None };
        let responses = Responses::default();
        for number in 0..=MAX_RESPONSES {
            responses.answered_with(&mine, &format!("r{number}").parse().unwrap());
        }
        let owner = |id: &str| responses.owner(&mine.agent, &id.parse().unwrap());
        assert_eq!((owner("r0"), owner("r1")), (None, Some(mine.owner)));
    }
}
