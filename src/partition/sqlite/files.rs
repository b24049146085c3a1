//! Which files saved state is in. A file that is removed or replaced while it is open takes every write without an error, and
//! what was written is lost.

use std::path::Path;

/// The file and its side files, as they were when they were opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Files([Option<Identity>; 3]);

/// Device and inode.
type Identity = (u64, u64);

/// What SQLite adds to the name of the file: nothing, the write-ahead log, its index.
const SUFFIXES: [&str; 3] = ["", "-wal", "-shm"];

impl Files {
    /// Those that are there now.
    pub(super) fn at(path: &Path) -> Self {
        Self(SUFFIXES.map(|suffix| {
            let mut path = path.as_os_str().to_owned();
            path.push(suffix);
            identity(Path::new(&path))
        }))
    }

    /// Are the files at `path` still the same? A side file that was not there at first may have come.
    pub(super) fn are_still_at(&self, path: &Path) -> bool {
        let now = Self::at(path);
        let is_there = cfg!(windows) || (now.0[0].is_some() && now.0[0] == self.0[0]);
        is_there && self.0.iter().zip(&now.0).all(|(then, now)| then.is_none() || then == now)
    }
}

/// By name, never by opening: closing a file again would drop the locks that SQLite holds on it in this process.
#[cfg(unix)]
fn identity(path: &Path) -> Option<Identity> {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

/// A file that is open can be neither removed nor replaced there.
#[cfg(windows)]
fn identity(_path: &Path) -> Option<Identity> {
    None
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::super::tests::{partition, session};
    use super::super::{SqliteStore, Store as _};
    use crate::partition::store::{Saved, StoreError};
    use std::fs;
    use std::path::{Path, PathBuf};

    fn remove(path: &Path) {
        for suffix in super::SUFFIXES {
            let _ = fs::remove_file(format!("{}{suffix}", path.display()));
        }
    }

    /// What another process finds.
    async fn found(path: &Path) -> Saved {
        SqliteStore::new(path.to_owned()).unwrap().load(&partition("acme", None)).await.unwrap()
    }

    async fn store() -> (tempfile::TempDir, PathBuf, SqliteStore) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.db");
        let store = SqliteStore::new(path.clone()).unwrap();
        store.set_session(&partition("acme", None), &session("session-one")).await.unwrap();
        (directory, path, store)
    }

    #[tokio::test]
    async fn what_is_acknowledged_after_the_files_were_removed_is_in_the_new_ones() {
        let (_directory, path, store) = store().await;
        remove(&path);
        assert_eq!(store.load(&partition("acme", None)).await.unwrap(), Saved::default());
        store.set_session(&partition("acme", None), &session("session-two")).await.unwrap();
        assert_eq!(found(&path).await.session, Some(session("session-two")));
        // A write that comes first finds the new file, too.
        remove(&path);
        store.set_session(&partition("acme", None), &session("session-three")).await.unwrap();
        assert_eq!(found(&path).await.session, Some(session("session-three")));
        assert_eq!(store.replaced(), 2);
    }

    #[tokio::test]
    async fn a_file_that_takes_its_place_is_used() {
        let (directory, path, store) = store().await;
        let other = directory.path().join("backup.db");
        let backup = SqliteStore::new(other.clone()).unwrap();
        backup.set_session(&partition("acme", None), &session("session-kept")).await.unwrap();
        drop(backup);
        while fs::metadata(format!("{}-wal", other.display())).is_ok() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        remove(&path);
        fs::rename(&other, &path).unwrap();
        assert_eq!(store.load(&partition("acme", None)).await.unwrap().session, Some(session("session-kept")));
        assert_eq!(store.replaced(), 1);
    }

    #[tokio::test]
    async fn a_log_that_was_removed_alone_loses_nothing_that_is_acknowledged_later() {
        let (_directory, path, store) = store().await;
        fs::remove_file(format!("{}-wal", path.display())).unwrap();
        store.set_session(&partition("contoso", None), &session("session-two")).await.unwrap();
        let other = SqliteStore::new(path).unwrap();
        let found = other.load(&partition("contoso", None)).await.unwrap();
        assert_eq!(found.session, Some(session("session-two")));
    }

    #[tokio::test]
    async fn what_is_written_while_the_file_goes_is_not_acknowledged() {
        let (_directory, path, store) = store().await;
        let gone = path.clone();
        let written = store
            .write(move |connection| {
                connection.execute("UPDATE partition SET session = 'session-lost'", [])?;
                remove(&gone);
                Ok(())
            })
            .await;
        assert!(matches!(written, Err(StoreError::Operation { .. })), "{written:?}");
    }

    #[tokio::test]
    async fn a_directory_that_is_gone_is_an_error() {
        let (directory, _path, store) = store().await;
        drop(directory);
        let refused = store.set_session(&partition("acme", None), &session("session-two")).await;
        assert!(matches!(refused, Err(StoreError::Open { .. })), "{refused:?}");
    }
}
