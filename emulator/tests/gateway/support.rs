//! An emulator on a free port, a client for it, and an agent that notes what reaches it.

use axum::body::Body;
use bytes::Bytes;
use cupola_emulator::container::{CallError, Container, Runtime, SandboxContext, StartError};
use cupola_emulator::isolation::Model;
use cupola_emulator::{
    AgentSpec, Clock, Emulator, KEYS_OPTIONAL, KEYS_REQUIRED, Options, Protocol, Token, VersionSpec, start,
};
use futures_util::future::BoxFuture;
use futures_util::stream;
use http::{HeaderMap, Method, StatusCode};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// When every test begins, Unix seconds.
pub(crate) const START: i64 = 1_795_390_000;

/// The id a container answers with that does not care for the gateway's.
pub(crate) const OWN_ID: &str = "resp_00112233445566770012345678901234567890123456789012";

/// A request as a container saw it.
#[derive(Clone)]
pub(crate) struct Seen {
    pub(crate) session: String,
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Seen {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// What all containers of a test share.
#[derive(Default)]
pub(crate) struct Agents {
    pub(crate) seen: Mutex<Vec<Seen>>,
    pub(crate) started: Mutex<Vec<String>>,
    pub(crate) stopped: Mutex<Vec<String>>,
    /// What each container was told, in the order of their starts.
    pub(crate) contexts: Mutex<Vec<SandboxContext>>,
    /// Sessions whose endless stream was dropped.
    pub(crate) dropped: Mutex<Vec<String>>,
    /// Whether containers end before they are ready, as an agent with a mistake does.
    pub(crate) are_broken: AtomicBool,
    /// How long a start takes.
    pub(crate) start_time: Mutex<Duration>,
}

impl Agents {
    pub(crate) fn last(&self) -> Seen {
        self.seen.lock().unwrap().last().cloned().expect("a request reached a container")
    }

    pub(crate) fn starts_of(&self, session: &str) -> usize {
        self.started.lock().unwrap().iter().filter(|id| *id == session).count()
    }

    pub(crate) fn stops_of(&self, session: &str) -> usize {
        self.stopped.lock().unwrap().iter().filter(|id| *id == session).count()
    }
}

struct Recorder(Arc<Agents>);

impl Runtime for Recorder {
    fn start(&self, context: SandboxContext) -> BoxFuture<'_, Result<Arc<dyn Container>, StartError>> {
        let agents = Arc::clone(&self.0);
        Box::pin(async move {
            agents.started.lock().unwrap().push(context.session_id.clone());
            agents.contexts.lock().unwrap().push(context.clone());
            let time = *agents.start_time.lock().unwrap();
            tokio::time::sleep(time).await;
            if context.environment.contains_key("NEVER_READY") {
                return Err(StartError::NotReady { seconds: 1 });
            }
            if context.environment.contains_key("CRASHES") || agents.are_broken.load(Ordering::SeqCst) {
                return Err(StartError::Exited { status: "exit status: 1".into(), output: "boom".into() });
            }
            let container: Arc<dyn Container> = Arc::new(Sandbox { agents, context });
            Ok(container)
        })
    }

    fn runs_sources(&self) -> bool {
        true
    }
}

struct Sandbox {
    agents: Arc<Agents>,
    context: SandboxContext,
}

impl Container for Sandbox {
    fn call(&self, request: http::Request<Body>) -> BoxFuture<'_, Result<http::Response<Body>, CallError>> {
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
            let seen = Seen {
                session: self.context.session_id.clone(),
                method: parts.method,
                target: parts.uri.to_string(),
                headers: parts.headers,
                body,
            };
            self.agents.seen.lock().unwrap().push(seen.clone());
            self.answer(&seen)
        })
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.agents.stopped.lock().unwrap().push(self.context.session_id.clone());
        })
    }
}

impl Sandbox {
    fn answer(&self, seen: &Seen) -> Result<http::Response<Body>, CallError> {
        let path = seen.target.split('?').next().unwrap();
        let segments: Vec<_> = path.trim_start_matches('/').split('/').collect();
        match (&seen.method, segments.as_slice()) {
            (&Method::POST, ["responses"]) => self.respond(seen),
            (&Method::GET, ["responses", id]) => Ok(answer_json(StatusCode::OK, &completed(id, "later"))),
            (&Method::DELETE, ["responses", id]) => {
                Ok(answer_json(StatusCode::OK, &json!({"id": id, "object": "response", "deleted": true})))
            }
            (&Method::POST, ["responses", _, "cancel"]) | (&Method::GET, ["responses", _, "input_items"]) => {
                Ok(answer_json(StatusCode::OK, &json!({"path": path})))
            }
            (&Method::GET, ["invocations", "docs", "openapi.json"]) => {
                Ok(answer_json(StatusCode::OK, &json!({"openapi": "3.0.0"})))
            }
            (_, ["invocations", ..]) => {
                let mut response = http::Response::new(Body::from(seen.body.clone()));
                response.headers_mut().insert("x-agent-invocation-id", "inv-0001".parse().unwrap());
                Ok(response)
            }
            _ => Ok(answer_json(StatusCode::NOT_FOUND, &json!({}))),
        }
    }

