//! One session: its record, its home, and the sandbox that comes and goes (contract section 14.1).
//!
//! creating → active → idle (after its idle time or a stop) → active again on the next invoke; expired 30 days after
//! the last activity. At most one container start is in flight: everything that needs the sandbox waits on the same slot.

use crate::container::{Container, Runtime, SandboxContext};
use crate::error::ApiError;
use crate::isolation::Partition;
use crate::logs::{LogSink, LogStream};
use crate::store;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A session is purged after this long without activity (contract section 14.1), in milliseconds.
const EXPIRY: i64 = 30 * 24 * 60 * 60 * 1000;

/// Invocations remembered per session, for polls that name no session. Polling ends within minutes; a client that
/// starts more than this in one session names it.
const KEPT_INVOCATIONS: usize = 1000;

/// Its record, beside its home.
pub(crate) const FILE: &str = "record.json";

/// Where a session stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    Creating,
    Active,
    Idle,
    Failed,
    Expired,
    Deleted,
}

/// What is kept of a session. Times are milliseconds since the Unix epoch, UTC.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub(crate) struct Record {
    pub(crate) id: String,
    pub(crate) agent_version: String,
    pub(crate) partition: Partition,
    pub(crate) owner: String,
    pub(crate) created_at: i64,
    pub(crate) last_accessed_at: i64,
    pub(crate) stopped_at: Option<i64>,
    pub(crate) status: Status,
    /// Order of creation within the agent; times can be equal.
    pub(crate) sequence: u64,
}

/// When a session goes idle, and what becomes of its home then.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Idling {
    /// How long it may do nothing.
    pub(crate) after: Duration,
    /// Its files stay. Those of an agent with memory snapshots do not.
    pub(crate) keeps_home: bool,
}

/// The sandbox: none while the session is idle.
type Slot = Option<Arc<dyn Container>>;

/// A session.
pub(crate) struct Session {
    id: String,
    directory: PathBuf,
    // Never held across an await.
    record: Mutex<Record>,
    slot: Arc<tokio::sync::Mutex<Slot>>,
    in_flight: AtomicUsize,
    invocations: Mutex<VecDeque<String>>,
    pub(crate) logs: LogSink,
}

impl Session {
    /// Makes its directory and home and writes its record.
    pub(crate) fn create(record: Record, directory: PathBuf) -> io::Result<Self> {
        std::fs::create_dir_all(directory.join("home"))?;
        store::save(&directory.join(FILE), &record)?;
        Ok(Self::new(record, directory))
    }

    /// Takes up what an earlier run left. Its container ended with that run.
    pub(crate) fn restore(mut record: Record, directory: PathBuf) -> Self {
        if matches!(record.status, Status::Creating | Status::Active) {
            record.status = Status::Idle;
            record.stopped_at = Some(record.last_accessed_at);
        }
        Self::new(record, directory)
    }

