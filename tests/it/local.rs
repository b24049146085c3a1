//! An agent's container on this machine: no token, the caller's own ids and keys, and nothing a service would add.

use crate::invoke::stream;
use crate::support::{LocalAgent, TestDaemon, free_address};
use serde_json::{Value, json};
use uuid::Uuid;

fn params(agent: &LocalAgent, isolation: &Value, input: &str) -> Value {
    json!({"target": {"kind": "local", "port": agent.port}, "isolation": isolation, "input": input})
}

fn notices(response: &Value) -> Vec<&str> {
    let notices = response["result"]["notices"].as_array();
    notices.into_iter().flatten().map(|notice| notice["code"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_local_agent_is_spoken_to_at_its_root_without_a_token() {
    let (daemon, agent) = (TestDaemon::start(), LocalAgent::start().await);
    let mut client = daemon.connect();
    let mut call = params(&agent, &json!({"userKey": "acme", "chatKey": "c1"}), "stream a b");
    call["callId"] = json!("call-7");
    call["clientHeaders"] = json!({"x-client-tenant": "contoso"});
    let (events, response) = stream(&mut client, call).await;
    assert_eq!(response["result"]["status"], "completed", "{response}");
    assert_eq!(response["result"]["isolationModel"], "local");
    assert!(events.iter().filter(|event| event["type"] == "textDelta").count() > 1, "{events:?}");

    let identity = params(&agent, &json!({"userIdentity": "alice@contoso.com"}), "hello");
    let other = client.call("invoke", identity).await;
    let mut invocation = params(&agent, &json!({"userIdentity": "alice@contoso.com"}), "hello");
    invocation["protocol"] = json!("invocations");
    let again = client.call("invoke", invocation).await;
    assert_eq!(again["result"]["sessionId"], other["result"]["sessionId"], "{again}");

    let arrived = agent.arrived();
    let [(first, keys, body), (_, user, _), (third, _, _)] = arrived.as_slice() else { panic!("{arrived:?}") };
    assert_eq!(first, "POST /responses");
    for (name, value) in [
        ("x-agent-user-isolation-key", "acme"),
        ("x-agent-chat-isolation-key", "c1"),
        ("x-agent-foundry-call-id", "call-7"),
        ("x-client-tenant", "contoso"),
    ] {
        assert_eq!(keys.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert_eq!(user.get("x-agent-user-id").map(String::as_str), Some("alice@contoso.com"));
    assert!(!user.contains_key("x-ms-user-identity") && !user.contains_key("x-agent-user-isolation-key"));
    for (_, headers, _) in &arrived {
        assert!(!headers.contains_key("authorization"));
    }
    let body: Value = serde_json::from_str(body).unwrap();
    for (sent, field) in [(&body["agent_session_id"], "sessionId"), (&body["conversation"]["id"], "conversationId")] {
        assert_eq!(*sent, response["result"][field]);
    }
    assert!(Uuid::parse_str(body["agent_session_id"].as_str().unwrap()).is_ok(), "{body}");
    // The service's form: agent servers of early 2026 fail on any other.
    let conversation = body["conversation"]["id"].as_str().unwrap();
    let (key, chance) = conversation.strip_prefix("conv_").unwrap().split_at(18);
    assert!(key.ends_with("00") && chance.len() == 32, "{conversation}");
    assert!([key, chance].concat().bytes().all(|byte| byte.is_ascii_alphanumeric()), "{conversation}");
    assert_eq!(
        *third,
        format!("POST /invocations?agent_session_id={}", other["result"]["sessionId"].as_str().unwrap())
    );
    client.leave().await;
    daemon.end().await;
}

#[tokio::test]
async fn each_partition_has_its_own_ids_and_is_told_once_that_nothing_is_enforced() {
    let (daemon, agent) = (TestDaemon::start(), LocalAgent::start().await);
    let mut client = daemon.connect();
    let first = client.call("invoke", params(&agent, &json!({"userKey": "acme"}), "a")).await;
    assert_eq!(notices(&first), ["isolationNotEnforced"], "{first}");
    let message = first["result"]["notices"][0]["message"].as_str().unwrap();
    assert!(message.starts_with("local agents don't enforce isolation"), "{message}");
    let second = client.call("invoke", params(&agent, &json!({"userKey": "acme"}), "b")).await;
    let other = client.call("invoke", params(&agent, &json!({"userKey": "contoso"}), "c")).await;
    let mut fresh = params(&agent, &json!({"userKey": "acme"}), "d");
    fresh["newSession"] = json!(true);
    let fresh = client.call("invoke", fresh).await;
    let unnamed = client.call("invoke", params(&agent, &json!({}), "e")).await;
    assert_eq!((notices(&second), notices(&unnamed)), (vec![], vec![]));
    for field in ["sessionId", "conversationId"] {
        assert_eq!(first["result"][field], second["result"][field]);
        assert_ne!(first["result"][field], other["result"][field]);
        assert_ne!(first["result"][field], unnamed["result"][field]);
    }
    assert_ne!(first["result"]["sessionId"], fresh["result"]["sessionId"]);
    assert_eq!(first["result"]["conversationId"], fresh["result"]["conversationId"]);
    client.leave().await;
    daemon.end().await;
}

#[tokio::test]
async fn a_call_waits_for_the_agent_to_start_and_says_so_once() {
    let daemon = TestDaemon::start();
    let port = free_address().port();
    let mut client = daemon.connect();
    let target = json!({"kind": "local", "port": port});
    client.request("invoke", json!({"target": target, "input": "hello", "partialResultToken": "t"})).await;
    let waiting = client.next().await["params"]["value"].clone();
    assert_eq!((&waiting["type"], &waiting["code"]), (&json!("notice"), &json!("waitingForAgent")), "{waiting}");
    assert!(waiting["message"].as_str().unwrap().contains(&format!("127.0.0.1:{port}")), "{waiting}");
    let _agent = LocalAgent::start_at(port).await;
    let response = loop {
        let message = client.next().await;
        assert_ne!(message["params"]["value"]["code"], "waitingForAgent", "said twice");
        if message.get("id").is_some() {
            break message;
        }
    };
    assert_eq!(response["result"]["text"], "echo: hello", "{response}");
    assert_eq!(notices(&response), ["waitingForAgent"]);

    // A client that no longer wants to wait cancels the call, which ends the wait.
    let gone = json!({"target": {"kind": "local", "port": 1}, "input": "x", "timeoutMs": 100});
    assert_eq!(client.call("invoke", gone).await["error"]["data"]["kind"], "timedOut");
    client.leave().await;
    daemon.end().await;
}

#[tokio::test]
async fn what_only_the_service_has_is_refused_in_words() {
    let (daemon, agent) = (TestDaemon::start(), LocalAgent::start().await);
    let mut client = daemon.connect();
    let target = json!({"kind": "local", "port": agent.port});
    for (method, params) in [
        ("sessions/list", json!({"target": target})),
        ("sessions/create", json!({"target": target})),
        ("sessions/show", json!({"target": target})),
        ("sessions/show", json!({"target": target, "sessionId": "session-1"})),
        ("sessions/stop", json!({"target": target})),
        ("sessions/delete", json!({"target": target, "sessionId": "session-1"})),
    ] {
        let refused = client.call(method, params.clone()).await;
        let message = refused["error"]["message"].as_str().unwrap();
        assert!(message.starts_with("local agents have no sessions"), "{method} {params}: {message}");
    }
    let a2a = json!({"target": target, "input": "x", "protocol": "a2a"});
    assert_eq!(client.call("invoke", a2a).await["error"]["code"], -32602);
    assert!(agent.arrived().is_empty());
    client.leave().await;
    daemon.end().await;
}
