//! Daemons and a store in simulated time: the real client, the real locks and the real scripts, under pauses longer than a lease, lost
//! requests and answers, and failovers that lose the last writes. Each seed is a schedule of its own, and takes milliseconds.
//!
//! - [`network`]: what lies between the daemons and the store, and what is checked at every step; [`engine`]: the store itself

mod engine;
mod network;

use super::line::Line;
use super::{RedisStore, leases::Leases};
use crate::partition::exclusion::under;
use crate::partition::locks::{LockError, Locks};
use crate::partition::pool::Pool;
use crate::partition::store::{LockName, Store, StoreError};
use crate::partition::{AgentKey, Owner, Partition};
use cupola_protocol::id::SessionId;
use cupola_protocol::isolation::{Isolation, IsolationModel};
use network::{Faults, Network, Service};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

const DAEMONS: usize = 3;
/// Calls at once in each daemon, and how many each makes.
const WORKERS: usize = 3;
const CALLS: usize = 12;
const USERS: usize = 2;
/// How many schedules of each kind.
const SEEDS: u64 = 16;
/// When faults end. From then on every call must succeed.
const SETTLED: Duration = Duration::from_secs(40);
/// How long everything may take after that: some leases, and turns in their order.
const PROGRESS: Duration = Duration::from_mins(2);

fn agent() -> AgentKey {
    AgentKey::from_stored("emulator/notes".to_owned())
}

