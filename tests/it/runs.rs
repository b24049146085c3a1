//! Runs: several clients on one, clients that come late, leave, are killed, and who ends it.

use crate::hints::advice;
use crate::invoke::{check_events, text_of};
use crate::support::{Client, Home, TestDaemon, TestEmulator, finish};
use crate::tenants::say;
use cupola::rpc::client::{CLIENT_STALL, STALLED_GRACE};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::Stdio;

/// Takes about five seconds if it is not cancelled.
const LONG: &str = "slow 100 50";

/// Begins a run and reads up to its first text; gives the request's id and the run's.
async fn begin(client: &mut Client, target: &Value, input: &str, more: Value) -> (u64, String) {
    let mut params = json!({"target": target, "input": input, "partialResultToken": "t"});
    params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let id = client.request("invoke", params).await;
    loop {
        let event = client.next().await["params"]["value"].clone();
        if event["type"] == "textDelta" {
            return (id, event["runId"].as_str().unwrap().to_owned());
        }
    }
}

/// Begins to follow a run.
async fn attach(client: &mut Client, run: &str, more: Value) -> u64 {
    let mut params = json!({"runId": run, "partialResultToken": "t"});
    params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    client.request("runs/attach", params).await
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

async fn info(client: &mut Client, run: &str) -> Value {
    let shown = client.call("runs/show", json!({"runId": run})).await;
    assert!(shown["result"].is_object(), "{shown}");
    shown["result"].clone()
}

/// Waits until a run is as it should be.
async fn until(client: &mut Client, run: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let patience = tokio::time::timeout(std::time::Duration::from_secs(20), async {
        loop {
            let info = info(client, run).await;
            if wanted(&info) {
                return info;
            }
            tokio::task::yield_now().await;
        }
    });
    patience.await.expect("the run did not get there")
}

#[tokio::test]
async fn a_follower_gets_every_event_once_and_the_answer() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let target = emulator.target("notes");
    let (mut first, mut second, mut third, mut quiet) =
        (daemon.connect(), daemon.connect_lsp(), daemon.connect(), daemon.connect());
    let (id, run) = begin(&mut first, &target, "slow 12 20", json!({})).await;
    attach(&mut second, &run, json!({})).await;
    attach(&mut third, &run, json!({"after": 2, "textOnly": true})).await;
    quiet.request("runs/attach", json!({"runId": run})).await;

    let (events, whole) = rest(&mut first).await;
    assert_eq!((&whole["id"], events.last().unwrap()["type"].as_str()), (&json!(id), Some("completed")));
    let (events, response) = rest(&mut second).await;
    check_events(&events);
    assert_eq!(response["result"], whole["result"]);
    assert_eq!(text_of(&events), whole["result"]["text"].as_str().unwrap());
    let (events, response) = rest(&mut third).await;
    assert_eq!(response["result"], whole["result"]);
    assert!(events.iter().all(|event| event["number"].as_u64() > Some(2) && event["type"] != "output"), "{events:?}");
    assert_eq!(text_of(&events), whole["result"]["text"].as_str().unwrap());
    let (events, response) = rest(&mut quiet).await;
    assert_eq!(
        (events.len(), &response["result"]),
        (0, &whole["result"]),
        "without a token there is just the response"
    );

    // After the end it is all still there.
    attach(&mut quiet, &run, json!({})).await;
    let (events, response) = rest(&mut quiet).await;
    check_events(&events);
    assert_eq!(response["result"], whole["result"]);
    let shown = info(&mut quiet, &run).await;
    assert_eq!(
        (&shown["status"], &shown["clients"], &shown["detached"]),
        (&json!("completed"), &json!(0), &json!(false))
    );
    assert_eq!((&shown["lastEvent"], &shown["sessionId"]), (&json!(events.len()), &whole["result"]["sessionId"]));
    assert!(shown["endedAt"].as_str() >= shown["startedAt"].as_str(), "{shown}");
    assert_eq!(emulator.turns().len(), 1);
    daemon.end_with([first, second, third, quiet], emulator).await;
}

