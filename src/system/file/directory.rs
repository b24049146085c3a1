//! An open directory, and what a transfer does with the names in it.
//!
//! Every name is opened from the directory's own handle. Outside of a root a link is followed within the tree that is
//! transferred, and not out of it; below a root ([`super::Root`]) no link is followed.

use super::guard::Guard;
use super::{LocalFileError, Opened, leftovers, on_thread};
use crate::system::protected::{FileId, Protected};
use cap_fs_ext::{DirExt as _, FollowSymlinks, OpenOptionsFollowExt as _, OpenOptionsSyncExt as _};
use cap_std::fs::{Dir, Metadata, OpenOptions};
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why a link is refused below a root.
const NOT_FOLLOWED: &str = "it is a link, and links are not followed here";

/// An open directory.
#[derive(Debug, Clone)]
pub struct Directory {
    pub(super) handle: Arc<Dir>,
    /// The top of the tree, and this directory's path below it.
    top: Arc<Dir>,
    below: PathBuf,
    /// What it is called.
    path: PathBuf,
    /// Is it below a root? Then no link is followed.
    pub(super) guard: Option<Guard>,
}

/// What a name in a directory stands for.
#[derive(Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file, or a link that may be followed to one.
    File,
    /// A directory.
    Directory,
    /// Something that is left out, and why.
    Skipped(&'static str),
}

impl Directory {
    pub(super) fn anywhere(handle: Dir, path: &Path) -> Self {
        let handle = Arc::new(handle);
        Self { top: Arc::clone(&handle), handle, below: PathBuf::new(), path: path.to_owned(), guard: None }
    }

    pub(super) fn below_root(handle: Arc<Dir>, path: PathBuf, protected: Arc<Protected>) -> Self {
        Self { top: Arc::clone(&handle), handle, below: PathBuf::new(), path, guard: Some(Guard(protected)) }
    }

    /// What a name in it is called.
    pub fn path_of(&self, name: &OsStr) -> PathBuf {
        self.path.join(name)
    }

    /// What it is called.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The names in it, sorted.
    pub async fn names(&self) -> Result<Vec<OsString>, LocalFileError> {
        self.on_thread(|directory| {
            let entries = directory.handle.entries().map_err(LocalFileError::reading(&directory.path))?;
            let names: io::Result<Vec<_>> = entries.map(|entry| entry.map(|entry| entry.file_name())).collect();
            let mut names = names.map_err(LocalFileError::reading(&directory.path))?;
            names.sort();
            Ok(names)
        })
        .await
    }

    /// What a name stands for. One that cannot be looked at counts as a file: to open it will say why.
    pub async fn kind(&self, name: &OsStr) -> Result<Kind, LocalFileError> {
        let name = name.to_owned();
        self.on_thread(move |directory| Ok(directory.kind_now(&name))).await
    }

