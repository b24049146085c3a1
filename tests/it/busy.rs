//! What an `invoke` does when its session is busy (`ifBusy`), and what becomes of its run when the client leaves (`onDisconnect`).

use crate::hints::advice;
use crate::invoke::text_of;
use crate::support::peer::{Bytes, Peer};
use crate::support::{Client, PATIENCE, TestDaemon, TestEmulator};
use crate::tenants::say;
use cupola_emulator::agents::{Busy, Notes};
use cupola_emulator::{AgentSpec, KEYS_OPTIONAL, VersionSpec};
use serde_json::{Value, json};
use std::sync::Arc;

/// Takes longer than a test waits: it ends when it is cancelled or steered.
const LONG: &str = "slow 2000 200";

/// An emulator with the agents `lock` and `steer`.
async fn emulator() -> TestEmulator {
    TestEmulator::with(|options| {
        for (name, busy) in [("lock", Busy::Lock), ("steer", Busy::Steer)] {
            let notes = Arc::new(Notes::default().when_busy(busy));
            options.agents.push(AgentSpec::new(name, vec![VersionSpec::new("1", KEYS_OPTIONAL, notes)]));
        }
    })
    .await
}

/// Begins a call; gives its id.
async fn begin(client: &mut Client, target: &Value, input: &str, if_busy: &str, more: Value) -> u64 {
    let mut params = json!({"target": target, "input": input, "ifBusy": if_busy, "partialResultToken": "t"});
    params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    client.request("invoke", params).await
}

/// Reads up to the first event that is wanted; gives it.
async fn event(client: &mut Client, is_wanted: impl Fn(&Value) -> bool) -> Value {
    loop {
        let message = client.next().await;
        let event = &message["params"]["value"];
        assert!(event.is_object(), "the call ended first: {message}");
        if is_wanted(event) {
            return event.clone();
        }
    }
}

/// Begins a long run and reads up to its first text; gives its id.
async fn occupy(client: &mut Client, target: &Value) -> String {
    begin(client, target, LONG, "queue", json!({})).await;
    event(client, |event| event["type"] == "textDelta").await["runId"].as_str().unwrap().to_owned()
}

/// The rest of a call's events, and its response.
async fn rest(client: &mut Client) -> (Vec<Value>, Value) {
    let mut events = Vec::new();
    loop {
        let message = client.next().await;
        if message.get("method").is_none() {
            return (events, message);
        }
        events.push(message["params"]["value"].clone());
    }
}

fn queued(ahead: u64) -> impl Fn(&Value) -> bool {
    move |event| {
        let said = event["message"].as_str().unwrap_or_default();
        let says =
            if ahead == 1 { !said.contains("ahead") } else { said.contains(&format!("{ahead} calls are ahead")) };
        event["code"] == "queued" && says
    }
}

fn codes(result: &Value) -> Vec<&str> {
    result["notices"].as_array().into_iter().flatten().filter_map(|notice| notice["code"].as_str()).collect()
}

async fn cancel(client: &mut Client, run: &str) {
    let cancelled = client.call("runs/cancel", json!({"runId": run})).await;
    assert_eq!(cancelled["result"]["status"], "cancelled", "{cancelled}");
}

