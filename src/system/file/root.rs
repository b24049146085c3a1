//! The directory that a bound connection was given for local files. Everything below it is opened from there, one name
//! after the other, and no link is followed.

use super::{Directory, LocalFileError};
use crate::system::protected::Protected;
use cap_std::ambient_authority;
use cap_std::fs::Dir;
use std::ffi::OsString;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// The directory, and what must not be reached even below it.
#[derive(Debug)]
pub struct Root {
    handle: Arc<Dir>,
    /// As it was named, and as it is called without links: paths may begin with either.
    names: [PathBuf; 2],
    protected: Arc<Protected>,
}

impl Root {
    /// Opens it, once. It must not be a protected directory, or lie in one.
    pub async fn open(path: &Path, protected: Protected) -> Result<Self, LocalFileError> {
        let owned = path.to_owned();
        super::on_thread(path, move || Self::open_now(&owned, protected)).await
    }

    fn open_now(path: &Path, protected: Protected) -> Result<Self, LocalFileError> {
        let real = fs::canonicalize(path).map_err(LocalFileError::reading(path))?;
        let snapshot = protected.look();
        for ancestor in real.ancestors() {
            let directory = Dir::open_ambient_dir(ancestor, ambient_authority());
            let found = directory.and_then(|directory| directory.dir_metadata());
            if snapshot.has(&found.map_err(LocalFileError::reading(path))?) {
                return Err(LocalFileError::OutOfReach {
                    path: path.to_owned(),
                    reason: "it is in a directory that holds configuration, saved state or credentials",
                });
            }
        }
        let handle = Dir::open_ambient_dir(&real, ambient_authority()).map_err(LocalFileError::reading(path))?;
        Ok(Self { handle: Arc::new(handle), names: [path.to_owned(), real], protected: Arc::new(protected) })
    }

    /// The directory itself.
    pub(super) fn top(&self) -> Directory {
        let [named, _] = &self.names;
        Directory::below_root(Arc::clone(&self.handle), named.clone(), Arc::clone(&self.protected))
    }

    /// The directory that a path is in, opened, and its name there; nothing for the root itself.
    pub(super) fn parent(&self, path: &Path) -> Result<Option<(Directory, OsString)>, LocalFileError> {
        let refused = |reason| LocalFileError::OutOfReach { path: path.to_owned(), reason };
        let below = self.names.iter().find_map(|root| path.strip_prefix(root).ok());
        let below = below.ok_or_else(|| refused("it is not below the directory that the connection was given"))?;
        let mut names = Vec::new();
        for part in below.components() {
            match part {
                Component::Normal(name) => names.push(name.to_owned()),
                _ => return Err(refused("a path must not contain ..")),
            }
        }
        let Some(last) = names.pop() else { return Ok(None) };
        let mut directory = self.top();
        for name in names {
            directory = directory.directory_now(&name)?;
        }
        Ok(Some((directory, last)))
    }
}
