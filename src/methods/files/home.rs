//! The home of a session, wherever it is reached: at the service, or behind a gateway (`process/line/files`). And how far a transfer is.

use super::super::named_session::NamedSession;
use crate::error::CallError;
use crate::foundry::{Content, MAX_DOWNLOAD_BYTES};
use crate::system::file::{Draft, Opened};
use cupola_protocol::files::{Entry, FileEvent, ListResponse, RemotePath};
use futures_util::future::BoxFuture;
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
        let entry = self.scope.agent.stat_file(&self.scope.wire, &self.session, path).await;
        entry.map_err(|error| self.explain(error, false))
    }

    async fn make_directory(&self, path: &RemotePath) -> Result<(), CallError> {
        let made = self.scope.agent.make_directory(&self.scope.wire, &self.session, path).await;
        made.map_err(|error| self.explain(error, false))
    }
}

/// How far a transfer is.
#[derive(Default)]
pub(crate) struct TransferProgress {
    pub(super) bytes: Arc<AtomicU64>,
    pub(super) total: OnceLock<u64>,
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
