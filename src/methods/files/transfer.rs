//! Local files on their way to and from a home: that of a session of the service, or of one behind a gateway.

use super::home::{Home, TransferProgress};
use super::tree;
use crate::error::CallError;
use crate::system::file::{Directory, Draft, Local, LocalFileError, Opened};
use cupola_protocol::files::{MAX_FILE_BYTES, RemotePath, Tree};
use std::path::{Path, PathBuf};

/// What is uploaded.
pub(crate) enum Source {
    File(Opened),
    Tree(Directory),
}

impl Source {
    /// Opens a local file; with `recursive` also a directory.
    pub(crate) async fn open(local: &Local, file: &Path, recursive: bool) -> Result<Self, CallError> {
        Ok(if recursive && local.is_directory(file).await? {
            Self::Tree(local.directory(file).await?)
        } else {
            Self::File(local.open(file, MAX_FILE_BYTES).await?)
        })
    }

    /// Sends it. The bytes, and what came of a directory.
    pub(crate) async fn send(
        &self,
        home: &impl Home,
        path: &RemotePath,
        so_far: &TransferProgress,
    ) -> Result<(u64, Option<Tree>), CallError> {
        match self {
            Self::Tree(directory) => {
                let tree = Box::pin(tree::upload(home, directory, path, so_far)).await?;
                Ok((so_far.bytes(), Some(tree)))
            }
            Self::File(file) => {
                // Cannot be set yet.
                let _ = so_far.total.set(file.length);
                home.send(file, path, &so_far.bytes).await?;
                Ok((file.length, None))
            }
        }
    }
}

/// Where a download goes.
pub(crate) enum Sink<'a> {
    File(Box<Draft>),
    /// A directory, or a file if that is what is fetched.
    Either(&'a Local, PathBuf),
}

impl<'a> Sink<'a> {
    /// Looks at where it goes.
    pub(crate) async fn open(local: &'a Local, file: &Path, recursive: bool) -> Result<Self, CallError> {
        Ok(if recursive {
            Self::Either(local, file.to_owned())
        } else {
            Self::File(Box::new(local.draft(file).await?))
        })
    }

    /// Fetches it. What came of a directory.
    pub(crate) async fn fetch(
        self,
        home: &impl Home,
        path: &RemotePath,
        so_far: &TransferProgress,
    ) -> Result<Option<Tree>, CallError> {
        let draft = match self {
            Self::File(draft) => *draft,
            Self::Either(local, file) if home.entry(path).await?.is_directory => {
                let directory = local.make_directory(&file).await?;
                return Ok(Some(Box::pin(tree::download(home, path, directory, so_far)).await?));
            }
            Self::Either(local, file) => local.draft(&file).await?,
        };
        home.fetch(path, draft, &so_far.bytes, |length| _ = so_far.total.set(length)).await?;
        Ok(None)
    }
}

/// The name a file has here, as a path in the home.
pub(crate) fn own_name(file: &Path) -> Result<RemotePath, CallError> {
    let name = file.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| LocalFileError::NoFile { path: file.to_owned(), is_directory: true })?;
    Ok(name.parse()?)
}
