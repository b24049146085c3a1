//! Three clients, five agents, faults of the service and kills of the daemon, for as long as is wanted: what the daemon holds stays within
//! named bounds, and every call is answered. `cargo xtask soak --minutes N` does it for longer than the tests do.

use crate::kills::chance::Chance;
use crate::support::{Home, PATIENCE, Process, TestEmulator, finish};
use cupola_emulator::faults::Fault;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;

/// How long it takes among the tests.
const SECONDS: u64 = 6;
/// How long a daemon lives until it is killed, in a long run.
const LIFE: Duration = Duration::from_secs(45);
/// How often what the daemon holds is measured, and the service fails again.
const STEP: Duration = Duration::from_millis(500);
const CLIENTS: u64 = 3;
/// Tenants of each agent: more than calls at once, few enough that they continue their sessions.
const TENANTS: u64 = 8;

/// Most resident memory of a debug build with the allocator's slack, in KiB. The release build's limit is in `cargo xtask bench`.
const MAX_MEMORY: u64 = 120 * 1024;
/// Most open files: three clients, their calls' connections to the service, the state and its side files.
const MAX_DESCRIPTORS: u64 = 120;
/// Most threads: the runtime's for each core, those for blocking calls, and the writer of the state.
const MAX_THREADS: u64 = 48;
/// Most bytes of saved state with its log. SQLite moves the log into the file at 4 MiB; twice that means that it does not.
const MAX_STATE: u64 = 8 * 1024 * 1024;

/// What happened.
#[derive(Debug, Default)]
struct Counts {
    calls: AtomicU64,
    events: AtomicU64,
    refused: AtomicU64,
    /// The connection was lost with the daemon.
    cut: AtomicU64,
    /// The daemon is being killed. Its socket may still take connections after it has closed the others.
    is_dying: AtomicBool,
}

/// What a daemon holds.
#[derive(Debug, Default, Clone, Copy)]
struct Held {
    memory: u64,
    descriptors: u64,
    threads: u64,
    state: u64,
}

impl Held {
    fn by(daemon: &Process, home: &Home) -> Option<Self> {
        let process = format!("/proc/{}", daemon.id());
        let status = std::fs::read_to_string(format!("{process}/status")).ok()?;
        let of = |name: &str| {
            status.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok())
        };
        let state = home.path(".local/state/cupola");
        let size = |name: &str| std::fs::metadata(state.join(name)).map_or(0, |found| found.len());
        Some(Self {
            memory: of("VmRSS:")?,
            descriptors: std::fs::read_dir(format!("{process}/fd")).ok()?.count() as u64,
            threads: of("Threads:")?,
            state: size("state.db") + size("state.db-wal"),
        })
    }

    fn most(self, other: Self) -> Self {
        Self {
            memory: self.memory.max(other.memory),
            descriptors: self.descriptors.max(other.descriptors),
            threads: self.threads.max(other.threads),
            state: self.state.max(other.state),
        }
    }
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_under_faults_and_kills_holds_no_more_than_its_bounds() {
    let seconds = std::env::var("CUPOLA_SOAK_SECONDS").ok().and_then(|value| value.parse().ok()).unwrap_or(SECONDS);
    let duration = Duration::from_secs(seconds);
    let seed = u64::from(std::process::id());
    let home = Arc::new(Home::new());
    let mut emulator = TestEmulator::start().await;
    emulator.list_in(&home);
    let targets: Arc<Vec<_>> = Arc::new(
        ["notes", "notes-required", "notes-identity"]
            .map(|agent| emulator.target(agent))
            .into_iter()
            .chain(["1", "2"].map(|version| emulator.version(version)))
            .collect(),
    );
    let (is_over, counts) = (Arc::new(AtomicBool::new(false)), Arc::new(Counts::default()));
    let mut daemon = home.serve_ready();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let (home, targets) = (Arc::clone(&home), Arc::clone(&targets));
            let (is_over, counts) = (Arc::clone(&is_over), Arc::clone(&counts));
            tokio::spawn(async move {
                let mut chance = Chance::new(seed ^ number);
                while !is_over.load(Ordering::Relaxed) {
                    one_call(&home, &targets, &mut chance, &counts).await;
                }
            })
        })
        .collect();
    let (mut chance, mut held, mut kills) = (Chance::new(seed), Held::default(), 0_u64);
    let (began, mut born) = (Instant::now(), Instant::now());
    while began.elapsed() < duration {
        tokio::time::sleep(STEP).await;
        held = Held::by(&daemon, &home).map_or(held, |now| held.most(now));
        let fault = match chance.below(4) {
            0 => Fault::Cut { after_bytes: 400 + usize::try_from(chance.below(4000)).unwrap() },
            1 => Fault::Reset,
            2 => Fault::Status {
                status: 503.try_into().unwrap(),
                headers: BTreeMap::new().try_into().unwrap(),
                body: None,
            },
            _ => continue,
        };
        emulator.fail("*/protocols/*", 1, fault);
        if born.elapsed() > LIFE.min(duration / 3) {
            counts.is_dying.store(true, Ordering::SeqCst);
            daemon.signal(Signal::KILL);
            daemon.ended();
            counts.is_dying.store(false, Ordering::SeqCst);
            daemon = home.serve_ready();
            (born, kills) = (Instant::now(), kills + 1);
        }
    }
    emulator.heal();
    is_over.store(true, Ordering::Relaxed);
    for client in clients {
        tokio::time::timeout(PATIENCE, client).await.expect("a client hangs").unwrap();
    }
    assert_eq!(finish(home.command(&["stop"])).status.code(), Some(0));
    daemon.ended();
    emulator.end().await;
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    println!("| measured | most | bound |\n|---|---|---|");
    for (what, most, bound) in [
        ("resident memory, KiB", held.memory, MAX_MEMORY),
        ("open files", held.descriptors, MAX_DESCRIPTORS),
        ("threads", held.threads, MAX_THREADS),
        ("saved state, bytes", held.state, MAX_STATE),
    ] {
        println!("| {what} | {most} | {bound} |");
        assert!(most <= bound, "seed {seed}: {what}: {most} is more than {bound}");
    }
    let (calls, events, refused, cut) =
        (count(&counts.calls), count(&counts.events), count(&counts.refused), count(&counts.cut));
    println!(
        "{seconds} s: {calls} calls, {events} events, {refused} failed calls, {kills} kills that cut {cut} calls; seed {seed}"
    );
    assert!(kills > 0 && calls > refused + cut, "seed {seed}: hardly a call succeeded");
    assert!(cut <= kills * CLIENTS, "seed {seed}: {cut} calls have no answer");
}

