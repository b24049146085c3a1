//! Files of a session's home (contract section 5).
//!
//! What the contract leaves open is decided so: a file operation neither needs nor wakes the sandbox, since the home
//! outlives it, but counts as activity; a leading slash means the home too; directories above an uploaded file are
//! made; what is in the way (a directory where a file should go, a file where a directory should be) is a 409.

use super::Gateway;
use super::answer;
use super::call::{Call, Entered, Whole, json_body};
use super::paging::{MAX_LIMIT, Order, page_of};
use crate::error::ApiError;
use crate::home::{Home, HomePath, Upload};
use crate::isolation::Purpose;
use crate::options::Undocumented;
use crate::session::Status;
use axum::body::{Body, BodyDataStream};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use futures_util::StreamExt;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::io::ReaderStream;

/// Largest file, in bytes. "50 MB" in the specification, which does not say of which kind; this is the larger reading.
const MAX_FILE: u64 = 50 * 1024 * 1024;

/// How much of a body that is refused is still read, in bytes. A client that sends its whole body before it reads the answer would
/// otherwise find the connection closed in place of the answer.
const MAX_DISCARDED: u64 = 2 * MAX_FILE;

pub(super) fn routes(without: &[Undocumented]) -> Router<Arc<Gateway>> {
    let mut routes = Router::new()
        .route("/sessions/{session}/files", get(list).delete(delete))
        .route("/sessions/{session}/files/content", put(upload).get(download));
    if !without.contains(&Undocumented::MakeDirectory) {
        routes = routes.route("/sessions/{session}/files/mkdir", post(make_directory));
    }
    if !without.contains(&Undocumented::Stat) {
        routes = routes.route("/sessions/{session}/files/stat", get(stat));
    }
    routes
}

async fn upload(call: Call, body: Body) -> Result<Response, ApiError> {
    let mut body = body.into_data_stream();
    let answer = store(&call, &mut body).await;
    if answer.is_err() {
        discard(&mut body).await;
    }
    answer
}

/// Stores the file. After an error, the rest of the body is still to be read.
async fn store(call: &Call, body: &mut BodyDataStream) -> Result<Response, ApiError> {
    let entered = enter(call).await?;
    let _lease = entered.session.lease(&call.gateway.clock);
    let path = path(call)?;
    if path.is_home() {
        return Err(ApiError::invalid("path", "The path must name the file to write."));
    }
    let declared: Option<u64> = call.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if declared.is_some_and(|length| length > MAX_FILE) {
        return Err(too_large());
    }
    let directory = entered.session.directory().to_owned();
    let (upload, file) = blocking(&path, move || Upload::begin(&directory)).await?;
    let written = receive(body, file.into()).await?;
    let (home, target) = (entered.session.home(), path.clone());
    blocking(&path, move || Home::open(&home)?.place(&upload, &target)).await?;
    Ok((StatusCode::CREATED, Json(json!({"path": path.shown(), "bytes_written": written}))).into_response())
}

/// Writes a body as it comes; the number of its bytes.
async fn receive(body: &mut BodyDataStream, mut file: tokio::fs::File) -> Result<u64, ApiError> {
    let mut written = 0;
    while let Some(chunk) = body.next().await {
        let chunk =
            chunk.map_err(|error| ApiError::invalid("body", format!("The upload was interrupted: {error}.")))?;
        written += chunk.len() as u64;
        if written > MAX_FILE {
            return Err(too_large());
        }
        file.write_all(&chunk).await.map_err(ApiError::internal)?;
    }
    file.flush().await.map_err(ApiError::internal)?;
    Ok(written)
}

async fn discard(body: &mut BodyDataStream) {
    let mut read = 0;
    while let Some(Ok(chunk)) = body.next().await {
        read += chunk.len() as u64;
        if read > MAX_DISCARDED {
            return;
        }
    }
}

fn too_large() -> ApiError {
    ApiError::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "file_too_large",
        format!("A file may have at most 50 MB ({MAX_FILE} bytes)."),
    )
}

