//! A daemon that leaves its place to another one, most often a newer one: no run is cut that can continue, and nothing that has finished
//! becomes unreachable.
//!
//! The older version is a program of its own: `tests/older/program.rs`.

use crate::support::{Client, Home, PATIENCE, Process, call, finish, finish_after};
use crate::survival::{World, followed, ticks};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::Stdio;

/// Long enough for a daemon to be replaced meanwhile.
const LONG: &str = "slow 200 40";

/// A daemon of the older version.
fn serve_older(home: &Home) -> Process {
    let mut daemon = Process::start(home.older_command(&["serve", "--background"]));
    assert!(daemon.report().starts_with("ready"));
    daemon
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
    let mut world = World::with(serve_older).await;
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

/// The ids in `runs/list`, as a client of the new daemon sees them.
async fn listed(client: &mut Client, params: Value) -> Vec<String> {
    let listed = client.call("runs/list", params).await;
    let runs = listed["result"]["runs"].as_array().unwrap_or_else(|| panic!("{listed}"));
    runs.iter().map(|run| run["runId"].as_str().unwrap().to_owned()).collect()
}

/// Editors and bound connections know one socket, that of the new daemon.
#[tokio::test(flavor = "multi_thread")]
async fn clients_of_the_new_daemon_reach_the_runs_that_the_old_one_finishes() {
    let mut world = World::with(serve_older).await;
    let target = format!("--emulator={}", world.target["url"].as_str().unwrap());
    let mut leaver = world.connect().await;
    let (finished, _) = begin(&mut leaver, &world.target, "acme", "slow 3 5", json!({"onDisconnect": "keep"})).await;
    drop(leaver);
    let mut foreground = world.connect().await;
    let (running, mut seen) = begin(&mut foreground, &world.target, "acme", LONG, json!({})).await;
    let mut other = world.connect().await;
    let (of_another, _) = begin(&mut other, &world.target, "contoso", "slow 2000 20", json!({})).await;
    let mut survivor = world.connect().await;
    let (survives, _) = begin(&mut survivor, &world.target, "acme", LONG, json!({"survive": true})).await;
    tokio::task::block_in_place(|| finish(world.home.command(&["invoke", &target, "hello"])));
    assert!(world.daemon.is_running(), "it has runs to finish");

    let mut client = world.connect().await;
    let acme = json!({"target": world.target, "isolation": {"userKey": "acme"}});
    let mut all = listed(&mut client, json!({})).await;
    for run in [&finished, &running, &of_another, &survives] {
        assert_eq!(all.iter().filter(|listed| *listed == run).count(), 1, "{run} in {all:?}");
    }
    all.retain(|run| *run != of_another);
    let own = listed(&mut client, acme.clone()).await;
    assert_eq!(own.len(), 3, "{own:?}");
    assert!(own.iter().all(|run| all.contains(run)), "{own:?}");
    let shown = client.call("runs/show", json!({"runId": finished})).await;
    assert_eq!(shown["result"]["status"], "completed", "{shown}");

    // A bound connection reaches those of its own isolation alone.
    let mut bound = world.connect().await;
    let greeted = bound.call("initialize", json!({"bind": acme})).await;
    assert_eq!(greeted["result"]["bound"], true, "{greeted}");
    let mut reached = listed(&mut bound, json!({})).await;
    let mut expected = own.clone();
    reached.sort();
    expected.sort();
    assert_eq!(reached, expected);
    for method in ["runs/show", "runs/attach", "runs/cancel"] {
        let refused = bound.call(method, json!({"runId": of_another})).await;
        assert_eq!(refused["error"]["data"]["kind"], "notFound", "{method}: {refused}");
    }
    let (_, answer) = followed(&mut bound, &finished, 0).await;
    assert_eq!((&answer["status"], &answer["text"]), (&json!("completed"), &json!(ticks(3))), "{answer}");
    let after = seen.last().unwrap()["number"].as_u64().unwrap();
    let (later, answer) = followed(&mut bound, &running, after).await;
    assert_eq!((&answer["status"], &answer["text"]), (&json!("completed"), &json!(ticks(200))), "{answer}");
    assert_eq!(text(&seen) + &text(&later), ticks(200), "something is missing or came twice");
    assert_eq!(rest(&mut foreground, &mut seen).await["result"]["status"], "completed");
    let cancelled = client.call("runs/cancel", json!({"runId": of_another})).await;
    assert_eq!(cancelled["result"]["status"], "cancelled", "{cancelled}");
    for client in [foreground, other, survivor, client, bound] {
        drop(client);
    }
    tokio::task::block_in_place(|| world.daemon.ended());
    world.end().await;
}

/// Who follows a run through the new daemon hears of it when the old one is killed.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_old_daemon_is_killed_ends_for_those_who_follow_it_through_the_new_one() {
    let mut world = World::with(serve_older).await;
    let target = format!("--emulator={}", world.target["url"].as_str().unwrap());
    let mut foreground = world.connect().await;
    let (run, seen) = begin(&mut foreground, &world.target, "acme", "slow 2000 20", json!({})).await;
    tokio::task::block_in_place(|| finish(world.home.command(&["invoke", &target, "hello"])));
    let mut client = world.connect().await;
    let after = seen.last().unwrap()["number"].as_u64().unwrap();
    client.request("runs/attach", json!({"runId": run, "after": after, "partialResultToken": "t"})).await;
    let mut events = vec![client.next().await["params"]["value"].clone()];
    world.daemon.signal(Signal::KILL);
    tokio::task::block_in_place(|| world.daemon.ended());
    let ended = rest(&mut client, &mut events).await;
    assert_eq!(ended["result"]["status"], "truncated", "{ended}");
    assert_eq!(events.iter().filter(|event| event["type"] == "truncated").count(), 1, "{events:?}");
    drop((client, foreground));
    world.end().await;
}

