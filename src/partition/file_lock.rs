//! Order between processes that use one state directory: the daemon, and commands with `--no-daemon` beside it.
//!
//! A lock is a file that one process holds locked. The operating system frees it when the process ends, however it ends. Two files
//! make one lock: the process that holds the first waits for the second, so a process that releases a lock and takes it again stands behind
//! those that have come meanwhile. Which of several waiting for the first comes next is left to chance. If no process waits,
//! only the second file is locked.

use crate::system::directory::private_file;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// When a lock that another process holds is tried again first. The pause doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(5);

/// The longest pause: not to be noticed beside a turn.
const MAX_PAUSE: Duration = Duration::from_millis(40);

/// How often a file may be removed between opening and locking it before it counts as an error.
const MAX_REMOVED: usize = 1000;

/// What the lock's second file is called besides the lock's name.
const NEXT: &str = ".next";

/// A lock that this process holds. Dropping it frees it.
#[derive(Debug)]
pub(super) struct FileLock {
    path: PathBuf,
    file: File,
}

impl FileLock {
    /// Waits until no other process holds the lock, nor another call of this one. Dropping the future gives the wait up.
    pub(super) async fn acquire(directory: &Path, name: &str) -> io::Result<Self> {
        create(directory)?;
        let (next, lock) = (directory.join(format!("{name}{NEXT}")), directory.join(name));
        // A process that comes after this check either finds the lock held or takes it first.
        if !next.try_exists()?
            && let Some(lock) = Self::take(&lock)?
        {
            return Ok(lock);
        }
        let next = Self::wait(&next).await?;
        let lock = Self::wait(&lock).await?;
        drop(next);
        Ok(lock)
    }

    /// Acquires it without waiting; `None` while another process, or another call of this one, holds it.
    pub(super) fn attempt(directory: &Path, name: &str) -> io::Result<Option<Self>> {
        create(directory)?;
        Self::take(&directory.join(name))
    }

    /// Does another process wait for it?
    pub(super) fn is_awaited(&self) -> bool {
        let mut next = self.path.clone().into_os_string();
        next.push(NEXT);
        // What cannot be told counts as yes.
        Path::new(&next).try_exists().unwrap_or(true)
    }

    /// Is its file still where others look for it?
    pub(super) fn is_in_place(&self) -> bool {
        is_at(&self.file, &self.path).unwrap_or(false)
    }

    async fn wait(path: &Path) -> io::Result<Self> {
        let mut pause = FIRST_PAUSE;
        loop {
            if let Some(lock) = Self::take(path)? {
                return Ok(lock);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(MAX_PAUSE);
        }
    }

    /// Acquires it, if no process holds it.
    fn take(path: &Path) -> io::Result<Option<Self>> {
        for _ in 0..MAX_REMOVED {
            let file = private_file().append(true).open(path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(error),
            }
            // Its last holder may have removed the file after it was opened here; another process would lock a new one then.
            if is_at(&file, path)? {
                return Ok(Some(Self { path: path.to_owned(), file }));
            }
        }
        Err(io::Error::other(format!("{} keeps being removed", path.display())))
    }
}

#[cfg(unix)]
impl Drop for FileLock {
    fn drop(&mut self) {
        // While it is held, no other process can have locked this file.
        let _ = fs::remove_file(&self.path);
    }
}

/// Is the open file the one at `path`?
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt as _;
    let open = file.metadata()?;
    match fs::metadata(path) {
        Ok(there) => Ok((open.dev(), open.ino()) == (there.dev(), there.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// The files stay, so it always is.
#[cfg(windows)]
fn is_at(_file: &File, _path: &Path) -> io::Result<bool> {
    Ok(true)
}

/// Makes the directory, but not the one it is in: that one is checked to be private when it is made.
fn create(directory: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::future::join_all;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[tokio::test]
    async fn one_holds_it_at_a_time_and_its_files_go_with_it() {
        let directory = tempfile::tempdir().unwrap();
        let (path, holders, count) = (directory.path().join("locks"), AtomicU64::new(0), AtomicU64::new(0));
        let hold = async || {
            for _ in 0..20 {
                let lock = FileLock::acquire(&path, "a").await.unwrap();
                assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0, "two hold it");
                tokio::task::yield_now().await;
                holders.fetch_sub(1, Ordering::SeqCst);
                count.fetch_add(1, Ordering::SeqCst);
                drop(lock);
            }
        };
        join_all((0..8).map(|_| hold())).await;
        assert_eq!(count.load(Ordering::SeqCst), 160);
        assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_process_that_takes_it_again_waits_behind_the_others() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let held = FileLock::acquire(path, "a").await.unwrap();
        let mut waiting = Box::pin(FileLock::acquire(path, "a"));
        assert!(futures_util::poll!(&mut waiting).is_pending());
        drop(held);
        let mut again = Box::pin(FileLock::acquire(path, "a"));
        assert!(futures_util::poll!(&mut again).is_pending(), "it went past");
        let turn = waiting.await.unwrap();
        assert!(futures_util::poll!(&mut again).is_pending());
        drop(turn);
        again.await.unwrap();
        let other = FileLock::acquire(path, "b").await.unwrap();
        drop((FileLock::acquire(path, "a").await.unwrap(), other));
    }

    #[tokio::test]
    async fn giving_up_the_wait_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        let held = FileLock::acquire(directory.path(), "a").await.unwrap();
        let mut waiting = Box::pin(FileLock::acquire(directory.path(), "a"));
        assert!(futures_util::poll!(&mut waiting).is_pending());
        drop(waiting);
        drop(held);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
