//! The per-user socket: who may use it, and that there is one daemon behind it.
//!
//! - Its directory is this user's alone ([`crate::system::directory`]); that is the control. The socket's own mode 0600 and the
//!   check of every client's user id come on top of it.
//! - A lock file beside it says who serves it, and one in the state directory who owns that: there is one daemon for each of them.
//!   The locks are held while the daemon can be found.
//! - A socket that has been removed is made again. A daemon in whose place another one listens leaves.
//! - A socket that a service manager listens on (systemd's socket activation) is the manager's: taken as it is, never
//!   removed, and found busy by any other daemon, because somebody always answers there.
//! - A socket that was left behind (`kill -9`) is replaced only under the lock, and only when no process answers on it.
//!
//! On Windows the same roles are played by a named pipe: it belongs to the user, its access list names the user and the
//! system only, remote clients are refused, and the system lets only one process create the first instance of a name.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
use unix as system;
#[cfg(windows)]
use windows as system;

pub use system::{Inherited, LocalListener, StateLock, bind, inherited, own, pair, take};

use crate::system::directory::DirectoryError;
use std::io;
use std::path::PathBuf;

/// What came of an attempt to listen.
#[derive(Debug)]
pub enum Bound {
    /// This process serves the socket.
    Listening(Box<LocalListener>),
    /// Another daemon already does.
    AlreadyServed,
}

/// Who owns a state directory.
#[derive(Debug)]
pub enum Ownership {
    /// This process, while it keeps the lock.
    Ours(StateLock),
    /// A daemon that listens on another socket.
    Theirs(PathBuf),
    /// Unknown: the directory cannot be written, or the system needs no lock.
    Unknown,
}

/// Why this process cannot serve the socket.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Its directory is not this user's alone.
    #[error("the socket's directory cannot be used: {0}{advice}", advice = directory_advice(.0))]
    Directory(#[from] DirectoryError),
    /// The system's limit for such paths, about 100 bytes.
    #[error("the socket's path {path} is too long for this system; choose a shorter one with --socket")]
    TooLong {
        /// The socket.
        path: PathBuf,
    },
    /// Something else stands in its place.
    #[error("{path} is not a socket, or belongs to another user; remove it, or choose another place with --socket")]
    NotASocket {
        /// What is in the way.
        path: PathBuf,
    },
    /// Another process holds the lock and does not answer.
    #[error("{} holds {lock}, but does not answer on its socket; {}", holder.map_or("another daemon".to_owned(), |id| format!("process {id}")), holder.map_or("look for a cupola process that hangs".to_owned(), |id| format!("if it is a Cupola daemon that hangs, run: kill -9 {id}")))]
    Unresponsive {
        /// The lock file.
        lock: PathBuf,
        /// The process that wrote itself into it.
        holder: Option<u32>,
    },
    /// The system refuses.
    #[error("{path}: {source}{}", advice(source))]
    System {
        /// What was tried.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// What helps where nothing may be written.
const OTHER_SOCKET: &str =
    "; unset XDG_RUNTIME_DIR if it is not yours, or set CUPOLA_SOCKET to a path in a directory of your own";

fn advice(source: &io::Error) -> &'static str {
    let is_refused = matches!(source.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem);
    if is_refused { OTHER_SOCKET } else { "" }
}

fn directory_advice(error: &DirectoryError) -> &'static str {
    match error {
        DirectoryError::NotCreated { source, .. } | DirectoryError::NotOpened { source, .. } => advice(source),
        DirectoryError::NotOwned { .. } => OTHER_SOCKET,
        DirectoryError::NotADirectory { .. } | DirectoryError::NotPrivate { .. } => "",
    }
}
