//! Which daemons are alive: each holds a file lock in its own name, which the operating system frees however it ends.

use super::file_lock::FileLock;
use std::io;
use std::path::Path;
use uuid::Uuid;

/// What every daemon's name begins with.
const PREFIX: &str = "daemon-";

/// A daemon's name, held for as long as it lives.
#[derive(Debug)]
pub struct Presence {
    name: String,
    _lock: FileLock,
}

impl Presence {
    /// A new daemon's, under a name that no other has.
    pub fn begin(directory: &Path) -> io::Result<Self> {
        // The lock of a daemon that is gone is taken for a moment: freeing it removes its file.
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            if let Some(name) = entry.file_name().to_str().filter(|name| name.starts_with(PREFIX)) {
                drop(Self::of_one_gone(directory, name));
            }
        }
        let name = format!("{PREFIX}{}", Uuid::new_v4().simple());
        let lock = FileLock::attempt(directory, &name)?;
        let lock = lock.ok_or_else(|| io::Error::other("a name that was just made is in use"))?;
        Ok(Self { name, _lock: lock })
    }

    /// The name of a daemon that is gone, held so that nobody else takes over what it left; `None` while it lives, or while
    /// another one takes it over.
    pub fn of_one_gone(directory: &Path, name: &str) -> io::Result<Option<Self>> {
        // The name becomes a file's.
        if !name.chars().all(|character| character.is_ascii_alphanumeric() || character == '-') {
            return Err(io::Error::other("a daemon has letters, digits and hyphens in its name"));
        }
        Ok(FileLock::attempt(directory, name)?.map(|lock| Self { name: name.to_owned(), _lock: lock }))
    }

    /// Are other daemons alive?
    pub fn are_others(directory: &Path, own: &str) -> bool {
        let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        names
            .filter(|name| name.starts_with(PREFIX) && name != own)
            .any(|name| matches!(Self::of_one_gone(directory, &name), Ok(None)))
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_is_gone_when_its_lock_is_free() {
        let directory = tempfile::tempdir().unwrap();
        let alive = Presence::begin(directory.path()).unwrap();
        let name = alive.name().to_owned();
        assert!(Presence::of_one_gone(directory.path(), &name).unwrap().is_none());
        assert!(Presence::are_others(directory.path(), "another") && !Presence::are_others(directory.path(), &name));
        drop(alive);
        let gone = Presence::of_one_gone(directory.path(), &name).unwrap();
        assert!(gone.is_some());
        assert!(Presence::of_one_gone(directory.path(), &name).unwrap().is_none(), "two take it over");
        drop(gone);
        assert!(!Presence::are_others(directory.path(), "another"));
    }

    #[cfg(unix)]
    #[test]
    fn what_killed_daemons_left_is_removed_by_the_next_one() {
        let directory = tempfile::tempdir().unwrap();
        let alive = Presence::begin(directory.path()).unwrap();
        std::fs::write(directory.path().join("daemon-of-one-that-was-killed"), "").unwrap();
        let next = Presence::begin(directory.path()).unwrap();
        let mut left: Vec<_> =
            std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        let mut names = [alive.name(), next.name()];
        names.sort_unstable();
        assert_eq!(left, names);
    }
}