/// One call of any kind, to its answer.
async fn one_call(home: &Home, targets: &[Value], chance: &mut Chance, counts: &Counts) {
    let target = &targets[usize::try_from(chance.below(targets.len() as u64)).unwrap()];
    let isolation = json!({"userKey": format!("tenant-{}", chance.below(TENANTS)), "chatKey": "chat"});
    let input = ["hello", "slow 20 2", "what do you remember?"][usize::try_from(chance.below(3)).unwrap()];
    let mut params = json!({"target": target, "isolation": isolation});
    let method = match chance.below(6) {
        0 => "runs/list",
        1 => "sessions/list",
        kind => {
            params["input"] = json!(input);
            params["partialResultToken"] = json!("t");
            if kind == 2 {
                params["survive"] = json!(true);
            }
            "invoke"
        }
    };
    let is_dying = counts.is_dying.load(Ordering::SeqCst);
    // Between a kill and the next daemon nobody listens.
    let Ok(mut stream) = UnixStream::connect(home.socket()).await else {
        tokio::time::sleep(Duration::from_millis(20)).await;
        return;
    };
    counts.calls.fetch_add(1, Ordering::Relaxed);
    let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    let _ = stream.write_all(format!("{request}\n").as_bytes()).await;
    let mut lines = BufReader::new(stream).lines();
    loop {
        let line = tokio::time::timeout(PATIENCE, lines.next_line()).await.expect("no answer came");
        let message = line.ok().flatten().and_then(|line| serde_json::from_str::<Value>(&line).ok());
        let Some(message) = message else {
            // A call that began during a kill never reached a daemon.
            counts.cut.fetch_add(u64::from(!is_dying), Ordering::Relaxed);
            return;
        };
        if message.get("method").is_some() {
            counts.events.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        if let Some(error) = message.get("error") {
            assert!(error["data"]["kind"].is_string(), "{message}");
            assert_ne!(error["data"]["kind"], "internal", "{message}");
            counts.refused.fetch_add(1, Ordering::Relaxed);
        }
        return;
    }
}
