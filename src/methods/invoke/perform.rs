//! A run from its request to its one ending, in its own task: followers may come and go.

use super::attempt::{Taken, begin};
use super::hold::SessionHold;
use super::observed::ObservedRequests;
use super::outcome::{Standing, Stop, explain, explain_failure};
use super::reached::{SessionPlace, reach};
use super::warm;
use crate::daemon::Daemon;
use crate::error::CallError;
use crate::foundry::{Canceller, Ending, Interest, ReplyItem, observer};
use crate::partition::Partition;
use crate::partition::journal::{Ended, Entry};
use crate::partition::locks::Waiter;
use crate::partition::questions::{Asked, AskedIn, MAX_QUESTIONS};
use crate::run::journal::{ANSWERED_FOR, ENDED_FOR, KEPT_FOR};
use crate::run::{MAX_TEXT_BYTES, Run};
use crate::telemetry;
use cupola_protocol::error::{ErrorKind, Turn};
use cupola_protocol::id::{ConversationId, ResponseId};
use cupola_protocol::invoke::{
    InvokeEvent, InvokeParams, InvokeResponse, Notice, NoticeCode, Question, RunFailure, RunStatus,
};
use cupola_protocol::target::Target;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, Stream, StreamExt};
use serde_json::value::RawValue;
use std::future::ready;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// How long the service may take to hear of a cancellation. Less than a cancelled call waits for its run's ending.
const CANCEL_LIMIT: Duration = Duration::from_secs(2);

/// How long an invoke may take unless the caller says otherwise: azd's own limit (contract section 17.3).
const DEFAULT_TIMEOUT: Duration = Duration::from_mins(30);

/// How long to read a run if its time limit passed while no daemon ran: it may have ended in time.
const LATE_LOOK: Duration = Duration::from_secs(30);

/// How many items that were read already are passed on before anything else is looked at: whether the run is to end, above all. What
/// can make it end is asked for each of the others.
const AT_ONCE: usize = 16;

/// Carries the run out and publishes its outcome, whatever happens.
pub(super) async fn perform(
    daemon: Arc<Daemon>,
    run: Arc<Run>,
    params: InvokeParams,
    arrival: Waiter<Target>,
    received: std::time::Instant,
) {
    let limit = limit(&params);
    let deadline = limit.map(|limit| Instant::now() + limit);
    let turn = daemon.telemetry.begin(params.traceparent.as_ref());
    let turn = turn.as_ref();
    let performance = Performance { daemon: &daemon, run: &run, params: &params, received, limit, deadline, turn };
    // Boxed by itself, so that it is not moved, and held twice, with what surrounds it.
    performance.publish(Box::pin(performance.answer(arrival))).await;
    warm::after(&daemon, &run, params);
}

/// As [`perform`], of a run that an earlier daemon began. Waits for the session at `place`.
pub(super) async fn resume(daemon: Arc<Daemon>, run: Arc<Run>, entry: Entry, place: Option<SessionPlace>) {
    let Some(reach) = &entry.reach else { return };
    let mut params = InvokeParams::new(reach.target.clone(), reach.isolation.clone(), String::new());
    params.detach = entry.facts.detached;
    let until = entry.facts.deadline.unwrap_or(entry.facts.started_at + KEPT_FOR);
    let limit = until.duration_since(entry.facts.started_at).ok();
    let rest = until.duration_since(SystemTime::now()).unwrap_or_default().max(LATE_LOOK);
    let (received, deadline) = (std::time::Instant::now(), Some(Instant::now() + rest));
    let turn = daemon.telemetry.begin(None);
    let turn = turn.as_ref();
    if let Some(turn) = turn {
        turn.is_resumed();
        turn.of(&params.target);
    }
    let performance = Performance { daemon: &daemon, run: &run, params: &params, received, limit, deadline, turn };
    performance.publish(Box::pin(performance.continue_from(&entry, place))).await;
}

/// One run, and what it works on.
struct Performance<'a> {
    daemon: &'a Daemon,
    run: &'a Arc<Run>,
    params: &'a InvokeParams,
    /// When the request arrived.
    received: std::time::Instant,
    limit: Option<Duration>,
    deadline: Option<Instant>,
    /// Measures it, if telemetry is on.
    turn: Option<&'a telemetry::Turn>,
}

