//! Several daemons on one store, each a process of its own with its own state directory.

use crate::support::store_server::{Engine, PASSWORD, SEALING_KEY, StoreServer};
use crate::support::{Home, PATIENCE, Process, TestEmulator, at_once, finish};
use cupola::partition::store::Store as _;
use rustix::process::Signal;
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

const DAEMONS: usize = 3;
/// Processes that call at once, how often each calls, and the users they share.
const CALLERS: usize = 16;
const CALLS: usize = 50;
const USERS: usize = 20;

/// A home whose daemon uses the store.
pub(super) fn home(server: &StoreServer, emulator: &mut TestEmulator) -> Home {
    home_at(&server.settings_text(), emulator)
}

/// As [`home`], with these settings.
pub(super) fn home_at(settings: &str, emulator: &mut TestEmulator) -> Home {
    let home = Home::new();
    std::fs::create_dir_all(home.path(".config/cupola")).unwrap();
    let text = format!("[store]\nkind = \"redis\"\n{settings}");
    std::fs::write(home.path(".config/cupola/config.toml"), text).unwrap();
    emulator.list_in(&home);
    home
}

pub(super) fn command(home: &Home, arguments: &[&str]) -> Command {
    let mut command = home.command(arguments);
    command.env("STORE_PASSWORD", PASSWORD).env("STORE_KEY", SEALING_KEY).stderr(Stdio::piped());
    command
}

pub(super) fn serve(home: &Home) -> Process {
    let mut daemon = Process::start(command(home, &["serve", "--background"]));
    let report = daemon.report();
    assert!(report.starts_with("ready"), "{report}");
    daemon
}

pub(super) fn invoke(home: &Home, url: &str, user: &str, input: &str) -> Command {
    let (emulator, user) = (format!("--emulator={url}"), format!("--user-isolation-key={user}"));
    command(home, &["invoke", &emulator, &user, "-o", "json", input])
}

