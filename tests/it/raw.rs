//! `-o raw`, `--debug` and the caller's own headers: what travels, shown as it is.

use crate::invoke::stream;
use crate::support::peer::{Bytes, Peer};
use crate::support::{Home, TestDaemon, TestEmulator, finish};
use cupola_emulator::faults::Fault;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::{Command, Output, Stdio};

/// The unmodified answer that the events bring, as `-o raw` prints it.
fn raw_of(events: &[Value]) -> String {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let part = |event: &Value| match event["type"].as_str().unwrap() {
        "httpHead" => {
            let line = |header: &Value| format!("{}: {}\n", text(&header["name"]), text(&header["value"]));
            let headers: String = event["headers"].as_array().unwrap().iter().map(line).collect();
            format!("{}\n{headers}\n", text(&event["statusLine"]))
        }
        "httpBody" => text(&event["text"]),
        other => {
            assert!(!["textDelta", "snapshot", "output"].contains(&other), "{event}");
            String::new()
        }
    };
    events.iter().map(part).collect()
}

fn heads(events: &[Value]) -> Vec<&str> {
    events.iter().filter(|event| event["type"] == "httpHead").map(|head| head["statusLine"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn the_answer_is_passed_on_unmodified_and_as_it_comes() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let mut client = daemon.connect();
    let target = emulator.target("notes");
    let call = |protocol: &str, input: &str| json!({"target": target, "isolation": {"userKey": "acme"}, "input": input, "protocol": protocol, "raw": true});
    let (events, response) = stream(&mut client, call("responses", "stream alpha beta gamma")).await;
    let raw = raw_of(&events);
    assert!(raw.starts_with("HTTP/1.1 200 OK\n"), "{raw}");
    for part in [
        "\nx-agent-session-id: ",
        "\nx-request-id: ",
        "\n\nevent: response.created\ndata: {",
        "event: response.completed\n",
    ] {
        assert!(raw.contains(part), "{part:?} is missing in {raw}");
    }
    assert!(raw.ends_with("\n\n"), "the last event is whole: {raw}");
    assert!(events.iter().filter(|event| event["type"] == "httpBody").count() > 2, "it came in one piece");
    assert_eq!(events.last().unwrap()["type"], "completed");
    assert_eq!(
        (&response["result"]["status"], &response["result"]["text"]),
        (&json!("completed"), &json!("alpha beta gamma"))
    );
    assert_eq!(emulator.turns()[0].header("accept-encoding"), Some("identity"));

    for (input, body) in [
        (r#"{"mode":"text","text":"plain ünï"}"#, "\n\necho: plain ünï"),
        (r#"{"mode":"sse","text":"one two"}"#, "event: done"),
    ] {
        let (events, response) = stream(&mut client, call("invocations", input)).await;
        assert!(raw_of(&events).contains(body), "{input}: {}", raw_of(&events));
        assert_eq!(response["result"]["status"], "completed", "{response}");
    }
    let (events, response) = stream(&mut client, call("invocations", r#"{"mode":"lro","seconds":0.1}"#)).await;
    assert_eq!(heads(&events), ["HTTP/1.1 202 Accepted", "HTTP/1.1 200 OK"]);
    assert!(raw_of(&events).contains(r#""status":"#) && raw_of(&events).contains("completed"), "{}", raw_of(&events));
    assert_eq!(response["result"]["status"], "completed");
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn a_refusal_is_shown_as_it_came_and_is_still_an_error() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let mut client = daemon.connect();
    for protocol in ["responses", "invocations"] {
        let call =
            json!({"target": emulator.target("notes-required"), "input": "x", "protocol": protocol, "raw": true});
        let (events, response) = stream(&mut client, call).await;
        let raw = raw_of(&events);
        assert_eq!(heads(&events).len(), 1, "{raw}");
        assert!(raw.starts_with("HTTP/1.1 40") && raw.contains("\n\n{\"error\":"), "{raw}");
        assert_eq!(response["error"]["data"]["kind"], "isolationKeyRequired", "{response}");
    }
    // One that was overcome is not shown.
    let busy = Fault::Status {
        status: 503.try_into().unwrap(),
        headers: [("retry-after", "0"), ("x-adc-response-details", "session_not_ready")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into_iter()
            .collect::<BTreeMap<_, _>>()
            .try_into()
            .unwrap(),
        body: None,
    };
    emulator.fail("*/openai/responses", 1, busy);
    let (events, _) = stream(&mut client, json!({"target": emulator.target("notes"), "input": "x", "raw": true})).await;
    assert_eq!(heads(&events), ["HTTP/1.1 200 OK"]);
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn each_request_can_be_seen_without_its_token() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let mut client = daemon.connect();
    let params = json!({"target": emulator.target("notes"), "isolation": {"userKey": "acme"}, "input": "it's me",
        "clientHeaders": {"x-client-tenant": "contoso"}, "debug": true});
    let (events, _) = stream(&mut client, params).await;
    let requests: Vec<&Value> = events.iter().filter(|event| event["type"] == "request").collect();
    let urls: Vec<&str> = requests.iter().map(|request| request["url"].as_str().unwrap()).collect();
    assert_eq!(urls.len(), emulator.requests().len(), "{urls:?}");
    let turn = requests.last().unwrap();
    assert!(turn["url"].as_str().unwrap().ends_with("/protocols/openai/responses?api-version=v1"), "{turn}");
    let headers: BTreeMap<&str, &str> = turn["headers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|header| (header["name"].as_str().unwrap(), header["value"].as_str().unwrap()))
        .collect();
    assert_eq!(headers["authorization"], "Bearer [redacted]");
    let sent = &emulator.turns()[0];
    for (name, value) in headers.iter().filter(|(name, _)| **name != "authorization") {
        assert_eq!(sent.header(name), Some(*value), "{name}");
    }
    assert_eq!(serde_json::from_str::<Value>(turn["body"].as_str().unwrap()).unwrap(), sent.body);
    assert_eq!(sent.header("x-client-tenant"), Some("contoso"));
    let token = sent.header("authorization").unwrap().trim_start_matches("Bearer ");
    assert!(!format!("{events:?}").contains(token), "the token was shown");

    // The line repeats the request: the service cannot tell the two apart.
    let line = turn["curl"].as_str().unwrap().to_owned();
    let token = token.to_owned();
    let run = move || Command::new("bash").arg("-c").arg(line).env("TOKEN", token).output().unwrap();
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("response.completed"), "{output:?}");
    let mut turns = emulator.turns();
    for turn in &mut turns {
        // The emulator's own mark on what arrived.
        turn.headers.remove("x-request-id");
    }
    let [first, repeated] = turns.as_slice() else { panic!("{turns:?}") };
    assert_eq!((&first.path, &first.headers, &first.body), (&repeated.path, &repeated.headers, &repeated.body));
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

fn run(home: &Home, arguments: &[&str]) -> Output {
    finish(home.command(arguments).stderr(Stdio::piped()))
}

#[test]
fn the_command_prints_both_where_they_belong() {
    let home = Home::new();
    let invoke = ["invoke", "--emulator", "--user-isolation-key", "tenant-acme", "--no-prompt", "--output", "raw"];
    let output = run(&home, &[&invoke[..], &["--debug", "ping"]].concat());
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(0), "{err}");
    assert!(out.starts_with("HTTP/1.1 200 OK\n") && out.contains("echo: ping"), "{out}");
    assert!(err.contains("> x-agent-user-isolation-key: tenant-acme\n"), "{err}");
    assert!(err.contains("> authorization: Bearer [redacted]\n"), "{err}");
    assert!(err.contains("curl -sS") && err.contains("$TOKEN"), "{err}");

    let refused = run(&home, &["invoke", "--emulator", "--agent-name", "notes-required", "-o", "raw", "ping"]);
    assert_eq!(refused.status.code(), Some(3), "{refused:?}");
    let (out, err) = (String::from_utf8(refused.stdout).unwrap(), String::from_utf8(refused.stderr).unwrap());
    assert!(out.starts_with("HTTP/1.1 40") && out.contains("\n\n{\"error\":"), "{out}");
    assert!(err.contains("hint: ") && err.contains("--user-isolation-key"), "{err}");
    run(&home, &["stop", "--force"]);
}

#[tokio::test]
async fn the_session_in_the_first_event_is_taken_however_its_bytes_arrive() {
    let daemon = TestDaemon::start();
    let mut client = daemon.connect();
    let response = json!({"id": "resp_1", "status": "completed", "agent_session_id": "sess_of_the_body", "output": []});
    let created = format!("data: {}\n\n", json!({"type": "response.created", "response": response}));
    let completed = format!("data: {}\n\n", json!({"type": "response.completed", "response": response}));
    let (begin, rest) = created.split_at(20);
    // Each piece arrives by itself.
    let pieces: String = [begin, rest, &completed].map(|piece| format!("{:x}\r\n{piece}\r\n", piece.len())).concat();
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\nconnection: close";
    let answer = format!("{head}\r\n\r\n{pieces}0\r\n\r\n");
    let peer = Peer::start(move |_, _| Bytes { first: answer.clone(), then: String::new() }).await;
    let target = json!({"kind": "local", "port": peer.address.port()});
    for raw in [true, false] {
        let params = json!({"target": target, "input": "x", "raw": raw, "newSession": true});
        let result = client.call("invoke", params).await["result"].clone();
        assert_eq!(
            (&result["status"], &result["sessionId"]),
            (&json!("completed"), &json!("sess_of_the_body")),
            "{raw}"
        );
    }
    client.leave().await;
    daemon.end().await;
}
