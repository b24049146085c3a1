//! Saved state that several daemons share, in Valkey or Redis: partitions, owners, the journal, chats and leases.
//!
//! The store decides everything in scripts, each atomic: what a daemon that was stopped for too long writes late is refused there,
//! because the lease that guards a record lies beside it. Nothing counts as saved before it is as safe as the settings ask. Keys of one
//! agent have one hash slot, and so have those of the journal.
//!
//! - [`settings`]: `[store]` of the configuration file; [`mod@line`]: tries; [`connections`]: the server, and the safety of writes;
//!   [`faults`]: what an error means
//! - [`scripts`]: what runs in the store; [`seal`]: what the store must not read; [`leases`]: names that one daemon holds
//! - [`journal`]: the runs that were begun; [`chats`]: what clients remember; [`questions`]: what agents asked;
//!   [`pages`]: lists of partitions in parts; [`inspect`]: what `cupola doctor` says
//! - `simulation`: daemons and a store in simulated time, for tests

mod chats;
mod connections;
mod faults;
mod inspect;
mod journal;
mod leases;
mod line;
mod pages;
mod questions;
mod scripts;
mod seal;
pub mod settings;
#[cfg(test)]
mod simulation;

use super::exclusion::Exclusion;
use super::journal::{Ended, Entry};
use super::pages::{Among, Place};
use super::pool::Pool;
use super::store::{Finding, KnownSession, Lease, Page, Saved, SavedPartition, SharedFault, Store, StoreError};
use super::{AgentKey, Owner, Partition, bytes, hex};
use crate::system::secret::Variables;
use connections::Connections;
use cupola_protocol::id::{ConversationId, ResponseId, RunId, SessionId};
use cupola_protocol::isolation::IsolationKey;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use leases::{Leases, SharedLocks};
use line::{Ask, Line};
use redis::{FromRedisValue, Pipeline, Value};
use ring::hmac;
use scripts::{FORGET, FORGET_ID, LIST, PLACE, REMEMBER, SET, Script};
use settings::RedisSettings;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Bytes of a hash tag: agents do not collide in 64 bits.
const TAG_BYTES: usize = 8;

/// Bytes of a session id that is made here: 128 bits cannot be guessed.
const SESSION_ID_BYTES: usize = 16;

/// Saved state in a shared store.
#[derive(Debug, Clone)]
pub struct RedisStore {
    line: Arc<Line>,
    leases: Arc<Leases>,
    /// What writes are made under.
    lease: Option<Lease>,
}

/// The keys of an agent begin with this.
fn base_of(prefix: &str, agent: &AgentKey) -> String {
    let tag = Sha256::digest(agent.as_str().as_bytes());
    format!("{prefix}:{{{}}}", hex(&tag[..TAG_BYTES]))
}

/// The keys of the journal begin with this.
fn journal_base(prefix: &str) -> String {
    format!("{prefix}:{{journal}}")
}

/// A partition's key within its agent.
fn partition_suffix(partition: &Partition) -> String {
    let version = partition.version.as_ref().map(ToString::to_string).unwrap_or_default();
    format!("{}:{version}", hex(partition.owner.bytes()))
}

fn seconds(time: SystemTime) -> String {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs().to_string()
}

fn time(seconds: Option<&String>) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds.and_then(|text| text.parse().ok()).unwrap_or(0))
}

/// What a record says in a field. What this program did not write counts as nothing.
fn parsed<Id: FromStr>(record: &HashMap<String, String>, field: &str) -> Option<Id> {
    record.get(field)?.parse().ok()
}

fn owner(text: &str) -> Option<Owner> {
    Owner::from_bytes(&bytes(text)?)
}

impl Line {
    fn read_as<T: FromRedisValue>(&self, value: Value) -> Result<T, StoreError> {
        redis::from_redis_value(value).map_err(|error| self.error(SharedFault::Other(error.to_string())))
    }
}

