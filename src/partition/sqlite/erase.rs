//! Deleted means gone: keys of deleted sessions are in no byte of the state file or its side files.
//!
//! `secure_delete` overwrites what is deleted in the pages of the file. The write-ahead log still holds the page as it was
//! before, so the log is written back and cut to nothing after each deletion. That costs two or three synchronisations of the
//! disk, and people delete rarely; partitions that are forgotten together cost no more than one.

use rusqlite::Connection;
use std::path::Path;
use std::time::Duration;

/// How long another process's read is waited for. It takes microseconds.
const PATIENCE: Duration = Duration::from_millis(200);
/// When it is tried again, if another process was reading all the time.
pub(super) const RETRY: Duration = Duration::from_secs(1);

/// Whether nothing deleted is left in the log.
pub(super) fn deleted(connection: &Connection) -> bool {
    // The answer's first column is 1 if somebody was in the way.
    let cut = || {
        connection.busy_timeout(PATIENCE)?;
        let is_busy = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0))?;
        connection.busy_timeout(super::BUSY_TIMEOUT)?;
        Ok(is_busy == 0)
    };
    cut().unwrap_or_else(|error: rusqlite::Error| {
        tracing::warn!(%error, "what was deleted is still in the log of saved state; trying again");
        false
    })
}

/// Whether a log with content lies beside the file.
pub(super) fn has_log(path: &Path) -> bool {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    std::fs::metadata(log).is_ok_and(|found| found.len() > 0)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{partition, session};
    use super::super::{SqliteStore, Store as _};
    use super::*;
    use crate::partition::store::KnownSession;

    const KEY: &str = "ownership-key-that-must-go";

    /// Whether any file of the directory has the key in its bytes.
    fn is_anywhere(directory: &Path) -> bool {
        std::fs::read_dir(directory).unwrap().any(|entry| {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            bytes.windows(KEY.len()).any(|window| window == KEY.as_bytes())
        })
    }

    /// A store with many sessions, one of which has the key.
    async fn store(directory: &Path) -> SqliteStore {
        let store = SqliteStore::new(directory.join("state.db")).unwrap();
        for number in 0..50 {
            let acme = partition("acme", None);
            let known = KnownSession { owner: acme.owner, ownership_key: (number == 25).then(|| KEY.parse().unwrap()) };
            store.remember_session(&acme.agent, &session(&format!("session-{number}")), known).await.unwrap();
        }
        store.set_session(&partition("acme", None), &session("session-25")).await.unwrap();
        assert!(is_anywhere(directory), "this test could not see the key");
        store
    }

    #[tokio::test]
    async fn the_key_of_a_deleted_session_is_in_no_byte_of_the_files() {
        let directory = tempfile::tempdir().unwrap();
        let store = store(directory.path()).await;
        store.forget_session(&partition("acme", None).agent, &session("session-25")).await.unwrap();
        assert!(!is_anywhere(directory.path()));
    }

    #[tokio::test]
    async fn the_keys_of_a_forgotten_partition_are_in_no_byte_of_the_files() {
        let directory = tempfile::tempdir().unwrap();
        let store = store(directory.path()).await;
        let acme = partition("acme", None);
        let (other, third) = (partition("acme", Some("2")), partition("contoso", None));
        store.set_session(&other, &session("session-25")).await.unwrap();
        store.set_session(&third, &session("session-third")).await.unwrap();
        // Another version's partition continues the session, and needs the key to delete it.
        assert_eq!(store.forget(&[acme.clone(), third]).await.unwrap(), 2);
        let known = store.known_session(&acme.agent, &session("session-25")).await.unwrap().unwrap();
        assert_eq!(known.ownership_key.unwrap().as_str(), KEY);
        assert_eq!(store.forget(&[other]).await.unwrap(), 1);
        assert!(!is_anywhere(directory.path()));
        let known = store.known_session(&acme.agent, &session("session-25")).await.unwrap().unwrap();
        assert!(known.owner == acme.owner && known.ownership_key.is_none(), "another user could enter it now");
    }

    #[tokio::test]
    async fn a_key_that_another_takes_the_place_of_is_in_no_byte_of_the_files() {
        let directory = tempfile::tempdir().unwrap();
        let store = store(directory.path()).await;
        let acme = partition("acme", None);
        let known = KnownSession { owner: acme.owner, ownership_key: Some("another".parse().unwrap()) };
        store.remember_session(&acme.agent, &session("session-25"), known).await.unwrap();
        assert!(!is_anywhere(directory.path()));
    }

    #[tokio::test]
    async fn a_reader_in_the_way_only_delays_it() {
        let directory = tempfile::tempdir().unwrap();
        let store = store(directory.path()).await;
        let reader = Connection::open(directory.path().join("state.db")).unwrap();
        let reading = reader.unchecked_transaction().unwrap();
        let count: i64 = reading.query_row("SELECT count(*) FROM session", [], |row| row.get(0)).unwrap();
        assert_eq!(count, 50);
        let agent = partition("acme", None).agent;
        store.forget_session(&agent, &session("session-25")).await.unwrap();
        assert!(is_anywhere(directory.path()), "the reader did not block it");
        drop(reading);
        let deadline = std::time::Instant::now() + 20 * RETRY;
        while is_anywhere(directory.path()) {
            assert!(std::time::Instant::now() < deadline, "it was not tried again");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    #[tokio::test]
    async fn what_a_killed_process_left_in_the_log_goes_with_the_next_use() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.db");
        let store = store(directory.path()).await;
        // As a process leaves it that is killed between the deletion and the cut.
        let killed = Connection::open(&path).unwrap();
        killed.pragma_update(None, "secure_delete", true).unwrap();
        killed.execute("DELETE FROM session WHERE id = 'session-25'", []).unwrap();
        let kept = tempfile::tempdir().unwrap();
        for name in ["state.db", "state.db-wal"] {
            std::fs::copy(directory.path().join(name), kept.path().join(name)).unwrap();
        }
        drop((store, killed));
        assert!(is_anywhere(kept.path()));
        let next = SqliteStore::new(kept.path().join("state.db")).unwrap();
        assert_eq!(next.count().await.unwrap(), 1);
        let deadline = std::time::Instant::now() + 20 * RETRY;
        while is_anywhere(kept.path()) {
            assert!(std::time::Instant::now() < deadline, "it stayed");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
