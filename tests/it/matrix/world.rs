//! An emulator in which everything asked for exists and belongs to whom it should.

use super::{Asking, Kind, Operation, Outcome, Question};
use crate::support::{Client, PATIENCE, TestDaemon, TestEmulator, free_address};
use serde_json::{Value, json};
use std::fmt::Write as _;

use std::path::PathBuf;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Who calls when Cupola calls an emulator.
const CUPOLA: &str = "cupola";
const SOMEBODY_ELSE: &str = "somebody-else";

const CHAT: &str = "thread-1";
const OTHER_CHAT: &str = "thread-2";

const FILE: &str = "note.txt";

/// What was made for one question. Every question has its own user, so that none sees what another left behind.
struct Thing {
    question: Question,
    number: usize,
    session: String,
    conversation: String,
    /// What is uploaded from, or downloaded to.
    local: PathBuf,
}

pub(super) struct World {
    emulator: TestEmulator,
    things: Vec<Thing>,
    /// The emulator's data.
    _data: TempDir,
}

impl World {
    /// Makes everything that is asked for, and tells the daemon of what it is to know.
    pub(super) async fn prepare(kind: Kind, daemon: &TestDaemon, questions: &[Question]) -> Self {
        let data = tempfile::tempdir().unwrap();
        let path = data.path().join("data");
        let emulator = TestEmulator::with(|options| {
            options.data_dir = path;
            // It is taken again by the emulator that follows this one.
            options.listen = free_address().into();
        })
        .await;
        let mut things = Vec::new();
        let mut client = daemon.connect();
        for (number, question) in questions.iter().enumerate() {
            let thing = Thing::make(*question, number, &data, &emulator).await;
            if question.is_known {
                thing.show_to(&mut client, &emulator).await;
            }
            things.push(thing);
        }
        client.leave().await;
        let emulator = if kind == Kind::IdentityWithoutPermission { revoked(emulator, &data).await } else { emulator };
        Self { emulator, things, _data: data }
    }

    /// Asks all of it.
    pub(super) async fn ask(self, daemon: &TestDaemon) -> Vec<(Question, Outcome)> {
        let mut client = daemon.connect();
        let mut answers = Vec::new();
        for thing in &self.things {
            let response = client.call(thing.question.operation.method(), thing.params(&self.emulator)).await;
            answers.push((thing.question, thing.outcome(&response)));
        }
        client.leave().await;
        self.emulator.end().await;
        answers
    }
}

/// The same emulator at the same address, after the permission to act for users was taken away.
async fn revoked(emulator: TestEmulator, data: &TempDir) -> TestEmulator {
    let address = emulator.address();
    emulator.end().await;
    TestEmulator::with(|options| {
        options.data_dir = data.path().join("data");
        options.listen = address.into();
        options.withhold_impersonation = true;
    })
    .await
}

impl Thing {
    async fn make(question: Question, number: usize, data: &TempDir, emulator: &TestEmulator) -> Self {
        let local = data.path().join(format!("local-{number}"));
        let mut thing = Self { question, number, session: String::new(), conversation: String::new(), local };
        if question.operation == Operation::Conversation {
            thing.conversation = id(&thing.send(emulator, "POST", "/protocols/openai/conversations").await, "id");
        } else {
            thing.session = id(&thing.send(emulator, "POST", "/sessions").await, "agent_session_id");
        }
        match question.operation {
            Operation::Download | Operation::Stat | Operation::DeleteFile => {
                thing.send(emulator, "PUT", &format!("/sessions/{}/files/content?path={FILE}", thing.session)).await;
            }
            Operation::Upload => std::fs::write(&thing.local, "mine").unwrap(),
            // There is no log before the sandbox.
            Operation::Monitor => {
                let path = format!("/sessions/{}", thing.session);
                let begun = async { while thing.send(emulator, "GET", &path).await["status"] != "active" {} };
                tokio::time::timeout(PATIENCE, begun).await.expect("the sandbox does not start");
            }
            _ => {}
        }
        thing
    }

    /// Lets the right user use it through Cupola once.
    async fn show_to(&self, client: &mut Client, emulator: &TestEmulator) {
        let mut params =
            json!({"target": emulator.target(self.agent()), "isolation": self.isolation(Asking::RightKeys)});
        let response = if self.question.operation == Operation::Conversation {
            params["conversationId"] = json!(self.conversation);
            params["input"] = json!("hello");
            client.call("invoke", params).await
        } else {
            params["sessionId"] = json!(self.session);
            client.call("sessions/use", params).await
        };
        assert!(response.get("result").is_some(), "{:?}: {response}", self.question);
    }

