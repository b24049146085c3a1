//! A run: one invoke from request to ending, its numbered events, its text, exactly one ending.
//!
//! It runs in its own task ([`crate::methods`] has what it does); this is what the task and everyone who follows it
//! share. [`registry`] finds runs by their id and keeps those that ended for a while.
//!
//! - [`event`]: an event as it is kept: encoded once, for all clients
//! - [`facts`]: what is known of a run beside its events: whose it is, its ids, where it waits, how it ended
//! - [`numbers`]: the numbers of events (pure)
//! - [`journal`]: what is written down of runs, so that the next daemon knows of them; `notes`: of those that end with their daemon

mod event;
mod facts;
pub mod journal;
mod notes;
mod numbers;
mod registry;

pub use event::{Event, Told};
pub use numbers::BEYOND_ALL;
pub use registry::{Limits, Runs};

use crate::error::CallError;
use crate::feed::{Feed, Reader, Ring};
use crate::lifetime::activity::WorkGuard;
use crate::partition::Partition;
use crate::partition::journal::{Ended, Entry};
use crate::partition::locks::Position;
use crate::partition::questions::MAX_QUESTIONS;
use crate::system::clock::rfc3339;
use cupola_protocol::error::{ErrorKind, Turn};
use cupola_protocol::id::{ConversationId, ResponseId, RunId, SessionId};
use cupola_protocol::invoke::{InvokeEvent, InvokeResponse, RunFailure, RunStatus};
use cupola_protocol::runs::{RunInfo, RunState};
use facts::{Facts, Waits};
use numbers::Numbers;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Text one answer may have, in bytes. The response must carry all of it in one message; an agent that writes more than
/// this is not answering a person.
pub(crate) const MAX_TEXT_BYTES: usize = 32 * 1024 * 1024;

/// What a run leaves behind: its answer, or why there is none. Shared by all who waited for it.
pub type Outcome = Arc<Result<InvokeResponse, CallError>>;

/// One run. Written to by its own task alone.
#[derive(Debug)]
pub struct Run {
    id: RunId,
    detached: bool,
    /// An earlier daemon began it.
    is_taken_up: bool,
    /// How it ended with that daemon.
    ended_before: Option<Ended>,
    may_survive: bool,
    started_at: SystemTime,
    facts: Mutex<Facts>,
    feed: Arc<Feed<Event, Outcome>>,
    stop: CancellationToken,
    /// Somebody has had its outcome.
    is_read: AtomicBool,
    /// The next daemon continues it.
    is_left: AtomicBool,
}

/// A reader of a run's events, and where a client that has seen some of them continues.
#[derive(Debug)]
pub struct Following {
    /// The events.
    pub reader: Reader<Event, Outcome>,
    /// The client has seen the events up to this number.
    pub after: u64,
    /// The events up to that number are still to come, and are passed over.
    pub is_ahead: bool,
}

/// How a run begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beginning {
    /// It continues without a client.
    pub detached: bool,
    /// It may outlive the daemon.
    pub may_survive: bool,
}

fn run_id() -> RunId {
    let text = format!("run-{}", Uuid::new_v4().simple());
    match text.parse() {
        Ok(id) => id,
        Err(invalid) => unreachable!("letters, digits and a hyphen make a valid id: {invalid}"),
    }
}

impl Run {
    fn new(busy: WorkGuard, limits: crate::feed::Limits, beginning: Beginning, stop: CancellationToken) -> Arc<Self> {
        let Beginning { detached, may_survive } = beginning;
        let facts = Facts::new(busy, Numbers::new(may_survive));
        Arc::new(Self {
            id: run_id(),
            detached,
            is_taken_up: false,
            ended_before: None,
            may_survive,
            started_at: SystemTime::now(),
            facts: Mutex::new(facts),
            feed: Arc::new(Feed::new(limits, !detached)),
            stop,
            is_read: AtomicBool::new(false),
            is_left: AtomicBool::new(false),
        })
    }

    /// One that an earlier daemon began and that continues at the service. It needs no clients: they come when they find it.
    fn taken_up(busy: WorkGuard, limits: crate::feed::Limits, entry: &Entry, stop: CancellationToken) -> Arc<Self> {
        let facts = Facts {
            place: Some(entry.partition.clone()),
            session: entry.facts.session.clone(),
            conversation: entry.facts.conversation.clone(),
            response: entry.facts.response.clone(),
            version: entry.facts.version.clone(),
            survives: true,
            ..Facts::new(busy, Numbers::new(true))
        };
        Arc::new(Self {
            id: entry.run.clone(),
            detached: entry.facts.detached,
            is_taken_up: true,
            ended_before: entry.ended,
            may_survive: true,
            started_at: entry.facts.started_at,
            facts: Mutex::new(facts),
            feed: Arc::new(Feed::new(limits, false)),
            stop,
            is_read: AtomicBool::new(entry.facts.answered),
            is_left: AtomicBool::new(false),
        })
    }

