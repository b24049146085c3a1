//! Which session the next call continues: the sentence in `docs/isolation.md`, part by part.

use crate::support::{Client, Home, TestDaemon, TestEmulator, finish};
use crate::tenants::say;
use cupola_emulator::faults::Fault;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A turn fails at the service.
fn refusing() -> Fault {
    Fault::Status { status: 500.try_into().unwrap(), headers: BTreeMap::new().try_into().unwrap(), body: None }
}

fn acme() -> Value {
    json!({"userKey": "acme"})
}

/// The session that calls without a session continue, as a call that makes none sees it.
async fn current(client: &mut Client, target: &Value) -> Value {
    let shown = client.call("sessions/show", json!({"target": target, "isolation": acme()})).await;
    shown["result"]["agent_session_id"].clone()
}

async fn create(client: &mut Client, target: &Value) -> Value {
    let created = client.call("sessions/create", json!({"target": target, "isolation": acme()})).await;
    created["result"]["agent_session_id"].clone()
}

#[tokio::test]
async fn a_created_session_is_the_current_one_whichever_version_it_was_created_for() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let (any, mut client) = (emulator.target("versioned"), daemon.connect());
    let first = say(&mut client, &any, acme(), "hello").await["sessionId"].clone();
    for version in ["1", "2"] {
        let created = create(&mut client, &emulator.version(version)).await;
        assert_ne!(created, first);
        assert_eq!(current(&mut client, &any).await, created, "version {version}");
        assert_eq!(current(&mut client, &emulator.version(version)).await, created, "version {version}");
        // The way of the article: create with a version, then files, without one.
        let params = json!({"target": any, "isolation": acme(), "path": "notes"});
        let made = client.call("files/mkdir", params).await;
        assert_eq!(made["result"]["sessionId"], created, "{made}");
        assert_eq!(say(&mut client, &any, acme(), "hello").await["sessionId"], created);
    }
    // Another user has another session.
    let other = say(&mut client, &any, json!({"userKey": "contoso"}), "hello").await["sessionId"].clone();
    assert_ne!(other, current(&mut client, &any).await);
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn a_used_session_is_the_current_one_of_its_version_and_of_calls_without_one() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let (any, first, second) = (emulator.target("versioned"), emulator.version("1"), emulator.version("2"));
    let mut client = daemon.connect();
    let of_first = create(&mut client, &first).await;
    let of_second = create(&mut client, &second).await;
    let using = |target: &Value, session: &Value| json!({"target": target, "isolation": acme(), "sessionId": session});
    assert!(client.call("sessions/use", using(&first, &of_first)).await.get("result").is_some());
    assert_eq!(current(&mut client, &any).await, of_first);
    assert_eq!(current(&mut client, &second).await, of_second, "another version's session stays");
    assert!(client.call("sessions/use", using(&any, &of_second)).await.get("result").is_some());
    assert_eq!(current(&mut client, &any).await, of_second);
    assert_eq!(current(&mut client, &first).await, of_first);
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn an_invoke_with_a_version_leaves_the_current_session_of_the_others() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let (any, second) = (emulator.target("versioned"), emulator.version("2"));
    let mut client = daemon.connect();
    let of_any = say(&mut client, &any, acme(), "hello").await["sessionId"].clone();
    let of_second = say(&mut client, &second, acme(), "hello").await["sessionId"].clone();
    assert_eq!(current(&mut client, &any).await, of_any);
    let new = json!({"target": second, "isolation": acme(), "input": "hello", "newSession": true});
    let newer = client.call("invoke", new).await["result"]["sessionId"].clone();
    assert!(newer != of_second && newer != of_any);
    assert_eq!((current(&mut client, &any).await, current(&mut client, &second).await), (of_any.clone(), newer));
    let new = json!({"target": any, "isolation": acme(), "input": "hello", "newSession": true});
    let newest = client.call("invoke", new).await["result"]["sessionId"].clone();
    assert_ne!(newest, of_any);
    assert_eq!(current(&mut client, &any).await, newest);
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn a_session_of_another_version_is_refused_by_every_method_that_names_both() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let (any, second) = (emulator.target("versioned"), emulator.version("2"));
    let mut client = daemon.connect();
    let of_first = create(&mut client, &emulator.version("1")).await;
    let of_second = create(&mut client, &second).await;
    let turns = emulator.turns().len();
    for (method, more) in [
        ("invoke", json!({"input": "hello"})),
        ("invoke", json!({"input": "{}", "protocol": "invocations"})),
        ("sessions/use", json!({})),
        ("sessions/show", json!({})),
        ("sessions/stop", json!({})),
        ("sessions/delete", json!({})),
        ("files/list", json!({})),
        ("files/mkdir", json!({"path": "a"})),
        ("monitor", json!({})),
    ] {
        let mut params = more;
        params["target"] = second.clone();
        params["isolation"] = acme();
        params["sessionId"] = of_first.clone();
        let refused = client.call(method, params).await["error"].clone();
        let message = refused["message"].as_str().unwrap_or_default();
        assert_eq!(refused["data"]["kind"], "invalidParams", "{method}: {refused}");
        assert!(
            message.contains("bound to version 1") && message.contains("version 2 was named"),
            "{method}: {message}"
        );
    }
    assert_eq!(emulator.turns().len(), turns, "the agent was asked");
    assert_eq!(current(&mut client, &second).await, of_second);
    assert_eq!(current(&mut client, &any).await, of_second);
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn a_failed_call_leaves_the_current_session_unless_it_had_created_one() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let any = emulator.target("versioned");
    let mut client = daemon.connect();
    let before = say(&mut client, &any, acme(), "hello").await["sessionId"].clone();
    for (method, params) in [
        ("invoke", json!({"input": "x", "sessionId": "session-that-never-was"})),
        ("sessions/use", json!({"sessionId": "session-that-never-was"})),
        ("files/list", json!({"path": "no/such/path"})),
        ("sessions/create", json!({"sessionId": before})),
    ] {
        let mut params = params;
        params["target"] = any.clone();
        params["isolation"] = acme();
        let refused = client.call(method, params).await;
        assert!(refused.get("error").is_some(), "{method}: {refused}");
        assert_eq!(current(&mut client, &any).await, before, "{method}");
    }
    emulator.fail("*/responses*", 1, refusing());
    let params = json!({"target": any, "isolation": acme(), "input": "x"});
    assert!(client.call("invoke", params).await.get("error").is_some());
    assert_eq!(current(&mut client, &any).await, before);
    // The session that this call creates exists from then on, so it is not lost.
    emulator.fail("*/responses*", 1, refusing());
    let params = json!({"target": any, "isolation": acme(), "input": "x", "newSession": true});
    assert!(client.call("invoke", params).await.get("error").is_some());
    let created = current(&mut client, &any).await;
    assert!(created.is_string() && created != before, "{created}");
    assert_eq!(say(&mut client, &any, acme(), "hello").await["sessionId"], created);
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn a_redeployed_agent_keeps_its_session_until_it_isolates_in_another_way() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let any = emulator.target("versioned");
    let mut client = daemon.connect();
    let before = say(&mut client, &any, acme(), "hello").await["sessionId"].clone();
    emulator.deploy("versioned", "1.0.0").await;
    let after = say(&mut client, &any, acme(), "hello").await["sessionId"].clone();
    assert_eq!(after, before);
    let used = json!({"target": any, "isolation": acme(), "input": "hello", "newSession": true});
    assert_ne!(client.call("invoke", used).await["result"]["sessionId"], before);
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

