//! What saved state must be able to do, whatever engine keeps it.
//!
//! Every call sees what every earlier one wrote, from this process or another: nothing above the trait caches, so an
//! engine shared by several daemons can take the embedded one's place unseen.

use crate::partition::journal::{Ended, Entry};
use crate::partition::pages::{Among, Place};
use crate::partition::pool::Pool;
use crate::partition::questions::{Asked, Claimed};
use crate::partition::{AgentKey, Owner, Partition, digest};
use cupola_protocol::chats::ChatDetails;
use cupola_protocol::id::{ConversationId, ResponseId, RunId, SessionId};
use cupola_protocol::isolation::ChatLabel;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::time::SystemTime;

/// What to continue in a partition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Saved {
    /// The current session.
    pub session: Option<SessionId>,
    /// The current conversation.
    pub conversation: Option<ConversationId>,
    /// The current context: what a conversation is to A2A.
    pub context: Option<ConversationId>,
}

/// A partition and what is saved of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedPartition {
    /// Which.
    pub partition: Partition,
    /// What to continue in it.
    pub saved: Saved,
    /// When that changed last.
    pub updated_at: SystemTime,
}

/// Some partitions, in the order of their keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// The partitions.
    pub partitions: Vec<SavedPartition>,
    /// Where the next page begins. The last page has none.
    pub next: Option<Place>,
}

/// What is remembered of a session.
#[derive(Clone, PartialEq, Eq)]
pub struct KnownSession {
    /// Whose it is.
    pub owner: Owner,
    /// The ownership key it was created with, needed to delete it.
    pub ownership_key: Option<cupola_protocol::isolation::IsolationKey>,
}

/// What a client remembers about a chat, and when it said so last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedChat {
    /// Its label.
    pub label: ChatLabel,
    /// What to remember.
    pub details: ChatDetails,
    /// When that was saved last.
    pub updated_at: SystemTime,
}

/// What can be held.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum LockName {
    /// A partition, while its ids are being made.
    Partition(Partition),
    /// A session, while it works on a call.
    Session(AgentKey, SessionId),
    /// The name of a daemon, for as long as it lives.
    Daemon(String),
}

impl LockName {
    /// What its file is called.
    pub(super) fn file_name(&self) -> String {
        match self {
            Self::Partition(partition) => partition.lock_name(),
            Self::Session(agent, session) => digest(&[Some("session"), Some(agent.as_str()), Some(session.as_str())]),
            Self::Daemon(name) => name.clone(),
        }
    }
}

/// What proves to a shared store that a name is held: what is written under it is refused once it is lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// What was granted.
    pub(super) name: LockName,
    /// The number of the grant, and who got it.
    pub(super) token: String,
    /// What was saved of the partition at that moment.
    pub(super) saved: Option<Saved>,
    /// The lease on its current session, granted with it.
    pub(super) session: Option<Box<Lease>>,
}

impl Lease {
    /// What was saved of the partition when it was granted.
    pub const fn saved(&self) -> Option<&Saved> {
        self.saved.as_ref()
    }
}

/// Saved state could not be read or written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The engine cannot be opened.
    #[error("saved state {path} cannot be opened: {reason}")]
    Open {
        /// The file.
        path: String,
        /// The engine's reason.
        reason: String,
    },
    /// The file is not a state file, or it is damaged.
    #[error("saved state {path} is damaged: {reason}")]
    Corrupt {
        /// The file.
        path: String,
        /// The engine's reason.
        reason: String,
    },
    /// The file was written by a newer Cupola.
    #[error("saved state {path} has format {found}, written by a newer Cupola; this one knows {known}")]
    TooNew {
        /// The file.
        path: String,
        /// Its format.
        found: i64,
        /// The newest known format.
        known: i64,
    },
    /// An operation failed, for example because the disk is full.
    #[error("saved state {path} could not be used: {reason}")]
    Operation {
        /// The file.
        path: String,
        /// The engine's reason.
        reason: String,
    },
    /// The shared store did not do what it was asked.
    #[error("the shared store {address} {fault}")]
    Shared {
        /// Where it is: host and port.
        address: String,
        /// Why not.
        fault: SharedFault,
    },
}

