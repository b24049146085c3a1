//! Which version of an agent answers: it is said, and a single call can ask for another one.

use crate::bind::bound;
use crate::hints::advice;
use crate::invoke::stream;
use crate::support::{Client, TestDaemon, TestEmulator};
use crate::tenants::say;
use cupola_emulator::faults::Fault;
use serde_json::{Value, json};

const AGENT: &str = "versioned";

async fn invoke(client: &mut Client, target: &Value, more: Value) -> Value {
    let mut params = json!({"target": target, "isolation": {"userKey": "acme"}, "input": "hello"});
    params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    client.call("invoke", params).await
}

/// What is saved of all partitions.
async fn saved(client: &mut Client) -> Value {
    client.call("partitions/list", json!({})).await["result"]["partitions"].clone()
}

#[tokio::test]
async fn the_version_that_answers_is_in_the_run() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let (target, mut client) = (emulator.target(AGENT), daemon.connect());
    // A session of version 3, which another one has replaced since.
    let first = json!({"target": target, "isolation": {"userKey": "acme"}, "input": "hello"});
    let (events, before) = stream(&mut client, first.clone()).await;
    assert_eq!((&events[0]["agentVersion"], &events[0]["selectedVersion"]), (&json!("3"), &Value::Null), "{events:?}");
    emulator.deploy(AGENT, "1.0.0").await;
    client.call("agents/show", json!({"target": target})).await;
    let other = json!({"target": target, "isolation": {"userKey": "other"}, "input": "hello"});
    assert_eq!(stream(&mut client, other).await.0[0]["agentVersion"], "4");

    let (events, after) = stream(&mut client, first).await;
    assert_eq!(after["result"]["sessionId"], before["result"]["sessionId"]);
    assert_eq!((&events[0]["agentVersion"], &events[0]["selectedVersion"]), (&json!("3"), &json!("4")), "{events:?}");
    assert_eq!(after["result"]["agentVersion"], "3", "{after}");
    let shown = client.call("runs/show", json!({"runId": after["result"]["runId"]})).await["result"].clone();
    assert_eq!(shown["agentVersion"], "3", "{shown}");
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn a_call_that_overrides_the_version_runs_on_it_and_leaves_nothing_behind() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let (target, mut client) = (emulator.target(AGENT), daemon.connect());
    let before = say(&mut client, &target, json!({"userKey": "acme"}), "remember the milk").await;
    let of_first = emulator.version("1");
    say(&mut client, &of_first, json!({"userKey": "acme"}), "remember the bread").await;
    let all = saved(&mut client).await;
    for (version, answers) in [("1", "1"), ("latest", "3")] {
        for protocol in ["responses", "invocations", "invocationsWs"] {
            let more = json!({"versionOverride": version, "protocol": protocol, "input": "what do you remember?", "idleTimeoutMs": 300});
            let overridden = invoke(&mut client, &target, more).await["result"].clone();
            let case = format!("{version} {protocol}: {overridden}");
            assert_eq!(
                (&overridden["agentVersion"], &overridden["status"]),
                (&json!(answers), &json!("completed")),
                "{case}"
            );
            assert_ne!(overridden["sessionId"], before["sessionId"], "{case}");
            assert!(!overridden["text"].as_str().unwrap().contains("milk"), "{case}");
            assert!(!overridden["text"].as_str().unwrap().contains("bread"), "{case}");
            if protocol == "responses" {
                assert_ne!(overridden["conversationId"], before["conversationId"], "{case}");
            }
            assert_eq!(saved(&mut client).await, all, "{case}");
        }
    }
    let asked = emulator.asked("GET", "protocols/invocations_ws").pop().unwrap();
    assert!(asked.path.contains("x-agent-version-override=3"), "{}", asked.path);
    let after = say(&mut client, &target, json!({"userKey": "acme"}), "what do you remember?").await;
    assert!(after["text"].as_str().unwrap().contains("milk"), "{after}");
    let of_first = say(&mut client, &of_first, json!({"userKey": "acme"}), "what do you remember?").await;
    assert!(of_first["text"].as_str().unwrap().contains("bread"), "{of_first}");
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

/// Where the agent cannot be read, nothing but the answer says that the service has used another version.
#[tokio::test]
async fn an_answer_of_another_version_than_the_call_overrides_to_fails_it() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let (target, mut client) = (emulator.target(AGENT), daemon.connect());
    let forbidden = Fault::Status {
        status: 403.try_into().unwrap(),
        headers: std::collections::BTreeMap::new().try_into().unwrap(),
        body: Some(json!({"error": {}})),
    };
    for path in ["*/agents/versioned", "*/agents/versioned/versions*"] {
        emulator.fail(path, 1000, forbidden.clone());
    }
    for protocol in ["responses", "invocations", "invocationsWs"] {
        let more = json!({"versionOverride": "9", "protocol": protocol, "input": "remember the milk"});
        let answer = invoke(&mut client, &target, more).await;
        let refused = answer["error"].clone();
        assert_eq!(refused["data"]["kind"], "versionMismatch", "{protocol}: {refused}");
        assert_eq!(refused["message"], "version 9 was asked for, but version 3 answered", "{protocol}");
        let turn = if protocol == "invocationsWs" { "notRun" } else { "ran" };
        assert_eq!((&refused["data"]["turn"], &refused["data"]["retryable"]), (&json!(turn), &json!(false)));
        let given = advice("deletes the session that this call made").given_by(&answer);
        let hint = refused["data"]["hint"].as_str().unwrap();
        let session = hint.split_once("sessions delete ").unwrap().1.split('`').next().unwrap();
        let delete = json!({"target": target, "isolation": {"userKey": "acme"}, "sessionId": session});
        given.works(&client.call("sessions/delete", delete).await).done();
    }
    assert_eq!(saved(&mut client).await, json!([]));
    // The latest is what the service says it is.
    let latest = invoke(&mut client, &target, json!({"versionOverride": "latest"})).await;
    assert_eq!(latest["result"]["agentVersion"], "3", "{latest}");
    emulator.heal();
    // Where it can be read, nothing is sent.
    let turns = emulator.turns().len();
    let refused = invoke(&mut client, &target, json!({"versionOverride": "8"})).await;
    assert_eq!(refused["error"]["data"]["kind"], "agentNotFound", "{refused}");
    assert_eq!((&refused["error"]["data"]["turn"], emulator.turns().len()), (&json!("notRun"), turns), "{refused}");
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn a_connection_that_is_bound_cannot_choose_another_version() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    for target in [emulator.target(AGENT), emulator.version("2")] {
        let mut client = bound(&daemon, json!({"target": target, "isolation": {"userKey": "acme"}})).await;
        let refused = client.call("invoke", json!({"input": "hello", "versionOverride": "1"})).await;
        assert_eq!(refused["error"]["data"]["kind"], "outOfBounds", "{refused}");
        client.leave().await;
    }
    daemon.end().await;
    emulator.end().await;
}
