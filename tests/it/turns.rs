//! Whether a failed turn ran: every failure says so, and only a turn that did not run can be sent again.

use crate::invoke::stream;
use crate::support::peer::{Bytes, Peer};
use crate::support::{Client, LocalAgent, PATIENCE, TestDaemon, TestEmulator, free_address};
use crate::tenants::say;
use cupola_emulator::faults::Fault;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// What an error says of its turn, after a look at what goes with it.
fn turn_of(response: &Value) -> &str {
    let data = &response["error"]["data"];
    let turn = data["turn"].as_str().unwrap_or_else(|| panic!("it does not say whether the turn ran: {response}"));
    if turn != "notRun" {
        assert_eq!(data["retryable"], false, "{response}");
    }
    let asks_to_look = data["hint"].as_str().is_some_and(|hint| hint.contains("may have run"));
    assert_eq!(asks_to_look, turn == "mayHaveRun" && data["kind"] != "cancelled", "{response}");
    turn
}

fn status(status: u16, headers: &[(&str, &str)], body: Option<Value>) -> Fault {
    let headers: BTreeMap<String, String> =
        headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Fault::Status { status: status.try_into().unwrap(), headers: headers.try_into().unwrap(), body }
}

#[tokio::test]
async fn every_refusal_says_whether_the_turn_ran() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let mut client = daemon.connect();
    let target = emulator.target("notes");
    // A session to continue, so that each failure is that of the turn itself.
    say(&mut client, &target, json!({}), "hello").await;
    let agent = ("x-platform-server", "azure-ai-agentserver-core/2.2.0");
    let coded = |code: &str| Some(json!({"error": {"code": code, "message": "no"}}));
    for (fault, turn, retryable) in [
        (status(401, &[], None), "notRun", false),
        (status(403, &[], coded("forbidden")), "notRun", false),
        (status(404, &[], Some(json!("<html>not found</html>"))), "mayHaveRun", false),
        (status(408, &[], None), "mayHaveRun", false),
        (status(409, &[agent], coded("conversation_locked")), "notRun", true),
        (status(409, &[agent], coded("response_id_conflict")), "notRun", false),
        (status(409, &[agent], coded("another_conflict")), "mayHaveRun", false),
        (status(429, &[], coded("rate_limit_exceeded")), "notRun", true),
        (status(429, &[], None), "mayHaveRun", false),
        (status(429, &[agent], coded("rate_limit_exceeded")), "mayHaveRun", false),
        (status(500, &[], coded("server_error")), "mayHaveRun", false),
        (status(501, &[agent], coded("not_implemented")), "notRun", false),
        (status(502, &[], None), "mayHaveRun", false),
        (status(502, &[("x-adc-response-details", "ReadinessTimeout"), ("retry-after", "0")], None), "notRun", true),
        (status(502, &[("x-adc-response-details", "ReadinessTimeout"), agent], None), "mayHaveRun", false),
        (status(503, &[], None), "mayHaveRun", false),
        (status(503, &[agent], coded("service_unavailable")), "notRun", true),
        (status(503, &[agent], coded("busy")), "mayHaveRun", false),
        (status(504, &[("x-adc-response-details", "ProxyTimeout")], None), "mayHaveRun", false),
        (Fault::Reset, "mayHaveRun", false),
    ] {
        for (protocol, path) in [
            ("responses", "*/openai/responses"),
            ("invocations", "*/protocols/invocations"),
            ("a2a", "*/protocols/a2a"),
        ] {
            emulator.fail(path, 10, fault.clone());
            let params = json!({"target": target, "input": "x", "protocol": protocol});
            let response = client.call("invoke", params).await;
            emulator.heal();
            assert_eq!(turn_of(&response), turn, "{protocol} {fault:?}: {response}");
            assert_eq!(response["error"]["data"]["retryable"], retryable, "{protocol} {fault:?}: {response}");
        }
        // The message of a dialogue is not sent before its connection is open.
        emulator.fail("*/protocols/invocations_ws", 10, fault.clone());
        let params = json!({"target": target, "input": "x", "protocol": "invocationsWs"});
        let response = client.call("invoke", params).await;
        emulator.heal();
        assert_eq!(turn_of(&response), "notRun", "{fault:?}: {response}");
    }
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