/// Why a shared store did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SharedFault {
    /// It cannot be reached.
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    /// It did not answer in time.
    #[error("did not answer within {0} seconds")]
    Slow(u64),
    /// Its certificate is not trusted.
    #[error("cannot be trusted: {0}")]
    NotTrusted(String),
    /// It takes neither the user nor the password, or that user may not do what Cupola needs.
    #[error("refused the user or the password: {0}")]
    Refused(String),
    /// A setting, or the file or variable that it names, is wrong.
    #[error("cannot be used with these settings: {0}")]
    Settings(String),
    /// Its memory is full.
    #[error("has no memory left for more")]
    Full,
    /// It cannot write to its disk.
    #[error("cannot write to its disk: {0}")]
    Disk(String),
    /// It is a replica.
    #[error("takes no writes: it is a replica")]
    ReadOnly,
    /// It has just started.
    #[error("is still loading its data")]
    Loading,
    /// The write is there, but it is not known to be as safe as the settings ask.
    #[error("did not confirm in time that a write is safe: {0}")]
    NotDurable(String),
    /// What the write was guarded by has passed to others.
    #[error("refused a late write: this daemon was stopped or cut off for longer than its lease")]
    LeaseLost,
    /// It is too old, or a kind of server that Cupola does not know.
    #[error("cannot be used: {0}")]
    Unsupported(String),
    /// What it keeps was sealed with another key.
    #[error("was written with another key")]
    AnotherKey,
    /// A newer Cupola wrote it.
    #[error("has format {found}, written by a newer Cupola; this one knows {known}")]
    TooNew {
        /// Its format.
        found: String,
        /// The newest known format.
        known: &'static str,
    },
    /// Anything else.
    #[error("refused: {0}")]
    Other(String),
}

/// What clients remember about chats: saved beside the partitions.
pub trait ChatStore {
    /// Remembers a chat of `owner`, whose fingerprint has no label, in place of what was remembered about it.
    fn save_chat(
        &self,
        agent: &AgentKey,
        owner: &Owner,
        label: &ChatLabel,
        details: &ChatDetails,
    ) -> BoxFuture<'_, Result<(), StoreError>>;

    /// The newest chats of an owner, the latest saved first: at most `limit`. With a label, those of this label and those below it
    /// (`label/…`).
    fn chats(
        &self,
        agent: &AgentKey,
        owner: &Owner,
        within: Option<&ChatLabel>,
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<SavedChat>, StoreError>>;

    /// Forgets what is remembered about a chat. False if that was nothing.
    fn forget_chat(
        &self,
        agent: &AgentKey,
        owner: &Owner,
        label: &ChatLabel,
    ) -> BoxFuture<'_, Result<bool, StoreError>>;
}

/// What agents asked and nobody has answered yet: saved beside the partitions.
pub trait QuestionStore {
    /// The agent asks in a partition. `again`: the run is read again, so a question that is known stays as it is, also if it has an
    /// answer.
    fn ask(&self, partition: &Partition, asked: &[Asked], again: bool) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Takes questions to answer them: all, or none. Gives what was asked, or the first that is not open. `claim` is a new name, which
    /// settles them later.
    fn claim_questions(
        &self,
        partition: &Partition,
        claim: &str,
        ids: &[String],
    ) -> BoxFuture<'_, Result<Claimed, StoreError>>;

    /// The answers of questions that were claimed under this name were sent, and nobody asks for their text again; or they were not, and the questions
    /// are open again.
    fn settle_questions(
        &self,
        partition: &Partition,
        claim: &str,
        ids: &[String],
        were_sent: bool,
    ) -> BoxFuture<'_, Result<(), StoreError>>;

    /// The open questions of a partition, in the order in which they were asked.
    fn open_questions(&self, partition: &Partition) -> BoxFuture<'_, Result<Vec<Asked>, StoreError>>;
}

/// Saved state. A write has been committed when its future is done.
pub trait Store: ChatStore + QuestionStore + std::fmt::Debug + Send + Sync {
    /// What to continue in `partition`; nothing saved is [`Saved::default`].
    fn load(&self, partition: &Partition) -> BoxFuture<'_, Result<Saved, StoreError>>;

    /// Makes `session` the partition's current one and remembers its owner. An owner already remembered stays.
    fn set_session(&self, partition: &Partition, session: &SessionId) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Makes `conversation` the partition's current one and remembers its owner. An owner already remembered stays.
    fn set_conversation(
        &self,
        partition: &Partition,
        conversation: &ConversationId,
    ) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Makes `context` the partition's current one and remembers its owner, among those of conversations. An owner already
    /// remembered stays.
    fn set_context(&self, partition: &Partition, context: &ConversationId) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Remembers a session and the ownership key it was created with.
    fn remember_session(
        &self,
        agent: &AgentKey,
        session: &SessionId,
        known: KnownSession,
    ) -> BoxFuture<'_, Result<(), StoreError>>;