impl Performance<'_> {
    /// Publishes what comes of it, once it is written down.
    async fn publish(&self, answer: Pin<Box<impl Future<Output = Result<InvokeResponse, CallError>>>>) {
        let outcome = AssertUnwindSafe(answer).catch_unwind().await;
        let outcome = outcome.unwrap_or_else(|_| {
            let panicked = CallError::internal("the run ended in a panic").of_turn(Turn::MayHaveRun);
            Err(panicked.of_run(self.run.id().clone()))
        });
        if let (Err(error), None) = (&outcome, self.run.status()) {
            if self.is_left(error.kind()) {
                // Before its clients look for it there.
                self.run.leave();
                self.daemon.journal.release(self.run.id()).await;
                if let Some(turn) = self.turn {
                    turn.leave();
                }
                self.daemon.runs.end(self.run, outcome);
                return;
            }
            let is_cancelled = error.kind() == ErrorKind::Cancelled;
            let status = if is_cancelled { RunStatus::Cancelled } else { RunStatus::Failed };
            self.note_end(Ended { status, number: None }).await;
        }
        if let Some(turn) = self.turn {
            turn.end(&outcome);
        }
        self.daemon.runs.end(self.run, outcome);
    }

    /// Is a run that ended here for this reason left to the next daemon?
    fn is_left(&self, kind: ErrorKind) -> bool {
        kind == ErrorKind::ShuttingDown && self.run.survives()
    }

    /// Writes the ending down, before anybody hears of it.
    async fn note_end(&self, ended: Ended) {
        if !self.run.may_survive() && self.daemon.journal.has_notes() {
            self.daemon.journal.note_end(self.run.id(), ended);
            return;
        }
        let is_awaited = self.run.survives() && !self.run.is_read();
        let stays = if is_awaited { ENDED_FOR } else { ANSWERED_FOR };
        self.daemon.journal.ended(self.run.id(), ended, self.run.response().as_ref(), stays).await;
    }

    /// Cancels the turn at the service. The service has no number for an ending of the daemon's own, and a client may have read further
    /// with an earlier daemon.
    async fn end_here(&self, canceller: Option<&Canceller>) {
        tell(canceller).await;
        self.run.lost();
    }

    /// Follows at the service what an earlier daemon began.
    async fn continue_from(&self, entry: &Entry, place: Option<SessionPlace>) -> Result<InvokeResponse, CallError> {
        let (observer, seen) = observer(Interest { requests: false, raw: false });
        let reached = {
            let mut reaching = std::pin::pin!(reach(self.daemon, entry, place, observer, self.turn));
            tokio::select! {
                biased;
                reached = &mut reaching => reached.map_err(|error| explain(error, &self.standing(Turn::MayHaveRun))),
                stop = self.stopped() => {
                    // It is not followed yet, and works on at the service.
                    if stop != Stop::ShuttingDown
                        && let Ok(Ok(taken)) = tokio::time::timeout(CANCEL_LIMIT, reaching).await
                    {
                        self.end_here(taken.reply.canceller.as_ref()).await;
                    }
                    Err(stop.error(&self.standing(Turn::MayHaveRun)))
                }
            }
        }?;
        self.follow(reached, ObservedRequests::new(seen)).await
    }

    async fn answer(&self, arrival: Waiter<Target>) -> Result<InvokeResponse, CallError> {
        let Self { daemon, run, params, .. } = *self;
        let (observer, seen) = observer(Interest { requests: params.debug, raw: params.raw });
        let mut requests = ObservedRequests::new(seen);
        let begun = {
            // Boxed: what it needs is free again while the answer comes.
            let mut getting_there = Box::pin(begin(daemon, run, params, arrival, observer.clone(), self.turn));
            let mut stopped = std::pin::pin!(self.stopped());
            loop {
                tokio::select! {
                    biased;
                    event = requests.next() => self.take(event).await,
                    begun = &mut getting_there => break begun,
                    stop = &mut stopped => break Err(stop.error(&self.standing(observer.turn()))),
                }
            }
        };
        self.take_all(requests.rest()).await;
        match begun {
            Ok(begun) => {
                requests.forget_refusal();
                self.follow(begun, requests).await
            }
            Err(error) => {
                self.take_all(requests.begun()).await;
                self.take_all(requests.refusal()).await;
                let mut error = explain(error, &self.standing(observer.turn()));
                error.data.notices = requests.notices;
                Err(error)
            }
        }
    }

    /// What is known of the turn.
    fn standing(&self, turn: Turn) -> Standing<'_> {
        Standing {
            run: self.run.id(),
            turn,
            is_local: matches!(self.params.target, Target::Local { .. }),
            session: self.run.session(),
            waits_behind: self.run.waits_behind(),
            limit: self.limit,
        }
    }

    /// Resolves when a client, the clock or the daemon ends the run.
    async fn stopped(&self) -> Stop {
        tokio::select! {
            () = self.run.stopped() => {
                if self.daemon.shutdown.is_forced() { Stop::ShuttingDown } else { Stop::Cancelled }
            }
            () = self.timeout() => Stop::TimedOut,
            // The next daemon continues it: nobody waits for its end.
            () = self.daemon.shutdown.leaving(), if self.run.survives() => Stop::ShuttingDown,
            () = self.daemon.shutdown.overdue(), if !self.run.survives() => Stop::ShuttingDown,
        }
    }

    /// Resolves when the time limit is over.
    async fn timeout(&self) {
        match self.deadline {
            Some(deadline) => tokio::time::sleep_until(deadline).await,
            None => std::future::pending().await,
        }
    }

    /// Passes an event on. A slow reader does not stretch the time limit.
    async fn take(&self, event: InvokeEvent) {
        let Some((event, number)) = self.run.prepare(event) else { return };
        if let Some(status) = event.ending() {
            self.note_end(Ended { status, number: Some(number) }).await;
        }
        self.run.take(event, self.timeout()).await;
    }

    async fn take_all(&self, events: impl Iterator<Item = InvokeEvent>) {
        for event in events {
            self.take(event).await;
        }
    }

    /// Opens the questions before anyone hears of the end, so that an answer that follows at once finds them. What could not be saved
    /// cannot be answered, and a notice says so.
    async fn open_questions(
        &self,
        partition: &Partition,
        questions: &[Question],
        conversation: Option<&ConversationId>,
        response: Option<&ResponseId>,
    ) -> Option<Notice> {
        if let Some(response) = response {
            self.run.answered_by(Some(response));
            self.daemon.responses.answered_with(partition, response);
        }
        if questions.is_empty() {
            return None;
        }
        let response = response.filter(|_| conversation.is_none()).cloned();
        let asked_in = AskedIn { conversation: conversation.cloned(), response };
        let asked = questions.iter().map(|question| Asked { question: question.clone(), asked_in: asked_in.clone() });
        let asked: Vec<_> = asked.collect();
        let error = self.daemon.store.ask(partition, &asked, self.run.is_taken_up()).await.err()?;
        tracing::warn!(%error, run = %self.run.id(), "a question of an agent could not be saved");
        let message = format!("what the agent asks cannot be answered, because it could not be saved: {error}");
        let notice = Notice { code: NoticeCode::QuestionNotSaved, message };
        self.take(InvokeEvent::Notice { notice: notice.clone() }).await;
        Some(notice)
    }

    /// What came up to here can no longer be read.
    fn gap(&self) -> InvokeEvent {
        let after = self.run.last_event();
        self.run.lost();
        InvokeEvent::Gap { after }
    }

    /// A run that an earlier daemon cancelled ends as cancelled, whatever the service says of it: its clients were told so.
    fn as_ended_before(&self, event: InvokeEvent) -> InvokeEvent {
        let is_cancelled = self.run.ended_before() == Some(RunStatus::Cancelled);
        if is_cancelled && event.ending().is_some() { InvokeEvent::Cancelled {} } else { event }
    }

    /// Passes the reply's events on until its ending, and makes the response.
    async fn follow(&self, taken: Taken, mut requests: ObservedRequests) -> Result<InvokeResponse, CallError> {
        let run = self.run;
        let Taken { mut reply, model, session, conversation, selected_version, mut notices, partition, session_hold } =
            taken;
        let mut holding = std::pin::pin!(SessionHold::keep(session_hold));
        let mut questions = Vec::new();
        let (agent_version, latency) = (reply.version.clone(), reply.latency.clone());
        let started = InvokeEvent::Started {
            session_id: session.clone(),
            conversation_id: conversation.clone(),
            isolation_model: model,
            agent_version: agent_version.clone(),
            selected_version,
            latency: latency.clone().map(Box::new),
            request_id: reply.request_id.clone(),
            survives: run.survives(),
        };
        let remarks = notices.clone().into_iter().map(|notice| InvokeEvent::Notice { notice });
        let told = std::iter::once(started).chain(requests.begun()).chain(remarks);
        self.take_all(told.chain(reply.head.take().map(InvokeEvent::from))).await;
        let (mut end, mut raw_text, mut at_once) = (None, String::new(), 0);
        let mut stopped = std::pin::pin!(self.stopped());
        while run.status().is_none() {
            let item = tokio::select! {
                biased;
                Some(item) = ready(already_read(&mut reply.events, &mut at_once)) => Some(item),
                event = requests.next() => Some(ReplyItem::Event(event)),
                // Before the events: an agent that always has another one must not keep the run from being ended.
                stop = &mut stopped => {
                    let error = stop.error(&self.standing(Turn::MayHaveRun));
                    if self.is_left(error.kind()) {
                        return Err(error);
                    }
                    self.end_here(reply.canceller.as_ref()).await;
                    if stop == Stop::Cancelled {
                        self.take(InvokeEvent::Cancelled {}).await;
                        end = Some(End { failure: Some(failure_of(error)), ..End::default() });
                        break;
                    }
                    self.take(InvokeEvent::Failed { failure: failure_of(error.clone()) }).await;
                    return Err(error);
                }
                item = reply.events.next() => item,
                never = &mut holding => match never {},
            };
            let event = match item {
                Some(ReplyItem::Event(event)) => event,
                Some(ReplyItem::At(sequence)) => {
                    run.at(sequence);
                    continue;
                }
                Some(ReplyItem::Lost) => self.gap(),
                Some(ReplyItem::End(ending)) => {
                    let Ending { event, text, output, response_id } = *ending;
                    end = Some(End { text, output, response_id, failure: None });
                    event
                }
                None => InvokeEvent::Truncated { reason: None },
            };
            let event = self.as_ended_before(event);
            if let Some(turn) = self.turn.filter(|_| is_in_raw(&event)) {
                turn.chunk();
            }
            note(&event, &mut notices, &mut questions);
            if event.ending() == Some(RunStatus::Failed) {
                // A question about a long-running invocation was refused: that is its last answer.
                self.take_all(requests.refusal()).await;
            }
            if event.ending().is_some() {
                let response = end.as_ref().and_then(|end| end.response_id.as_ref()).or(reply.response_id.as_ref());
                let unsaved = self.open_questions(&partition, &questions, conversation.as_ref(), response).await;
                notices.extend(unsaved);
            }
            if self.params.raw && is_in_raw(&event) {
                collect(event, &mut raw_text);
            } else {
                self.take(event).await;
            }
        }
        let End { text, output, response_id, failure } = end.unwrap_or_default();
        Ok(InvokeResponse {
            run_id: run.id().clone(),
            status: run.status().unwrap_or(RunStatus::Truncated),
            text: text.unwrap_or_else(|| if self.params.raw { raw_text } else { run.text() }),
            session_id: session,
            conversation_id: conversation,
            response_id: response_id.or_else(|| reply.response_id.clone()),
            isolation_model: model,
            agent_version,
            latency,
            request_id: reply.request_id.clone(),
            output,
            questions,
            failure: failure
                .or_else(|| run.failure())
                .map(|failure| explain_failure(failure, &self.standing(Turn::MayHaveRun))),
            notices: requests.notices.into_iter().chain(notices).collect(),
            duration_ms: u64::try_from(self.received.elapsed().as_millis()).unwrap_or(u64::MAX),
        })
    }
}

