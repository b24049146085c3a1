//! How a connection gets bound by `initialize`: once, before its first call, to what was meant at that moment.

use super::{World, bound, kind};
use crate::support::TestDaemon;
use serde_json::{Value, json};

#[tokio::test]
async fn a_binding_is_for_good() {
    let world = World::new().await;
    let (target, other) = (world.emulator.target("notes"), world.emulator.target("versioned"));
    let bind = json!({"target": target, "isolation": {"userKey": "acme"}, "methods": ["sessions/*", "files/*"]});
    let mut client = bound(&world.daemon, bind.clone()).await;
    let wider = json!({"target": target, "isolation": {"userKey": "acme"}});
    for again in [bind, wider, json!({"target": other})] {
        assert_eq!(kind(&client.call("initialize", json!({"bind": again})).await), "outOfBounds");
    }
    let greeting = client.call("initialize", json!({"clientInfo": {"name": "again"}})).await;
    assert_eq!(greeting["result"]["bound"], true, "{greeting}");
    assert_eq!(kind(&client.call("invoke", json!({"input": "x"})).await), "outOfBounds");
    assert_eq!(kind(&client.call("sessions/list", json!({"target": other})).await), "outOfBounds");
    assert!(client.call("sessions/list", json!({})).await["result"].is_object());
    world.end(vec![client]).await;
}

#[tokio::test]
async fn a_connection_is_bound_before_its_first_call() {
    let world = World::new().await;
    let bind = json!({"bind": {"target": world.emulator.target("notes")}});
    let mut client = world.daemon.connect();
    assert_eq!(client.call("initialize", json!({})).await["result"]["bound"], false);
    client.call("daemon/status", json!({})).await;
    assert_eq!(kind(&client.call("initialize", bind.clone()).await), "outOfBounds");
    // It was meant to be bound and is not: so nothing more is done on it.
    assert_eq!(kind(&client.call("daemon/status", json!({})).await), "outOfBounds");
    // A greeting does not count as a call.
    let mut late = world.daemon.connect();
    late.call("initialize", json!({})).await;
    assert_eq!(late.call("initialize", bind).await["result"]["bound"], true);
    world.end(vec![client, late]).await;
}

/// A client that sends more without waiting for the answer of `initialize` meant it to be bound.
#[tokio::test]
async fn messages_right_behind_are_bound_or_not_done() {
    let world = World::new().await;
    let (target, other) = (world.emulator.target("notes"), world.emulator.target("versioned"));
    let good = json!({"target": target, "isolation": {"userKey": "acme"}});
    for (about, initialize, expected) in [
        ("bound", json!({"bind": good}), ["none", "outOfBounds"]),
        ("another version", json!({"bind": good, "protocolVersions": [2]}), ["outOfBounds"; 2]),
        ("a bad key", json!({"bind": {"target": target, "isolation": {"userKey": " a"}}}), ["outOfBounds"; 2]),
        ("an unknown field", json!({"bind": {"target": target, "isolations": {}}}), ["outOfBounds"; 2]),
        ("a misspelt key", json!({"bind": {"target": target, "isolation": {"user_key": "acme"}}}), ["outOfBounds"; 2]),
        ("a bad pattern", json!({"bind": {"target": target, "methods": ["*"]}}), ["outOfBounds"; 2]),
        ("no object", json!([null, null, good]), ["outOfBounds"; 2]),
    ] {
        let calls = [
            json!({"id": 1, "method": "initialize", "params": initialize}),
            json!({"id": 2, "method": "sessions/list", "params": {"target": target, "isolation": {"userKey": "acme"}}}),
            json!({"id": 3, "method": "sessions/list", "params": {"target": other}}),
        ];
        let mut batch = world.daemon.connect();
        batch.send(json!(calls)).await;
        let answers = batch.next().await;
        assert_eq!([kind(&answers[1]), kind(&answers[2])], expected, "{about}, batch: {answers}");
        let mut pipelined = world.daemon.connect();
        let bytes: Vec<u8> = calls.iter().flat_map(|call| format!("{call}\n").into_bytes()).collect();
        pipelined.send_bytes(&bytes).await;
        let mut answers = [pipelined.next().await, pipelined.next().await, pipelined.next().await];
        answers.sort_by_key(|answer| answer["id"].as_u64());
        assert_eq!([kind(&answers[1]), kind(&answers[2])], expected, "{about}, pipelined: {answers:?}");
        let mut silent = world.daemon.connect();
        silent.send(json!({"method": "initialize", "params": initialize})).await;
        assert_eq!(kind(&silent.call("sessions/list", json!({"target": other})).await), "outOfBounds", "{about}");
        for client in [batch, pipelined, silent] {
            client.leave().await;
        }
    }
    world.end(vec![]).await;
}

