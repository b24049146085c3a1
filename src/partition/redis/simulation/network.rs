//! What lies between daemons and the store, in simulated time; and a service that makes sessions. At every step it is checked that only
//! the latest holder of a lease writes under it, and that only a holder's lease is renewed or given back.

use super::super::line::{Answered, Ask, Known, Remote, Work};
use super::super::scripts::{ACQUIRE, FORGET, FORGET_ID, PLACE, RELEASE, REMEMBER, RENEW, SET, Script};
use super::super::seal::Sealer;
use super::super::settings::RedisSettings;
use super::engine::{Engine, Keys};
use crate::partition::Partition;
use crate::partition::redis::{base_of, partition_suffix};
use crate::partition::store::SharedFault;
use cupola_protocol::id::SessionId;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use redis::{Arg, Value};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Milliseconds of a lease.
const LEASE: u64 = 3000;
/// The longest way of a message, in milliseconds.
const LATENCY: u64 = 20;
/// How long a write waits for the replica.
const SAFE_LIMIT: u64 = 2500;

/// What goes wrong.
#[derive(Debug, Clone, Copy)]
pub(super) struct Faults {
    /// Requests and answers are lost.
    pub(super) loses: bool,
    /// Daemons are stopped, often for longer than a lease.
    pub(super) pauses: bool,
    /// The replica takes over, without what it has not received.
    pub(super) fails_over: bool,
}

impl Faults {
    pub(super) const ALL: Self = Self { loses: true, pauses: true, fails_over: true };
    pub(super) const NONE: Self = Self { loses: false, pauses: false, fails_over: false };

    /// Does nothing go wrong that fails a call?
    pub(super) const fn is_mild(self) -> bool {
        !self.pauses && !self.fails_over
    }
}

pub(super) fn settings() -> RedisSettings {
    toml::from_str(
        "url = \"redis://localhost\"\nsealingKey = { env = \"KEY\" }\ndurability = \"memory\"\nreplicas = 1\nlease = 3",
    )
    .unwrap()
}

/// What is written under a lease.
static GUARDED: [&Script; 5] = [&SET, &PLACE, &REMEMBER, &FORGET_ID, &FORGET];

/// A lease that was given to a holder.
struct Grant {
    token: String,
    /// The number of the operation in the store.
    at: u64,
}

/// One accepted write of a partition's session.
struct Written {
    id: String,
    /// The number of the write in the store.
    at: u64,
}

struct State {
    engine: Engine,
    random: u64,
    /// How many operations have run, and what the replica has of them.
    ran: u64,
    replica: (u64, Keys),
    generation: u64,
    /// The grants of each lock, the latest last.
    grants: HashMap<String, Vec<Grant>>,
    writes: HashMap<String, Vec<Written>>,
    /// The last write of a partition that its daemon was told is safe.
    safe: HashMap<String, u64>,
    is_healed: bool,
}

pub(super) struct Network {
    state: Mutex<State>,
    faults: Faults,
    begun: Instant,
    settled: Duration,
    known: Arc<Known>,
    paused: Vec<watch::Sender<bool>>,
}

fn text(value: &Value) -> String {
    match value {
        Value::BulkString(bytes) => String::from_utf8(bytes.clone()).unwrap(),
        other => panic!("{other:?} is not a text"),
    }
}

impl State {
    fn below(&mut self, bound: u64) -> u64 {
        // xorshift: the same numbers on every system.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) % bound
    }

    fn holder(&self, lock: &str) -> Option<String> {
        self.engine.keys().text(lock).map(ToOwned::to_owned)
    }

    fn run(&mut self, script: &str, key: &str, arguments: &[&str]) -> Result<Value, SharedFault> {
        let lock = format!("{key}{}", arguments.first().unwrap_or(&""));
        let holder = self.holder(&lock);
        let answer = self.engine.run(script, key, arguments);
        self.ran += 1;
        let answer = answer.map_err(|error| {
            assert!(error.starts_with("FENCED "), "{error}");
            SharedFault::LeaseLost
        })?;
        if script == RENEW.text() || script == RELEASE.text() {
            let is_done = answer == Value::Int(1);
            assert!(!is_done || holder.as_deref() == Some(arguments[1]), "another's lease was renewed or given back");
        } else if script == ACQUIRE.text() {
            self.note_grants(&lock, key, &answer);
        } else if GUARDED.iter().any(|guarded| guarded.text() == script) && !arguments[0].is_empty() {
            let latest = self.grants[&lock].last().map(|grant| grant.token.as_str());
            assert_eq!(latest, Some(arguments[1]), "a write landed under a lease that another holder has had since");
            if script == SET.text() || script == PLACE.text() {
                let id = if script == SET.text() { arguments[3].to_owned() } else { text(&answer) };
                self.writes.entry(lock).or_default().push(Written { id, at: self.ran });
            }
        }
        Ok(answer)
    }

