//! Files as bodies of HTTP: `GET` and `PUT` of `/files/PATH`.
//!
//! Each is one call of `files/read` or `files/write`, under the same bounds, grants and limits as one that comes as JSON-RPC.

use super::answers::tell_limits;
use super::caller::Caller;
use super::connection::{Connection, expiry};
use super::limits::Metered;
use crate::error::CallError;
use crate::inbound::connection::http::body;
use crate::inbound::connection::http::response::{Body, response};
use crate::limits::input::Progress;
use crate::methods::files::whole::{Incoming as Upload, Outgoing};
use crate::rpc::binding::Binding;
use crate::rpc::calls::{Calls, Direct};
use crate::rpc::client::{CLIENT_STALL, Client, Stall};
use crate::rpc::message::CallId;
use crate::rpc::proven::Proven;
use bytes::Bytes;
use cupola_protocol::error::ErrorKind;
use cupola_protocol::files::pieces::{Read, Write, WriteResponse};
use cupola_protocol::files::{MAX_FILE_BYTES, RemotePath};
use futures_util::Stream;
use http::header::{
    CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, RETRY_AFTER,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::{Request, Response};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};
use std::sync::Arc;
use std::task::Poll;
use tokio::sync::mpsc;

/// Which session is meant; an answer says which it was.
const SESSION: HeaderName = HeaderName::from_static("cupola-session");
/// The label of the chat whose session or run is meant, percent-encoded.
const CHAT: HeaderName = HeaderName::from_static("cupola-chat");
/// How much of an upload is in memory before it is written to disk, in bytes. It comes in pieces of some 16 kB.
const SPOOLED_BYTES: usize = 256 * 1024;

/// A body of the gateway.
pub(super) type Sent = UnsyncBoxBody<Bytes, Cut>;

/// A file did not come as a whole. Its answer is broken off, so that no client takes a part of it for the whole.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the file did not come as a whole")]
pub(super) struct Cut;

/// A piece of a file on its way to the client.
enum Piece {
    Bytes(Bytes),
    /// All of it has come.
    End,
}

/// An answer whose body cannot be broken off.
pub(super) fn whole(response: Response<Body>) -> Response<Sent> {
    response.map(|body| body.map_err(|never| match never {}).boxed_unsync())
}

/// Serves one file, for a caller who was proven.
pub(super) async fn serve(
    connection: &Arc<Connection>,
    caller: &Caller,
    proven: Proven,
    meter: &Metered,
    path: &RemotePath,
    request: Request<Incoming>,
) -> Response<Sent> {
    let daemon = &connection.gateway.daemon;
    // Nobody gets messages about the progress of a file.
    let (client, _messages) = Client::new(daemon, connection.number, connection.ends.clone(), false, None);
    let cancelled = daemon.shutdown.work();
    let _left = cancelled.clone().drop_guard();
    let calls = connection.calls(&client, Binding::proven(proven, true), &cancelled);
    let params = params(path, request.headers());
    let served = async {
        let params = params?;
        if request.method() == Method::PUT {
            let (head, body) = request.into_parts();
            let written = upload(connection, &calls, params, &head.headers, body).await?;
            return Ok(answer(&written));
        }
        download(connection, caller, &calls, &client, &params).await
    };
    let served = tokio::select! {
        served = served => served,
        () = expiry(caller.expires) => Err(CallError::cancelled()),
        () = cancelled.cancelled() => Err(CallError::shutting_down()),
    };
    let mut response = served.unwrap_or_else(|error| refused(client.worded(error)));
    let left = meter.left();
    if response.status() == StatusCode::TOO_MANY_REQUESTS {
        let wait = if left.remaining == 0 { left.reset.max(1) } else { 1 };
        response.headers_mut().insert(RETRY_AFTER, wait.into());
    }
    tell_limits(response.headers_mut(), left);
    response
}

/// The parameters of the call that the request stands for.
fn params(path: &RemotePath, headers: &HeaderMap) -> Result<Map<String, Value>, CallError> {
    let mut params = Map::new();
    params.insert("path".to_owned(), path.as_str().into());
    if let Some(session) = text(headers, &SESSION)? {
        params.insert("sessionId".to_owned(), session.into());
    }
    if let Some(isolation) = chat(headers)? {
        params.insert("isolation".to_owned(), isolation);
    }
    Ok(params)
}

