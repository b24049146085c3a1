//! Exclusion: names that one holder has at a time, among all processes that share saved state. Beside each [`Store`] there is one:
//! locked files beside a state file ([`FileLocks`]), leases in a shared store.

use super::file_lock::FileLock;
use super::store::{Lease, LockName, Store, StoreError};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use std::any::Any;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{fmt, io};
use tokio::runtime::Handle;
use tokio::time::Instant;

/// What the name of every daemon begins with.
pub const DAEMON_PREFIX: &str = "daemon-";

/// A name that this process holds. Dropping it frees it.
pub struct Held {
    _guard: Box<dyn Any + Send + Sync>,
    lease: Option<Lease>,
    /// The partition's current session, held with it.
    session: Option<Box<Held>>,
}

impl Held {
    /// What is freed when `guard` is dropped. With a lease, it can be lost before.
    pub(super) fn new(guard: impl Any + Send + Sync, lease: Option<Lease>) -> Self {
        Self { _guard: Box::new(guard), lease, session: None }
    }

    /// The same, with the hold on the partition's current session that came with it.
    pub(super) fn with_session(self, session: Option<Self>) -> Self {
        Self { session: session.map(Box::new), ..self }
    }

    /// Takes out the hold on the partition's current session that came with this one, if it did.
    pub fn take_session(&mut self) -> Option<Self> {
        self.session.take().map(|session| *session)
    }

    /// The lease that it is, if it can be lost.
    pub const fn lease(&self) -> Option<&Lease> {
        self.lease.as_ref()
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Held").field("lease", &self.lease).finish_non_exhaustive()
    }
}

/// Why a name cannot be held.
#[derive(Debug, thiserror::Error)]
pub enum ExclusionError {
    /// The files cannot be locked.
    #[error("the locks in {directory} cannot be used: {reason}")]
    Files {
        /// Where they are.
        directory: String,
        /// What the system says.
        reason: io::Error,
    },
    /// The shared store cannot be asked.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Who holds what.
pub trait Exclusion: fmt::Debug + Send + Sync {
    /// Waits until nobody else holds the name, nor another call of this process. Dropping the future gives the wait up.
    fn acquire(&self, name: &LockName) -> BoxFuture<'static, Result<Held, ExclusionError>>;

    /// Holds it without waiting; `None` while somebody else does, or another call of this process.
    fn attempt(&self, name: &LockName) -> BoxFuture<'static, Result<Option<Held>, ExclusionError>>;

    /// Holds the name of this daemon, for as long as it lives. It is kept through a loss: a daemon that was stopped for too long and
    /// continues is there again.
    fn appear(&self, name: &LockName) -> BoxFuture<'static, Result<Option<Held>, ExclusionError>>;

    /// Are daemons of other names than `own` alive, or can they come and go unseen?
    fn are_others(&self, own: &str) -> bool;

    /// Frees what is kept for the next call although nobody holds it: the daemon ends.
    fn free(&self) {}
}

/// A store that refuses what is written under a lease that is lost. One whose locks cannot be lost is `store` itself.
pub fn under(store: &Arc<dyn Store>, lease: Option<&Lease>) -> Arc<dyn Store> {
    lease.and_then(|lease| store.under(lease)).unwrap_or_else(|| Arc::clone(store))
}

/// Locked files in a directory. The operating system frees them when their process ends.
#[derive(Debug)]
pub struct FileLocks {
    directory: Arc<PathBuf>,
    kept: Arc<Kept>,
}

/// How long a daemon keeps a lock that it has freed, for its next call on the same session. Another process that comes in this time
/// waits for no longer.
const KEPT_FOR: Duration = Duration::from_millis(50);

/// Locks that no call holds, and that are not freed yet. One is freed at once while another process waits for it.
#[derive(Debug, Default)]
struct Kept {
    /// Only a daemon keeps locks: a command ends.
    is_daemon: AtomicBool,
    /// Until when, by the locks' names.
    locks: Mutex<HashMap<String, (FileLock, Instant)>>,
}

impl Kept {
    /// Takes out the lock of this name.
    fn take(&self, name: &str) -> Option<FileLock> {
        let (lock, _) = self.locks().remove(name)?;
        // Its directory may have been removed.
        lock.is_in_place().then_some(lock)
    }

    fn put(self: &Arc<Self>, name: String, lock: FileLock) {
        if lock.is_awaited() || !self.is_daemon.load(Ordering::Relaxed) {
            return;
        }
        let Ok(runtime) = Handle::try_current() else { return };
        let mut locks = self.locks();
        let is_first = locks.is_empty();
        locks.insert(name, (lock, Instant::now() + KEPT_FOR));
        if is_first {
            runtime.spawn(Arc::clone(self).free_in_time());
        }
    }

    /// Frees them in their time, until there is none.
    async fn free_in_time(self: Arc<Self>) {
        loop {
            let next = {
                let mut locks = self.locks();
                let now = Instant::now();
                locks.retain(|_, (_, until)| *until > now);
                locks.values().map(|(_, until)| *until).min()
            };
            match next {
                Some(until) => tokio::time::sleep_until(until).await,
                None => return,
            }
        }
    }

    fn locks(&self) -> MutexGuard<'_, HashMap<String, (FileLock, Instant)>> {
        self.locks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A lock that a call holds, and that is kept for the next one.
struct Reused {
    name: String,
    lock: Option<FileLock>,
    kept: Arc<Kept>,
}

impl Drop for Reused {
    fn drop(&mut self) {
        if let Some(lock) = self.lock.take() {
            self.kept.put(std::mem::take(&mut self.name), lock);
        }
    }
}

impl FileLocks {
    /// Uses a directory, which is made with the first lock.
    pub fn new(directory: PathBuf) -> Self {
        Self { directory: Arc::new(directory), kept: Arc::default() }
    }

