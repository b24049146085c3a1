//! `--watch DIR`: notices when the sources of agents change.
//!
//! An editor writes a file in several steps, and a checkout writes many files, so a change is reported once it has been quiet for a
//! moment. What programs write beside sources ([`IGNORED`], [`IGNORED_ENDS`], hidden directories) and the emulator's own data do not count: a restart that writes to a log would otherwise cause the next restart.

use notify::event::EventKind;
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher as _};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::watch;

/// Directories, anywhere below a watched one, in which nothing is a source, besides hidden ones: what builds, package managers and
/// interpreters write.
pub const IGNORED: [&str; 4] = ["__pycache__", "node_modules", "target", "venv"];

/// Ends of the names of files that do not count as sources: logs, databases, and what editors write while a file is open.
pub const IGNORED_ENDS: [&str; 12] = [
    ".log",
    ".db",
    ".db-journal",
    ".db-shm",
    ".db-wal",
    ".sqlite",
    ".sqlite3",
    ".sqlite-journal",
    ".pyc",
    ".swp",
    ".tmp",
    "~",
];

/// How long nothing may change before a change is reported. Editors take a few milliseconds for all steps of a save.
const QUIET: Duration = Duration::from_millis(200);

/// A change is reported after this long even if others follow without a pause.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// Why a directory cannot be watched.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// It is not a directory that can be read.
    #[error("--watch: the directory {} cannot be read: {source}", path.display())]
    Directory {
        /// As given.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// The system does not report changes there.
    #[error("--watch: changes in {} cannot be noticed: {source}", path.display())]
    System {
        /// As given.
        path: PathBuf,
        /// What is wrong.
        source: notify::Error,
    },
}

/// Directories whose changes are noticed until this is dropped.
pub(super) struct Sources {
    _watcher: RecommendedWatcher,
    /// The path that changed last.
    changed: watch::Receiver<PathBuf>,
}

impl Sources {
    /// Watches everything below the directories but `data`, the emulator's own.
    pub(super) fn watch(directories: &[PathBuf], data: &Path) -> Result<Self, WatchError> {
        let real = |path: &PathBuf| {
            std::fs::read_dir(path)
                .and_then(|_| path.canonicalize())
                .map_err(|source| WatchError::Directory { path: path.clone(), source })
        };
        let roots = directories.iter().map(real).collect::<Result<Vec<_>, _>>()?;
        let data = data.canonicalize().unwrap_or_else(|_| data.to_owned());
        let (sender, changed) = watch::channel(PathBuf::new());
        let known = roots.clone();
        let system = |path: &PathBuf| {
            let path = path.clone();
            move |source| WatchError::System { path, source }
        };
        let first = directories.first().cloned().unwrap_or_default();
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            // An error means that events were lost, or that a directory cannot be watched any more: nothing to restart for.
            let Ok(event) = event else { return };
            if let Some(path) = source_of(&event, &known, &data) {
                sender.send_replace(path);
            }
        })
        .map_err(system(&first))?;
        for (root, given) in roots.iter().zip(directories) {
            watcher.watch(root, RecursiveMode::Recursive).map_err(system(given))?;
        }
        Ok(Self { _watcher: watcher, changed })
    }

    /// Waits for a change, and until no other has followed for a moment. Says which file changed last, relative to its directory.
    pub(super) async fn changed(&mut self) -> PathBuf {
        settled(&mut self.changed).await
    }
}

async fn settled(changed: &mut watch::Receiver<PathBuf>) -> PathBuf {
    if changed.changed().await.is_err() {
        // The watcher lives as long as its `Sources`, and holds the sender.
        std::future::pending::<()>().await;
    }
    let quiet = async { while tokio::time::timeout(QUIET, changed.changed()).await.is_ok() {} };
    // Either way the newest change is the one to report.
    let _ = tokio::time::timeout(LONGEST_WAIT, quiet).await;
    changed.borrow_and_update().clone()
}

