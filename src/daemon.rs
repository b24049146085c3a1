//! `Daemon`: what every handler receives. It owns what clients share; what belongs to one client is in `connection`.

use crate::auth::{Surroundings, Tokens};
use crate::config::{self, Config, StoreConfig};
use crate::error::recent::RecentFailures;
use crate::foundry::{AllowedHosts, Foundry, InvalidSuffix, Settings};
use crate::lifetime::activity::Activity;
use crate::lifetime::shutdown::Shutdown;
use crate::limits::input::InputBudget;
use crate::limits::output::WaitingBudget;
use crate::partition::exclusion::{Exclusion, FileLocks};
use crate::partition::locks::Locks;
use crate::partition::pool::MadeSessions;
use crate::partition::redis::RedisStore;
use crate::partition::responses::Responses;
use crate::partition::sqlite::SqliteStore;
use crate::partition::store::{LockName, Store};
use crate::partition::warm::WarmSessions;
use crate::partition::{AgentKey, Partition};
use crate::pieces::Pieces;
use crate::run::Runs;
use crate::run::journal::Journal;
use crate::shared_logs::SharedLogs;
use crate::system::directory::{DirectoryError, PrivateDirectory};
use crate::target::Targets;
use crate::target::emulator::EmbeddedEmulator;
use crate::target::emulator_tokens::EmulatorTokens;
use crate::telemetry::{Gauges, ReadGauges, Surroundings as TelemetrySurroundings, Telemetry};
use cupola_protocol::id::SessionId;
use cupola_protocol::target::Target;
use futures_util::FutureExt as _;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

/// Saved state, in the state directory.
const STATE_FILE: &str = "state.db";
/// The locks of processes that use the same state directory, in it.
const LOCKS_DIRECTORY: &str = "locks";
/// Notes of the runs that end with their daemons, in the state directory.
const NOTES_DIRECTORY: &str = "runs";
/// The embedded emulator's sessions, in the state directory.
const EMULATOR_DIRECTORY: &str = "emulator";
/// How long the store may take to count partitions for a metric, before the metric is left out.
const STORE_LIMIT: Duration = Duration::from_secs(2);

/// Everything clients share.
#[derive(Debug)]
pub struct Daemon {
    /// The settings it was started with.
    pub config: Config,
    /// What keeps it from leaving.
    pub activity: Activity,
    /// How to end it.
    pub shutdown: Shutdown,
    /// Can another daemon take its place? Not on a socket that is a service manager's, nor without one.
    pub can_hand_over: AtomicBool,
    /// Told to clients that have said nothing, when others wait for their places.
    pub crowded: Notify,
    /// The memory for messages that come.
    pub input: InputBudget,
    /// The memory for messages that wait because their clients are slow to read.
    pub waiting: WaitingBudget,
    /// Every task that must have ended before the process may: connections, runs.
    pub tasks: TaskTracker,
    /// When it started, by the clock on the wall.
    pub started_at: SystemTime,
    /// When it started, for measuring.
    pub started: Instant,
    /// Where saved state lives; checked to be private to this user.
    pub state_directory: PrivateDirectory,
    /// The line to the service.
    pub foundry: Foundry,
    /// What to continue, per partition.
    pub store: Arc<dyn Store>,
    /// Keeps the invokes of a target in their order of arrival until each is in the queue of its partition.
    pub arrivals: Locks<Target>,
    /// Held while a partition's ids are being made, here or by another process on the same state directory.
    pub partition_locks: Locks<Partition>,
    /// Held while a session works on a call, of this process or another.
    pub session_locks: Locks<(AgentKey, SessionId)>,
    /// Invokes under way and those that ended recently.
    pub runs: Runs,
    /// Whose the latest responses are.
    pub responses: Responses,
    /// Sessions that are kept ready.
    pub warm: WarmSessions,
    /// Sessions of pools that are known to exist.
    pub pooled: MadeSessions,
    /// The latest calls that failed.
    pub failures: RecentFailures,
    /// What is written down of them for the next daemon.
    pub journal: Journal,
    /// Logs that are followed.
    pub shared_logs: SharedLogs,
    /// Traces and metrics, for those who operate it.
    pub telemetry: Telemetry,
    /// Files that are read or written in pieces.
    pub pieces: Pieces,
    /// What finds the agents that calls name.
    pub targets: Targets,
}