#[tokio::test]
async fn a_call_that_waits_says_how_many_are_ahead_and_hears_when_that_changes() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let target = emulator.target("notes");
    let [mut first, mut second, mut third, mut watcher] = [(); 4].map(|()| daemon.connect());
    say(&mut first, &target, json!({}), "hello").await;
    let run = occupy(&mut first, &target).await;
    begin(&mut second, &target, "second", "queue", json!({})).await;
    event(&mut second, queued(1)).await;
    begin(&mut third, &target, "third", "queue", json!({})).await;
    event(&mut third, queued(2)).await;

    let listed = watcher.call("runs/list", json!({})).await;
    let places: Vec<_> =
        listed["result"]["runs"].as_array().unwrap().iter().map(|run| run["queue"]["ahead"].clone()).collect();
    // The newest first; before these the one that has ended.
    assert_eq!(places[..3], [json!(2), json!(1), Value::Null], "{listed}");
    let waits_for = listed["result"]["runs"][0]["queue"]["waitsFor"].as_str().unwrap();
    assert!(waits_for.starts_with("another call on session "), "{waits_for}");

    cancel(&mut watcher, &run).await;
    let (_, answered) = rest(&mut second).await;
    assert_eq!((&answered["result"]["text"], codes(&answered["result"])), (&json!("echo: second"), vec!["queued"]));
    let (_, answered) = rest(&mut third).await;
    assert_eq!((&answered["result"]["text"], codes(&answered["result"])), (&json!("echo: third"), vec!["queued"]));
    let listed = watcher.call("runs/list", json!({})).await;
    assert!(listed["result"]["runs"].as_array().unwrap().iter().all(|run| run.get("queue").is_none()), "{listed}");
    rest(&mut first).await;
    daemon.end_with([first, second, third, watcher], emulator).await;
}

#[tokio::test]
async fn a_call_that_does_not_wait_is_refused_at_once_and_not_sent() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let target = emulator.target("notes");
    let [mut first, mut second] = [(); 2].map(|()| daemon.connect());
    say(&mut first, &target, json!({}), "hello").await;
    let params = json!({"target": target, "input": "now", "ifBusy": "reject"});
    let free = second.call("invoke", params.clone()).await;
    assert_eq!(free["result"]["text"], "echo: now", "a session that is free is used");

    let run = occupy(&mut first, &target).await;
    let turns = emulator.turns().len();
    let refused = second.call("invoke", params.clone()).await;
    let data = &refused["error"]["data"];
    let says = (&data["kind"], &data["turn"], &data["retryable"]);
    assert_eq!(says, (&json!("busy"), &json!("notRun"), &json!(true)), "{refused}");
    assert_eq!(emulator.turns().len(), turns, "it was sent");
    let elsewhere = json!({"target": target, "input": "elsewhere", "ifBusy": "reject", "newSession": true, "newConversation": true});
    assert_eq!(second.call("invoke", elsewhere).await["result"]["text"], "echo: elsewhere");

    let given = advice("send it again later, or leave --if-busy out").given_by(&refused);
    let listed = second.call("runs/list", json!({})).await;
    let runs = listed["result"]["runs"].as_array().unwrap();
    assert!(runs.iter().any(|shown| shown["runId"] == run.as_str() && shown["status"] == "running"), "{listed}");
    cancel(&mut second, &run).await;
    given.works(&second.call("invoke", params).await).done();
    rest(&mut first).await;
    daemon.end_with([first, second], emulator).await;
}

#[tokio::test]
async fn a_parallel_call_is_sent_beside_the_other_and_later_calls_wait_for_both() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let target = emulator.target("notes");
    let [mut first, mut second, mut third, mut watcher] = [(); 4].map(|()| daemon.connect());
    let told = say(&mut first, &target, json!({}), "hello").await;
    let run = occupy(&mut first, &target).await;
    let beside = second.call("invoke", json!({"target": target, "input": "beside", "ifBusy": "parallel"})).await;
    let result = &beside["result"];
    assert_eq!((&result["text"], codes(result)), (&json!("echo: beside"), vec!["sentWhileBusy"]), "{beside}");
    assert_eq!(result["sessionId"], told["sessionId"]);

    begin(&mut second, &target, LONG, "parallel", json!({})).await;
    let second_run =
        event(&mut second, |event| event["type"] == "textDelta").await["runId"].as_str().unwrap().to_owned();
    begin(&mut third, &target, "third", "queue", json!({})).await;
    event(&mut third, queued(2)).await;
    cancel(&mut watcher, &run).await;
    event(&mut third, queued(1)).await;
    cancel(&mut watcher, &second_run).await;
    assert_eq!(rest(&mut third).await.1["result"]["text"], "echo: third");
    rest(&mut first).await;
    rest(&mut second).await;
    daemon.end_with([first, second, third, watcher], emulator).await;
}

