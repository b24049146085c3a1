//! Which daemon owns a place: the note in its lock file. A daemon holds one lock beside its socket and one in its state directory,
//! so that there is one daemon per state directory, and programs whose rule gives another socket find it.
//!
//! The file stays when the daemon ends; only the lock says that the note is true. Writing and locking are the daemon's.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The lock file in a state directory.
pub const STATE_LOCK: &str = "daemon.lock";
/// What is added to a socket's name for the lock file beside it.
const SOCKET_LOCK: &str = ".lock";
/// The most that is read of a note: a process id and a socket's path.
const MAX_NOTE_BYTES: u64 = 8 * 1024;

/// What a lock file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The daemon's process.
    pub process: u32,
    /// Where it listens.
    pub socket: PathBuf,
}

/// The lock file beside a socket.
pub fn beside(socket: &Path) -> PathBuf {
    let mut name = OsString::from(socket);
    name.push(SOCKET_LOCK);
    name.into()
}

/// The name that a daemon gives its socket when it has been told to stop and only finishes its runs.
pub fn late(socket: &Path, process: u32) -> PathBuf {
    let mut name = OsString::from(socket);
    name.push(format!(".{process}"));
    name.into()
}

/// The sockets of such daemons beside a socket, and of those that ended without removing theirs.
pub fn all_late(socket: &Path) -> Vec<PathBuf> {
    let (Some(directory), Some(name)) = (socket.parent(), socket.file_name().and_then(OsStr::to_str)) else {
        return Vec::new();
    };
    let is_late = |found: &OsString| {
        let process = found.to_str().and_then(|found| found.strip_prefix(name)?.strip_prefix('.'));
        process.is_some_and(|process| process.parse::<u32>().is_ok())
    };
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let mut found: Vec<_> = entries.filter(is_late).map(|name| directory.join(name)).collect();
    found.sort();
    found
}

impl Owner {
    /// As it is written: the process and the socket, a line each.
    pub fn note(&self) -> String {
        format!("{}\n{}\n", self.process, self.socket.display())
    }

    /// What a note says, if it is one.
    pub fn parse(note: &str) -> Option<Self> {
        let mut lines = note.lines();
        let process = lines.next()?.trim().parse().ok()?;
        let socket = lines.next().map(PathBuf::from).filter(|socket| socket.is_absolute())?;
        Some(Self { process, socket })
    }

    /// What the lock file says, whether or not it is still true.
    pub fn noted(lock: &Path) -> Option<Self> {
        let mut note = String::new();
        File::open(lock).ok()?.take(MAX_NOTE_BYTES).read_to_string(&mut note).ok()?;
        Self::parse(&note)
    }

    /// What the lock file says, if a process holds the lock.
    pub fn holding(lock: &Path) -> Option<Self> {
        is_held(lock).ok().filter(|held| *held)?;
        Self::noted(lock)
    }
}

/// Does a process hold the lock?
fn is_held(lock: &Path) -> io::Result<bool> {
    match File::open(lock)?.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(std::fs::TryLockError::WouldBlock) => Ok(true),
        Err(std::fs::TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_true_only_while_its_lock_is_held() {
        let directory = tempfile::tempdir().unwrap();
        let lock = beside(&directory.path().join("v1.sock"));
        assert!(lock.ends_with("v1.sock.lock"));
        assert_eq!(Owner::holding(&lock), None);
        let owner = Owner { process: 7, socket: PathBuf::from("/run/user/7/cupola/v1.sock") };
        std::fs::write(&lock, owner.note()).unwrap();
        assert_eq!((Owner::noted(&lock), Owner::holding(&lock)), (Some(owner.clone()), None));
        let held = File::open(&lock).unwrap();
        held.lock().unwrap();
        assert_eq!(Owner::holding(&lock), Some(owner));
    }

    #[test]
    fn late_sockets_are_told_from_the_files_beside_them() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("v1.sock");
        let late = late(&socket, 77);
        for path in
            [&socket, &beside(&socket), &late, &directory.path().join("v1.sock.old"), &directory.path().join("7")]
        {
            std::fs::write(path, "").unwrap();
        }
        assert_eq!(all_late(&socket), [late]);
        assert!(all_late(&directory.path().join("none/v1.sock")).is_empty());
    }

    #[test]
    fn other_text_is_not_read_as_a_note() {
        for text in ["", "7\n", "7\nrelative.sock\n", "seven\n/x\n", "\u{0}"] {
            assert_eq!(Owner::parse(text), None, "{text:?}");
        }
    }
}