/// The isolation of the chat that the request names.
pub(super) fn chat(headers: &HeaderMap) -> Result<Option<Value>, CallError> {
    Ok(text(headers, &CHAT)?.map(|chat| serde_json::json!({"chat": chat})))
}

/// The percent-decoded value of a header, which may be there once.
fn text(headers: &HeaderMap, name: &HeaderName) -> Result<Option<String>, CallError> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let value = value.to_str().ok().filter(|_| values.next().is_none());
    let value = value.and_then(|value| percent_decode_str(value).decode_utf8().ok());
    let value = value.ok_or_else(|| {
        CallError::invalid_params(format!("the header {name} must be there once, as percent-encoded UTF-8"))
    })?;
    Ok(Some(value.into_owned()))
}

async fn upload(
    connection: &Connection,
    calls: &Arc<Calls>,
    mut params: Map<String, Value>,
    headers: &HeaderMap,
    mut body: Incoming,
) -> Result<WriteResponse, CallError> {
    params.extend([("content".to_owned(), "".into()), ("isLast".to_owned(), true.into())]);
    let begun = async {
        if headers.contains_key(CONTENT_ENCODING) {
            return Err(CallError::invalid_request("the body must be the file as it is, and not compressed"));
        }
        let direct = calls.direct::<Write>(&Value::Object(params).to_string()).await?;
        // What is announced as too long need not be sent.
        if hyper::body::Body::size_hint(&body).lower() > MAX_FILE_BYTES {
            return Err(crate::methods::files::whole::too_large());
        }
        let upload = Upload::begin(&direct.call, &direct.params).await?;
        Ok((direct, upload))
    };
    let (direct, upload) = match begun.await {
        Ok(begun) => begun,
        Err(error) => {
            body::discard(body).await;
            return Err(error);
        }
    };
    let collected = match collect(connection, &mut body, upload).await {
        Ok(collected) => collected,
        Err(error) => {
            body::discard(body).await;
            return Err(error);
        }
    };
    let sent = collected.send().await;
    drop(direct);
    sent
}

/// Collects a body on disk.
async fn collect(connection: &Connection, body: &mut Incoming, mut upload: Upload) -> Result<Upload, CallError> {
    let mut room = connection.gateway.daemon.input.room();
    room.grow_to(SPOOLED_BYTES).map_err(|_| crate::rpc::guest::no_room())?;
    let (mut progress, mut total, mut waiting) = (Progress::begin(), 0_usize, Vec::with_capacity(SPOOLED_BYTES));
    loop {
        let frame = tokio::time::timeout_at(progress.deadline(total), body.frame()).await;
        let frame = frame.map_err(|_| CallError::new(ErrorKind::TimedOut, "the file came too slowly, or stopped"))?;
        let Some(frame) = frame else { break };
        let data = frame.map_err(|error| CallError::invalid_request(format!("the file could not be read: {error}")))?;
        let data = data.into_data().unwrap_or_default();
        total = total.saturating_add(data.len());
        waiting.extend_from_slice(&data);
        if waiting.len() >= SPOOLED_BYTES {
            upload.add(std::mem::take(&mut waiting)).await?;
        }
        progress.made();
    }
    upload.add(waiting).await?;
    Ok(upload)
}

fn answer(written: &WriteResponse) -> Response<Sent> {
    let text = serde_json::to_string(written).unwrap_or_default();
    let mut response = whole(response(StatusCode::OK, "application/json", text));
    if let Ok(session) = HeaderValue::try_from(written.session_id.as_str()) {
        response.headers_mut().insert(SESSION, session);
    }
    response
}