/// An agent that was deployed with another model of isolation is called again under that model, but only if nothing ran.
#[tokio::test]
async fn a_turn_that_may_have_run_is_not_sent_again_under_another_isolation() {
    let agent = ("x-platform-server", "azure-ai-agentserver-core/2.2.0");
    let message = "The header 'x-agent-user-isolation-key' is not supported.";
    let body = || Some(json!({"error": {"code": "invalid_request", "message": message}}));
    for (fault, turns) in [(status(400, &[agent], body()), 1), (status(400, &[], body()), 2)] {
        let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
        let mut client = daemon.connect();
        let target = emulator.target("notes");
        say(&mut client, &target, json!({"userKey": "alice"}), "hello").await;
        emulator.deploy("notes", "2.0.0").await;
        let before = emulator.turns().len();
        emulator.fail("*/openai/responses", 1, fault);
        let params = json!({"target": target, "isolation": {"userKey": "alice"}, "input": "x"});
        let response = client.call("invoke", params).await;
        assert_eq!(emulator.turns().len() - before, turns, "{response}");
        match turns {
            1 => assert_eq!(turn_of(&response), "mayHaveRun"),
            _ => assert_eq!(response["result"]["status"], "completed", "{response}"),
        }
        client.leave().await;
        daemon.end().await;
        emulator.end().await;
    }
}

#[tokio::test]
async fn a_failure_before_the_turn_says_that_it_did_not_run_and_other_calls_say_nothing() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let mut client = daemon.connect();
    let target = emulator.target("notes");
    for code in [500, 502, 504] {
        let fault = || status(code, &[("retry-after", "0")], None);
        emulator.fail("*/conversations", 10, fault());
        let response = client.call("invoke", json!({"target": target, "input": "x"})).await;
        assert_eq!(turn_of(&response), "notRun", "{response}");
        emulator.fail("*/sessions*", 10, fault());
        for (method, more) in [("sessions/create", json!({})), ("sessions/show", json!({"sessionId": "sess_abc123"}))] {
            let mut params = json!({"target": target});
            params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let response = client.call(method, params).await;
            let data = &response["error"]["data"];
            assert_eq!((&data["httpStatus"], data.get("turn")), (&json!(code), None), "{method}: {response}");
            assert_eq!(data["retryable"], false, "{method}: {response}");
        }
        emulator.heal();
    }
    assert!(emulator.turns().is_empty());
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn what_is_refused_here_did_not_run() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let mut client = daemon.connect();
    let target = emulator.target("notes");
    let acme = say(&mut client, &target, json!({"userKey": "acme"}), "hello").await;
    let turns = emulator.turns().len();
    let missing = json!({"kind": "agentEndpoint",
        "url": "https://evil.example.org/api/projects/p/agents/a/endpoint/protocols/openai/responses"});
    for (params, kind) in [
        (json!({"target": target}), "invalidParams"),
        (json!({"target": target, "input": "x", "newSession": true, "sessionId": "sess_abc123"}), "invalidParams"),
        (json!({"target": target, "input": "x", "sessionId": acme["sessionId"]}), "foreignSession"),
        (json!({"target": missing, "input": "x"}), "hostNotAllowed"),
        (json!({"target": emulator.target("no-such-agent"), "input": "x"}), "agentNotFound"),
    ] {
        let response = client.call("invoke", params).await;
        assert_eq!(response["error"]["data"]["kind"], kind, "{response}");
        assert_eq!(turn_of(&response), "notRun", "{response}");
    }
    let mut bound = daemon.connect();
    let bind = json!({"bind": {"target": target, "isolation": {"userKey": "acme"}}});
    assert_eq!(bound.call("initialize", bind).await["result"]["bound"], true);
    let response = bound.call("invoke", json!({"input": "x", "isolation": {"userKey": "contoso"}})).await;
    assert_eq!((&response["error"]["data"]["kind"], turn_of(&response)), (&json!("outOfBounds"), "notRun"));
    bound.leave().await;
    // A call under way keeps its connection while the daemon drains.
    let slow = client.request("invoke", json!({"target": target, "input": "slow 1000 50"})).await;
    until_turns(&emulator, turns + 1).await;
    daemon.daemon.shutdown.drain();
    let response = client.call("invoke", json!({"target": target, "input": "x"})).await;
    assert_eq!(response["error"]["data"]["kind"], "shuttingDown", "{response}");
    assert_eq!((turn_of(&response), &response["error"]["data"]["retryable"]), ("notRun", &json!(true)));
    daemon.daemon.shutdown.force();
    let ending = client.next().await;
    assert_eq!((&ending["id"], &ending["error"]["data"]["kind"]), (&json!(slow), &json!("shuttingDown")), "{ending}");
    assert_eq!(turn_of(&ending), "mayHaveRun");
    assert_eq!(emulator.turns().len(), turns + 1, "only the slow one was sent");
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

/// Waits until the agent has got this many turns.
async fn until_turns(emulator: &TestEmulator, count: usize) {
    let reached = async {
        while emulator.turns().len() < count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, reached).await.is_ok(), "the turn was never sent");
}

