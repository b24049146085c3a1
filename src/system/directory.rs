//! A directory that only this user can enter: made so, or refused.
//!
//! Sockets and saved state live in such directories. The check is made on the opened directory itself, so that nothing
//! can be put in its place between the check and the use; and an existing directory is never changed, because another
//! user may have changed its permissions.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// What is written to see whether anything can be, in bytes: more than the state of a hundred more users takes.
const TRIAL_BYTES: usize = 64 * 1024;

/// An open directory that belongs to this user alone.
#[derive(Debug)]
pub struct PrivateDirectory {
    path: PathBuf,
    /// Keeps the directory that was checked.
    #[cfg(unix)]
    handle: rustix::fd::OwnedFd,
}

/// What keeps other users from the socket at `path`, in words.
pub fn guard(path: &Path) -> Result<&'static str, DirectoryError> {
    if cfg!(windows) {
        // The pipe's own access list does.
        return Ok("a pipe that only you can open");
    }
    PrivateDirectory::open(path.parent().unwrap_or(path))?;
    Ok("in a directory that only you can open")
}

/// Why a directory is not used.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// It is not there and cannot be made.
    #[error("{path} cannot be created: {source}; choose a directory that you can write, or make this one")]
    NotCreated {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is there but cannot be opened as a directory.
    #[error("{path} cannot be opened: {source}; choose a directory that you can read and write")]
    NotOpened {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The owner of a link could point it elsewhere.
    #[error("{path} is a symbolic link or not a directory; remove it, or name the directory it leads to")]
    NotADirectory {
        /// The path.
        path: PathBuf,
    },
    /// Somebody else's.
    #[error("{path} belongs to user {owner}, not to you (user {user}); choose a directory of your own")]
    NotOwned {
        /// The directory.
        path: PathBuf,
        /// Its owner's id.
        owner: u32,
        /// This process's user id.
        user: u32,
    },
    /// Others can enter it.
    #[error("{path} can be entered by others (mode {mode:03o}); run: chmod 700 {path}")]
    NotPrivate {
        /// The directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
}

/// How Cupola creates a file: for this user only, whatever the umask is. `--no-daemon` runs under its caller's.
pub(crate) fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

impl PrivateDirectory {
    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a little and removes it again: fails when the disk is full, or nothing may be written there.
    pub fn try_writing(&self) -> io::Result<()> {
        let path = self.path.join(format!("trial-{}", uuid::Uuid::new_v4().simple()));
        let mut file = private_file().write(true).create_new(true).open(&path)?;
        // Some file systems look for room only when it is synchronised.
        let written = file.write_all(&vec![0; TRIAL_BYTES]).and_then(|()| file.sync_data());
        let removed = std::fs::remove_file(&path);
        written.and(removed)
    }

    /// The open directory: what is done through it is done in the directory that was checked.
    #[cfg(unix)]
    pub(crate) fn handle(&self) -> &rustix::fd::OwnedFd {
        &self.handle
    }

    /// Opens the directory, making it (and its parents) with mode 0700 if it is not there.
    #[cfg(unix)]
    pub fn open(path: &Path) -> Result<Self, DirectoryError> {
        use rustix::fs::{Mode, OFlags, fstat, open};
        use std::os::unix::fs::DirBuilderExt;

        let owned = || path.to_owned();
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .or_else(|source| {
                // Whatever else stands there is named by what follows.
                if source.kind() == io::ErrorKind::AlreadyExists { Ok(()) } else { Err(source) }
            })
            .map_err(|source| DirectoryError::NotCreated { path: owned(), source })?;
        let handle = open(path, OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY, Mode::empty())
            .map_err(|error| match error {
                rustix::io::Errno::LOOP | rustix::io::Errno::NOTDIR => DirectoryError::NotADirectory { path: owned() },
                other => DirectoryError::NotOpened { path: owned(), source: other.into() },
            })?;
        let status =
            fstat(&handle).map_err(|error| DirectoryError::NotOpened { path: owned(), source: error.into() })?;
        let user = rustix::process::geteuid().as_raw();
        if status.st_uid != user {
            return Err(DirectoryError::NotOwned { path: owned(), owner: status.st_uid, user });
        }
        let mode = Mode::from_raw_mode(status.st_mode);
        if mode.intersects(Mode::RWXG | Mode::RWXO) {
            return Err(DirectoryError::NotPrivate { path: owned(), mode: mode.as_raw_mode() & 0o777 });
        }
        Ok(Self { path: owned(), handle })
    }

    /// Opens the directory, making it (and its parents) if it is not there. A user's profile directories on Windows are
    /// private by their inherited access lists, which are not checked here.
    #[cfg(windows)]
    pub fn open(path: &Path) -> Result<Self, DirectoryError> {
        std::fs::create_dir_all(path).map_err(|source| DirectoryError::NotCreated { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned() })
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    #[test]
    fn a_missing_directory_is_made_private() {
        let root = tempfile::tempdir().unwrap();
        let directory = PrivateDirectory::open(&root.path().join("a/b")).unwrap();
        assert_eq!(std::fs::metadata(directory.path()).unwrap().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_directory_others_can_enter_is_refused_with_the_command_to_run_and_left_alone() {
        let root = tempfile::tempdir().unwrap();
        for mode in [0o755, 0o770, 0o701] {
            std::fs::set_permissions(root.path(), std::fs::Permissions::from_mode(mode)).unwrap();
            let error = PrivateDirectory::open(root.path()).unwrap_err().to_string();
            assert!(error.contains(&format!("chmod 700 {}", root.path().display())), "{error}");
            assert_eq!(std::fs::metadata(root.path()).unwrap().mode() & 0o777, mode);
        }
    }

    #[test]
    fn a_link_is_not_followed_and_a_file_is_not_a_directory() {
        let root = tempfile::tempdir().unwrap();
        let target = PrivateDirectory::open(&root.path().join("target")).unwrap();
        let link = root.path().join("link");
        symlink(target.path(), &link).unwrap();
        assert!(matches!(PrivateDirectory::open(&link), Err(DirectoryError::NotADirectory { .. })));
        let file = root.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(matches!(PrivateDirectory::open(&file), Err(DirectoryError::NotADirectory { .. })));
    }
}
