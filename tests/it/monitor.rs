//! `monitor`: the last lines of a session's log, and a log that is followed.

use crate::support::{Client, Home, TestDaemon, TestEmulator, finish};
use crate::tenants::say;
use cupola_emulator::faults::Fault;
use cupola_emulator::sandbox::Exec;
use cupola_emulator::{AgentSpec, KEYS_OPTIONAL, VersionSpec};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::sync::Arc;

const TURN: &str = "stdout POST /responses 200";

fn acme() -> Value {
    json!({"userKey": "acme"})
}

/// An event as a short line; nothing for those that only introduce.
fn shown(event: &Value) -> String {
    match event["type"].as_str().unwrap() {
        "session" => format!("session {} v{}", event["state"].as_str().unwrap(), event["version"].as_str().unwrap()),
        "line" => format!("{} {}", event["stream"].as_str().unwrap(), event["message"].as_str().unwrap()),
        "notice" => format!("notice {}", event["code"].as_str().unwrap()),
        other => other.to_owned(),
    }
}

/// The events of a call that does not follow.
async fn tail(client: &mut Client, target: &Value, more: Value) -> Vec<String> {
    let mut params = json!({"target": target, "isolation": acme()});
    params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let response = client.call("monitor", params).await;
    let events = response["result"]["events"].as_array().unwrap_or_else(|| panic!("{response}"));
    events.iter().map(shown).collect()
}

/// Begins to follow.
async fn follow(client: &mut Client, target: &Value) -> u64 {
    let params = json!({"target": target, "isolation": acme(), "follow": true, "partialResultToken": "log"});
    client.request("monitor", params).await
}

/// Reads events of a followed log up to and with one.
async fn until(client: &mut Client, wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let mut events = Vec::new();
    loop {
        let message = client.next().await;
        assert_eq!(message["params"]["token"], "log", "{message}");
        events.push(shown(&message["params"]["value"]));
        if wanted(events.last().unwrap()) {
            return events;
        }
    }
}

