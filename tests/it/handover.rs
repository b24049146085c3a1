//! A daemon that leaves its place to another one, most often a newer one: no run is cut that can continue, and nothing that has finished
//! becomes unreachable.
//!
//! Two versions are two processes of the same debug build, which takes its version from its environment.

use crate::support::{Client, Home, PATIENCE, Process, call, finish, finish_after};
use crate::survival::{World, followed, ticks};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::Stdio;

const VERSION: &str = "CUPOLA_DEBUG_VERSION";
/// Long enough for a daemon to be replaced meanwhile.
const LONG: &str = "slow 200 40";

/// A daemon of this version.
fn serve(version: &'static str) -> impl FnOnce(&Home) -> Process {
    move |home| {
        let mut command = home.command(&["serve", "--background"]);
        command.env(VERSION, version);
        let mut daemon = Process::start(command);
        assert!(daemon.report().starts_with("ready"));
        daemon
    }
}

/// Begins a run of a user, and reads up to its first text; gives the run's id and the events so far.
async fn begin(client: &mut Client, target: &Value, user: &str, input: &str, more: Value) -> (String, Vec<Value>) {
    let mut params =
        json!({"target": target, "isolation": {"userKey": user}, "input": input, "partialResultToken": "t"});
    params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    client.request("invoke", params).await;
    let mut events = Vec::new();
    loop {
        let event = client.next().await["params"]["value"].clone();
        assert!(event.is_object(), "it ended too soon");
        events.push(event.clone());
        if event["type"] == "textDelta" {
            return (event["runId"].as_str().unwrap().to_owned(), events);
        }
    }
}

/// The rest of a call's events, and its response.
async fn rest(client: &mut Client, events: &mut Vec<Value>) -> Value {
    loop {
        let message = client.next().await;
        if message.get("method").is_none() {
            return message;
        }
        events.push(message["params"]["value"].clone());
    }
}

