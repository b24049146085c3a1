//! Which emulators of this user run, and where their secrets are: so that a command finds the secret for the URL it is given.
//!
//! The directory belongs to the user alone, so no other user can add an entry. A running emulator holds a lock on its
//! entry, and the system releases the lock however the emulator ends: an entry without a lock is stale, and is never used.
//! Otherwise a token could go to a program that has taken the port of an emulator that is gone.

use crate::auth::{Secret, SecretError};
use crate::private;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Held while the directory is changed.
const DIRECTORY_LOCK: &str = "lock";
/// The name of the file that a running emulator keeps locked.
const HELD: &str = "held";
/// How the file beside it is called. On Windows a locked file cannot be read, so these are two.
const ENTRY: &str = "json";

/// Most of an entry that is read: a URL and a path.
const MAX_ENTRY_BYTES: u64 = 16 * 1024;

/// How often and after how long an emulator tries again to take its entry: a command may be looking at it, for microseconds.
const TAKE_ATTEMPTS: u32 = 20;
const TAKE_PAUSE: Duration = Duration::from_millis(5);

/// What is known of a running emulator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Where it listens, for example `http://127.0.0.1:8787`.
    pub url: String,
    /// The file with its secret.
    pub secret: PathBuf,
}

/// The directory or an entry cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The directory, or something in it.
    #[error("the list of running emulators in {} cannot be used: {source}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What is wrong.
        source: io::Error,
    },
    /// A running emulator has this URL already.
    #[error("{url} is registered by another emulator in {}", path.display())]
    Taken {
        /// The URL.
        url: String,
        /// The directory.
        path: PathBuf,
    },
    /// A running emulator's secret.
    #[error(transparent)]
    Secret(#[from] SecretError),
}

/// An emulator that was running when it was looked at.
#[derive(Debug)]
pub struct Seen {
    /// Each emulator makes a file of its own and locks it, so no other one can ever hold the lock on this one.
    held: File,
}

impl Seen {
    /// Is the same emulator still running?
    pub fn is_running(&self) -> bool {
        matches!(self.held.try_lock_shared(), Err(TryLockError::WouldBlock))
    }
}

/// A running emulator's entry. Dropped, it is gone.
#[derive(Debug)]
pub struct Registration {
    directory: PathBuf,
    name: String,
    /// Held until the entry is gone.
    _held: File,
}

impl Drop for Registration {
    fn drop(&mut self) {
        // What stays behind is stale once the lock is gone.
        let _ = fs::remove_file(file(&self.directory, &self.name, ENTRY));
        let _ = fs::remove_file(file(&self.directory, &self.name, HELD));
    }
}

/// Enters an emulator into `directory`, which is made if it is not there, and removes entries that are stale.
pub fn register(directory: &Path, entry: &Entry) -> Result<Registration, RegistryError> {
    let failed = |source| RegistryError::Directory { path: directory.to_owned(), source };
    private::directory(directory).map_err(failed)?;
    let changing = File::create(directory.join(DIRECTORY_LOCK)).map_err(failed)?;
    changing.lock().map_err(failed)?;
    let name = name_of(&entry.url);
    remove_stale(directory);
    for attempt in 0.. {
        match fs::symlink_metadata(file(directory, &name, HELD)) {
            Err(_) => break,
            Ok(_) if attempt == TAKE_ATTEMPTS => {
                return Err(RegistryError::Taken { url: entry.url.clone(), path: directory.to_owned() });
            }
            Ok(_) => std::thread::sleep(TAKE_PAUSE),
        }
        remove_stale(directory);
    }
    let held = private::create(&file(directory, &name, HELD)).map_err(failed)?;
    held.lock().map_err(failed)?;
    let registration = Registration { directory: directory.to_owned(), name, _held: held };
    let path = file(directory, &registration.name, ENTRY);
    let mut written = private::create(&path).map_err(failed)?;
    written.write_all(&serde_json::to_vec(entry).map_err(|error| failed(error.into()))?).map_err(failed)?;
    Ok(registration)
}

/// The emulator of this user that listens at `url`. For `localhost` it is the one at 127.0.0.1, else the one at `[::1]`; its
/// own URL says which, and a token must go nowhere else.
pub fn find(directory: &Path, url: &str) -> Result<Option<Entry>, RegistryError> {
    Ok(see(directory, url)?.map(|(entry, _)| entry))
}

/// As [`find`], with a way to ask again whether it runs.
pub fn see(directory: &Path, url: &str) -> Result<Option<(Entry, Seen)>, RegistryError> {
    if !is_there(directory)? {
        return Ok(None);
    }
    let url = url.trim_end_matches('/').to_ascii_lowercase();
    let found =
        meant_by(&url).into_iter().find_map(|url| running(directory, &name_of(&url)).filter(|(it, _)| it.url == url));
    Ok(found)
}

/// Every running emulator of this user, by URL.
pub fn list(directory: &Path) -> Result<Vec<Entry>, RegistryError> {
    if !is_there(directory)? {
        return Ok(Vec::new());
    }
    let mut found: Vec<_> =
        names(directory).iter().filter_map(|name| running(directory, name)).map(|(entry, _)| entry).collect();
    found.sort_by(|one, other| one.url.cmp(&other.url));
    Ok(found)
}