#[tokio::test]
async fn an_agent_that_can_be_steered_ends_the_running_turn_and_continues_with_the_next() {
    let (daemon, emulator) = (TestDaemon::start(), emulator().await);
    let target = emulator.target("steer");
    let [mut first, mut second] = [(); 2].map(|()| daemon.connect());
    say(&mut first, &target, json!({}), "hello").await;
    occupy(&mut first, &target).await;
    begin(&mut second, &target, "rather this", "steer", json!({})).await;
    let (events, steered) = rest(&mut second).await;
    assert_eq!((text_of(&events).as_str(), &steered["result"]["status"]), ("echo: rather this", &json!("completed")));
    assert_eq!(codes(&steered["result"]), ["sentWhileBusy"]);
    let (events, ended) = rest(&mut first).await;
    assert_eq!(ended["result"]["status"], "completed", "the first turn ends early, as completed");
    assert!(events.len() < 200, "it was not steered");
    let turns = emulator.turns();
    let sent = &turns.last().unwrap().body;
    assert_eq!((turns.len(), &sent["background"], &sent["store"]), (3, &json!(true), &json!(true)));

    // Nothing is running: an ordinary turn.
    begin(&mut second, &target, "again", "steer", json!({})).await;
    let (_, again) = rest(&mut second).await;
    assert_eq!((&again["result"]["text"], codes(&again["result"]).len()), (&json!("echo: again"), 0), "{again}");
    // A dialogue cannot be steered.
    let params = json!({"target": target, "input": "x", "ifBusy": "steer", "protocol": "invocationsWs"});
    let refused = second.call("invoke", params.clone()).await;
    assert_eq!(refused["error"]["data"]["kind"], "invalidParams");
    let mut waits = params;
    waits.as_object_mut().unwrap().remove("ifBusy");
    waits["input"] = json!("bye");
    let given = advice("leave ifBusy (--if-busy) out to wait").given_by(&refused);
    given.works(&second.call("invoke", waits).await).done();
    daemon.end_with([first, second], emulator).await;
}

#[tokio::test]
async fn a_turn_that_the_agent_answers_with_queued_is_followed_to_its_end() {
    let id = "caresp_cc1d30c6955d58da00ySXSFi2Onrm8BVPQi1fO5Y0LaE9vYrOA";
    let daemon = TestDaemon::start();
    let mut client = daemon.connect();
    let peer = Peer::start(move |head, _| {
        if head.starts_with("POST") {
            return Bytes::json(
                &json!({"id": id, "object": "response", "status": "queued", "model": "m", "output": []}),
            );
        }
        if head.contains("stream=true") {
            let body = json!({"error": {"code": "invalid_request_error", "message": "not created with stream=true"}});
            let Bytes { first, then } = Bytes::json(&body);
            return Bytes { first: first.replace("200 OK", "400 Bad Request"), then };
        }
        let content = json!([{"type": "output_text", "text": "second turn"}]);
        Bytes::json(&json!({"id": id, "status": "completed", "output": [{"type": "message", "content": content}]}))
    })
    .await;
    let target = json!({"kind": "local", "port": peer.address.port()});
    let params = json!({"target": target, "input": "x", "protocol": "responses", "ifBusy": "steer"});
    let answered = client.call("invoke", params).await;
    let result = &answered["result"];
    assert_eq!(
        (&result["status"], &result["text"], &result["responseId"]),
        (&json!("completed"), &json!("second turn"), &json!(id)),
        "{answered}"
    );
    client.leave().await;
    daemon.end().await;
}

