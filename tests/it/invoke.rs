//! `invoke`: events, endings, and what happens when something is gone, refused or cut.

use crate::support::{Client, TestDaemon, TestEmulator};
use crate::tenants::say;
use cupola_emulator::faults::Fault;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The events of a call with token `t`, then its response.
pub(crate) async fn stream(client: &mut Client, params: Value) -> (Vec<Value>, Value) {
    let mut params = params;
    params["partialResultToken"] = json!("t");
    client.request("invoke", params).await;
    let mut events = Vec::new();
    loop {
        let message = client.next().await;
        if message.get("method").is_none() {
            return (events, message);
        }
        assert_eq!((&message["method"], &message["params"]["token"]), (&json!("$/progress"), &json!("t")));
        events.push(message["params"]["value"].clone());
    }
}

const ENDINGS: [&str; 5] = ["completed", "failed", "incomplete", "cancelled", "truncated"];

/// What every run must keep, however it goes.
pub(crate) fn check_events(events: &[Value]) {
    for (index, event) in events.iter().enumerate() {
        assert_eq!(event["number"], index + 1, "{event}");
        let is_ending = ENDINGS.contains(&event["type"].as_str().unwrap());
        assert_eq!(is_ending, index + 1 == events.len(), "one ending, and last: {events:?}");
    }
    assert_eq!(events[0]["type"], "started");
}