    fn kind_now(&self, name: &OsStr) -> Kind {
        let Ok(found) = self.handle.symlink_metadata(name) else { return Kind::File };
        if found.is_dir() {
            return Kind::Directory;
        }
        if found.is_file() {
            return Kind::File;
        }
        if !found.is_symlink() {
            return Kind::Skipped("neither a file nor a directory");
        }
        if self.guard.is_some() {
            return Kind::Skipped(NOT_FOLLOWED);
        }
        match self.top.metadata(self.below.join(name)) {
            Ok(found) if found.is_file() => Kind::File,
            Ok(_) => Kind::Skipped("a link to something that is not a file"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Kind::Skipped("a link that leads nowhere"),
            Err(_) => Kind::Skipped("a link that leads out of the directory"),
        }
    }

    pub(super) fn is_directory(&self, name: &OsStr) -> Result<bool, LocalFileError> {
        let path = self.path_of(name);
        let found = self.handle.symlink_metadata(name).map_err(LocalFileError::reading(&path))?;
        self.admit(&found, &path)?;
        Ok(found.is_dir())
    }

    /// Opens a file of at most `limit` bytes.
    pub async fn open(&self, name: &OsStr, limit: u64) -> Result<Opened, LocalFileError> {
        let name = name.to_owned();
        self.on_thread(move |directory| directory.open_now(&name, limit)).await
    }

    pub(super) fn open_now(&self, name: &OsStr, limit: u64) -> Result<Opened, LocalFileError> {
        let path = self.path_of(name);
        let found = self.handle.symlink_metadata(name).map_err(LocalFileError::reading(&path))?;
        self.admit(&found, &path)?;
        let mut options = OpenOptions::new();
        // A pipe that took the file's place meanwhile is not waited for.
        options.read(true).nonblock(true);
        let opened = if found.is_symlink() {
            self.top.open_with(self.below.join(name), &options)
        } else {
            refuse_special(&path, &found)?;
            self.handle.open_with(name, options.follow(FollowSymlinks::No))
        };
        let file = opened.map_err(LocalFileError::reading(&path))?;
        // What counts is what was opened, whatever had the name before.
        self.admit(&file.metadata().map_err(LocalFileError::reading(&path))?, &path)?;
        Opened::checked(file.into_std(), path, limit)
    }

    /// Opens a directory in it. A link is not followed.
    pub async fn directory(&self, name: &OsStr) -> Result<Self, LocalFileError> {
        let name = name.to_owned();
        self.on_thread(move |directory| directory.directory_now(&name)).await
    }

    pub(super) fn directory_now(&self, name: &OsStr) -> Result<Self, LocalFileError> {
        let path = self.path_of(name);
        let handle = self.handle.open_dir_nofollow(name).map_err(|source| {
            let refused = self.handle.symlink_metadata(name).ok().and_then(|found| self.admit(&found, &path).err());
            refused.unwrap_or_else(|| LocalFileError::reading(&path)(source))
        })?;
        self.admit(&handle.dir_metadata().map_err(LocalFileError::reading(&path))?, &path)?;
        Ok(Self {
            handle: Arc::new(handle),
            top: Arc::clone(&self.top),
            below: self.below.join(name),
            path,
            guard: self.guard.clone(),
        })
    }

    /// Opens a directory in it to write to; makes it if it is missing. Removes what killed downloads left in it.
    pub async fn make_directory(&self, name: &OsStr) -> Result<Self, LocalFileError> {
        let name = name.to_owned();
        self.on_thread(move |directory| directory.make_directory_now(&name)).await
    }

    pub(super) fn make_directory_now(&self, name: &OsStr) -> Result<Self, LocalFileError> {
        let path = self.path_of(name);
        self.admit_name(&path)?;
        let (directory, name) = self.place(name)?;
        match directory.handle.create_dir(&name) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(LocalFileError::writing(&path)(error));
            }
            _ => {}
        }
        let made = directory.directory_now(&name).map_err(|error| match error {
            LocalFileError::Read { source, .. } => LocalFileError::writing(&path)(source),
            other => other,
        })?;
        made.sweep();
        Ok(made)
    }

    /// Refuses a name that a file must not take, and says what has it now. A link that may be followed was followed
    /// before.
    pub(super) fn replaceable(&self, name: &OsStr, path: &Path) -> Result<Option<Metadata>, LocalFileError> {
        self.admit_name(path)?;
        let Ok(found) = self.handle.symlink_metadata(name) else { return Ok(None) };
        self.admit(&found, path)?;
        if found.is_dir() {
            return Err(LocalFileError::Directory { path: path.to_owned() });
        }
        refuse_special(path, &found)?;
        Ok(Some(found))
    }

    /// Below a root, refuses a link and what is protected.
    fn admit(&self, found: &Metadata, path: &Path) -> Result<(), LocalFileError> {
        match &self.guard {
            Some(_) if found.is_symlink() => {
                Err(LocalFileError::OutOfReach { path: path.to_owned(), reason: NOT_FOLLOWED })
            }
            Some(guard) => guard.admit(found, path),
            None => Ok(()),
        }
    }

    fn admit_name(&self, path: &Path) -> Result<(), LocalFileError> {
        let Some(guard) = &self.guard else { return Ok(()) };
        let here = self.handle.dir_metadata().map_err(LocalFileError::writing(path))?;
        guard.admit_name(FileId::of(&here), path)
    }

    /// Where a name leads that something is written to: a link that may be followed stays, and what it leads to is replaced.
    pub(super) fn place(&self, name: &OsStr) -> Result<(Self, OsString), LocalFileError> {
        let is_link = self.handle.symlink_metadata(name).is_ok_and(|found| found.is_symlink());
        if !is_link || self.guard.is_some() {
            return Ok((self.clone(), name.to_owned()));
        }
        let path = self.path_of(name);
        let refused = |reason: &str| LocalFileError::writing(&path)(io::Error::other(reason.to_owned()));
        let target = self.top.canonicalize(self.below.join(name)).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => refused("a link of that name leads nowhere"),
            _ => refused("a link of that name leads out of the directory"),
        })?;
        let (Some(parent), Some(last)) = (target.parent(), target.file_name()) else {
            return Err(LocalFileError::Directory { path });
        };
        let opened = if parent.as_os_str().is_empty() { self.top.try_clone() } else { self.top.open_dir(parent) };
        let handle = Arc::new(opened.map_err(LocalFileError::writing(&path))?);
        let directory = Self { handle, below: parent.to_owned(), ..self.clone() };
        Ok((directory, last.to_owned()))
    }

    /// Removes leftovers of downloads whose daemon was killed: drafts that no process is writing.
    pub(super) fn sweep(&self) {
        leftovers::sweep(&self.handle, &self.path);
    }

    async fn on_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, LocalFileError> + Send + 'static,
    ) -> Result<T, LocalFileError> {
        let directory = self.clone();
        on_thread(&self.path, move || work(&directory)).await
    }
}

fn refuse_special(path: &Path, found: &Metadata) -> Result<(), LocalFileError> {
    if found.is_file() || found.is_symlink() {
        return Ok(());
    }
    Err(LocalFileError::NoFile { path: path.to_owned(), is_directory: found.is_dir() })
}