/// What a person types: azd's two positional arguments of `sessions create`, and its third in the generation with keys.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_create_takes_its_positional_arguments() {
    let (home, mut emulator) = (Home::new(), TestEmulator::start().await);
    emulator.list_in(&home);
    let url = format!("--emulator={}", emulator.target("versioned")["url"].as_str().unwrap());
    let run = async |arguments: &[&str]| {
        let command = home.command(&[arguments, &[&url, "--no-daemon"]].concat());
        tokio::task::spawn_blocking(move || finish(command)).await.unwrap()
    };
    let created = run(&["sessions", "create", "versioned", "1", "sk-acme"]).await;
    assert!(created.status.success(), "{created:?}");
    let asked = emulator.asked("POST", "sessions").pop().unwrap();
    assert_eq!(asked.body["version_indicator"]["agent_version"], "1");
    assert_eq!(asked.header("x-session-isolation-key"), Some("sk-acme"));
    let refused = run(&["sessions", "create", "versioned", "77"]).await;
    assert_eq!(refused.status.code(), Some(4), "{refused:?}");
    let pair = run(&["invoke", "versioned", "hello", "--version", "2", "--session-id", "session-0001"]).await;
    assert_eq!(pair.status.code(), Some(2), "{pair:?}");
    emulator.end().await;
}
