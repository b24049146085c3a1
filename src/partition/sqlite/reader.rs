//! A second connection, for what a call looks up before it can do anything else: one row by its key. It is read at once, where the
//! caller is, because waking the writer's thread and being woken by it takes longer than the whole rest of a call.
//!
//! The writer opens it and closes it together with its own connection. A call that finds it in use, changes on their way, or anything
//! unusual asks the writer.

use super::files::Files;
use rusqlite::{Connection, OpenFlags};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Pages that it keeps, in KiB: the way to a row, and not the rows.
const CACHE_KIB: i64 = 128;

/// The connection, while the writer has one.
#[derive(Debug, Default)]
pub(super) struct Reader {
    open: Mutex<Option<(Connection, Files)>>,
    /// Changes that were asked for and are not answered.
    changes: AtomicUsize,
}

/// A change that was asked for, until it is answered.
#[derive(Debug)]
pub(super) struct Change(Arc<Reader>);

impl Drop for Change {
    fn drop(&mut self) {
        self.0.changes.fetch_sub(1, Ordering::Release);
    }
}

impl Reader {
    /// A change is on its way. What is read before its end is read by the writer, behind it.
    pub(super) fn change(self: &Arc<Self>) -> Change {
        self.changes.fetch_add(1, Ordering::Acquire);
        Change(Arc::clone(self))
    }

    /// Opens it beside the writer's connection to these files. Without one, the writer reads.
    pub(super) fn open(&self, path: &Path, files: Files) {
        let opened =
            Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)
                .and_then(|connection| {
                    // It never waits: the writer does.
                    connection.busy_timeout(Duration::ZERO)?;
                    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
                    connection.pragma_update(None, "query_only", true)?;
                    Ok(connection)
                });
        match opened {
            Ok(connection) => *self.lock() = Some((connection, files)),
            Err(error) => tracing::debug!(%error, "saved state is read by its writer only"),
        }
    }

    /// Closes it. The writer does so before it opens the file: a file that is opened and closed beside a connection loses the locks
    /// that SQLite holds on it.
    pub(super) fn close(&self) {
        *self.lock() = None;
    }

    /// Reads, if that is possible at once.
    pub(super) fn look_up<Answer>(
        &self,
        path: &Path,
        work: impl FnOnce(&Connection) -> rusqlite::Result<Answer>,
    ) -> Option<Answer> {
        if self.changes.load(Ordering::Acquire) > 0 {
            return None;
        }
        let open = self.open.try_lock().ok()?;
        let (connection, files) = open.as_ref()?;
        // The writer notices it as well, and says so.
        files.are_still_at(path).then(|| work(connection).ok())?
    }

    fn lock(&self) -> MutexGuard<'_, Option<(Connection, Files)>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