async fn download(call: Call) -> Result<Response, ApiError> {
    let entered = enter(&call).await?;
    let lease = entered.session.lease(&call.gateway.clock);
    let path = path(&call)?;
    let (home, source) = (entered.session.home(), path.clone());
    let (file, length) = blocking(&path, move || Home::open(&home)?.read(&source)).await?;
    // No more than was promised, should the agent still be writing to it.
    let body = ReaderStream::new(tokio::fs::File::from_std(file).take(length));
    let mut response = Response::new(Body::from_stream(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(CONTENT_LENGTH, length.into());
    Ok(answer::pass(response, lease))
}

async fn list(call: Call) -> Result<Json<Value>, ApiError> {
    let entered = enter(&call).await?;
    let _lease = entered.session.lease(&call.gateway.clock);
    let path = path(&call)?;
    let (home, directory) = (entered.session.home(), path.clone());
    let entries = blocking(&path, move || Home::open(&home)?.list(&directory)).await?;
    let entries = entries.into_iter().map(|entry| (entry.name.clone(), json!(entry))).collect();
    // One generation of clients follows no pages, so the first is as large as a page may be.
    let mut page = page_of(&call.query, entries, Order::Ascending, MAX_LIMIT)?;
    Ok(Json(json!({
        "path": path.shown(),
        "entries": page["data"].take(),
        "first_id": page["first_id"].take(),
        "last_id": page["last_id"].take(),
        "has_more": page["has_more"].take(),
    })))
}

async fn delete(call: Call) -> Result<StatusCode, ApiError> {
    let entered = enter(&call).await?;
    let _lease = entered.session.lease(&call.gateway.clock);
    let path = path(&call)?;
    if path.is_home() {
        return Err(ApiError::invalid("path", "The path must name what to delete; the home itself stays."));
    }
    let recursive = match call.query("recursive") {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(ApiError::invalid("recursive", "recursive must be true or false")),
    };
    let (home, target) = (entered.session.home(), path.clone());
    blocking(&path, move || Home::open(&home)?.remove(&target, recursive)).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
struct DirectoryBody {
    path: String,
}

async fn make_directory(call: Call, Whole(body): Whole) -> Result<Response, ApiError> {
    let entered = enter(&call).await?;
    let _lease = entered.session.lease(&call.gateway.clock);
    let body: DirectoryBody = json_body(&body)?;
    let path = parse(&body.path)?;
    let (home, target) = (entered.session.home(), path.clone());
    let made = blocking(&path, move || Home::open(&home)?.make_directory(&target)).await?;
    let status = if made { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(json!({"path": path.shown()}))).into_response())
}

async fn stat(call: Call) -> Result<Json<Value>, ApiError> {
    let entered = enter(&call).await?;
    let _lease = entered.session.lease(&call.gateway.clock);
    let path = path(&call)?;
    let (home, target) = (entered.session.home(), path.clone());
    let entry = blocking(&path, move || Home::open(&home)?.stat(&target)).await?;
    Ok(Json(json!(entry)))
}

/// The session, which has files as long as it has not expired.
async fn enter(call: &Call) -> Result<Entered, ApiError> {
    let id = call.param("session");
    let entered = call.session(id, Purpose::Manage).await?;
    if entered.session.record().status == Status::Expired {
        return Err(ApiError::no_session(id));
    }
    Ok(entered)
}

fn path(call: &Call) -> Result<HomePath, ApiError> {
    parse(call.query("path").unwrap_or_default())
}

fn parse(text: &str) -> Result<HomePath, ApiError> {
    HomePath::parse(text).map_err(|reason| ApiError::invalid("path", format!("'{text}' cannot be used: {reason}.")))
}

/// Does file work on a separate thread.
async fn blocking<T: Send + 'static>(
    path: &HomePath,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, ApiError> {
    let done = tokio::task::spawn_blocking(work).await.map_err(ApiError::internal)?;
    done.map_err(|error| refused(path, &error))
}

fn refused(path: &HomePath, error: &io::Error) -> ApiError {
    let path = path.shown();
    match error.kind() {
        io::ErrorKind::NotFound => ApiError::not_found("File or directory", path).param("path"),
        io::ErrorKind::DirectoryNotEmpty => ApiError::conflict(
            "directory_not_empty",
            format!("Directory '{path}' is not empty; delete it with recursive=true."),
        )
        .param("path"),
        io::ErrorKind::IsADirectory => {
            ApiError::conflict("is_a_directory", format!("'{path}' is a directory.")).param("path")
        }
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            ApiError::conflict("not_a_directory", format!("'{path}' is not a directory, or leads through a file."))
                .param("path")
        }
        // A link that leads out of the home, too. No 403: that says who may not, not what cannot be.
        io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput | io::ErrorKind::InvalidFilename => {
            ApiError::invalid("path", format!("'{path}' cannot be used: {error}."))
        }
        _ => ApiError::internal(error),
    }
}