#[tokio::test]
async fn a_time_limit_says_whether_the_turn_was_sent_and_behind_what_it_waited() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let (mut client, mut other) = (daemon.connect(), daemon.connect());
    let target = emulator.target("notes");
    let session = say(&mut client, &target, json!({}), "hello").await["sessionId"].clone();
    let slow = client.request("invoke", json!({"target": target, "input": "slow 10000 50"})).await;
    until_turns(&emulator, 2).await;

    let waited = other.call("invoke", json!({"target": target, "input": "x", "timeoutMs": 200})).await;
    let data = &waited["error"]["data"];
    assert_eq!((&data["kind"], turn_of(&waited)), (&json!("timedOut"), "notRun"), "{waited}");
    assert_eq!(data["retryable"], true, "{waited}");
    let message = waited["error"]["message"].as_str().unwrap();
    let whom = format!("behind another call on session {}", session.as_str().unwrap());
    assert!(message.contains(&whom) && message.contains("nothing was sent"), "{message}");
    assert_eq!(emulator.turns().len(), 2);

    client.send(json!({"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": slow}})).await;
    let cancelled = client.next().await;
    assert_eq!((&cancelled["error"]["data"]["kind"], turn_of(&cancelled)), (&json!("cancelled"), "mayHaveRun"));

    let sent = json!({"target": target, "input": "slow 10000 50", "timeoutMs": 300, "newSession": true});
    let sent = client.call("invoke", sent).await;
    assert_eq!((&sent["error"]["data"]["kind"], turn_of(&sent)), (&json!("timedOut"), "mayHaveRun"), "{sent}");
    let shown = client.call("runs/show", json!({"runId": sent["error"]["data"]["runId"]})).await;
    assert_eq!(shown["result"]["status"], "failed", "the hint leads nowhere: {shown}");
    client.leave().await;
    other.leave().await;
    daemon.end().await;
    emulator.end().await;
}

/// The outcome of one invoke of an agent on this machine.
async fn invoke(client: &mut Client, port: u16, protocol: &str, more: Value) -> Value {
    let mut params = json!({"target": {"kind": "local", "port": port}, "protocol": protocol, "input": "hello"});
    params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    client.call("invoke", params).await
}

