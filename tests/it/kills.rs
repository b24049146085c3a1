//! The daemon is killed repeatedly, at random points of streams: nothing that a client was told is lost or told twice.
//!
//! A run in the background continues on the next daemon, a run in the foreground ends with the daemon and is explained there; each with
//! one client and with three. The service is killed as well in a test of its own. `cargo xtask kills --rounds N` does more rounds than
//! these tests, takes a seed, and asks a published agent server with `--real`.
//!
//! - [`follower`]: one client over all its connections; [`chance`]: the random numbers, which a seed repeats

pub(crate) mod chance;
mod follower;

use crate::support::{Home, PATIENCE, Process, TestEmulator, finish};
use chance::Chance;
use cupola_emulator::sandbox::exec::Exec;
use cupola_emulator::{AgentSpec, KEYS_OPTIONAL, VersionSpec};
use follower::Follower;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Rounds of the ordinary test run.
const ROUNDS: u64 = 40;
/// Rounds in which the service is killed, too.
const SERVICE_ROUNDS: u64 = 12;
/// Rounds in one home. Each daemon reads the runs again whose answer was not fetched, so each round takes longer than the one before.
const BATCH: usize = 200;
/// Set by `cargo xtask kills --real`: the command of an agent server that understands `tick COUNT MS`.
const AGENT_COMMAND: &str = "CUPOLA_KILL_AGENT";
/// Words of an answer, and the pause before each in ms: long enough to be killed anywhere in it.
const WORDS: usize = 24;
const PACE: u64 = 4;
/// Rounds that share an isolation: its session has to hold after each kill, and an agent server is not started for each round.
const SHARED_BY: u64 = 20;
/// Events that a client gets of it, about: the kill comes after one of these.
const EVENTS: u64 = 36;

/// What one round is like.
#[derive(Debug, Clone, Copy)]
struct Round {
    number: u64,
    is_background: bool,
    followers: usize,
}

impl Round {
    fn of(number: u64) -> Self {
        Self { number, is_background: number.is_multiple_of(2), followers: if number % 4 < 2 { 1 } else { 3 } }
    }

    /// Marks this round's isolation, on the wire and in the files. Rounds of one set-up share it for a while, as a person's turns do.
    fn key(self) -> String {
        let set_ups = 4;
        format!("tenant-{:05}-of-set-up-{}", self.number / (set_ups * SHARED_BY), self.number % set_ups)
    }

    fn params(self, target: &Value) -> Value {
        let command = if target["agent"] == REAL { "tick" } else { "slow" };
        let mut params = json!({"target": target, "isolation": {"userKey": self.key()}, "partialResultToken": "t",
            "input": format!("{command} {WORDS} {PACE}")});
        if self.is_background {
            // Both words for it.
            params[if self.followers == 1 { "survive" } else { "detach" }] = json!(true);
        }
        params
    }
}

/// The agent that is served by a published agent server.
const REAL: &str = "real";

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