    /// The lock of this name, until the call ends, and for the next one after that.
    fn held(kept: &Arc<Kept>, name: &LockName, file: String, lock: FileLock) -> Held {
        let is_kept = kept.is_daemon.load(Ordering::Relaxed) && !matches!(name, LockName::Daemon(_));
        if is_kept {
            Held::new(Reused { name: file, lock: Some(lock), kept: Arc::clone(kept) }, None)
        } else {
            Held::new(lock, None)
        }
    }

    /// Removes the files of daemons that are gone; gives how many others than `own` are alive.
    fn sweep(&self, own: &str) -> usize {
        let entries = std::fs::read_dir(&*self.directory).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        // The lock of a daemon that is gone is taken for a moment: freeing it removes its file.
        names
            .filter(|name| name.starts_with(DAEMON_PREFIX) && name != own)
            .filter(|name| matches!(FileLock::attempt(&self.directory, name), Ok(None)))
            .count()
    }

    fn unusable(directory: &std::path::Path) -> impl FnOnce(io::Error) -> ExclusionError {
        let directory = directory.display().to_string();
        move |reason| ExclusionError::Files { directory, reason }
    }
}

impl Exclusion for FileLocks {
    fn acquire(&self, name: &LockName) -> BoxFuture<'static, Result<Held, ExclusionError>> {
        let (directory, kept, name) = (Arc::clone(&self.directory), Arc::clone(&self.kept), name.clone());
        async move {
            let file = name.file_name();
            let lock = match kept.take(&file) {
                Some(lock) => lock,
                None => FileLock::acquire(&directory, &file).await.map_err(Self::unusable(&directory))?,
            };
            Ok(Self::held(&kept, &name, file, lock))
        }
        .boxed()
    }

    fn attempt(&self, name: &LockName) -> BoxFuture<'static, Result<Option<Held>, ExclusionError>> {
        let file = name.file_name();
        // The name becomes a file's.
        let lock = if !file.chars().all(|character| character.is_ascii_alphanumeric() || character == '-') {
            Err(io::Error::other("a daemon has letters, digits and hyphens in its name"))
        } else if let Some(lock) = self.kept.take(&file) {
            Ok(Some(lock))
        } else {
            FileLock::attempt(&self.directory, &file)
        };
        let held = lock.map(|lock| lock.map(|lock| Self::held(&self.kept, name, file, lock)));
        std::future::ready(held.map_err(Self::unusable(&self.directory))).boxed()
    }

    fn appear(&self, name: &LockName) -> BoxFuture<'static, Result<Option<Held>, ExclusionError>> {
        self.kept.is_daemon.store(true, Ordering::Relaxed);
        self.sweep(&name.file_name());
        self.attempt(name)
    }

    fn are_others(&self, own: &str) -> bool {
        self.sweep(own) > 0
    }

    fn free(&self) {
        self.kept.is_daemon.store(false, Ordering::Relaxed);
        self.kept.locks().clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::partition::AgentKey;

    fn session() -> LockName {
        let agent = AgentKey::new(&serde_json::from_str(r#"{"kind":"emulator"}"#).unwrap());
        LockName::Session(agent, "session-one".parse().unwrap())
    }

    async fn daemon(directory: &std::path::Path) -> (FileLocks, Held) {
        let locks = FileLocks::new(directory.to_owned());
        let presence = locks.appear(&LockName::Daemon("daemon-one".to_owned())).await.unwrap().unwrap();
        (locks, presence)
    }

    #[tokio::test(start_paused = true)]
    async fn a_daemon_keeps_a_lock_for_its_next_call_and_then_frees_it() {
        let directory = tempfile::tempdir().unwrap();
        let (locks, _presence) = daemon(directory.path()).await;
        let other = FileLocks::new(directory.path().to_owned());
        drop(locks.acquire(&session()).await.unwrap());
        assert!(other.attempt(&session()).await.unwrap().is_none(), "it is kept");
        let again = locks.attempt(&session()).await.unwrap();
        assert!(again.is_some());
        assert!(locks.attempt(&session()).await.unwrap().is_none(), "two calls hold it");
        drop(again);
        tokio::time::sleep(KEPT_FOR * 2).await;
        drop(other.attempt(&session()).await.unwrap().expect("it is freed in time"));
        assert!(!directory.path().join(session().file_name()).exists());
    }

    #[tokio::test(start_paused = true)]
    async fn another_process_that_waits_is_next() {
        let directory = tempfile::tempdir().unwrap();
        let (locks, _presence) = daemon(directory.path()).await;
        let other = FileLocks::new(directory.path().to_owned());
        let held = locks.acquire(&session()).await.unwrap();
        let mut waiting = other.acquire(&session());
        assert!(futures_util::poll!(&mut waiting).is_pending());
        drop(held);
        let mut again = locks.acquire(&session());
        assert!(futures_util::poll!(&mut again).is_pending(), "the daemon goes first again");
        drop(waiting.await.unwrap());
        again.await.unwrap();
    }

    #[tokio::test]
    async fn a_lock_whose_directory_was_removed_is_not_used_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("locks");
        let (locks, _presence) = daemon(&path).await;
        drop(locks.acquire(&session()).await.unwrap());
        std::fs::remove_dir_all(&path).unwrap();
        let _held = locks.acquire(&session()).await.unwrap();
        assert!(FileLocks::new(path).attempt(&session()).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_daemon_that_ends_and_a_command_keep_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let (locks, presence) = daemon(directory.path()).await;
        drop(locks.acquire(&session()).await.unwrap());
        drop(presence);
        locks.free();
        let command = FileLocks::new(directory.path().to_owned());
        drop(command.acquire(&session()).await.unwrap());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
