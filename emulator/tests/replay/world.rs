//! An emulator in which everything a captured request names exists.

use crate::answer::{self, Answer};
use crate::request::Recorded;
use cupola_emulator::agents::Notes;
use cupola_emulator::container::Runtime;
use cupola_emulator::isolation::Model;
use cupola_emulator::{AgentSpec, Emulator, KEYS_OPTIONAL, Options, VersionSpec};
use serde_json::{Value, json};
use std::fmt::Write;
use std::sync::Arc;
use tempfile::TempDir;

/// The id that stands for a session that was never created.
const MISSING: &str = "missing";

/// The id that stands for a session already stopped.
const STOPPED: &str = "stopped";

/// Below every agent: the project of the captures, and the newer API version.
const PROJECT: &str = "/api/projects/proj1/agents";

/// An emulator and what the ids of a capture are called in it.
pub(crate) struct World {
    emulator: Emulator,
    ids: Vec<(String, String)>,
    agent: String,
    _data: TempDir,
}

impl World {
    /// A world for `request`. Its session belongs to whom `session_owner` is from, everything else it names to whom
    /// `history_owner` is from.
    pub(crate) async fn of(request: &Recorded, session_owner: &Recorded, history_owner: &Recorded) -> Self {
        let data = tempfile::tempdir().unwrap();
        let notes: Arc<dyn Runtime> = Arc::new(Notes::default());
        let model = if request.name.starts_with("azd-isolation-era/") { KEYS_OPTIONAL } else { Model::Identity };
        let agent = |name: &str| {
            let versions = ["1", "2", "3"].map(|version| VersionSpec::new(version, model, Arc::clone(&notes)));
            AgentSpec::new(name, versions.into())
        };
        let agents = vec![agent("echo"), agent("notes")];
        let emulator = cupola_emulator::start(Options::new(data.path().join("data"), agents)).await.unwrap();
        let agent = request.id_after("agents").unwrap_or_else(|| "echo".to_owned());
        let mut world = Self { emulator, ids: Vec::new(), agent, _data: data };
        let session = world.make_session(request, session_owner).await;
        world.make_file(request, session.as_deref(), session_owner).await;
        world.make_conversation(request, history_owner).await;
        world.make_response(request, history_owner).await;
        world.make_invocation(request, session.as_deref(), session_owner).await;
        world
    }

    /// Sends a captured request.
    pub(crate) async fn send(&self, request: &Recorded) -> Answer {
        let address = self.emulator.address().unwrap();
        // A followed log stays open: its newest line is enough.
        let last = match (request.is_log_stream(), request.query("kind")) {
            (false, _) => None,
            (true, Some("system")) => Some("The container is ready"),
            (true, _) => Some("POST /responses 200"),
        };
        answer::exchange(address, request.bytes(&address.to_string(), &self.emulator.token("dev"), &self.ids), last)
            .await
    }

    /// Stops the emulator and everything in it.
    pub(crate) async fn end(self) {
        self.emulator.shutdown().await;
    }

    fn rename(&mut self, recorded: &str, real: &Value) -> String {
        let real = real.as_str().unwrap().to_owned();
        self.ids.push((recorded.to_owned(), real.clone()));
        real
    }

    async fn make_session(&mut self, request: &Recorded, owner: &Recorded) -> Option<String> {
        let body = request.json();
        let creates = request.method == "POST" && request.path().ends_with("/sessions");
        let recorded = request
            .id_after("sessions")
            .or_else(|| request.query("agent_session_id").map(str::to_owned))
            .or_else(|| request.query("after").or(request.query("before")).map(str::to_owned))
            .or_else(|| body["agent_session_id"].as_str().map(str::to_owned))
            .or_else(|| body["session_id"].as_str().map(str::to_owned))
            .filter(|id| id.starts_with("sess-") || [STOPPED, "busy"].contains(&id.as_str()))
            .filter(|id| !creates && id != MISSING)?;
        let made = self.ask("POST", "/endpoint/sessions", json!({}), owner).await;
        let session = self.rename(&recorded, &made["agent_session_id"]);
        if recorded == STOPPED || request.is_log_stream() {
            self.ask(
                "POST",
                "/endpoint/protocols/openai/responses",
                json!({"input": "hi", "agent_session_id": session}),
                owner,
            )
            .await;
        }
        if recorded == STOPPED {
            self.ask("POST", &format!("/endpoint/sessions/{session}:stop"), Value::Null, owner).await;
        }
        Some(session)
    }