    /// Its id.
    pub const fn id(&self) -> &RunId {
        &self.id
    }

    /// The answer's text so far.
    pub fn text(&self) -> String {
        self.feed.inspect(Ring::whole).text
    }

    /// Did an earlier daemon begin it?
    pub const fn is_taken_up(&self) -> bool {
        self.is_taken_up
    }

    /// How it ended with an earlier daemon, if it had ended.
    pub fn ended_before(&self) -> Option<RunStatus> {
        self.ended_before.map(|ended| ended.status)
    }

    /// Was a client told how it ended by an earlier daemon, if it has seen the events up to `after`?
    pub fn has_told_ending(&self, after: u64) -> bool {
        self.ended_before.is_some_and(|ended| ended.was_told(after))
    }

    /// When the request arrived.
    pub const fn started_at(&self) -> SystemTime {
        self.started_at
    }

    /// Does it continue without a client?
    pub const fn is_detached(&self) -> bool {
        self.detached
    }

    /// Is it to outlive the daemon, if it can?
    pub const fn may_survive(&self) -> bool {
        self.may_survive
    }

    /// Does it outlive the daemon?
    pub fn survives(&self) -> bool {
        self.facts().survives
    }

    /// It is known whether it outlives the daemon.
    pub fn set_survives(&self, survives: bool) {
        let mut facts = self.facts();
        facts.survives = survives;
        if !survives {
            facts.numbers.count();
        }
    }

    /// What comes next has this sequence number at the service.
    pub fn at(&self, sequence: u64) {
        self.facts().numbers.at(sequence);
    }

    /// What came up to here cannot be read any more.
    pub fn lost(&self) {
        self.facts().numbers.lost();
    }

    /// How it ended, once it has.
    pub fn status(&self) -> Option<RunStatus> {
        self.facts().status
    }

    /// Is it this partition's, or one of its versions'?
    pub fn is_in(&self, partition: &Partition) -> bool {
        self.facts().place.as_ref().is_some_and(|own| partition.covers(own))
    }

    /// Whose it is, once that is known.
    pub fn partition(&self) -> Option<Partition> {
        self.facts().place.clone()
    }

    /// The ids of the questions that the agent asked in it.
    pub fn asked(&self) -> Vec<String> {
        self.facts().asked.clone()
    }

    /// Why it did not complete, once it has ended.
    pub fn failure(&self) -> Option<RunFailure> {
        self.facts().failure.clone()
    }

    /// The session that it continues, as far as that is known.
    pub fn session(&self) -> Option<SessionId> {
        self.facts().session.clone()
    }

    /// What it continues, before anything is sent.
    pub fn continues(&self, session: Option<&SessionId>, conversation: Option<&ConversationId>) {
        let mut facts = self.facts();
        facts.session = session.cloned();
        facts.conversation = conversation.cloned();
    }

    /// What it was asked, before anything is sent.
    pub fn asks(&self, question: Option<String>) {
        self.facts().question = question;
    }

    /// The service has named its answer.
    pub fn answered_by(&self, response: Option<&ResponseId>) {
        self.facts().response = response.cloned();
    }

    /// What answers it, once that is known.
    pub fn response(&self) -> Option<ResponseId> {
        self.facts().response.clone()
    }

    /// It waits behind `whom` at `position` until `place` is there.
    pub async fn wait_behind<Place>(
        &self,
        whom: impl Into<String>,
        position: Position,
        place: impl Future<Output = Place>,
    ) -> Place {
        self.facts().waits = Some(Waits { behind: whom.into(), position });
        let place = place.await;
        self.facts().waits = None;
        place
    }

    /// Behind whom it waits.
    pub fn waits_behind(&self) -> Option<String> {
        self.facts().waits.as_ref().map(|waits| waits.behind.clone())
    }

