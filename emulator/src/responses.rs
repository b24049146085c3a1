//! Which session answers for which response id, and whose it is (contract sections 7.5 and 13).

use crate::error::ApiError;
use crate::isolation::Partition;
use crate::session::Session;
use crate::sessions::Sessions;
use crate::store;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher as _, Hash, RandomState};
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
///
/// An id is one partition's: containers may choose ids, and those of two users may be the same.
pub(crate) struct ResponseIndex {
    known: Mutex<Known>,
    /// Makes the fingerprint of an id. It is random, so that callers cannot choose ids with the same fingerprint.
    hasher: RandomState,
    pending: Mutex<VecDeque<Pending>>,
}

#[derive(Default)]
struct Known {
    /// By the fingerprint of the id. Nearly always one.
    places: HashMap<u64, Vec<Place>>,
    /// A key for each place, oldest first; may name some that are gone.
    order: VecDeque<u64>,
}

/// Where a response's entry is: its line in a session's file.
struct Place {
    session: Arc<Session>,
    line: u64,
    /// The fingerprint of the partition.
    owner: u64,
}

/// A response's input, until its conversation has it. Not kept on disk: a run does not outlive the emulator.
struct Pending {
    id: String,
    partition: Partition,
    conversation: String,
    input: Vec<Value>,
}

impl ResponseIndex {
    /// Finds the responses of the sessions an earlier run left.
    pub(crate) fn load(sessions: &Sessions) -> Self {
        let index = Self { known: Mutex::default(), hasher: RandomState::new(), pending: Mutex::default() };
        for session in sessions.all() {
            for (line, entry) in store::lines::<Entry>(&session.directory().join(FILE)) {
                if entry.deleted {
                    index.lock().remove(index.key(&entry.id), index.key(&entry.partition));
                } else {
                    index.put(&entry, &session, line);
                }
            }
        }
        index
    }

    /// Writes a response down before its run starts, so that it can be found while it runs. `input` goes into its
    /// conversation when it has ended.
    pub(crate) fn add(&self, entry: &Entry, input: Option<Vec<Value>>, session: &Arc<Session>) -> Result<(), ApiError> {
        let line = store::append(&session.directory().join(FILE), entry).map_err(ApiError::internal)?;
        self.put(entry, session, line);
        if let (Some(input), Some(conversation)) = (input, entry.conversation.clone()) {
            let mut pending = self.pending();
            if pending.len() == MAX_PENDING {
                pending.pop_front();
            }
            let (id, partition) = (entry.id.clone(), entry.partition.clone());
            pending.push_back(Pending { id, partition, conversation, input });
        }
        Ok(())
    }

    /// Makes a response known under another id too, and returns it under that: a container may choose its own.
    pub(crate) fn alias(&self, entry: &Entry, alias: &str, session: &Arc<Session>) -> Entry {
        let aliased = Entry { id: alias.to_owned(), ..entry.clone() };
        if self.every(alias).any(|known| known.partition == entry.partition) {
            return aliased;
        }
        let input = self.take_pending(entry).map(|(_, input)| input);
        if let Err(error) = self.add(&aliased, input, session) {
            tracing::error!(?error, "a response's own id could not be written down");
        }
        aliased
    }

    /// The stored responses of this id: at most one in each partition.
    pub(crate) fn get(&self, id: &str) -> impl Iterator<Item = Entry> {
        self.every(id).filter(|entry| entry.stored)
    }

    fn every(&self, id: &str) -> impl Iterator<Item = Entry> {
        let places: Vec<_> = {
            let known = self.lock();
            let places = known.places.get(&self.key(id));
            places.into_iter().flatten().map(|place| (Arc::clone(&place.session), place.line)).collect()
        };
        places.into_iter().filter_map(move |(session, line)| {
            let entry: Entry = store::read_at(&session.directory().join(FILE), line)?;
            (entry.id == id).then(|| Entry { session_id: session.id().to_owned(), ..entry })
        })
    }

    fn put(&self, entry: &Entry, session: &Arc<Session>, line: u64) {
        let owner = self.key(&entry.partition);
        self.lock().put(self.key(&entry.id), Place { session: Arc::clone(session), line, owner });
    }

    /// Hands out a response's input for its conversation, once.
    pub(crate) fn take_pending(&self, entry: &Entry) -> Option<(String, Vec<Value>)> {
        let mut pending = self.pending();
        let is_its = |pending: &Pending| pending.id == entry.id && pending.partition == entry.partition;
        let at = pending.iter().position(is_its)?;
        pending.remove(at).map(|pending| (pending.conversation, pending.input))
    }

