//! An emulator beside the daemon under test: it remembers what it was asked, and can be made to fail.

use super::Home;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use cupola_emulator::agents::Notes;
use cupola_emulator::container::Runtime;
use cupola_emulator::faults::{Fault, Faults, Rule};
use cupola_emulator::hooks::Interceptor;
use cupola_emulator::registry::Registration;
use cupola_emulator::{AgentSpec, Emulator, KEYS_OPTIONAL, Options, VersionSpec, stock_agents};
use futures_util::future::BoxFuture;
use http::StatusCode;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

/// Bodies here are a few hundred bytes.
const MAX_BODY: usize = 1024 * 1024;

/// What arrived at the service.
#[derive(Debug, Clone)]
pub(crate) struct Recorded {
    pub(crate) method: String,
    /// From `/endpoint/` on, with the query.
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
    /// JSON, else text, else null.
    pub(crate) body: Value,
}

impl Recorded {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// Where the emulators of all tests are listed, and the daemons of tests look for them.
pub(crate) fn emulators_directory() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("emulators")
}

/// Writes requests down, then lets faults strike them.
#[derive(Clone, Default)]
struct Recorder {
    requests: Arc<Mutex<Vec<Recorded>>>,
    faults: Faults,
    refused: Arc<Mutex<Option<Refusal>>>,
}

/// The answer to every request with this in its query.
#[derive(Clone)]
struct Refusal {
    query: &'static str,
    status: StatusCode,
    body: Value,
}

impl Interceptor for Recorder {
    fn intercept(&self, request: Request, next: Next) -> BoxFuture<'_, Response> {
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let bytes = to_bytes(body, MAX_BODY).await.unwrap_or_default();
            let full = parts.uri.path_and_query().map_or("", |path| path.as_str());
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let header = |name: &http::HeaderName| parts.headers.get(name).and_then(|value| value.to_str().ok());
            self.requests.lock().unwrap().push(Recorded {
                method: parts.method.to_string(),
                path: full.split_once("/endpoint/").map_or(full, |(_, path)| path).to_owned(),
                headers: parts
                    .headers
                    .keys()
                    .map(|name| (name.to_string(), header(name).unwrap_or_default().to_owned()))
                    .collect(),
                body: match serde_json::from_str(&text) {
                    Ok(json) => json,
                    Err(_) if text.is_empty() => Value::Null,
                    Err(_) => Value::String(text),
                },
            });
            let refused = self.refused.lock().unwrap().clone();
            if let Some(refusal) = refused.filter(|refusal| full.contains(refusal.query)) {
                let mut answer = Response::new(Body::from(refusal.body.to_string()));
                *answer.status_mut() = refusal.status;
                return answer;
            }
            self.faults.intercept(Request::from_parts(parts, Body::from(bytes)), next).await
        })
    }
}

/// A running emulator with the stock agents and `versioned`, which has versions 1 to 3.
pub(crate) struct TestEmulator {
    /// Goes before the emulator does.
    registrations: Vec<Registration>,
    /// None only while another one takes its place.
    emulator: Option<Emulator>,
    recorder: Recorder,
    directory: TempDir,
}

impl TestEmulator {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(adjust: impl FnOnce(&mut Options)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let notes: Arc<dyn Runtime> = Arc::new(Notes::default());
        let mut agents = stock_agents(&notes);
        let version = |label: &str| VersionSpec::new(label, KEYS_OPTIONAL, Arc::clone(&notes));
        agents.push(AgentSpec::new("versioned", vec![version("1"), version("2"), version("3")]));
        let recorder = Recorder::default();
        let mut options = Options::new(directory.path().join("data"), agents);
        options.interceptor = Some(Arc::new(recorder.clone()));
        adjust(&mut options);
        let emulator = cupola_emulator::start(options).await.unwrap();
        let registrations = vec![emulator.register(&emulators_directory()).unwrap()];
        Self { registrations, emulator: Some(emulator), recorder, directory }
    }

    fn emulator(&self) -> &Emulator {
        self.emulator.as_ref().expect("an emulator")
    }

