//! Saved state in one SQLite file: write-ahead log, mode 0600, one writer thread.
//!
//! Committed means: on the disk, so that neither `kill -9` nor a power cut loses what was acknowledged. `tests/crash` cuts the power and
//! lets the disk fail at every write. A file that a lying disk damaged is refused.
//! Ids, owners' fingerprints and times are stored, the ownership keys that deleting needs, the isolation of runs that outlive the
//! daemon, and what agents asked until it is answered; no prompt, no answer. What is deleted is gone from the bytes of the file and its
//! side files when the call is answered ([`erase`]). A file that is removed or replaced under a running daemon is noticed before
//! anything is acknowledged ([`files`]).
//!
//! - [`mod@format`]: the tables, and how an older file becomes a newer one; [`journal`]: the runs that were begun; [`chats`]: the table of
//!   chats; [`questions`]: what agents asked; [`responses`]: whose responses are; [`pools`]: sessions that users share; [`pages`]: lists of
//!   partitions in parts
//! - [`opening`]: makes the file private, checks it and brings it up before it is used
//! - [`writer`]: the thread that does the work of all calls, and commits what comes together in one step; [`reader`]: what is looked up
//!   at once, without that thread

mod chats;
mod erase;
mod files;
mod format;
mod journal;
mod opening;
mod pages;
mod pools;
mod questions;
mod reader;
mod responses;
mod writer;

use crate::partition::journal::{Ended, Entry};
use crate::partition::pages::{Among, Place};
use crate::partition::pool::Pool;
use crate::partition::store::{KnownSession, Page, Saved, SavedPartition, Store, StoreError};
use crate::partition::{AgentKey, Owner, Partition};
use cupola_protocol::id::{ConversationId, ResponseId, RunId, SessionId};
use cupola_protocol::isolation::IsolationKey;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use reader::Reader;
use rusqlite::{Connection, OptionalExtension, params};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::oneshot;
use writer::{Access, Call, Done, MAX_GROUP, Writer};

/// Calls that may wait for the writer. Each is a few microseconds of work; more than this waiting means a stuck disk.
const MAX_QUEUED_CALLS: usize = 256;

/// How long another process (an in-process call beside the daemon) may hold the file before we give up.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Saved state in a file.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    calls: SyncSender<Box<dyn Call>>,
    reader: Arc<Reader>,
    path: Arc<PathBuf>,
    /// How often the files were found removed or replaced.
    replaced: Arc<AtomicU64>,
}

impl SqliteStore {
    /// Uses `path`, which is opened at the first call and again at every call until that succeeds: a daemon whose state
    /// file is unusable still starts, says so on each call that needs it, and recovers when the file is mended.
    pub fn new(path: PathBuf) -> std::io::Result<Self> {
        Self::with_groups_of(path, MAX_GROUP)
    }

    /// As [`Self::new`], with at most this many changes in one commit. `cargo xtask bench` compares the usual number with 1.
    pub fn with_groups_of(path: PathBuf, most: NonZeroUsize) -> std::io::Result<Self> {
        let (calls, receiver) = sync_channel(MAX_QUEUED_CALLS);
        let (shown, reader) = (Arc::new(path.clone()), Arc::<Reader>::default());
        let replaced = Arc::new(AtomicU64::new(0));
        let writer = Writer::new(path, most, Arc::clone(&reader), Arc::clone(&replaced));
        std::thread::Builder::new().name("state".to_owned()).spawn(move || writer.serve(&receiver))?;
        Ok(Self { calls, reader, path: shown, replaced })
    }