/// An item that was read already, at most [`AT_ONCE`] in a row.
fn already_read(events: &mut BoxStream<'static, ReplyItem>, at_once: &mut usize) -> Option<ReplyItem> {
    *at_once = if *at_once < AT_ONCE && events.size_hint().0 > 0 { *at_once + 1 } else { 0 };
    if *at_once > 0 { events.next().now_or_never().flatten() } else { None }
}

/// How long a run may take.
pub(super) fn limit(params: &InvokeParams) -> Option<Duration> {
    match params.timeout_ms {
        Some(0) => None,
        Some(milliseconds) => Some(Duration::from_millis(milliseconds)),
        None => Some(DEFAULT_TIMEOUT),
    }
}

/// Keeps what the response repeats of an event.
fn note(event: &InvokeEvent, notices: &mut Vec<Notice>, questions: &mut Vec<Question>) {
    match event {
        InvokeEvent::Notice { notice } => notices.push(notice.clone()),
        InvokeEvent::Question { question } if questions.len() < MAX_QUESTIONS => questions.push(*question.clone()),
        _ => {}
    }
}

/// Does a raw answer carry what the event says?
const fn is_in_raw(event: &InvokeEvent) -> bool {
    matches!(
        event,
        InvokeEvent::TextDelta { .. }
            | InvokeEvent::Snapshot { .. }
            | InvokeEvent::Output { .. }
            | InvokeEvent::Question { .. }
    )
}

