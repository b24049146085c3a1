//! Agents as they are: answers in forms of their own, protocols that nobody stated, tasks that are worked on for longer.

use crate::hints::advice;
use crate::support::peer::{Bytes, Peer};
use crate::support::{Home, TestDaemon, TestEmulator, finish};
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use cupola_emulator::hooks::Interceptor;
use futures_util::future::BoxFuture;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

/// One row of the table of forms.
#[derive(Deserialize)]
struct Shape {
    source: String,
    stream: String,
    text: String,
    ending: String,
}

#[derive(Deserialize)]
struct Table {
    shape: Vec<Shape>,
}

fn shapes() -> Vec<Shape> {
    toml::from_str::<Table>(include_str!("../fixtures/invocation-shapes.toml")).unwrap().shape
}

/// An answer whose connection closes behind it.
fn answer(status: &str, content_type: &str, body: &str) -> Bytes {
    let head = format!("HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\nconnection: close");
    Bytes { first: format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()), then: String::new() }
}

fn no_route() -> Bytes {
    answer("404 Not Found", "text/plain; charset=utf-8", "Not Found")
}

#[tokio::test]
async fn an_answer_in_any_known_form_has_its_text_and_a_failure_is_never_success() {
    let daemon = TestDaemon::start();
    let mut client = daemon.connect();
    let rows: Arc<Vec<Shape>> = Arc::new(shapes());
    let served = Arc::clone(&rows);
    let peer = Peer::start(move |_, before| answer("200 OK", "text/event-stream", &served[before].stream)).await;
    for Shape { source, text, ending, .. } in rows.iter() {
        let target = json!({"kind": "local", "port": peer.address.port()});
        let call = json!({"target": target, "protocol": "invocations", "input": "hello"});
        let response = client.call("invoke", call).await;
        // A cancellation that the agent reports is the call's error.
        let status =
            if response["error"]["code"] == -32800 { &json!("cancelled") } else { &response["result"]["status"] };
        assert_eq!(status.as_str(), ending.split([' ', ':']).next(), "{source}: {response}");
        if ending == "completed" {
            assert_eq!(response["result"]["text"].as_str(), Some(text.as_str()), "{source}");
        }
        if let Some(message) = ending.strip_prefix("failed: ") {
            assert_eq!(response["result"]["failure"]["message"], message, "{source}");
        }
    }
    client.leave().await;
    daemon.end().await;
}

#[tokio::test]
async fn a_failure_in_any_form_is_shown_and_never_exit_code_0() {
    let home = Home::new();
    let rows: Arc<Vec<Shape>> =
        Arc::new(shapes().into_iter().filter(|row| !row.ending.starts_with("completed")).collect());
    let served = Arc::clone(&rows);
    let peer = Peer::start(move |_, before| answer("200 OK", "text/event-stream", &served[before].stream)).await;
    let port = peer.address.port().to_string();
    for Shape { source, text, ending, .. } in rows.iter() {
        let mut command = home.command(&["invoke", "--local", "--port", &port, "-p", "invocations", "hello"]);
        command.stderr(std::process::Stdio::piped());
        let output = tokio::task::spawn_blocking(move || finish(command)).await.unwrap();
        let (said, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_ne!(output.status.code(), Some(0), "{source}: {said} {told}");
        assert_eq!(said.trim_end(), text, "{source}");
        if let Some((_, message)) = ending.strip_prefix("failed").and_then(|rest| rest.split_once(": ")) {
            assert!(told.contains(message), "{source}: {told}");
        }
    }
}

#[tokio::test]
async fn an_agent_without_the_default_protocol_is_found_out_and_remembered() {
    let daemon = TestDaemon::start();
    let mut client = daemon.connect();
    let lines = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&lines);
    let peer = Peer::start(move |head, _| {
        seen.lock().unwrap().push(head.split(['?', ' ']).nth(1).unwrap().to_owned());
        if head.starts_with("POST /invocations") { Bytes::json(&json!("done")) } else { no_route() }
    })
    .await;
    let call = json!({"target": {"kind": "local", "port": peer.address.port()}, "input": "hello"});
    for _ in 0..2 {
        let response = client.call("invoke", call.clone()).await;
        assert_eq!(response["result"]["text"], "done", "{response}");
    }
    assert_eq!(*lines.lock().unwrap(), ["/responses", "/invocations", "/invocations"]);
    // A caller who chose gets the refusal: nothing ran, and what to do.
    let mut chosen = call.clone();
    chosen["protocol"] = json!("responses");
    let refused = client.call("invoke", chosen).await;
    let hint = advice("choose the protocol that the agent speaks").given_by(&refused);
    assert_eq!(refused["error"]["data"]["turn"], "notRun", "{refused}");
    let mut followed = call;
    followed["protocol"] = json!("invocations");
    let _ = hint.works(&client.call("invoke", followed).await);
    client.leave().await;
    daemon.end().await;
}