#[tokio::test]
async fn the_last_lines_come_with_the_response_or_before_it() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let target = emulator.target("notes");
    let mut client = daemon.connect();
    for _ in 0..3 {
        say(&mut client, &target, acme(), "hello").await;
    }
    let events = tail(&mut client, &target, json!({"tail": 2})).await;
    let connecting =
        ["status Connecting to the container 'agent-container'...", "status Successfully connected to container"];
    assert_eq!(events, [&["started", "session Running v2"], &connecting[..], &[TURN, TURN]].concat());
    let events = tail(&mut client, &target, json!({"kind": "system"})).await;
    assert_eq!(events.last().unwrap(), "status The container is ready");
    let raw = json!({"target": target, "isolation": acme(), "raw": true, "tail": 1});
    let raw = client.call("monitor", raw).await["result"]["events"][1].clone();
    assert_eq!((&raw["type"], &raw["name"]), (&json!("raw"), &json!("log")));
    assert!(raw["data"].as_str().unwrap().contains("\"session_state\":\"Running\""), "{raw}");

    let streamed = json!({"target": target, "isolation": acme(), "tail": 1, "partialResultToken": "log"});
    let id = client.request("monitor", streamed).await;
    assert_eq!(until(&mut client, |line| line == TURN).await.len(), 5);
    let response = client.next().await;
    assert_eq!((&response["id"], &response["result"]["count"]), (&json!(id), &json!(4)), "{response}");
    assert!(response["result"].get("events").is_none());

    let asked = emulator.requests().into_iter().find(|request| request.path.contains(":logstream")).unwrap();
    assert!(asked.path.ends_with(":logstream?api-version=v1&kind=console&tail=2&follow=false"), "{}", asked.path);
    assert_eq!(asked.header("accept"), Some("text/event-stream"));
    assert_eq!(asked.header("x-agent-user-isolation-key"), Some("acme"));
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn what_cannot_be_read_is_said_with_its_cause() {
    let (daemon, elsewhere, emulator) = (TestDaemon::start(), TestDaemon::start(), TestEmulator::start().await);
    let target = emulator.target("notes");
    let mut client = daemon.connect();
    let session = say(&mut client, &target, acme(), "hello").await["sessionId"].clone();
    let mut stranger = elsewhere.connect();
    let required = emulator.target("notes-required");
    let theirs = say(&mut client, &required, acme(), "hello").await["sessionId"].clone();
    let contoso = json!({"userKey": "contoso"});
    for (is_stranger, params, kind, hint) in [
        (false, json!({"target": target, "isolation": contoso}), "sessionNotFound", "--session-id ID"),
        (
            false,
            json!({"target": target, "isolation": contoso, "sessionId": session}),
            "foreignSession",
            "--allow-shared-session",
        ),
        (
            false,
            json!({"target": target, "isolation": contoso, "sessionId": session, "allowSharedSession": true}),
            "isolationMismatch",
            "another isolation",
        ),
        (
            true,
            json!({"target": target, "isolation": contoso, "sessionId": session}),
            "sessionNotFound",
            "other isolation keys",
        ),
        (
            true,
            json!({"target": required, "sessionId": theirs, "follow": true, "partialResultToken": 1}),
            "isolationKeyRequired",
            "--user-isolation-key",
        ),
        (false, json!({"target": target, "isolation": acme(), "follow": true}), "invalidParams", ""),
        (false, json!({"target": target, "isolation": acme(), "tail": 301}), "invalidParams", ""),
    ] {
        let client = if is_stranger { &mut stranger } else { &mut client };
        let id = client.request("monitor", params.clone()).await;
        let mut refused = client.next().await;
        if refused["params"]["value"]["type"] == "started" {
            refused = client.next().await;
        }
        assert_eq!(
            (&refused["id"], &refused["error"]["data"]["kind"]),
            (&json!(id), &json!(kind)),
            "{params}: {refused}"
        );
        assert!(refused["error"]["data"]["hint"].as_str().unwrap_or_default().contains(hint), "{refused}");
    }
    client.leave().await;
    stranger.leave().await;
    daemon.end().await;
    elsewhere.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn two_clients_follow_one_session_until_one_has_enough_and_the_session_ends() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let target = emulator.target("notes");
    let (mut speaker, mut first, mut second) = (daemon.connect(), daemon.connect(), daemon.connect_lsp());
    say(&mut speaker, &target, acme(), "hello").await;
    let first_call = follow(&mut first, &target).await;
    let second_call = follow(&mut second, &target).await;
    for client in [&mut first, &mut second] {
        until(client, |line| line == TURN).await;
    }
    say(&mut speaker, &target, acme(), "hello again").await;
    for client in [&mut first, &mut second] {
        assert_eq!(until(client, |_| true).await, [TURN]);
    }
    first.send(json!({"method": "$/cancelRequest", "params": {"id": first_call}})).await;
    let cancelled = first.next().await;
    assert_eq!(cancelled["error"]["data"]["kind"], "cancelled", "{cancelled}");
    first.leave().await;

    say(&mut speaker, &target, acme(), "still there?").await;
    assert_eq!(until(&mut second, |_| true).await, [TURN]);
    speaker.call("sessions/delete", json!({"target": target, "isolation": acme()})).await;
    let rest = until(&mut second, |line| line == "notice sessionGone").await;
    assert_eq!(rest[0], "stdout notes agent stopped");
    let ended = second.next().await;
    assert_eq!((&ended["id"], ended["result"]["count"].is_u64()), (&json!(second_call), true), "{ended}");
    second.leave().await;
    speaker.leave().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn followers_share_one_stream_and_a_late_one_begins_with_its_own_tail() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let target = emulator.target("notes");
    let (mut speaker, mut first, mut late, mut other) =
        (daemon.connect(), daemon.connect(), daemon.connect(), daemon.connect());
    for _ in 0..3 {
        say(&mut speaker, &target, acme(), "hello").await;
    }
    let query = |tail: u8| json!({"target": target, "isolation": acme(), "follow": true, "tail": tail, "partialResultToken": "log"});
    first.request("monitor", query(2)).await;
    let begun = until(&mut first, |line| line == TURN).await;
    assert_eq!(until(&mut first, |_| true).await, [TURN]);
    say(&mut speaker, &target, acme(), "one more").await;
    assert_eq!(until(&mut first, |_| true).await, [TURN]);

    let asked = || emulator.requests().iter().filter(|request| request.path.contains("follow=true")).count();
    let call = late.request("monitor", query(2)).await;
    let lines = [until(&mut late, |line| line == TURN).await, until(&mut late, |_| true).await].concat();
    assert_eq!(lines, ["started", begun[1].as_str(), TURN, TURN]);
    assert_eq!(asked(), 1);
    other.request("monitor", query(1)).await;
    until(&mut other, |line| line == TURN).await;
    assert_eq!(asked(), 2, "another query is another stream");

    // The one who began leaves; the others do not notice.
    drop(first);
    say(&mut speaker, &target, acme(), "still there?").await;
    for client in [&mut late, &mut other] {
        assert_eq!(until(client, |_| true).await, [TURN]);
    }
    late.send(json!({"method": "$/cancelRequest", "params": {"id": call}})).await;
    assert_eq!(late.next().await["error"]["data"]["kind"], "cancelled");
    drop(other);
    for client in [late, speaker] {
        client.leave().await;
    }
    // Without a follower nothing is read.
    daemon.idle().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn a_cut_stream_is_opened_again_and_no_line_comes_twice() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let target = emulator.target("notes");
    let mut client = daemon.connect();
    for _ in 0..6 {
        say(&mut client, &target, acme(), "hello").await;
    }
    let whole = tail(&mut client, &target, json!({})).await;
    // In the middle of the lines, and in the middle of one.
    emulator.fail("*:logstream", 1, Fault::Cut { after_bytes: 800 });
    let cut = tail(&mut client, &target, json!({})).await;
    assert!(cut.contains(&"notice disconnected".to_owned()), "{cut:?}");
    let lines = cut.iter().filter(|line| !line.starts_with("notice ")).cloned().collect::<Vec<_>>();
    assert_eq!(lines, whole);

    emulator.fail("*:logstream", 1, Fault::Cut { after_bytes: 800 });
    follow(&mut client, &target).await;
    let mut seen = until(&mut client, |line| line == "notice reconnected").await;
    let mut speaker = daemon.connect();
    say(&mut speaker, &target, acme(), "a turn after the cut").await;
    let asked = emulator.requests().into_iter().rfind(|request| request.path.contains("follow=true")).unwrap();
    assert!(asked.path.contains("tail=300"), "all that can be had, to miss none: {}", asked.path);
    speaker.call("sessions/delete", json!({"target": target, "isolation": acme()})).await;
    seen.extend(until(&mut client, |line| line == "notice sessionGone").await);
    assert_eq!(seen.iter().filter(|line| *line == TURN).count(), 7, "{seen:?}");
    assert!(client.next().await["result"].is_object());
    speaker.leave().await;
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn a_refused_token_is_replaced_and_a_busy_service_is_waited_for() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let target = emulator.target("notes");
    let mut client = daemon.connect();
    say(&mut client, &target, acme(), "hello").await;
    for status in [401_u16, 503] {
        let fault = json!({"fault": "status", "status": status});
        emulator.fail("*:logstream", 1, serde_json::from_value(fault).unwrap());
        assert_eq!(tail(&mut client, &target, json!({"tail": 1})).await.last().unwrap(), TURN, "{status}");
    }
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn a_service_that_knows_only_the_documented_path_is_asked_there() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let target = emulator.target("notes");
    let mut client = daemon.connect();
    say(&mut client, &target, acme(), "hello").await;
    let missing = json!({"fault": "status", "status": 404});
    emulator.fail("*/agents/notes/sessions/*:logstream", 1, serde_json::from_value(missing).unwrap());
    assert_eq!(tail(&mut client, &target, json!({"tail": 1})).await.last().unwrap(), TURN);
    let last = emulator.requests().pop().unwrap();
    assert!(last.path.contains("/agents/notes/versions/2/sessions/"), "{}", last.path);
    // And where there is nothing on either, the session has no sandbox.
    let missing = json!({"fault": "status", "status": 404});
    emulator.fail("*:logstream", 2, serde_json::from_value(missing).unwrap());
    let refused = client.call("monitor", json!({"target": target, "isolation": acme()})).await;
    assert_eq!(refused["error"]["data"]["kind"], "sessionNotReady", "{refused}");
    client.leave().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn a_followed_log_does_not_hold_up_the_daemons_end() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let target = emulator.target("notes");
    let mut client = daemon.connect();
    say(&mut client, &target, acme(), "hello").await;
    follow(&mut client, &target).await;
    until(&mut client, |line| line == TURN).await;
    daemon.daemon.shutdown.drain();
    let ended = client.next().await;
    assert_eq!(ended["error"]["data"]["kind"], "shuttingDown", "{ended}");
    client.closed().await;
    daemon.end().await;
    emulator.end().await;
}