async fn download(
    connection: &Connection,
    caller: &Caller,
    calls: &Arc<Calls>,
    client: &Client,
    params: &Map<String, Value>,
) -> Result<Response<Sent>, CallError> {
    let params = serde_json::to_string(params).map_err(|_| CallError::internal("the path could not be written"))?;
    let Direct { call, params, held } = calls.direct::<Read>(&params).await?;
    let mut outgoing = Outgoing::begin(&call, &params).await?;
    let (session, length) = (HeaderValue::try_from(outgoing.session().as_str()), outgoing.length());
    let (sender, pieces) = mpsc::channel(1);
    let (work, expired, client) = (connection.gateway.daemon.shutdown.work(), expiry(caller.expires), client.clone());
    connection.gateway.daemon.tasks.spawn(async move {
        let passing = async {
            loop {
                let piece = match outgoing.next().await {
                    Ok(Some(bytes)) => Piece::Bytes(bytes),
                    Ok(None) => Piece::End,
                    // Without an end the answer is broken off.
                    Err(error) => return tracing::debug!(error = error.message(), "a download was broken off"),
                };
                let is_last = matches!(piece, Piece::End);
                match sender.send_timeout(piece, CLIENT_STALL).await {
                    Ok(()) if !is_last => {}
                    Err(mpsc::error::SendTimeoutError::Timeout(_)) => return client.stall(Stall::TookNothing),
                    Ok(()) | Err(mpsc::error::SendTimeoutError::Closed(_)) => return,
                }
            }
        };
        tokio::select! {
            () = passing => {}
            () = work.cancelled() => {}
            () = expired => {}
            () = sender.closed() => {}
        }
        drop(held);
    });
    let mut response = Response::new(StreamBody::new(body_of(pieces)).boxed_unsync());
    let headers = response.headers_mut();
    // What an agent wrote is data: no browser is to run it or to guess what it is.
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Some(length) = length {
        headers.insert(CONTENT_LENGTH, length.into());
    }
    if let Ok(session) = session {
        headers.insert(SESSION, session);
    }
    Ok(response)
}

/// The body of an answer. It fails unless its end came: without a known length a client could not tell otherwise.
fn body_of(mut pieces: mpsc::Receiver<Piece>) -> impl Stream<Item = Result<Frame<Bytes>, Cut>> + Send {
    let mut has_ended = false;
    futures_util::stream::poll_fn(move |context| {
        if has_ended {
            return Poll::Ready(None);
        }
        pieces.poll_recv(context).map(|piece| match piece {
            Some(Piece::Bytes(bytes)) => Some(Ok(Frame::data(bytes))),
            Some(Piece::End) => {
                has_ended = true;
                None
            }
            None => {
                has_ended = true;
                Some(Err(Cut))
            }
        })
    })
}

fn refused(error: CallError) -> Response<Sent> {
    let status = status(error.kind());
    whole(response(status, "application/json", CallId::null().refuse(error)))
}

/// The status that says about the same as a kind of error.
const fn status(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::InvalidRequest | ErrorKind::InvalidParams | ErrorKind::BadRequest | ErrorKind::AgentNotChosen => {
            StatusCode::BAD_REQUEST
        }
        ErrorKind::OutOfBounds
        | ErrorKind::Forbidden
        | ErrorKind::ForeignSession
        | ErrorKind::NotSessionOwner
        | ErrorKind::PooledSession
        | ErrorKind::IsolationMismatch => StatusCode::FORBIDDEN,
        ErrorKind::NotFound | ErrorKind::SessionNotFound | ErrorKind::AgentNotFound => StatusCode::NOT_FOUND,
        ErrorKind::Conflict | ErrorKind::Cancelled => StatusCode::CONFLICT,
        ErrorKind::FileTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorKind::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::InternalError => StatusCode::INTERNAL_SERVER_ERROR,
        ErrorKind::TimedOut => StatusCode::GATEWAY_TIMEOUT,
        ErrorKind::Overloaded
        | ErrorKind::Busy
        | ErrorKind::ShuttingDown
        | ErrorKind::StateUnavailable
        | ErrorKind::LocalFile
        | ErrorKind::QuotaExceeded
        | ErrorKind::SessionNotReady
        | ErrorKind::SandboxIdle
        | ErrorKind::ServiceUnavailable => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::BAD_GATEWAY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::StreamExt as _;

    #[tokio::test]
    async fn a_file_without_its_end_is_broken_off() {
        for (has_end, fails) in [(true, false), (false, true)] {
            let (sender, pieces) = mpsc::channel(2);
            sender.send(Piece::Bytes(Bytes::from_static(b"half"))).await.ok().unwrap();
            if has_end {
                sender.send(Piece::End).await.ok().unwrap();
            }
            drop(sender);
            let came: Vec<_> = body_of(pieces).map(|piece| piece.is_err()).collect().await;
            assert_eq!(came, if fails { vec![false, true] } else { vec![false] });
        }
    }
}