pub(super) fn result(output: &Output) -> Value {
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What a test needs: a store, an emulator, its URL.
pub(super) async fn begin() -> Option<(StoreServer, TestEmulator, String)> {
    let server = StoreServer::start(Engine::Valkey, &[])?;
    let (emulator, url) = begin_at().await;
    Some((server, emulator, url))
}

/// An emulator, and its URL.
pub(super) async fn begin_at() -> (TestEmulator, String) {
    let emulator = TestEmulator::start().await;
    let url = emulator.target("notes")["url"].as_str().unwrap().to_owned();
    (emulator, url)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_of_three_daemons_get_one_session_per_user_and_lose_cross_and_double_nothing() {
    let Some((server, mut emulator, url)) = begin().await else { return };
    let homes: Vec<_> = (0..DAEMONS).map(|_| home(&server, &mut emulator)).collect();
    tokio::task::spawn_blocking(move || {
        let _daemons: Vec<_> = homes.iter().map(serve).collect();
        let sessions: Mutex<HashMap<usize, HashSet<String>>> = Mutex::default();
        std::thread::scope(|scope| {
            for caller in 0..CALLERS {
                let (homes, url, sessions) = (&homes, &url, &sessions);
                scope.spawn(move || {
                    for call in 0..CALLS {
                        let (user, home) = ((caller + call) % USERS, &homes[(caller + call / USERS) % DAEMONS]);
                        let note = format!("remember note-{caller}-{call}-of-{user}.");
                        let answer = result(&finish(invoke(home, url, &format!("user-{user}"), &note)));
                        let session = answer["sessionId"].to_string();
                        sessions.lock().unwrap().entry(user).or_default().insert(session);
                    }
                });
            }
        });
        let sessions = sessions.into_inner().unwrap();
        for user in 0..USERS {
            assert_eq!(sessions[&user].len(), 1, "user-{user}: {:?}", sessions[&user]);
            let home = &homes[user % DAEMONS];
            let told = result(&finish(invoke(home, &url, &format!("user-{user}"), "what do you remember?")));
            let text = told["text"].as_str().unwrap();
            for (caller, call) in (0..CALLERS).flat_map(|caller| (0..CALLS).map(move |call| (caller, call))) {
                let is_own = (caller + call) % USERS == user;
                let count = text.matches(&format!("note-{caller}-{call}-of-")).count();
                assert_eq!(count, usize::from(is_own), "user-{user}, note-{caller}-{call}: {text}");
            }
        }
        let own: HashSet<_> = sessions.values().flatten().collect();
        assert_eq!(own.len(), USERS);
        for home in &homes {
            assert!(finish(command(home, &["stop"])).status.success());
        }
    })
    .await
    .unwrap();
    emulator.end().await;
}

/// The stopped daemon has a turn under way that makes the partition's first session.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_that_was_stopped_past_its_lease_overwrites_nothing() {
    let Some((server, mut emulator, url)) = begin().await else { return };
    let homes = [home(&server, &mut emulator), home(&server, &mut emulator)];
    let store = server.open();
    let (first, second) = tokio::task::spawn_blocking({
        let url = url.clone();
        move || {
            let [left, right] = &homes;
            let (stopped, _other) = (serve(left), serve(right));
            let mut slow = invoke(left, &url, "alice", "slow 100 20").spawn().unwrap();
            wait_until(|| {
                result(&finish(command(left, &["runs", "list", "-o", "json"]))).to_string().contains("running")
            });
            stopped.signal(Signal::STOP);
            // The other daemon waits for the lease to end, and no longer.
            let begun = Instant::now();
            let first = result(&finish(invoke(right, &url, "alice", "hello")));
            assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
            let mut again = invoke(right, &url, "alice", "hello");
            again.arg("--new-session");
            let second = result(&finish(again));
            stopped.signal(Signal::CONT);
            slow.wait().unwrap();
            for home in &homes {
                assert!(finish(command(home, &["stop"])).status.success());
            }
            (first, second)
        }
    })
    .await
    .unwrap();
    assert_ne!(first["sessionId"], second["sessionId"]);
    let saved = store.list().await.unwrap();
    let sessions: Vec<_> = saved.iter().map(|saved| saved.saved.session.as_ref().unwrap().to_string()).collect();
    assert_eq!(sessions, [second["sessionId"].as_str().unwrap()]);
    emulator.end().await;
}

/// Waits for what must happen.
pub(super) fn wait_until(happened: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !happened() {
        assert!(Instant::now() < deadline, "it did not happen");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_surviving_run_of_a_killed_daemon_is_taken_up_by_another() {
    let Some((server, mut emulator, url)) = begin().await else { return };
    let homes = [home(&server, &mut emulator), home(&server, &mut emulator)];
    tokio::task::spawn_blocking(move || {
        let [left, right] = &homes;
        let (killed, _other) = (serve(left), serve(right));
        let mut detached = invoke(left, &url, "alice", "slow 100 50");
        detached.arg("--detach");
        let begun = finish(detached);
        assert!(begun.status.success(), "{begun:?}");
        let text = String::from_utf8_lossy(&begun.stdout).into_owned();
        let run = serde_json::from_str::<Value>(&text).unwrap()["runId"].as_str().unwrap().to_owned();
        killed.signal(Signal::KILL);
        let at = Instant::now();
        let emulator = format!("--emulator={url}");
        let list = ["runs", "list", &emulator, "--user-isolation-key=alice", "-o", "json"];
        wait_until(|| result(&finish(command(right, &list))).to_string().contains(&run));
        assert!(at.elapsed() < Duration::from_secs(20), "{:?}", at.elapsed());
        let attach = ["runs", "attach", &run, "-o", "json"];
        let answer = result(&finish(command(right, &attach)));
        assert_eq!(answer["status"], "completed", "{answer}");
        assert!(finish(command(right, &["stop"])).status.success());
    })
    .await
    .unwrap();
    emulator.end().await;
}

/// First calls of many users at once through two daemons, while the store is killed and started again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_killed_and_started_again_costs_no_call() {
    let Some((mut server, mut emulator, url)) = begin().await else { return };
    let homes = [home(&server, &mut emulator), home(&server, &mut emulator)];
    tokio::task::spawn_blocking(move || {
        let _daemons: Vec<_> = homes.iter().map(serve).collect();
        for round in 0..3 {
            let user = |number: usize| format!("user-{number}");
            let first = result(&finish(invoke(&homes[0], &url, &user(0), "hello")));
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    server.kill();
                    server.start_again();
                });
                let calls = (0..4).map(|number| invoke(&homes[number % 2], &url, &user(number), "hello"));
                for output in at_once(calls) {
                    result(&output);
                }
            });
            let again = result(&finish(invoke(&homes[1], &url, &user(0), "hello")));
            assert_eq!(first["sessionId"], again["sessionId"], "round {round}");
        }
        for home in &homes {
            assert!(finish(command(home, &["stop"])).status.success());
        }
    })
    .await
    .unwrap();
    emulator.end().await;
}

/// A team's users come through any of the daemons: a question that one passes on is answered through another, once.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_agent_asks_through_one_daemon_is_answered_through_another() {
    let Some((server, mut emulator, url)) = begin().await else { return };
    let homes = [(); DAEMONS].map(|()| home(&server, &mut emulator));
    let daemons: Vec<_> = homes.iter().map(serve).collect();
    let asked = finish(invoke(&homes[0], &url, "acme", "ask pay {\"amount\": 7}"));
    let asked: Value = serde_json::from_slice(&asked.stdout).unwrap();
    let id = asked["questions"][0]["id"].as_str().unwrap();
    let answer = |home: &Home, user: &str| {
        let (emulator, user) = (format!("--emulator={url}"), format!("--user-isolation-key={user}"));
        finish(command(home, &["invoke", &emulator, &user, "--approve", id, "-o", "json"]))
    };
    let foreign = answer(&homes[1], "contoso");
    assert_eq!(foreign.status.code(), Some(4), "{foreign:?}");
    let allowed = result(&answer(&homes[1], "acme"));
    assert_eq!(allowed["text"], "Called: pay");
    assert_eq!(allowed["conversationId"], asked["conversationId"]);
    let second = answer(&homes[2], "acme");
    assert!(String::from_utf8_lossy(&second.stderr).contains("conflict"), "{second:?}");
    for (home, mut daemon) in homes.iter().zip(daemons) {
        finish(command(home, &["stop"]));
        daemon.ended();
    }
    emulator.end().await;
}
