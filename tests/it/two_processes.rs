//! Two processes on one state directory: the daemon, and a command with `--no-daemon` beside it. Their calls wait for each other as
//! those of one process do.

use crate::support::{Home, PATIENCE, TestDaemon, TestEmulator, at_once, finish};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

const NOTES: usize = 4;

/// `cupola invoke` of a user, in the daemon or beside it.
fn invoke(home: &Home, url: &str, user: &str, beside: bool, input: &str) -> Command {
    let (emulator, user) = (format!("--emulator={url}"), format!("--user-isolation-key={user}"));
    let mut flags = vec!["invoke", &emulator, &user, "-o", "json"];
    if beside {
        flags.push("--no-daemon");
    }
    flags.push(input);
    let mut command = home.command(&flags);
    command.stderr(Stdio::piped());
    command
}

fn result(output: &Output) -> Value {
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Thirty users, each with four first calls at once: two in the daemon and two beside it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn first_calls_of_one_user_in_two_processes_make_one_session_and_lose_no_note() {
    let (home, mut emulator) = (Home::new(), TestEmulator::start().await);
    emulator.list_in(&home);
    let url = emulator.target("notes")["url"].as_str().unwrap().to_owned();
    tokio::task::spawn_blocking(move || {
        let mut daemon = home.serve(&[]);
        daemon.report();
        for number in 0..30 {
            let user = format!("user-{number}");
            let first =
                |note: usize| invoke(&home, &url, &user, note.is_multiple_of(2), &format!("remember note-{note}"));
            let answers: Vec<_> = at_once((0..NOTES).map(first)).iter().map(result).collect();
            let sessions: HashSet<_> = answers.iter().map(|answer| answer["sessionId"].to_string()).collect();
            assert_eq!(sessions.len(), 1, "{user}: {sessions:?}");
            let told = result(&finish(invoke(&home, &url, &user, false, "what do you remember?")));
            assert!(sessions.contains(&told["sessionId"].to_string()), "{user} continues elsewhere: {told}");
            let text = told["text"].as_str().unwrap();
            let missing: Vec<_> = (0..NOTES).filter(|note| !text.contains(&format!("note-{note}"))).collect();
            assert!(missing.is_empty(), "{user} lost {missing:?}: {text}");
        }
        assert!(finish(home.command(&["stop"])).status.success());
    })
    .await
    .unwrap();
    emulator.end().await;
}

fn sharing(state: &Path) -> TestDaemon {
    TestDaemon::configured(|config| state.clone_into(&mut config.state_directory))
}

/// The same with two daemons, for every protocol: turns on one session never overlap.
#[tokio::test]
async fn turns_on_one_session_wait_for_those_of_another_process() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    let (left, right, emulator) = (sharing(&state), sharing(&state), TestEmulator::start().await);
    let target = emulator.target("notes");
    for (protocol, slow) in
        [("responses", "slow 40 20"), ("a2a", "slow 40 20"), ("invocations", r#"{"message":"slow 40 20"}"#)]
    {
        let (mut first, mut second) = (left.connect(), right.connect());
        let call = |input: &str| {
            json!({"target": target, "isolation": {"userKey": protocol}, "protocol": protocol, "input": input,
                "partialResultToken": 1})
        };
        first.request("invoke", call(slow)).await;
        let started = first.next().await;
        assert_eq!(started["params"]["value"]["type"], "started", "{started}");
        let asked = emulator.asked("POST", "protocols/").len();
        second.request("invoke", call("hello")).await;
        let mut ended = first.next().await;
        while ended.get("result").is_none() {
            let sent = emulator.asked("POST", "protocols/").len();
            assert_eq!(sent, asked, "{protocol}: the second turn was sent during the first");
            ended = first.next().await;
        }
        let mut other = second.next().await;
        while other.get("result").is_none() {
            assert!(other.get("error").is_none(), "{other}");
            other = second.next().await;
        }
        assert_eq!(other["result"]["sessionId"], ended["result"]["sessionId"], "{protocol}");
        first.leave().await;
        second.leave().await;
    }
    left.end().await;
    right.end().await;
    emulator.end().await;
}

/// A process that is killed in the middle of a turn holds nothing any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_process_lets_the_next_call_have_its_session() {
    let (home, mut emulator) = (Home::new(), TestEmulator::start().await);
    emulator.list_in(&home);
    let url = emulator.target("notes")["url"].as_str().unwrap().to_owned();
    let home = tokio::task::spawn_blocking({
        let url = url.clone();
        move || {
            result(&finish(invoke(&home, &url, "alice", true, "hello")));
            home
        }
    })
    .await
    .unwrap();
    let mut holder = invoke(&home, &url, "alice", true, "slow 600 100").spawn().unwrap();
    let deadline = Instant::now() + PATIENCE;
    while emulator.turns().len() < 2 {
        assert!(Instant::now() < deadline, "the turn was not sent");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    holder.kill().unwrap();
    holder.wait().unwrap();
    let answer = tokio::task::spawn_blocking(move || {
        let answer = result(&finish(invoke(&home, &url, "alice", true, "hello")));
        drop(home);
        answer
    });
    assert_eq!(
        tokio::time::timeout(PATIENCE, answer).await.expect("it waits for a dead process").unwrap()["status"],
        "completed"
    );
    emulator.end().await;
}

/// The service is not asked.
#[tokio::test]
async fn another_users_response_is_refused_by_the_other_process_too() {
    let (directory, emulator) = (tempfile::tempdir().unwrap(), TestEmulator::start().await);
    let state = directory.path().join("state");
    let (one, other) = (sharing(&state), sharing(&state));
    one.daemon.journal.open().await.unwrap();
    let (mut first, mut second) = (one.connect(), other.connect());
    let target = emulator.target("notes-identity");
    let of = |user: &str, input: &str| json!({"target": target, "isolation": {"userIdentity": user}, "input": input});
    // What answers a run that ends with its daemon only that daemon remembers.
    let mut surviving = of("alice", "hello");
    surviving["survive"] = json!(true);
    let answer = first.call("invoke", surviving).await;
    let mut next = of("bob", "history");
    next["previousResponseId"] = answer["result"]["responseId"].clone();
    let before = emulator.turns().len();
    for client in [&mut first, &mut second] {
        let refused = client.call("invoke", next.clone()).await;
        assert_eq!(refused["error"]["data"]["kind"], "foreignSession", "{refused}");
    }
    assert_eq!(emulator.turns().len(), before, "the service was asked");
    first.leave().await;
    one.end().await;
    other.end_with([second], emulator).await;
}
