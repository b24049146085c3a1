//! Whole files as bodies of HTTP requests and answers, for the gateway. The rules are those of `files/read` and `files/write`.

use super::super::named_session::NamedSession;
pub(crate) use super::write::too_large;
use super::{notices, of, write};
use crate::error::CallError;
use crate::foundry::{Content, Download, MAX_DOWNLOAD_BYTES};
use crate::pieces::{Place, Writing};
use crate::rpc::Call;
use bytes::Bytes;
use cupola_protocol::files::pieces::{ReadParams, WriteParams, WriteResponse};
use cupola_protocol::files::{MAX_FILE_BYTES, RemotePath};
use cupola_protocol::id::SessionId;
use std::sync::Arc;

/// A file on its way out of a session's home.
pub(crate) struct Outgoing {
    named: NamedSession,
    download: Download,
}

impl Outgoing {
    /// Asks for the file.
    pub(crate) async fn begin(call: &Call, params: &ReadParams) -> Result<Self, CallError> {
        let named = NamedSession::resolve_own(call, &params.session).await?;
        let (scope, path) = (&named.scope, &params.path);
        let download = scope.agent.download_file(&scope.wire, &named.session, path, MAX_DOWNLOAD_BYTES).await;
        let download = download.map_err(|error| named.explain(error, false))?;
        Ok(Self { named, download })
    }

    pub(crate) const fn session(&self) -> &SessionId {
        &self.named.session
    }

    /// How many bytes it has, if the service says so.
    pub(crate) const fn length(&self) -> Option<u64> {
        self.download.length
    }

    /// The next bytes; `None` only when all of them have come.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, CallError> {
        self.download.next().await.map_err(|error| self.named.explain(error, false))
    }
}

/// A file on its way into a session's home. It is collected on disk, so that the service never has a part of it.
pub(crate) struct Incoming {
    named: NamedSession,
    path: RemotePath,
    writing: Writing,
    /// Its place among the files that are read or written at once.
    _place: Place,
}

impl Incoming {
    /// Finds the session before anything is taken.
    pub(crate) async fn begin(call: &Call, params: &WriteParams) -> Result<Self, CallError> {
        let named = NamedSession::resolve_own(call, &params.session).await?;
        let place = call.daemon.pieces.begin(of(call, &named, &params.path))?;
        let writing = write::begin(call.daemon.state_directory.path()).await?;
        Ok(Self { named, path: params.path.clone(), writing, _place: place })
    }

    /// Adds bytes to its end.
    pub(crate) async fn add(&mut self, content: Vec<u8>) -> Result<(), CallError> {
        let Writing { spool, length } = &self.writing;
        if length + content.len() as u64 > MAX_FILE_BYTES {
            return Err(write::too_large());
        }
        self.writing = write::add(Writing { spool: Arc::clone(spool), length: *length }, content).await?;
        Ok(())
    }

    /// Sends it to the service.
    pub(crate) async fn send(self) -> Result<WriteResponse, CallError> {
        let Self { named, path, writing: Writing { spool, length }, _place: place } = self;
        let content = Content::file(spool, length, Arc::default());
        let sent = named.scope.agent.upload_file(&named.scope.wire, &named.session, &path, content).await;
        drop(place);
        sent.map_err(|error| named.explain(error, false))?;
        let notices = notices(&named);
        Ok(WriteResponse { session_id: named.session, path, bytes: length, is_written: true, write_id: None, notices })
    }
}