    fn new(record: Record, directory: PathBuf) -> Self {
        Self {
            id: record.id.clone(),
            directory,
            record: Mutex::new(record),
            slot: Arc::default(),
            in_flight: AtomicUsize::new(0),
            invocations: Mutex::default(),
            logs: LogSink::default(),
        }
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Its `$HOME`, which outlives its sandboxes.
    pub(crate) fn home(&self) -> PathBuf {
        self.directory.join("home")
    }

    /// Where the gateway keeps its own notes about the session, beside the home.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Remembers that an invocation was started here.
    pub(crate) fn remember_invocation(&self, id: &str) {
        let mut known = self.invocations.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() == KEPT_INVOCATIONS {
            known.pop_front();
        }
        known.push_back(id.to_owned());
    }

    /// Whether an invocation was started here.
    pub(crate) fn has_invocation(&self, id: &str) -> bool {
        let known = self.invocations.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().any(|known| known == id)
    }

    /// A copy of its record as it is now.
    pub(crate) fn record(&self) -> Record {
        self.record.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change(&self, change: impl FnOnce(&mut Record)) {
        let mut record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        if record.status == Status::Deleted {
            return;
        }
        let before = record.clone();
        change(&mut record);
        // Times are shown in whole seconds: of mere activity within one, a restart can miss nothing.
        let is_same_second = record.last_accessed_at / 1000 == before.last_accessed_at / 1000;
        let is_activity = Record { last_accessed_at: record.last_accessed_at, ..before } == *record;
        if record.status == Status::Deleted || (is_activity && is_same_second) {
            return;
        }
        if let Err(error) = store::save(&self.directory.join(FILE), &*record) {
            tracing::error!(session = self.id, %error, "the session's record could not be written");
        }
    }

    /// The session object (contract section 4.1).
    pub(crate) fn to_json(&self) -> Value {
        let record = self.record();
        let mut object = json!({
            "agent_session_id": record.id,
            "version_indicator": {"type": "version_ref", "agent_version": record.agent_version},
            "status": record.status,
            "created_at": record.created_at / 1000,
            "last_accessed_at": record.last_accessed_at / 1000,
            "expires_at": (record.last_accessed_at + EXPIRY) / 1000,
        });
        if let (Some(at), Some(fields)) = (record.stopped_at, object.as_object_mut()) {
            fields.insert("stopped_at".to_owned(), json!(at / 1000));
        }
        object
    }

    /// Holds the session awake from now until the lease is dropped, and counts as activity at both ends.
    pub(crate) fn lease(self: &Arc<Self>, clock: &crate::clock::Clock) -> Lease {
        self.in_flight.fetch_add(1, Ordering::SeqCst);
        self.change(|record| record.last_accessed_at = clock.now());
        Lease { session: Arc::clone(self), clock: clock.clone() }
    }

    /// Its container, if one runs.
    pub(crate) async fn running(&self) -> Option<Arc<dyn Container>> {
        self.slot.lock().await.clone()
    }

    /// The session's running container. Starts or resumes one of `runtime`, told `context`, if the session has none.
    pub(crate) async fn container(
        self: &Arc<Self>,
        runtime: &Arc<dyn Runtime>,
        context: SandboxContext,
    ) -> Result<Arc<dyn Container>, ApiError> {
        let slot = Arc::clone(&self.slot).lock_owned().await;
        if let Some(container) = &*slot {
            return Ok(Arc::clone(container));
        }
        // In its own task, because a caller that goes away must not leave a half-started container behind.
        let (session, runtime) = (Arc::clone(self), Arc::clone(runtime));
        tokio::spawn(async move { session.start(slot, runtime.as_ref(), context).await })
            .await
            .map_err(ApiError::internal)?
    }

    async fn start(
        &self,
        mut slot: tokio::sync::OwnedMutexGuard<Slot>,
        runtime: &dyn Runtime,
        context: SandboxContext,
    ) -> Result<Arc<dyn Container>, ApiError> {
        match self.record().status {
            Status::Deleted | Status::Expired => return Err(ApiError::no_session(&self.id)),
            // The service refuses such a session until it is deleted. Here the agent may have been fixed in the meantime.
            Status::Failed => self.logs.push(LogStream::Status, "Starting the container again after a failed start"),
            Status::Idle => self.logs.push(LogStream::Status, "Resuming the container 'agent-container'"),
            Status::Creating | Status::Active => {
                self.logs.push(LogStream::Status, "Starting the container 'agent-container'");
            }
        }
        match runtime.start(context).await {
            Ok(container) => {
                *slot = Some(Arc::clone(&container));
                self.change(|record| record.status = Status::Active);
                self.logs.push(LogStream::Status, "The container is ready");
                Ok(container)
            }
            Err(error) => {
                // Not being ready in time may pass; anything else is a failure, until the next start.
                let status = match error {
                    crate::container::StartError::NotReady { .. } => Status::Idle,
                    _ => Status::Failed,
                };
                self.change(|record| record.status = status);
                let short = format!("The container did not start: {}", error.summary());
                self.logs.push_repeated(LogStream::Status, format!("The container did not start: {error}"), &short);
                Err(ApiError::start(&self.id, &error))
            }
        }
    }

    /// Replaces the container by another one of `runtime`, told `context`, because `cause`. Only if one runs or the last start failed:
    /// any other session starts one when it needs it. How the start went is in the session's log.
    pub(crate) async fn renew(&self, runtime: &dyn Runtime, context: SandboxContext, cause: &str) {
        let mut slot = Arc::clone(&self.slot).lock_owned().await;
        let container = slot.take();
        if container.is_none() && self.record().status != Status::Failed {
            return;
        }
        self.logs.push(LogStream::Status, cause);
        if let Some(container) = container {
            container.stop().await;
        }
        if self.start(slot, runtime, context).await.is_err() {
            tracing::debug!(session = self.id, "the renewed container did not start");
        }
    }

    /// Forgets a container that is gone, so that the next invoke starts another. `now` in milliseconds, UTC.
    pub(crate) async fn lost(&self, container: &Arc<dyn Container>, now: i64) {
        let mut slot = self.slot.lock().await;
        if slot.as_ref().is_some_and(|current| Arc::ptr_eq(current, container)) {
            *slot = None;
            self.rest(now, true);
        }
    }

    /// Stops the sandbox; false when there was nothing to stop. `now` in milliseconds, UTC.
    pub(crate) async fn stop(&self, now: i64, keeps_home: bool) -> bool {
        let mut slot = self.slot.lock().await;
        let container = slot.take();
        // The next container must not find a home that is about to go.
        let _held = (!keeps_home).then_some(slot);
        let running = matches!(self.record().status, Status::Creating | Status::Active);
        if let Some(container) = &container {
            container.stop().await;
        }
        if running {
            self.rest(now, keeps_home);
        }
        running || container.is_some()
    }

    fn rest(&self, now: i64, keeps_home: bool) {
        let files = if keeps_home { "stay" } else { "are gone" };
        self.logs.push(LogStream::Status, format!("The container stopped; its files {files}"));
        if !keeps_home {
            let emptied = store::discard(&self.home()).and_then(|()| std::fs::create_dir_all(self.home()));
            if let Err(error) = emptied {
                tracing::error!(session = self.id, %error, "the session's home could not be emptied");
            }
        }
        self.change(|record| {
            if record.status != Status::Deleted {
                record.status = Status::Idle;
                record.stopped_at = Some(now);
            }
        });
    }

    /// Lets time take its effect: an unused sandbox stops, an unused session expires. `now` in milliseconds, UTC.
    pub(crate) async fn settle(&self, now: i64, idling: Idling) {
        let record = self.record();
        if self.in_flight.load(Ordering::SeqCst) > 0 || matches!(record.status, Status::Expired | Status::Deleted) {
            return;
        }
        if record.last_accessed_at + EXPIRY <= now {
            self.stop(now, true).await;
            self.change(|record| record.status = Status::Expired);
            if let Err(error) = store::discard(&self.home()) {
                tracing::warn!(session = self.id, %error, "the expired session's home could not be removed");
            }
            return;
        }
        let idle_at = record.last_accessed_at + i64::try_from(idling.after.as_millis()).unwrap_or(EXPIRY);
        if record.status == Status::Active && idle_at <= now {
            let mut slot = self.slot.lock().await;
            // An invoke may have come in while waiting for the slot.
            if self.in_flight.load(Ordering::SeqCst) == 0
                && let Some(container) = slot.take()
            {
                container.stop().await;
                self.rest(idle_at, idling.keeps_home);
            }
        }
    }

    /// Ends the sandbox and removes everything kept of the session.
    pub(crate) async fn delete(&self) -> io::Result<()> {
        self.change(|record| record.status = Status::Deleted);
        if let Some(container) = self.slot.lock().await.take() {
            container.stop().await;
        }
        self.logs.close();
        store::discard(&self.directory)
    }
}

/// Keeps a session awake while an answer is under way.
pub(crate) struct Lease {
    session: Arc<Session>,
    clock: crate::clock::Clock,
}

impl Drop for Lease {
    fn drop(&mut self) {
        // Activity first: between the two, the session must not look both unused and long idle.
        let now = self.clock.now();
        self.session.change(|record| record.last_accessed_at = now);
        self.session.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
}
