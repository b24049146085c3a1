//! Which session answers for which response id, and whose it is (contract sections 7.5 and 13).

use crate::error::ApiError;
use crate::isolation::Partition;
use crate::session::Session;
use crate::sessions::Sessions;
use crate::store;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// The file beside a session's home that lists its responses, one JSON object a line.
const FILE: &str = "responses.jsonl";

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
    /// Its input, until its conversation has it. Not kept on disk: a run does not outlive the emulator.
    #[serde(skip)]
    pub(crate) pending: Option<Vec<Value>>,
}

/// The responses behind one agent's endpoint, by id.
pub(crate) struct ResponseIndex {
    known: Mutex<HashMap<String, Entry>>,
}

impl ResponseIndex {
    /// Finds the responses of the sessions an earlier run left.
    pub(crate) fn load(sessions: &Sessions) -> Self {
        let mut known = HashMap::new();
        for session in sessions.all() {
            for mut entry in store::lines::<Entry>(&session.directory().join(FILE)) {
                session.id().clone_into(&mut entry.session_id);
                known.insert(entry.id.clone(), entry);
            }
        }
        known.retain(|_, entry| !entry.deleted);
        Self { known: Mutex::new(known) }
    }

    /// Writes a response down before its run starts, so that it can be found while it runs.
    pub(crate) fn add(&self, entry: Entry, session: &Session) -> Result<(), ApiError> {
        store::append(&session.directory().join(FILE), &entry).map_err(ApiError::internal)?;
        self.lock().insert(entry.id.clone(), entry);
        Ok(())
    }

    /// Makes a response known under another id too: a container may choose its own.
    pub(crate) fn alias(&self, id: &str, alias: &str, session: &Session) {
        let Some(mut entry) = self.lock().get_mut(id).map(|entry| {
            let pending = entry.pending.take();
            Entry { pending, ..entry.clone() }
        }) else {
            return;
        };
        alias.clone_into(&mut entry.id);
        if let Err(error) = self.add(entry, session) {
            tracing::error!(?error, "a response's own id could not be written down");
        }
    }

    pub(crate) fn get(&self, id: &str) -> Option<Entry> {
        self.lock().get(id).filter(|entry| entry.stored).cloned()
    }

    /// Hands out a response's input for its conversation, once.
    pub(crate) fn take_pending(&self, id: &str) -> Option<(String, Vec<Value>)> {
        let mut known = self.lock();
        let entry = known.get_mut(id)?;
        Some((entry.conversation.clone()?, entry.pending.take()?))
    }

    pub(crate) fn delete(&self, id: &str, session: &Session) {
        let Some(mut entry) = self.lock().remove(id) else {
            return;
        };
        entry.deleted = true;
        if let Err(error) = store::append(&session.directory().join(FILE), &entry) {
            tracing::error!(%error, "a response's deletion could not be written down");
        }
    }

    /// Forgets the responses of a session that is gone.
    pub(crate) fn forget_session(&self, session_id: &str) {
        self.lock().retain(|_, entry| entry.session_id != session_id);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Entry>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