    pub(crate) fn delete(&self, entry: &Entry, session: &Session) {
        self.take_pending(entry);
        self.lock().remove(self.key(&entry.id), self.key(&entry.partition));
        let entry = Entry { deleted: true, ..entry.clone() };
        if let Err(error) = store::append(&session.directory().join(FILE), &entry) {
            tracing::error!(%error, "a response's deletion could not be written down");
        }
    }

    /// Forgets the responses of a session that is gone.
    pub(crate) fn forget_session(&self, session_id: &str) {
        let mut known = self.lock();
        known.places.retain(|_, places| {
            places.retain(|place| place.session.id() != session_id);
            !places.is_empty()
        });
        let Known { places, order } = &mut *known;
        order.retain(|key| places.contains_key(key));
    }

    fn key<T: Hash + ?Sized>(&self, of: &T) -> u64 {
        self.hasher.hash_one(of)
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
        let places = self.places.entry(key).or_default();
        if let Some(known) = places.iter_mut().find(|known| known.owner == place.owner) {
            *known = place;
        } else {
            places.push(place);
            self.order.push_back(key);
        }
        while self.order.len() > MAX_KNOWN {
            let Some(oldest) = self.order.pop_front() else { return };
            if let Some(owner) = self.places.get(&oldest).and_then(|places| places.first()).map(|place| place.owner) {
                self.remove(oldest, owner);
            }
        }
    }

    fn remove(&mut self, key: u64, owner: u64) {
        let Some(places) = self.places.get_mut(&key) else { return };
        places.retain(|place| place.owner != owner);
        if places.is_empty() {
            self.places.remove(&key);
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
            index.alias(&entry("c"), "d", &session);
            index.delete(&entry("b"), &session);
            session.id().to_owned()
        };
        let index = ResponseIndex::load(&Sessions::load(directory.path()));
        let found = ["a", "b", "c", "d"].map(|id| index.get(id).next().map(|entry| entry.session_id));
        assert_eq!(found, [Some(session_id.clone()), None, Some(session_id.clone()), Some(session_id.clone())]);
        index.forget_session(&session_id);
        assert!(index.get("a").next().is_none());
    }

    #[test]
    fn two_partitions_may_have_the_same_id() {
        let directory = tempfile::tempdir().unwrap();
        let bobs = Entry { partition: Partition::Own("bob".to_owned()), ..entry("a") };
        let owners = |index: &ResponseIndex| {
            let mut owners: Vec<_> = index.get("a").map(|entry| format!("{:?}", entry.partition)).collect();
            owners.sort();
            owners
        };
        {
            let sessions = Sessions::load(directory.path());
            let (session, index) = (session(&sessions), ResponseIndex::load(&sessions));
            index.add(&entry("own"), None, &session).unwrap();
            index.alias(&entry("own"), "a", &session);
            index.add(&bobs, Some(vec![1.into()]), &session).unwrap();
            assert!(index.take_pending(&entry("a")).is_none(), "the input is bob's");
            assert!(index.take_pending(&bobs).is_some());
            assert_eq!(owners(&index), [r#"Own("ann")"#, r#"Own("bob")"#]);
        }
        let sessions = Sessions::load(directory.path());
        let index = ResponseIndex::load(&sessions);
        assert_eq!(owners(&index), [r#"Own("ann")"#, r#"Own("bob")"#]);
        index.delete(&bobs, &sessions.all()[0]);
        assert_eq!(owners(&index), [r#"Own("ann")"#]);
        assert_eq!(owners(&ResponseIndex::load(&sessions)), [r#"Own("ann")"#]);
    }

    #[test]
    fn input_that_is_not_read_is_bounded() {
        let directory = tempfile::tempdir().unwrap();
        let sessions = Sessions::load(directory.path());
        let (session, index) = (session(&sessions), ResponseIndex::load(&sessions));
        for number in 0..=MAX_PENDING {
            index.add(&entry(&number.to_string()), Some(vec![number.into()]), &session).unwrap();
        }
        assert!(index.take_pending(&entry("0")).is_none());
        assert_eq!(index.take_pending(&entry("1")), Some(("conv_1".to_owned(), vec![1.into()])));
        assert!(index.take_pending(&entry("1")).is_none());
    }

    #[test]
    fn the_places_of_responses_are_bounded() {
        let directory = tempfile::tempdir().unwrap();
        let sessions = Sessions::load(directory.path());
        let session = session(&sessions);
        let mut known = Known::default();
        for key in 0..=MAX_KNOWN as u64 {
            known.put(key, Place { session: Arc::clone(&session), line: 0, owner: 0 });
        }
        assert_eq!((known.places.len(), known.order.len()), (MAX_KNOWN, MAX_KNOWN));
        assert!(!known.places.contains_key(&0) && known.places.contains_key(&(MAX_KNOWN as u64)));
    }
}
