//! `files/*`: the files of a session's home.
//!
//! - here: uploads and downloads of local files, which are read and written in the daemon; and what needs no content
//! - [`tree`]: whole directories; [`transfer`]: local files from and to a [`home`], the service's or one behind a gateway
//! - [`read`] and [`mod@write`]: pieces of files on the connection itself; [`whole`]: whole files, as bodies of HTTP

pub(crate) mod home;
pub(super) mod read;
pub(crate) mod transfer;
mod tree;
pub(crate) mod whole;
pub(super) mod write;

use super::named_session::NamedSession;
use crate::error::CallError;
use crate::pieces::Of;
use crate::rpc::Call;
use crate::system::file::Local;
use cupola_protocol::files::{
    DeleteParams, DownloadParams, Entry, FileEvent, ListParams, ListResponse, PathParams, PathResponse, RemotePath,
    TransferResponse, UploadParams,
};
use cupola_protocol::notice::{Notice, NoticeCode};
use cupola_protocol::rpc::ProgressToken;
use futures_util::FutureExt as _;
use home::{Home as _, TransferProgress};
use std::path::{Path, PathBuf};
use transfer::{Sink, Source, own_name};

pub(crate) async fn upload(call: Call, params: UploadParams) -> Result<TransferResponse, CallError> {
    let UploadParams { session, local_path, recursive, path } = params;
    let file = PathBuf::from(local_path.as_str());
    let path = match path {
        Some(path) => path,
        None => own_name(&file)?,
    };
    let (so_far, local) = (TransferProgress::default(), local(&call).await?);
    // Opened before the service hears of it.
    let source = Source::open(&local, &file, recursive).await?;
    let sending = async {
        let named = NamedSession::resolve_own(&call, &session).await?;
        let (bytes, tree) = source.send(&named, &path, &so_far).await?;
        let notices = notices(&named);
        Ok((named.session, bytes, tree, notices))
    };
    let (session_id, bytes, tree, notices) =
        with_progress(&call, session.progress.partial_result_token.as_ref(), &so_far, Box::pin(sending)).await?;
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
        let sink = Sink::open(&local, file, recursive).await?;
        let named = NamedSession::resolve_own(&call, &session).await?;
        let tree = sink.fetch(&named, &path, &so_far).await?;
        Ok((named.session, tree))
    };
    let (session_id, tree) =
        with_progress(&call, session.progress.partial_result_token.as_ref(), &so_far, Box::pin(fetching)).await?;
    Ok(TransferResponse { session_id, path, local_path, bytes: so_far.bytes(), tree, notices: Vec::new() })
}

pub(crate) async fn list(call: Call, params: ListParams) -> Result<ListResponse, CallError> {
    let named = NamedSession::resolve_own(&call, &params.session).await?;
    let list = named.scope.agent.list_files(&named.scope.wire, &named.session, params.path.as_ref()).await;
    list.map_err(|error| named.explain(error, false))
}

pub(crate) async fn stat(call: Call, params: PathParams) -> Result<Entry, CallError> {
    let named = NamedSession::resolve_own(&call, &params.session).await?;
    named.entry(&params.path).await
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

/// Does the work, ends it when the call is cancelled, and tells the caller how far it is.
async fn with_progress<T>(
    call: &Call,
    token: Option<&ProgressToken>,
    so_far: &TransferProgress,
    work: impl Future<Output = Result<T, CallError>> + Send,
) -> Result<T, CallError> {
    let (caller, token) = (call.clone(), token.cloned());
    let tell = move |event: FileEvent| {
        let (caller, token) = (caller.clone(), token.clone());
        async move {
            if let Some(token) = token {
                caller.progress(&token, &event).await?;
            }
            Ok(())
        }
        .boxed()
    };
    so_far.told(&call.cancelled, tell, work).await
}
