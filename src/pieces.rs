//! Files that are read or written over several calls: what is kept between the calls. The calls themselves are `methods/files/read` and
//! `methods/files/write`.
//!
//! A kept reading or writing belongs to the connection that began it, to one partition, session and path. It ends with
//! the connection, and when it is left alone for [`KEPT_FOR`]. While a call works on it, it is out of the table: a second call
//! with its id is refused, and a call that is dropped in the middle takes it along.

use crate::foundry::Download;
use crate::partition::Partition;
use bytes::Bytes;
use cupola_protocol::files::RemotePath;
use cupola_protocol::files::pieces::PieceId;
use cupola_protocol::id::SessionId;
use std::collections::HashMap;
use std::fs::File;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How long it is kept without a call: a client that is at work sends its next piece within milliseconds.
pub const KEPT_FOR: Duration = Duration::from_mins(1);
/// Most of them on one connection: an editor that opens a few files at once stays below.
pub const MAX_PER_CONNECTION: usize = 8;
/// Most of them at once. Each is a connection to the service or up to 50 MiB of disk.
pub const MAX_AT_ONCE: usize = 64;

/// Whose it is, and of which file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Of {
    /// The connection's number.
    pub connection: u64,
    /// Whose state.
    pub partition: Partition,
    /// The session.
    pub session: SessionId,
    /// The file.
    pub path: RemotePath,
}

/// A download that has come as far as the pieces that were asked for.
#[derive(Debug)]
pub struct Reading {
    /// What is still to come.
    pub download: Download,
    /// What has come beyond the last piece.
    pub left: Bytes,
    /// Where the next piece begins.
    pub position: u64,
}

/// A file without a name, with the pieces so far.
#[derive(Debug)]
pub struct Writing {
    /// The file. It is gone when it is closed.
    pub spool: Arc<File>,
    /// How long it is.
    pub length: u64,
}

/// What is kept.
#[derive(Debug)]
pub enum Work {
    /// A `files/read`.
    Reading(Box<Reading>),
    /// A `files/write`.
    Writing(Writing),
}

/// Why there is no place or no such work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PieceError {
    /// There are too many.
    #[error("{limit} files are open {place} for reading or writing in pieces; there can be no more")]
    TooMany {
        /// How many there can be.
        limit: usize,
        /// Where they are counted.
        place: &'static str,
    },
    /// No such id, for this connection, session and path.
    #[error("no reading or writing with this id is open for this session and path")]
    Unknown,
    /// Another call is at work on it.
    #[error("another call with this id is still under way")]
    InUse,
}

/// The table.
#[derive(Debug, Default)]
pub struct Pieces(Arc<Mutex<HashMap<PieceId, Kept>>>);

#[derive(Debug)]
struct Kept {
    of: Of,
    /// Nothing while a call works on it.
    waiting: Option<(Work, AbortHandle)>,
}

/// A place in the table, held by the call that works on it. Dropped, it is given up.
#[derive(Debug)]
pub struct Place {
    id: PieceId,
    table: Arc<Mutex<HashMap<PieceId, Kept>>>,
    is_kept: bool,
}

impl Pieces {
    /// A place for something new.
    pub fn begin(&self, of: Of) -> Result<Place, PieceError> {
        let mut table = lock(&self.0);
        if table.values().filter(|kept| kept.of.connection == of.connection).count() >= MAX_PER_CONNECTION {
            return Err(PieceError::TooMany { limit: MAX_PER_CONNECTION, place: "on this connection" });
        }
        if table.len() >= MAX_AT_ONCE {
            return Err(PieceError::TooMany { limit: MAX_AT_ONCE, place: "in this daemon" });
        }
        let text = Uuid::new_v4().to_string();
        let id = PieceId::try_from(text).map_err(|_| PieceError::Unknown)?;
        table.insert(id.clone(), Kept { of, waiting: None });
        Ok(Place { id, table: Arc::clone(&self.0), is_kept: false })
    }

    /// Takes what is kept under an id out of the table, to work on it.
    pub fn take(&self, id: &PieceId, of: &Of) -> Result<(Place, Work), PieceError> {
        let mut table = lock(&self.0);
        let kept = table.get_mut(id).filter(|kept| kept.of == *of).ok_or(PieceError::Unknown)?;
        let (work, expiry) = kept.waiting.take().ok_or(PieceError::InUse)?;
        expiry.abort();
        Ok((Place { id: id.clone(), table: Arc::clone(&self.0), is_kept: false }, work))
    }
}

