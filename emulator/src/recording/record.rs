//! An agent whose exchanges are kept in a file. It answers as it would without.

use super::capture::{Incoming, KEPT_HEADERS, begun, hidden};
use super::format::{self, Exchange, Head, Piece, RecordingError};
use super::markers::Values;
use crate::container::{CallError, Container, OwnQuestion, Runtime, SandboxContext, StartError};
use crate::isolation::Partition;
use crate::variables::Refused;
use axum::body::{Body, to_bytes};
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use http::header::{CONTENT_LENGTH, UPGRADE};
use http::{HeaderMap, Method, Request, Response, StatusCode};
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

    fn runs_sources(&self) -> bool {
        self.runtime.runs_sources()
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
        let response_id = self.recorder.name(&parts.method, parts.uri.path(), &parts.headers);
        let request = Incoming {
            agent: &self.agent,
            session: &self.session,
            user,
            method: &parts.method,
            uri: &parts.uri,
            headers: &parts.headers,
            body,
        };
        let names = self.recorder.names.lock().unwrap_or_else(PoisonError::into_inner);
        let (exchange, values) = begun(&request, &self.recorder.head, &names, response_id);
        Kept { recorder: Arc::clone(&self.recorder), exchange, values, began, pieces: Vec::new(), length: 0 }
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
        // A server does not ask a body of known length for its end, and never asks for one that its status rules out.
        let has_none = matches!(parts.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let expected = parts.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        if has_none || expected == Some(0) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::LogSink;
    use crate::recording::format::read;
    use crate::sandbox::exec::Exec;

    /// An agent whose every answer has this status and no body.
    struct Bodiless(StatusCode);

    impl Runtime for Bodiless {
        fn start(&self, _: SandboxContext) -> BoxFuture<'_, Result<Arc<dyn Container>, StartError>> {
            let container: Arc<dyn Container> = Arc::new(Self(self.0));
            Box::pin(async { Ok(container) })
        }
    }

    impl Container for Bodiless {
        fn call(&self, _: Request<Body>) -> BoxFuture<'_, Result<Response<Body>, CallError>> {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = self.0;
            Box::pin(async { Ok(response) })
        }

        fn stop(&self) -> BoxFuture<'_, ()> {
            Box::pin(async {})
        }
    }

    fn recorder() -> (tempfile::TempDir, PathBuf, Arc<Recorder>) {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a.jsonl");
        let recorder = Recorder::create(&path, true).unwrap();
        (root, path, recorder)
    }

    #[test]
    fn a_recorded_agent_is_replaced_when_its_sources_change_if_it_would_be_without() {
        let (_root, _, recorder) = recorder();
        assert!(recorder.around(Arc::new(Exec::new("true"))).runs_sources());
        assert!(!recorder.around(Arc::new(Bodiless(StatusCode::OK))).runs_sources());
    }

    #[tokio::test]
    async fn an_answer_that_has_no_body_by_its_status_is_kept_though_no_server_asks_for_the_body() {
        let (root, path, recorder) = recorder();
        for status in [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED] {
            let context = SandboxContext {
                agent: "mine".to_owned(),
                version: "1".to_owned(),
                session_id: "s-1".to_owned(),
                home: root.path().to_owned(),
                state_root: root.path().to_owned(),
                environment: BTreeMap::new(),
                logs: LogSink::default(),
            };
            let container = recorder.around(Arc::new(Bodiless(status))).start(context).await.unwrap();
            let mut request = Request::delete("/invocations/1").body(Body::empty()).unwrap();
            request.extensions_mut().insert(Partition::Own("ann".to_owned()));
            assert_eq!(container.call(request).await.unwrap().status(), status);
        }
        let kept = read(&path).unwrap().exchanges;
        assert_eq!(kept.iter().map(|exchange| exchange.answer.status).collect::<Vec<_>>(), [204, 304]);
    }
}