    /// Takes the next event: numbers it and passes it on. Waits while the fastest reader is slow, unless the run is to stop or it has
    /// to `hurry`. After the ending nothing is taken any more.
    pub async fn take(&self, event: InvokeEvent, hurry: impl Future<Output = ()>) {
        let Some(event) = self.apply(event) else { return };
        tokio::select! {
            biased;
            () = self.feed.wait_for_room(&event) => {}
            () = self.stopped() => {}
            () = hurry => {}
        }
        self.feed.write(event);
    }

    /// What becomes of an event if it is taken now: text beyond the limit makes the run fail. With its number; `None` after the ending.
    pub fn prepare(&self, event: InvokeEvent) -> Option<(InvokeEvent, u64)> {
        let facts = self.facts();
        if facts.status.is_some() {
            return None;
        }
        let event = match event {
            InvokeEvent::TextDelta { delta } if facts.text_bytes + delta.len() > MAX_TEXT_BYTES => {
                InvokeEvent::Failed { failure: too_long() }
            }
            other => other,
        };
        let number = facts.numbers.clone().number(&event);
        Some((event, number))
    }

    fn apply(&self, event: InvokeEvent) -> Option<Event> {
        let (event, _) = self.prepare(event)?;
        let mut facts = self.facts();
        match &event {
            InvokeEvent::TextDelta { delta } => facts.text_bytes += delta.len(),
            InvokeEvent::Snapshot { text } => facts.text_bytes = text.len(),
            InvokeEvent::Started { session_id, conversation_id, agent_version, latency, .. } => {
                facts.latency = latency.as_deref().cloned();
                facts.version.clone_from(agent_version);
                facts.session.clone_from(session_id);
                facts.conversation.clone_from(conversation_id);
            }
            InvokeEvent::Question { question } if facts.asked.len() < MAX_QUESTIONS => {
                facts.asked.push(question.id.clone());
            }
            _ => {
                facts.status = event.ending();
                facts.failure = event.failure();
            }
        }
        let number = facts.numbers.number(&event);
        drop(facts);
        Some(Event::new(&self.id, number, event))
    }

    /// Follows it from the event after `after`. Waits only for a run that is just being given up.
    pub async fn follow(&self, after: u64) -> Following {
        loop {
            let mut is_ahead = false;
            let joined = self.feed.join(|ring| {
                let newest = ring.entries().next_back().map_or(ring.rest().number, Event::number);
                is_ahead = after > newest;
                place(ring, after)
            });
            if let Some(reader) = joined {
                return Following { reader, after, is_ahead };
            }
            self.feed.ended().await;
        }
    }

    /// A client has followed it to its outcome.
    pub fn was_read(&self) {
        self.is_read.store(true, Ordering::Relaxed);
    }

    /// Has somebody had its outcome?
    pub fn is_read(&self) -> bool {
        self.is_read.load(Ordering::Relaxed)
    }

    /// The next daemon continues it: how it stands here is not its ending.
    pub fn leave(&self) {
        self.is_left.store(true, Ordering::Relaxed);
    }

    /// Does the next daemon continue it?
    pub fn is_left(&self) -> bool {
        self.is_left.load(Ordering::Relaxed)
    }

    /// Does its outcome still wait for somebody? Only a detached run's does: the others' clients waited for it, or left. The next
    /// daemon has it if the run outlives this one.
    fn is_unread(&self) -> bool {
        self.detached && !self.survives() && !self.is_read.load(Ordering::Relaxed)
    }

    /// Number of its newest event; 0 before the first.
    pub fn last_event(&self) -> u64 {
        self.facts().numbers.last()
    }

    /// Asks it to end as cancelled.
    pub fn cancel(&self) {
        self.stop.cancel();
    }

