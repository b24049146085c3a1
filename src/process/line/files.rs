//! `files/upload` and `files/download` of a command that uses a gateway. The local file is this user's, so it is read and written here,
//! and travels as the body of an HTTP request (`gateway/files`); whole directories as `methods/files/tree` says.
//!
//! A line that was bound (`initialize` with `bind`) has no local files here: the gateway refuses both methods on it.

use super::proof::Proof;
use crate::error::CallError;
use crate::foundry::{Content, MAX_DOWNLOAD_BYTES};
use crate::methods::files::home::{Home, TransferProgress};
use crate::methods::files::transfer::{Sink, Source, own_name};
use crate::rpc::bounds::{not_by_name, not_from_the_proof};
use crate::rpc::message::{CallId, cancels};
use crate::system::file::{Draft, Local, Opened};
use cupola_protocol::Method;
use cupola_protocol::error::ErrorKind;
use cupola_protocol::files::pieces::WriteResponse;
use cupola_protocol::files::{
    Download, DownloadParams, Entry, FileEvent, List, ListResponse, MakeDirectory, PathResponse, RemotePath, Stat,
    TransferResponse, Upload, UploadParams,
};
use cupola_protocol::id::SessionId;
use cupola_protocol::isolation::Isolation;
use cupola_protocol::rpc::{ErrorObject, MAX_MESSAGE_BYTES, PROGRESS, ProgressToken};
use cupola_protocol::sessions::SessionParams;
use cupola_protocol::target::{AgentName, Target};
use futures_util::FutureExt as _;
use http::{HeaderMap, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

/// Messages that wait for the command: a transfer waits while it does not read.
pub(super) const WAITING: usize = 16;

/// The way to a gateway.
#[derive(Debug, Clone)]
pub(super) struct Way {
    pub(super) client: reqwest::Client,
    pub(super) url: Url,
    /// The agent that is meant when none is named.
    pub(super) agent: Option<AgentName>,
    pub(super) proof: Proof,
}

/// The transfers of one line.
pub(super) struct Transfers {
    way: Way,
    out: mpsc::Sender<String>,
    is_bound: bool,
    /// They end with the line, which is the only task of its runtime that is waited for.
    tasks: TaskTracker,
    under_way: Arc<Mutex<HashMap<CallId, CancellationToken>>>,
}

/// What is looked at of every message.
#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
}

impl Transfers {
    pub(super) fn new(way: Way, out: mpsc::Sender<String>) -> Self {
        Self { way, out, is_bound: false, tasks: TaskTracker::new(), under_way: Arc::default() }
    }

    /// Begins the transfer that a message asks for. False for every other message: those are the gateway's.
    pub(super) fn take(&mut self, text: &str) -> bool {
        let Ok(Message { id, method: Some(method), params }) = serde_json::from_str(text) else {
            // A batch may bind as well.
            self.is_bound |= text.trim_start().starts_with('[');
            return false;
        };
        if method == cupola_protocol::daemon::Initialize::NAME {
            let asks = params.and_then(|params| serde_json::from_str::<Value>(params.get()).ok());
            self.is_bound |= asks.is_none_or(|asks| asks.get("bind").is_some_and(|bind| !bind.is_null()));
        }
        if let Some(id) = cancels(&method, params.map(RawValue::get)) {
            let under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(transfer) = under_way.get(&id) {
                transfer.cancel();
            }
        }
        let (Some(id), false) = (id.and_then(|id| CallId::parse(id).ok()), self.is_bound) else {
            return false;
        };
        let params = params.map_or_else(|| "{}".to_owned(), |params| params.get().to_owned());
        let (way, out, cancelled) = (self.way.clone(), self.out.clone(), CancellationToken::new());
        let work = match &*method {
            Upload::NAME => upload(way, params, out.clone(), cancelled.clone()).boxed(),
            Download::NAME => download(way, params, out.clone(), cancelled.clone()).boxed(),
            _ => return false,
        };
        let (key, under_way) = (id.clone(), Arc::clone(&self.under_way));
        under_way.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone(), cancelled);
        self.tasks.spawn(async move {
            let answer = match work.await {
                Ok(done) => id.result(&done),
                Err(error) => id.refuse(error),
            };
            under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
            // A command that is gone needs no answer.
            let _ = out.send(answer).await;
        });
        true
    }
}

async fn upload(
    way: Way,
    params: String,
    out: mpsc::Sender<String>,
    cancelled: CancellationToken,
) -> Result<TransferResponse, CallError> {
    let UploadParams { session, local_path, recursive, path } = read(&params)?;
    let file = PathBuf::from(local_path.as_str());
    let path = match path {
        Some(path) => path,
        None => own_name(&file)?,
    };
    let so_far = TransferProgress::default();
    let source = Source::open(&Local::Anywhere, &file, recursive).await?;
    let home = Remote::new(way, &session)?;
    let token = session.progress.partial_result_token;
    let (bytes, tree) = so_far.told(&cancelled, teller(out, token), source.send(&home, &path, &so_far)).await?;
    let (session_id, notices) = home.answered()?;
    Ok(TransferResponse { session_id, path, local_path, bytes, tree, notices })
}