    fn respond(&self, seen: &Seen) -> Result<http::Response<Body>, CallError> {
        let body = seen.json();
        let id = seen.header("x-agent-response-id").unwrap_or("caresp_none").to_owned();
        match body["input"].as_str() {
            Some("own-id") => return Ok(answer_json(StatusCode::OK, &completed(OWN_ID, "own"))),
            Some("gone") => return Err(CallError::Gone("it exited".into())),
            Some("break") => return Err(CallError::Broken("connection reset".into())),
            Some("refuse") => {
                return Ok(answer_json(StatusCode::BAD_REQUEST, &json!({"error": {"code": "invalid_request"}})));
            }
            Some("hang") => {
                let first = event("response.created", &json!({"response": {"id": id, "status": "in_progress"}}));
                let guard = Dropped(Arc::clone(&self.agents), self.context.session_id.clone());
                let body = stream::unfold((Some(first), guard), |(first, guard)| async move {
                    match first {
                        Some(first) => Some((Ok::<_, std::io::Error>(first), (None, guard))),
                        None => std::future::pending().await,
                    }
                });
                return Ok(event_stream(Body::from_stream(body)));
            }
            _ => {}
        }
        let text = body["input"].as_str().unwrap_or("items").to_owned();
        let mut done = completed(&id, &text);
        if body["background"] == true {
            done = json!({"id": id, "object": "response", "status": "in_progress", "output": []});
        }
        if body["stream"] == true {
            let frames = [
                event("response.created", &json!({"response": {"id": id, "status": "in_progress"}})),
                event("response.output_text.delta", &json!({"delta": text})),
                event("response.completed", &json!({"response": done})),
            ];
            let frames = frames.map(Ok::<_, std::io::Error>);
            return Ok(event_stream(Body::from_stream(stream::iter(frames))));
        }
        Ok(answer_json(StatusCode::OK, &done))
    }
}

struct Dropped(Arc<Agents>, String);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.dropped.lock().unwrap().push(self.1.clone());
    }
}

fn completed(id: &str, text: &str) -> Value {
    json!({
        "id": id, "object": "response", "status": "completed",
        "output": [{"type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
            "content": [{"type": "output_text", "text": text}]}],
    })
}

fn event(name: &str, data: &Value) -> Bytes {
    Bytes::from(format!("event: {name}\ndata: {data}\n\n"))
}

fn event_stream(body: Body) -> http::Response<Body> {
    http::Response::builder().header("content-type", "text/event-stream; charset=utf-8").body(body).unwrap()
}

fn answer_json(status: StatusCode, value: &Value) -> http::Response<Body> {
    http::Response::builder()
        .status(status)
        .header("content-type", "application/json")
        .header("connection", "keep-alive")
        .body(Body::from(value.to_string()))
        .unwrap()
}

/// A version whose containers note what reaches them.
pub(crate) fn recording(agents: &Arc<Agents>, label: &str, model: Model) -> VersionSpec {
    VersionSpec::new(label, model, Arc::new(Recorder(Arc::clone(agents))))
}

/// A running emulator whose agents note what reaches them.
pub(crate) struct Bench {
    pub(crate) emulator: Emulator,
    pub(crate) agents: Arc<Agents>,
    pub(crate) clock: Clock,
    pub(crate) data: tempfile::TempDir,
    client: reqwest::Client,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub(crate) fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn session(&self) -> String {
        self.header("x-agent-session-id").expect("the answer names its session").to_owned()
    }

    #[track_caller]
    pub(crate) fn refused(&self, status: u16, code: &str) {
        assert_eq!((self.status, self.code().as_str()), (status, code), "{}", self.text);
    }

    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert!((200..300).contains(&self.status), "{} {}", self.status, self.text);
        self
    }
}

