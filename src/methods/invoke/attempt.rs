//! Getting one request to the agent: which session and conversation it continues, and what is replaced when it is gone.

use super::super::new_session::{self, session_made_here};
use super::hold::{Hold, SessionHold, SessionKey};
use super::plan::{Facts, Plan, PlannedConversation, PlannedSession};
use super::pooled;
use super::protocol::{check_if_busy, check_messages, messages, other, protocol};
use super::{answering, deployment, version, warm};
use crate::daemon::Daemon;
use crate::error::CallError;
use crate::foundry::{
    A2aTurn, Extras, FoundryError, InvocationsTurn, Observer, Reply, ResponsesTurn, TurnHeaders, WebSocketTurn,
};
use crate::partition::Partition;
use crate::partition::exclusion::{Held, under};
use crate::partition::fence::Verdict;
use crate::partition::locks::{Lock, Waiter};
use crate::partition::store::{Saved, Store};
use crate::rpc::scope::{Confirmed, Scope};
use crate::run::Run;
use crate::telemetry;
use cupola_protocol::error::{ErrorKind, Turn};
use cupola_protocol::id::{ConversationId, SessionId};
use cupola_protocol::invoke::{AgentProtocol, IfBusy, InvokeParams, Notice, NoticeCode};
use cupola_protocol::isolation::IsolationModel;
use cupola_protocol::target::{AgentVersion, Target};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How often a call may find what was saved gone and start over: once for the session, once for the conversation. It may
/// also wait once for a deployment, and find once that the agent speaks another protocol.
const MAX_REPLACEMENTS: usize = 2;

/// How long an agent that has answered over a WebSocket may say nothing before the dialogue is taken as over, unless the caller
/// says otherwise: longer than a model pauses between words, short enough to wait out.
const DEFAULT_IDLE_LIMIT: Duration = Duration::from_secs(10);

/// A request the service has taken.
pub(super) struct Taken {
    pub(super) reply: Reply,
    pub(super) model: IsolationModel,
    pub(super) session: Option<SessionId>,
    pub(super) conversation: Option<ConversationId>,
    /// The version that the agent selects for new sessions, if another one answers.
    pub(super) selected_version: Option<AgentVersion>,
    pub(super) notices: Vec<Notice>,
    /// Whose call it is: what the agent asks is asked there.
    pub(super) partition: Partition,
    /// Kept to the run's end, so that the next call on this session waits for it.
    pub(super) session_hold: Option<SessionHold>,
}

/// Finds the session and conversation to continue, sends the input, and commits what the service chose.
pub(super) async fn begin(
    daemon: &Daemon,
    run: &Arc<Run>,
    params: &InvokeParams,
    arrival: Waiter<Target>,
    observer: Observer,
    turn: Option<&telemetry::Turn>,
) -> Result<Taken, CallError> {
    // A call id for the service is refused below: the service makes its own.
    let is_local = matches!(params.target, Target::Local { .. });
    let call_id = params.call_id.as_ref().filter(|_| is_local);
    let mut extras = Extras::of_run(&observer, turn.and_then(telemetry::Turn::traceparent));
    let (mut target, mut version_word) = (Cow::Borrowed(&params.target), None);
    if let Some(asked) = &params.version_override {
        let version = version::wanted(daemon, &params.target, asked, extras.clone()).await?;
        version_word = Some(version.as_ref().map_or(asked.as_str(), AgentVersion::as_str).to_owned());
        if let Some(version) = version {
            target = Cow::Owned(params.target.clone().at_version(version));
        }
    }
    let (client, version) = (&params.client_headers, version_word.as_deref());
    let asks_latency = daemon.config.latency && !is_local;
    extras.headers = TurnHeaders { client, call_id, version, asks_latency }.headers()?;
    let resolve = || Scope::with(daemon, &target, &params.isolation, extras.clone(), Confirmed::Recently);
    let scope = resolve().await?;
    if params.version_override.is_some() && scope.pool.is_some() {
        // It would make a session for this turn, beside those of the pool.
        return Err(CallError::pooled(
            "versionOverride makes a session of its own, and users of this agent share theirs",
        )
        .hint("name the version in the target instead (--version): its users share sessions of that version"));
    }
    if let Some(turn) = turn {
        turn.of(&scope.target);
    }
    // Calls that came earlier on this target join their queues first, however long it took to find their partitions.
    let arrived = run.wait_behind("calls on this agent that came earlier", arrival.position(), arrival.wait()).await?;
    let place = daemon.partition_locks.join(&scope.partition);
    drop(arrived);
    daemon.runs.enter(run, &scope.partition);
    let refused = match attempt_until_taken(daemon, run, params, &scope, place, &observer).await {
        // What may have run is not sent a second time, whatever the refusal says.
        Err(refused) if scope.is_outdated(refused.kind()) && observer.turn() == Turn::NotRun => refused,
        taken => return taken,
    };
    let changed = Box::pin(resolve()).await?;
    if changed.model == scope.model {
        return Err(refused);
    }
    daemon.runs.enter(run, &changed.partition);
    let place = daemon.partition_locks.join(&changed.partition);
    Box::pin(attempt_until_taken(daemon, run, params, &changed, place, &observer)).await
}

