//! What is known of a run beside its events: whose it is, its ids, where it waits, how it ended.

use super::numbers::Numbers;
use crate::lifetime::activity::WorkGuard;
use crate::partition::Partition;
use crate::partition::locks::Position;
use cupola_protocol::busy::QueuePlace;
use cupola_protocol::id::{ConversationId, ResponseId, SessionId};
use cupola_protocol::invoke::{RunFailure, RunStatus};
use cupola_protocol::latency::Latency;
use cupola_protocol::target::AgentVersion;
use std::time::SystemTime;

/// What changes, beside the events.
#[derive(Debug)]
pub(super) struct Facts {
    /// Whose it is, once that is known.
    pub(super) place: Option<Partition>,
    /// Keeps the daemon from leaving until the run has ended.
    pub(super) busy: Option<WorkGuard>,
    /// The first words of what was asked.
    pub(super) question: Option<String>,
    /// The ids of what the agent asked in it.
    pub(super) asked: Vec<String>,
    pub(super) session: Option<SessionId>,
    pub(super) conversation: Option<ConversationId>,
    /// The answer's id at the service.
    pub(super) response: Option<ResponseId>,
    /// The version that answers.
    pub(super) version: Option<AgentVersion>,
    pub(super) latency: Option<Latency>,
    pub(super) status: Option<RunStatus>,
    /// Why it did not complete.
    pub(super) failure: Option<RunFailure>,
    /// The queue it waits in, in words.
    pub(super) waits: Option<Waits>,
    pub(super) ended_at: Option<SystemTime>,
    /// Length of the text so far.
    pub(super) text_bytes: usize,
    pub(super) numbers: Numbers,
    /// It outlives the daemon.
    pub(super) survives: bool,
}

/// A queue that a run waits in.
#[derive(Debug)]
pub(super) struct Waits {
    pub(super) behind: String,
    pub(super) position: Position,
}

impl Facts {
    /// Where it waits.
    pub(super) fn queue(&self) -> Option<QueuePlace> {
        let waits = self.waits.as_ref().filter(|_| self.status.is_none())?;
        Some(QueuePlace { ahead: waits.position.ahead(), waits_for: waits.behind.clone() })
    }

    /// Nothing is known yet.
    pub(super) const fn new(busy: WorkGuard, numbers: Numbers) -> Self {
        Self {
            place: None,
            busy: Some(busy),
            question: None,
            asked: Vec::new(),
            session: None,
            conversation: None,
            response: None,
            version: None,
            latency: None,
            status: None,
            failure: None,
            waits: None,
            ended_at: None,
            text_bytes: 0,
            numbers,
            survives: false,
        }
    }
}
