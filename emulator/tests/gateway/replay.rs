//! Every captured request of the service's clients, sent byte for byte (host and token aside): the gateway answers each
//! with a status its sender accepts, and with the fields the sender saw at capture.

use crate::support::{Agents, START, offer};
use cupola_emulator::isolation::Model;
use cupola_emulator::{Clock, KEYS_OPTIONAL, Options, start, token};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const RESPONSE: &str = "caresp_00112233445566770012345678901234567890123456789012";

/// Sessions the captures speak of. The third is made by a command that forgets to send whom it is for.
const SESSIONS: [&str; 5] = ["sess-1", "sess-explicit-0001", "sess-created-00000001", "sess-from-header-1", "stopped"];
const CONVERSATIONS: [&str; 3] = ["conv_0001", "conv_1", "conv_explicit"];

/// Cases whose made-up answer is not what a gateway says to that request in this state, with the reason.
const OTHERWISE: [(&str, u16, &str); 13] = [
    ("azd-beta.11/fresh-version-3", 403, "alice enters the session made without her name: the wall"),
    ("azd-beta.11/fresh-version-again-1", 403, "the same"),
    ("azd-beta.11/fresh-other-user-1", 403, "bob enters it: the wall"),
    ("azd-isolation-era/fresh-tenant-contoso-1", 403, "the second tenant names the first one's session"),
    ("sdk-2.10.0/sessions-create-answered-200", 201, "the SDK raises on the 200 it was shown"),
    ("sdk-2.10.0/sessions-delete-404", 204, "deleting what does not exist succeeds"),
    ("/invoke-error-", 200, "the error was made up; the request is a good one"),
    ("/invoke-invocations-lro-1", 200, "the agent here answers at once"),
    ("/invoke-invocations-lro-raw-1", 200, "the same"),
    ("sdk-2.10.0/openai-default-retries-", 200, "the error was made up"),
    ("sdk-2.10.0/openai-responses-create-429", 200, "the same"),
    ("sdk-2.10.0/sessions-get-default-retries-", 404, "the error was made up; there is no such session"),
    ("sdk-2.10.0/sessions-stop-default-retries-", 404, "the same"),
];

/// One captured exchange.
struct Capture {
    name: String,
    request: String,
    status: u16,
    answer: String,
}

impl Capture {
    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap().replace("\r\n", "\n");
        let (_, rest) = text.split_once("=== request\n").unwrap();
        let (request, response) = rest.split_once("\n=== response\n").unwrap();
        let (head, answer) = response.split_once("\n\n").unwrap_or((response, ""));
        let folder = path.parent().unwrap().file_name().unwrap().to_str().unwrap();
        Self {
            name: format!("{folder}/{}", path.file_stem().unwrap().to_str().unwrap()),
            request: request.to_owned(),
            status: head.split_whitespace().nth(1).unwrap().parse().unwrap(),
            answer: answer.to_owned(),
        }
    }

    fn all() -> Vec<Self> {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/clients");
        let folders = ["azd-beta.11", "azd-isolation-era", "sdk-2.10.0"];
        let files = folders.iter().flat_map(|folder| fs::read_dir(root.join(folder)).unwrap());
        let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
        paths.sort();
        paths.iter().map(|path| Self::read(path)).collect()
    }

    fn header(&self, name: &str) -> Option<&str> {
        let head = self.request.split("\n\n").next().unwrap();
        head.lines().skip(1).find_map(|line| {
            let (known, value) = line.split_once(": ")?;
            known.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    fn path(&self) -> &str {
        self.request.split(' ').nth(1).unwrap()
    }

    fn agent(&self) -> &'static str {
        if self.name.starts_with("sdk") { "echo" } else { "notes" }
    }

    fn model(&self) -> Model {
        if self.name.starts_with("azd-isolation-era") { KEYS_OPTIONAL } else { Model::Identity }
    }

    /// Whose state the sender expects to find.
    fn partition(&self) -> Value {
        if self.model() == Model::Identity {
            return match self.header("x-ms-user-identity") {
                Some(user) => json!({"delegated": user}),
                None => json!({"own": "ann"}),
            };
        }
        let user = match self.header("x-agent-user-isolation-key") {
            Some("tenant-contoso") => Some("tenant-acme"),
            other => other,
        };
        json!({"keys": {"user": user, "chat": self.header("x-agent-chat-isolation-key")}})
    }

    fn expected(&self) -> u16 {
        OTHERWISE.iter().find(|(name, ..)| self.name.contains(name)).map_or(self.status, |(_, status, _)| *status)
    }

    /// The bytes as sent, with this emulator's host and a token it accepts.
    fn bytes(&self, host: &str) -> Vec<u8> {
        let (head, body) = self.request.split_once("\n\n").unwrap_or((&self.request, ""));
        let mut lines = Vec::new();
        for line in head.lines() {
            lines.push(match line.split_once(": ") {
                Some((name, _)) if name.eq_ignore_ascii_case("host") => format!("{name}: {host}"),
                Some((name, _)) if name.eq_ignore_ascii_case("authorization") => {
                    format!("{name}: Bearer {}", token("ann"))
                }
                _ => line.to_owned(),
            });
        }
        let length = self.header("content-length").map_or(0, |length| length.parse().unwrap());
        let body = &body.as_bytes()[..length];
        [lines.join("\r\n").as_bytes(), b"\r\n\r\n", body].concat()
    }

    fn names(&self, id: &str) -> bool {
        self.request.contains(id)
    }

    /// Puts down what the client had made before, in the form an earlier run of the emulator leaves.
    fn prepare(&self, data: &Path) {
        let directory = data.join("agents").join(self.agent());
        let write = |path: PathBuf, value: &Value| {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, value.to_string()).unwrap();
        };
        let owner = self.header("x-session-isolation-key").map_or("caller:ann".to_owned(), |key| format!("key:{key}"));
        let named = SESSIONS.into_iter().filter(|id| self.names(id) || (*id == "sess-1" && self.names(RESPONSE)));
        for (sequence, id) in named.enumerate() {
            let nobodys = id == "sess-created-00000001" && self.model() == Model::Identity;
            let partition = if nobodys { json!({"own": "ann"}) } else { self.partition() };
            let record = json!({
                "id": id, "agent_version": "3", "partition": partition, "owner": owner, "sequence": sequence,
                "created_at": START * 1000, "last_accessed_at": START * 1000, "stopped_at": null, "status": "idle",
            });
            write(directory.join("sessions").join(id).join("record.json"), &record);
            fs::create_dir_all(directory.join("sessions").join(id).join("home")).unwrap();
        }
        if self.names(RESPONSE) {
            let response = json!({"id": RESPONSE, "partition": self.partition(), "conversation": null, "stored": true});
            write(directory.join("sessions/sess-1/responses.jsonl"), &response);
        }
        for id in CONVERSATIONS.into_iter().filter(|id| self.names(id)) {
            let item = json!({"id": "msg_1", "type": "message", "role": "user", "status": "completed", "content": []});
            let record = json!({
                "id": id, "partition": self.partition(), "created_at": START * 1000, "metadata": {},
                "session_id": null, "items": [item],
            });
            write(directory.join("conversations").join(format!("{id}.json")), &record);
        }
    }
}

