//! The sessions of one agent: which exist, and what is kept of them on disk.

use crate::error::ApiError;
use crate::ids;
use crate::isolation::Partition;
use crate::session::{self, Record, Session, Status};
use crate::store;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// What a new session starts from.
pub(crate) struct NewSession {
    /// The id the client chose, if it chose one.
    pub(crate) id: Option<String>,
    /// The version it is bound to for good.
    pub(crate) agent_version: String,
    /// Whose it is.
    pub(crate) partition: Partition,
    /// Who may delete it, on protocol 1.0.0.
    pub(crate) owner: String,
    /// Milliseconds, UTC.
    pub(crate) now: i64,
}

/// The sessions behind one agent's endpoint.
pub(crate) struct Sessions {
    directory: PathBuf,
    // Never held across an await. Ordered by creation.
    known: Mutex<BTreeMap<u64, Arc<Session>>>,
}

impl Sessions {
    /// Finds what an earlier run left in `directory`. Its sandboxes are gone, so nothing is active.
    pub(crate) fn load(directory: &Path) -> Self {
        store::sweep(directory);
        let known = store::entries(directory)
            .into_iter()
            .filter_map(|path| {
                let record: Record = store::load(&path.join(session::FILE))?;
                Some((record.sequence, Arc::new(Session::restore(record, path))))
            })
            .collect();
        Self { directory: directory.to_owned(), known: Mutex::new(known) }
    }

    /// Makes a session. The first request that needs its sandbox starts it.
    pub(crate) fn create(&self, new: NewSession) -> Result<Arc<Session>, ApiError> {
        let id = match new.id {
            Some(id) if !ids::is_session(&id) => {
                return Err(ApiError::invalid(
                    "agent_session_id",
                    "A session id is 8 to 128 letters, digits, '_' and '-'.",
                ));
            }
            Some(id) => id,
            None => ids::session(),
        };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.values().any(|session| session.id() == id) {
            return Err(ApiError::conflict(
                "session_already_exists",
                format!("Session '{id}' exists already; ids must be unique within the agent endpoint."),
            )
            .param("agent_session_id"));
        }
        let sequence = known.last_key_value().map_or(0, |(last, _)| last.saturating_add(1));
        let record = Record {
            agent_version: new.agent_version,
            partition: new.partition,
            owner: new.owner,
            created_at: new.now,
            last_accessed_at: new.now,
            stopped_at: None,
            status: Status::Creating,
            sequence,
            id,
        };
        let directory = self.directory.join(store::file_name(&record.id));
        let session = Arc::new(Session::create(record, directory).map_err(ApiError::internal)?);
        known.insert(sequence, Arc::clone(&session));
        Ok(session)
    }

    /// All of them, oldest first.
    pub(crate) fn all(&self) -> Vec<Arc<Session>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    pub(crate) fn get(&self, id: &str) -> Option<Arc<Session>> {
        self.all().into_iter().find(|session| session.id() == id)
    }

    /// Ends a session for good: its sandbox, its files and its record.
    pub(crate) async fn delete(&self, session: &Session) -> Result<(), ApiError> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, known| known.id() != session.id());
        session.delete().await.map_err(ApiError::internal)
    }
}
