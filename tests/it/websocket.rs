//! Dialogues over a WebSocket: against the emulator, and against an agent on this machine that does as the test says.

use crate::invoke::{check_events, stream};
use crate::support::deployed::{Deployed, project};
use crate::support::{TestDaemon, TestEmulator};
use crate::targets::endpoint;
use cupola_emulator::faults::Fault;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::fs;
use std::future::Future;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::{WebSocketStream, accept_async};

const PATH: &str = "protocols/invocations_ws";

type Socket = WebSocketStream<TcpStream>;

fn call(target: &Value, lines: &[&str]) -> Value {
    json!({"target": target, "isolation": {"userKey": "acme"}, "protocol": "invocationsWs",
        "input": lines.join("\n"), "messagePerLine": true})
}

/// An agent on this machine that takes one WebSocket, and the target that leads to it.
async fn agent<Talking: Future<Output = ()> + Send>(
    talk: impl FnOnce(Socket) -> Talking + Send + 'static,
) -> (Value, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = json!({"kind": "local", "port": listener.local_addr().unwrap().port()});
    let serving = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        talk(accept_async(stream).await.unwrap()).await;
    });
    (target, serving)
}

fn closing(code: CloseCode, reason: &'static str) -> Message {
    Message::Close(Some(CloseFrame { code, reason: reason.into() }))
}

#[tokio::test]
async fn a_dialogue_shares_the_session_with_the_other_protocols_and_ends_as_the_agent_ends_it() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let mut client = daemon.connect();
    let target = emulator.target("notes");
    let (events, response) = stream(&mut client, call(&target, &["remember the milk", "hello", "bye"])).await;
    check_events(&events);
    let result = &response["result"];
    assert_eq!(result["status"], "completed", "{response}");
    assert!(result["text"].as_str().unwrap().ends_with("\necho: hello\n"), "{result}");
    let request = emulator.asked("GET", PATH).pop().unwrap();
    assert_eq!(request.header("x-agent-user-isolation-key"), Some("acme"));
    assert!(request.header("authorization").is_some());

    let again = json!({"target": target, "isolation": {"userKey": "acme"}, "input": "what do you remember?"});
    let (_, response) = stream(&mut client, again).await;
    assert!(response["result"]["text"].as_str().unwrap().contains("the milk"), "{response}");
    assert_eq!(response["result"]["sessionId"], result["sessionId"]);

    // The agent says when it is done, in its words or by failing.
    for (lines, status, text) in [
        (&["tokens one two three"][..], "completed", "one two three"),
        (&["tokens one two", "tokens three"], "completed", "one two\nthree"),
        (&["hello", "early-error"], "failed", "echo: hello\n"),
    ] {
        let (events, response) = stream(&mut client, call(&target, lines)).await;
        check_events(&events);
        assert_eq!((&response["result"]["status"], &response["result"]["text"]), (&json!(status), &json!(text)));
    }
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn refusals_before_the_upgrade_are_those_of_any_invoke() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let mut client = daemon.connect();
    let notes = emulator.target("notes");
    let made = client.call("invoke", call(&notes, &["bye"])).await;
    let with = |isolation: Value, shared: bool| {
        let mut params = call(&notes, &["bye"]);
        params["isolation"] = isolation;
        params["sessionId"] = made["result"]["sessionId"].clone();
        params["allowSharedSession"] = json!(shared);
        params
    };
    let mut keyless = call(&emulator.target("notes-required"), &["bye"]);
    keyless["isolation"] = json!({});
    let mut huge = call(&notes, &["hello"]);
    huge["input"] = json!("x".repeat(1024 * 1024 + 1));
    for (params, kind) in [
        (keyless, "isolationKeyRequired"),
        (with(json!({"userKey": "contoso"}), false), "foreignSession"),
        (with(json!({"userKey": "contoso"}), true), "isolationMismatch"),
        (huge, "invalidParams"),
        (call(&notes, &["", ""]), "invalidParams"),
    ] {
        let response = client.call("invoke", params).await;
        assert_eq!(response["error"]["data"]["kind"], kind, "{response}");
    }
    // "Not now" is asked again, and a stale token is replaced: nothing has been said yet.
    let refusal = |status: u16, details: Option<&str>| Fault::Status {
        status: status.try_into().unwrap(),
        headers: details
            .map(|details| ("x-adc-response-details".to_owned(), details.to_owned()))
            .into_iter()
            .collect::<std::collections::BTreeMap<_, _>>()
            .try_into()
            .unwrap(),
        body: None,
    };
    for (status, details, notice) in [(503, Some("session_not_ready"), Some("retried")), (401, None, None)] {
        emulator.fail("*/invocations_ws", 1, refusal(status, details));
        let response = client.call("invoke", call(&notes, &["bye"])).await;
        assert_eq!(response["result"]["status"], "completed", "{response}");
        assert_eq!(response["result"]["notices"][0]["code"].as_str(), notice);
    }
    // What the agent servers answer with where the agent's code takes no WebSockets.
    emulator.fail("*/invocations_ws", 1, refusal(403, None));
    let response = client.call("invoke", call(&notes, &["bye"])).await;
    assert_eq!(response["error"]["data"]["kind"], "notOffered", "{response}");
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn a_connection_that_is_cut_is_not_a_success() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let mut client = daemon.connect();
    emulator.fail("*/invocations_ws", 1, Fault::Cut { after_bytes: 13 });
    let (events, response) = stream(&mut client, call(&emulator.target("notes"), &["hello", "again", "bye"])).await;
    check_events(&events);
    let result = &response["result"];
    assert_eq!((&result["status"], &result["text"]), (&json!("truncated"), &json!("echo: hello\n")), "{response}");
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn how_the_agent_closes_is_how_the_run_ends() {
    let daemon = TestDaemon::start();
    let mut client = daemon.connect();
    for (code, reason, status, told) in [
        (CloseCode::Normal, "", "completed", Value::Null),
        (CloseCode::Error, "Internal server error", "failed", json!("1011")),
        (CloseCode::from(4002), "no such voice", "failed", json!("4002")),
        (CloseCode::Away, "idle", "truncated", Value::Null),
    ] {
        let (target, serving) = agent(async move |mut socket| {
            assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("hello"));
            socket.send(Message::Ping(vec![7].into())).await.unwrap();
            socket.send(Message::text("half")).await.unwrap();
            assert_eq!(socket.next().await.unwrap().unwrap(), Message::Pong(vec![7].into()));
            socket.send(closing(code, reason)).await.unwrap();
            while socket.next().await.is_some() {}
        })
        .await;
        let (events, response) = stream(&mut client, call(&target, &["hello"])).await;
        check_events(&events);
        let result = &response["result"];
        assert_eq!((&result["status"], &result["text"]), (&json!(status), &json!("half\n")), "{response}");
        assert_eq!(result["failure"]["serviceCode"], told);
        serving.await.unwrap();
    }
    client.leave().await;
    daemon.end().await;
}