fn partition(user: usize) -> Partition {
    let isolation: Isolation = serde_json::from_str(&format!(r#"{{"userKey":"user-{user}"}}"#)).unwrap();
    let owner = Owner::new(&agent(), "caller", IsolationModel::Keys, &isolation);
    Partition { agent: agent(), owner, version: None }
}

/// Why a call did not come to its end.
#[derive(Debug)]
#[expect(dead_code, reason = "shown when a call fails that must not")]
enum Failed {
    Lock(LockError),
    Store(StoreError),
}

impl From<LockError> for Failed {
    fn from(error: LockError) -> Self {
        Self::Lock(error)
    }
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// A daemon, as far as the store and the service can tell.
struct Daemon {
    number: usize,
    network: Arc<Network>,
    service: Arc<Service>,
    store: Arc<dyn Store>,
    partitions: Locks<Partition>,
    sessions: Locks<(AgentKey, SessionId)>,
}

impl Daemon {
    fn new(number: usize, network: &Arc<Network>, service: &Arc<Service>) -> Arc<Self> {
        let line = Arc::new(Line::new(network::settings(), "simulated".to_owned(), Network::remote(network, number)));
        let store = RedisStore { leases: Leases::new(Arc::clone(&line)), line, lease: None };
        let locks = store.locks();
        Arc::new(Self {
            number,
            network: Arc::clone(network),
            service: Arc::clone(service),
            partitions: Locks::between_processes(Arc::clone(&locks), |partition| {
                LockName::Partition(partition.clone())
            }),
            sessions: Locks::between_processes(locks, |(agent, session)| {
                LockName::Session(agent.clone(), session.clone())
            }),
            store: Arc::new(store),
        })
    }

    /// As `methods/invoke/attempt` does it. With a pool, the session is one of it.
    async fn call(&self, user: usize, wants_new: bool, pool: Option<&Pool>) -> Result<(), Failed> {
        let partition = partition(user);
        let mut turn = self.partitions.take(&partition).await?;
        let granted = turn.take_session();
        let lease = turn.lease().unwrap();
        let saved = lease.saved().unwrap().session.clone();
        let store = under(&self.store, Some(lease));
        let granted = granted.filter(|_| !wants_new);
        let session = match (saved, pool) {
            (Some(session), _) if !wants_new => session,
            (_, Some(pool)) => {
                let new = uuid::Uuid::new_v4().to_string().parse().unwrap();
                let session = store.place(&partition, pool, &new).await?.unwrap();
                self.service.make(self.number, &self.network, 0, &session).await;
                session
            }
            _ => {
                let id = store.next_session(&partition, wants_new).await?.unwrap();
                self.service.make(self.number, &self.network, user, &id).await;
                store.set_session(&partition, &id).await?;
                self.network.acknowledged(&partition, &id);
                id
            }
        };
        let place = self.sessions.join(&(agent(), session.clone())).granted(granted);
        drop(turn);
        let hold = place.wait().await?;
        let is_gone = self.service.turn(self.number, &self.network, &session).await;
        if is_gone {
            under(&self.store, hold.lease()).forget_session(&agent(), &session).await?;
        }
        Ok(())
    }
}

/// What came of a schedule.
struct Outcome {
    network: Arc<Network>,
    service: Arc<Service>,
    store: Arc<dyn Store>,
}

async fn simulate(seed: u64, faults: Faults, renews: bool, pool: Option<Pool>) -> Outcome {
    let (network, service) = (Network::new(seed, faults, SETTLED), Arc::new(Service::new(seed, renews)));
    let begun = Instant::now();
    let daemons: Vec<_> = (0..DAEMONS).map(|number| Daemon::new(number, &network, &service)).collect();
    let mut workers = tokio::task::JoinSet::new();
    for worker in 0..DAEMONS * WORKERS {
        let (daemon, network, pool) = (Arc::clone(&daemons[worker % DAEMONS]), Arc::clone(&network), pool.clone());
        workers.spawn(async move {
            for call in 0..CALLS {
                network.sleep(3000).await;
                let (is_settled, user) = (begun.elapsed() >= SETTLED, (worker + call) % USERS);
                let wants_new = renews && network.chance(40);
                let outcome = daemon.call(user, wants_new, pool.as_ref()).await;
                assert!(outcome.is_ok() || !(is_settled || faults.is_mild()), "seed {seed}: {outcome:?}");
            }
        });
    }
    let troubles = tokio::spawn(Arc::clone(&network).trouble());
    let all = async {
        while let Some(ended) = workers.join_next().await {
            ended.unwrap();
        }
    };
    tokio::time::timeout(SETTLED + PROGRESS, all).await.unwrap_or_else(|_| panic!("seed {seed}: calls do not end"));
    troubles.abort();
    let store = Arc::clone(&daemons[0].store);
    network.heal();
    Outcome { network, service, store }
}

#[tokio::test(start_paused = true)]
async fn with_lost_answers_alone_every_call_succeeds_and_turns_never_overlap() {
    for seed in 0..SEEDS {
        let faults = Faults { loses: true, pauses: false, fails_over: false };
        let Outcome { network, service, store } = simulate(seed, faults, false, None).await;
        for user in 0..USERS {
            let made = service.made_for(user);
            assert_eq!(made.len(), 1, "seed {seed}: several sessions: {made:?}");
            assert_eq!(store.load(&partition(user)).await.unwrap().session.as_ref(), made.first(), "seed {seed}");
        }
        assert!(!service.overlapped(), "seed {seed}: two turns ran on a session at once");
        network.check_end(seed);
    }
}

#[tokio::test(start_paused = true)]
async fn pauses_and_failovers_let_no_late_write_land_and_make_no_second_session() {
    for seed in 0..SEEDS {
        let Outcome { network, service, store } = simulate(seed, Faults::ALL, false, None).await;
        for user in 0..USERS {
            let made = service.made_for(user);
            assert_eq!(made.len(), 1, "seed {seed}: several sessions: {made:?}");
            assert_eq!(store.load(&partition(user)).await.unwrap().session.as_ref(), made.first(), "seed {seed}");
        }
        network.check_end(seed);
    }
}

#[tokio::test(start_paused = true)]
async fn with_sessions_that_are_replaced_nothing_acknowledged_is_lost() {
    for seed in 0..SEEDS {
        let Outcome { network, service, store } = simulate(seed, Faults::ALL, true, None).await;
        for user in 0..USERS {
            let saved = store.load(&partition(user)).await.unwrap().session;
            assert!(saved.is_none_or(|saved| service.made_for(user).contains(&saved)), "seed {seed}");
        }
        network.check_end(seed);
    }
}

#[tokio::test(start_paused = true)]
async fn users_of_a_pool_share_its_sessions_and_no_more_than_those() {
    let pool = Pool { owner: Owner::of_pool(&agent(), "caller", None), most: 1, share: 1 };
    for seed in 0..SEEDS {
        let Outcome { network, service, store } = simulate(seed, Faults::ALL, false, Some(pool.clone())).await;
        let sessions: BTreeSet<_> =
            [store.load(&partition(0)).await.unwrap(), store.load(&partition(1)).await.unwrap()]
                .into_iter()
                .map(|saved| saved.session.unwrap().to_string())
                .collect();
        assert_eq!(sessions.len(), 1, "seed {seed}: {sessions:?}");
        let known = store.known_session(&agent(), &sessions.first().unwrap().parse().unwrap()).await.unwrap().unwrap();
        assert_eq!(known.owner, pool.owner, "seed {seed}");
        let _ = (network, service);
    }
}

/// The store's script decides as [`choose`](crate::partition::pool::choose) does.
#[tokio::test(start_paused = true)]
async fn the_script_places_as_the_rule_says() {
    use crate::partition::pool::{Choice, choose};
    for seed in 0..SEEDS {
        let network = Network::new(seed, Faults::NONE, SETTLED);
        // The replica receives what there is: a write waits for that.
        let replica = tokio::spawn(Arc::clone(&network).trouble());
        let daemon = Daemon::new(0, &network, &Arc::new(Service::new(seed, false)));
        let pool = Pool {
            owner: Owner::of_pool(&agent(), "caller", None),
            most: u32::try_from(network.below(5)).unwrap(),
            share: u32::try_from(1 + network.below(3)).unwrap(),
        };
        let mut loads = BTreeMap::<String, u64>::new();
        for user in 0..20 {
            let new: SessionId = format!("session-{:02}", (user * 7) % 20).parse().unwrap();
            let expected = match choose(&loads.values().copied().collect::<Vec<_>>(), &pool) {
                Choice::Existing(place) => loads.keys().nth(place).cloned(),
                Choice::New => Some(new.to_string()),
                Choice::Nowhere => None,
            };
            let placed = daemon.store.place(&partition(user), &pool, &new).await.unwrap();
            assert_eq!(placed.as_ref().map(ToString::to_string), expected, "seed {seed}: {pool:?} {loads:?}");
            let again = daemon.store.place(&partition(user), &pool, &"session-other".parse().unwrap()).await.unwrap();
            assert_eq!(again, placed, "seed {seed}: a user moved");
            if let Some(session) = placed {
                *loads.entry(session.to_string()).or_default() += 1;
            }
            if user % 6 == 5
                && let Some((gone, _)) = loads.pop_first()
            {
                daemon.store.forget_session(&agent(), &gone.parse().unwrap()).await.unwrap();
            }
        }
        replica.abort();
    }
}