/// The old daemon saves nothing over what the new one has saved meanwhile, and what it saves itself is kept.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_new_daemon_saved_stays_when_the_old_one_finishes() {
    let mut world = World::with(serve_older).await;
    let target = format!("--emulator={}", world.target["url"].as_str().unwrap());
    // One that begins its partition, and one whose partition gets a new session from the new daemon meanwhile.
    let mut one = world.connect().await;
    let (_, mut of_one) = begin(&mut one, &world.target, "acme", LONG, json!({})).await;
    let mut another = world.connect().await;
    let (_, mut of_another) = begin(&mut another, &world.target, "contoso", LONG, json!({})).await;
    let invoke = |flags: &[&str]| {
        let command = world.home.command(&[&["invoke", &target, "-o", "json"], flags].concat());
        let output = tokio::task::block_in_place(|| finish(command));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        serde_json::from_str::<Value>(&text).unwrap_or_else(|_| panic!("{output:?}"))
    };
    let fresh = ["--user-isolation-key", "contoso", "--new-session", "--new-conversation", "remember the new one"];
    let newer = invoke(&fresh);
    for user in ["initech", "umbrella", "hooli"] {
        invoke(&["--user-isolation-key", user, "hello"]);
    }
    assert!(world.daemon.is_running(), "it has runs to finish");
    let first = rest(&mut one, &mut of_one).await["result"].clone();
    let older = rest(&mut another, &mut of_another).await["result"].clone();
    assert_ne!(older["sessionId"], newer["sessionId"]);
    drop((one, another));
    tokio::task::block_in_place(|| world.daemon.ended());
    let mut client = world.connect().await;
    let saved = client.call("partitions/list", json!({})).await["result"]["partitions"].clone();
    let saved = saved.as_array().unwrap();
    assert_eq!(saved.len(), 5, "{saved:?}");
    for kept in [&first, &newer] {
        let is_kept = |partition: &Value| {
            partition["sessionId"] == kept["sessionId"] && partition["conversationId"] == kept["conversationId"]
        };
        assert_eq!(saved.iter().filter(|partition| is_kept(partition)).count(), 1, "{kept} in {saved:?}");
    }
    let again = invoke(&["--user-isolation-key", "contoso", "what do you remember?"]);
    assert_eq!(again["sessionId"], newer["sessionId"], "{again}");
    drop(client);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_command_uses_the_newer_daemon() {
    let world = World::start().await;
    let target = format!("--emulator={}", world.target["url"].as_str().unwrap());
    let before = call(&world.home.socket(), "daemon/status")["result"]["processId"].clone();
    let mut command = world.home.older_command(&["invoke", &target, "hello"]);
    command.stderr(Stdio::piped());
    let output = tokio::task::block_in_place(|| finish(command));
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "echo: hello\n", "{said}");
    assert!(said.contains("warning: the running daemon is version 0.1.0, but this program is 0.0.1"), "{said}");
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
