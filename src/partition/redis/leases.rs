//! Leases: names that this process holds in the store, renewed while it lives. A process that ends, or is stopped or cut off for
//! longer than a lease, holds nothing any more; what it writes then is refused by the scripts.
//!
//! - [`table`]: the leases of this process, and how each stands

mod table;

use super::line::{Ask, Line};
use super::scripts::{ACQUIRE, RELEASE, RENEW};
use super::{base_of, journal_base, partition_suffix};
use crate::partition::exclusion::{Exclusion, ExclusionError, Held};
use crate::partition::store::{Lease, LockName, Saved, StoreError};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use redis::{Pipeline, Value};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use table::{State, Table};
use tokio::time::Instant;
use uuid::Uuid;

/// When a name that another process holds is asked for again first. The pause doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(5);

/// The longest pause: not to be noticed beside a turn.
const MAX_PAUSE: Duration = Duration::from_millis(40);

/// How long a place behind a holder is kept without asking again: some pauses. A process that is gone keeps nobody waiting.
const PLACE_KEPT: Duration = Duration::from_secs(1);

/// How often in its time a lease is renewed: two renewals may fail.
const RENEWALS: u32 = 3;

/// The leases of one process.
pub(super) struct Leases {
    line: Arc<Line>,
    /// This process, in every lease.
    process: String,
    count: AtomicU64,
    table: Table<LockName>,
    is_kept: AtomicBool,
}

/// Where a name is in the store: the base of its keys, what follows it, and the record that is read with it.
fn place(prefix: &str, name: &LockName) -> (String, String, String) {
    match name {
        LockName::Partition(partition) => {
            let suffix = partition_suffix(partition);
            (base_of(prefix, &partition.agent), format!(":l:p:{suffix}"), suffix)
        }
        LockName::Session(agent, session) => (base_of(prefix, agent), format!(":l:s:{session}"), String::new()),
        LockName::Daemon(name) => (journal_base(prefix), format!(":l:d:{name}"), String::new()),
    }
}

/// Whom a lease belongs to, as the scripts check it: its key behind the base, and its token.
pub(super) fn guard(lease: Option<&Lease>) -> (String, String) {
    let Some(lease) = lease else { return Default::default() };
    (place("", &lease.name).1, lease.token.clone())
}

impl Leases {
    pub(super) fn new(line: Arc<Line>) -> Arc<Self> {
        Arc::new(Self {
            line,
            process: Uuid::new_v4().simple().to_string(),
            count: AtomicU64::new(0),
            table: Table::default(),
            is_kept: AtomicBool::new(false),
        })
    }

    /// What names this process in the store.
    pub(super) fn process(&self) -> &str {
        &self.process
    }

    fn who(&self) -> String {
        format!("{}-{}", self.process, self.count.fetch_add(1, Ordering::Relaxed))
    }

    /// Asks once.
    async fn ask(&self, name: &LockName, who: &str, waits: bool) -> Result<Option<Lease>, StoreError> {
        let (base, lock, partition) = place(&self.line.settings.prefix, name);
        let lease = self.line.settings.lease().as_millis().to_string();
        let kept = PLACE_KEPT.as_millis().to_string();
        let arguments = [&*lock, who, &lease, &partition, if waits { "1" } else { "0" }, &kept];
        // A lease need not be safe: losing it costs work and no data, because the fence is in the record.
        let ask = Ask { script: &ACQUIRE, key: &base, arguments: &arguments, is_write: false };
        let answer: Vec<String> = self.line.read_as(self.line.ask(ask).await?)?;
        let mut answer = answer.into_iter();
        let Some(token) = answer.next() else { return Ok(None) };
        let saved = (!partition.is_empty()).then(|| Saved {
            session: answer.next().and_then(|id| id.parse().ok()),
            conversation: answer.next().and_then(|id| id.parse().ok()),
            context: answer.next().and_then(|id| id.parse().ok()),
        });
        let session = match (name, &saved, answer.next().filter(|token| !token.is_empty())) {
            (LockName::Partition(partition), Some(Saved { session: Some(session), .. }), Some(token)) => {
                let name = LockName::Session(partition.agent.clone(), session.clone());
                Some(Box::new(Lease { name, token, saved: None, session: None }))
            }
            _ => None,
        };
        Ok(Some(Lease { name: name.clone(), token, saved, session }))
    }

