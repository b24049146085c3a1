//! What agents asked and nobody has answered yet, per partition, and which responses are whose. In memory: the questions of runs that
//! outlive the daemon are known again when the next one reads those, and an agent that asked in another run is asked again.
//!
//! A question is answered once: the first caller claims it, and others are refused while the answer is on its way. If the answer
//! turns out not to have been sent, the question is open again.

use super::{AgentKey, Owner, Partition};
use cupola_protocol::id::{ConversationId, ResponseId};
use cupola_protocol::question::Question;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Most questions that are kept for one partition: far more than an agent asks in one turn.
pub const MAX_QUESTIONS: usize = 64;

/// Most partitions with questions. The one that asked first is forgotten first.
const MAX_PARTITIONS: usize = 1000;

/// Most responses whose owner is remembered.
const MAX_RESPONSES: usize = 10_000;

/// Where a question was asked: what its answer continues.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AskedIn {
    /// The conversation, or the context.
    pub conversation: Option<ConversationId>,
    /// The response, for one that was asked outside a conversation.
    pub response: Option<ResponseId>,
}

/// How far a question is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// An answer is on its way.
    Claimed,
    Answered,
}

#[derive(Debug)]
struct Known {
    question: Question,
    asked_in: AskedIn,
    state: State,
}

/// Why a question cannot be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotOpen {
    /// It was not asked in this partition, or too long ago.
    Unknown,
    /// It has an answer, or one is on its way.
    Answered,
}

#[derive(Debug, Default)]
struct Kept {
    questions: HashMap<Partition, VecDeque<Known>>,
    /// The partitions, the one that asked first at the front.
    order: VecDeque<Partition>,
    owners: HashMap<(AgentKey, ResponseId), Owner>,
    responses: VecDeque<(AgentKey, ResponseId)>,
}

/// All of them.
#[derive(Debug, Clone, Default)]
pub struct Questions {
    // Never held across an await.
    kept: Arc<Mutex<Kept>>,
}

/// Questions that one call answers. Dropping it opens them again, unless [`Self::was_sent`] says otherwise.
pub struct Claim {
    questions: Questions,
    partition: Partition,
    ids: Vec<String>,
    was_sent: Box<dyn Fn() -> bool + Send + Sync>,
}

/// A claim, and what was asked where.
pub type Claimed = (Claim, Vec<(Question, AskedIn)>);

impl Questions {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The agent asks.
    pub fn ask(&self, partition: &Partition, question: Question, asked_in: AskedIn) {
        let mut kept = self.kept();
        if !kept.questions.contains_key(partition) {
            kept.order.push_back(partition.clone());
            if kept.order.len() > MAX_PARTITIONS
                && let Some(oldest) = kept.order.pop_front()
            {
                kept.questions.remove(&oldest);
            }
        }
        let asked = kept.questions.entry(partition.clone()).or_default();
        asked.retain(|known| known.question.id != question.id);
        asked.push_back(Known { question, asked_in, state: State::Open });
        if asked.len() > MAX_QUESTIONS {
            asked.pop_front();
        }
    }

    /// As [`Self::ask`], of a run that is read again: a question that is known stays as it is, also if it has an answer.
    pub fn ask_again(&self, partition: &Partition, question: Question, asked_in: AskedIn) {
        let is_known = {
            let kept = self.kept();
            let asked = kept.questions.get(partition);
            asked.is_some_and(|asked| asked.iter().any(|known| known.question.id == question.id))
        };
        if !is_known {
            self.ask(partition, question, asked_in);
        }
    }

