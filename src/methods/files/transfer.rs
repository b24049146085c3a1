//! Local files on their way to and from a home: that of a session of the service, or of one behind a gateway.

use super::super::named_session::NamedSession;
use super::tree;
use crate::error::CallError;
use crate::foundry::{Content, MAX_DOWNLOAD_BYTES};
use crate::system::file::{Directory, Draft, Local, LocalFileError, Opened};
use cupola_protocol::files::{Entry, FileEvent, ListResponse, MAX_FILE_BYTES, RemotePath, Tree};
use futures_util::future::BoxFuture;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// How often a transfer says how far it is: as often as an eye can follow.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// The home of a session.
pub(crate) trait Home: Sync {
    /// Sends one file. `sent` counts its bytes.
    fn send(
        &self,
        file: &Opened,
        path: &RemotePath,
        sent: &Arc<AtomicU64>,
    ) -> impl Future<Output = Result<(), CallError>> + Send;

    /// Fetches one file. What `fetched` counts already is of the same download; `length` learns how long the file is.
    fn fetch(
        &self,
        path: &RemotePath,
        draft: Draft,
        fetched: &AtomicU64,
        length: impl FnOnce(u64) + Send,
    ) -> impl Future<Output = Result<(), CallError>> + Send;

    /// What is in a directory.
    fn list(&self, path: &RemotePath) -> impl Future<Output = Result<ListResponse, CallError>> + Send;

    /// One file or directory.
    fn entry(&self, path: &RemotePath) -> impl Future<Output = Result<Entry, CallError>> + Send;

    /// Makes a directory.
    fn make_directory(&self, path: &RemotePath) -> impl Future<Output = Result<(), CallError>> + Send;
}

impl Home for NamedSession {
    async fn send(&self, file: &Opened, path: &RemotePath, sent: &Arc<AtomicU64>) -> Result<(), CallError> {
        let content = Content::file(Arc::clone(&file.file), file.length, Arc::clone(sent)).from(&file.path);
        let sent = self.scope.agent.upload_file(&self.scope.wire, &self.session, path, content).await;
        sent.map_err(|error| self.explain(error, false))
    }

    async fn fetch(
        &self,
        path: &RemotePath,
        mut draft: Draft,
        fetched: &AtomicU64,
        length: impl FnOnce(u64) + Send,
    ) -> Result<(), CallError> {
        let most = MAX_DOWNLOAD_BYTES.saturating_sub(fetched.load(Ordering::Relaxed));
        let file = self.scope.agent.download_file(&self.scope.wire, &self.session, path, most).await;
        let mut file = file.map_err(|error| self.explain(error, false))?;
        if let Some(bytes) = file.length {
            length(bytes);
        }
        while let Some(piece) = file.next().await.map_err(|error| self.explain(error, false))? {
            draft.write(&piece).await?;
            fetched.fetch_add(piece.len() as u64, Ordering::Relaxed);
        }
        Ok(draft.place().await?)
    }

    async fn list(&self, path: &RemotePath) -> Result<ListResponse, CallError> {
        let listed = self.scope.agent.list_files(&self.scope.wire, &self.session, Some(path)).await;
        listed.map_err(|error| self.explain(error, false))
    }

    async fn entry(&self, path: &RemotePath) -> Result<Entry, CallError> {
        super::entry(self, path).await
    }

    async fn make_directory(&self, path: &RemotePath) -> Result<(), CallError> {
        let made = self.scope.agent.make_directory(&self.scope.wire, &self.session, path).await;
        made.map_err(|error| self.explain(error, false))
    }
}

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

/// How far a transfer is.
#[derive(Default)]
pub(crate) struct TransferProgress {
    pub(super) bytes: Arc<AtomicU64>,
    total: OnceLock<u64>,
}

impl TransferProgress {
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    fn has_begun(&self) -> bool {
        self.total.get().is_some() || self.bytes() > 0
    }

    fn event(&self) -> FileEvent {
        FileEvent::Progress { bytes: self.bytes(), total_bytes: self.total.get().copied() }
    }

    /// Does the work, ends it when it is cancelled, and tells how far it is; the last event of a whole transfer has all bytes.
    pub(crate) async fn told<T>(
        &self,
        cancelled: &CancellationToken,
        tell: impl Fn(FileEvent) -> BoxFuture<'static, Result<(), CallError>>,
        work: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, CallError> {
        let mut work = std::pin::pin!(work);
        let mut ticks = tokio::time::interval(PROGRESS_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = cancelled.cancelled() => return Err(CallError::cancelled()),
                done = &mut work => {
                    if done.is_ok() {
                        tell(self.event()).await?;
                    }
                    return done;
                }
                _ = ticks.tick() => {
                    if self.has_begun() {
                        tell(self.event()).await?;
                    }
                }
            }
        }
    }
}