    fn note_grants(&mut self, lock: &str, base: &str, answer: &Value) {
        let Value::Array(answer) = answer else { panic!("{answer:?}") };
        let Some(token) = answer.first() else { return };
        self.note_grant(lock.to_owned(), text(token));
        if let [_, session, .., on_session] = &answer[..]
            && !text(on_session).is_empty()
        {
            self.note_grant(format!("{base}:l:s:{}", text(session)), text(on_session));
        }
    }

    fn note_grant(&mut self, lock: String, token: String) {
        let grants = self.grants.entry(lock).or_default();
        // The answer to an earlier request was lost.
        if grants.last().is_none_or(|latest| latest.token != token) {
            grants.push(Grant { token, at: self.ran });
        }
    }

    /// Runs a command, or a script by its text.
    fn command(&mut self, words: &[String]) -> Result<Value, SharedFault> {
        if words[0] == "EVAL" {
            let arguments: Vec<_> = words[4..].iter().map(String::as_str).collect();
            return self.run(&words[1], &words[3], &arguments);
        }
        self.ran += 1;
        Ok(self.engine.command(words))
    }

    /// The replica receives what there is.
    fn replicate(&mut self) {
        let keys = self.engine.keys().clone();
        self.replica = (self.ran, keys);
    }

    fn fail_over(&mut self) {
        let (ran, keys) = self.replica.clone();
        for (lock, writes) in &mut self.writes {
            let safe = self.safe.get(lock).copied().unwrap_or(0);
            assert!(safe <= ran, "a write that was reported as safe is lost: {lock}");
            writes.retain(|write| write.at <= ran);
        }
        for grants in self.grants.values_mut() {
            grants.retain(|grant| grant.at <= ran);
        }
        *self.engine.keys() = keys;
        self.ran = ran;
        self.generation += 1;
    }
}

impl Network {
    pub(super) fn new(seed: u64, faults: Faults, settled: Duration) -> Arc<Self> {
        let sealer = Sealer::new("a key that is long enough to be used").unwrap();
        let known = Known { id: "store".to_owned(), secret: vec![7; 32], sealer, waits_for_disk: false };
        let state = State {
            engine: Engine::new(),
            random: (seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15),
            ran: 0,
            replica: (0, Keys::default()),
            generation: 0,
            grants: HashMap::new(),
            writes: HashMap::new(),
            safe: HashMap::new(),
            is_healed: false,
        };
        Arc::new(Self {
            state: Mutex::new(state),
            faults,
            begun: Instant::now(),
            settled,
            known: Arc::new(known),
            paused: (0..super::DAEMONS).map(|_| watch::Sender::new(false)).collect(),
        })
    }

    /// One daemon's way to the store.
    pub(super) fn remote(network: &Arc<Self>, daemon: usize) -> Box<dyn Remote> {
        Box::new(SimulatedRemote { network: Arc::clone(network), daemon })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        let state = self.state.lock().unwrap();
        state.engine.keys().at(u64::try_from(self.begun.elapsed().as_millis()).unwrap());
        state
    }

    pub(super) fn below(&self, bound: u64) -> u64 {
        self.state().below(bound)
    }