    /// What a file operation names; a directory has a file in it.
    async fn make_file(&self, request: &Recorded, session: Option<&str>, owner: &Recorded) {
        let segments = request.segments();
        let (Some(at), Some(session)) = (segments.iter().position(|known| *known == "files"), session) else { return };
        if matches!(request.method.as_str(), "PUT" | "POST") {
            return;
        }
        let named = request.query("path").unwrap_or_default();
        let holds_files =
            request.query("recursive") == Some("true") || (request.method == "GET" && at + 1 == segments.len());
        let file = if holds_files { format!("{named}%2Fin.txt") } else { named.to_owned() };
        self.ask("PUT", &format!("/endpoint/sessions/{session}/files/content?path={file}"), json!("hi"), owner).await;
    }

    async fn make_conversation(&mut self, request: &Recorded, owner: &Recorded) {
        let body = request.json();
        let conversation = &body["conversation"];
        let named = request
            .id_after("conversations")
            .or_else(|| conversation.as_str().or_else(|| conversation["id"].as_str()).map(str::to_owned));
        let Some(recorded) = named else { return };
        let message = json!({"type": "message", "role": "user", "content": "hi"});
        let path = "/endpoint/protocols/openai/conversations";
        let made = self.ask("POST", path, json!({"items": [message]}), owner).await;
        let real = self.rename(&recorded, &made["id"]);
        if let Some(item) = request.id_after("items") {
            let items = self.ask("GET", &format!("{path}/{real}/items"), Value::Null, owner).await;
            self.rename(&item, &items["data"][0]["id"]);
        }
    }

    async fn make_response(&mut self, request: &Recorded, owner: &Recorded) {
        let body = request.json();
        let named = request.id_after("responses").or_else(|| body["previous_response_id"].as_str().map(str::to_owned));
        let Some(recorded) = named else { return };
        let path = "/endpoint/protocols/openai/responses";
        let id = if request.path().ends_with("/cancel") {
            let body = json!({"input": "slow 1000", "background": true});
            self.ask("POST", path, body, owner).await["id"].clone()
        } else if request.query("stream") == Some("true") {
            let body = json!({"input": "stream a b c d e f", "background": true, "stream": true});
            let (_, first) = self.exchange("POST", path, body, owner).await.events().unwrap().remove(0);
            first["response"]["id"].clone()
        } else {
            self.ask("POST", path, json!({"input": "hi"}), owner).await["id"].clone()
        };
        self.rename(&recorded, &id);
    }

    async fn make_invocation(&mut self, request: &Recorded, session: Option<&str>, owner: &Recorded) {
        let Some(recorded) = request.id_after("invocations").filter(|id| id != "docs") else { return };
        let path = format!("/endpoint/protocols/invocations?agent_session_id={}", session.unwrap());
        let made = self.ask("POST", &path, json!({"mode": "lro", "seconds": 0}), owner).await;
        self.rename(&recorded, &made["invocation_id"]);
    }

    /// A request of `owner`'s that must succeed.
    async fn ask(&self, method: &str, path: &str, body: Value, owner: &Recorded) -> Value {
        let answer = self.exchange(method, path, body, owner).await;
        assert!((200..300).contains(&answer.status), "{method} {path}: {answer:?}");
        answer.json()
    }

    async fn exchange(&self, method: &str, path: &str, body: Value, owner: &Recorded) -> Answer {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let address = self.emulator.address().unwrap();
        let mark = if path.contains('?') { '&' } else { '?' };
        let mut text = format!(
            "{method} {PROJECT}/{}{path}{mark}api-version=v1 HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n",
            self.agent,
            self.emulator.token("dev"),
            body.len()
        );
        for (name, value) in owner.isolation() {
            write!(text, "{name}: {value}\r\n").unwrap();
        }
        answer::exchange(address, format!("{text}\r\n{body}").into_bytes(), None).await
    }
}
