//! An agent's container on a port of this machine, as a developer runs one: the notes agent without a service in front.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use cupola_emulator::agents::Notes;
use cupola_emulator::container::{Container, Runtime, SandboxContext};
use cupola_emulator::logs::LogSink;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// What arrived: the request line, the headers and the body.
pub(crate) type Arrived = (String, BTreeMap<String, String>, String);

pub(crate) struct LocalAgent {
    pub(crate) port: u16,
    arrived: Arc<Mutex<Vec<Arrived>>>,
    serving: JoinHandle<()>,
    _home: TempDir,
}

impl LocalAgent {
    /// On any free port.
    pub(crate) async fn start() -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.unwrap()).await
    }

    /// On a port of [`super::free_address`].
    pub(crate) async fn start_at(port: u16) -> Self {
        Self::on(TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port))).await.unwrap()).await
    }

    async fn on(listener: TcpListener) -> Self {
        let home = tempfile::tempdir().unwrap();
        let context = SandboxContext {
            agent: "local".to_owned(),
            version: "1".to_owned(),
            session_id: "local-session".to_owned(),
            home: home.path().to_owned(),
            state_root: home.path().join("state"),
            environment: BTreeMap::new(),
            logs: LogSink::default(),
        };
        let container = Notes::default().start(context).await.unwrap();
        let arrived = Arc::new(Mutex::new(Vec::new()));
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::clone(&arrived);
        let router = Router::new().fallback(move |request| answer(Arc::clone(&container), Arc::clone(&seen), request));
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { port, arrived, serving, _home: home }
    }

    /// Everything it was asked, oldest first.
    pub(crate) fn arrived(&self) -> Vec<Arrived> {
        self.arrived.lock().unwrap().clone()
    }
}

impl Drop for LocalAgent {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn answer(container: Arc<dyn Container>, arrived: Arc<Mutex<Vec<Arrived>>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let bytes = to_bytes(body, 1024 * 1024).await.unwrap();
    let headers = parts.headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap_or("").to_owned()));
    let line = format!("{} {}", parts.method, parts.uri);
    arrived.lock().unwrap().push((line, headers.collect(), String::from_utf8_lossy(&bytes).into_owned()));
    container.call(Request::from_parts(parts, Body::from(bytes))).await.unwrap().into_response()
}