    /// Cuts all connections and starts it again at its address: files are kept, and what was only in memory is lost.
    pub(crate) async fn restart(&mut self) {
        let address = self.address();
        drop(self.emulator.take());
        let deadline = tokio::time::Instant::now() + super::PATIENCE;
        self.emulator = loop {
            let notes: Arc<dyn Runtime> = Arc::new(Notes::default());
            let mut options = Options::new(self.directory.path().join("data"), stock_agents(&notes));
            options.listen = address.into();
            options.interceptor = Some(Arc::new(self.recorder.clone()));
            match cupola_emulator::start(options).await {
                Ok(emulator) => break Some(emulator),
                // The one before still has the address or the directory.
                Err(error) => assert!(tokio::time::Instant::now() < deadline, "{error}"),
            }
            tokio::task::yield_now().await;
        };
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> std::net::SocketAddr {
        self.emulator().address().unwrap()
    }

    /// Lists it in a home too, so that programs there find it.
    pub(crate) fn list_in(&mut self, home: &Home) {
        let registration = self.emulator().register(&home.path("run/cupola/emulators")).unwrap();
        self.registrations.push(registration);
    }

    /// A token of a caller.
    pub(crate) fn token(&self, caller: &str) -> String {
        self.emulator().token(caller)
    }

    /// A target of one of its agents.
    pub(crate) fn target(&self, agent: &str) -> Value {
        json!({"kind": "emulator", "url": self.emulator().url(), "agent": agent})
    }

    /// As [`Self::target`], at a certain version.
    pub(crate) fn version(&self, version: &str) -> Value {
        json!({"kind": "emulator", "url": self.emulator().url(), "agent": "versioned", "version": version})
    }

    /// Everything it was asked, oldest first.
    pub(crate) fn requests(&self) -> Vec<Recorded> {
        self.recorder.requests.lock().unwrap().clone()
    }

    /// What it was asked with this method and a path that starts so.
    pub(crate) fn asked(&self, method: &str, path: &str) -> Vec<Recorded> {
        let matches = |request: &Recorded| request.method == method && request.path.starts_with(path);
        self.requests().into_iter().filter(matches).collect()
    }

    /// The turns it was asked for.
    pub(crate) fn turns(&self) -> Vec<Recorded> {
        self.asked("POST", "protocols/openai/responses")
    }

    /// Lets the next `count` requests for a path fail.
    pub(crate) fn fail(&self, path: &str, count: u64, fault: Fault) {
        self.recorder.faults.add(Rule::on(path, fault).next(count));
    }

    /// Refuses every request with this in its query.
    pub(crate) fn refuse(&self, query: &'static str, status: u16, body: Value) {
        let status = StatusCode::from_u16(status).unwrap();
        *self.recorder.refused.lock().unwrap() = Some(Refusal { query, status, body });
    }

    /// Lets nothing fail any more.
    pub(crate) fn heal(&self) {
        self.recorder.faults.clear();
    }

    /// Deploys a version of an agent that speaks this version of the container protocol; it answers from now on.
    pub(crate) async fn deploy(&self, agent: &str, protocol: &str) {
        let spoken =
            ["responses", "invocations", "invocations_ws"].map(|name| json!({"protocol": name, "version": protocol}));
        self.deploy_speaking(agent, json!(spoken)).await;
    }

    /// Deploys a version whose definition lists these protocols.
    pub(crate) async fn deploy_speaking(&self, agent: &str, spoken: Value) {
        let definition = json!({"kind": "hosted", "cpu": "0.5", "memory": "1Gi", "container_configuration": {"image": "notes:1"},
            "protocol_versions": spoken});
        let url = format!("{}/api/projects/emulator/agents/{agent}/versions?api-version=v1", self.emulator().url());
        cupola::system::tls::use_ring();
        let request = reqwest::Client::new().post(url).bearer_auth(self.emulator().token("developer"));
        let answer = request.json(&json!({"definition": definition})).send().await.unwrap();
        assert!(answer.status().is_success(), "{answer:?}");
    }

    /// Enables an agent, or disables it.
    pub(crate) async fn switch(&self, agent: &str, on: bool) {
        let verb = if on { "enable" } else { "disable" };
        let url = format!("{}/api/projects/emulator/agents/{agent}:{verb}?api-version=v1", self.emulator().url());
        cupola::system::tls::use_ring();
        let request = reqwest::Client::new().post(url).bearer_auth(self.emulator().token("developer"));
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "{answer:?}");
    }

    pub(crate) async fn end(self) {
        drop(self.registrations);
        if let Some(emulator) = self.emulator {
            emulator.shutdown().await;
        }
    }
}