#[tokio::test]
async fn what_the_ring_lost_comes_as_a_gap_and_a_snapshot() {
    let daemon = TestDaemon::configured(|config| config.runs.ring.entries = 3);
    let emulator = TestEmulator::start().await;
    let (mut first, mut second) = (daemon.connect(), daemon.connect());
    let target = emulator.target("notes");
    let (_, run) = begin(&mut first, &target, "stream alpha beta gamma delta", json!({})).await;
    let (_, whole) = rest(&mut first).await;
    for after in [0, 1] {
        attach(&mut second, &run, json!({"after": after})).await;
        let (events, response) = rest(&mut second).await;
        let types: Vec<_> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
        assert_eq!((&types[..2], types.len()), (&["gap", "snapshot"][..], 5), "{types:?}");
        assert_eq!(events[0]["after"], after);
        let numbers: Vec<_> = events.iter().map(|event| event["number"].as_u64().unwrap()).collect();
        assert_eq!(numbers[1..].windows(2).map(|pair| pair[1] - pair[0]).collect::<Vec<_>>(), [1; 3], "{numbers:?}");
        let text = events[1]["text"].as_str().unwrap().to_owned() + &text_of(&events[2..]);
        assert_eq!(text, whole["result"]["text"].as_str().unwrap());
        assert_eq!(response["result"], whole["result"]);
    }
    first.leave().await;
    second.leave().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn one_that_does_not_read_does_not_delay_others() {
    let daemon = TestDaemon::configured(|config| config.runs.ring.entries = 16);
    let emulator = TestEmulator::start().await;
    let (mut stalled, mut reading) = (daemon.connect(), daemon.connect());
    let words = "word ".repeat(3000);
    let (_, run) = begin(&mut stalled, &emulator.target("notes"), &format!("stream {words}"), json!({})).await;
    // More than an outbox, a socket's buffer and the ring can hold goes past the one that reads.
    attach(&mut reading, &run, json!({"textOnly": true})).await;
    let (events, response) = rest(&mut reading).await;
    assert_eq!(response["result"]["status"], "completed");
    assert_eq!(response["result"]["text"].as_str().unwrap().trim(), words.trim());
    assert_eq!(events.last().unwrap()["type"], "completed");
    let (events, late) = rest(&mut stalled).await;
    assert_eq!(late["result"]["text"], response["result"]["text"]);
    assert_eq!(events.last().unwrap()["type"], "completed");
    assert!(events.iter().any(|event| event["type"] == "gap"), "it lost nothing: the ring was not tried");
    stalled.leave().await;
    reading.leave().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn a_client_that_took_nothing_is_told_how_far_it_got_and_continues_there() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let (mut stalled, mut other) = (daemon.connect(), daemon.connect());
    let words = "word ".repeat(3000);
    let input = format!("stream {words}");
    let (_, run) = begin(&mut stalled, &emulator.target("notes"), &input, json!({"detach": true})).await;
    // It has ended for one that reads, while the other one's outbox is full.
    attach(&mut other, &run, json!({"textOnly": true})).await;
    let (all, response) = rest(&mut other).await;
    assert_eq!(response["result"]["status"], "completed");
    tokio::time::pause();
    tokio::time::sleep(CLIENT_STALL + STALLED_GRACE / 2).await;
    tokio::time::resume();
    let mut got = Vec::new();
    let farewell = loop {
        let message = stalled.next().await;
        if message["error"].is_object() {
            break message;
        }
        got.push(message["params"]["value"].clone());
    };
    assert_eq!(farewell["error"]["data"]["kind"], "clientStalled", "{farewell}");
    let last = &farewell["error"]["data"]["lastEvents"][0];
    let number = got.last().unwrap()["number"].clone();
    assert_eq!((&last["runId"], &last["number"]), (&json!(run), &number));
    assert!(number.as_u64() < all.last().unwrap()["number"].as_u64(), "it got everything: nothing was tried");
    stalled.closed().await;
    let given = advice("connect again; `runs/attach` with the run and `after`").given_by(&farewell);
    let mut again = daemon.connect();
    attach(&mut again, &run, json!({"textOnly": true, "after": number})).await;
    let (later, answer) = rest(&mut again).await;
    given.works(&answer).done();
    assert_eq!(answer["result"], response["result"]);
    assert_eq!(later.last(), all.last());
    again.leave().await;
    other.leave().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn a_run_lives_as_long_as_anyone_follows_it() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let target = emulator.target("notes");
    let (mut first, mut second, mut watcher) = (daemon.connect(), daemon.connect(), daemon.connect());
    let (_, run) = begin(&mut first, &target, LONG, json!({})).await;
    let attached = attach(&mut second, &run, json!({})).await;
    until(&mut watcher, &run, |info| info["clients"] == 2).await;
    drop(first);
    until(&mut watcher, &run, |info| info["clients"] == 1).await;
    assert_eq!(info(&mut watcher, &run).await["status"], "running");
    // Cancelling the attach only detaches; as it was the last one, the run ends.
    second.send(json!({"method": "$/cancelRequest", "params": {"id": attached}})).await;
    let (_, response) = rest(&mut second).await;
    assert_eq!((&response["id"], &response["error"]["code"]), (&json!(attached), &json!(-32800)), "{response}");
    let ended = until(&mut watcher, &run, |info| info["status"] != "running").await;
    assert_eq!(ended["status"], "cancelled");
    attach(&mut second, &run, json!({})).await;
    let (events, response) = rest(&mut second).await;
    check_events(&events);
    assert_eq!((&response["result"]["status"], &response["result"]["runId"]), (&json!("cancelled"), &json!(run)));
    // The session is free for the next turn.
    say(&mut watcher, &target, json!({}), "hello").await;
    second.leave().await;
    watcher.leave().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn a_detached_run_outlives_all_clients() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let target = emulator.target("notes");
    let (mut first, mut second) = (daemon.connect(), daemon.connect());
    let (_, run) = begin(&mut first, &target, "slow 20 20", json!({"detach": true})).await;
    drop(first);
    let shown = until(&mut second, &run, |info| info["clients"] == 0).await;
    assert_eq!((&shown["status"], &shown["detached"]), (&json!("running"), &json!(true)));
    let attached = attach(&mut second, &run, json!({})).await;
    second.send(json!({"method": "$/cancelRequest", "params": {"id": attached}})).await;
    rest(&mut second).await;
    second.leave().await;
    daemon.idle().await;

    let mut third = daemon.connect();
    attach(&mut third, &run, json!({})).await;
    let (events, response) = rest(&mut third).await;
    check_events(&events);
    assert_eq!(response["result"]["status"], "completed");
    third.leave().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn anyone_can_cancel_and_everyone_gets_the_ending_once() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let target = emulator.target("notes");
    let (mut first, mut second, mut third) = (daemon.connect(), daemon.connect(), daemon.connect());
    let (_, run) = begin(&mut first, &target, LONG, json!({"detach": true})).await;
    attach(&mut second, &run, json!({})).await;
    let cancelled = third.call("runs/cancel", json!({"runId": run})).await;
    assert_eq!(cancelled["result"]["status"], "cancelled", "{cancelled}");
    for client in [&mut first, &mut second] {
        let (events, response) = rest(client).await;
        assert_eq!(events.iter().filter(|event| event["type"] == "cancelled").count(), 1);
        assert_eq!(events.last().unwrap()["type"], "cancelled");
        assert_eq!(response["result"]["status"], "cancelled", "{response}");
    }
    let again = third.call("runs/cancel", json!({"runId": run})).await;
    assert_eq!(
        again["result"],
        cancelled["result"]
            .as_object()
            .map(|first| {
                let mut same = first.clone();
                same.insert("clients".to_owned(), json!(0));
                Value::Object(same)
            })
            .unwrap()
    );
    daemon.end_with([first, second, third], emulator).await;
}

#[tokio::test]
async fn cancelling_tells_the_agent_when_an_invocation_runs_by_itself() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let (mut first, mut second) = (daemon.connect(), daemon.connect());
    let params = json!({"target": emulator.target("notes"), "protocol": "invocations",
        "input": r#"{"mode":"lro","seconds":60}"#, "partialResultToken": "t"});
    first.request("invoke", params).await;
    let run = first.next().await["params"]["value"]["runId"].as_str().unwrap().to_owned();
    assert_eq!(second.call("runs/cancel", json!({"runId": run})).await["result"]["status"], "cancelled");
    assert_eq!(rest(&mut first).await.1["result"]["status"], "cancelled");
    assert_eq!(emulator.requests().iter().filter(|request| request.path.contains("/cancel")).count(), 1);
    first.leave().await;
    second.leave().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn an_invokes_own_cancel_ends_the_run_for_all() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let (mut first, mut second) = (daemon.connect(), daemon.connect());
    let (id, run) = begin(&mut first, &emulator.target("notes"), LONG, json!({"detach": true})).await;
    attach(&mut second, &run, json!({})).await;
    first.send(json!({"method": "$/cancelRequest", "params": {"id": id}})).await;
    let (events, response) = rest(&mut first).await;
    assert_eq!(events.last().unwrap()["type"], "cancelled");
    assert_eq!((&response["error"]["code"], &response["error"]["data"]["runId"]), (&json!(-32800), &json!(run)));
    assert_eq!(rest(&mut second).await.1["result"]["status"], "cancelled");
    first.leave().await;
    second.leave().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn a_time_limit_is_an_ending_for_all() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let mut client = daemon.connect();
    let (_, run) = begin(&mut client, &emulator.target("notes"), LONG, json!({"timeoutMs": 700})).await;
    let (events, response) = rest(&mut client).await;
    assert_eq!(events.last().unwrap()["failure"]["kind"], "timedOut", "{events:?}");
    assert_eq!(response["error"]["data"]["kind"], "timedOut");
    attach(&mut client, &run, json!({})).await;
    let (events, late) = rest(&mut client).await;
    check_events(&events);
    assert_eq!(late["error"], response["error"]);
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn a_list_of_a_place_has_the_runs_and_partitions_of_all_its_agents() {
    let (daemon, emulator, elsewhere) = (TestDaemon::start(), TestEmulator::start().await, TestEmulator::start().await);
    let mut client = daemon.connect();
    let (target, beside, far) = (emulator.target("notes"), emulator.target("versioned"), elsewhere.target("notes"));
    for place in [&target, &beside, &far] {
        say(&mut client, place, json!({}), "hello").await;
    }
    for (method, list) in [("runs/list", "runs"), ("partitions/list", "partitions")] {
        let mut agents = async |params: Value| {
            let listed = client.call(method, params).await;
            let listed = listed["result"][list].as_array().unwrap_or_else(|| panic!("{listed}")).clone();
            let mut agents: Vec<_> = listed.iter().map(|one| one["agent"].as_str().unwrap().to_owned()).collect();
            agents.sort();
            agents
        };
        let all = agents(json!({})).await;
        assert_eq!(all.len(), 3, "{all:?}");
        let of_place = agents(json!({"target": target, "anyAgent": true})).await;
        let names: Vec<_> = of_place.iter().map(|agent| agent.rsplit('/').next().unwrap()).collect();
        assert_eq!(names, ["notes", "versioned"], "{method}");
        // Whichever agent of the place is named.
        assert_eq!(agents(json!({"target": beside, "anyAgent": true})).await, of_place, "{method}");
        assert_eq!(agents(json!({"target": beside})).await, of_place[1..], "{method}");
        assert_eq!(agents(json!({"target": far, "anyAgent": true})).await.len(), 1, "{method}");
        for (params, said) in [
            (json!({"anyAgent": true}), "needs a target"),
            (json!({"anyAgent": true, "target": target, "isolation": {}}), "cannot be combined with isolation"),
        ] {
            let refused = client.call(method, params).await;
            assert_eq!(refused["error"]["data"]["kind"], "invalidParams", "{refused}");
            assert!(refused["error"]["message"].as_str().unwrap().contains(said), "{refused}");
        }
    }
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
    elsewhere.end().await;
}

#[tokio::test]
async fn runs_are_listed_newest_first_by_agent_and_isolation() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let target = emulator.target("notes");
    let mut client = daemon.connect();
    let mut ids = Vec::new();
    for key in ["acme", "contoso"] {
        let result = say(&mut client, &target, json!({"userKey": key}), "hello").await;
        ids.push(result["runId"].clone());
    }
    ids.push(
        say(&mut client, &emulator.target("notes-required"), json!({"userKey": "acme"}), "hello").await["runId"]
            .clone(),
    );
    // It never began, but it is of that agent and can be asked about.
    let refused = client.call("invoke", json!({"target": target, "input": "x", "sessionId": "no-such-session"})).await;
    let refused_run = refused["error"]["data"]["runId"].clone();
    let list = async |client: &mut Client, params: Value| {
        let listed = client.call("runs/list", params).await;
        let runs = listed["result"]["runs"].as_array().unwrap_or_else(|| panic!("{listed}"));
        runs.iter().map(|run| run["runId"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(list(&mut client, json!({})).await, [&refused_run, &ids[2], &ids[1], &ids[0]].map(Clone::clone));
    assert_eq!(list(&mut client, json!({"target": target})).await, [&refused_run, &ids[1], &ids[0]].map(Clone::clone));
    let acme = json!({"target": target, "isolation": {"userKey": "acme"}});
    assert_eq!(list(&mut client, acme).await, [ids[0].clone()]);
    let error = client.call("runs/list", json!({"isolation": {"userKey": "acme"}})).await;
    assert_eq!(error["error"]["data"]["kind"], "invalidParams");

    let shown = info(&mut client, refused_run.as_str().unwrap()).await;
    assert_eq!((&shown["status"], &shown["lastEvent"]), (&json!("failed"), &json!(0)));
    let attached = client.call("runs/attach", json!({"runId": refused_run})).await;
    assert_eq!(attached["error"], refused["error"]);
    for (method, params, kind) in [
        ("runs/show", json!({"runId": "run-nobody"}), "notFound"),
        ("runs/attach", json!({"runId": "run-nobody"}), "notFound"),
        ("runs/cancel", json!({"runId": "run-nobody"}), "notFound"),
        ("runs/attach", json!({"runId": ids[0], "after": 10_000}), "invalidParams"),
    ] {
        assert_eq!(client.call(method, params).await["error"]["data"]["kind"], kind, "{method}");
    }
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn a_draining_daemon_waits_for_a_detached_run_and_a_forced_one_ends_it() {
    for force in [false, true] {
        let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
        let (mut first, mut second) = (daemon.connect(), daemon.connect());
        let input = if force { LONG } else { "slow 10 20" };
        let (_, run) = begin(&mut first, &emulator.target("notes"), input, json!({"detach": true})).await;
        attach(&mut second, &run, json!({})).await;
        drop(first);
        let asked = daemon.connect().call("daemon/stop", json!({"force": force})).await;
        assert_eq!(asked["result"]["runs"], 1);
        let (events, response) = rest(&mut second).await;
        if force {
            assert_eq!(response["error"]["data"]["kind"], "shuttingDown", "{response}");
            assert_eq!(events.last().unwrap()["failure"]["kind"], "shuttingDown");
        } else {
            assert_eq!(response["result"]["status"], "completed", "{response}");
        }
        second.closed().await;
        daemon.idle().await;
        daemon.end().await;
        emulator.end().await;
    }
}

#[tokio::test]
async fn runs_that_nobody_follows_are_limited_in_number() {
    let daemon = TestDaemon::configured(|config| config.runs.under_way = 2);
    let emulator = TestEmulator::start().await;
    let target = emulator.target("notes");
    let mut begun = Vec::new();
    for user in ["a", "b"] {
        let mut client = daemon.connect();
        let params = json!({"target": target, "isolation": {"userKey": user}, "input": LONG, "detach": true,
            "partialResultToken": 1});
        client.request("invoke", params).await;
        begun.push(client.next().await["params"]["value"]["runId"].clone());
        drop(client);
    }
    let mut client = daemon.connect();
    let invoke = json!({"target": target, "isolation": {"userKey": "c"}, "input": "hello"});
    let refused = client.call("invoke", invoke.clone()).await;
    assert_eq!(refused["error"]["data"]["kind"], "overloaded", "{refused}");
    assert_eq!(client.call("runs/cancel", json!({"runId": begun[0]})).await["result"]["status"], "cancelled");
    assert_eq!(client.call("invoke", invoke).await["result"]["status"], "completed");
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn a_bound_connection_has_its_own_runs_only() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let target = emulator.target("notes");
    let mut free = daemon.connect();
    let mut runs = Vec::new();
    for key in ["acme", "contoso"] {
        runs.push(say(&mut free, &target, json!({"userKey": key}), "hello").await["runId"].clone());
    }
    let mut bound = daemon.connect();
    let bind = json!({"target": target, "isolation": {"userKey": "acme"}});
    let answer = bound.call("initialize", json!({"bind": bind})).await;
    assert_eq!(answer["result"]["bound"], true, "{answer}");
    let listed = bound.call("runs/list", json!({})).await;
    assert_eq!(listed["result"]["runs"].as_array().unwrap().len(), 1, "{listed}");
    assert_eq!(listed["result"]["runs"][0]["runId"], runs[0]);
    assert_eq!(bound.call("runs/attach", json!({"runId": runs[0]})).await["result"]["status"], "completed");
    for method in ["runs/show", "runs/attach", "runs/cancel"] {
        let refused = bound.call(method, json!({"runId": runs[1]})).await;
        let absent = bound.call(method, json!({"runId": "run-nobody"})).await;
        assert_eq!(refused["error"]["data"], absent["error"]["data"], "{method}");
        assert_eq!(refused["error"]["data"]["kind"], "notFound", "{method}");
    }
    bound.leave().await;
    free.leave().await;
    daemon.end().await;
    emulator.end().await;
}

/// The real thing: `cupola invoke` is killed in mid-answer.
#[test]
fn a_killed_program_ends_its_run_unless_it_was_detached() {
    let home = Home::new();
    let mut daemon = home.serve(&[]);
    daemon.report();
    let runs = || {
        let output = finish(home.command(&["runs", "list", "-o", "json"]));
        let listed: Value = serde_json::from_slice(&output.stdout).unwrap();
        listed["runs"].as_array().unwrap().clone()
    };
    let mut program =
        home.command(&["invoke", "--emulator", "-o", "jsonl", LONG]).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(program.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.contains("textDelta")));
    assert_eq!(runs()[0]["status"], "running");
    kill_process(Pid::from_child(&program), Signal::KILL).unwrap();
    program.wait().unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while runs()[0]["status"] == "running" {
        assert!(std::time::Instant::now() < deadline, "it continues without a follower");
    }
    assert_eq!(runs()[0]["status"], "cancelled");

    let begun = finish(home.command(&["invoke", "--emulator", "--detach", "slow 10 20"]));
    let id = String::from_utf8(begun.stdout).unwrap();
    assert!(begun.status.success() && id.starts_with("run-"), "{id}");
    let attached = finish(home.command(&["runs", "attach", id.trim()]));
    assert!(attached.status.success());
    assert_eq!(String::from_utf8(attached.stdout).unwrap().split_whitespace().count(), 10);
}