    /// Looks up one row.
    fn look_up<Answer: Send + 'static>(
        &self,
        work: impl Fn(&Connection) -> rusqlite::Result<Answer> + Send + 'static,
    ) -> BoxFuture<'_, Result<Answer, StoreError>> {
        match self.reader.look_up(&self.path, &work) {
            Some(answer) => std::future::ready(Ok(answer)).boxed(),
            None => self.read(work),
        }
    }

    /// Work that changes nothing.
    fn read<Answer: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<Answer> + Send + 'static,
    ) -> BoxFuture<'_, Result<Answer, StoreError>> {
        self.queue(Access::Reads, |connection| Ok(Done { answer: work(connection)?, erases: false }))
    }

    /// Work that is done as a whole or not at all, and committed when it is answered.
    fn write<Answer: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<Answer> + Send + 'static,
    ) -> BoxFuture<'_, Result<Answer, StoreError>> {
        self.queue(Access::Writes, |connection| Ok(Done { answer: work(connection)?, erases: false }))
    }

    /// As [`Self::write`], for work that deletes: it is answered when what it deleted is gone from the files' bytes.
    fn erase<Answer: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<Answer> + Send + 'static,
    ) -> BoxFuture<'_, Result<Answer, StoreError>> {
        self.queue(Access::Writes, |connection| Ok(Done { answer: work(connection)?, erases: true }))
    }

    /// As [`Self::erase`], for work that gives whether it deleted something.
    fn erase_if(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<bool> + Send + 'static,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        self.queue(Access::Writes, |connection| Ok(Done { answer: (), erases: work(connection)? }))
    }

    fn queue<Answer: Send + 'static>(
        &self,
        access: Access,
        work: impl FnOnce(&Connection) -> rusqlite::Result<Done<Answer>> + Send + 'static,
    ) -> BoxFuture<'_, Result<Answer, StoreError>> {
        let (sender, answer) = oneshot::channel();
        let change = (access == Access::Writes).then(|| self.reader.change());
        let queued = self.calls.try_send(writer::call(access, work, sender, change));
        async move {
            let path = || self.path.display().to_string();
            let failed = |reason: &str| StoreError::Operation { path: path(), reason: reason.to_owned() };
            queued.map_err(|_| failed("too many operations are waiting for the disk"))?;
            answer.await.unwrap_or_else(|_| Err(failed("its writer has stopped")))
        }
        .boxed()
    }

    /// Makes an id the partition's current one, in the column that `statement` writes, and remembers whose it is.
    fn set_current(
        &self,
        statement: &'static str,
        partition: &Partition,
        id: &ConversationId,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        let (agent, owner, version) = partition_key(partition);
        let id = id.to_string();
        self.write(move |connection| {
            connection.execute(statement, params![agent, owner, version, id, now()])?;
            connection.execute(
                "INSERT OR IGNORE INTO conversation (agent, id, owner) VALUES (?1, ?2, ?3)",
                params![agent, id, owner],
            )?;
            Ok(())
        })
    }
}

