//! A file being written under another name in its directory. It takes its place as a whole; dropped before that, it leaves
//! nothing behind.

use super::leftovers::draft_name;
use super::{Directory, LocalFileError, on_thread};
use cap_std::fs::{OpenOptions, Permissions};
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::PathBuf;
use tokio::fs::File;
use tokio::io::AsyncWriteExt as _;

/// The file.
#[derive(Debug)]
pub struct Draft {
    file: File,
    directory: Directory,
    /// The name it has until it is placed.
    unfinished: Option<String>,
    /// The name it will have.
    name: OsString,
    /// What that is called.
    path: PathBuf,
    /// Those of the file it replaces.
    permissions: Option<Permissions>,
}

impl Draft {
    /// Begins a file that will have this name in a directory, or be where a link of that name leads, if it may be followed. What is
    /// there now must be a file that may be replaced.
    pub async fn begin(directory: &Directory, name: &OsStr) -> Result<Self, LocalFileError> {
        let (directory, name) = (directory.clone(), name.to_owned());
        on_thread(&directory.path_of(&name), move || Self::begin_now(&directory, &name)).await
    }

    pub(super) fn begin_now(directory: &Directory, name: &OsStr) -> Result<Self, LocalFileError> {
        let path = directory.path_of(name);
        let (directory, name) = directory.place(name)?;
        let name = name.as_os_str();
        let permissions = directory.replaceable(name, &path)?.map(|found| found.permissions());
        let draft = draft_name();
        let mut options = OpenOptions::new();
        let file = directory.handle.open_with(&draft, options.write(true).create_new(true));
        let file = file.map_err(LocalFileError::writing(&path))?.into_std();
        // Where files cannot be locked, nothing is ever taken for a leftover.
        let _locked = file.try_lock();
        let (file, name) = (File::from_std(file), name.to_owned());
        Ok(Self { file, directory, unfinished: Some(draft), name, path, permissions })
    }

    /// Adds bytes.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), LocalFileError> {
        self.file.write_all(bytes).await.map_err(LocalFileError::writing(&self.path))
    }

    /// Puts it in its place. What has its name by then is replaced, never followed.
    pub async fn place(mut self) -> Result<(), LocalFileError> {
        // Only now does the system's word on the last bytes come.
        self.file.flush().await.map_err(LocalFileError::writing(&self.path))?;
        let file = self.file.try_clone().await.map_err(LocalFileError::writing(&self.path))?.into_std().await;
        let (directory, draft) = (self.directory.clone(), self.unfinished.clone().unwrap_or_default());
        let (name, path, permissions) = (self.name.clone(), self.path.clone(), self.permissions.take());
        on_thread(&self.path, move || {
            let done = || -> io::Result<()> {
                if let Some(permissions) = permissions {
                    file.set_permissions(permissions.into_std(&file)?)?;
                }
                directory.handle.rename(&draft, &directory.handle, &name)
            };
            // Once more: what is protected may have come while the file was fetched.
            directory.replaceable(&name, &path)?;
            done().map_err(LocalFileError::writing(&path))
        })
        .await?;
        self.unfinished = None;
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Some(draft) = &self.unfinished
            && let Err(error) = self.directory.handle.remove_file(draft)
            // It may just have taken its place.
            && error.kind() != io::ErrorKind::NotFound
        {
            let path = self.directory.path_of(OsStr::new(draft));
            tracing::warn!(path = %path.display(), %error, "an unfinished download could not be removed");
        }
    }
}