/// The source that an event is about, relative to the root it is below.
fn source_of(event: &Event, roots: &[PathBuf], data: &Path) -> Option<PathBuf> {
    // Reading changes nothing.
    if matches!(event.kind, EventKind::Access(_)) {
        return None;
    }
    // Of a rename, the new name.
    event.paths.iter().rev().filter(|path| !path.starts_with(data)).find_map(|path| {
        let below = roots.iter().find_map(|root| path.strip_prefix(root).ok())?;
        let is_ignored = below.iter().any(|name| IGNORED.iter().any(|ignored| name == *ignored))
            || below.parent().is_some_and(|directory| directory.iter().any(is_hidden))
            || (path.is_dir() && below.file_name().is_some_and(is_hidden))
            || IGNORED_ENDS.iter().any(|end| below.to_string_lossy().ends_with(end));
        // The root itself changes with everything in it.
        (!is_ignored && !below.as_os_str().is_empty()).then(|| below.to_owned())
    })
}

fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

#[cfg(test)]
mod tests {
    use super::*;
    use notify::event::{AccessKind, CreateKind};

    #[test]
    fn a_source_is_a_file_that_changed_outside_of_what_programs_write() {
        let roots = [PathBuf::from("/agent"), PathBuf::from("/shared/lib")];
        let found = |kind, path: &str| {
            let event = Event::new(kind).add_path(path.into());
            source_of(&event, &roots, Path::new("/agent/data")).map(|path| path.to_string_lossy().into_owned())
        };
        let created = EventKind::Create(CreateKind::File);
        for (path, expected) in [
            ("/agent/main.py", Some("main.py")),
            ("/agent/src/target.py", Some("src/target.py")),
            ("/agent/.env", Some(".env")),
            ("/shared/lib/a.py", Some("a.py")),
            ("/agent/target/debug/agent", None),
            ("/agent/src/__pycache__/main.pyc", None),
            ("/agent/web/node_modules/a/index.js", None),
            ("/agent/.git/index", None),
            ("/agent/.venv/lib/a.py", None),
            ("/agent/emulator.log", None),
            ("/agent/notes.db-wal", None),
            ("/agent/main.py~", None),
            ("/agent/data/agents/mine/state", None),
            ("/agent", None),
            ("/elsewhere/main.py", None),
        ] {
            assert_eq!(found(created, path).as_deref(), expected, "{path}");
        }
        assert_eq!(found(EventKind::Access(AccessKind::Any), "/agent/main.py"), None, "reading changes nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn changes_that_follow_each_other_are_reported_once() {
        let (sender, mut changed) = watch::channel(PathBuf::new());
        let writes = async {
            for path in ["a", "b", "c"] {
                tokio::time::sleep(QUIET / 2).await;
                sender.send_replace(path.into());
            }
        };
        let (reported, ()) = tokio::join!(settled(&mut changed), writes);
        assert_eq!(reported, Path::new("c"));
        assert!(!changed.has_changed().unwrap(), "the change is reported twice");
        // Even without a pause, one is reported.
        let endless = async {
            loop {
                tokio::time::sleep(QUIET / 2).await;
                sender.send_replace("d".into());
            }
        };
        let began = tokio::time::Instant::now();
        tokio::select! {
            reported = settled(&mut changed) => assert_eq!(reported, Path::new("d")),
            () = endless => {}
        }
        assert!(began.elapsed() <= QUIET + LONGEST_WAIT);
    }

    #[tokio::test]
    async fn a_file_that_changes_is_named_by_its_path_below_the_directory() {
        let directory = tempfile::tempdir().unwrap();
        let nested = directory.path().join("src");
        std::fs::create_dir(&nested).unwrap();
        let mut sources = Sources::watch(&[directory.path().to_owned()], Path::new("/nowhere")).unwrap();
        std::fs::write(nested.join("main.py"), "a").unwrap();
        let changed = tokio::time::timeout(Duration::from_secs(20), sources.changed()).await.unwrap();
        assert_eq!(changed, Path::new("src/main.py"));
    }

    #[test]
    fn a_directory_that_is_not_there_is_named() {
        let Err(error) = Sources::watch(&["absent".into()], Path::new("/nowhere")) else { panic!("it was accepted") };
        assert!(error.to_string().contains("--watch: the directory absent cannot be read"), "{error}");
    }
}
