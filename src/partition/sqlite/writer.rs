//! The writer: one connection on its own thread, because SQLite blocks. Calls that wait at the same time are one group: their changes are
//! committed together, so that the disk is synced once for all of them, and nobody is answered before that.
//!
//! Each call of a group has a savepoint: what a call that fails has changed is taken back, and the others keep theirs. If the commit
//! fails, the whole group has.

use super::erase;
use super::files::Files;
use super::opening::{describe, open};
use super::reader::{Change, Reader};
use crate::partition::store::StoreError;
use rusqlite::Connection;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use tokio::sync::oneshot;

/// Most calls of a group. As many as the log takes up without moving into the file in between; they wait for the same sync.
pub(super) const MAX_GROUP: NonZeroUsize = NonZeroUsize::MIN.saturating_add(63);

/// What a call does with the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Reads,
    Writes,
}

/// An answer, and whether it deleted something that must be gone from the files' bytes before the caller gets it.
pub(super) struct Done<Answer> {
    pub(super) answer: Answer,
    pub(super) erases: bool,
}

/// A call that waits for the writer.
pub(super) trait Call: Send {
    fn access(&self) -> Access;

    /// Does its work, inside the transaction of its group, and keeps the answer.
    fn work(&mut self, connection: &Connection, path: &Path) -> Worked;

    /// Has the failure in place of an answer.
    fn fail(&mut self, error: StoreError);

    /// Gives the caller its answer, or why its group has none.
    fn answer(self: Box<Self>, group: Result<(), StoreError>);
}

/// What became of a call's work.
#[derive(Debug)]
pub(super) enum Worked {
    Done { erases: bool },
    Failed(StoreError),
}

/// A call with its work, a function that is called once.
struct Waiting<Answer, Work> {
    access: Access,
    work: Option<Work>,
    outcome: Option<Result<Answer, StoreError>>,
    caller: oneshot::Sender<Result<Answer, StoreError>>,
    /// Kept until it is answered, if it changes something.
    _change: Option<Change>,
}

/// A call, to be put into the writer's queue.
pub(super) fn call<Answer: Send + 'static>(
    access: Access,
    work: impl FnOnce(&Connection) -> rusqlite::Result<Done<Answer>> + Send + 'static,
    caller: oneshot::Sender<Result<Answer, StoreError>>,
    change: Option<Change>,
) -> Box<dyn Call> {
    Box::new(Waiting { access, work: Some(work), outcome: None, caller, _change: change })
}

impl<Answer: Send, Work> Call for Waiting<Answer, Work>
where
    Work: FnOnce(&Connection) -> rusqlite::Result<Done<Answer>> + Send,
{
    fn access(&self) -> Access {
        self.access
    }

    fn work(&mut self, connection: &Connection, path: &Path) -> Worked {
        let done = self.work.take().ok_or(rusqlite::Error::InvalidQuery).and_then(|work| work(connection));
        match done {
            Ok(Done { answer, erases }) => {
                self.outcome = Some(Ok(answer));
                Worked::Done { erases }
            }
            Err(error) => {
                let error = describe(path, &error);
                self.fail(error.clone());
                Worked::Failed(error)
            }
        }
    }

    fn fail(&mut self, error: StoreError) {
        self.outcome = Some(Err(error));
    }

    fn answer(self: Box<Self>, group: Result<(), StoreError>) {
        let answer = match (self.outcome, group) {
            // Its own failure says more than that of its group.
            (Some(Err(own)), _) => Err(own),
            (_, Err(group)) => Err(group),
            (Some(answer), Ok(())) => answer,
            (None, Ok(())) => return,
        };
        // A caller that has gone needs no answer; what it asked to be written has been written.
        let _ = self.caller.send(answer);
    }
}

/// The one connection, and the file that it is to.
pub(super) struct Writer {
    path: PathBuf,
    /// Most calls of a group.
    most: NonZeroUsize,
    connection: Option<(Connection, Files)>,
    /// The connection beside it.
    reader: Arc<Reader>,
    /// Deleted content is still in the write-ahead log, because another process was reading it.
    remains: bool,
    /// How often the files were found removed or replaced.
    replaced: Arc<AtomicU64>,
}

impl Writer {
    pub(super) const fn new(path: PathBuf, most: NonZeroUsize, reader: Arc<Reader>, replaced: Arc<AtomicU64>) -> Self {
        Self { path, most, connection: None, reader, remains: false, replaced }
    }