async fn download(
    way: Way,
    params: String,
    out: mpsc::Sender<String>,
    cancelled: CancellationToken,
) -> Result<TransferResponse, CallError> {
    let DownloadParams { session, path, local_path, recursive } = read(&params)?;
    let so_far = TransferProgress::default();
    let sink = Sink::open(&Local::Anywhere, Path::new(local_path.as_str()), recursive).await?;
    let home = Remote::new(way, &session)?;
    let token = session.progress.partial_result_token;
    let tree = so_far.told(&cancelled, teller(out, token), sink.fetch(&home, &path, &so_far)).await?;
    let (session_id, notices) = home.answered()?;
    Ok(TransferResponse { session_id, path, local_path, bytes: so_far.bytes(), tree, notices })
}

fn read<Params: DeserializeOwned>(text: &str) -> Result<Params, CallError> {
    serde_json::from_str(text)
        .map_err(|error| CallError::invalid_params(format!("the parameters cannot be read: {error}")))
}

/// Tells the command how far a transfer is, if it asked for that.
fn teller(
    out: mpsc::Sender<String>,
    token: Option<ProgressToken>,
) -> impl Fn(FileEvent) -> futures_util::future::BoxFuture<'static, Result<(), CallError>> {
    move |event| {
        let (out, token) = (out.clone(), token.clone());
        async move {
            let Some(token) = token else { return Ok(()) };
            let params = json!({"token": token, "value": event});
            let text = json!({"jsonrpc": "2.0", "method": PROGRESS, "params": params}).to_string();
            out.send(text).await.map_err(|_| CallError::cancelled())
        }
        .boxed()
    }
}

/// The home of a session behind a gateway.
struct Remote {
    way: Way,
    agent: Option<AgentName>,
    isolation: Isolation,
    /// The session that is named, else the first one that answered: a whole directory goes into one session.
    session: OnceLock<SessionId>,
    notices: OnceLock<Vec<cupola_protocol::notice::Notice>>,
}

impl Remote {
    fn new(way: Way, params: &SessionParams) -> Result<Self, CallError> {
        let Target::Gateway { agent } = &params.target else { return Err(not_by_name()) };
        let label = Isolation { chat: params.isolation.chat.clone(), ..Isolation::default() };
        if params.isolation != label {
            return Err(not_from_the_proof());
        }
        if params.allow_shared_session {
            return Err(CallError::out_of_bounds("a gateway lets nobody enter what is another isolation's")
                .hint("leave allowSharedSession out"));
        }
        let agent = agent.clone().or_else(|| way.agent.clone());
        let session = params.session_id.clone().map_or_else(OnceLock::new, OnceLock::from);
        Ok(Self { way, agent, isolation: label, session, notices: OnceLock::new() })
    }

    /// The session that answered, and what is to be known about it.
    fn answered(self) -> Result<(SessionId, Vec<cupola_protocol::notice::Notice>), CallError> {
        let session = self.session.into_inner().ok_or_else(|| unexpected("it does not say which session it used"))?;
        Ok((session, self.notices.into_inner().unwrap_or_default()))
    }

    /// A request, with the token as it is now.
    async fn request(&self, method: http::Method, rest: &[&str]) -> Result<reqwest::RequestBuilder, CallError> {
        let authorization = self.way.proof.authorization().await;
        let authorization = authorization.map_err(|reason| CallError::new(ErrorKind::AuthenticationFailed, reason))?;
        let mut url = self.way.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.clear();
            if let Some(agent) = &self.agent {
                segments.extend(["agents", agent.as_str()]);
            }
            segments.extend(rest);
        }
        Ok(self.way.client.request(method, url).header(http::header::AUTHORIZATION, authorization))
    }

    /// A request about a file.
    async fn file(&self, method: http::Method, path: &RemotePath) -> Result<reqwest::RequestBuilder, CallError> {
        let segments: Vec<&str> = path.as_str().trim_start_matches('/').split('/').collect();
        // In a URL they would lead elsewhere.
        if segments.iter().any(|segment| matches!(*segment, "." | "..")) {
            return Err(CallError::invalid_params("a path over a gateway has no segment . or .."));
        }
        let mut request = self.request(method, &[&["files"], &*segments].concat()).await?;
        if let Some(session) = self.session.get() {
            request = request.header("cupola-session", session.as_str());
        }
        if let Some(chat) = &self.isolation.chat {
            request = request.header("cupola-chat", utf8_percent_encode(chat.as_str(), NON_ALPHANUMERIC).to_string());
        }
        Ok(request)
    }

    fn note(&self, headers: &HeaderMap) {
        let session = headers.get("cupola-session").and_then(|session| session.to_str().ok()?.parse().ok());
        if let Some(session) = session {
            let _ = self.session.set(session);
        }
    }

    /// One call as JSON-RPC, about a path.
    async fn call<M: Method>(&self, path: &RemotePath) -> Result<M::Response, CallError> {
        #[derive(Deserialize)]
        struct Answer<'a> {
            #[serde(borrow)]
            result: Option<&'a RawValue>,
            error: Option<ErrorObject>,
        }
        let mut params = json!({"path": path});
        if let Some(session) = self.session.get() {
            params["sessionId"] = json!(session);
        }
        if self.isolation.chat.is_some() {
            params["isolation"] = json!(self.isolation);
        }
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": M::NAME, "params": params});
        let sent = self.request(http::Method::POST, &["rpc"]).await?.json(&message).send().await.map_err(lost)?;
        let body = bounded(sent).await?;
        let answer: Answer<'_> = serde_json::from_slice(&body).map_err(|_| unexpected("its answer is not JSON-RPC"))?;
        match answer {
            Answer { error: Some(error), .. } => Err(refused(error)),
            Answer { result: Some(result), .. } => {
                serde_json::from_str(result.get()).map_err(|_| unexpected("its answer has another form"))
            }
            Answer { .. } => Err(unexpected("its answer has no result")),
        }
    }
}