    /// What is remembered of a session.
    fn known_session(
        &self,
        agent: &AgentKey,
        session: &SessionId,
    ) -> BoxFuture<'_, Result<Option<KnownSession>, StoreError>>;

    /// Whose a conversation or a context is, if that is remembered.
    fn conversation_owner(
        &self,
        agent: &AgentKey,
        conversation: &ConversationId,
    ) -> BoxFuture<'_, Result<Option<Owner>, StoreError>>;

    /// Forgets a session that is gone, wherever it is the current one.
    fn forget_session(&self, agent: &AgentKey, session: &SessionId) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Forgets a conversation or a context that is gone, wherever it is the current one.
    fn forget_conversation(
        &self,
        agent: &AgentKey,
        conversation: &ConversationId,
    ) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Every partition with saved state, the latest changed first.
    fn list(&self) -> BoxFuture<'_, Result<Vec<SavedPartition>, StoreError>>;

    /// The partitions after a place, in the order of their keys: at most `most`, which is at least 1. Only they are read, however many
    /// there are, and in a shared store the names of the list's agents. A caller that reads page after page gets each partition exactly
    /// once that is there all the time.
    fn page(&self, among: &Among, after: Option<&Place>, most: usize) -> BoxFuture<'_, Result<Page, StoreError>>;

    /// Forgets what to continue in `partitions`, what agents asked there, and the ownership keys of their sessions. Whose the sessions are stays
    /// known, because another user could enter them otherwise. Returns in how many something was saved.
    fn forget(&self, partitions: &[Partition]) -> BoxFuture<'_, Result<u64, StoreError>>;

    /// Gives a partition its session of a pool and makes it the current one: the one that it has already, or the one that
    /// [`choose`](super::pool::choose) says. A new one has the id `new`, and is known as the pool's own; the service is not asked for
    /// it. `None` if the pool has no session and may have none.
    fn place(
        &self,
        partition: &Partition,
        pool: &Pool,
        new: &SessionId,
    ) -> BoxFuture<'_, Result<Option<SessionId>, StoreError>>;

    /// Writes a run into the journal, in the name of `daemon`; an entry that is there already is replaced.
    fn put_run(&self, daemon: &str, entry: &Entry) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Notes how a run of the journal ended, unless an ending is noted already, and in the same step whose the response is that
    /// answered it. An owner already remembered stays. Owners of the latest responses are kept, for a while.
    fn end_run(
        &self,
        run: &RunId,
        ended: Ended,
        response: Option<&ResponseId>,
    ) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Whose a response is, if that is remembered.
    fn response_owner(
        &self,
        agent: &AgentKey,
        response: &ResponseId,
    ) -> BoxFuture<'_, Result<Option<Owner>, StoreError>>;

    /// Notes that somebody has had the answer of a run of the journal.
    fn answer_run(&self, run: &RunId) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Takes runs out of the journal. What they had is erased for good.
    fn forget_runs(&self, runs: &[RunId]) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Every run of the journal, the latest changed first, and the daemon that it was written in the name of.
    fn runs(&self) -> BoxFuture<'_, Result<Vec<(String, Entry)>, StoreError>>;

    /// How many partitions have saved state.
    fn count(&self) -> BoxFuture<'_, Result<u64, StoreError>>;

    /// How often what was saved had been removed or replaced from outside when it was next used. What is there then is used.
    fn replaced(&self) -> u64;

    /// The same state, for the holder of a lease: what is written once the lease is lost is refused. `None` where a lock cannot be
    /// lost.
    fn under(&self, _lease: &Lease) -> Option<Arc<dyn Store>> {
        None
    }

    /// The id of the session to make for a partition, so that all who make one make the same; `None` lets the service choose. `fresh`:
    /// not the one that the partition has had so far.
    fn next_session(
        &self,
        _partition: &Partition,
        _fresh: bool,
    ) -> BoxFuture<'_, Result<Option<SessionId>, StoreError>> {
        std::future::ready(Ok(None)).boxed()
    }

    /// What is to be said about the engine, for `cupola doctor`.
    fn inspect(&self) -> BoxFuture<'_, Result<Vec<Finding>, StoreError>> {
        std::future::ready(Ok(Vec::new())).boxed()
    }

    /// The process ends: gives back what it holds.
    fn close(&self) -> BoxFuture<'_, ()> {
        std::future::ready(()).boxed()
    }
}

/// Something about the engine that an operator should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was found.
    pub message: String,
    /// What to do about it; `None` if it is as it should be.
    pub hint: Option<&'static str>,
}
