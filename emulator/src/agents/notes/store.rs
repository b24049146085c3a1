//! Responses by id. They outlive the containers that made them, as a session's may go idle and resume.

use super::run::Run;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Responses kept. Enough for a day of trying things out; the oldest finished one goes first.
const MAX_RESPONSES: usize = 1000;

/// The responses of one kind of agent.
#[derive(Debug, Default)]
pub(super) struct Store {
    // Never held across an await.
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    by_id: HashMap<String, Arc<Run>>,
    /// Ids, oldest first. Holds exactly the keys of `by_id`.
    order: VecDeque<String>,
}

impl Store {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a run, making room when needed. A run in flight is never dropped, so the bound may be passed by those.
    pub(super) fn put(&self, run: Arc<Run>) {
        let mut kept = self.kept();
        let id = run.head.id.clone();
        if kept.by_id.insert(id.clone(), run).is_none() {
            kept.order.push_back(id);
        }
        if kept.by_id.len() > MAX_RESPONSES {
            let oldest = kept.order.iter().find(|id| kept.by_id.get(*id).is_some_and(|run| run.has_ended())).cloned();
            if let Some(id) = oldest {
                kept.remove(&id);
            }
        }
    }

    /// The run of an id.
    pub(super) fn get(&self, id: &str) -> Option<Arc<Run>> {
        self.kept().by_id.get(id).cloned()
    }

    /// Forgets a run.
    pub(super) fn remove(&self, id: &str) {
        self.kept().remove(id);
    }
}

impl Kept {
    fn remove(&mut self, id: &str) {
        if self.by_id.remove(id).is_some() {
            self.order.retain(|kept| kept != id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::answer::Answer;
    use super::super::object::Head;
    use super::super::run::{Mode, Owner};
    use super::*;
    use tokio_util::sync::CancellationToken;

    fn run(id: &str) -> Arc<Run> {
        let head = Head {
            id: id.to_owned(),
            created_at: 0,
            model: String::new(),
            instructions: None,
            metadata: None,
            previous_response_id: None,
            conversation: None,
            background: true,
            agent_reference: None,
            session_id: String::new(),
        };
        let mode = Mode { background: true, stream: false };
        Arc::new(Run::new(head, mode, Owner::Nobody, Vec::new(), Vec::new(), CancellationToken::new()))
    }

    #[tokio::test]
    async fn the_oldest_finished_response_goes_first() {
        let store = Store::default();
        store.put(run("running"));
        for number in 0..MAX_RESPONSES {
            let run = run(&number.to_string());
            run.perform(Answer::text("done")).await;
            store.put(run);
        }
        assert!(store.get("running").is_some());
        assert!(store.get("0").is_none());
        assert!(store.get("1").is_some());
        assert!(store.get(&(MAX_RESPONSES - 1).to_string()).is_some());
    }
}
