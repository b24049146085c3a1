//! Exclusion: names that one holder has at a time, among all processes that share saved state. Beside each [`Store`] there is one:
//! locked files beside a state file ([`FileLocks`]), leases in a shared store.

use super::file_lock::FileLock;
use super::store::{Lease, LockName, Store, StoreError};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use std::any::Any;
use std::path::PathBuf;
use std::sync::Arc;
use std::{fmt, io};

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
}

/// A store that refuses what is written under a lease that is lost. One whose locks cannot be lost is `store` itself.
pub fn under(store: &Arc<dyn Store>, lease: Option<&Lease>) -> Arc<dyn Store> {
    lease.and_then(|lease| store.under(lease)).unwrap_or_else(|| Arc::clone(store))
}

/// Locked files in a directory. The operating system frees them when their process ends.
#[derive(Debug)]
pub struct FileLocks {
    directory: Arc<PathBuf>,
}

impl FileLocks {
    /// Uses a directory, which is made with the first lock.
    pub fn new(directory: PathBuf) -> Self {
        Self { directory: Arc::new(directory) }
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
        let (directory, name) = (Arc::clone(&self.directory), name.file_name());
        async move {
            let lock = FileLock::acquire(&directory, &name).await;
            lock.map(|lock| Held::new(lock, None)).map_err(Self::unusable(&directory))
        }
        .boxed()
    }

    fn attempt(&self, name: &LockName) -> BoxFuture<'static, Result<Option<Held>, ExclusionError>> {
        let name = name.file_name();
        // The name becomes a file's.
        let lock = if name.chars().all(|character| character.is_ascii_alphanumeric() || character == '-') {
            FileLock::attempt(&self.directory, &name)
        } else {
            Err(io::Error::other("a daemon has letters, digits and hyphens in its name"))
        };
        let held = lock.map(|lock| lock.map(|lock| Held::new(lock, None))).map_err(Self::unusable(&self.directory));
        std::future::ready(held).boxed()
    }

    fn appear(&self, name: &LockName) -> BoxFuture<'static, Result<Option<Held>, ExclusionError>> {
        self.sweep(&name.file_name());
        self.attempt(name)
    }

    fn are_others(&self, own: &str) -> bool {
        self.sweep(own) > 0
    }
}
