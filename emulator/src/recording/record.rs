//! An agent whose exchanges are kept in a file. It answers as it would without.

use super::capture::{KEPT_HEADERS, hidden};
use super::format::{self, Answer, Asked, Exchange, Head, Piece, RecordingError};
use super::markers::Values;
use super::request::{Known, partition};
use crate::container::{CallError, Container, OwnQuestion, Runtime, SandboxContext, StartError};
use crate::isolation::Partition;
use crate::variables::Refused;
use axum::body::{Body, to_bytes};
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use http::header::{CONTENT_LENGTH, UPGRADE};
use http::{HeaderMap, Method, Request, Response};
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::time::Instant;

/// Longest request or answer that is kept, in bytes. Longer ones pass, and are left out with a warning.
const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;

/// Longest request that passes, in bytes: as long as what the emulator's own routes take.
const MAX_REQUEST_BYTES: usize = 64 * 1024 * 1024;

/// A file that exchanges are written to.
#[derive(Debug)]
pub struct Recorder {
    path: PathBuf,
    head: Head,
    file: Mutex<File>,
    /// What the file calls the responses of this run.
    names: Mutex<HashMap<String, String>>,
}

impl Recorder {
    /// Creates the file. `prompts`: requests are kept as they are, else only digests of them.
    pub fn create(path: &Path, prompts: bool) -> Result<Arc<Self>, RecordingError> {
        let (file, head) = format::create(path, prompts)?;
        Ok(Arc::new(Self { path: path.to_owned(), head, file: Mutex::new(file), names: Mutex::default() }))
    }

    /// The same agent, its exchanges kept.
    pub fn around(self: &Arc<Self>, runtime: Arc<dyn Runtime>) -> Arc<dyn Runtime> {
        Arc::new(Recorded { runtime, recorder: Arc::clone(self) })
    }

    /// A name for the response that a request creates, if it creates one.
    fn name(&self, method: &Method, path: &str, headers: &HeaderMap) -> Option<String> {
        if method != Method::POST || path != "/responses" {
            return None;
        }
        let id = headers.get("x-agent-response-id")?.to_str().ok()?;
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let name = format!("response-{}", names.len() + 1);
        names.insert(id.to_owned(), name.clone());
        Some(name)
    }

    fn write(&self, exchange: &Exchange) {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = format::write_line(&mut *file, exchange) {
            tracing::error!("the recording {} could not be written: {error}", self.path.display());
        }
    }
}

struct Recorded {
    runtime: Arc<dyn Runtime>,
    recorder: Arc<Recorder>,
}

impl Runtime for Recorded {
    fn start(&self, context: SandboxContext) -> BoxFuture<'_, Result<Arc<dyn Container>, StartError>> {
        Box::pin(async move {
            let (agent, session) = (context.agent.clone(), context.session_id.clone());
            let container = self.runtime.start(context).await?;
            let recorder = Arc::clone(&self.recorder);
            Ok(Arc::new(RecordedContainer { container, recorder, agent, session }) as Arc<dyn Container>)
        })
    }

    fn admit(&self, variables: &BTreeMap<String, String>) -> Result<(), Refused> {
        self.runtime.admit(variables)
    }
}

struct RecordedContainer {
    container: Arc<dyn Container>,
    recorder: Arc<Recorder>,
    agent: String,
    session: String,
}

impl Container for RecordedContainer {
    fn call(&self, request: Request<Body>) -> BoxFuture<'_, Result<Response<Body>, CallError>> {
        Box::pin(async move {
            let user = request.extensions().get::<Partition>().cloned();
            let is_own = request.extensions().get::<OwnQuestion>().is_some();
            let (Some(user), false, false) = (user, is_own, request.headers().contains_key(UPGRADE)) else {
                return self.container.call(request).await;
            };
            let (parts, body) = request.into_parts();
            let body = to_bytes(body, MAX_REQUEST_BYTES).await;
            let body = body.map_err(|error| CallError::Broken(error.to_string()))?;
            let began = Instant::now();
            let kept = (body.len() <= MAX_BODY_BYTES).then(|| self.kept(&parts, &body, &user, began));
            let response = self.container.call(Request::from_parts(parts, Body::from(body))).await?;
            Ok(match kept {
                Some(kept) => kept.of(response),
                None => response,
            })
        })
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        self.container.stop()
    }
}

