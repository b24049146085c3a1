//! What agents asked and nobody has answered yet, per partition: kept in saved state, so that the next daemon, and another one on the same
//! shared store, know of it. And which responses are whose, which is kept in memory.
//!
//! A question is answered once: the first caller claims it, and others are refused while the answer is on its way. If the answer
//! turns out not to have been sent, the question is open again. It stays claimed if the daemon is killed meanwhile: the answer may have
//! been sent.

use super::store::{Store, StoreError};
use super::{AgentKey, Owner, Partition};
use cupola_protocol::id::{ConversationId, ResponseId};
use cupola_protocol::question::Question;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

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

/// Saved questions.
pub trait QuestionStore {
    /// The agent asks in a partition. `again`: the run is read again, so a question that is known stays as it is, also if it has an
    /// answer.
    fn ask(&self, partition: &Partition, asked: &[Asked], again: bool) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Takes questions to answer them: all, or none. Gives what was asked, or the first that is not open. `claim` is a new name, which
    /// settles them later.
    fn claim_questions(
        &self,
        partition: &Partition,
        claim: &str,
        ids: &[String],
    ) -> BoxFuture<'_, Result<Result<Vec<Asked>, (String, NotOpen)>, StoreError>>;

    /// The answers of questions that were claimed under this name were sent, and nobody asks for their text again; or they were not, and the questions
    /// are open again.
    fn settle_questions(
        &self,
        partition: &Partition,
        claim: &str,
        ids: &[String],
        were_sent: bool,
    ) -> BoxFuture<'_, Result<(), StoreError>>;

    /// The open questions of a partition, in the order in which they were asked.
    fn open_questions(&self, partition: &Partition) -> BoxFuture<'_, Result<Vec<Asked>, StoreError>>;
}

/// Questions that one call answers. [`Self::settle`] says what became of the answers; a call that ends without it settles them, too.
pub struct Claim {
    store: Arc<dyn Store>,
    tasks: TaskTracker,
    partition: Partition,
    name: String,
    ids: Vec<String>,
    were_sent: Box<dyn Fn() -> bool + Send + Sync>,
}

impl Claim {
    /// Takes questions to answer them. `were_sent` says in the end whether the answers were sent; `tasks` finishes what a call that was
    /// cancelled leaves.
    pub async fn take(
        (store, tasks): (&Arc<dyn Store>, &TaskTracker),
        partition: &Partition,
        ids: Vec<String>,
        were_sent: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Result<Result<(Self, Vec<Asked>), (String, NotOpen)>, StoreError> {
        let (store, tasks, partition) = (Arc::clone(store), tasks.clone(), partition.clone());
        let name = Uuid::new_v4().simple().to_string();
        let asked = store.claim_questions(&partition, &name, &ids).await?;
        Ok(asked.map(|asked| (Self { store, tasks, partition, name, ids, were_sent: Box::new(were_sent) }, asked)))
    }

    /// Writes down what became of the answers.
    pub async fn settle(mut self) {
        let ids = std::mem::take(&mut self.ids);
        settle(&*self.store, &self.partition, &self.name, &ids, (self.were_sent)()).await;
    }
}

async fn settle(store: &dyn Store, partition: &Partition, claim: &str, ids: &[String], were_sent: bool) {
    if let Err(error) = store.settle_questions(partition, claim, ids, were_sent).await {
        tracing::warn!(%error, "whether questions of an agent were answered could not be written down");
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let ids = std::mem::take(&mut self.ids);
        if !ids.is_empty() {
            let (store, partition, claim) =
                (Arc::clone(&self.store), self.partition.clone(), std::mem::take(&mut self.name));
            let were_sent = (self.were_sent)();
            self.tasks.spawn(async move { settle(&*store, &partition, &claim, &ids, were_sent).await });
        }
    }
}

impl std::fmt::Debug for Claim {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Claim").field("ids", &self.ids).finish_non_exhaustive()
    }
}

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