pub(crate) fn text_of(events: &[Value]) -> String {
    events.iter().filter(|event| event["type"] == "textDelta").map(|event| event["delta"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn text_streams_in_numbered_events_and_the_response_is_complete_in_itself() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let mut client = daemon.connect_lsp();
    let (events, response) =
        stream(&mut client, json!({"target": emulator.target("notes"), "input": "stream a b c"})).await;
    check_events(&events);
    let result = &response["result"];
    assert!(events.iter().filter(|event| event["type"] == "textDelta").count() >= 3, "{events:?}");
    assert_eq!(text_of(&events), result["text"].as_str().unwrap());
    assert_eq!(result["output"]["status"], "completed");
    for (event, field) in [("sessionId", "sessionId"), ("conversationId", "conversationId"), ("requestId", "requestId")]
    {
        assert!(result[field].is_string());
        assert_eq!(events[0][event], result[field]);
    }
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn a_client_that_wants_the_text_alone_is_sent_no_other_events_of_the_service() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let mut client = daemon.connect();
    let params = json!({"target": emulator.target("notes"), "input": "stream a b c", "textOnly": true});
    let (events, response) = stream(&mut client, params).await;
    let types: Vec<_> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert!(types.contains(&"textDelta") && !types.contains(&"output"), "{types:?}");
    assert_eq!((types[0], types[types.len() - 1]), ("started", "completed"));
    assert_eq!(text_of(&events), response["result"]["text"].as_str().unwrap());
    assert!(events.is_sorted_by_key(|event| event["number"].as_u64()), "{events:?}");
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn every_way_an_answer_ends_has_its_status() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let mut client = daemon.connect();
    for (input, status) in [
        ("hello", "completed"),
        ("failed", "failed"),
        ("incomplete", "incomplete"),
        ("early-error", "failed"),
        ("late-error", "failed"),
    ] {
        let (events, response) = stream(&mut client, json!({"target": emulator.target("notes"), "input": input})).await;
        check_events(&events);
        assert_eq!(response["result"]["status"], status, "{input}: {response}");
        assert_eq!(events.last().unwrap()["type"], status, "{input}");
        assert_eq!(response["result"].get("failure").is_some(), status != "completed", "{input}: {response}");
    }
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn a_cut_stream_is_truncated_never_success() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let mut client = daemon.connect();
    for after_bytes in [0, 700, 2000, 3000] {
        emulator.fail("*/openai/responses", 1, Fault::Cut { after_bytes });
        let params = json!({"target": emulator.target("notes"), "input": "one two three four five six"});
        let (events, response) = stream(&mut client, params).await;
        check_events(&events);
        assert_eq!(response["result"]["status"], "truncated", "cut after {after_bytes}: {response}");
        assert_eq!(text_of(&events), response["result"]["text"].as_str().unwrap());
    }
    assert_eq!(emulator.turns().len(), 4, "a turn that may have run was sent again");
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn invocations_answer_with_text_json_events_and_polling() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let mut client = daemon.connect();
    for (input, says) in [
        ("remember the milk", "the milk"),
        (r#"{"message":"what do you remember?"}"#, "the milk"),
        (r#"{"mode":"sse","text":"one two"}"#, "one"),
        (r#"{"mode":"lro","seconds":0}"#, ""),
    ] {
        let params = json!({"target": emulator.target("notes"), "protocol": "invocations", "input": input});
        let (events, response) = stream(&mut client, params).await;
        check_events(&events);
        assert_eq!(response["result"]["status"], "completed", "{input}: {response}");
        assert!(response["result"].to_string().contains(says), "{input}: {response}");
    }
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn cancelling_ends_the_call_once_and_the_run_at_the_service() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let mut client = daemon.connect();
    let params = json!({"target": emulator.target("notes"), "input": "slow 200 50", "partialResultToken": 1});
    let id = client.request("invoke", params).await;
    while client.next().await["params"]["value"]["type"] != "textDelta" {}
    client.send(json!({"method": "$/cancelRequest", "params": {"id": id}})).await;
    let response = loop {
        let message = client.next().await;
        if message.get("id").is_some() {
            break message;
        }
    };
    assert_eq!((&response["id"], &response["error"]["code"]), (&json!(id), &json!(-32800)), "{response}");
    assert!(response["error"]["data"]["runId"].is_string());

    // The next turn of the session is not kept waiting by the cancelled one.
    say(&mut client, &emulator.target("notes"), json!({}), "hello").await;
    client.leave().await;
    daemon.idle().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_run_with_it() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let mut client = daemon.connect();
    let params = json!({"target": emulator.target("notes"), "input": "slow 1000 50", "partialResultToken": 1});
    client.request("invoke", params).await;
    while client.next().await["params"]["value"]["type"] != "textDelta" {}
    drop(client);
    daemon.idle().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn a_time_limit_ends_the_run() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let mut client = daemon.connect();
    let params = json!({"target": emulator.target("notes"), "input": "slow 1000 50", "timeoutMs": 200});
    let response = client.call("invoke", params).await;
    assert_eq!(response["error"]["data"]["kind"], "timedOut", "{response}");
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn a_saved_session_that_is_gone_is_replaced_once_and_said_so() {
    let (daemon, elsewhere, emulator) = (TestDaemon::start(), TestDaemon::start(), TestEmulator::start().await);
    let target = emulator.target("notes");
    let key = || json!({"userKey": "acme"});
    let mut client = daemon.connect();
    let first = say(&mut client, &target, key(), "remember the milk").await;
    let mut other = elsewhere.connect();
    let delete = json!({"target": target, "isolation": key(), "sessionId": first["sessionId"]});
    assert!(other.call("sessions/delete", delete).await.get("result").is_some());
    other.leave().await;

    let second = say(&mut client, &target, key(), "what do you remember?").await;
    assert_ne!(second["sessionId"], first["sessionId"]);
    assert_eq!(second["notices"][0]["code"], "sessionReplaced", "{second}");
    assert!(second["notices"][0]["message"].as_str().unwrap().contains("files are gone"));
    assert!(!second["text"].as_str().unwrap().contains("milk"));
    let third = say(&mut client, &target, key(), "hello").await;
    assert_eq!(third["sessionId"], second["sessionId"]);
    assert_eq!(third.get("notices"), None, "said once: {third}");

    // A session that was asked for by name is never silently another one.
    let named = json!({"target": target, "isolation": key(), "input": "x", "sessionId": first["sessionId"]});
    let refused = client.call("invoke", named).await;
    assert_eq!(refused["error"]["data"]["httpStatus"], 404, "{refused}");
    client.leave().await;
    daemon.end().await;
    elsewhere.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn a_new_daemon_continues_where_the_old_one_stopped() {
    let emulator = TestEmulator::start().await;
    let target = emulator.target("notes");
    let key = || json!({"userKey": "acme"});
    let daemon = TestDaemon::start();
    let mut client = daemon.connect();
    // It hears of the session and leaves at the same moment.
    let params = json!({"target": target, "isolation": key(), "input": "slow 1000 50", "partialResultToken": 1});
    client.request("invoke", params).await;
    let started = client.next().await["params"]["value"].clone();
    assert_eq!(started["type"], "started");
    drop(client);
    let home = daemon.end_keeping_home().await;

    let daemon = TestDaemon::at(home);
    let mut client = daemon.connect();
    let result = say(&mut client, &target, key(), "hello").await;
    for field in ["sessionId", "conversationId"] {
        assert_eq!(result[field], started[field]);
    }
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn a_token_refused_once_is_replaced_and_the_call_goes_through() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let mut client = daemon.connect();
    let unauthorized =
        Fault::Status { status: 401.try_into().unwrap(), headers: BTreeMap::new().try_into().unwrap(), body: None };
    emulator.fail("*/openai/responses", 1, unauthorized);
    say(&mut client, &emulator.target("notes"), json!({}), "hello").await;
    assert_eq!(emulator.turns().len(), 2);
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn an_agent_that_requires_keys_says_so() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let mut client = daemon.connect();
    for protocol in ["responses", "invocations"] {
        let params = json!({"target": emulator.target("notes-required"), "input": "hello", "protocol": protocol});
        let refused = client.call("invoke", params).await;
        assert_eq!(refused["error"]["data"]["kind"], "isolationKeyRequired", "{refused}");
        assert!(refused["error"]["data"]["hint"].as_str().unwrap().contains("--user-isolation-key"), "{refused}");
        assert!(refused["error"]["data"]["requestId"].is_string(), "{refused}");
    }
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn bad_names_and_keys_are_refused_before_anything_is_sent() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let target = emulator.target("notes");
    let mut client = daemon.connect();
    for (params, says) in [
        (json!({"target": target, "input": "x", "isolation": {"userKey": "a\r\nx-evil: 1"}}), "CR, LF, NUL"),
        (json!({"target": target, "input": "x", "isolation": {"userIdentity": "a b"}}), "userIdentity"),
        (json!({"target": target, "input": "x", "sessionId": "../../../etc"}), "sessionId"),
        (json!({"target": target, "input": "x", "sessionId": "session-1", "newSession": true}), "newSession"),
        (json!({"target": {"kind": "emulator", "agent": "a/b"}, "input": "x"}), "agent"),
        (json!({"target": {"kind": "emulator", "url": "http://example.com:80"}, "input": "x"}), "emulator"),
        (
            json!({"target": {"kind": "project", "agent": "a",
            "endpoint": "https://acct.services.ai.azure.com:8443/api/projects/p"}, "input": "x"}),
            "no port",
        ),
        (
            json!({"target": {"kind": "project", "agent": "a",
            "endpoint": "https://user@acct.services.ai.azure.com/api/projects/p"}, "input": "x"}),
            "projectEndpoint",
        ),
        (json!({"target": target}), "input"),
    ] {
        let refused = client.call("invoke", params.clone()).await;
        assert_eq!(refused["error"]["code"], -32602, "{params}: {refused}");
        assert!(refused["error"]["message"].as_str().unwrap().contains(says), "{params}: {refused}");
        assert!(!refused.to_string().contains("x-evil"), "the value was repeated: {refused}");
    }
    for host in [
        "evil.example.com",
        "services.ai.azure.com",
        "a.b.services.ai.azure.com",
        "acct.services.ai.azure.com.evil.com",
    ] {
        let endpoint = format!("https://{host}/api/projects/p");
        let params = json!({"target": {"kind": "project", "agent": "a", "endpoint": endpoint}, "input": "x"});
        let refused = client.call("invoke", params).await;
        assert_eq!(refused["error"]["data"]["kind"], "hostNotAllowed", "{refused}");
    }
    assert!(emulator.requests().is_empty());
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn a_damaged_state_file_stops_what_needs_it_and_nothing_else() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let file = daemon.daemon.config.state_directory.join("state.db");
    std::fs::write(&file, "not what it was").unwrap();
    let mut client = daemon.connect();
    let params = json!({"target": emulator.target("notes"), "input": "hello"});
    let refused = client.call("invoke", params.clone()).await;
    assert_eq!(refused["error"]["data"]["kind"], "stateUnavailable", "{refused}");
    assert!(refused["error"]["data"]["hint"].as_str().unwrap().contains("move"), "{refused}");
    assert!(client.call("daemon/status", json!({})).await["result"]["processId"].is_u64());
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "not what it was");
    std::fs::remove_file(&file).unwrap();
    assert_eq!(client.call("invoke", params).await["result"]["status"], "completed");
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

/// Sends invokes one behind the other without waiting for an answer, and gives their inputs in the order the agent got them.
async fn pipelined(client: &mut Client, emulator: &TestEmulator, calls: Vec<Value>) -> Vec<Value> {
    let (before, count) = (emulator.turns().len(), calls.len());
    for params in calls {
        client.request("invoke", params).await;
    }
    for _ in 0..count {
        let response = client.next().await;
        assert_eq!(response["result"]["status"], "completed", "{response}");
    }
    emulator.turns()[before..].iter().map(|turn| turn.body["input"].clone()).collect()
}

fn numbered(count: usize) -> Vec<Value> {
    (1..=count).map(|number| json!(format!("hello {number}"))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn pipelined_invokes_of_one_partition_run_in_the_order_they_came() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let target = emulator.target("notes");
    let mut client = daemon.connect();
    for round in 0..12 {
        // Two users' rounds alternate between a first call, which makes a session, and a saved one.
        let isolation = json!({"userKey": format!("user-{}", round / 2)});
        let call = |input: &Value| json!({"target": target, "isolation": isolation, "input": input});
        let order = pipelined(&mut client, &emulator, numbered(8).iter().map(call).collect()).await;
        assert_eq!(order, numbered(8), "round {round}");
    }
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn an_invoke_whose_partition_takes_long_to_find_is_not_overtaken() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let target = emulator.target("notes");
    let mut client = daemon.connect();
    emulator.fail("*/agents/notes", 1, Fault::Latency { milliseconds: 300 });
    let calls = numbered(4).iter().map(|input| json!({"target": target, "input": input})).collect();
    assert_eq!(pipelined(&mut client, &emulator, calls).await, numbered(4));
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn invokes_on_a_bound_connection_keep_their_order_at_the_gate() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let mut client = daemon.connect();
    let bind = json!({"bind": {"target": emulator.version("2"), "isolation": {"userKey": "acme"}}});
    assert_eq!(client.call("initialize", bind).await["result"]["bound"], true);
    let first = client.call("invoke", json!({"input": "hello"})).await;
    let session = &first["result"]["sessionId"];
    // The gate asks the service for a session that is named; calls that name none pass at once.
    emulator.fail("*/sessions/*", 1, Fault::Latency { milliseconds: 300 });
    let mut calls: Vec<_> = numbered(4).iter().map(|input| json!({"input": input})).collect();
    calls[0]["sessionId"] = session.clone();
    assert_eq!(pipelined(&mut client, &emulator, calls).await, numbered(4));
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn pipelined_invokes_of_two_partitions_run_side_by_side() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let target = emulator.target("notes");
    let mut client = daemon.connect();
    let slow = json!({"target": target, "isolation": {"userKey": "acme"}, "input": "slow 1000 50"});
    let slow = client.request("invoke", slow).await;
    let other = json!({"target": target, "isolation": {"userKey": "contoso"}, "input": "hello"});
    let other = client.call("invoke", other).await;
    assert_eq!(other["result"]["status"], "completed", "{other}");
    client.send(json!({"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": slow}})).await;
    assert_eq!(client.next().await["error"]["data"]["kind"], "cancelled");
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn a_long_invocation_is_cancelled_at_the_agent_when_its_time_is_over() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let mut client = daemon.connect();
    for round in 1..=2 {
        let input = r#"{"mode":"lro","seconds":3600}"#;
        // Long enough for the invocation to be accepted on a busy machine.
        let params =
            json!({"target": emulator.target("notes"), "protocol": "invocations", "input": input, "timeoutMs": 3000});
        let response = client.call("invoke", params).await;
        assert_eq!(response["error"]["data"]["kind"], "timedOut", "{response}");
        let told = emulator.asked("POST", "protocols/invocations/");
        let cancelled = told.iter().filter(|request| request.path.contains("/cancel")).count();
        assert_eq!(cancelled, round, "the agent was not told: {told:?}");
    }
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}