    /// What was granted, to be renewed until it is dropped.
    fn keep(self: Arc<Self>, mut lease: Lease, state: State) -> Held {
        let session = lease.session.take().map(|session| Arc::clone(&self).keep(*session, State::Held));
        let key = (lease.name.clone(), lease.token.clone());
        self.table.insert(key.clone(), state);
        if !self.is_kept.swap(true, Ordering::AcqRel) {
            // It ends when the store's last handle is gone.
            let leases = Arc::downgrade(&self);
            let every = self.line.settings.lease() / RENEWALS;
            tokio::spawn(async move {
                let mut next = Instant::now() + every;
                while let Some(leases) = leases.upgrade() {
                    let released = tokio::time::timeout_at(next, leases.table.released()).await.is_ok();
                    leases.give_back().await;
                    if !released {
                        next = Instant::now() + every;
                        leases.renew().await;
                    }
                }
            });
        }
        Held::new(Kept { leases: Arc::clone(&self), key }, Some(lease)).with_session(session)
    }

    /// Gives back what was dropped. What cannot be given back ends with its time.
    pub(super) async fn give_back(&self) {
        let released = self.table.take_released();
        if released.is_empty() {
            return;
        }
        let mut commands = Pipeline::new();
        for (name, token) in &released {
            let (base, lock, _) = place(&self.line.settings.prefix, name);
            // By its text, so that a store that was started again knows it.
            commands.cmd("EVAL").arg(RELEASE.text()).arg(1).arg(base).arg(lock).arg(token);
        }
        if let Err(error) = self.line.send(&commands).await {
            tracing::warn!(%error, "leases could not be given back; they end with their time");
        }
    }

    /// Renews what is held, and looks whether the store is still the same.
    async fn renew(self: &Arc<Self>) {
        let held = self.table.all();
        if let Err(error) = self.line.look().await {
            tracing::warn!(%error, "leases could not be renewed");
            return;
        }
        let lease = self.line.settings.lease().as_millis().to_string();
        let mut commands = Pipeline::new();
        for ((name, token), _) in &held {
            let (base, lock, _) = place(&self.line.settings.prefix, name);
            commands.cmd("EVAL").arg(RENEW.text()).arg(1).arg(base).arg(lock).arg(token).arg(&lease);
        }
        if held.is_empty() {
            return;
        }
        let renewed = match self.line.send(&commands).await {
            Ok(renewed) => renewed,
            Err(error) => {
                tracing::warn!(%error, "leases could not be renewed");
                return;
            }
        };
        for ((key, state), renewed) in held.into_iter().zip(renewed) {
            if renewed == Value::Int(1) || !self.table.is(&key, state) {
                continue;
            }
            if state == State::Presence {
                self.reappear(key).await;
            } else {
                tracing::warn!(lease = ?key.0, "a lease is lost: this process was stopped or cut off for too long");
                self.table.lose(&key);
            }
        }
    }

    /// Takes this daemon's name again. What it had is perhaps another's by now, which the records say.
    async fn reappear(&self, key: (LockName, String)) {
        tracing::warn!("this daemon was taken for dead; its runs that survive may have been taken up by another");
        let who = self.who();
        // A daemon that takes up what it left holds its name for a moment.
        if let Ok(Some(lease)) = self.ask(&key.0, &who, false).await {
            self.table.replace(&key, lease.token);
        }
    }
}

/// A lease that is held. Dropping it gives it back.
struct Kept {
    leases: Arc<Leases>,
    key: (LockName, String),
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.leases.table.release(&self.key);
    }
}

/// The leases, as what others hold names by.
#[derive(Debug, Clone)]
pub(super) struct SharedLocks(pub(super) Arc<Leases>);

impl Exclusion for SharedLocks {
    fn acquire(&self, name: &LockName) -> BoxFuture<'static, Result<Held, ExclusionError>> {
        let (leases, name) = (Arc::clone(&self.0), name.clone());
        async move {
            let (who, mut pause) = (leases.who(), FIRST_PAUSE);
            loop {
                if let Some(lease) = leases.ask(&name, &who, true).await? {
                    return Ok(leases.keep(lease, State::Held));
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(MAX_PAUSE);
            }
        }
        .boxed()
    }

    fn attempt(&self, name: &LockName) -> BoxFuture<'static, Result<Option<Held>, ExclusionError>> {
        let (leases, name) = (Arc::clone(&self.0), name.clone());
        async move {
            let who = leases.who();
            let lease = leases.ask(&name, &who, false).await?;
            Ok(lease.map(|lease| leases.keep(lease, State::Held)))
        }
        .boxed()
    }

    fn appear(&self, name: &LockName) -> BoxFuture<'static, Result<Option<Held>, ExclusionError>> {
        let (leases, name) = (Arc::clone(&self.0), name.clone());
        async move {
            let who = leases.who();
            let lease = leases.ask(&name, &who, false).await?;
            Ok(lease.map(|lease| leases.keep(lease, State::Presence)))
        }
        .boxed()
    }

    fn are_others(&self, _own: &str) -> bool {
        true
    }
}

impl fmt::Debug for Leases {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Leases").field("process", &self.process).finish_non_exhaustive()
    }
}