fn now() -> i64 {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

/// A partition's primary key, owned so that it can travel to the writer.
fn partition_key(partition: &Partition) -> (String, [u8; 32], String) {
    let version = partition.version.as_ref().map(ToString::to_string).unwrap_or_default();
    (partition.agent.as_str().to_owned(), *partition.owner.bytes(), version)
}

/// An id read back from the file. One that no longer keeps its rule was damaged or edited: as good as not saved.
fn parsed<Id: std::str::FromStr>(text: Option<String>) -> Option<Id> {
    text.and_then(|text| text.parse().ok())
}

impl Store for SqliteStore {
    fn load(&self, partition: &Partition) -> BoxFuture<'_, Result<Saved, StoreError>> {
        let (agent, owner, version) = partition_key(partition);
        self.look_up(move |connection| {
            let row = connection
                .prepare_cached(
                    "SELECT session, conversation, context FROM partition WHERE agent = ?1 AND owner = ?2 AND version = ?3",
                )?
                .query_row(params![agent, owner, version], |row| {
                    Ok(Saved {
                        session: parsed(row.get(0)?),
                        conversation: parsed(row.get(1)?),
                        context: parsed(row.get(2)?),
                    })
                })
                .optional()?;
            Ok(row.unwrap_or_default())
        })
    }

    fn set_session(&self, partition: &Partition, session: &SessionId) -> BoxFuture<'_, Result<(), StoreError>> {
        let (agent, owner, version) = partition_key(partition);
        let session = session.to_string();
        self.write(move |connection| {
            connection.execute(
                "INSERT INTO partition (agent, owner, version, session, updated_at) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT DO UPDATE SET session = excluded.session, updated_at = excluded.updated_at",
                params![agent, owner, version, session, now()],
            )?;
            connection.execute(
                "INSERT OR IGNORE INTO session (agent, id, owner) VALUES (?1, ?2, ?3)",
                params![agent, session, owner],
            )?;
            Ok(())
        })
    }

    fn set_conversation(
        &self,
        partition: &Partition,
        conversation: &ConversationId,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        self.set_current(
            "INSERT INTO partition (agent, owner, version, conversation, updated_at) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT DO UPDATE SET conversation = excluded.conversation, updated_at = excluded.updated_at",
            partition,
            conversation,
        )
    }

    fn set_context(&self, partition: &Partition, context: &ConversationId) -> BoxFuture<'_, Result<(), StoreError>> {
        self.set_current(
            "INSERT INTO partition (agent, owner, version, context, updated_at) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT DO UPDATE SET context = excluded.context, updated_at = excluded.updated_at",
            partition,
            context,
        )
    }

    fn remember_session(
        &self,
        agent: &AgentKey,
        session: &SessionId,
        known: KnownSession,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        let (agent, session) = (agent.as_str().to_owned(), session.to_string());
        self.erase_if(move |connection| {
            let select = "SELECT ownership_key FROM session WHERE agent = ?1 AND id = ?2";
            let before: Option<Option<String>> =
                connection.prepare_cached(select)?.query_row(params![agent, session], |row| row.get(0)).optional()?;
            let key = known.ownership_key.as_ref().map(IsolationKey::as_str);
            connection.execute(
                "INSERT OR REPLACE INTO session (agent, id, owner, ownership_key) VALUES (?1, ?2, ?3, ?4)",
                params![agent, session, known.owner.bytes(), key],
            )?;
            Ok(before.flatten().is_some_and(|before| Some(before.as_str()) != key))
        })
    }

    fn known_session(
        &self,
        agent: &AgentKey,
        session: &SessionId,
    ) -> BoxFuture<'_, Result<Option<KnownSession>, StoreError>> {
        let (agent, session) = (agent.as_str().to_owned(), session.to_string());
        self.look_up(move |connection| {
            let row = connection
                .prepare_cached("SELECT owner, ownership_key FROM session WHERE agent = ?1 AND id = ?2")?
                .query_row(params![agent, session], |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get(1)?)))
                .optional()?;
            Ok(row.and_then(|(owner, key)| {
                Some(KnownSession { owner: Owner::from_bytes(&owner)?, ownership_key: parsed(key) })
            }))
        })
    }

    fn conversation_owner(
        &self,
        agent: &AgentKey,
        conversation: &ConversationId,
    ) -> BoxFuture<'_, Result<Option<Owner>, StoreError>> {
        let (agent, conversation) = (agent.as_str().to_owned(), conversation.to_string());
        self.look_up(move |connection| {
            let owner = connection
                .prepare_cached("SELECT owner FROM conversation WHERE agent = ?1 AND id = ?2")?
                .query_row(params![agent, conversation], |row| row.get::<_, Vec<u8>>(0))
                .optional()?;
            Ok(owner.and_then(|owner| Owner::from_bytes(&owner)))
        })
    }

    fn forget_session(&self, agent: &AgentKey, session: &SessionId) -> BoxFuture<'_, Result<(), StoreError>> {
        let (agent, session) = (agent.as_str().to_owned(), session.to_string());
        self.erase(move |connection| {
            connection.execute("DELETE FROM session WHERE agent = ?1 AND id = ?2", params![agent, session])?;
            connection.execute(
                "UPDATE partition SET session = NULL, updated_at = ?3 WHERE agent = ?1 AND session = ?2",
                params![agent, session, now()],
            )?;
            Ok(())
        })
    }

    fn forget_conversation(
        &self,
        agent: &AgentKey,
        conversation: &ConversationId,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        let (agent, conversation) = (agent.as_str().to_owned(), conversation.to_string());
        self.erase(move |connection| {
            connection
                .execute("DELETE FROM conversation WHERE agent = ?1 AND id = ?2", params![agent, conversation])?;
            for current in [
                "UPDATE partition SET conversation = NULL, updated_at = ?3 WHERE agent = ?1 AND conversation = ?2",
                "UPDATE partition SET context = NULL, updated_at = ?3 WHERE agent = ?1 AND context = ?2",
            ] {
                connection.execute(current, params![agent, conversation, now()])?;
            }
            Ok(())
        })
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<SavedPartition>, StoreError>> {
        self.read(|connection| {
            let mut rows = connection.prepare_cached(
                "SELECT agent, owner, version, session, conversation, context, updated_at FROM partition
                 ORDER BY updated_at DESC, agent, owner, version",
            )?;
            let rows = rows.query_map([], |row| {
                let (owner, version, seconds): (Vec<u8>, String, i64) = (row.get(1)?, row.get(2)?, row.get(6)?);
                let saved = Saved {
                    session: parsed(row.get(3)?),
                    conversation: parsed(row.get(4)?),
                    context: parsed(row.get(5)?),
                };
                let agent = AgentKey::from_stored(row.get(0)?);
                // A row with an owner that this program did not write is skipped.
                Ok(Owner::from_bytes(&owner).map(|owner| SavedPartition {
                    partition: Partition { agent, owner, version: parsed(Some(version)) },
                    saved,
                    updated_at: UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or(0)),
                }))
            })?;
            rows.filter_map(Result::transpose).collect()
        })
    }

    fn page(&self, among: &Among, after: Option<&Place>, most: usize) -> BoxFuture<'_, Result<Page, StoreError>> {
        let (among, after) = (among.clone(), after.cloned());
        self.read(move |connection| pages::read(connection, &among, after.as_ref(), most))
    }

    fn forget(&self, partitions: &[Partition]) -> BoxFuture<'_, Result<u64, StoreError>> {
        if partitions.is_empty() {
            return std::future::ready(Ok(0)).boxed();
        }
        let keys: Vec<_> = partitions.iter().map(partition_key).collect();
        self.erase(move |connection| {
            let mut forgotten = 0;
            for key in keys {
                questions::forget(connection, &key)?;
                let (agent, owner, version) = key;
                forgotten += connection.execute(
                    "DELETE FROM partition WHERE agent = ?1 AND owner = ?2 AND version = ?3",
                    params![agent, owner, version],
                )?;
                // Whose the sessions are stays known; the keys that could delete them do not, unless another version's
                // partition of the same owner continues the session.
                connection.execute(
                    "UPDATE session SET ownership_key = NULL
                     WHERE agent = ?1 AND owner = ?2 AND ownership_key IS NOT NULL AND id NOT IN
                     (SELECT session FROM partition WHERE agent = ?1 AND owner = ?2 AND session IS NOT NULL)",
                    params![agent, owner],
                )?;
            }
            Ok(u64::try_from(forgotten).unwrap_or(u64::MAX))
        })
    }

    fn place(
        &self,
        partition: &Partition,
        pool: &Pool,
        new: &SessionId,
    ) -> BoxFuture<'_, Result<Option<SessionId>, StoreError>> {
        let (key, pool, new) = (partition_key(partition), pool.clone(), new.to_string());
        self.write(move |connection| pools::place(connection, &key, &pool, &new).map(parsed))
    }

    fn put_run(&self, daemon: &str, entry: &Entry) -> BoxFuture<'_, Result<(), StoreError>> {
        self.write_run(daemon, entry)
    }

    fn end_run(
        &self,
        run: &RunId,
        ended: Ended,
        response: Option<&ResponseId>,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        Self::end_run(self, run, ended, response)
    }

    fn response_owner(
        &self,
        agent: &AgentKey,
        response: &ResponseId,
    ) -> BoxFuture<'_, Result<Option<Owner>, StoreError>> {
        let (agent, response) = (agent.as_str().to_owned(), response.to_string());
        self.look_up(move |connection| responses::owner(connection, &agent, &response))
    }

    fn answer_run(&self, run: &RunId) -> BoxFuture<'_, Result<(), StoreError>> {
        Self::answer_run(self, run)
    }

    fn forget_runs(&self, runs: &[RunId]) -> BoxFuture<'_, Result<(), StoreError>> {
        Self::forget_runs(self, runs)
    }

    fn runs(&self) -> BoxFuture<'_, Result<Vec<(String, Entry)>, StoreError>> {
        self.read_runs()
    }

    fn count(&self) -> BoxFuture<'_, Result<u64, StoreError>> {
        self.read(|connection| connection.query_row("SELECT count(*) FROM partition", [], |row| row.get::<_, i64>(0)))
            .map(|count| count.map(|count| u64::try_from(count).unwrap_or(0)))
            .boxed()
    }

    fn replaced(&self) -> u64 {
        self.replaced.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
#[path = "../../fuzz/state.rs"]
mod fuzz_state;

#[cfg(test)]
mod tests {
    use super::*;
    use cupola_protocol::isolation::{Isolation, IsolationModel};
    use cupola_protocol::target::Target;

    pub(super) fn partition(user_key: &str, version: Option<&str>) -> Partition {
        let target: Target = serde_json::from_str(r#"{"kind":"emulator"}"#).unwrap();
        let agent = AgentKey::new(&target);
        let isolation: Isolation = serde_json::from_str(&format!(r#"{{"userKey":"{user_key}"}}"#)).unwrap();
        let owner = Owner::new(&agent, "caller", IsolationModel::Keys, &isolation);
        Partition { agent, owner, version: version.map(|version| version.parse().unwrap()) }
    }

    pub(super) fn session(id: &str) -> SessionId {
        id.parse().unwrap()
    }

    #[tokio::test]
    async fn what_was_saved_is_there_after_a_restart_and_only_for_its_partition() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.db");
        let acme = partition("acme", None);
        let store = SqliteStore::new(path.clone()).unwrap();
        store.set_session(&acme, &session("session-acme")).await.unwrap();
        store.set_conversation(&acme, &"conv_1".parse().unwrap()).await.unwrap();
        drop(store);

        let store = SqliteStore::new(path).unwrap();
        let saved = store.load(&acme).await.unwrap();
        assert_eq!(saved.session, Some(session("session-acme")));
        assert_eq!(saved.conversation, Some("conv_1".parse().unwrap()));
        assert_eq!(store.load(&partition("contoso", None)).await.unwrap(), Saved::default());
        assert_eq!(store.load(&partition("acme", Some("2"))).await.unwrap(), Saved::default());
        assert_eq!(store.count().await.unwrap(), 1);
    }

    #[tokio::test]
    async fn a_context_is_beside_the_conversation_and_has_an_owner_as_it_has() {
        let directory = tempfile::tempdir().unwrap();
        let store = SqliteStore::new(directory.path().join("state.db")).unwrap();
        let (acme, contoso) = (partition("acme", None), partition("contoso", None));
        let (conversation, context): (ConversationId, ConversationId) =
            ("conv_1".parse().unwrap(), "ctx_1".parse().unwrap());
        store.set_context(&acme, &context).await.unwrap();
        store.set_conversation(&acme, &conversation).await.unwrap();
        store.set_context(&contoso, &context).await.unwrap();
        let both = Saved { session: None, conversation: Some(conversation.clone()), context: Some(context.clone()) };
        assert_eq!(store.load(&acme).await.unwrap(), both);
        assert!(store.list().await.unwrap().iter().any(|saved| saved.saved == both));
        assert_eq!(store.conversation_owner(&acme.agent, &context).await.unwrap(), Some(acme.owner));

        store.forget_conversation(&acme.agent, &context).await.unwrap();
        let rest = Saved { conversation: Some(conversation), ..Saved::default() };
        assert_eq!((store.load(&acme).await.unwrap(), store.load(&contoso).await.unwrap()), (rest, Saved::default()));
        assert_eq!(store.conversation_owner(&acme.agent, &context).await.unwrap(), None);
    }

    #[tokio::test]
    async fn what_is_forgotten_is_not_continued_but_stays_known() {
        let directory = tempfile::tempdir().unwrap();
        let store = SqliteStore::new(directory.path().join("state.db")).unwrap();
        let (acme, of_version, contoso) =
            (partition("acme", None), partition("acme", Some("2")), partition("contoso", None));
        for (partition, id) in [(&acme, "session-acme"), (&of_version, "session-two"), (&contoso, "session-contoso")] {
            store.set_session(partition, &session(id)).await.unwrap();
        }
        assert!(
            store.forget(std::slice::from_ref(&acme)).await.unwrap() == 1
                && store.forget(std::slice::from_ref(&acme)).await.unwrap() == 0
        );
        let mut listed = store.list().await.unwrap();
        listed.sort_by_key(|saved| saved.saved.session.clone());
        assert_eq!(listed.iter().map(|saved| &saved.partition).collect::<Vec<_>>(), [&contoso, &of_version]);
        assert_eq!(listed[0].saved, store.load(&contoso).await.unwrap());
        assert_eq!(store.load(&acme).await.unwrap(), Saved::default());
        let known = store.known_session(&acme.agent, &session("session-acme")).await.unwrap().unwrap();
        assert_eq!(known.owner, acme.owner, "another user could enter it now");
    }

    #[tokio::test]
    async fn the_first_owner_of_a_session_stays_its_owner() {
        let directory = tempfile::tempdir().unwrap();
        let store = SqliteStore::new(directory.path().join("state.db")).unwrap();
        let (acme, contoso) = (partition("acme", None), partition("contoso", None));
        store.set_session(&acme, &session("session-acme")).await.unwrap();
        store.set_session(&contoso, &session("session-acme")).await.unwrap();
        let known = store.known_session(&acme.agent, &session("session-acme")).await.unwrap().unwrap();
        assert_eq!(known.owner, acme.owner);
    }

    #[tokio::test]
    async fn a_deleted_session_is_forgotten_with_its_ownership_key() {
        let directory = tempfile::tempdir().unwrap();
        let store = SqliteStore::new(directory.path().join("state.db")).unwrap();
        let acme = partition("acme", None);
        let id = session("session-acme");
        let known = KnownSession { owner: acme.owner, ownership_key: Some("sk-1".parse().unwrap()) };
        store.remember_session(&acme.agent, &id, known.clone()).await.unwrap();
        store.set_session(&acme, &id).await.unwrap();
        assert!(store.known_session(&acme.agent, &id).await.unwrap() == Some(known), "using it lost the key");
        store.forget_session(&acme.agent, &id).await.unwrap();
        assert!(store.known_session(&acme.agent, &id).await.unwrap().is_none());
        assert_eq!(store.load(&acme).await.unwrap().session, None);
    }

    #[tokio::test]
    async fn a_damaged_file_is_reported_kept_and_usable_again_once_mended() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.db");
        std::fs::write(&path, "this is not a database but somebody's diary").unwrap();
        let store = SqliteStore::new(path.clone()).unwrap();
        let error = store.load(&partition("acme", None)).await.unwrap_err();
        assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
        assert!(std::fs::read_to_string(&path).unwrap().contains("diary"), "the file was changed");

        std::fs::rename(&path, directory.path().join("aside")).unwrap();
        assert_eq!(store.load(&partition("acme", None)).await.unwrap(), Saved::default());
    }

    #[tokio::test]
    async fn a_file_of_a_newer_format_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.db");
        Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
        let before = std::fs::read(&path).unwrap();
        let error = SqliteStore::new(path.clone()).unwrap().load(&partition("acme", None)).await.unwrap_err();
        assert!(matches!(error, StoreError::TooNew { found: 99, .. }), "{error}");
        assert!(std::fs::read(&path).unwrap() == before, "the file was changed");
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn the_file_is_for_its_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.db");
        SqliteStore::new(path.clone())
            .unwrap()
            .set_session(&partition("a", None), &session("session-a"))
            .await
            .unwrap();
        for entry in std::fs::read_dir(directory.path()).unwrap() {
            let entry = entry.unwrap();
            assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.path());
        }
    }

    #[tokio::test]
    async fn two_processes_see_each_others_writes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.db");
        let (left, right) = (SqliteStore::new(path.clone()).unwrap(), SqliteStore::new(path).unwrap());
        let acme = partition("acme", None);
        assert_eq!(right.load(&acme).await.unwrap(), Saved::default());
        left.set_session(&acme, &session("session-acme")).await.unwrap();
        assert_eq!(right.load(&acme).await.unwrap().session, Some(session("session-acme")));
    }
}