    /// Takes questions to answer them: all, or none. Gives what was asked, and where.
    pub fn claim(
        &self,
        partition: &Partition,
        ids: &[&str],
        was_sent: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Result<Claimed, (String, NotOpen)> {
        let mut kept = self.kept();
        let mut none = VecDeque::new();
        let asked = kept.questions.get_mut(partition).unwrap_or(&mut none);
        let mut found = Vec::new();
        for id in ids {
            let known = asked.iter().find(|known| known.question.id == *id);
            match known {
                Some(known) if known.state == State::Open => {
                    found.push((known.question.clone(), known.asked_in.clone()));
                }
                Some(_) => return Err(((*id).to_owned(), NotOpen::Answered)),
                None => return Err(((*id).to_owned(), NotOpen::Unknown)),
            }
        }
        set(asked, ids, State::Claimed);
        drop(kept);
        let ids = ids.iter().map(|id| (*id).to_owned()).collect();
        let claim = Claim { questions: self.clone(), partition: partition.clone(), ids, was_sent: Box::new(was_sent) };
        Ok((claim, found))
    }

    /// The latest open question of this partition that `is_meant`.
    pub fn latest(&self, partition: &Partition, is_meant: impl Fn(&Question, &AskedIn) -> bool) -> Option<Question> {
        let kept = self.kept();
        let mut asked = kept.questions.get(partition)?.iter().rev();
        asked
            .find(|known| known.state == State::Open && is_meant(&known.question, &known.asked_in))
            .map(|known| known.question.clone())
    }

    /// Those of these questions that are open in this partition.
    pub fn open(&self, partition: &Partition, ids: &[String]) -> Vec<Question> {
        let kept = self.kept();
        let asked = kept.questions.get(partition).into_iter().flatten();
        let open = asked.filter(|known| known.state == State::Open && ids.contains(&known.question.id));
        open.map(|known| known.question.clone()).collect()
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
    pub fn response_owner(&self, agent: &AgentKey, response: &ResponseId) -> Option<Owner> {
        self.kept().owners.get(&(agent.clone(), response.clone())).copied()
    }
}

fn set(asked: &mut VecDeque<Known>, ids: &[impl AsRef<str>], state: State) {
    for known in asked {
        if ids.iter().any(|id| id.as_ref() == known.question.id) {
            known.state = state;
            if state == State::Answered {
                // Nobody asks for them again.
                (known.question.arguments, known.question.message) = (None, None);
            }
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let state = if (self.was_sent)() { State::Answered } else { State::Open };
        if let Some(asked) = self.questions.kept().questions.get_mut(&self.partition) {
            set(asked, &self.ids, state);
        }
    }
}

impl std::fmt::Debug for Claim {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Claim").field("ids", &self.ids).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cupola_protocol::question::QuestionKind;
    use cupola_protocol::target::Target;

    fn partition(owner: u8) -> Partition {
        let target: Target = serde_json::from_str(r#"{"kind":"emulator"}"#).unwrap();
        Partition { agent: AgentKey::new(&target), owner: Owner([owner; 32]), version: None }
    }

    fn question(id: &str) -> Question {
        let kind = QuestionKind::Approval;
        Question { id: id.to_owned(), kind, message: None, tool: None, server: None, arguments: None, url: None }
    }

    #[test]
    fn the_first_answer_counts_and_only_where_it_was_asked() {
        let (questions, mine, yours) = (Questions::default(), partition(1), partition(2));
        questions.ask(&mine, question("a"), AskedIn::default());
        let refused = |partition, ids: &[&str]| questions.claim(partition, ids, || true).map(|_| ()).unwrap_err().1;
        assert_eq!(refused(&yours, &["a"]), NotOpen::Unknown);
        assert_eq!(refused(&mine, &["a", "b"]), NotOpen::Unknown);
        // An answer that was not sent leaves the question open.
        drop(questions.claim(&mine, &["a"], || false).unwrap());
        let (claim, asked) = questions.claim(&mine, &["a"], || true).unwrap();
        assert_eq!(asked[0].0.id, "a");
        assert_eq!(refused(&mine, &["a"]), NotOpen::Answered);
        drop(claim);
        assert_eq!(refused(&mine, &["a"]), NotOpen::Answered);
    }

    #[test]
    fn a_question_that_is_read_again_keeps_its_answer() {
        let (questions, mine) = (Questions::default(), partition(1));
        questions.ask_again(&mine, question("a"), AskedIn::default());
        drop(questions.claim(&mine, &["a"], || true).unwrap());
        questions.ask_again(&mine, question("a"), AskedIn::default());
        assert_eq!(questions.claim(&mine, &["a"], || true).map(|_| ()).unwrap_err().1, NotOpen::Answered);
        questions.ask(&mine, question("a"), AskedIn::default());
        assert!(questions.claim(&mine, &["a"], || true).is_ok(), "the agent asks for it once more");
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let (questions, mine) = (Questions::default(), partition(1));
        for number in 0..=MAX_QUESTIONS {
            questions.ask(&mine, question(&number.to_string()), AskedIn::default());
        }
        assert_eq!(questions.claim(&mine, &["0"], || true).map(|_| ()).unwrap_err().1, NotOpen::Unknown);
        assert!(questions.claim(&mine, &["1"], || true).is_ok());
        for number in 0..=MAX_RESPONSES {
            questions.answered_with(&mine, &format!("r{number}").parse().unwrap());
        }
        let owner = |id: &str| questions.response_owner(&mine.agent, &id.parse().unwrap());
        assert_eq!((owner("r0"), owner("r1")), (None, Some(mine.owner)));
    }
}