#[tokio::test]
async fn an_agent_that_locks_its_conversations_is_understood() {
    let (daemon, emulator) = (TestDaemon::start(), emulator().await);
    let target = emulator.target("lock");
    let [mut first, mut second] = [(); 2].map(|()| daemon.connect());
    say(&mut first, &target, json!({}), "hello").await;
    let run = occupy(&mut first, &target).await;
    let turns = emulator.turns().len();
    for if_busy in ["parallel", "steer"] {
        let refused = second.call("invoke", json!({"target": target, "input": "x", "ifBusy": if_busy})).await;
        let failure = &refused["result"]["failure"];
        // A stream that breaks off before its first event does not prove that nothing ran.
        assert_eq!(
            (&failure["kind"], &failure["turn"]),
            (&json!("conversationLocked"), &json!("mayHaveRun")),
            "{refused}"
        );
        assert!(failure["message"].as_str().unwrap().contains("another turn is running"), "{refused}");
    }
    assert_eq!(emulator.turns().len(), turns + 2, "a turn was sent again");
    cancel(&mut second, &run).await;
    let (_, cancelled) = rest(&mut first).await;
    assert_eq!(cancelled["result"]["status"], "cancelled", "{cancelled}");
    // The agent notices between two words that its reader is gone.
    let free = async {
        while second.call("invoke", json!({"target": target, "input": "x"})).await["result"]["status"] != "completed" {}
    };
    tokio::time::timeout(PATIENCE, free).await.unwrap();
    daemon.end_with([first, second], emulator).await;
}

#[tokio::test]
async fn a_message_that_a_running_invocation_takes_in_is_answered_with_a_notice() {
    let (daemon, emulator) = (TestDaemon::start(), emulator().await);
    let target = emulator.target("steer");
    let [mut first, mut second] = [(); 2].map(|()| daemon.connect());
    let with = json!({"protocol": "invocations"});
    let job = r#"{"mode":"lro","seconds":3600}"#;
    begin(&mut first, &target, job, "queue", with.clone()).await;
    let started = event(&mut first, |event| event["type"] == "started").await;
    begin(&mut second, &target, "one more thing", "steer", with).await;
    let (_, answered) = rest(&mut second).await;
    let result = &answered["result"];
    assert_eq!(
        (&result["status"], codes(result)),
        (&json!("completed"), vec!["sentWhileBusy", "delivered"]),
        "{answered}"
    );
    cancel(&mut second, started["runId"].as_str().unwrap()).await;
    rest(&mut first).await;
    daemon.end_with([first, second], emulator).await;
}

#[tokio::test]
async fn a_run_is_cancelled_or_kept_when_its_client_leaves_as_the_caller_chose() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let target = emulator.target("notes");
    let mut watcher = daemon.connect();
    say(&mut watcher, &target, json!({}), "hello").await;
    for (more, status) in [
        (json!({}), "cancelled"),
        (json!({"onDisconnect": "cancel"}), "cancelled"),
        (json!({"onDisconnect": "keep"}), "completed"),
    ] {
        let mut client = daemon.connect();
        begin(&mut client, &target, "slow 30 30", "queue", more.clone()).await;
        let run = event(&mut client, |event| event["type"] == "textDelta").await["runId"].clone();
        drop(client);
        let ended = async {
            loop {
                let shown = watcher.call("runs/show", json!({"runId": run})).await;
                if shown["result"]["status"] != "running" {
                    return shown["result"].clone();
                }
            }
        };
        let shown = tokio::time::timeout(PATIENCE, ended).await.unwrap();
        assert_eq!((&shown["status"], shown.get("survives")), (&json!(status), None), "{more}: {shown}");
        if status == "completed" {
            let answer = watcher.call("runs/attach", json!({"runId": run})).await;
            assert_eq!(answer["result"]["text"].as_str().unwrap().split_whitespace().count(), 30, "{answer}");
        }
    }
    let params = json!({"target": target, "input": "x", "detach": true, "onDisconnect": "cancel"});
    let refused = watcher.call("invoke", params).await;
    assert_eq!(refused["error"]["data"]["kind"], "invalidParams", "{refused}");
    assert!(refused["error"]["message"].as_str().unwrap().contains("onDisconnect"), "{refused}");
    watcher.leave().await;
    daemon.end().await;
    emulator.end().await;
}