impl Place {
    /// Keeps the work for the next call; `left` says when its connection has ended.
    pub fn keep(mut self, work: Work, left: CancellationToken) -> PieceId {
        let (id, table) = (self.id.clone(), Arc::downgrade(&self.table));
        // Locked until the work is in it: a connection that has ended already must find what is to be given up.
        let mut kept = lock(&self.table);
        let expiry = tokio::spawn(async move {
            tokio::select! {
                () = left.cancelled() => {}
                () = tokio::time::sleep(KEPT_FOR) => {}
            }
            let Some(table) = table.upgrade() else { return };
            let mut table = lock(&table);
            // A call may just have taken it, and even kept it again.
            let waiting = table.get(&id).and_then(|kept| kept.waiting.as_ref());
            if waiting.is_some_and(|(_, expiry)| expiry.id() == tokio::task::id()) {
                table.remove(&id);
            }
        });
        if let Some(kept) = kept.get_mut(&self.id) {
            kept.waiting = Some((work, expiry.abort_handle()));
        }
        drop(kept);
        self.is_kept = true;
        self.id.clone()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.is_kept {
            lock(&self.table).remove(&self.id);
        }
    }
}

fn lock(table: &Mutex<HashMap<PieceId, Kept>>) -> MutexGuard<'_, HashMap<PieceId, Kept>> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::partition::{AgentKey, Owner};
    use cupola_protocol::isolation::{Isolation, IsolationModel};
    use cupola_protocol::target::Target;

    fn of(connection: u64, path: &str) -> Of {
        let target: Target = serde_json::from_str(r#"{"kind":"emulator"}"#).unwrap();
        let agent = AgentKey::new(&target);
        let owner = Owner::new(&agent, "caller", IsolationModel::Keys, &Isolation::default());
        let partition = Partition { agent, owner, version: None };
        Of { connection, partition, session: "session-x".parse().unwrap(), path: path.parse().unwrap() }
    }

    fn writing() -> Work {
        Work::Writing(Writing { spool: Arc::new(tempfile::tempfile().unwrap()), length: 0 })
    }

    /// Lets every task do all that it can do now.
    async fn settled() {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }

    fn refused(pieces: &Pieces, id: &PieceId, of: &Of) -> PieceError {
        pieces.take(id, of).unwrap_err()
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_left_alone_is_given_up_and_what_is_used_is_not() {
        let (pieces, left) = (Pieces::default(), CancellationToken::new());
        let id = pieces.begin(of(1, "a")).unwrap().keep(writing(), left.clone());
        for _ in 0..3 {
            tokio::time::sleep(KEPT_FOR.mul_f32(0.9)).await;
            let (place, work) = pieces.take(&id, &of(1, "a")).unwrap();
            assert_eq!(refused(&pieces, &id, &of(1, "a")), PieceError::InUse);
            assert_eq!(place.keep(work, left.clone()), id);
        }
        tokio::time::sleep(KEPT_FOR.mul_f32(1.1)).await;
        assert_eq!(refused(&pieces, &id, &of(1, "a")), PieceError::Unknown);
        assert!(lock(&pieces.0).is_empty());
    }

    #[tokio::test]
    async fn it_is_one_connection_s_and_ends_with_it() {
        let (pieces, left) = (Pieces::default(), CancellationToken::new());
        let id = pieces.begin(of(1, "a")).unwrap().keep(writing(), left.clone());
        for other in [of(2, "a"), of(1, "b")] {
            assert_eq!(refused(&pieces, &id, &other), PieceError::Unknown);
        }
        left.cancel();
        settled().await;
        assert!(lock(&pieces.0).is_empty());
        // A connection that has ended already.
        pieces.begin(of(1, "a")).unwrap().keep(writing(), left);
        settled().await;
        assert!(lock(&pieces.0).is_empty());
        // A call that is dropped takes its work along.
        drop(pieces.begin(of(1, "a")).unwrap());
        assert!(lock(&pieces.0).is_empty());
    }

    #[test]
    fn there_is_a_most_of_them() {
        let pieces = Pieces::default();
        let mut places = Vec::new();
        for connection in 0..MAX_AT_ONCE / MAX_PER_CONNECTION {
            for _ in 0..MAX_PER_CONNECTION {
                places.push(pieces.begin(of(connection as u64, "a")).unwrap());
            }
            assert!(matches!(pieces.begin(of(connection as u64, "a")), Err(PieceError::TooMany { .. })));
        }
        assert!(matches!(pieces.begin(of(1000, "a")), Err(PieceError::TooMany { .. })));
        places.pop();
        assert!(pieces.begin(of(1000, "a")).is_ok());
    }
}