/// Reads the secret of a running emulator.
pub fn secret(entry: &Entry) -> Result<Secret, RegistryError> {
    Ok(Secret::read(&entry.secret)?)
}

fn is_there(directory: &Path) -> Result<bool, RegistryError> {
    if !directory.exists() {
        return Ok(false);
    }
    private::directory(directory)
        .map(|()| true)
        .map_err(|source| RegistryError::Directory { path: directory.to_owned(), source })
}

/// The URLs an emulator may be registered under when it is asked for under this one.
fn meant_by(url: &str) -> Vec<String> {
    match url.split_once("://localhost:") {
        // Another user's program may listen at the address that `localhost` would lead to first.
        Some((scheme, port)) => vec![format!("{scheme}://127.0.0.1:{port}"), format!("{scheme}://[::1]:{port}")],
        None => vec![url.to_owned()],
    }
}

fn running(directory: &Path, name: &str) -> Option<(Entry, Seen)> {
    let held = private::open(&file(directory, name, HELD)).ok()?;
    let seen = Seen { held };
    if !seen.is_running() {
        return None;
    }
    let mut text = Vec::new();
    private::open(&file(directory, name, ENTRY)).ok()?.take(MAX_ENTRY_BYTES).read_to_end(&mut text).ok()?;
    Some((serde_json::from_slice(&text).ok()?, seen))
}

/// Call it only while the directory is locked, so that no entry is added meanwhile.
fn remove_stale(directory: &Path) {
    for name in names(directory) {
        let path = file(directory, &name, HELD);
        let is_held = private::open(&path).is_ok_and(|held| matches!(held.try_lock(), Err(TryLockError::WouldBlock)));
        if !is_held {
            // The entry goes first: without its lock it is stale, without the entry there is nothing to find.
            let _ = fs::remove_file(file(directory, &name, ENTRY));
            let _ = fs::remove_file(path);
        }
    }
}

fn names(directory: &Path) -> Vec<String> {
    crate::store::entries(directory)
        .iter()
        .filter(|path| path.extension().is_some_and(|kind| kind == HELD))
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .collect()
}

fn name_of(url: &str) -> String {
    url.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' }).collect()
}

fn file(directory: &Path, name: &str, kind: &str) -> PathBuf {
    directory.join(format!("{name}.{kind}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(url: &str) -> Entry {
        Entry { url: url.to_owned(), secret: PathBuf::from("/data/secret") }
    }

    #[test]
    fn an_emulator_is_found_by_its_url_as_long_as_it_runs() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("emulators");
        assert_eq!(find(&directory, "http://127.0.0.1:8787").unwrap(), None);
        let registration = register(&directory, &entry("http://127.0.0.1:8787")).unwrap();
        let six = register(&directory, &entry("https://[::1]:8788")).unwrap();
        for (asked, found) in [
            ("http://127.0.0.1:8787", Some("http://127.0.0.1:8787")),
            ("http://127.0.0.1:8787/", Some("http://127.0.0.1:8787")),
            ("http://localhost:8787", Some("http://127.0.0.1:8787")),
            ("https://localhost:8788", Some("https://[::1]:8788")),
            ("https://127.0.0.1:8787", None),
            ("http://127.0.0.1:8788", None),
            ("http://127.0.0.1:878", None),
        ] {
            assert_eq!(find(&directory, asked).unwrap().map(|it| it.url).as_deref(), found, "{asked}");
        }
        assert_eq!(list(&directory).unwrap().len(), 2);
        let (_, seen) = see(&directory, "http://127.0.0.1:8787").unwrap().unwrap();
        assert!(seen.is_running() && seen.is_running());
        let twice = register(&directory, &entry("http://127.0.0.1:8787"));
        assert!(matches!(twice, Err(RegistryError::Taken { .. })), "{twice:?}");
        drop(registration);
        assert_eq!(find(&directory, "http://127.0.0.1:8787").unwrap(), None);
        let another = register(&directory, &entry("http://127.0.0.1:8787")).unwrap();
        assert!(!seen.is_running(), "another emulator is taken for the one that was seen");
        drop(another);
        drop(six);
        assert_eq!(names(&directory), Vec::<String>::new());
    }

    #[test]
    fn the_entry_of_an_emulator_that_was_killed_is_not_used_and_goes_with_the_next_start() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("emulators");
        let registration = register(&directory, &entry("http://127.0.0.1:8787")).unwrap();
        // What stays when nothing is dropped: the files, without the lock.
        let left: Vec<_> = [ENTRY, HELD]
            .map(|kind| file(&directory, &registration.name, kind))
            .map(|path| (path.clone(), fs::read(path).unwrap()))
            .into();
        drop(registration);
        for (path, content) in left {
            private::create(&path).unwrap().write_all(&content).unwrap();
        }
        assert_eq!(find(&directory, "http://127.0.0.1:8787").unwrap(), None);
        assert_eq!(list(&directory).unwrap(), []);
        let _other = register(&directory, &entry("http://127.0.0.1:1")).unwrap();
        assert_eq!(names(&directory), ["http---127-0-0-1-1"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_directory_that_others_can_change_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("emulators");
        let _registration = register(&directory, &entry("http://127.0.0.1:8787")).unwrap();
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(find(&directory, "http://127.0.0.1:8787"), Err(RegistryError::Directory { .. })));
        assert!(register(&directory, &entry("http://127.0.0.1:1")).is_err());
    }
}