impl RedisStore {
    /// Uses the store that the settings name. It is asked at the first call: a daemon whose store is away still starts.
    pub fn new(settings: RedisSettings, variable: Variables) -> Result<Self, &'static str> {
        let connections = Connections::new(settings.clone(), variable)?;
        let line = Arc::new(Line::new(settings, connections.address(), Box::new(connections)));
        Ok(Self { leases: Leases::new(Arc::clone(&line)), line, lease: None })
    }

    /// What holds names in the same store.
    pub fn locks(&self) -> Arc<dyn Exclusion> {
        Arc::new(SharedLocks(Arc::clone(&self.leases)))
    }

    fn base(&self, agent: &AgentKey) -> String {
        base_of(&self.line.settings.prefix, agent)
    }

    fn agents(&self) -> String {
        format!("{}:agents", self.line.settings.prefix)
    }

    async fn write(&self, script: &Script, key: &str, arguments: &[&str]) -> Result<Value, StoreError> {
        self.line.ask(Ask { script, key, arguments, is_write: true }).await
    }

    /// Fields of one record.
    async fn record(&self, key: &str) -> Result<HashMap<String, String>, StoreError> {
        let mut command = Pipeline::new();
        command.cmd("HGETALL").arg(key);
        self.line.read_as(self.line.send(&command).await?.pop().unwrap_or(Value::Nil))
    }

    /// Lists an agent: before a record of it is made, so that no partition is missing in a list.
    async fn list_agent(&self, agent: &AgentKey) -> Result<(), StoreError> {
        let mut listed = Pipeline::new();
        listed.cmd("SADD").arg(self.agents()).arg(agent.as_str());
        self.line.send(&listed).await.map(drop)
    }

    /// Makes an id the partition's current one.
    async fn set(&self, partition: &Partition, field: &str, id: &str) -> Result<(), StoreError> {
        let agent = partition.agent.as_str();
        self.list_agent(&partition.agent).await?;
        let (lock, token) = leases::guard(self.lease.as_ref());
        let (owner, now) = (hex(partition.owner.bytes()), seconds(SystemTime::now()));
        let version = partition.version.as_ref().map(ToString::to_string).unwrap_or_default();
        let arguments = [&*lock, &token, field, id, agent, &owner, &version, &now];
        self.write(&SET, &self.base(&partition.agent), &arguments).await.map(drop)
    }

    async fn forget_id(&self, agent: &AgentKey, kind: &str, id: &str) -> Result<(), StoreError> {
        let (lock, token) = leases::guard(self.lease.as_ref());
        let now = seconds(SystemTime::now());
        self.write(&FORGET_ID, &self.base(agent), &[&lock, &token, kind, id, &now]).await.map(drop)
    }

    async fn all_agents(&self) -> Result<Vec<AgentKey>, StoreError> {
        let mut command = Pipeline::new();
        command.cmd("SMEMBERS").arg(self.agents());
        let names: Vec<String> = self.line.read_as(self.line.send(&command).await?.pop().unwrap_or(Value::Nil))?;
        Ok(names.into_iter().map(AgentKey::from_stored).collect())
    }

    async fn partitions(&self) -> Result<Vec<SavedPartition>, StoreError> {
        let mut found = Vec::new();
        for agent in self.all_agents().await? {
            let key = self.base(&agent);
            let ask = Ask { script: &LIST, key: &key, arguments: &[], is_write: false };
            let records: Vec<HashMap<String, String>> = self.line.read_as(self.line.ask(ask).await?)?;
            found.extend(records.into_iter().filter_map(|record| {
                let owner = owner(record.get("owner")?)?;
                let partition = Partition { agent: agent.clone(), owner, version: parsed(&record, "version") };
                Some(SavedPartition { partition, saved: saved(&record), updated_at: time(record.get("at")) })
            }));
        }
        found.sort_by_key(|saved| {
            let Partition { agent, owner, version } = &saved.partition;
            let version = version.as_ref().map(ToString::to_string);
            (std::cmp::Reverse(saved.updated_at), agent.as_str().to_owned(), *owner.bytes(), version)
        });
        Ok(found)
    }
}

fn saved(record: &HashMap<String, String>) -> Saved {
    Saved {
        session: parsed(record, "session"),
        conversation: parsed(record, "conversation"),
        context: parsed(record, "context"),
    }
}