/// Lines of a flood, and how long each is: together more than a socket, an outbox and the queue behind it can hold.
const FLOOD: usize = 600;
const FLOOD_LINE: usize = 4000;

/// The agent of the next tests: says something on both outputs at each turn.
#[test]
#[ignore = "run by another test as its agent"]
fn agent() {
    use axum::routing::{get, post};
    let turn = async |said: String| {
        if said.contains("flood") {
            (0..FLOOD).for_each(|number| println!("{number} {}", "x".repeat(FLOOD_LINE)));
        }
        println!("tea is served");
        eprintln!("too hot:\n  wait a minute");
        axum::Json(json!({"id": "resp_1", "object": "response", "status": "completed", "output": []}))
    };
    let router = axum::Router::new().route("/readiness", get(|| async { "ready" })).route("/responses", post(turn));
    // On one processor the test runner has begun a line with the test's name; it ends here.
    println!();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let address = format!("127.0.0.1:{}", std::env::var("PORT").unwrap());
        axum::serve(tokio::net::TcpListener::bind(address).await.unwrap(), router).await.unwrap();
    });
}

async fn emulator_with_a_teapot() -> TestEmulator {
    let command =
        format!("'{}' --ignored --exact monitor::agent --nocapture", std::env::current_exe().unwrap().display());
    TestEmulator::with(|options| {
        let version = VersionSpec::new("1", KEYS_OPTIONAL, Arc::new(Exec::new(command)));
        options.agents.push(AgentSpec::new("teapot", vec![version]));
    })
    .await
}