impl Home for Remote {
    async fn send(&self, file: &Opened, path: &RemotePath, sent: &Arc<AtomicU64>) -> Result<(), CallError> {
        let content = Content::file(Arc::clone(&file.file), file.length, Arc::clone(sent)).from(&file.path);
        let request = self.file(http::Method::PUT, path).await?.header(http::header::CONTENT_LENGTH, content.length());
        let answer = request.body(content.body()).send().await;
        let answer = answer.map_err(|error| match content.failure() {
            Some(reason) => CallError::new(ErrorKind::LocalFile, reason),
            None => lost(error),
        })?;
        self.note(answer.headers());
        let body = bounded(accepted(answer).await?).await?;
        let written: WriteResponse =
            serde_json::from_slice(&body).map_err(|_| unexpected("its answer has another form"))?;
        if written.bytes != file.length {
            return Err(unexpected("it has written another number of bytes"));
        }
        let _ = self.notices.set(written.notices);
        Ok(())
    }

    async fn fetch(
        &self,
        path: &RemotePath,
        mut draft: Draft,
        fetched: &AtomicU64,
        length: impl FnOnce(u64) + Send,
    ) -> Result<(), CallError> {
        let answer = self.file(http::Method::GET, path).await?.send().await.map_err(lost)?;
        let mut answer = accepted(answer).await?;
        self.note(answer.headers());
        if let Some(bytes) = answer.content_length() {
            length(bytes);
        }
        while let Some(piece) = answer.chunk().await.map_err(lost)? {
            if fetched.load(Ordering::Relaxed) + piece.len() as u64 > MAX_DOWNLOAD_BYTES {
                return Err(CallError::new(ErrorKind::FileTooLarge, "the download is longer than is taken at once"));
            }
            draft.write(&piece).await?;
            fetched.fetch_add(piece.len() as u64, Ordering::Relaxed);
        }
        Ok(draft.place().await?)
    }

    async fn list(&self, path: &RemotePath) -> Result<ListResponse, CallError> {
        self.call::<List>(path).await
    }

    async fn entry(&self, path: &RemotePath) -> Result<Entry, CallError> {
        self.call::<Stat>(path).await
    }

    async fn make_directory(&self, path: &RemotePath) -> Result<(), CallError> {
        let PathResponse { session_id, .. } = self.call::<MakeDirectory>(path).await?;
        let _ = self.session.set(session_id);
        Ok(())
    }
}

/// An answer that is a file, or says that there is one now; else the error in it.
async fn accepted(answer: reqwest::Response) -> Result<reqwest::Response, CallError> {
    #[derive(Deserialize)]
    struct Refused {
        error: ErrorObject,
    }
    let status = answer.status();
    if status == StatusCode::OK {
        return Ok(answer);
    }
    let body = bounded(answer).await?;
    let said = serde_json::from_slice::<Refused>(&body).ok();
    Err(said.map_or_else(|| unexpected(&format!("it answered with status {status}")), |said| refused(said.error)))
}

/// The body of an answer that is a message.
async fn bounded(mut answer: reqwest::Response) -> Result<Vec<u8>, CallError> {
    let mut body = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(lost)? {
        if body.len() + piece.len() > MAX_MESSAGE_BYTES {
            return Err(unexpected("its answer is too long"));
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

fn refused(error: ErrorObject) -> CallError {
    match error.data {
        Some(data) => CallError { message: error.message, data: Box::new(data) },
        None => CallError::new(ErrorKind::InternalError, error.message),
    }
}

fn unexpected(what: &str) -> CallError {
    CallError::new(ErrorKind::UnexpectedAnswer, format!("the gateway gave an unexpected answer: {what}"))
}

fn lost(error: reqwest::Error) -> CallError {
    let reason = super::innermost(&error.without_url());
    CallError::new(ErrorKind::ConnectionFailed, format!("the connection to the gateway failed: {reason}"))
}