fn answer() -> String {
    (0..WORDS).map(|word| format!("tick{word}")).collect::<Vec<_>>().join(" ")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_that_is_killed_loses_and_repeats_nothing() {
    let command = std::env::var(AGENT_COMMAND).ok();
    let agent = if command.is_some() { REAL } else { "notes" };
    let emulator = async || {
        TestEmulator::with(|options| {
            // A session that nobody uses soon gives its process back.
            options.idle_timeout = command.is_some().then_some(Duration::from_mins(1));
            if let Some(command) = &command {
                let server = VersionSpec::new("1", KEYS_OPTIONAL, Arc::new(Exec::new(command.clone())));
                options.agents.push(AgentSpec::new(REAL, vec![server]));
            }
        })
        .await
    };
    play_all(emulator, agent, setting("CUPOLA_KILL_ROUNDS", ROUNDS), false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_is_killed_as_well_leaves_one_ending_and_never_a_second_turn() {
    let rounds = setting("CUPOLA_KILL_ROUNDS", SERVICE_ROUNDS).min(setting("CUPOLA_KILL_SERVICE_ROUNDS", u64::MAX));
    play_all(TestEmulator::start, "notes", rounds, true).await;
}

async fn play_all(emulator: impl AsyncFn() -> TestEmulator, agent: &str, rounds: u64, kills_service: bool) {
    let seed = setting("CUPOLA_KILL_SEED", u64::from(std::process::id()) ^ 0x5eed);
    let mut chance = Chance::new(seed);
    for first in (0..rounds).step_by(BATCH) {
        let end = rounds.min(first + u64::try_from(BATCH).unwrap());
        play_batch(emulator().await, agent, first..end, kills_service, (seed, &mut chance)).await;
    }
}

async fn play_batch(
    mut emulator: TestEmulator,
    agent: &str,
    batch: Range<u64>,
    kills_service: bool,
    (seed, chance): (u64, &mut Chance),
) {
    let home = Home::new();
    emulator.list_in(&home);
    let target = emulator.target(agent);
    let mut daemon = home.serve_ready();
    for number in batch.clone() {
        let round = Round::of(number);
        let said = format!("seed {seed}, {round:?}; CUPOLA_KILL_SEED={seed} repeats it");
        daemon = play(&home, &mut emulator, (&target, kills_service), daemon, round, chance, &said).await;
    }
    nothing_is_left(&home, seed, batch).await;
    assert_eq!(finish(home.command(&["stop", "--force"])).status.code(), Some(0));
    daemon.ended();
    let orphans = processes_of(&home);
    assert!(orphans.is_empty(), "seed {seed}: {orphans:?} outlive the daemon");
    emulator.end().await;
}

/// One round: a run, a kill, the next daemon. Gives that daemon.
async fn play(
    home: &Home,
    emulator: &mut TestEmulator,
    (target, kills_service): (&Value, bool),
    mut daemon: Process,
    round: Round,
    chance: &mut Chance,
    said: &str,
) -> Process {
    let turns_before = emulator.turns().len();
    let earlier = runs(home, &round.key(), target).await;
    let (after_event, then) = (chance.below(EVENTS), Duration::from_micros(chance.below(6000)));
    let mut first = Follower::begin(home, &round.params(target)).await;
    let mut others = Vec::new();
    for event in 0..after_event {
        if !first.read().await {
            break;
        }
        if event == 0 && round.followers > 1 {
            for _ in 1..round.followers {
                others.push(Follower::attach(home, first.run(), 0).await);
            }
        }
    }
    tokio::time::sleep(then).await;
    daemon.signal(Signal::KILL);
    daemon.ended();
    if kills_service {
        emulator.restart().await;
    }
    let mut followers = vec![first];
    followers.append(&mut others);
    for follower in &mut followers {
        while follower.read().await {}
    }
    let next = home.serve_ready();
    for follower in &mut followers {
        if follower.has_run() {
            follower.come_back(home).await;
            follower.check(&answer(), round.is_background && !kills_service, said);
        }
    }
    for follower in &followers {
        follower.agrees_with(&followers[0], said);
    }
    let turns = emulator.turns().len() - turns_before;
    assert!(turns <= 1, "{said}: the turn was sent {turns} times");
    assert!(turns == 1 || !followers[0].has_begun(), "{said}: it began, and no turn was sent");
    assert!(turns == 0 || !followers[0].is_unknown(), "{said}: a turn was sent, and nothing is known of its run");
    let mut listed = runs(home, &round.key(), target).await;
    listed.retain(|run| earlier.iter().all(|other| other["runId"] != run["runId"]));
    assert!(listed.len() <= 1, "{said}: one run is several: {listed:?}");
    if let Some(run) = listed.first() {
        assert_eq!(follower::settled(home, run["runId"].as_str().unwrap()).await, 1, "{said}: {run}");
    }
    next
}

/// All runs of this isolation, those that earlier daemons left among them.
async fn runs(home: &Home, key: &str, target: &Value) -> Vec<Value> {
    let params = json!({"all": true, "target": target, "isolation": {"userKey": key}});
    let listed = follower::call(home, "runs/list", params).await;
    listed["result"]["runs"].as_array().unwrap_or_else(|| panic!("{listed}")).clone()
}

async fn all_runs(home: &Home) -> Vec<Value> {
    let listed = follower::call(home, "runs/list", json!({"all": true})).await;
    listed["result"]["runs"].as_array().unwrap_or_else(|| panic!("{listed}")).clone()
}

/// No run is under way, and the isolation of none is in the files.
async fn nothing_is_left(home: &Home, seed: u64, rounds: Range<u64>) {
    // A run whose client was killed before it heard of it is read by somebody else; what was read again has to end again.
    for run in all_runs(home).await {
        follower::settled(home, run["runId"].as_str().unwrap()).await;
    }
    for run in all_runs(home).await {
        assert_ne!(run["status"], "running", "seed {seed}: {run}");
    }
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let mut left = rounds.clone().map(|number| Round::of(number).key()).collect::<BTreeSet<_>>();
        let files = state_files(home);
        left.retain(|key| files.windows(key.len()).any(|window| window == key.as_bytes()));
        if left.is_empty() {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "seed {seed}: the journal still has {left:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The bytes of the saved state.
fn state_files(home: &Home) -> Vec<u8> {
    let state = home.path(".local/state/cupola");
    ["state.db", "state.db-wal"].iter().flat_map(|name| std::fs::read(state.join(name)).unwrap_or_default()).collect()
}

/// The processes that have this home.
fn processes_of(home: &Home) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let marker = format!("HOME={}", home.path("").display());
    let has_home = |path: &Path| {
        let environment = std::fs::read(path.join("environ")).unwrap_or_default();
        let command = std::fs::read(path.join("cmdline")).unwrap_or_default();
        let is_its = environment
            .split(|byte| *byte == 0)
            .any(|entry| String::from_utf8_lossy(entry).trim_end_matches('/') == marker.trim_end_matches('/'));
        (is_its && !command.is_empty()).then(|| String::from_utf8_lossy(&command).replace('\0', " "))
    };
    entries.filter_map(|entry| has_home(&entry.ok()?.path())).collect()
}