#[tokio::test]
async fn an_agents_own_404_is_its_answer_and_no_other_protocol_is_tried() {
    let daemon = TestDaemon::start();
    let mut client = daemon.connect();
    let peer = Peer::start(|_, _| {
        answer("404 Not Found", "application/json", r#"{"error":"no_order","message":"There is no order 7."}"#)
    })
    .await;
    let call = json!({"target": {"kind": "local", "port": peer.address.port()}, "input": "hello"});
    let refused = client.call("invoke", call).await;
    let message = refused["error"]["message"].as_str().unwrap();
    assert!(message.contains("no_order") && message.contains("There is no order 7."), "{refused}");
    assert_eq!((&refused["error"]["data"]["turn"], peer.requests()), (&json!("mayHaveRun"), 1), "{refused}");
    client.leave().await;
    daemon.end().await;
}

#[tokio::test]
async fn an_empty_input_is_refused_before_anything_is_sent() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let mut client = daemon.connect();
    for input in ["", " \n"] {
        let refused = client.call("invoke", json!({"target": emulator.target("notes"), "input": input})).await;
        let hint = advice("write a message; if it comes from a pipe").given_by(&refused);
        assert_eq!(refused["error"]["data"]["turn"], "notRun", "{refused}");
        let _ = hint.works(&client.call("invoke", json!({"target": emulator.target("notes"), "input": "hello"})).await);
    }
    assert_eq!(emulator.turns().len(), 2);
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn json_with_a_byte_order_mark_is_sent_as_json_without_it() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let mut client = daemon.connect();
    let input = "\u{feff}{\"message\": \"hello\"}";
    let call = json!({"target": emulator.target("notes"), "protocol": "invocations", "input": input});
    let response = client.call("invoke", call).await;
    assert_eq!(response["result"]["status"], "completed", "{response}");
    let sent = emulator.asked("POST", "protocols/invocations").pop().unwrap();
    assert_eq!((sent.header("content-type"), &sent.body), (Some("application/json"), &json!({"message": "hello"})));
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

/// An A2A agent that works on its task for a while, in either version.
#[derive(Clone, Default)]
struct Worker {
    is_new: bool,
    /// The methods that were called.
    called: Arc<Mutex<Vec<String>>>,
}

impl Worker {
    fn result(&self, method: &str) -> Value {
        let mut called = self.called.lock().unwrap();
        called.push(method.to_owned());
        let polls = called.iter().filter(|method| matches!(method.as_str(), "tasks/get" | "GetTask")).count();
        let is_done = polls > 1;
        if self.is_new {
            let state = if is_done { "TASK_STATE_COMPLETED" } else { "TASK_STATE_WORKING" };
            let artifacts = json!([{"artifactId": "a", "parts": [{"text": "done"}]}]);
            let task = json!({"id": "t-1", "contextId": "c-1", "status": {"state": state},
                "artifacts": if is_done { artifacts } else { json!([]) }});
            if method == "SendMessage" { json!({"task": task}) } else { task }
        } else {
            let state = if is_done { "completed" } else { "working" };
            let parts = json!([{"kind": "text", "text": if is_done { "done" } else { "" }}]);
            json!({"kind": "task", "id": "t-1", "contextId": "c-1", "status": {"state": state},
                "artifacts": [{"artifactId": "a", "parts": parts}]})
        }
    }
}

impl Interceptor for Worker {
    fn intercept(&self, request: Request, next: Next) -> BoxFuture<'_, Response> {
        Box::pin(async move {
            let is_card = request.uri().path().ends_with("/agentCard/v0.3");
            if is_card && self.is_new {
                let interface = json!({"url": "x", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"});
                return answered(&json!({"supportedInterfaces": [interface]}));
            }
            a2a(request, next, |body| self.result(body["method"].as_str().unwrap())).await
        })
    }
}

fn answered(value: &Value) -> Response {
    let response = Response::builder().header("content-type", "application/json");
    response.body(Body::from(value.to_string())).unwrap()
}

/// Answers requests of A2A with results, whole, and a card that says so.
async fn a2a(request: Request, next: Next, result: impl FnOnce(&Value) -> Value) -> Response {
    if request.uri().path().ends_with("/agentCard/v0.3") {
        return answered(&json!({"capabilities": {"streaming": false}}));
    }
    if !request.uri().path().ends_with("/protocols/a2a") {
        return next.run(request).await;
    }
    let body = to_bytes(request.into_body(), 64 * 1024).await.unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap();
    answered(&json!({"jsonrpc": "2.0", "id": body["id"], "result": result(&body)}))
}

/// An A2A agent that answers one request after the other.
#[derive(Clone, Default)]
pub(crate) struct Script {
    results: Arc<Mutex<VecDeque<Value>>>,
    seen: Arc<Mutex<Vec<Value>>>,
}

impl Script {
    pub(crate) fn of(results: impl IntoIterator<Item = Value>) -> Self {
        Self { results: Arc::new(Mutex::new(results.into_iter().collect())), ..Self::default() }
    }

    /// The requests it got.
    pub(crate) fn seen(&self) -> Vec<Value> {
        self.seen.lock().unwrap().clone()
    }
}

impl Interceptor for Script {
    fn intercept(&self, request: Request, next: Next) -> BoxFuture<'_, Response> {
        Box::pin(a2a(request, next, |body| {
            self.seen.lock().unwrap().push(body.clone());
            self.results.lock().unwrap().pop_front().unwrap()
        }))
    }
}

#[tokio::test]
async fn a_task_that_is_worked_on_is_asked_for_until_it_has_ended() {
    let daemon = TestDaemon::start();
    let mut client = daemon.connect();
    for (is_new, methods) in
        [(false, ["message/send", "tasks/get", "tasks/get"]), (true, ["SendMessage", "GetTask", "GetTask"])]
    {
        let worker = Worker { is_new, ..Worker::default() };
        let interceptor = worker.clone();
        let emulator = TestEmulator::with(|options| options.interceptor = Some(Arc::new(interceptor))).await;
        let call = json!({"target": emulator.target("notes"), "protocol": "a2a", "input": "work"});
        let response = client.call("invoke", call).await;
        let result = &response["result"];
        assert_eq!((&result["status"], &result["text"]), (&json!("completed"), &json!("done")), "{response}");
        assert_eq!(result["conversationId"], "c-1", "{response}");
        assert_eq!(*worker.called.lock().unwrap(), methods);
        emulator.end().await;
    }
    client.leave().await;
    daemon.end().await;
}