/// Adds to the text of a raw answer, whose events do not carry it. What is longer than a run may keep is left out.
fn collect(event: InvokeEvent, text: &mut String) {
    match event {
        InvokeEvent::TextDelta { delta } if text.len() + delta.len() <= MAX_TEXT_BYTES => text.push_str(&delta),
        InvokeEvent::Snapshot { text: whole } => *text = whole,
        _ => {}
    }
}

/// What the response says of a run's end.
#[derive(Default)]
struct End {
    text: Option<String>,
    output: Option<Box<RawValue>>,
    response_id: Option<ResponseId>,
    /// Where the ending itself does not say why.
    failure: Option<RunFailure>,
}

/// An error as the reason why a run did not complete.
fn failure_of(error: CallError) -> RunFailure {
    let CallError { message, data } = error;
    RunFailure { kind: data.kind, message, service_code: data.service_code, turn: data.turn, hint: data.hint }
}

/// Cancels, at the service, a turn that continues without a connection.
async fn tell(canceller: Option<&Canceller>) {
    let Some(canceller) = canceller else { return };
    match tokio::time::timeout(CANCEL_LIMIT, canceller.cancel()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "the cancellation did not reach the agent"),
        Err(_) => tracing::debug!("the agent did not answer the cancellation in time"),
    }
}
