//! Files on this machine that a transfer reads or writes, and where it may find them.
//!
//! - [`Local`]: where a call may open files: anywhere, or below one directory
//! - [`Root`]: that directory, which a bound connection was given
//! - [`Directory`]: an open directory, and what a transfer does with the names in it
//! - [`Draft`]: a file that is written beside its place and takes it as a whole
//!
//! A file is opened once, checked as what was opened, and used by that handle. Nothing is checked by its path first
//! and opened by its path later, where it could be another file by then.
//!
//! - `directory`, `root`, `draft`: the types above; `guard`: files below a root that decide over trust; `leftovers`: drafts that a
//!   killed daemon left

mod directory;
mod draft;
mod guard;
mod leftovers;
mod root;

pub use directory::{Directory, Kind};
pub use draft::Draft;
pub use root::Root;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use std::fs::{self, File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file on this machine cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LocalFileError {
    /// It cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// It cannot be written.
    #[error("{} cannot be written: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// It is a directory, a device or the like.
    #[error("{} is {}", path.display(), if *is_directory { "a directory, not a file" } else { "not a regular file" })]
    NoFile {
        /// What it is called.
        path: PathBuf,
        /// Is it a directory?
        is_directory: bool,
    },
    /// A directory is where a file should go.
    #[error("{} is a directory; a file cannot take its place", path.display())]
    Directory {
        /// What it is called.
        path: PathBuf,
    },
    /// It is larger than what may be sent.
    #[error("{} has {length} bytes; the service takes files of at most {} MB ({limit} bytes)", path.display(), limit / (1024 * 1024))]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its length in bytes.
        length: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The connection that asks is bound, and not allowed to reach it.
    #[error("{} is out of this connection's reach: {reason}", path.display())]
    OutOfReach {
        /// What it is called.
        path: PathBuf,
        /// Why.
        reason: &'static str,
    },
}

impl LocalFileError {
    fn reading(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Read { path: path.to_owned(), source }
    }

    fn writing(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Write { path: path.to_owned(), source }
    }
}

/// Where a call may open files.
#[derive(Debug, Clone)]
pub enum Local {
    /// Wherever this user may.
    Anywhere,
    /// Below one directory, without following a link.
    Below(Arc<Root>),
}

/// A regular file, opened for reading.
#[derive(Debug, Clone)]
pub struct Opened {
    /// The file. It is read by position, because several attempts to send it may share it.
    pub file: Arc<File>,
    /// How many bytes it had when it was opened.
    pub length: u64,
    /// What it is called.
    pub path: PathBuf,
}

impl Opened {
    /// Refuses what is not a regular file, or longer than `limit` bytes.
    fn checked(file: File, path: PathBuf, limit: u64) -> Result<Self, LocalFileError> {
        let metadata = file.metadata().map_err(LocalFileError::reading(&path))?;
        check(&path, &metadata)?;
        match metadata.len() {
            length if length > limit => Err(LocalFileError::TooLarge { path, length, limit }),
            length => Ok(Self { file: Arc::new(file), length, path }),
        }
    }
}

impl Local {
    /// Is it a directory, or a link to one that may be followed?
    pub async fn is_directory(&self, path: &Path) -> Result<bool, LocalFileError> {
        self.on_thread(path, |local, path| match local {
            Self::Anywhere => Ok(fs::metadata(path).map_err(LocalFileError::reading(path))?.is_dir()),
            Self::Below(root) => match root.parent(path)? {
                None => Ok(true),
                Some((directory, name)) => directory.is_directory(&name),
            },
        })
        .await
    }

    /// Opens a file of at most `limit` bytes.
    pub async fn open(&self, path: &Path, limit: u64) -> Result<Opened, LocalFileError> {
        self.on_thread(path, move |local, path| match local {
            Self::Anywhere => {
                // A pipe would be waited for.
                check(path, &fs::metadata(path).map_err(LocalFileError::reading(path))?)?;
                let file = File::open(path).map_err(LocalFileError::reading(path))?;
                Opened::checked(file, path.to_owned(), limit)
            }
            Self::Below(root) => match root.parent(path)? {
                None => Err(LocalFileError::NoFile { path: path.to_owned(), is_directory: true }),
                Some((directory, name)) => directory.open_now(&name, limit),
            },
        })
        .await
    }

    /// Opens a directory to go through it.
    pub async fn directory(&self, path: &Path) -> Result<Directory, LocalFileError> {
        self.on_thread(path, |local, path| match local {
            Self::Anywhere => Dir::open_ambient_dir(path, ambient_authority())
                .map(|handle| Directory::anywhere(handle, path))
                .map_err(LocalFileError::reading(path)),
            Self::Below(root) => match root.parent(path)? {
                None => Ok(root.top()),
                Some((directory, name)) => directory.directory_now(&name),
            },
        })
        .await
    }

    /// Opens a directory to write to it; makes it if it is missing. Removes what killed downloads left in it.
    pub async fn make_directory(&self, path: &Path) -> Result<Directory, LocalFileError> {
        self.on_thread(path, |local, path| match local {
            Self::Anywhere => {
                match fs::create_dir(path) {
                    Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                        return Err(LocalFileError::writing(path)(error));
                    }
                    _ => {}
                }
                let handle = Dir::open_ambient_dir(path, ambient_authority()).map_err(LocalFileError::writing(path))?;
                let directory = Directory::anywhere(handle, path);
                directory.sweep();
                Ok(directory)
            }
            Self::Below(root) => match root.parent(path)? {
                None => Ok(root.top()),
                Some((directory, name)) => directory.make_directory_now(&name),
            },
        })
        .await
    }

    /// Begins a file that will be at `path`, or where a link of that name leads, if it may be followed. Removes what
    /// killed downloads left beside it.
    pub async fn draft(&self, path: &Path) -> Result<Draft, LocalFileError> {
        self.on_thread(path, |local, path| {
            let (directory, name) = match local {
                Self::Anywhere => {
                    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
                    let (Some(parent), Some(name)) = (target.parent(), target.file_name()) else {
                        return Err(LocalFileError::Directory { path: path.to_owned() });
                    };
                    let handle = Dir::open_ambient_dir(parent, ambient_authority());
                    let handle = handle.map_err(LocalFileError::writing(path))?;
                    (Directory::anywhere(handle, parent), name.to_owned())
                }
                Self::Below(root) => {
                    root.parent(path)?.ok_or_else(|| LocalFileError::Directory { path: path.to_owned() })?
                }
            };
            directory.sweep();
            Draft::begin_now(&directory, &name)
        })
        .await
    }

    async fn on_thread<T: Send + 'static>(
        &self,
        path: &Path,
        work: impl FnOnce(&Self, &Path) -> Result<T, LocalFileError> + Send + 'static,
    ) -> Result<T, LocalFileError> {
        let (local, owned) = (self.clone(), path.to_owned());
        on_thread(path, move || work(&local, &owned)).await
    }
}

/// Runs work that may wait for a disk on a separate thread.
async fn on_thread<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> Result<T, LocalFileError> + Send + 'static,
) -> Result<T, LocalFileError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(LocalFileError::reading(path)(io::Error::other(error))))
}

/// To replace or read a device or a pipe would do something else than meant, or never end.
fn check(path: &Path, metadata: &Metadata) -> Result<(), LocalFileError> {
    if metadata.is_file() {
        return Ok(());
    }
    Err(LocalFileError::NoFile { path: path.to_owned(), is_directory: metadata.is_dir() })
}

#[cfg(test)]
mod tests;
