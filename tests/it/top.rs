//! `cupola top`, and the same as data: the details of `daemon/status`.

use crate::support::{Client, Home, Terminal, TestDaemon, TestEmulator, finish, finish_after};
use crate::tenants::say;
use serde_json::{Value, json};
use std::process::Stdio;

/// Begins a long run, and reads up to its first text.
async fn occupy(client: &mut Client, target: &Value, user: &str) -> String {
    let params =
        json!({"target": target, "isolation": {"userKey": user}, "input": "slow 2000 200", "partialResultToken": "t"});
    client.request("invoke", params).await;
    loop {
        let event = client.next().await["params"]["value"].clone();
        if event["type"] == "textDelta" {
            return event["runId"].as_str().unwrap().to_owned();
        }
    }
}

#[tokio::test]
async fn the_details_say_what_the_daemon_is_doing_and_hold_no_key() {
    let (daemon, emulator) = (TestDaemon::start(), TestEmulator::start().await);
    let target = emulator.target("notes");
    let (mut client, mut watcher) = (daemon.connect(), daemon.connect());
    let plain = watcher.call("daemon/status", json!({})).await;
    assert!(plain["result"].get("details").is_none(), "nobody asked for them: {plain}");
    say(&mut client, &target, json!({"userKey": "key-of-acme"}), "hello").await;
    let run = occupy(&mut client, &target, "key-of-acme").await;
    let failed = watcher.call("runs/show", json!({"runId": "run-unknown"})).await;
    assert_eq!(failed["error"]["data"]["kind"], "notFound");

    let shown = watcher.call("daemon/status", json!({"details": true})).await;
    let details = &shown["result"]["details"];
    let first = &details["runs"][0];
    assert_eq!((&first["runId"], &first["status"]), (&json!(run), &json!("running")), "{shown}");
    let session = &details["sessions"][0];
    assert_eq!((&session["sessionId"], &session["runs"]), (&first["sessionId"], &json!(1)), "{shown}");
    let token = &details["tokens"][0];
    assert_eq!((&token["credential"], &token["state"]), (&json!("emulator"), &json!("valid")), "{shown}");
    assert!(token["expiresAt"].is_string(), "{shown}");
    let error = &details["errors"][0];
    assert_eq!((&error["method"], &error["kind"]), (&json!("runs/show"), &json!("notFound")), "{shown}");
    if cfg!(target_os = "linux") {
        let peer = emulator.address().to_string();
        assert!(details["upstream"].as_array().unwrap().iter().any(|open| open["peer"] == peer.as_str()), "{shown}");
    }
    assert!(!shown.to_string().contains("key-of-acme"), "{shown}");

    // A bound connection knows only its own.
    let mut bound = daemon.connect();
    let bind = json!({"target": target, "isolation": {"userKey": "key-of-other"}});
    bound.call("initialize", json!({"bind": bind})).await;
    let shown = bound.call("daemon/status", json!({"details": true})).await;
    assert!(shown["result"]["version"].is_string() && shown["result"].get("details").is_none(), "{shown}");
    watcher.call("runs/cancel", json!({"runId": run})).await;
    drop(client);
    daemon.end_with([watcher, bound], emulator).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_shows_it_on_a_terminal_in_a_pipe_and_as_data() {
    let home = Home::new();
    let none = finish(home.command(&["top"]));
    assert_eq!(none.status.code(), Some(6), "it started a daemon: {none:?}");
    let mut daemon = home.serve_ready();
    let answer = finish(home.command(&["invoke", "--emulator", "hello"]));
    assert!(answer.status.success(), "{answer:?}");
    let json = finish(home.command(&["top", "-o", "json"]));
    let status: Value = serde_json::from_slice(&json.stdout).unwrap();
    let run = status["details"]["runs"][0]["runId"].as_str().unwrap().to_owned();
    let text = finish(home.command(&["top"]));
    assert!(String::from_utf8_lossy(&text.stdout).contains(&run), "{text:?}");

    let (mut person, program) = Terminal::new();
    person.resize(160, 40);
    let mut command = home.command(&["top"]);
    command.env("TERM", "xterm");
    command.stdin(program.try_clone().unwrap()).stdout(program.try_clone().unwrap()).stderr(program);
    let ((), output) = tokio::task::block_in_place(|| {
        finish_after(command, |_| {
            person.look_for("cupola 0.1.0, process");
            person.look_for(&run[..16]);
            person.press("p");
            person.look_for("PARTITION");
            person.press("q");
        })
    });
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let mut stop = home.command(&["stop", "--force"]);
    stop.stdout(Stdio::null());
    finish(stop);
    daemon.ended();
}