/// Why the daemon did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The state directory cannot be used.
    #[error("the state directory cannot be used: {0}")]
    StateDirectory(#[source] DirectoryError),
    /// The writer of saved state could not be started.
    #[error("the thread that writes saved state did not start: {0}")]
    Store(#[source] std::io::Error),
    /// The shared store's settings are wrong.
    #[error("store in the configuration file: {0}")]
    SharedStore(&'static str),
    /// A host suffix of the configuration is none.
    #[error("allowed_hosts in the configuration file: {0}")]
    AllowedHosts(#[from] InvalidSuffix),
}

impl Daemon {
    /// Checks the state directory and makes the daemon. It does not serve yet: see [`crate::inbound::server`].
    pub fn start(config: Config) -> Result<Arc<Self>, StartError> {
        let state_directory = PrivateDirectory::open(&config.state_directory).map_err(StartError::StateDirectory)?;
        let (store, locks) = saved_state(&config)?;
        // What a shared store keeps of every run, other machines read.
        let is_alone = matches!(config.store, StoreConfig::Sqlite);
        let notes = is_alone.then(|| config.state_directory.join(NOTES_DIRECTORY));
        let shutdown = Shutdown::new();
        let sockets = config.socket.parent().unwrap_or(&config.state_directory);
        let emulator =
            Arc::new(EmbeddedEmulator::of(config.state_directory.join(EMULATOR_DIRECTORY), sockets, shutdown.clone()));
        let (foundry, targets) = service(&config, emulator)?;
        let activity = Activity::default();
        let telemetry = telemetry(&config, &activity, &store);
        Ok(Arc::new(Self {
            targets,
            foundry,
            journal: Journal::new(Arc::clone(&store), Arc::clone(&locks), notes),
            store,
            arrivals: Locks::default(),
            partition_locks: Locks::between_processes(Arc::clone(&locks), |partition| {
                LockName::Partition(partition.clone())
            }),
            session_locks: Locks::between_processes(locks, |(agent, session)| {
                LockName::Session(agent.clone(), session.clone())
            }),
            runs: Runs::new(config.runs),
            responses: Responses::default(),
            warm: WarmSessions::default(),
            pooled: MadeSessions::default(),
            failures: RecentFailures::default(),
            shared_logs: SharedLogs::default(),
            pieces: Pieces::default(),
            telemetry,
            config,
            activity,
            shutdown,
            can_hand_over: AtomicBool::new(false),
            crowded: Notify::new(),
            input: InputBudget::default(),
            waiting: WaitingBudget::default(),
            tasks: TaskTracker::new(),
            started_at: SystemTime::now(),
            started: Instant::now(),
            state_directory,
        }))
    }
}

/// Traces and metrics as the settings ask for them.
fn telemetry(config: &Config, activity: &Activity, store: &Arc<dyn Store>) -> Telemetry {
    let surroundings = TelemetrySurroundings {
        trusted_certificates: config.trusted_certificates.clone(),
        resolve: config.resolve.clone(),
        proxies: config.proxies.clone(),
        variable: Arc::new(config::variable),
    };
    let (activity, store) = (activity.clone(), Arc::clone(store));
    let gauges: ReadGauges = Arc::new(move || {
        let (activity, store) = (activity.clone(), Arc::clone(&store));
        async move {
            let asked = Instant::now();
            let counted = tokio::time::timeout(STORE_LIMIT, store.count()).await;
            let partitions = counted.ok().and_then(Result::ok);
            Gauges {
                runs: activity.runs(),
                connections: activity.connections(),
                partitions,
                store_latency: partitions.map(|_| asked.elapsed()),
            }
        }
        .boxed()
    });
    Telemetry::start(config.telemetry.as_ref(), surroundings, &gauges)
}

/// Saved state, and who holds what there.
type SavedState = (Arc<dyn Store>, Arc<dyn Exclusion>);

/// Where saved state is kept.
fn saved_state(config: &Config) -> Result<SavedState, StartError> {
    match &config.store {
        StoreConfig::Sqlite => {
            let store = SqliteStore::new(config.state_directory.join(STATE_FILE)).map_err(StartError::Store)?;
            Ok((Arc::new(store), Arc::new(FileLocks::new(config.state_directory.join(LOCKS_DIRECTORY)))))
        }
        StoreConfig::Redis(settings) => {
            let store = RedisStore::new((**settings).clone(), Arc::new(config::variable));
            let store = store.map_err(StartError::SharedStore)?;
            let locks = store.locks();
            Ok((Arc::new(store), locks))
        }
    }
}

/// What credentials use besides their own settings.
pub(crate) fn surroundings(config: &Config) -> Surroundings {
    Surroundings {
        variable: Arc::new(config::variable),
        trusted_certificates: config.trusted_certificates.clone(),
        resolve: config.resolve.clone(),
        proxies: config.proxies.clone(),
        ..Surroundings::default()
    }
}

/// The line to the service as the settings describe it, and what finds agents on it. `emulator` is the one that `--emulator` means.
pub(crate) fn service(config: &Config, emulator: Arc<EmbeddedEmulator>) -> Result<(Foundry, Targets), InvalidSuffix> {
    let (list, given) = (config.emulators_directory.clone(), config.emulator_token.clone());
    let emulators = Arc::new(EmulatorTokens::new(Arc::clone(&emulator), list, given));
    let finder = Arc::clone(&emulators);
    let of_emulator = Arc::new(move |origin: &str| finder.credential(origin));
    let tokens = Tokens::new(config.credential.clone(), surroundings(config), of_emulator);
    let settings = Settings {
        allowed_hosts: AllowedHosts::with(config.allowed_hosts.iter().cloned())?,
        trusted_certificates: config.trusted_certificates.clone(),
        resolve: config.resolve.clone(),
        proxies: config.proxies.clone(),
        embedded_socket: emulator.socket().map(ToOwned::to_owned),
        call_limit: config.call_limit,
    };
    let foundry = Foundry::new(settings, Arc::new(tokens));
    let targets = Targets::new(foundry.clone(), emulator, emulators);
    Ok((foundry, targets))
}