#[tokio::test]
async fn an_agent_that_leaves_the_dialogue_open_is_left_after_its_silence() {
    let daemon = TestDaemon::start();
    let mut client = daemon.connect();
    let (target, serving) = agent(async |mut socket| {
        socket.next().await.unwrap().unwrap();
        socket.send(Message::text("answer")).await.unwrap();
        let goodbye = socket.next().await.unwrap().unwrap();
        assert_eq!(goodbye, closing(CloseCode::Normal, ""));
    })
    .await;
    let mut params = call(&target, &["hello"]);
    params["idleTimeoutMs"] = json!(50);
    let (events, response) = stream(&mut client, params).await;
    check_events(&events);
    let result = &response["result"];
    assert_eq!((&result["status"], &result["text"]), (&json!("completed"), &json!("answer\n")));
    assert_eq!(result["notices"][0]["code"], "dialogueIdle", "{result}");
    assert!(events.iter().any(|event| event["code"] == "dialogueIdle"), "{events:?}");
    serving.await.unwrap();
    client.leave().await;
    daemon.end().await;
}

#[tokio::test]
async fn a_cancelled_dialogue_is_closed_and_not_just_dropped() {
    let daemon = TestDaemon::start();
    let mut client = daemon.connect();
    let (target, serving) = agent(async |mut socket| {
        socket.next().await.unwrap().unwrap();
        socket.send(Message::text("thinking")).await.unwrap();
        let goodbye = socket.next().await.unwrap().unwrap();
        assert_eq!(goodbye, closing(CloseCode::Away, ""));
    })
    .await;
    let mut params = call(&target, &["hello"]);
    params["partialResultToken"] = json!("t");
    params["idleTimeoutMs"] = json!(0);
    let id = client.request("invoke", params).await;
    while client.next().await["params"]["value"]["delta"] != "thinking\n" {}
    client.send(json!({"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": id}})).await;
    while client.next().await["error"]["data"]["kind"] != "cancelled" {}
    serving.await.unwrap();
    client.leave().await;
    daemon.end().await;
}

#[tokio::test]
async fn bytes_pass_large_messages_pass_and_endless_ones_do_not() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let mut client = daemon.connect();
    let (target, serving) = agent(async |mut socket| {
        socket.send(Message::binary(vec![0, 255])).await.unwrap();
        socket.close(None).await.unwrap();
        while socket.next().await.is_some() {}
    })
    .await;
    let (events, _) = stream(&mut client, call(&target, &["hello"])).await;
    let output = events.iter().find(|event| event["type"] == "output").unwrap();
    assert_eq!((&output["name"], &output["data"]), (&json!("binary"), &json!("AP8=")));
    serving.await.unwrap();

    let notes = emulator.target("notes");
    let response = client.call("invoke", call(&notes, &["repeat 5000000", "bye"])).await;
    assert_eq!(response["result"]["text"].as_str().unwrap().len(), 5_000_001);
    let response = client.call("invoke", call(&notes, &["repeat 20000000", "bye"])).await;
    assert_eq!(response["result"]["failure"]["kind"], "unexpectedAnswer", "{response}");
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_talks_to_a_deployed_agent_over_tls() {
    let deployed = Deployed::start().await;
    let lines = deployed.home.path("lines.txt");
    fs::write(&lines, "hello\nwhoami\nbye\n").unwrap();
    let (project, lines) = (project(), lines.display().to_string());
    let words = ["invoke", "--project-endpoint", &project, "--user-isolation-key", "acme", "notes", "-f", &lines];
    let output = deployed.run(&[&words[..], &["--protocol", "invocations_ws", "--message-per-line"]].concat()).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.starts_with("echo: hello\n"), "{text}");
    assert!(text.contains("acme"), "{text}");

    let endpoint = endpoint("invocations_ws?api-version=v1");
    let words = ["invoke", "--agent-endpoint", &endpoint, "--user-isolation-key", "acme", "-o", "raw", "bye"];
    let output = deployed.run(&words).await;
    assert!(output.stdout.starts_with(b"HTTP/1.1 101 "), "{output:?}");
    deployed.end().await;
}