    fn agent(&self) -> &'static str {
        match self.question.kind {
            Kind::KeysOptional => "notes",
            Kind::KeysRequired => "notes-required",
            Kind::Identity | Kind::IdentityWithoutPermission | Kind::Local => "notes-identity",
        }
    }

    fn isolation(&self, asking: Asking) -> Value {
        let user = match asking {
            Asking::WrongUser => format!("contoso-{}", self.number),
            _ => format!("acme-{}", self.number),
        };
        let chat = if asking == Asking::WrongChat { OTHER_CHAT } else { CHAT };
        match (self.question.kind, asking) {
            (Kind::Local, Asking::NoKeys) => json!({"model": "local"}),
            (Kind::Local, _) => json!({"model": "local", "userKey": user, "chatKey": chat}),
            (_, Asking::NoKeys) => json!({}),
            (Kind::KeysOptional | Kind::KeysRequired, _) => json!({"userKey": user, "chatKey": chat}),
            (Kind::Identity | Kind::IdentityWithoutPermission, _) => json!({"userIdentity": user, "chat": chat}),
        }
    }

    fn params(&self, emulator: &TestEmulator) -> Value {
        let Question { operation, asking, .. } = self.question;
        let mut params = json!({"target": emulator.target(self.agent()), "isolation": self.isolation(asking)});
        let session = json!(self.session);
        match operation {
            Operation::Responses | Operation::Invocations | Operation::InvocationsWs | Operation::A2a => {
                params["protocol"] = json!(match operation {
                    Operation::Invocations => "invocations",
                    Operation::InvocationsWs => "invocationsWs",
                    Operation::A2a => "a2a",
                    _ => "responses",
                });
                // Ends a dialogue, and is as good as any word elsewhere.
                params["input"] = json!("bye");
                params["sessionId"] = session;
            }
            Operation::Conversation => {
                params["input"] = json!("hello");
                params["conversationId"] = json!(self.conversation);
            }
            Operation::CreateSession | Operation::ListSessions => {}
            Operation::ShowSession
            | Operation::StopSession
            | Operation::DeleteSession
            | Operation::ListFiles
            | Operation::Monitor => {
                params["sessionId"] = session;
            }
            Operation::Stat | Operation::DeleteFile => {
                params["sessionId"] = session;
                params["path"] = json!(FILE);
            }
            Operation::MakeDirectory => {
                params["sessionId"] = session;
                params["path"] = json!("folder");
            }
            Operation::Upload | Operation::Download => {
                params["sessionId"] = session;
                params["path"] = json!(FILE);
                params["localPath"] = json!(self.local);
            }
        }
        params
    }

    fn outcome(&self, response: &Value) -> Outcome {
        if let Some(error) = response.get("error") {
            return Outcome::Refused(error["data"]["kind"].as_str().unwrap().to_owned());
        }
        let result = &response["result"];
        if self.question.operation == Operation::ListSessions && !result.to_string().contains(&self.session) {
            return Outcome::NotListed;
        }
        Outcome::Allowed
    }

    /// A request of the owner's, without Cupola; gives the JSON it is answered with.
    async fn send(&self, emulator: &TestEmulator, method: &str, path: &str) -> Value {
        let agent = self.agent();
        let caller = if self.question.asking == Asking::OtherCaller { SOMEBODY_ELSE } else { CUPOLA };
        let (address, token) = (emulator.address(), emulator.token(caller));
        let mark = if path.contains('?') { '&' } else { '?' };
        let mut request = format!(
            "{method} /api/projects/p/agents/{agent}/endpoint{path}{mark}api-version=v1 HTTP/1.1\r\nhost: {address}\r\n\
             authorization: Bearer {token}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: 2\r\n"
        );
        let user = format!("acme-{}", self.number);
        match self.question.kind {
            Kind::KeysOptional | Kind::KeysRequired => {
                write!(request, "x-agent-user-isolation-key: {user}\r\nx-agent-chat-isolation-key: {CHAT}\r\n")
            }
            Kind::Identity | Kind::IdentityWithoutPermission => write!(request, "x-ms-user-identity: {user}\r\n"),
            Kind::Local => Ok(()),
        }
        .unwrap();
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(format!("{request}\r\n{{}}").as_bytes()).await.unwrap();
        let mut answer = String::new();
        let answered = tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer)).await;
        answered.expect("the emulator does not answer").unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 20"), "{:?}: {answer}", self.question);
        serde_json::from_str(body).unwrap()
    }
}

fn id(made: &Value, field: &str) -> String {
    made[field].as_str().unwrap().to_owned()
}
