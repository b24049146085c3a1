//! `files/*`: the files of a session's home.
//!
//! - here: uploads and downloads of local files, which are read and written in the daemon; and what needs no content
//! - [`tree`]: whole directories
//! - [`read`] and [`mod@write`]: pieces of files on the connection itself

pub(super) mod read;
mod tree;
pub(super) mod write;

use super::named_session::NamedSession;
use crate::error::CallError;
use crate::foundry::{Content, MAX_DOWNLOAD_BYTES};
use crate::pieces::Of;
use crate::rpc::Call;
use crate::system::file::{Directory, Draft, Local, LocalFileError, Opened};
use cupola_protocol::files::{
    DeleteParams, DownloadParams, Entry, FileEvent, ListParams, ListResponse, MAX_FILE_BYTES, PathParams, PathResponse,
    RemotePath, TransferResponse, UploadParams,
};
use cupola_protocol::notice::{Notice, NoticeCode};
use cupola_protocol::rpc::ProgressToken;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// How often a transfer says how far it is: as often as an eye can follow.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

pub(crate) async fn upload(call: Call, params: UploadParams) -> Result<TransferResponse, CallError> {
    let UploadParams { session, local_path, recursive, path } = params;
    let file = PathBuf::from(local_path.as_str());
    let path = match path {
        Some(path) => path,
        None => own_name(&file)?,
    };
    let (so_far, local) = (TransferProgress::default(), local(&call).await?);
    // Opened before the service hears of it.
    let source = if recursive && local.is_directory(&file).await? {
        Source::Tree(local.directory(&file).await?)
    } else {
        Source::File(local.open(&file, MAX_FILE_BYTES).await?)
    };
    let sending = async {
        let named = NamedSession::resolve_own(&call, &session).await?;
        let (bytes, tree) = match &source {
            Source::Tree(directory) => {
                let tree = tree::upload(&named, directory, &path, &so_far).await?;
                (so_far.bytes(), Some(tree))
            }
            Source::File(file) => {
                // Cannot be set yet.
                let _ = so_far.total.set(file.length);
                send(&named, file, &path, &so_far.bytes).await?;
                (file.length, None)
            }
        };
        let notices = notices(&named);
        Ok((named.session, bytes, tree, notices))
    };
    let (session_id, bytes, tree, notices) =
        with_progress(&call, session.progress.partial_result_token.as_ref(), &so_far, sending).await?;
    Ok(TransferResponse { session_id, path, local_path, bytes, tree, notices })
}

/// What the caller should know about what was put into the session's home.
fn notices(named: &NamedSession) -> Vec<Notice> {
    let is_lost = named.scope.definition.as_ref().is_some_and(|definition| definition.has_memory_snapshots);
    let message = || {
        let session = &named.session;
        format!(
            "session {session} loses its files when it goes idle, because the agent uses memory snapshots; upload them again after that"
        )
    };
    is_lost.then(|| Notice { code: NoticeCode::FilesNotKept, message: message() }).into_iter().collect()
}

/// What is uploaded.
enum Source {
    File(Opened),
    Tree(Directory),
}

/// Where the call may find local files.
async fn local(call: &Call) -> Result<Local, CallError> {
    match &call.bounds {
        None => Ok(Local::Anywhere),
        Some(bounds) => match bounds.root(&call.daemon).await? {
            Some(root) => Ok(Local::Below(root)),
            None => Err(CallError::out_of_bounds("this connection may not use files of this machine")),
        },
    }
}

/// Sends one file.
async fn send(named: &NamedSession, file: &Opened, path: &RemotePath, sent: &Arc<AtomicU64>) -> Result<(), CallError> {
    let content = Content::file(Arc::clone(&file.file), file.length, Arc::clone(sent)).from(&file.path);
    let sent = named.scope.agent.upload_file(&named.scope.wire, &named.session, path, content).await;
    sent.map_err(|error| named.explain(error, false))
}

/// The name a file has here, as a path in the home.
fn own_name(file: &Path) -> Result<RemotePath, CallError> {
    let name = file.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| LocalFileError::NoFile { path: file.to_owned(), is_directory: true })?;
    Ok(name.parse()?)
}

/// What a reading or writing in pieces belongs to.
fn of(call: &Call, named: &NamedSession, path: &RemotePath) -> Of {
    Of {
        connection: call.client.number(),
        partition: named.scope.partition.clone(),
        session: named.session.clone(),
        path: path.clone(),
    }
}

