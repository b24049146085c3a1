//! `invoke` by A2A: streamed where the card says so, failures in JSON-RPC, the session in the query, contexts continued.

use crate::invoke::{check_events, stream, text_of};
use crate::support::{Client, TestDaemon, TestEmulator};
use crate::targets::endpoint;
use crate::tenants::say;
use cupola_emulator::faults::Fault;
use serde_json::{Value, json};
use std::collections::BTreeMap;

fn call(emulator: &TestEmulator, input: &str) -> Value {
    json!({"target": emulator.target("notes"), "isolation": {"userKey": "acme"}, "protocol": "a2a", "input": input})
}

fn not_found() -> Fault {
    let body = json!({"error": {"code": "not_found", "message": "Context 'c' was not found."}});
    Fault::Status { status: 404.try_into().unwrap(), headers: BTreeMap::new().try_into().unwrap(), body: Some(body) }
}

/// Says something, with more in the call, and gives the result.
async fn turn(client: &mut Client, emulator: &TestEmulator, input: &str, more: Value) -> Value {
    let mut params = call(emulator, input);
    params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let (events, response) = stream(client, params).await;
    check_events(&events);
    let result = response["result"].clone();
    let started = events.iter().find(|event| event["type"] == "started").unwrap();
    assert_eq!(started["conversationId"], result["conversationId"], "{response}");
    result
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
    assert_ne!(result["conversationId"], first["conversationId"]);

    let (events, response) = stream(&mut client, call(&emulator, "what do you remember?")).await;
    check_events(&events);
    assert!(response["result"]["text"].as_str().unwrap().contains("milk"), "{response}");
    let sent = emulator.asked("POST", "protocols/a2a");
    let methods: Vec<&Value> = sent.iter().map(|request| &request.body["method"]).collect();
    assert_eq!(methods, ["message/stream", "message/stream"]);
    assert_eq!(emulator.asked("GET", "protocols/a2a/agentCard").len(), 1, "a card is asked for once");
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
    let (daemon, cardless, emulator) = (TestDaemon::start(), TestDaemon::start(), TestEmulator::start().await);
    emulator.fail("*/agentCard/*", 1, not_found());
    for (daemon, method) in [(&cardless, "message/send"), (&daemon, "message/stream")] {
        let mut client = daemon.connect();
        for (input, status) in [("failed", "failed"), ("hello", "completed")] {
            let (events, response) = stream(&mut client, call(&emulator, input)).await;
            check_events(&events);
            assert_eq!(response["result"]["status"], status, "{method} {input}: {response}");
            assert_eq!(emulator.asked("POST", "protocols/a2a").last().unwrap().body["method"], method);
        }
        client.leave().await;
    }
    assert_eq!(
        emulator.asked("GET", "protocols/a2a/agentCard").len(),
        2,
        "that there is no card is remembered as well"
    );
    let mut client = daemon.connect();
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
    // A host that is not an agent's is refused for an endpoint of this protocol, too.
    let elsewhere = endpoint("a2a").replace("services.ai.azure.com", "example.com");
    let params = json!({"target": {"kind": "agentEndpoint", "url": elsewhere}, "input": "x"});
    assert_eq!(client.call("invoke", params).await["error"]["data"]["kind"], "hostNotAllowed");
    client.leave().await;
    cardless.end().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn a_context_is_continued_beside_the_conversation_and_over_a_restart() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let mut client = daemon.connect();
    let responses = say(&mut client, &emulator.target("notes"), json!({"userKey": "acme"}), "hello").await;
    let first = turn(&mut client, &emulator, "hello", json!({})).await;
    let context = json!({"conversationId": first["conversationId"]});
    assert!(context["conversationId"].is_string(), "{first}");
    client.leave().await;

    let daemon = TestDaemon::at(daemon.end_keeping_home().await);
    let mut client = daemon.connect();
    let raw = turn(&mut client, &emulator, "history", json!({"raw": true})).await;
    assert_eq!((&raw["text"], &raw["conversationId"]), (&json!("history items: 2"), &first["conversationId"]));
    let target = emulator.target("notes");
    let isolation = json!({"userKey": "acme"});
    let listed = client.call("partitions/list", json!({"target": target, "isolation": isolation})).await;
    let own = &listed["result"]["partitions"][0];
    assert_eq!((&own["contextId"], &own["conversationId"]), (&first["conversationId"], &responses["conversationId"]));
    let again = say(&mut client, &target, isolation, "hello").await;
    assert_eq!(again["conversationId"], responses["conversationId"]);

    let new = turn(&mut client, &emulator, "history", json!({"newConversation": true})).await;
    assert_eq!(new["text"], "history items: 0");
    assert_eq!(turn(&mut client, &emulator, "hello", json!({})).await["conversationId"], new["conversationId"]);
    let named = turn(&mut client, &emulator, "history", context.clone()).await;
    assert_eq!(named["text"], "history items: 4");
    assert_eq!(turn(&mut client, &emulator, "history", json!({})).await["text"], "history items: 6");

    let mut foreign = call(&emulator, "history");
    foreign["isolation"] = json!({"userKey": "contoso"});
    foreign["conversationId"] = context["conversationId"].clone();
    let request = json!({"jsonrpc": "2.0", "id": 1, "method": "message/send", "params": {"message":
        {"role": "user", "messageId": "m", "contextId": context["conversationId"], "parts": [{"kind": "text", "text": "x"}]}}});
    let mut whole = call(&emulator, &request.to_string());
    whole["inputIsRequest"] = json!(true);
    let mut foreign_whole = whole.clone();
    foreign_whole["isolation"] = json!({"userKey": "contoso"});
    let mut both = whole.clone();
    both["conversationId"] = context["conversationId"].clone();
    let sent = emulator.asked("POST", "protocols/a2a").len();
    for (params, kind) in [(foreign, "foreignSession"), (foreign_whole, "foreignSession"), (both, "invalidParams")] {
        assert_eq!(client.call("invoke", params).await["error"]["data"]["kind"], kind);
    }
    assert_eq!(emulator.asked("POST", "protocols/a2a").len(), sent, "something refused was sent");
    assert_eq!(client.call("invoke", whole).await["result"]["conversationId"], context["conversationId"]);
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn a_context_that_is_gone_is_replaced_and_one_that_was_named_is_not() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let mut client = daemon.connect();
    let first = turn(&mut client, &emulator, "hello", json!({})).await;
    let mut unknown = call(&emulator, "history");
    unknown["conversationId"] = json!("ctx_of_yesterday");
    assert_eq!(client.call("invoke", unknown).await["error"]["data"]["kind"], "notFound");
    assert_eq!(turn(&mut client, &emulator, "hello", json!({})).await["conversationId"], first["conversationId"]);

    emulator.fail("*/protocols/a2a", 1, not_found());
    let replaced = turn(&mut client, &emulator, "history", json!({})).await;
    assert_eq!(replaced["notices"][0]["code"], "conversationReplaced", "{replaced}");
    assert_ne!(replaced["conversationId"], first["conversationId"]);
    assert_eq!((&replaced["text"], &replaced["sessionId"]), (&json!("history items: 0"), &first["sessionId"]));
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn parallel_first_messages_begin_one_context() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let (mut left, mut right) = (daemon.connect(), daemon.connect());
    // The session is there already, so that only the context makes them wait.
    say(&mut left, &emulator.target("notes"), json!({"userKey": "acme"}), "hello").await;
    let (one, two) =
        tokio::join!(turn(&mut left, &emulator, "hello", json!({})), turn(&mut right, &emulator, "hello", json!({})));
    assert!(one["conversationId"].is_string());
    assert_eq!(one["conversationId"], two["conversationId"]);
    left.leave().await;
    right.leave().await;
    daemon.end().await;
    emulator.end().await;
}