/// Attempts it until the agent has taken the request: again when something saved was gone or a version was not ready.
async fn attempt_until_taken(
    daemon: &Daemon,
    run: &Run,
    params: &InvokeParams,
    scope: &Scope,
    place: Waiter<Partition>,
    observer: &Observer,
) -> Result<Taken, CallError> {
    let protocol = protocol(params, scope)?;
    answering::check(params, protocol)?;
    check_if_busy(params, protocol)?;
    // Held until it is known whether the answers were sent: nobody else answers the same questions meanwhile.
    let (params, claim) = answering::claim(daemon, params, scope, observer).await?;
    let params = params.as_ref();
    let attempt = Attempt { daemon, run, params, scope, protocol, observer, is_second_choice: false };
    let taken = match attempt.check() {
        Ok(()) => repeat(attempt, place, observer).await,
        Err(refused) => Err(refused),
    };
    if let Some(claim) = claim {
        claim.settle().await;
    }
    taken
}

async fn repeat(mut attempt: Attempt<'_>, place: Waiter<Partition>, observer: &Observer) -> Result<Taken, CallError> {
    let Attempt { daemon, scope, .. } = attempt;
    let version = scope.partition.version.as_ref();
    let (mut has_waited, mut place) = (false, Some(place));
    for _ in 0..=MAX_REPLACEMENTS + 2 {
        let place_in_queue = place.take().unwrap_or_else(|| daemon.partition_locks.join(&scope.partition));
        match attempt.run(place_in_queue).await {
            Ok(Outcome::Taken(taken)) => {
                if attempt.is_second_choice {
                    scope.agent.found_to_speak(attempt.protocol);
                }
                return Ok(*taken);
            }
            Ok(Outcome::Speaks(protocol, next)) => {
                (attempt.protocol, attempt.is_second_choice) = (protocol, true);
                place = Some(next);
            }
            Ok(Outcome::Gone(notice, next)) => {
                observer.tell(notice).await;
                place = Some(next);
            }
            Err(refused) if refused.kind() == ErrorKind::AgentVersionNotReady && !has_waited => {
                has_waited = true;
                let message = "the agent's version is still being deployed; waiting for it".to_owned();
                observer.waiting(Notice { code: NoticeCode::WaitingForVersion, message }).await;
                deployment::is_ready(&scope.agent, version, refused).await?;
            }
            Err(refused) if refused.kind() == ErrorKind::AgentVersionFailed => {
                return Err(deployment::why(&scope.agent, version, refused).await);
            }
            Err(refused) => return Err(refused),
        }
    }
    Err(CallError::new(
        ErrorKind::SessionNotFound,
        "the service keeps reporting that the session it just created does not exist",
    )
    .hint("run the command again later; `cupola sessions list` shows which sessions there are"))
}

/// How one try went.
enum Outcome {
    Taken(Box<Taken>),
    /// Something saved is gone and has been forgotten: try again without it, from this place in the queue.
    Gone(Notice, Waiter<Partition>),
    /// The agent has no route for the protocol: try this one, from this place in the queue.
    Speaks(AgentProtocol, Waiter<Partition>),
}

/// What one try continues, once it has it.
struct Begun {
    saved: Saved,
    verdict: Verdict,
    session: Option<SessionId>,
    conversation: Option<ConversationId>,
}

/// One try to get the request to the service.
pub(super) struct Attempt<'a> {
    pub(super) daemon: &'a Daemon,
    pub(super) run: &'a Run,
    pub(super) params: &'a InvokeParams,
    pub(super) scope: &'a Scope,
    pub(super) protocol: AgentProtocol,
    pub(super) observer: &'a Observer,
    /// The agent has no route for the protocol that was tried first.
    is_second_choice: bool,
}

