//! Which files of this machine are believed: the one rule that the daemon and every client follow.
//!
//! Some files decide where prompts and tokens go, or whom to trust. Such a file counts only when its owner is this user or
//! root, and the same holds for the directory that holds it and for every symbolic link on the way ([`Rule::Project`]).
//! That is what git's `safe.directory` asks, and as in git the mode does not matter: a team may share a project. The
//! user's own configuration must also be out of reach of other users' writing ([`Rule::Configuration`]).
//!
//! Nothing is checked on Windows: a user's profile directories are private there by their inherited access lists.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
use unix as system;
#[cfg(windows)]
use windows as system;

pub use system::User;

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _};
use std::path::{Path, PathBuf};

/// What a file must fulfil to be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// A project's file, or one of azd's: file, directory and links belong to this user or root.
    Project,
    /// The user's configuration, or a file that it names: as [`Rule::Project`], and no other user can write to the file or
    /// replace it. A group whose id is the owner's own (a *user private group*, as with umask 002) is not another user, and
    /// in a directory with the sticky bit a user cannot replace another user's file.
    Configuration,
}

/// Why a file is not used.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// It is there and cannot be read.
    #[error("{path} cannot be read: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is larger than any such file is.
    #[error("{path} is larger than {limit} bytes")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The most that is read.
        limit: u64,
    },
    /// Another user's.
    #[error("{path} belongs to user {owner}, not to you (user {user}) or root, so it is not used")]
    NotOwned {
        /// The file, its directory, or a link on the way.
        path: PathBuf,
        /// Its owner's id.
        owner: u32,
        /// This process's user id.
        user: u32,
    },
    /// Other users could have written it.
    #[error("{path} can be changed by other users (mode {mode:03o}), so it is not used")]
    Writable {
        /// The file or its directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
}

impl Unusable {
    /// The hint as the rest of a sentence, for errors of one line.
    pub fn advice(&self) -> String {
        self.hint().map(|hint| format!("; {hint}")).unwrap_or_default()
    }

    /// What to do about it, where the file's place says enough.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unreadable { .. } | Self::TooLarge { .. } => None,
            Self::NotOwned { path, user, .. } => {
                Some(format!("if you trust what it says, make it yours: chown -h {user} {}", path.display()))
            }
            Self::Writable { path, .. } => Some(format!("check what it says, then run: chmod go-w {}", path.display())),
        }
    }
}

/// Reads a text file that `user` may trust. Returns `None` if the file does not exist. A broken symbolic link is an error:
/// if it were skipped, another file would be trusted in its place.
pub fn text(path: &Path, rule: Rule, limit: u64, user: User) -> Result<Option<String>, Unusable> {
    let Some(bytes) = bytes(path, rule, limit, user)? else { return Ok(None) };
    String::from_utf8(bytes).map(Some).map_err(|_| Unusable::Unreadable {
        path: path.to_owned(),
        source: io::Error::new(ErrorKind::InvalidData, "it is not UTF-8 text"),
    })
}

/// As [`text`], for files of any content.
pub fn bytes(path: &Path, rule: Rule, limit: u64, user: User) -> Result<Option<Vec<u8>>, Unusable> {
    let unreadable = |source| Unusable::Unreadable { path: path.to_owned(), source };
    let file = match system::open(path) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return match fs::symlink_metadata(path) {
                Ok(_) => Err(unreadable(io::Error::new(ErrorKind::NotFound, "it is a link that leads nowhere"))),
                Err(_) => Ok(None),
            };
        }
        Err(error) => return Err(unreadable(error)),
    };
    let found = file.metadata().map_err(unreadable)?;
    if !found.is_file() {
        let kind = if found.is_dir() { "it is a directory, not a file" } else { "it is not a regular file" };
        return Err(unreadable(io::Error::other(kind)));
    }
    system::check(path, &found, rule, user)?;
    read(file, limit).map_err(unreadable)?.map(Some).ok_or(Unusable::TooLarge { path: path.to_owned(), limit })
}

/// Nothing if it is longer than `limit`.
fn read(file: File, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= limit).then_some(bytes))
}