/// Sends bytes and reads one answer: its status and its body.
async fn exchange(address: std::net::SocketAddr, bytes: &[u8]) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&answer).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = head.to_ascii_lowercase();
            let status = head.split_whitespace().nth(1).unwrap().parse().unwrap();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let complete = match length {
                Some(length) => body.len() == length.parse::<usize>().unwrap(),
                None => status == 204 || body.ends_with("0\r\n\r\n"),
            };
            if complete {
                return (status, body.to_owned());
            }
        }
        assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0, "the answer broke off: {text}");
    }
}

#[tokio::test]
async fn every_captured_request_is_answered_as_its_sender_accepts() {
    let captures = Capture::all();
    assert!(captures.len() > 100, "the captures are found");
    let mut wrong = Vec::new();
    for capture in &captures {
        let data = tempfile::tempdir().unwrap();
        capture.prepare(data.path());
        let agents = Arc::<Agents>::default();
        let mut options =
            Options::new(data.path(), vec![offer(&agents, capture.agent(), capture.model(), &["1", "2", "3"])]);
        options.clock = Clock::manual(START);
        let emulator = start(options).await.unwrap();
        let host = emulator.address().to_string();
        if capture.path().contains(":stop") && !capture.path().contains("/stopped") {
            let wake = Capture {
                request: capture
                    .request
                    .replacen("POST", "GET", 1)
                    .replace("/sessions/", "/protocols/invocations/any?agent_session_id=")
                    .replace(":stop?", "&"),
                name: capture.name.clone(),
                status: 200,
                answer: String::new(),
            };
            exchange(emulator.address(), &wake.bytes(&host)).await;
        }
        let (status, body) = exchange(emulator.address(), &capture.bytes(&host)).await;
        if status != capture.expected() {
            wrong.push(format!("{}: {status}, not {}: {body}", capture.name, capture.expected()));
        } else if status == capture.status {
            let missing = missing_fields(capture, &body);
            if !missing.is_empty() {
                wrong.push(format!("{}: lacks {missing:?}: {body}", capture.name));
            }
        }
        emulator.shutdown().await;
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), captures.len(), wrong.join("\n"));
}

/// Fields of the captured answer that ours does not have. What an agent answers is the agent's, and left out.
fn missing_fields(capture: &Capture, body: &str) -> Vec<String> {
    let gateways = !capture.path().contains("/responses") && !capture.path().contains("/invocations");
    let (Ok(Value::Object(shown)), Ok(ours)) =
        (serde_json::from_str(&capture.answer), serde_json::from_str::<Value>(body))
    else {
        return Vec::new();
    };
    shown.into_iter().map(|(name, _)| name).filter(|name| gateways && ours.get(name).is_none()).collect()
}
