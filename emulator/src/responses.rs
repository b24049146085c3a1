//! Which session answers for which response id, and whose it is (contract sections 7.5 and 13).

use crate::error::ApiError;
use crate::isolation::Partition;
use crate::session::Session;
use crate::sessions::Sessions;
use crate::store;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The file beside a session's home that lists its responses, one JSON object a line.
const FILE: &str = "responses.jsonl";

/// Responses of one agent that can be found, newest first: about 50 bytes each in memory. The bundled agent itself keeps
/// far fewer.
const MAX_KNOWN: usize = 50_000;

/// Inputs that wait for their responses to end. More only gather when clients leave theirs unfinished, and then the oldest
/// never gets into its conversation.
const MAX_PENDING: usize = 256;

/// What the gateway knows of a response.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) id: String,
    #[serde(skip)]
    pub(crate) session_id: String,
    pub(crate) partition: Partition,
    pub(crate) conversation: Option<String>,
    /// False for `store: false`: never found again, by GET or as a previous response.
    pub(crate) stored: bool,
    #[serde(default)]
    pub(crate) deleted: bool,
}

/// The responses behind one agent's endpoint, by id. What is known of each lies beside its session; here is only where.
pub(crate) struct ResponseIndex {
    known: Mutex<Known>,
    /// Makes the fingerprint of an id. It is random, so that callers cannot choose ids with the same fingerprint.
    hasher: RandomState,
    pending: Mutex<VecDeque<Pending>>,
}

#[derive(Default)]
struct Known {
    places: HashMap<u64, Place>,
    /// Their keys, oldest first; may name some that are gone.
    order: VecDeque<u64>,
}

/// Where a response's entry is: its line in a session's file.
struct Place {
    session: Arc<Session>,
    line: u64,
}

/// A response's input, until its conversation has it. Not kept on disk: a run does not outlive the emulator.
struct Pending {
    id: String,
    conversation: String,
    input: Vec<Value>,
}

impl ResponseIndex {
    /// Finds the responses of the sessions an earlier run left.
    pub(crate) fn load(sessions: &Sessions) -> Self {
        let index = Self { known: Mutex::default(), hasher: RandomState::new(), pending: Mutex::default() };
        for session in sessions.all() {
            for (line, entry) in store::lines::<Entry>(&session.directory().join(FILE)) {
                let key = index.key(&entry.id);
                if entry.deleted {
                    index.lock().places.remove(&key);
                } else {
                    index.lock().put(key, Place { session: Arc::clone(&session), line });
                }
            }
        }
        index
    }

    /// Writes a response down before its run starts, so that it can be found while it runs. `input` goes into its
    /// conversation when it has ended.
    pub(crate) fn add(&self, entry: &Entry, input: Option<Vec<Value>>, session: &Arc<Session>) -> Result<(), ApiError> {
        let line = store::append(&session.directory().join(FILE), entry).map_err(ApiError::internal)?;
        self.lock().put(self.key(&entry.id), Place { session: Arc::clone(session), line });
        if let (Some(input), Some(conversation)) = (input, entry.conversation.clone()) {
            let mut pending = self.pending();
            if pending.len() == MAX_PENDING {
                pending.pop_front();
            }
            pending.push_back(Pending { id: entry.id.clone(), conversation, input });
        }
        Ok(())
    }

    /// Makes a response known under another id too: a container may choose its own.
    pub(crate) fn alias(&self, id: &str, alias: &str, session: &Arc<Session>) {
        let Some(mut entry) = self.find(id) else { return };
        if self.find(alias).is_some() {
            return;
        }
        alias.clone_into(&mut entry.id);
        let input = self.take_pending(id).map(|(_, input)| input);
        if let Err(error) = self.add(&entry, input, session) {
            tracing::error!(?error, "a response's own id could not be written down");
        }
    }

    pub(crate) fn get(&self, id: &str) -> Option<Entry> {
        self.find(id).filter(|entry| entry.stored)
    }

    fn find(&self, id: &str) -> Option<Entry> {
        let (session, line) = {
            let known = self.lock();
            let place = known.places.get(&self.key(id))?;
            (Arc::clone(&place.session), place.line)
        };
        let entry: Entry = store::read_at(&session.directory().join(FILE), line)?;
        (entry.id == id).then(|| Entry { session_id: session.id().to_owned(), ..entry })
    }