    /// Returns when it is to end: it was cancelled, its last follower left, or the daemon's end is forced.
    pub async fn stopped(&self) {
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = self.feed.deserted() => {}
        }
    }

    /// Returns once it has ended.
    pub async fn ended(&self) -> Outcome {
        self.feed.ended().await
    }

    /// How it is.
    pub fn info(&self) -> RunInfo {
        let facts = self.facts();
        let has_lost = self.ended_before.is_some_and(|before| Some(before.status) != facts.status);
        let reason = facts.failure.as_ref().filter(|_| has_lost).map(|failure| failure.message.clone());
        RunInfo {
            run_id: self.id.clone(),
            agent: facts.place.as_ref().map(|own| own.agent.as_str().to_owned()).unwrap_or_default(),
            partition_id: facts.place.as_ref().map(Partition::id),
            status: facts.status.map_or(RunState::Running, RunState::from),
            question: facts.question.clone(),
            questions: Vec::new(),
            queue: facts.queue(),
            session_id: facts.session.clone(),
            conversation_id: facts.conversation.clone(),
            response_id: facts.response.clone(),
            agent_version: facts.version.clone(),
            latency: facts.latency.clone(),
            started_at: rfc3339(self.started_at),
            ended_at: facts.ended_at.map(rfc3339),
            last_event: facts.numbers.last(),
            detached: self.detached,
            survives: facts.survives,
            reason,
            clients: self.feed.readers() as u64,
        }
    }

    fn belongs_to(&self, partition: &Partition) {
        self.facts().place = Some(partition.clone());
    }

    /// Publishes the outcome. Gives the bytes that are kept of it.
    fn end(&self, outcome: Result<InvokeResponse, CallError>) -> usize {
        let mut kept = self.feed.inspect(|ring| ring.bytes() + ring.rest().text.len());
        let mut facts = self.facts();
        if let Ok(response) = &outcome {
            if response.response_id.is_some() {
                facts.response.clone_from(&response.response_id);
            }
            kept += response.text.len() + response.output.as_ref().map_or(0, |output| output.get().len());
        }
        facts.status.get_or_insert(match &outcome {
            Ok(response) => response.status,
            Err(error) if error.kind() == ErrorKind::Cancelled => RunStatus::Cancelled,
            Err(_) => RunStatus::Failed,
        });
        facts.ended_at = Some(SystemTime::now());
        // A follower that sees the end must find the run no longer counted.
        facts.busy = None;
        drop(facts);
        self.feed.end(Arc::new(outcome));
        kept
    }

    fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many entries a reader has already taken if it has seen the events up to `after`.
fn place(ring: &Ring<Event>, after: u64) -> u64 {
    if after < ring.rest().number {
        // It has missed some that are dropped.
        return ring.first().saturating_sub(2);
    }
    let seen = ring.entries().take_while(|event| after > 0 && event.number() <= after).count();
    ring.first() - 1 + seen as u64
}

/// Why a run fails whose text is longer than is kept.
fn too_long() -> RunFailure {
    let message = format!("the answer is longer than {MAX_TEXT_BYTES} bytes");
    RunFailure { kind: ErrorKind::UnexpectedAnswer, message, service_code: None, turn: Some(Turn::Ran), hint: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifetime::activity::Activity;
    use std::future::ready;

    fn delta(text: &str) -> InvokeEvent {
        InvokeEvent::TextDelta { delta: text.to_owned() }
    }

    fn run(activity: &Activity) -> Arc<Run> {
        Run::new(
            activity.run(),
            Limits::default().ring,
            Beginning { detached: true, may_survive: false },
            CancellationToken::new(),
        )
    }

    #[tokio::test]
    async fn nothing_follows_the_ending() {
        let run = run(&Activity::default());
        run.take(delta("a"), ready(())).await;
        run.take(InvokeEvent::Completed {}, ready(())).await;
        assert_eq!(run.last_event(), 2);
        run.take(delta("b"), ready(())).await;
        run.take(InvokeEvent::Truncated { reason: None }, ready(())).await;
        assert_eq!((run.last_event(), run.text().as_str(), run.status()), (2, "a", Some(RunStatus::Completed)));
    }

    #[tokio::test]
    async fn a_snapshot_replaces_the_text() {
        let run = run(&Activity::default());
        run.take(delta("wro"), ready(())).await;
        run.take(InvokeEvent::Snapshot { text: "rig".to_owned() }, ready(())).await;
        run.take(delta("ht"), ready(())).await;
        assert_eq!(run.text(), "right");
    }

    #[tokio::test]
    async fn an_endless_answer_fails() {
        let run = run(&Activity::default());
        let piece = "x".repeat(MAX_TEXT_BYTES / 2);
        run.take(delta(&piece), ready(())).await;
        run.take(delta(&piece), ready(())).await;
        run.take(delta("y"), ready(())).await;
        assert_eq!(run.status(), Some(RunStatus::Failed));
        assert_eq!(run.text().len(), MAX_TEXT_BYTES);
    }

    #[tokio::test]
    async fn a_run_counts_until_it_has_ended() {
        let activity = Activity::default();
        let run = run(&activity);
        assert_eq!(activity.runs(), 1);
        let refusal = CallError::new(ErrorKind::Busy, "");
        run.end(Err(refusal));
        assert_eq!((activity.runs(), run.status()), (0, Some(RunStatus::Failed)));
        assert!(run.info().ended_at.is_some());
    }
}
