//! A disk: writes down what SQLite does with the files of one directory, and lets an operation fail.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long a store's writer may take to close its files.
const PATIENCE: Duration = Duration::from_secs(20);

/// One operation on a file, which is named without its directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Operation {
    /// A file comes into being.
    Create(String),
    /// Bytes are written at a place.
    Write(String, u64, Vec<u8>),
    /// A file is cut or extended to a length.
    Truncate(String, u64),
    /// What was written to a file is to be on the disk now.
    Sync(String),
    /// As [`Self::Sync`], but it failed: nobody knows what is on the disk, and a later sync that succeeds does not make up for it.
    SyncFailed(String),
    /// Which files there are is to be on the disk now.
    SyncDirectory,
    /// A file goes.
    Delete(String),
    /// An operation failed.
    Failed,
    /// This many calls have been acknowledged.
    Acknowledged(usize),
}

/// How an operation fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// With an error of the device, and nothing has happened.
    Device,
    /// The disk is full.
    Full,
    /// The disk is full when the first half has been written.
    Short,
    /// The sync of a file fails, and what was to be synced is lost with the power.
    Sync,
}

/// Which operation fails.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fault {
    pub(crate) kind: Kind,
    /// The first one, counted among all that can fail.
    pub(crate) at: usize,
    /// Every later one fails as well, until the disk is mended.
    pub(crate) stays: bool,
}

/// The disk below one directory.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    state: Mutex<State>,
    closed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    operations: Vec<Operation>,
    fault: Option<Fault>,
    /// Operations that could have failed so far.
    asked: usize,
    /// Those that have failed.
    failed: usize,
    open_files: usize,
    /// The files that SQLite or somebody before it made.
    names: HashSet<String>,
}

static DISKS: LazyLock<Mutex<HashMap<PathBuf, Arc<Disk>>>> = LazyLock::new(Mutex::default);

impl Disk {
    /// A disk below this directory from now on.
    pub(crate) fn below(directory: &Path, fault: Option<Fault>) -> Arc<Self> {
        super::vfs::install();
        let disk = Arc::new(Self::default());
        {
            let mut state = disk.lock();
            state.fault = fault;
            state.names = super::image::read(directory).into_keys().collect();
        }
        lock(&DISKS).insert(directory.to_owned(), Arc::clone(&disk));
        disk
    }

    /// The disk that a file is on, if it is one of these.
    pub(crate) fn of(path: &Path) -> Option<Arc<Self>> {
        lock(&DISKS).get(path.parent()?).cloned()
    }

    /// An operation is about to be carried out. How it fails, if it does.
    pub(crate) fn fails(&self, is_sync: bool) -> Option<Kind> {
        let mut state = self.lock();
        let number = state.asked;
        state.asked += 1;
        let fault = state.fault.filter(|fault| is_sync || fault.kind != Kind::Sync)?;
        let is_now = number == fault.at || (fault.stays && number > fault.at);
        is_now.then(|| {
            state.failed += 1;
            state.operations.push(Operation::Failed);
            fault.kind
        })
    }

    pub(crate) fn note(&self, operation: Operation) {
        let mut state = self.lock();
        match &operation {
            Operation::Create(name) => drop(state.names.insert(name.clone())),
            Operation::Delete(name) => drop(state.names.remove(name)),
            _ => {}
        }
        state.operations.push(operation);
    }

    /// Is a file of this name there?
    pub(crate) fn has(&self, name: &str) -> bool {
        self.lock().names.contains(name)
    }

    pub(crate) fn opened(&self) {
        self.lock().open_files += 1;
    }

    pub(crate) fn closed(&self) {
        self.lock().open_files -= 1;
        self.closed.notify_all();
    }

    /// Nothing fails any more.
    pub(crate) fn mend(&self) {
        self.lock().fault = None;
    }

    /// How many operations have failed.
    pub(crate) fn failed(&self) -> usize {
        self.lock().failed
    }

    /// How many operations could have failed.
    pub(crate) fn asked(&self) -> usize {
        self.lock().asked
    }

    /// Waits until a store that was dropped has closed its files.
    pub(crate) fn wait_until_closed(&self) {
        let (state, waited) = self
            .closed
            .wait_timeout_while(self.lock(), PATIENCE, |state| state.open_files > 0)
            .unwrap_or_else(PoisonError::into_inner);
        assert!(!waited.timed_out(), "{} files stay open", state.open_files);
    }

    /// All operations so far.
    pub(crate) fn operations(&self) -> Vec<Operation> {
        self.lock().operations.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
