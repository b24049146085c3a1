//! Hints about an agent that is redeployed, and about its versions.

use super::advice;
use crate::files::World;
use crate::support::{PATIENCE, TestDaemon, TestEmulator};
use crate::tenants::say;
use cupola_emulator::faults::Fault;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Long enough to deploy a version meanwhile.
const SLOWLY: Fault = Fault::Latency { milliseconds: 2000 };

/// Waits until the emulator has been asked more often than before.
async fn asked_again(emulator: &TestEmulator, method: &str, path: &str, before: usize) {
    let deadline = Instant::now() + PATIENCE;
    while emulator.asked(method, path).len() <= before {
        assert!(Instant::now() < deadline, "{method} {path} was not asked for");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn an_agent_that_was_deployed_with_another_model_is_asked_again() {
    let mut world = World::start().await;
    world.emulator.deploy("redeployed", "1.0.0").await;
    let target = world.emulator.target("redeployed");
    let list = json!({"target": target, "isolation": {"userKey": "acme"}});
    say(&mut world.client, &target, json!({"userKey": "acme"}), "hello").await;
    world.emulator.deploy("redeployed", "2.0.0").await;
    let given = advice("isolate its users in another way now; run the command");
    let given = given.given_by(&world.client.call("sessions/list", list.clone()).await);
    given.works(&world.client.call("sessions/list", list).await).done();
    world.end().await;
}

/// It is redeployed twice during one call, each time while the call asks how the agent isolates.
#[tokio::test]
async fn an_agent_that_was_redeployed_during_a_call_is_called_again() {
    const DEFINITION: &str = "/api/projects/emulator/agents/versioned?";
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let (target, mut client) = (emulator.target("versioned"), daemon.connect());
    emulator.deploy("versioned", "2.0.0").await;
    let call = |user: &str| json!({"target": target, "isolation": {"userKey": user}, "input": "hello"});
    assert!(client.call("invoke", call("alice")).await["result"].is_object());
    let turns = emulator.turns().len();
    emulator.fail("*/agents/versioned", 2, SLOWLY);
    let before = emulator.asked("GET", DEFINITION).len();
    client.request("invoke", call("bob")).await;
    for (number, protocol) in ["1.0.0", "2.0.0"].iter().enumerate() {
        asked_again(&emulator, "GET", DEFINITION, before + number).await;
        emulator.deploy("versioned", protocol).await;
    }
    let refused = client.next().await;
    emulator.heal();
    let given = advice("run the command again; this one did nothing").given_by(&refused);
    let given = given.helps(emulator.turns().len() == turns);
    given.works(&client.call("invoke", call("bob")).await).done();
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

/// It is redeployed while a turn is on its way, so the turn runs where everyone can see it.
#[tokio::test]
async fn a_session_that_was_not_isolated_is_found_and_deleted() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let (target, mut client) = (emulator.target("versioned"), daemon.connect());
    emulator.deploy("versioned", "2.0.0").await;
    let mine =
        json!({"target": target, "isolation": {"userKey": "alice"}, "protocol": "a2a", "input": "remember the milk"});
    emulator.fail("*/protocols/a2a", 1, SLOWLY);
    client.request("invoke", mine.clone()).await;
    asked_again(&emulator, "POST", "protocols/a2a", 0).await;
    emulator.deploy("versioned", "1.0.0").await;
    let refused = client.next().await;
    let given = advice("the session that answered is not isolated").given_by(&refused);
    let listed = client.call("sessions/list", json!({"target": target})).await;
    let sessions = listed["result"]["data"].as_array().unwrap();
    assert_eq!(sessions.len(), 1, "{listed}");
    let delete = json!({"target": target, "sessionId": sessions[0]["agent_session_id"]});
    let given = given.works(&listed).works(&client.call("sessions/delete", delete).await);
    let left = client.call("sessions/list", json!({"target": target})).await;
    given.helps(left["result"]["data"] == json!([])).works(&client.call("invoke", mine).await).done();
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn a_version_and_a_session_that_do_not_fit_are_told_apart() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let (any, second, mut client) = (emulator.target("versioned"), emulator.version("2"), daemon.connect());
    let of_first = say(&mut client, &emulator.version("1"), json!({}), "hello").await["sessionId"].clone();
    let invoke = |target: &Value, more: Value| {
        let mut params = json!({"target": target, "input": "hello"});
        params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        params
    };
    let given = advice("leave the version out to use the session");
    let given = given.given_by(&client.call("invoke", invoke(&second, json!({"sessionId": of_first}))).await);
    let given = given.works(&client.call("invoke", invoke(&any, json!({"sessionId": of_first}))).await);
    given.works(&client.call("invoke", invoke(&second, json!({}))).await).done();

    // The service lets another version answer than was asked for.
    let headers = BTreeMap::from([("x-agent-version-resolved".to_owned(), "1".to_owned())]);
    let answer =
        Fault::Status { status: 200.try_into().unwrap(), headers: headers.try_into().unwrap(), body: Some(json!({})) };
    emulator.fail("*/protocols/invocations", 1, answer);
    let ask = |more: Value| invoke(&second, more);
    let refused = client.call("invoke", ask(json!({"protocol": "invocations"}))).await;
    let given = advice("shows whether that version is active").given_by(&refused);
    let shown = client.call("agents/show", json!({"target": second})).await;
    let again = client.call("invoke", ask(json!({"protocol": "invocations", "newSession": true}))).await;
    given.works(&shown).works(&again).done();
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}