impl Attempt<'_> {
    /// Refuses what its protocol does not have.
    fn check(&self) -> Result<(), CallError> {
        if self.protocol == AgentProtocol::InvocationsWs {
            check_messages(self.params, self.scope)?;
        }
        if self.is_whole_request() && self.params.conversation_id.is_some() {
            return Err(CallError::invalid_params(
                "a whole request of a2a names its own context, and is sent unchanged",
            )
            .hint("write the context into the request, or send the text alone"));
        }
        Ok(())
    }

    async fn run(&self, place: Waiter<Partition>) -> Result<Outcome, CallError> {
        // Held while ids are being made, so that parallel first calls make one of each.
        let mut partition_lock = self.partition_turn(place).await?;
        let granted = partition_lock.take_session();
        let lease = partition_lock.lease();
        let saved = match lease.and_then(|lease| lease.saved().cloned()) {
            _ if !self.is_saved() => Saved::default(),
            Some(saved) => saved,
            None => self.daemon.store.load(&self.scope.partition).await?,
        };
        let verdict = self.fence().await?;
        let plan = Plan::of(&saved, self.facts());
        // Given back at once by a call that does not continue it.
        let is_granted = |session: &SessionId| saved.session.as_ref() == Some(session);
        let granted = granted.filter(|_| matches!(&plan.session, PlannedSession::Known(known) if is_granted(known)));
        // What is written late, after the lock is lost, is refused.
        let store = under(&self.daemon.store, lease);
        let session = self.session(&store, plan.session).await?;
        let conversation = self.conversation(&store, plan.conversation).await?;
        self.run.continues(session.as_ref(), conversation.as_ref());
        let begun = Begun { saved, verdict, session, conversation };
        let locks = (partition_lock, granted);
        let hold = self.hold(locks, begun.session.as_ref(), plan.is_saved_with_answer).await?;
        self.note_before(begun.session.as_ref(), begun.conversation.as_ref()).await?;
        let sent = Instant::now();
        let is_beside = matches!(hold.session, Some(SessionHold::Place(_)));
        match self.send(begun.session.as_ref(), begun.conversation.as_ref(), is_beside).await {
            Ok(reply) => self.commit(begun, hold, reply, sent).await,
            Err(error) => self.replace(begun, hold, error).await,
        }
    }

    /// Decides who waits while the turn is sent.
    async fn hold(
        &self,
        (partition, granted): (Lock<Partition>, Option<Held>),
        session: Option<&SessionId>,
        is_saved_with_answer: bool,
    ) -> Result<Hold, CallError> {
        let Some(session) = session else {
            self.scope.confirm(true).await?;
            return Ok(Hold { partition: Some(partition), session: None });
        };
        // Joined before the partition is let go, so that the next call on it cannot overtake this one.
        let place = self.join_session(session).granted(granted);
        let partition = is_saved_with_answer.then_some(partition);
        let session = self.session_turn(place).await?;
        // The wait may have been long.
        self.scope.confirm(false).await?;
        Ok(Hold { partition, session: Some(session) })
    }

    /// Saves what the agent answered in.
    async fn commit(&self, begun: Begun, hold: Hold, reply: Reply, sent: Instant) -> Result<Outcome, CallError> {
        let Self { daemon, params, scope, .. } = *self;
        let asked = scope.partition.version.as_ref();
        if let Some(wanted) = &params.version_override {
            version::check_answer(wanted, asked, &reply).map_err(|error| error.of_turn(self.turn_answered()))?;
        }
        scope.check_answer(reply.version.as_ref(), sent).await.map_err(|error| error.of_turn(self.turn_answered()))?;
        let Begun { saved, session, conversation, .. } = begun;
        let store = hold.store(&daemon.store);
        let session = reply.session_id.clone().or(session);
        let conversation = reply.conversation_id.clone().or(conversation);
        if let Some(session) =
            session.as_ref().filter(|session| self.is_saved() && saved.session.as_ref() != Some(session))
        {
            store.set_session(&scope.partition, session).await?;
        }
        match &conversation {
            Some(context) if self.protocol == AgentProtocol::A2a && saved.context.as_ref() != Some(context) => {
                store.set_context(&scope.partition, context).await?;
            }
            // One that was made at the service is saved already.
            Some(conversation)
                if self.protocol == AgentProtocol::Responses
                    && (params.conversation_id.is_some() || scope.is_local())
                    && saved.conversation.as_ref() != Some(conversation) =>
            {
                store.set_conversation(&scope.partition, conversation).await?;
            }
            _ => {}
        }
        let session_hold = match (hold.session, &session) {
            (None, Some(session)) => Some(self.new_session_turn(self.join_session(session)).await?),
            (known, _) => known,
        };
        drop(hold.partition);
        let notices = self.remarks(&saved);
        let selected = scope.definition.as_ref().and_then(|definition| definition.version.clone());
        let selected_version = selected
            .filter(|selected| asked.is_none() && reply.version.as_ref().is_some_and(|answered| answered != selected));
        self.note_answer(&reply, session.as_ref(), conversation.as_ref()).await;
        let model = scope.model;
        let partition = scope.partition.clone();
        let taken = Taken { reply, model, session, conversation, selected_version, notices, partition, session_hold };
        Ok(Outcome::Taken(Box::new(taken)))
    }

    /// Finds out whether something saved is gone, so that the turn can be tried without it.
    async fn replace(&self, begun: Begun, hold: Hold, error: FoundryError) -> Result<Outcome, CallError> {
        let store = hold.store_of_session(&self.daemon.store);
        drop(hold.partition);
        let others = other(self.params, self.protocol).filter(|_| error.lacks_route() && !self.is_second_choice);
        if let Some(protocol) = others {
            return Ok(Outcome::Speaks(protocol, self.daemon.partition_locks.join(&self.scope.partition)));
        }
        let Begun { saved, verdict, session, conversation } = &begun;
        let gone = self.forget_what_is_gone(&*store, &error, saved).await?;
        if gone.is_none() {
            let (session, conversation) = (session.as_ref(), conversation.as_ref());
            self.forget_what_never_began(&*store, &error, saved, session, conversation).await?;
        }
        // The session is held until this call has joined the queue again: the calls behind it wait for their turn.
        let next = self.daemon.partition_locks.join(&self.scope.partition);
        drop(hold.session);
        match gone {
            Some(notice) => Ok(Outcome::Gone(notice, next)),
            None => Err(self.scope.explain_for(error, session.as_ref(), *verdict, false)),
        }
    }

    /// What decides, beside what is saved, what the turn continues.
    pub(super) fn facts(&self) -> Facts<'_> {
        let has_version = self.scope.partition.version.is_some();
        Facts { params: self.params, protocol: self.protocol, is_local: self.scope.is_local(), has_version }
    }

    /// What the caller should know about how their flags are understood: about isolation once per partition.
    fn remarks(&self, saved: &Saved) -> Vec<Notice> {
        let Self { params, scope, .. } = *self;
        let mut notices = Vec::new();
        let mut remark = |code, message: &str| notices.push(Notice { code, message: message.to_owned() });
        let is_first = *saved == Saved::default();
        if is_first && scope.wire.is_bridged() {
            remark(
                NoticeCode::IsolationMapped,
                "this agent isolates by user identity (container protocol 2.0.0): the user isolation key is sent as \
                 x-ms-user-identity, the chat isolation key only separates saved conversations here",
            );
        }
        if is_first && scope.is_local() && scope.is_isolated() {
            remark(
                NoticeCode::IsolationNotEnforced,
                "local agents don't enforce isolation: the keys are sent, and separate sessions and conversations \
                 here, but the agent serves one user",
            );
        }
        if params.call_id.is_some() && !scope.is_local() {
            remark(NoticeCode::Ignored, "the call id is not sent: the service makes its own for every call");
        }
        notices
    }

    /// The session of the plan, made if need be; `None` lets the service make one with the turn.
    async fn session(&self, store: &Arc<dyn Store>, planned: PlannedSession) -> Result<Option<SessionId>, CallError> {
        let partition = &self.scope.partition;
        match planned {
            PlannedSession::Known(session) => return Ok(Some(session)),
            PlannedSession::MadeHere => return session_made_here().map(Some),
            PlannedSession::WithTurn if !self.is_saved() => return Ok(None),
            PlannedSession::WithTurn | PlannedSession::MadeFirst => {}
        }
        if let Some(pool) = self.scope.pool.as_ref().filter(|_| self.is_saved()) {
            self.scope.confirm(true).await?;
            return pooled::session(self.daemon, store, self.scope, pool).await.map(Some);
        }
        if self.is_saved()
            && let Some(session) = warm::next_session(self.daemon, self.scope).await
        {
            store.set_session(partition, &session).await?;
            return Ok(Some(session));
        }
        let id = store.next_session(partition, self.params.new_session).await?;
        if id.is_none() && planned == PlannedSession::WithTurn {
            return Ok(None);
        }
        self.scope.confirm(true).await?;
        let session = new_session::make_or_adopt(store, self.scope, id.as_ref()).await?;
        store.set_session(partition, &session).await?;
        Ok(Some(session))
    }

    /// The conversation of the plan, made if need be.
    async fn conversation(
        &self,
        store: &Arc<dyn Store>,
        planned: PlannedConversation,
    ) -> Result<Option<ConversationId>, CallError> {
        let scope = self.scope;
        match planned {
            PlannedConversation::Known(conversation) => Ok(Some(conversation)),
            PlannedConversation::ByAgent => Ok(None),
            PlannedConversation::MadeHere => new_session::conversation_made_here().map(Some),
            PlannedConversation::MadeFirst => {
                scope.confirm(true).await?;
                let made = scope.agent.create_conversation(&scope.wire).await;
                let conversation = made.map_err(|error| self.explain(error))?;
                if self.is_saved() {
                    store.set_conversation(&scope.partition, &conversation).await?;
                }
                Ok(Some(conversation))
            }
        }
    }

    /// Does the next call continue what this one uses? A call that overrides the version leaves nothing behind.
    fn is_saved(&self) -> bool {
        self.params.version_override.is_none()
    }

    /// Is the input a request of A2A, to be sent as it is?
    pub(super) fn is_whole_request(&self) -> bool {
        self.protocol == AgentProtocol::A2a && self.params.input_is_request
    }

    /// Whether the turn ran, now that its answer has begun. The answer to a handshake comes before the first message is sent.
    fn turn_answered(&self) -> Turn {
        if self.protocol == AgentProtocol::InvocationsWs { Turn::NotRun } else { Turn::Ran }
    }

    fn explain(&self, error: FoundryError) -> CallError {
        self.scope.explain(error)
    }

    fn join_session(&self, session: &SessionId) -> Waiter<SessionKey> {
        self.daemon.session_locks.join(&(self.scope.partition.agent.clone(), session.clone()))
    }

    async fn send(
        &self,
        session: Option<&SessionId>,
        conversation: Option<&ConversationId>,
        is_beside: bool,
    ) -> Result<Reply, FoundryError> {
        let Self { params, scope, .. } = *self;
        let text = params.input.text().unwrap_or_default();
        match self.protocol {
            AgentProtocol::Responses => {
                let request = ResponsesTurn {
                    input: &params.input,
                    session_id: session,
                    conversation_id: conversation,
                    previous_response_id: params.previous_response_id.as_ref(),
                    is_beside,
                    background: self.run.may_survive() || params.if_busy == IfBusy::Steer,
                };
                scope.agent.respond(&scope.wire, request).await
            }
            AgentProtocol::Invocations => {
                let request = InvocationsTurn { body: text, session_id: session, deadline: None };
                scope.agent.invoke(&scope.wire, request).await
            }
            AgentProtocol::InvocationsWs => {
                let idle_limit = match params.idle_timeout_ms {
                    Some(0) => None,
                    Some(milliseconds) => Some(Duration::from_millis(milliseconds)),
                    None => Some(DEFAULT_IDLE_LIMIT),
                };
                let dialogue = WebSocketTurn { messages: messages(params), session_id: session, idle_limit };
                scope.agent.converse(&scope.wire, dialogue).await
            }
            AgentProtocol::A2a => {
                let task = answering::waiting_task(self.daemon, params, scope, conversation).await;
                let message = A2aTurn {
                    input: text,
                    is_request: params.input_is_request,
                    session_id: session,
                    context_id: conversation,
                    task_id: task.as_deref(),
                };
                let reply = scope.agent.send_message(&scope.wire, message).await;
                let may_have_arrived = reply.as_ref().map_or_else(FoundryError::may_have_run, |_| true);
                if let Some(task) = task.filter(|_| may_have_arrived) {
                    answering::has_its_answer(self.daemon, scope, task).await;
                }
                reply
            }
        }
    }
}