    /// Serves calls until nobody can make one.
    pub(super) fn serve(mut self, calls: &Receiver<Box<dyn Call>>) {
        loop {
            let next = if self.remains {
                calls.recv_timeout(erase::RETRY)
            } else {
                calls.recv().map_err(|_| RecvTimeoutError::Disconnected)
            };
            match next {
                Ok(first) => {
                    let group: Vec<_> = std::iter::once(first).chain(calls.try_iter()).take(self.most.get()).collect();
                    self.carry_out(group);
                }
                Err(RecvTimeoutError::Timeout) => self.erase(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Removes what was deleted from the bytes of the files, or remembers to try again.
    fn erase(&mut self) {
        if let Some((connection, _)) = &self.connection {
            self.remains = !erase::deleted(connection);
        }
    }

    /// Does the work of all calls, commits it, and answers them.
    fn carry_out(&mut self, mut group: Vec<Box<dyn Call>>) {
        let outcome = self.commit(&mut group);
        if outcome.as_ref().is_ok_and(|erases| *erases) {
            self.erase();
        }
        let outcome = outcome.map(drop);
        for call in group {
            call.answer(outcome.clone());
        }
    }

    /// Has something been deleted?
    fn commit(&mut self, group: &mut [Box<dyn Call>]) -> Result<bool, StoreError> {
        let open_before = self.connection.take().filter(|(_, files)| self.is_still(files));
        let (connection, files) = if let Some(open) = open_before {
            open
        } else {
            // A process that was killed may have deleted something last.
            self.remains |= erase::has_log(&self.path);
            self.reader.close();
            let connection = open(&self.path)?;
            let files = Files::at(&self.path);
            self.reader.open(&self.path, files.clone());
            (connection, files)
        };
        let worked = together(&connection, &self.path, group);
        if !self.is_still(&files) {
            let (path, reason) =
                (self.path.display().to_string(), "it was removed or replaced at this moment".to_owned());
            return Err(StoreError::Operation { path, reason });
        }
        // A damaged file is opened afresh next time, so that replacing it is enough to recover.
        let is_corrupt = match &worked {
            Ok(worked) => worked.is_corrupt,
            Err(error) => matches!(error, StoreError::Corrupt { .. }),
        };
        if is_corrupt {
            self.reader.close();
        } else {
            self.connection = Some((connection, files));
        }
        worked.map(|worked| worked.erases)
    }

    /// Are the files the ones that are open? If not, that is remembered and told.
    fn is_still(&self, files: &Files) -> bool {
        if files.are_still_at(&self.path) {
            return true;
        }
        self.replaced.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(path = %self.path.display(), "saved state was removed or replaced; using what is there now");
        false
    }
}

/// What became of a group.
#[derive(Debug, Default)]
struct Together {
    erases: bool,
    is_corrupt: bool,
}

impl Together {
    fn add(&mut self, worked: &Worked) {
        match worked {
            Worked::Done { erases } => self.erases |= erases,
            Worked::Failed(error) => self.is_corrupt |= matches!(error, StoreError::Corrupt { .. }),
        }
    }
}

/// Does the work of a group: in one transaction, unless it only reads.
fn together(connection: &Connection, path: &Path, group: &mut [Box<dyn Call>]) -> Result<Together, StoreError> {
    let describe = |error: rusqlite::Error| describe(path, &error);
    let mut together = Together::default();
    let writes = |call: &dyn Call| call.access() == Access::Writes;
    // No other process writes between the first read and the commit.
    let begun = if group.iter().any(|call| writes(&**call)) {
        run(connection, "BEGIN IMMEDIATE").map(|()| true)
    } else {
        Ok(false)
    };
    if !matches!(begun, Ok(true)) {
        // Without a transaction the calls that only read can be answered.
        let refusal = begun.map_err(describe).err();
        for call in group {
            match &refusal {
                Some(error) if writes(&**call) => call.fail(error.clone()),
                _ => together.add(&call.work(connection, path)),
            }
        }
        return Ok(together);
    }
    let worked = group.iter_mut().try_for_each(|call| {
        run(connection, "SAVEPOINT one").map_err(describe)?;
        let worked = call.work(connection, path);
        together.add(&worked);
        if let Worked::Failed(error) = worked {
            // A disk that is full, or that fails, ends the transaction of all.
            if connection.is_autocommit() {
                return Err(error);
            }
            run(connection, "ROLLBACK TO one").map_err(describe)?;
        }
        run(connection, "RELEASE one").map_err(describe)
    });
    let committed = worked.and_then(|()| run(connection, "COMMIT").map_err(describe));
    if committed.is_err()
        && !connection.is_autocommit()
        && let Err(error) = run(connection, "ROLLBACK")
    {
        tracing::warn!(%error, "a transaction on saved state could not be taken back");
    }
    committed.map(|()| together)
}

fn run(connection: &Connection, statement: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(statement)?.execute([]).map(drop)
}

#[cfg(test)]
mod tests {
    use super::super::SqliteStore;
    use super::super::tests::{partition, session};
    use crate::partition::store::{Store as _, StoreError};
    use futures_util::future::BoxFuture;
    use futures_util::join;
    use rusqlite::Connection;
    use std::sync::mpsc::{Sender, channel};
    use std::time::Duration;

    const DELETE_ALL: &str = "DELETE FROM partition";

    /// A store whose writer does nothing before it is told to: the calls that are made until then are one group.
    fn held_up() -> (tempfile::TempDir, SqliteStore, Sender<()>) {
        let directory = tempfile::tempdir().unwrap();
        let store = SqliteStore::new(directory.path().join("state.db")).unwrap();
        let go = hold_up(&store);
        (directory, store, go)
    }

    fn hold_up(store: &SqliteStore) -> Sender<()> {
        let ((go, told), (begins, begun)) = (channel(), channel());
        // The work is done although nobody waits for its answer.
        drop(store.read(move |connection| {
            connection.busy_timeout(Duration::ZERO)?;
            begins.send(()).unwrap();
            told.recv().unwrap();
            Ok(())
        }));
        begun.recv().unwrap();
        go
    }

    fn saves<'store>(store: &'store SqliteStore, user: &str) -> BoxFuture<'store, Result<(), StoreError>> {
        store.set_session(&partition(user, None), &session("session-one"))
    }

    async fn is_saved(store: &SqliteStore, user: &str) -> bool {
        store.load(&partition(user, None)).await.unwrap().session.is_some()
    }

    #[tokio::test]
    async fn a_call_that_fails_takes_back_its_own_changes_alone() {
        let (_directory, store, go) = held_up();
        let first = saves(&store, "acme");
        let failing = store.write(|connection| {
            connection.execute(DELETE_ALL, [])?;
            connection.execute("INSERT INTO no_such_table VALUES (1)", [])
        });
        let last = saves(&store, "contoso");
        go.send(()).unwrap();
        let (first, failed, last) = join!(first, failing, last);
        assert!(failed.is_err_and(|error| error.to_string().contains("no_such_table")));
        assert!(first.is_ok() && last.is_ok());
        assert!(is_saved(&store, "acme").await && is_saved(&store, "contoso").await);
    }

    #[tokio::test]
    async fn what_comes_together_is_committed_together_and_seen_in_its_order() {
        let (directory, store, go) = held_up();
        let path = directory.path().join("state.db");
        let acme = partition("acme", None);
        let (first, seen) = (saves(&store, "acme"), store.load(&acme));
        let elsewhere = store.write(move |_| {
            let other = Connection::open(&path)?;
            other.query_row("SELECT count(*) FROM partition", [], |row| row.get::<_, i64>(0))
        });
        go.send(()).unwrap();
        let (first, seen, elsewhere) = join!(first, seen, elsewhere);
        assert!(first.is_ok());
        assert_eq!(seen.unwrap().session, Some(session("session-one")));
        assert_eq!(elsewhere.unwrap(), 0, "it was committed by itself");
        assert!(is_saved(&store, "acme").await);
    }

    #[tokio::test]
    async fn no_call_succeeds_before_the_commit() {
        let (_directory, store, go) = held_up();
        let first = saves(&store, "acme");
        // As SQLite does when the disk is full.
        let ending = store.write(|connection| {
            connection.execute_batch("ROLLBACK")?;
            connection.execute("INSERT INTO no_such_table VALUES (1)", [])
        });
        let last = saves(&store, "contoso");
        go.send(()).unwrap();
        let (first, ended, last) = join!(first, ending, last);
        assert!(first.is_err() && ended.is_err() && last.is_err());
        assert!(!is_saved(&store, "acme").await && !is_saved(&store, "contoso").await);
        saves(&store, "acme").await.unwrap();
        assert!(is_saved(&store, "acme").await);
    }

    #[tokio::test]
    async fn what_cannot_be_written_leaves_what_can_be_read() {
        let (directory, store, go) = held_up();
        let path = directory.path().join("state.db");
        go.send(()).unwrap();
        saves(&store, "acme").await.unwrap();
        let go = hold_up(&store);
        let written = saves(&store, "contoso");
        let acme = partition("acme", None);
        let read = store.load(&acme);
        // Another process writes for longer than the store waits.
        let other = Connection::open(&path).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        go.send(()).unwrap();
        let (written, read) = join!(written, read);
        assert!(written.is_err(), "two write at one time");
        assert_eq!(read.unwrap().session, Some(session("session-one")));
    }
}