impl RecordedContainer {
    fn kept(&self, parts: &http::request::Parts, body: &Bytes, user: &Partition, began: Instant) -> Kept {
        let Head { salt, prompts, .. } = &self.recorder.head;
        let response_id = self.recorder.name(&parts.method, parts.uri.path(), &parts.headers);
        let names = self.recorder.names.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let known = Known::of(&parts.method, &parts.uri, body, &names);
        let values = known.values(&self.session, user, &parts.headers, *prompts);
        let partition = partition(salt, user);
        let text = std::str::from_utf8(body).ok().filter(|text| *prompts && !text.is_empty());
        Kept {
            recorder: Arc::clone(&self.recorder),
            exchange: Exchange {
                agent: self.agent.clone(),
                digest: known.digest(salt, &self.agent, &partition),
                partition,
                response_id,
                request: Asked {
                    method: known.method.to_string(),
                    path: values.hide(&known.path),
                    body: text.map(|text| values.hide(text)),
                },
                answer: Answer { status: 0, headers: BTreeMap::new(), pieces: Vec::new() },
            },
            values,
            began,
            pieces: Vec::new(),
            length: 0,
        }
    }
}

/// An exchange under way.
struct Kept {
    recorder: Arc<Recorder>,
    exchange: Exchange,
    values: Values,
    began: Instant,
    /// What came, and when in milliseconds.
    pieces: Vec<(u64, Bytes)>,
    length: usize,
}

impl Kept {
    /// The answer, which is written down when its body has ended. One that breaks off is not kept.
    fn of(mut self, response: Response<Body>) -> Response<Body> {
        self.exchange.answer.status = response.status().as_u16();
        for name in KEPT_HEADERS {
            if let Some(value) = response.headers().get(name).and_then(|value| value.to_str().ok()) {
                self.exchange.answer.headers.insert(name.to_owned(), self.values.hide(value));
            }
        }
        let (parts, body) = response.into_parts();
        // A server does not ask a body of known length for its end.
        let expected = parts.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        if expected == Some(0) {
            self.end();
            return Response::from_parts(parts, body);
        }
        let stream =
            futures_util::stream::unfold((body.into_data_stream(), Some(self)), move |(mut body, kept)| async move {
                match body.next().await {
                    Some(Ok(bytes)) => {
                        let kept = kept.and_then(|mut kept| {
                            kept.take(&bytes);
                            if expected == Some(kept.length) {
                                kept.end();
                                return None;
                            }
                            Some(kept)
                        });
                        Some((Ok(bytes), (body, kept)))
                    }
                    Some(Err(error)) => Some((Err(error), (body, None))),
                    None => {
                        if let Some(kept) = kept {
                            kept.end();
                        }
                        None
                    }
                }
            });
        Response::from_parts(parts, Body::from_stream(stream))
    }

    fn take(&mut self, bytes: &Bytes) {
        self.length += bytes.len();
        if self.length <= MAX_BODY_BYTES {
            let after = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.pieces.push((after, bytes.clone()));
        }
    }

    fn end(mut self) {
        let pieces = if self.length > MAX_BODY_BYTES { Err("its answer is too long") } else { self.pieces() };
        match pieces {
            Ok(pieces) => {
                self.exchange.answer.pieces = pieces;
                self.recorder.write(&self.exchange);
            }
            Err(why) => {
                tracing::warn!("an exchange is not in the recording {}: {why}", self.recorder.path.display());
            }
        }
    }

    fn pieces(&self) -> Result<Vec<Piece>, &'static str> {
        let kind = self.exchange.answer.headers.get("content-type").map_or("", String::as_str);
        hidden(&self.pieces, kind, &self.values)
    }
}