#[tokio::test]
async fn an_ending_without_success_has_its_cause_and_says_whether_the_turn_ran() {
    let daemon = TestDaemon::start();
    let mut client = daemon.connect();
    let delta = |text: &str| format!("data: {}\n\n", json!({"type": "response.output_text.delta", "delta": text}));
    let failed =
        json!({"type": "response.failed", "response": {"status": "failed", "error": {"code": "c", "message": "no"}}});
    let failed = format!("data: {failed}\n\n");
    let long = "x".repeat(1024 * 1024);
    let events = "text/event-stream";
    for (protocol, kind, first, then, status, turn, says) in [
        (
            "responses",
            events,
            delta("hel"),
            String::new(),
            "truncated",
            "mayHaveRun",
            "cut off: the stream ended before",
        ),
        (
            "responses",
            events,
            String::new(),
            String::new(),
            "truncated",
            "mayHaveRun",
            "cut off: the stream ended before",
        ),
        ("responses", events, failed, String::new(), "failed", "ran", "no"),
        ("responses", events, String::new(), delta(&long), "failed", "ran", "longer than 33554432 bytes"),
        (
            "responses",
            "text/html",
            "<html>".to_owned(),
            String::new(),
            "failed",
            "mayHaveRun",
            "neither events nor JSON",
        ),
        (
            "responses",
            "application/json",
            "{}".to_owned(),
            String::new(),
            "failed",
            "mayHaveRun",
            "not a response object",
        ),
        (
            "invocations",
            "text/event-stream\r\ncontent-length: 9999",
            "data: {\"content\":\"hel\"}\n\n".to_owned(),
            String::new(),
            "truncated",
            "mayHaveRun",
            "cut off",
        ),
        (
            "invocations",
            "application/json",
            r#"{"error":{"message":"no"}}"#.to_owned(),
            String::new(),
            "failed",
            "ran",
            "no",
        ),
    ] {
        let (head, then) = (format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\n\r\n"), then.clone());
        let answer = format!("{head}{first}");
        let peer = Peer::start(move |_, _| Bytes { first: answer.clone(), then: then.clone() }).await;
        let response = invoke(&mut client, peer.address.port(), protocol, json!({})).await;
        let (result, failure) = (&response["result"], &response["result"]["failure"]);
        assert_eq!(
            (&result["status"], &failure["turn"]),
            (&json!(status), &json!(turn)),
            "{protocol} {first}: {failure}"
        );
        assert!(failure["message"].as_str().unwrap().contains(says), "{protocol} {first}: {failure}");
        assert_eq!(failure["hint"].is_string(), turn == "mayHaveRun", "{protocol} {first}: {failure}");
        assert_eq!(peer.requests(), 1, "the turn was sent again");
    }
    client.leave().await;
    daemon.end().await;
}

#[tokio::test]
async fn a_202_that_names_no_invocation_is_the_answer() {
    let daemon = TestDaemon::start();
    let mut client = daemon.connect();
    let body = r#"{"status":"delivered"}"#;
    let head =
        "HTTP/1.1 202 Accepted\r\ncontent-type: application/json\r\nx-agent-invocation-id: inv-1\r\nconnection: close";
    let answer = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let peer = Peer::start(move |_, _| Bytes { first: answer.clone(), then: String::new() }).await;
    let response = invoke(&mut client, peer.address.port(), "invocations", json!({})).await;
    assert_eq!((&response["result"]["status"], &response["result"]["text"]), (&json!("completed"), &json!(body)));
    assert_eq!(peer.requests(), 1, "the agent was asked about it");
    client.leave().await;
    daemon.end().await;
}

#[tokio::test]
async fn what_was_replaced_or_repeated_is_in_the_response_and_in_the_error() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let mut client = daemon.connect();
    let target = emulator.target("notes");
    let unavailable = || status(503, &[("retry-after", "0"), ("x-adc-response-details", "unavailable")], None);
    let codes = |notices: &Value| -> Vec<Value> {
        notices.as_array().into_iter().flatten().map(|notice| notice["code"].clone()).collect()
    };
    emulator.fail("*/conversations", 1, unavailable());
    let params = json!({"target": target, "input": "hello"});
    let (events, response) = stream(&mut client, params.clone()).await;
    assert_eq!(codes(&response["result"]["notices"]), ["retried"], "a repeated request was not told: {response}");
    crate::invoke::check_events(&events);
    assert_eq!(events.iter().filter(|event| event["code"] == "retried").count(), 1, "{events:?}");

    let gone = status(404, &[("x-adc-response-details", "SandboxNotFound")], None);
    emulator.fail("*/openai/responses", 1, gone.clone());
    emulator.fail("*/openai/responses", 4, status(500, &[], None));
    let (events, response) = stream(&mut client, params).await;
    let data = &response["error"]["data"];
    assert_eq!((&data["httpStatus"], turn_of(&response)), (&json!(500), "mayHaveRun"), "{response}");
    assert_eq!(codes(&data["notices"]), ["sessionReplaced"], "{response}");
    assert_eq!(events.iter().filter(|event| event["code"] == "sessionReplaced").count(), 1, "{events:?}");
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn a_reader_that_takes_nothing_does_not_stretch_the_time_limit() {
    let daemon = TestDaemon::start();
    let (mut reader, mut other) = (daemon.connect(), daemon.connect());
    let piece = format!("data: {}\n\n", json!({"content": "x".repeat(1024)}));
    let peer = Peer::start(move |_, _| Bytes::endless("text/event-stream", &piece)).await;
    let target = json!({"kind": "local", "port": peer.address.port()});
    let params =
        json!({"target": target, "protocol": "invocations", "input": "x", "timeoutMs": 500, "partialResultToken": 1});
    reader.request("invoke", params).await;
    let begun = std::time::Instant::now();
    let ended = async {
        loop {
            let runs = other.call("runs/list", json!({})).await["result"]["runs"].clone();
            if runs[0]["endedAt"].is_string() {
                return runs;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let runs = tokio::time::timeout(PATIENCE, ended).await.expect("the run never ended");
    // Had it waited for its reader, it would have been cancelled when the reader was cut.
    assert_eq!(runs[0]["status"], "failed", "after {:?}: {runs}", begun.elapsed());
    drop(reader);
    other.leave().await;
    daemon.end().await;
}

#[tokio::test]
async fn nothing_is_saved_for_a_call_that_did_not_arrive() {
    let daemon = TestDaemon::start();
    let mut client = daemon.connect();
    let address = free_address();
    for protocol in ["responses", "invocations"] {
        let target = json!({"kind": "local", "port": address.port()});
        let params = json!({"target": target, "protocol": protocol, "input": "x", "timeoutMs": 300});
        let response = client.call("invoke", params).await;
        assert_eq!(
            (&response["error"]["data"]["kind"], turn_of(&response)),
            (&json!("timedOut"), "notRun"),
            "{response}"
        );
        let saved = client.call("partitions/list", json!({})).await;
        assert_eq!(saved["result"]["partitions"], json!([]), "{protocol}: {saved}");
    }
    // What has answered is continued, by calls that come at the same time too.
    let agent = LocalAgent::start().await;
    let params = json!({"target": {"kind": "local", "port": agent.port}, "input": "hello"});
    for _ in 0..4 {
        client.request("invoke", params.clone()).await;
    }
    let mut ids = Vec::new();
    for _ in 0..4 {
        let result = client.next().await["result"].clone();
        ids.push((result["sessionId"].clone(), result["conversationId"].clone()));
    }
    ids.dedup();
    assert_eq!(ids.len(), 1, "{ids:?}");
    client.leave().await;
    daemon.end().await;
}