    /// Hands out a response's input for its conversation, once.
    pub(crate) fn take_pending(&self, id: &str) -> Option<(String, Vec<Value>)> {
        let mut pending = self.pending();
        let at = pending.iter().position(|pending| pending.id == id)?;
        pending.remove(at).map(|pending| (pending.conversation, pending.input))
    }

    pub(crate) fn delete(&self, id: &str, session: &Session) {
        let Some(mut entry) = self.find(id) else { return };
        self.take_pending(id);
        self.lock().places.remove(&self.key(id));
        entry.deleted = true;
        if let Err(error) = store::append(&session.directory().join(FILE), &entry) {
            tracing::error!(%error, "a response's deletion could not be written down");
        }
    }

    /// Forgets the responses of a session that is gone.
    pub(crate) fn forget_session(&self, session_id: &str) {
        let mut known = self.lock();
        known.places.retain(|_, place| place.session.id() != session_id);
        let Known { places, order } = &mut *known;
        order.retain(|key| places.contains_key(key));
    }

    fn key(&self, id: &str) -> u64 {
        self.hasher.hash_one(id)
    }

    fn pending(&self) -> MutexGuard<'_, VecDeque<Pending>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn put(&mut self, key: u64, place: Place) {
        if self.places.insert(key, place).is_none() {
            self.order.push_back(key);
        }
        while self.order.len() > MAX_KNOWN {
            if let Some(oldest) = self.order.pop_front() {
                self.places.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sessions::NewSession;

    fn entry(id: &str) -> Entry {
        Entry {
            id: id.to_owned(),
            session_id: String::new(),
            partition: Partition::Own("ann".to_owned()),
            conversation: Some("conv_1".to_owned()),
            stored: true,
            deleted: false,
        }
    }

    fn session(sessions: &Sessions) -> Arc<Session> {
        let partition = Partition::Own("ann".to_owned());
        let new = NewSession { id: None, agent_version: "1".to_owned(), partition, owner: String::new(), now: 0 };
        sessions.create(new).unwrap()
    }

    #[test]
    fn responses_are_found_again_after_a_restart_except_deleted_ones() {
        let directory = tempfile::tempdir().unwrap();
        let session_id = {
            let sessions = Sessions::load(directory.path());
            let session = session(&sessions);
            let index = ResponseIndex::load(&sessions);
            for id in ["a", "b", "c"] {
                index.add(&entry(id), None, &session).unwrap();
            }
            index.alias("c", "d", &session);
            index.delete("b", &session);
            session.id().to_owned()
        };
        let index = ResponseIndex::load(&Sessions::load(directory.path()));
        let found = ["a", "b", "c", "d"].map(|id| index.get(id).map(|entry| entry.session_id));
        assert_eq!(found, [Some(session_id.clone()), None, Some(session_id.clone()), Some(session_id.clone())]);
        index.forget_session(&session_id);
        assert!(index.get("a").is_none());
    }

    #[test]
    fn input_that_nobody_takes_is_bounded() {
        let directory = tempfile::tempdir().unwrap();
        let sessions = Sessions::load(directory.path());
        let (session, index) = (session(&sessions), ResponseIndex::load(&sessions));
        for number in 0..=MAX_PENDING {
            index.add(&entry(&number.to_string()), Some(vec![number.into()]), &session).unwrap();
        }
        assert!(index.take_pending("0").is_none());
        assert_eq!(index.take_pending("1"), Some(("conv_1".to_owned(), vec![1.into()])));
        assert!(index.take_pending("1").is_none());
    }

    #[test]
    fn the_places_of_responses_are_bounded() {
        let directory = tempfile::tempdir().unwrap();
        let sessions = Sessions::load(directory.path());
        let session = session(&sessions);
        let mut known = Known::default();
        for key in 0..=MAX_KNOWN as u64 {
            known.put(key, Place { session: Arc::clone(&session), line: 0 });
        }
        assert_eq!((known.places.len(), known.order.len()), (MAX_KNOWN, MAX_KNOWN));
        assert!(!known.places.contains_key(&0) && known.places.contains_key(&(MAX_KNOWN as u64)));
    }
}