#[tokio::test]
async fn a_follower_that_does_not_read_holds_the_other_one_up_for_nothing() {
    let (daemon, emulator) = (TestDaemon::start(), emulator_with_a_teapot().await);
    let target = emulator.target("teapot");
    let (mut speaker, mut stalled, mut reading) = (daemon.connect(), daemon.connect(), daemon.connect());
    say(&mut speaker, &target, acme(), "hello").await;
    for client in [&mut stalled, &mut reading] {
        follow(client, &target).await;
        until(client, |line| line == "stdout tea is served").await;
    }
    say(&mut speaker, &target, acme(), "flood").await;
    let lines = until(&mut reading, |line| line == "stdout tea is served").await;
    assert_eq!(lines.iter().filter(|line| line.len() > FLOOD_LINE).count(), FLOOD);
    assert!(!lines.iter().any(|line| line.starts_with("notice")), "it lost something");
    drop((stalled, reading));
    speaker.leave().await;
    daemon.idle().await;
    daemon.end().await;
    emulator.end().await;
}

#[tokio::test]
async fn what_a_program_prints_is_in_its_sessions_log() {
    let emulator = emulator_with_a_teapot().await;
    let daemon = TestDaemon::start();
    let target = emulator.target("teapot");
    let mut client = daemon.connect();
    say(&mut client, &target, acme(), "hello").await;
    follow(&mut client, &target).await;
    let mut lines = until(&mut client, |line| line.ends_with("wait a minute")).await;
    if !lines.contains(&"stdout tea is served".to_owned()) {
        // The two outputs are two pipes; their order is not ours.
        lines.extend(until(&mut client, |line| line == "stdout tea is served").await);
    }
    assert!(lines.contains(&"stderr too hot:".to_owned()), "{lines:?}");
    assert!(lines.contains(&"stderr   wait a minute".to_owned()), "{lines:?}");
    client.stream.into_std().unwrap().shutdown(std::net::Shutdown::Both).unwrap();
    daemon.idle().await;
    daemon.end().await;
    emulator.end().await;
}

#[test]
fn the_command_prints_azds_lines_and_ends_on_ctrl_c() {
    let home = Home::new();
    let key = ["--emulator", "--user-isolation-key", "tenant-acme"];
    let run = |command: &str, more: &[&str]| {
        let arguments = [&[command], &key[..], more].concat();
        let output = finish(home.command(&arguments));
        assert!(output.status.success(), "{arguments:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    run("invoke", &["hello"]);
    let is_time =
        |text: &str| text.len() == 8 && text.split(':').all(|part| part.len() == 2 && part.parse::<u8>().is_ok());
    let printed = run("monitor", &["--tail", "1", "--utc"]);
    let lines: Vec<_> = printed.lines().map(|line| line.split_at_checked(8).unwrap()).collect();
    assert!(lines.iter().all(|(time, _)| is_time(time)), "{printed}");
    assert!(lines[0].1.starts_with("  session Running (v2, last accessed: "), "{printed}");
    assert_eq!(lines.last().unwrap().1, "  stdout   POST /responses 200", "{printed}");
    assert!(run("monitor", &["--raw"]).starts_with("event: log\ndata: {\"timestamp\":"));
    let shown = finish(home.command(&[&["monitor"], &key[..]].concat()).stderr(Stdio::piped()));
    let announced = String::from_utf8(shown.stderr).unwrap();
    assert!(announced.starts_with("Streaming session logs for notes (session: "), "{announced}");
    assert!(announced.ends_with(")...\n"), "{announced}");
    let jsonl = run("monitor", &["-o", "jsonl"]);
    assert!(jsonl.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{jsonl}");

    let mut following = home.command(&[&["monitor", "-f"], &key[..]].concat()).spawn().unwrap();
    let mut lines = BufReader::new(following.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.ends_with(TURN.trim_start_matches("stdout "))));
    run("invoke", &["--protocol", "invocations", "hello again"]);
    assert!(lines.any(|line| line.ends_with("  stdout   POST /invocations 200")));
    kill_process(Pid::from_child(&following), Signal::INT).unwrap();
    // As a shell reports it: 130.
    assert_eq!(following.wait().unwrap().signal(), Some(2));
    assert!(home.command(&["stop", "--force"]).status().unwrap().success());
}
