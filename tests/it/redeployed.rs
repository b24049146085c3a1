//! An agent that is redeployed under its name and isolates its users in another way from then on: a call goes out in the old way
//! within the window that `docs/isolation.md` states at most, and no user's notes reach another user.

use crate::support::{TestDaemon, TestEmulator};
use crate::tenants::say;
use cupola::foundry::CONFIRMED_FOR;
use cupola_emulator::faults::Fault;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const AGENT: &str = "versioned";

/// The two container protocols, and the model of isolation that each of them has.
const DIRECTIONS: [[(&str, &str); 2]; 2] =
    [[("1.0.0", "keys"), ("2.0.0", "identity")], [("2.0.0", "identity"), ("1.0.0", "keys")]];

/// Advances the daemon's clock.
async fn wait(seconds: u64) {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(seconds)).await;
    tokio::time::resume();
}

fn user(name: &str) -> Value {
    json!({"userKey": name})
}

#[tokio::test]
async fn a_call_after_a_redeployment_goes_out_as_the_agent_isolates_now() {
    for [(old, old_model), (new, new_model)] in DIRECTIONS {
        for seconds in [0, 4, 6, 60] {
            let case = format!("{old} to {new}, {seconds} s after it");
            let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
            let (target, mut client) = (emulator.target(AGENT), daemon.connect());
            emulator.deploy(AGENT, old).await;
            let before = say(&mut client, &target, user("alice"), "remember alice-first").await;
            say(&mut client, &target, user("bob"), "remember bob-first").await;
            assert_eq!(before["isolationModel"], old_model, "{case}");
            emulator.deploy(AGENT, new).await;
            wait(seconds).await;

            let after = say(&mut client, &target, user("alice"), "remember alice-second").await;
            if after["isolationModel"] == old_model {
                assert!(Duration::from_secs(seconds) < CONFIRMED_FOR, "{case}: {after}");
                assert_eq!(after["sessionId"], before["sessionId"], "{case}: only her own session may be continued");
            }
            // A call that makes a session does not rely on what was known.
            for name in ["carol", "dave"] {
                let first = say(&mut client, &target, user(name), &format!("remember {name}-first")).await;
                assert_eq!(first["isolationModel"], new_model, "{case}: {name}");
                let header = if new_model == "keys" { "x-agent-user-isolation-key" } else { "x-ms-user-identity" };
                assert_eq!(emulator.turns().last().unwrap().header(header), Some(name), "{case}");
            }
            for isolation in [json!({}), user("mallory")] {
                let told = say(&mut client, &target, isolation, "what do you remember?").await["text"].clone();
                assert!(!told.as_str().unwrap().contains("-first"), "{case}: {told}");
                assert!(!told.as_str().unwrap().contains("-second"), "{case}: {told}");
            }
            client.leave().await;
            daemon.end().await;
            emulator.end().await;
        }
    }
}

#[tokio::test]
async fn every_call_that_makes_something_asks_first() {
    for [(old, _), (new, new_model)] in DIRECTIONS {
        let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
        let (target, mut client) = (emulator.target(AGENT), daemon.connect());
        let header = if new_model == "keys" { "x-agent-user-isolation-key" } else { "x-ms-user-identity" };
        for (number, (method, more, path)) in [
            ("sessions/create", json!({}), "sessions"),
            ("invoke", json!({"input": "hello", "newSession": true}), "sessions"),
            ("invoke", json!({"input": "hello", "newConversation": true}), "protocols/openai/conversations"),
            ("invoke", json!({"input": "hello", "protocol": "a2a"}), "protocols/a2a"),
        ]
        .into_iter()
        .enumerate()
        {
            emulator.deploy(AGENT, old).await;
            // The definition is known, and only just.
            say(&mut client, &target, user("alice"), "hello").await;
            emulator.deploy(AGENT, new).await;
            let name = format!("user-{number}");
            let mut params = more;
            params["target"] = target.clone();
            params["isolation"] = user(&name);
            let answer = client.call(method, params.clone()).await;
            assert!(answer.get("result").is_some(), "{old} to {new}: {method} {params}: {answer}");
            let asked = emulator.asked("POST", path).pop().unwrap();
            assert_eq!(asked.header(header), Some(name.as_str()), "{old} to {new}: {method} {params}");
        }
        client.leave().await;
        daemon.end().await;
        emulator.end().await;
    }
}

/// The agent is redeployed while a first turn is on its way, after its way to isolate was confirmed. A turn that was answered has
/// run; after a handshake, nothing has been said yet.
#[tokio::test]
async fn an_answer_from_a_version_that_isolates_in_another_way_ends_the_call() {
    for (protocol, method, path, turn) in [
        ("a2a", "POST", "protocols/a2a", "ran"),
        ("invocations", "POST", "protocols/invocations", "ran"),
        ("invocationsWs", "GET", "protocols/invocations_ws", "notRun"),
    ] {
        let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
        let (target, mut client) = (emulator.target(AGENT), daemon.connect());
        emulator.deploy(AGENT, "2.0.0").await;
        let warm = json!({"target": target, "isolation": user("alice"), "protocol": protocol, "input": "hello"});
        emulator.fail(&format!("*/{path}"), 1, Fault::Latency { milliseconds: 2000 });
        client.request("invoke", warm.clone()).await;
        let deadline = Instant::now() + Duration::from_secs(20);
        while emulator.asked(method, path).is_empty() {
            assert!(Instant::now() < deadline, "{protocol}: the turn was not sent");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        emulator.deploy(AGENT, "1.0.0").await;
        let ended = client.next().await["error"].clone();
        assert_eq!(ended["data"]["kind"], "isolationMismatch", "{protocol}: {ended}");
        assert_eq!((&ended["data"]["turn"], &ended["data"]["retryable"]), (&json!(turn), &json!(false)), "{ended}");
        assert!(ended["message"].as_str().unwrap().contains("isolates its users in another way"), "{ended}");
        // Cupola does not know that session: neither in the old way nor in the new one.
        for model in ["identity", "keys"] {
            let isolation = json!({"userKey": "alice", "model": model});
            let shown = client.call("sessions/show", json!({"target": target, "isolation": isolation})).await;
            assert_eq!(shown["error"]["data"]["kind"], "sessionNotFound", "{protocol}, {model}: {shown}");
        }
        let again = client.call("invoke", warm).await["result"].clone();
        assert_eq!(again["isolationModel"], "keys", "{protocol}: {again}");
        client.leave().await;
        daemon.end().await;
        emulator.end().await;
    }
}

/// A session stays at its version, so an answer of that version is expected.
#[tokio::test]
async fn an_answer_from_another_version_that_isolates_alike_is_fine() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let (target, mut client) = (emulator.target(AGENT), daemon.connect());
    let before = say(&mut client, &target, user("alice"), "remember the milk").await;
    emulator.deploy(AGENT, "1.0.0").await;
    wait(60).await;
    let after = say(&mut client, &target, user("alice"), "what do you remember?").await;
    assert_eq!(after["sessionId"], before["sessionId"]);
    assert!(after["text"].as_str().unwrap().contains("milk"), "{after}");
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}