pub(crate) async fn download(call: Call, params: DownloadParams) -> Result<TransferResponse, CallError> {
    let DownloadParams { session, path, local_path, recursive } = params;
    let (so_far, file) = (TransferProgress::default(), Path::new(local_path.as_str()));
    let local = local(&call).await?;
    let fetching = async {
        // Where the file goes is looked at before the service hears of it. A directory may go where no file can.
        let draft = if recursive { None } else { Some(local.draft(file).await?) };
        let named = NamedSession::resolve_own(&call, &session).await?;
        let tree = if recursive && entry(&named, &path).await?.is_directory {
            let directory = local.make_directory(file).await?;
            Some(tree::download(&named, &path, directory, &so_far).await?)
        } else {
            let length = |length| _ = so_far.total.set(length);
            let draft = match draft {
                Some(draft) => draft,
                None => local.draft(file).await?,
            };
            fetch(&named, &path, draft, &so_far.bytes, length).await?;
            None
        };
        Ok((named.session, tree))
    };
    let (session_id, tree) =
        with_progress(&call, session.progress.partial_result_token.as_ref(), &so_far, fetching).await?;
    Ok(TransferResponse { session_id, path, local_path, bytes: so_far.bytes(), tree, notices: Vec::new() })
}

/// Fetches one file. What `fetched` counts already is of the same download.
async fn fetch(
    named: &NamedSession,
    path: &RemotePath,
    mut draft: Draft,
    fetched: &AtomicU64,
    length: impl FnOnce(u64) + Send,
) -> Result<(), CallError> {
    let most = MAX_DOWNLOAD_BYTES.saturating_sub(fetched.load(Ordering::Relaxed));
    let file = named.scope.agent.download_file(&named.scope.wire, &named.session, path, most).await;
    let mut file = file.map_err(|error| named.explain(error, false))?;
    if let Some(bytes) = file.length {
        length(bytes);
    }
    while let Some(piece) = file.next().await.map_err(|error| named.explain(error, false))? {
        draft.write(&piece).await?;
        fetched.fetch_add(piece.len() as u64, Ordering::Relaxed);
    }
    Ok(draft.place().await?)
}

pub(crate) async fn list(call: Call, params: ListParams) -> Result<ListResponse, CallError> {
    let named = NamedSession::resolve_own(&call, &params.session).await?;
    let list = named.scope.agent.list_files(&named.scope.wire, &named.session, params.path.as_ref()).await;
    list.map_err(|error| named.explain(error, false))
}

pub(crate) async fn stat(call: Call, params: PathParams) -> Result<Entry, CallError> {
    let named = NamedSession::resolve_own(&call, &params.session).await?;
    entry(&named, &params.path).await
}

async fn entry(named: &NamedSession, path: &RemotePath) -> Result<Entry, CallError> {
    let entry = named.scope.agent.stat_file(&named.scope.wire, &named.session, path).await;
    entry.map_err(|error| named.explain(error, false))
}

pub(crate) async fn make_directory(call: Call, params: PathParams) -> Result<PathResponse, CallError> {
    let named = NamedSession::resolve_own(&call, &params.session).await?;
    let made = named.scope.agent.make_directory(&named.scope.wire, &named.session, &params.path).await;
    made.map_err(|error| named.explain(error, false))?;
    Ok(PathResponse { session_id: named.session, path: params.path })
}

pub(crate) async fn delete(call: Call, params: DeleteParams) -> Result<PathResponse, CallError> {
    let DeleteParams { session, path, recursive } = params;
    let named = NamedSession::resolve_own(&call, &session).await?;
    let deleted = named.scope.agent.delete_file(&named.scope.wire, &named.session, &path, recursive).await;
    deleted.map_err(|error| named.explain(error, false))?;
    Ok(PathResponse { session_id: named.session, path })
}

/// How far a transfer is.
#[derive(Default)]
struct TransferProgress {
    bytes: Arc<AtomicU64>,
    total: OnceLock<u64>,
}

impl TransferProgress {
    fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    fn has_begun(&self) -> bool {
        self.total.get().is_some() || self.bytes() > 0
    }

    fn event(&self) -> FileEvent {
        FileEvent::Progress { bytes: self.bytes(), total_bytes: self.total.get().copied() }
    }
}

/// Does the work, ends it when the call is cancelled, and tells the caller how far it is; the last event of a whole
/// transfer has all bytes.
async fn with_progress<T>(
    call: &Call,
    token: Option<&ProgressToken>,
    so_far: &TransferProgress,
    work: impl Future<Output = Result<T, CallError>> + Send,
) -> Result<T, CallError> {
    let mut work = std::pin::pin!(work);
    let mut ticks = tokio::time::interval(PROGRESS_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = call.cancelled.cancelled() => return Err(CallError::cancelled()),
            done = &mut work => {
                if let (Ok(_), Some(token)) = (&done, token) {
                    call.progress(token, &so_far.event()).await?;
                }
                return done;
            }
            _ = ticks.tick() => {
                if let Some(token) = token.filter(|_| so_far.has_begun()) {
                    call.progress(token, &so_far.event()).await?;
                }
            }
        }
    }
}