fn text(events: &[Value]) -> String {
    events.iter().filter_map(|event| event["delta"].as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_command_takes_over_cuts_no_run_and_everything_stays_reachable() {
    let mut world = World::with(serve("0.0.1")).await;
    let target = format!("--emulator={}", world.target["url"].as_str().unwrap());
    let old = call(&world.home.socket(), "daemon/status")["result"].clone();
    assert_eq!(old["version"], "0.0.1");
    // One whose answer nobody has had, one that survives, one that does not.
    let mut leaver = world.connect().await;
    let (kept, _) = begin(&mut leaver, &world.target, "kept", "slow 3 5", json!({"onDisconnect": "keep"})).await;
    drop(leaver);
    let mut survivor = world.connect().await;
    let (run, mut seen) = begin(&mut survivor, &world.target, "survivor", LONG, json!({"survive": true})).await;
    let mut foreground = world.connect().await;
    let (_, mut events) = begin(&mut foreground, &world.target, "foreground", LONG, json!({})).await;

    let mut command = world.home.command(&["invoke", &target, "--user-isolation-key", "newer", "hello"]);
    command.stderr(Stdio::piped());
    let output = tokio::task::block_in_place(|| finish(command));
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "echo: hello\n", "{said}");
    assert!(said.contains("notice: the daemon was version 0.0.1; version 0.1.0 takes over"), "{said}");
    let new = call(&world.home.socket(), "daemon/status")["result"].clone();
    assert_eq!(new["version"], "0.1.0");
    assert_ne!(new["processId"], old["processId"]);
    assert!(world.daemon.is_running(), "it has a run to finish");

    // The survivor's client is sent on, and continues with the new daemon.
    let left = rest(&mut survivor, &mut seen).await;
    assert_eq!(left["error"]["data"]["kind"], "shuttingDown", "{left}");
    let last = seen.last().unwrap()["number"].as_u64().unwrap();
    let mut client = world.connect().await;
    let (later, answer) = followed(&mut client, &run, last).await;
    assert_eq!((&answer["status"], &answer["text"]), (&json!("completed"), &json!(ticks(200))));
    assert_eq!(text(&seen) + &text(&later), ticks(200), "something is missing or came twice");

    // The foreground run ends where it began.
    let ended = rest(&mut foreground, &mut events).await;
    assert_eq!((&ended["result"]["status"], text(&events)), (&json!("completed"), ticks(200)), "{ended}");
    // What finished with the old daemon is found by its id, and in the list.
    let listed = tokio::task::block_in_place(|| finish(world.home.command(&["runs", "list", "-o", "json"])));
    assert!(String::from_utf8_lossy(&listed.stdout).contains(&kept), "{listed:?}");
    let attached = tokio::task::block_in_place(|| finish(world.home.command(&["runs", "attach", &kept])));
    assert_eq!(String::from_utf8_lossy(&attached.stdout), format!("{}\n", ticks(3)));
    // Then it is gone.
    for client in [survivor, foreground] {
        drop(client);
    }
    tokio::task::block_in_place(|| world.daemon.ended());
    assert_eq!(world.emulator.turns().len(), 4, "a turn was sent again");
    let listed = client.call("runs/list", json!({})).await;
    let listed = listed["result"]["runs"].as_array().unwrap();
    assert!(listed.iter().any(|shown| shown["runId"] == run.as_str()), "{listed:?}");
    drop(client);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_command_uses_the_newer_daemon() {
    let world = World::with(serve("99.0.0")).await;
    let target = format!("--emulator={}", world.target["url"].as_str().unwrap());
    let before = call(&world.home.socket(), "daemon/status")["result"]["processId"].clone();
    let mut command = world.home.command(&["invoke", &target, "hello"]);
    command.stderr(Stdio::piped());
    let output = tokio::task::block_in_place(|| finish(command));
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "echo: hello\n", "{said}");
    assert!(said.contains("warning: the running daemon is version 99.0.0"), "{said}");
    assert_eq!(call(&world.home.socket(), "daemon/status")["result"]["processId"], before);
    world.end().await;
}

/// The next daemon is started by the command that continues.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_continues_with_the_daemon_that_takes_over() {
    let mut world = World::start().await;
    let target = format!("--emulator={}", world.target["url"].as_str().unwrap());
    let mut command = world.home.command(&["invoke", &target, "--survive", LONG]);
    command.stderr(Stdio::piped());
    let (home, daemon) = (&world.home, &mut world.daemon);
    let (printed, output) = tokio::task::block_in_place(|| {
        finish_after(command, |child| {
            let mut out = BufReader::new(child.stdout.take().unwrap());
            let deadline = std::time::Instant::now() + PATIENCE;
            while call(&home.socket(), "runs/list")["result"]["runs"][0]["lastEvent"].as_u64().unwrap_or(0) < 60 {
                assert!(std::time::Instant::now() < deadline, "no run came");
            }
            finish(home.command(&["stop", "--drain"]));
            daemon.ended();
            let mut printed = String::new();
            out.read_line(&mut printed).unwrap();
            printed
        })
    });
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(printed.trim_end(), ticks(200), "{output:?}");
    assert_eq!(world.emulator.turns().len(), 1, "the turn was sent again");
    world.daemon = Process::start(world.home.command(&["status"]));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_still_active_at_the_deadline_is_ended_and_a_finished_answer_is_kept() {
    let mut world = World::start().await;
    let mut leaver = world.connect().await;
    let (kept, _) = begin(&mut leaver, &world.target, "kept", "slow 3 5", json!({"onDisconnect": "keep"})).await;
    drop(leaver);
    let mut client = world.connect().await;
    let (_, mut events) = begin(&mut client, &world.target, "acme", "slow 400 50", json!({})).await;
    let finished = async { while status(&world, &kept).await != "completed" {} };
    tokio::time::timeout(PATIENCE, finished).await.unwrap();
    tokio::task::block_in_place(|| finish(world.home.command(&["stop", "--deadline", "0"])));
    let ended = rest(&mut client, &mut events).await;
    let data = &ended["error"]["data"];
    assert_eq!((&data["kind"], &data["turn"]), (&json!("shuttingDown"), &json!("mayHaveRun")), "{ended}");
    let attached = tokio::task::block_in_place(|| finish(world.home.command(&["runs", "attach", &kept])));
    assert_eq!(String::from_utf8_lossy(&attached.stdout), format!("{}\n", ticks(3)), "{attached:?}");
    drop(client);
    tokio::task::block_in_place(|| world.daemon.ended());
    world.end().await;
}

/// How a run is.
async fn status(world: &World, run: &str) -> String {
    let shown = world.connect().await.call("runs/show", json!({"runId": run})).await;
    shown["result"]["status"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_leaves_a_run_that_a_client_follows_to_the_next_daemon() {
    let mut world = World::start().await;
    let mut client = world.connect().await;
    let (run, mut seen) = begin(&mut client, &world.target, "acme", LONG, json!({"survive": true})).await;
    world.daemon.signal(Signal::TERM);
    let left = rest(&mut client, &mut seen).await;
    assert_eq!(left["error"]["data"]["kind"], "shuttingDown", "{left}");
    drop(client);
    tokio::task::block_in_place(|| world.daemon.ended());
    world.daemon = world.home.serve_ready();
    let mut client = world.connect().await;
    let (_, answer) = followed(&mut client, &run, 0).await;
    assert_eq!((&answer["status"], &answer["text"]), (&json!("completed"), &json!(ticks(200))), "{answer}");
    drop(client);
    world.end().await;
}