    /// In that many of a hundred cases.
    pub(super) fn chance(&self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// Some time, up to that many milliseconds.
    pub(super) async fn sleep(&self, most: u64) {
        let pause = self.below(most);
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }

    fn is_troubled(&self) -> bool {
        self.begun.elapsed() < self.settled && !self.state().is_healed
    }

    /// Nothing goes wrong any more.
    pub(super) fn heal(&self) {
        self.state().is_healed = true;
        for paused in &self.paused {
            paused.send_replace(false);
        }
    }

    /// Stops daemons, lets the replica receive, and lets it take over.
    pub(super) async fn trouble(self: Arc<Self>) {
        loop {
            self.sleep(60).await;
            // The replica is behind at times.
            if !self.is_troubled() || self.chance(40) {
                self.state().replicate();
            }
            if !self.is_troubled() {
                for paused in &self.paused {
                    paused.send_replace(false);
                }
                continue;
            }
            if self.faults.fails_over && self.chance(2) {
                self.state().fail_over();
            }
            if self.faults.pauses && self.chance(3) {
                let daemon = usize::try_from(self.below(u64::try_from(self.paused.len()).unwrap())).unwrap();
                self.paused[daemon].send_replace(true);
                let network = Arc::clone(&self);
                tokio::spawn(async move {
                    network.sleep(3 * LEASE).await;
                    network.paused[daemon].send_replace(false);
                });
            }
        }
    }

    /// Returns once the daemon runs: a stopped one sends nothing and takes nothing in.
    pub(super) async fn running(&self, daemon: usize) {
        let mut paused = self.paused[daemon].subscribe();
        paused.wait_for(|paused| !paused).await.unwrap();
    }

    /// A daemon was told that its write of this session is safe.
    pub(super) fn acknowledged(&self, partition: &Partition, id: &SessionId) {
        let lock = format!("{}:l:p:{}", base_of("cupola", &partition.agent), partition_suffix(partition));
        let mut state = self.state();
        let at = state.writes[&lock].iter().rfind(|write| write.id == id.as_str()).map(|write| write.at);
        let at = at.expect("a write that was reported as safe is not there");
        let safe = state.safe.entry(lock).or_default();
        *safe = (*safe).max(at);
    }

    /// At the end, the record is that of the last write that was accepted.
    pub(super) fn check_end(&self, seed: u64) {
        let state = self.state();
        for (lock, writes) in &state.writes {
            let record = lock.replacen(":l:p:", ":p:", 1);
            let (keys, last) = (state.engine.keys(), writes.last().map(|write| write.id.as_str()));
            let saved = keys.field(&record, "session");
            assert!(saved.is_none() || saved == last, "seed {seed}: {saved:?} is saved, and {last:?} was written last");
        }
    }

    async fn attempt(&self, daemon: usize, work: &Work<'_>) -> Result<Answered, SharedFault> {
        let lost = || SharedFault::Unreachable("simulated".to_owned());
        self.running(daemon).await;
        let generation = self.state().generation;
        self.sleep(LATENCY).await;
        if self.faults.loses && self.is_troubled() && self.chance(3) {
            return Err(lost());
        }
        if self.state().generation != generation {
            return Err(lost());
        }
        let answers = match work {
            Work::Know | Work::Look => Vec::new(),
            Work::Ask(Ask { script, key, arguments, is_write }) => {
                let (answer, ran) = {
                    let mut state = self.state();
                    (state.run(script.text(), key, arguments)?, state.ran)
                };
                if *is_write {
                    self.is_safe(generation, ran).await?;
                }
                vec![answer]
            }
            Work::Send(commands) => {
                let mut state = self.state();
                let words = commands.cmd_iter().map(|command| {
                    let words = command.args_iter().map(|word| match word {
                        Arg::Simple(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
                        _ => panic!("a word that is none"),
                    });
                    words.collect::<Vec<_>>()
                });
                words.map(|words| state.command(&words)).collect::<Result<_, _>>()?
            }
        };
        self.sleep(LATENCY).await;
        if self.faults.loses && self.is_troubled() && self.chance(3) {
            return Err(lost());
        }
        self.running(daemon).await;
        Ok((answers, Arc::clone(&self.known)))
    }

    /// Waits until the replica has a write, as `WAIT` does.
    async fn is_safe(&self, generation: u64, ran: u64) -> Result<(), SharedFault> {
        let until = Instant::now() + Duration::from_millis(SAFE_LIMIT);
        loop {
            {
                let state = self.state();
                if state.generation != generation {
                    return Err(SharedFault::Unreachable("simulated".to_owned()));
                }
                if state.replica.0 >= ran {
                    return Ok(());
                }
            }
            if Instant::now() >= until {
                return Err(SharedFault::NotDurable("simulated".to_owned()));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

struct SimulatedRemote {
    network: Arc<Network>,
    daemon: usize,
}

impl Remote for SimulatedRemote {
    fn attempt<'a>(&'a self, work: &'a Work<'a>) -> BoxFuture<'a, Result<Answered, SharedFault>> {
        self.network.attempt(self.daemon, work).boxed()
    }

    fn reconnect(&self) {}

    fn replaced(&self) -> u64 {
        0
    }
}

/// A service: sessions have unique ids, and it says when one exists already.
pub(super) struct Service {
    made: Mutex<BTreeMap<String, usize>>,
    at_work: Mutex<(BTreeMap<String, usize>, bool)>,
    /// Do sessions go?
    loses: bool,
}

impl Service {
    pub(super) fn new(_seed: u64, loses: bool) -> Self {
        Self { made: Mutex::default(), at_work: Mutex::default(), loses }
    }

    /// Makes a session, or says that it exists.
    pub(super) async fn make(&self, daemon: usize, network: &Network, user: usize, id: &SessionId) {
        network.running(daemon).await;
        network.sleep(200).await;
        self.made.lock().unwrap().insert(id.to_string(), user);
        network.sleep(200).await;
        network.running(daemon).await;
    }

    /// A turn on a session. True if the service says that the session is gone.
    pub(super) async fn turn(&self, daemon: usize, network: &Network, session: &SessionId) -> bool {
        network.running(daemon).await;
        {
            let mut at_work = self.at_work.lock().unwrap();
            let count = at_work.0.entry(session.to_string()).or_default();
            *count += 1;
            let overlaps = *count > 1;
            at_work.1 |= overlaps;
        }
        network.sleep(400).await;
        *self.at_work.lock().unwrap().0.get_mut(session.as_str()).unwrap() -= 1;
        network.running(daemon).await;
        self.loses && network.chance(10)
    }

    pub(super) fn made_for(&self, user: usize) -> Vec<SessionId> {
        let made = self.made.lock().unwrap();
        made.iter().filter(|(_, of)| **of == user).map(|(id, _)| id.parse().unwrap()).collect()
    }

    pub(super) fn overlapped(&self) -> bool {
        self.at_work.lock().unwrap().1
    }
}
