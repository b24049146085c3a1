//! `invoke` by A2A: streamed where the card says so, failures in JSON-RPC, the session in the query.

use crate::invoke::{check_events, stream, text_of};
use crate::support::{TestDaemon, TestEmulator};
use crate::targets::endpoint;
use crate::tenants::say;
use cupola_emulator::faults::Fault;
use serde_json::{Value, json};
use std::collections::BTreeMap;

fn call(emulator: &TestEmulator, input: &str) -> Value {
    json!({"target": emulator.target("notes"), "isolation": {"userKey": "acme"}, "protocol": "a2a", "input": input})
}

fn no_card() -> Fault {
    Fault::Status { status: 404.try_into().unwrap(), headers: BTreeMap::new().try_into().unwrap(), body: None }
}

#[tokio::test]
async fn a_message_streams_and_shares_the_session_with_the_other_protocols() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let mut client = daemon.connect();
    let first = say(&mut client, &emulator.target("notes"), json!({"userKey": "acme"}), "remember the milk").await;
    let (events, response) = stream(&mut client, call(&emulator, "stream alpha beta gamma")).await;
    check_events(&events);
    assert!(events.iter().filter(|event| event["type"] == "textDelta").count() > 2, "{events:?}");
    let result = &response["result"];
    assert_eq!((text_of(&events).as_str(), &result["text"]), ("alpha beta gamma", &json!("alpha beta gamma")));
    assert_eq!(result["sessionId"], first["sessionId"]);
    assert_eq!(result.get("conversationId"), None);

    emulator.fail("*/agentCard/*", 1, no_card());
    let (events, response) = stream(&mut client, call(&emulator, "what do you remember?")).await;
    check_events(&events);
    assert!(response["result"]["text"].as_str().unwrap().contains("milk"), "{response}");
    let sent = emulator.asked("POST", "protocols/a2a");
    let methods: Vec<&Value> = sent.iter().map(|request| &request.body["method"]).collect();
    assert_eq!(methods, ["message/stream", "message/send"]);
    for request in &sent {
        assert_eq!(request.header("a2a-version"), Some("0.3"));
        assert_eq!(request.header("x-agent-user-isolation-key"), Some("acme"));
        assert!(request.path.ends_with(&format!("agent_session_id={}", first["sessionId"].as_str().unwrap())));
    }
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn a_failure_is_a_failed_run_and_a_cut_stream_no_success() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let mut client = daemon.connect();
    for (card, input, status) in [
        (true, "failed", "failed"),
        (false, "failed", "failed"),
        (false, "hello", "completed"),
        (true, "hello", "completed"),
    ] {
        if !card {
            emulator.fail("*/agentCard/*", 1, no_card());
        }
        let (events, response) = stream(&mut client, call(&emulator, input)).await;
        check_events(&events);
        assert_eq!(response["result"]["status"], status, "{input}: {response}");
    }
    emulator.fail("*/protocols/a2a", 1, Fault::Cut { after_bytes: 400 });
    let (events, response) = stream(&mut client, call(&emulator, "one two three four five")).await;
    check_events(&events);
    assert_eq!(response["result"]["status"], "truncated", "{response}");

    let request = json!({"jsonrpc": "2.0", "id": "mine", "method": "message/send",
        "params": {"message": {"role": "user", "messageId": "m", "parts": [{"kind": "text", "text": "from a file"}]}}});
    let mut whole = call(&emulator, &request.to_string());
    whole["inputIsRequest"] = json!(true);
    let (_, response) = stream(&mut client, whole).await;
    assert_eq!(response["result"]["text"], "echo: from a file", "{response}");
    assert_eq!(emulator.asked("POST", "protocols/a2a").last().unwrap().body, request);

    let mut refused = call(&emulator, "x");
    refused["clientHeaders"] = json!({"x-client-a": "b"});
    assert_eq!(client.call("invoke", refused).await["error"]["code"], -32602);
    let required = json!({"target": emulator.target("notes-required"), "protocol": "a2a", "input": "x"});
    assert_eq!(client.call("invoke", required).await["error"]["data"]["kind"], "isolationKeyRequired");
    // A host that is no agent's is refused for an endpoint of this protocol as well.
    let elsewhere = endpoint("a2a").replace("services.ai.azure.com", "example.com");
    let params = json!({"target": {"kind": "agentEndpoint", "url": elsewhere}, "input": "x"});
    assert_eq!(client.call("invoke", params).await["error"]["data"]["kind"], "hostNotAllowed");
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}