impl Bench {
    /// The stock agents (two versions of `notes`), and further ones for special cases.
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut Options)) -> Self {
        let data = tempfile::tempdir().unwrap();
        Self::start_in(data, Clock::manual(START), change).await
    }

    pub(crate) async fn start_in(data: tempfile::TempDir, clock: Clock, change: impl FnOnce(&mut Options)) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let agents = Arc::<Agents>::default();
        let mut options = Options::new(data.path().join("data"), specs(&agents));
        options.clock = clock.clone();
        change(&mut options);
        let emulator = start(options).await.unwrap();
        Self { emulator, agents, clock, data, client: reqwest::Client::new() }
    }

    /// Its data directory.
    pub(crate) fn data_dir(&self) -> std::path::PathBuf {
        self.data.path().join("data")
    }

    /// Ends the emulator and starts another over the same data.
    pub(crate) async fn restart(self) -> Self {
        self.restart_with(|_| {}).await
    }

    pub(crate) async fn restart_with(self, change: impl FnOnce(&mut Options)) -> Self {
        self.emulator.shutdown().await;
        Self::start_in(self.data, self.clock, change).await
    }

    /// A request to `path` under the project as caller `ann`; `api-version` is added.
    pub(crate) fn ask(&self, method: &str, path: &str) -> Ask<'_> {
        let separator = if path.contains('?') { '&' } else { '?' };
        let url = format!("{}{path}{separator}api-version=v1", self.emulator.project_endpoint());
        self.raw(method, &url).caller("ann")
    }

    /// A request to an agent's endpoint.
    pub(crate) fn endpoint(&self, method: &str, agent: &str, path: &str) -> Ask<'_> {
        self.ask(method, &format!("/agents/{agent}/endpoint{path}"))
    }

    /// A turn on an agent.
    pub(crate) fn invoke(&self, agent: &str, body: Value) -> Ask<'_> {
        self.endpoint("POST", agent, "/protocols/openai/responses").body(body)
    }

    /// A session of an agent.
    pub(crate) fn create_session(&self, agent: &str) -> Ask<'_> {
        self.endpoint("POST", agent, "/sessions").body(json!({}))
    }

    /// Any request, without token and query.
    pub(crate) fn raw(&self, method: &str, url: &str) -> Ask<'_> {
        Ask {
            client: &self.client,
            emulator: &self.emulator,
            method: method.parse().unwrap(),
            url: url.to_owned(),
            headers: HeaderMap::new(),
            body: None,
        }
    }
}

fn specs(agents: &Arc<Agents>) -> Vec<AgentSpec> {
    let version = |label: &str, model: Model| recording(agents, label, model);
    let ignoring = Model::Keys {
        user: cupola_emulator::isolation::KeyRule::Ignored,
        chat: cupola_emulator::isolation::KeyRule::Ignored,
    };
    let mut responder = version("1", Model::Identity);
    responder.protocols = [Protocol::Responses].into();
    let mut slow = version("1", KEYS_OPTIONAL);
    slow.environment.insert("NEVER_READY".into(), "1".into());
    let mut broken = version("1", KEYS_OPTIONAL);
    broken.environment.insert("CRASHES".into(), "1".into());
    vec![
        AgentSpec::new(
            "notes",
            vec![version("1", KEYS_OPTIONAL), version("2", KEYS_OPTIONAL), version("3", KEYS_OPTIONAL)],
        ),
        AgentSpec::new("notes-required", vec![version("1", KEYS_REQUIRED)]),
        AgentSpec::new("notes-identity", vec![version("1", Model::Identity)]),
        AgentSpec::new("identity-two", vec![version("1", Model::Identity)]),
        AgentSpec::new("open", vec![version("1", ignoring)]),
        AgentSpec::new("responder", vec![responder]),
        AgentSpec::new("slow", vec![slow]),
        AgentSpec::new("broken", vec![broken]),
    ]
}

/// A request under construction.
pub(crate) struct Ask<'a> {
    client: &'a reqwest::Client,
    emulator: &'a Emulator,
    method: Method,
    url: String,
    headers: HeaderMap,
    body: Option<Bytes>,
}

impl Ask<'_> {
    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.insert(name, value.parse().unwrap());
        self
    }

    /// The same header once more.
    pub(crate) fn again(mut self, name: &'static str, value: &str) -> Self {
        self.headers.append(name, value.parse().unwrap());
        self
    }

    pub(crate) fn caller(self, caller: &str) -> Self {
        self.token(&Token::of(caller))
    }

    pub(crate) fn token(self, token: &Token) -> Self {
        let signed = self.emulator.sign(token);
        self.header("authorization", &format!("Bearer {signed}"))
    }

    /// On behalf of a user (protocol 2.0.0).
    pub(crate) fn acting_for(self, user: &str) -> Self {
        self.header("x-ms-user-identity", user)
    }

    /// Behind a user key (protocol 1.0.0).
    pub(crate) fn user_key(self, key: &str) -> Self {
        self.header("x-agent-user-isolation-key", key)
    }

    pub(crate) fn body(mut self, body: impl serde::Serialize) -> Self {
        self.headers.insert("content-type", "application/json".parse().unwrap());
        self.body = Some(Bytes::from(serde_json::to_vec(&body).unwrap()));
        self
    }

    /// Bytes that are called JSON.
    pub(crate) fn json_bytes(self, body: impl Into<Bytes>) -> Self {
        self.bytes(body).header("content-type", "application/json")
    }

    pub(crate) fn bytes(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// Sends it and returns once the head of the answer is there.
    pub(crate) async fn open(self) -> reqwest::Response {
        let mut request = self.client.request(self.method, self.url).headers(self.headers);
        if let Some(body) = self.body {
            request = request.body(body);
        }
        request.send().await.unwrap()
    }

    pub(crate) async fn send(self) -> Answer {
        let response = self.open().await;
        Answer {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            text: response.text().await.unwrap(),
        }
    }
}

/// Waits until `condition` holds, or fails after a while.
pub(crate) async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while !condition().await {
        assert!(tokio::time::Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
