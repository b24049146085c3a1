//! A started agent and how to talk to it.

use crate::capture::SESSION;
use axum::body::{Body, BodyDataStream};
use cupola_emulator::agents::Notes;
use cupola_emulator::container::{Container, Runtime, SandboxContext};
use cupola_emulator::logs::LogSink;
use futures_util::StreamExt;
use http::{HeaderMap, Request};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Longer than any run here; time is paused, so the tests do not wait.
const LONG: Duration = Duration::from_mins(2);

/// A container, and the home it lives in.
pub(crate) struct Agent {
    pub(crate) container: Arc<dyn Container>,
    pub(crate) home: tempfile::TempDir,
    pub(crate) logs: LogSink,
}

/// A complete answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) text: String,
    /// The chunks the text came in.
    pub(crate) chunks: Vec<String>,
    /// The body broke off.
    pub(crate) broken: bool,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).expect("a JSON body")
    }
}

/// An answer whose body is still being read.
pub(crate) struct Open {
    status: u16,
    headers: Vec<(String, String)>,
    body: BodyDataStream,
    chunks: Vec<String>,
}

/// A container's answer in a new session.
pub(crate) async fn start() -> Agent {
    start_with(&Notes::default(), SESSION, &[]).await
}

pub(crate) async fn start_with(runtime: &Notes, session: &str, environment: &[(&str, &str)]) -> Agent {
    let home = tempfile::tempdir().expect("a directory");
    let container = start_in(runtime, home.path(), session, environment).await;
    Agent { logs: container.1, container: container.0, home }
}

pub(crate) async fn start_in(
    runtime: &Notes,
    home: &Path,
    session: &str,
    environment: &[(&str, &str)],
) -> (Arc<dyn Container>, LogSink) {
    let logs = LogSink::default();
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let context = SandboxContext {
        agent: "echo".to_owned(),
        version: "3".to_owned(),
        session_id: session.to_owned(),
        home: home.to_owned(),
        state_root: home.with_extension("state"),
        environment: environment.collect::<BTreeMap<_, _>>(),
        logs: logs.clone(),
    };
    let container = runtime.start(context).await.expect("a container");
    (container, logs)
}

impl Agent {
    /// Sends a request and reads the answer's head.
    pub(crate) async fn open(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Open {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_owned())).expect("a request");
        let (head, body) = self.container.call(request).await.expect("an answer").into_parts();
        Open {
            status: head.status.as_u16(),
            headers: listed(&head.headers),
            body: body.into_data_stream(),
            chunks: Vec::new(),
        }
    }

    /// Sends a request and reads the whole answer.
    pub(crate) async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        self.open(method, path, headers, body).await.rest().await
    }

    /// `POST /responses` with a body, read to its end.
    pub(crate) async fn create(&self, body: &Value) -> Answer {
        self.send("POST", "/responses", &[], &body.to_string()).await
    }

    /// `GET path`.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], "").await
    }

    /// The text the agent answers to a text.
    pub(crate) async fn ask(&self, text: &str) -> String {
        let answer = self.create(&serde_json::json!({"input": text})).await.json();
        let text = answer["output"][0]["content"][0]["text"].as_str();
        text.expect("an answer with a text").to_owned()
    }
}

impl Open {
    /// Reads this many chunks, or to the body's end.
    pub(crate) async fn read(&mut self, chunks: usize) {
        while self.chunks.len() < chunks {
            match self.body.next().await {
                Some(Ok(bytes)) => self.chunks.push(String::from_utf8(bytes.to_vec()).expect("text")),
                Some(Err(_)) | None => break,
            }
        }
    }

    /// The answer with what was read of its body; the rest is dropped.
    pub(crate) fn stop(self) -> Answer {
        Answer {
            status: self.status,
            headers: self.headers,
            text: self.chunks.concat(),
            chunks: self.chunks,
            broken: false,
        }
    }

    /// Reads to the end.
    pub(crate) async fn rest(mut self) -> Answer {
        let mut broken = false;
        while let Some(chunk) = self.body.next().await {
            match chunk {
                Ok(bytes) => self.chunks.push(String::from_utf8(bytes.to_vec()).expect("text")),
                Err(_) => broken = true,
            }
        }
        let mut answer = self.stop();
        answer.broken = broken;
        answer
    }
}

/// Lets everything that runs come to its end. Time is paused in these tests.
pub(crate) async fn settle() {
    tokio::time::sleep(LONG).await;
}

fn listed(headers: &HeaderMap) -> Vec<(String, String)> {
    headers
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect()
}