impl Store for RedisStore {
    fn load(&self, partition: &Partition) -> BoxFuture<'_, Result<Saved, StoreError>> {
        let key = format!("{}:p:{}", self.base(&partition.agent), partition_suffix(partition));
        async move { Ok(saved(&self.record(&key).await?)) }.boxed()
    }

    fn set_session(&self, partition: &Partition, session: &SessionId) -> BoxFuture<'_, Result<(), StoreError>> {
        let (partition, session) = (partition.clone(), session.to_string());
        async move { self.set(&partition, "session", &session).await }.boxed()
    }

    fn set_conversation(
        &self,
        partition: &Partition,
        conversation: &ConversationId,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        let (partition, id) = (partition.clone(), conversation.to_string());
        async move { self.set(&partition, "conversation", &id).await }.boxed()
    }

    fn set_context(&self, partition: &Partition, context: &ConversationId) -> BoxFuture<'_, Result<(), StoreError>> {
        let (partition, id) = (partition.clone(), context.to_string());
        async move { self.set(&partition, "context", &id).await }.boxed()
    }

    fn remember_session(
        &self,
        agent: &AgentKey,
        session: &SessionId,
        known: KnownSession,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        let (key, session) = (self.base(agent), session.to_string());
        async move {
            let key_text = match &known.ownership_key {
                None => String::new(),
                Some(ownership) => {
                    let known = self.line.known().await?;
                    let text = known.sealer.seal(&session, ownership.as_str().as_bytes());
                    text.ok_or_else(|| self.line.error(SharedFault::Other("no random bytes".to_owned())))?
                }
            };
            let (lock, token) = leases::guard(self.lease.as_ref());
            let owner = hex(known.owner.bytes());
            self.write(&REMEMBER, &key, &[&lock, &token, &session, &owner, &key_text]).await.map(drop)
        }
        .boxed()
    }

    fn known_session(
        &self,
        agent: &AgentKey,
        session: &SessionId,
    ) -> BoxFuture<'_, Result<Option<KnownSession>, StoreError>> {
        let (key, session) = (format!("{}:s:{session}", self.base(agent)), session.to_string());
        async move {
            let record = self.record(&key).await?;
            let Some(owner) = record.get("owner").and_then(|text| owner(text)) else { return Ok(None) };
            let ownership_key: Option<IsolationKey> = match record.get("key") {
                None => None,
                Some(sealed) => {
                    let opened = self.line.known().await?.sealer.open(&session, sealed);
                    opened.and_then(|text| String::from_utf8(text).ok()?.parse().ok())
                }
            };
            Ok(Some(KnownSession { owner, ownership_key }))
        }
        .boxed()
    }

    fn conversation_owner(
        &self,
        agent: &AgentKey,
        conversation: &ConversationId,
    ) -> BoxFuture<'_, Result<Option<Owner>, StoreError>> {
        let key = format!("{}:c:{conversation}", self.base(agent));
        async move { Ok(self.record(&key).await?.get("owner").and_then(|text| owner(text))) }.boxed()
    }

    fn forget_session(&self, agent: &AgentKey, session: &SessionId) -> BoxFuture<'_, Result<(), StoreError>> {
        let (agent, id) = (agent.clone(), session.to_string());
        async move { self.forget_id(&agent, "s", &id).await }.boxed()
    }

    fn forget_conversation(
        &self,
        agent: &AgentKey,
        conversation: &ConversationId,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        let (agent, id) = (agent.clone(), conversation.to_string());
        async move { self.forget_id(&agent, "c", &id).await }.boxed()
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<SavedPartition>, StoreError>> {
        self.partitions().boxed()
    }

    fn page(&self, among: &Among, after: Option<&Place>, most: usize) -> BoxFuture<'_, Result<Page, StoreError>> {
        let (among, after) = (among.clone(), after.cloned());
        async move { self.read_page(&among, after.as_ref(), most).await }.boxed()
    }

    fn forget(&self, partitions: &[Partition]) -> BoxFuture<'_, Result<u64, StoreError>> {
        let mut of_agents = BTreeMap::<String, Vec<String>>::new();
        for partition in partitions {
            let version = partition.version.as_ref().map(ToString::to_string).unwrap_or_default();
            let arguments = of_agents.entry(self.base(&partition.agent)).or_default();
            arguments.extend([hex(partition.owner.bytes()), version]);
        }
        async move {
            let (mut forgotten, (lock, token)) = (0, leases::guard(self.lease.as_ref()));
            for (key, arguments) in of_agents {
                let arguments: Vec<_> =
                    [&*lock, &*token].into_iter().chain(arguments.iter().map(String::as_str)).collect();
                let count: u64 = self.line.read_as(self.write(&FORGET, &key, &arguments).await?)?;
                forgotten += count;
            }
            Ok(forgotten)
        }
        .boxed()
    }

    fn place(
        &self,
        partition: &Partition,
        pool: &Pool,
        new: &SessionId,
    ) -> BoxFuture<'_, Result<Option<SessionId>, StoreError>> {
        let (partition, pool, new) = (partition.clone(), pool.clone(), new.to_string());
        async move {
            self.list_agent(&partition.agent).await?;
            let (lock, token) = leases::guard(self.lease.as_ref());
            let (owner, now) = (hex(partition.owner.bytes()), seconds(SystemTime::now()));
            let version = partition.version.as_ref().map(ToString::to_string).unwrap_or_default();
            let (of_pool, most, share) = (hex(pool.owner.bytes()), pool.most.to_string(), pool.share.to_string());
            let agent = partition.agent.as_str();
            let arguments = [&*lock, &token, agent, &owner, &version, &now, &of_pool, &most, &share, &new];
            let id: String = self.line.read_as(self.write(&PLACE, &self.base(&partition.agent), &arguments).await?)?;
            Ok(id.parse().ok())
        }
        .boxed()
    }

    fn put_run(&self, daemon: &str, entry: &Entry) -> BoxFuture<'_, Result<(), StoreError>> {
        let (daemon, entry) = (daemon.to_owned(), entry.clone());
        async move { self.write_run(&daemon, &entry).await }.boxed()
    }

    fn end_run(
        &self,
        run: &RunId,
        ended: Ended,
        response: Option<&ResponseId>,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        let (run, response) = (run.clone(), response.cloned());
        async move { self.note_end(&run, ended, response.as_ref()).await }.boxed()
    }

    fn response_owner(
        &self,
        agent: &AgentKey,
        response: &ResponseId,
    ) -> BoxFuture<'_, Result<Option<Owner>, StoreError>> {
        let (agent, response) = (agent.clone(), response.clone());
        async move { self.read_response_owner(&agent, &response).await }.boxed()
    }

    fn answer_run(&self, run: &RunId) -> BoxFuture<'_, Result<(), StoreError>> {
        let run = run.clone();
        async move { self.note_run(&run, ("answered", "1"), "", None).await }.boxed()
    }

    fn forget_runs(&self, runs: &[RunId]) -> BoxFuture<'_, Result<(), StoreError>> {
        let runs = runs.to_vec();
        async move { self.take_runs_out(&runs).await }.boxed()
    }

    fn runs(&self) -> BoxFuture<'_, Result<Vec<(String, Entry)>, StoreError>> {
        self.read_runs().boxed()
    }

    fn count(&self) -> BoxFuture<'_, Result<u64, StoreError>> {
        async move {
            let agents = self.all_agents().await?;
            if agents.is_empty() {
                return Ok(0);
            }
            let mut commands = Pipeline::new();
            for agent in agents {
                commands.cmd("ZCARD").arg(format!("{}:ps", self.base(&agent)));
            }
            let counts: Vec<u64> = self.line.read_as(Value::Array(self.line.send(&commands).await?))?;
            Ok(counts.into_iter().sum())
        }
        .boxed()
    }

    fn replaced(&self) -> u64 {
        self.line.replaced()
    }

    fn under(&self, lease: &Lease) -> Option<Arc<dyn Store>> {
        Some(Arc::new(Self { lease: Some(lease.clone()), ..self.clone() }))
    }

    fn next_session(&self, partition: &Partition, fresh: bool) -> BoxFuture<'_, Result<Option<SessionId>, StoreError>> {
        let base = self.base(&partition.agent);
        let suffix = partition_suffix(partition);
        async move {
            let known = self.line.known().await?;
            let mut command = Pipeline::new();
            command.cmd(if fresh { "INCR" } else { "GET" }).arg(format!("{base}:g:{suffix}"));
            let epoch = self.line.send(&command).await?.pop().unwrap_or(Value::Nil);
            let epoch: Option<u64> = self.line.read_as(epoch)?;
            let text = format!("{base}\n{suffix}\n{}", epoch.unwrap_or(0));
            let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &known.secret), text.as_bytes());
            let id = tag.as_ref().get(..SESSION_ID_BYTES).map(hex).unwrap_or_default();
            Ok(id.parse().ok())
        }
        .boxed()
    }

    fn inspect(&self) -> BoxFuture<'_, Result<Vec<Finding>, StoreError>> {
        self.findings().boxed()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.leases.give_back().boxed()
    }
}