#[tokio::test]
async fn methods_are_those_of_the_binding() {
    let world = World::new().await;
    let target = world.emulator.target("notes");
    for (methods, allowed, refused) in [
        (json!(null), vec!["sessions/list", "agents/show"], vec!["agents/list", "daemon/stop", "partitions/import"]),
        (json!(["sessions/*"]), vec!["sessions/list"], vec!["invoke", "agents/show", "files/list"]),
        (json!(["sessions/list", "agents/list"]), vec!["sessions/list", "agents/list"], vec!["sessions/create"]),
        (json!(["partitions/*", "partitions/import"]), vec![], vec!["partitions/import", "sessions/list"]),
        (json!([]), vec![], vec!["invoke", "sessions/list"]),
    ] {
        let mut client = world.daemon.connect();
        let bind = json!({"target": target, "methods": methods});
        let greeting = client.call("initialize", json!({"bind": bind})).await["result"].clone();
        let listed: Vec<&str> =
            greeting["capabilities"]["methods"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        for method in allowed.into_iter().chain(["daemon/status", "shutdown", "initialize"]) {
            assert!(listed.contains(&method), "{method} of {listed:?}");
            assert!(client.call(method, json!({})).await["error"].is_null(), "{methods}: {method}");
        }
        for method in refused {
            assert!(!listed.contains(&method), "{method} of {listed:?}");
            assert_eq!(kind(&client.call(method, json!({"entries": []})).await), "outOfBounds", "{methods}: {method}");
        }
        client.leave().await;
    }
    world.end(vec![]).await;
}

/// A directory means what its files said when the connection was bound.
#[tokio::test]
async fn a_directory_is_read_once() {
    let world = World::new().await;
    let directory = tempfile::tempdir().unwrap();
    let below = |path: &str| directory.path().join(path);
    std::fs::create_dir_all(below(".azure/dev")).unwrap();
    std::fs::write(below(".azure/config.json"), r#"{"version":1,"defaultEnvironment":"dev"}"#).unwrap();
    std::fs::write(below("azure.yaml"), "name: p\nservices:\n  bot:\n    host: azure.ai.agent\n").unwrap();
    let write = |agent: &str| std::fs::write(below(".azure/dev/.env"), format!("AGENT_BOT_NAME={agent}\n")).unwrap();
    write("first");
    let target = json!({"kind": "directory", "path": directory.path(), "version": "3",
        "endpoint": "https://acct.services.ai.azure.invalid/api/projects/p"});
    let mut client = bound(&world.daemon, json!({"target": target, "methods": ["agents/show"]})).await;
    write("second");
    // The host is none that tokens may go to, so that nothing is asked for: what is refused has been resolved before.
    for given in [json!({}), json!({"target": target})] {
        assert_eq!(kind(&client.call("agents/show", given).await), "hostNotAllowed");
    }
    let named = |agent: &str| {
        json!({"target": {"kind": "project", "agent": agent, "version": "3",
            "endpoint": "https://acct.services.ai.azure.invalid/api/projects/p"}})
    };
    assert_eq!(kind(&client.call("agents/show", named("first")).await), "hostNotAllowed");
    assert_eq!(kind(&client.call("agents/show", named("second")).await), "outOfBounds");
    let mut nowhere = world.daemon.connect();
    let target = json!({"kind": "directory", "path": "/"});
    let refused = nowhere.call("initialize", json!({"bind": {"target": target}})).await;
    assert_eq!(kind(&refused), "projectNotResolved", "{refused}");
    assert_eq!(kind(&nowhere.call("agents/show", json!({})).await), "outOfBounds");
    world.end(vec![client, nowhere]).await;
}

#[tokio::test]
async fn versions_are_negotiated_and_both_are_named_when_there_is_none_in_common() {
    let daemon = TestDaemon::start();
    let mut client = daemon.connect();
    for offered in [json!(null), json!([1]), json!([1, 2]), json!([3, 2, 1])] {
        let answer = client.call("initialize", json!({"protocolVersions": offered})).await;
        assert_eq!(answer["result"]["protocolVersion"], 1, "{offered}: {answer}");
        assert_eq!(answer["result"]["bound"], false);
    }
    for offered in [json!([2, 3]), json!([0])] {
        let answer = client.call("initialize", json!({"protocolVersions": offered})).await;
        let message = answer["error"]["message"].as_str().unwrap();
        assert_eq!(kind(&answer), "invalidParams");
        assert!(message.contains("version 1 ") && message.contains(&offered[0].to_string()), "{message}");
    }
    client.leave().await;
    daemon.end().await;
}
