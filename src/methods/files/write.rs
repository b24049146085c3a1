//! `files/write`: a file from pieces. They are collected on disk and sent as a whole when the last one is there, so that the
//! service never has a part of a file.

use super::super::named_session::NamedSession;
use super::{notices, of};
use crate::error::CallError;
use crate::foundry::Content;
use crate::pieces::{Place, Work, Writing};
use crate::rpc::Call;
use bytes::Bytes;
use cupola_protocol::error::ErrorKind;
use cupola_protocol::files::MAX_FILE_BYTES;
use cupola_protocol::files::pieces::{Piece, WriteParams, WriteResponse};
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;

pub(crate) async fn write(call: Call, params: WriteParams) -> Result<WriteResponse, CallError> {
    tokio::select! {
        () = call.cancelled.cancelled() => Err(CallError::cancelled()),
        written = piece(&call, params) => written,
    }
}

async fn piece(call: &Call, params: WriteParams) -> Result<WriteResponse, CallError> {
    let WriteParams { session, path, content: Piece(content), is_last, write_id, offset } = params;
    if !is_last && call.is_one_shot() {
        return Err(CallError::invalid_params("over HTTP a file is written in one piece, with isLast")
            .hint("use the NDJSON or LSP framing to write a file in several pieces"));
    }
    let named = NamedSession::resolve_own(call, &session).await?;
    let of = of(call, &named, &path);
    let known = match &write_id {
        None => None,
        Some(id) => match call.daemon.pieces.take(id, &of)? {
            (place, Work::Writing(writing)) => Some((place, writing)),
            (place, work @ Work::Reading(_)) => {
                place.keep(work, call.left.clone());
                return Err(CallError::invalid_params("writeId is the id of a reading"));
            }
        },
    };
    let so_far = known.as_ref().map_or(0, |(_, writing)| writing.length);
    if offset.is_some_and(|offset| offset != so_far) {
        if let Some((place, writing)) = known {
            place.keep(Work::Writing(writing), call.left.clone());
        }
        return Err(CallError::invalid_params(format!("the next piece begins at {so_far}"))
            .hint("send each piece when the one before it was answered"));
    }
    let bytes = so_far + content.len() as u64;
    if bytes > MAX_FILE_BYTES {
        return Err(too_large());
    }
    let response = |write_id, is_written| WriteResponse {
        session_id: named.session.clone(),
        path: path.clone(),
        bytes,
        is_written,
        write_id,
        notices: if is_written { notices(&named) } else { Vec::new() },
    };
    let (place, content) = match (known, is_last) {
        (None, true) => (None, Content::bytes(Bytes::from(content))),
        (known, _) => {
            let (place, writing) = match known {
                Some(known) => known,
                None => (call.daemon.pieces.begin(of)?, begin(call.daemon.state_directory.path()).await?),
            };
            let writing = add(writing, content).await?;
            if !is_last {
                return Ok(response(Some(place.keep(Work::Writing(writing), call.left.clone())), false));
            }
            (Some(place), Content::file(writing.spool, bytes, Arc::default()))
        }
    };
    let sent = named.scope.agent.upload_file(&named.scope.wire, &named.session, &path, content).await;
    drop::<Option<Place>>(place);
    sent.map_err(|error| named.explain(error, false))?;
    Ok(response(None, true))
}

/// The file is longer than the service takes.
pub(crate) fn too_large() -> CallError {
    let limit = MAX_FILE_BYTES / (1024 * 1024);
    let message = format!("the service takes files of at most {limit} MB ({MAX_FILE_BYTES} bytes)");
    CallError::new(ErrorKind::FileTooLarge, message)
}

/// A file that has no name, so that nothing of it is left when it is closed, or this process killed.
pub(super) async fn begin(directory: &Path) -> Result<Writing, CallError> {
    let directory = directory.to_owned();
    let spool = on_thread(move || tempfile::tempfile_in(directory)).await?;
    Ok(Writing { spool: Arc::new(spool), length: 0 })
}

/// Adds a piece to its end.
pub(super) async fn add(writing: Writing, content: Vec<u8>) -> Result<Writing, CallError> {
    let Writing { spool, length } = writing;
    let length = length + content.len() as u64;
    let file = Arc::clone(&spool);
    on_thread(move || (&*file).write_all(&content)).await?;
    Ok(Writing { spool, length })
}

async fn on_thread<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T, CallError> {
    let done = tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)));
    done.map_err(|error| {
        let message = format!("a piece of the file could not be put by in the state directory: {error}");
        CallError::new(ErrorKind::LocalFile, message).hint("free some space on the disk of the state directory")
    })
}
