//! Getting one request to the agent: which session and conversation it continues, and what is replaced when it is gone.

use super::deployment;
use crate::daemon::Daemon;
use crate::error::CallError;
use crate::foundry::{
    Definition, Dialogue, Extras, FoundryError, Invocation, MAX_SENT_BYTES, Message, Reply, Respond, Watcher,
    context_named, turn_headers,
};
use crate::partition::fence::{Verdict, judge};
use crate::partition::locks::{Lock, Waiter};
use crate::partition::store::Saved;
use crate::partition::{AgentKey, Partition};
use crate::rpc::scope::Scope;
use crate::run::Run;
use cupola_protocol::error::{ErrorKind, Turn};
use cupola_protocol::id::{ConversationId, SessionId};
use cupola_protocol::invoke::{AgentProtocol, InvokeParams, Notice, NoticeCode};
use cupola_protocol::isolation::IsolationModel;
use cupola_protocol::target::Target;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// How often a call may find what was saved gone and start over: once for the session, once for the conversation. It may
/// also wait once for a deployment.
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
    pub(super) notices: Vec<Notice>,
    // Held to the run's end, so that the next call on this session waits for it.
    pub(super) _turn: Option<Lock<(AgentKey, SessionId)>>,
}

/// Finds the session and conversation to continue, sends the input, and commits what the service chose.
pub(super) async fn begin(
    daemon: &Daemon,
    run: &Arc<Run>,
    params: &InvokeParams,
    arrival: Waiter<Target>,
    watcher: Watcher,
) -> Result<Taken, CallError> {
    // Whoever names a call in front of the service is told so below: the service makes its own.
    let call_id = params.call_id.as_ref().filter(|_| matches!(params.target, Target::Local { .. }));
    let headers = turn_headers(&params.client_headers, call_id)?;
    let extras = Extras { headers, watcher: Some(watcher.clone()) };
    let resolve = || Scope::with(daemon, &params.target, &params.isolation, extras.clone());
    let scope = resolve().await?;
    // Calls that came earlier on this target join their queues first, however long it took to find their partitions.
    let arrived = run.wait_behind("calls on this agent that came earlier", arrival.wait()).await?;
    let place = daemon.partition_locks.join(&scope.partition);
    drop(arrived);
    daemon.runs.enter(run, &scope.partition);
    let refused = match attempt_until_taken(daemon, run, params, &scope, place, &watcher).await {
        // What may have run is not sent a second time, whatever the refusal says.
        Err(refused) if scope.is_outdated(refused.kind()) && watcher.turn() == Turn::NotRun => refused,
        taken => return taken,
    };
    let anew = Box::pin(resolve()).await?;
    if anew.model == scope.model {
        return Err(refused);
    }
    daemon.runs.enter(run, &anew.partition);
    let place = daemon.partition_locks.join(&anew.partition);
    Box::pin(attempt_until_taken(daemon, run, params, &anew, place, &watcher)).await
}

/// Attempts it until the agent has taken the request: again when something saved was gone or a version was not ready.
async fn attempt_until_taken(
    daemon: &Daemon,
    run: &Run,
    params: &InvokeParams,
    scope: &Scope,
    place: Waiter<Partition>,
    watcher: &Watcher,
) -> Result<Taken, CallError> {
    let attempt = Attempt { daemon, run, params, scope, protocol: protocol(params, scope)? };
    if attempt.protocol == AgentProtocol::InvocationsWs {
        check_messages(params, scope)?;
    }
    if attempt.is_whole_request() && params.conversation_id.is_some() {
        return Err(CallError::invalid_params("a whole request of a2a names its own context, and is sent unchanged")
            .hint("write the context into the request, or send the text alone"));
    }
    repeat(&attempt, place, watcher).await
}

async fn repeat(attempt: &Attempt<'_>, place: Waiter<Partition>, watcher: &Watcher) -> Result<Taken, CallError> {
    let Attempt { daemon, scope, .. } = *attempt;
    let version = scope.partition.version.as_ref();
    let (mut has_waited, mut place) = (false, Some(place));
    for _ in 0..=MAX_REPLACEMENTS + 1 {
        let place_in_queue = place.take().unwrap_or_else(|| daemon.partition_locks.join(&scope.partition));
        match attempt.run(place_in_queue).await {
            Ok(Outcome::Taken(taken)) => return Ok(*taken),
            Ok(Outcome::Gone(notice, next)) => {
                watcher.tell(notice).await;
                place = Some(next);
            }
            Err(refused) if refused.kind() == ErrorKind::AgentVersionNotReady && !has_waited => {
                has_waited = true;
                let message = "the agent's version is still being deployed; waiting for it".to_owned();
                watcher.waiting(Notice { code: NoticeCode::WaitingForVersion, message }).await;
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
    .hint("run it again later; `cupola sessions list` shows which sessions there are"))
}

/// What to speak: as asked for, as the endpoint's path says, or what the agent's definition puts first.
fn protocol(params: &InvokeParams, scope: &Scope) -> Result<AgentProtocol, CallError> {
    let by_path = match &params.target {
        Target::AgentEndpoint { url, .. } => Some(url.protocol()),
        _ => None,
    };
    let Some(wanted) = params.protocol.or(by_path) else {
        return Ok(scope.definition.as_ref().and_then(Definition::protocol).unwrap_or_default());
    };
    if let Some(by_path) = by_path.filter(|by_path| *by_path != wanted) {
        let (wanted, by_path) = (wanted.name(), by_path.name());
        return Err(CallError::invalid_params(format!("the agent endpoint is one of {by_path}, not of {wanted}"))
            .hint("leave --protocol out, or give the endpoint of that protocol"));
    }
    if wanted == AgentProtocol::A2a && !params.client_headers.is_empty() {
        return Err(CallError::invalid_params("clientHeaders cannot be sent with a2a, which has no place for them")
            .hint("leave --client-header out"));
    }
    // The service speaks a2a for any agent that speaks responses (contract section 11).
    let (name, needed) = (wanted.name(), if wanted == AgentProtocol::A2a { "responses" } else { wanted.name() });
    match &scope.definition {
        Some(definition)
            if !definition.protocols.is_empty()
                && definition.protocols.iter().all(|spoken| spoken.name != needed && spoken.name != name) =>
        {
            Err(CallError::invalid_params(format!("the agent does not speak {name}"))
                .hint("leave --protocol out to use what it speaks"))
        }
        _ => Ok(wanted),
    }
}

/// What is said in a dialogue.
fn messages(params: &InvokeParams) -> Vec<&str> {
    if params.message_per_line {
        params.input.lines().filter(|line| !line.is_empty()).collect()
    } else {
        vec![&params.input]
    }
}

/// Refuses a dialogue of nothing, and what the service would close it for.
fn check_messages(params: &InvokeParams, scope: &Scope) -> Result<(), CallError> {
    let messages = messages(params);
    if messages.is_empty() {
        return Err(CallError::invalid_params("input has no line, so there is nothing to say"));
    }
    match messages.iter().map(|message| message.len()).find(|length| *length > MAX_SENT_BYTES) {
        Some(length) if !scope.is_local() => Err(CallError::invalid_params(format!(
            "a message of {length} bytes: over a WebSocket the service takes {MAX_SENT_BYTES} bytes at most"
        ))
        .hint("send it in several messages (--message-per-line), or as a file (cupola files upload)")),
        _ => Ok(()),
    }
}

/// How one try went.
enum Outcome {
    Taken(Box<Taken>),
    /// Something saved is gone and has been forgotten: try again without it, from this place in the queue.
    Gone(Notice, Waiter<Partition>),
}

/// One try to get the request to the service.
pub(super) struct Attempt<'a> {
    pub(super) daemon: &'a Daemon,
    run: &'a Run,
    pub(super) params: &'a InvokeParams,
    pub(super) scope: &'a Scope,
    pub(super) protocol: AgentProtocol,
}

impl Attempt<'_> {
    async fn run(&self, place: Waiter<Partition>) -> Result<Outcome, CallError> {
        let Self { daemon, params, scope, .. } = *self;
        // Held while ids are being made, so that parallel first calls make one of each.
        let whom = "another call of this agent and isolation, which finds or makes its session";
        let partition_turn = self.run.wait_behind(whom, place.wait()).await?;
        let saved = daemon.store.load(&scope.partition).await?;
        let verdict = self.fence().await?;
        let session = self.session(&saved).await?;
        let conversation = self.conversation(&saved).await?;
        // The agent itself begins a context, with its answer. What the caller names, and what was made here for a local agent, is saved
        // once the agent has answered in it: nothing is saved for a call that reached nobody.
        let is_saved_later = match self.protocol {
            AgentProtocol::A2a => conversation.is_none(),
            _ => self.is_saved_with_answer() && conversation != saved.conversation,
        } || (scope.is_local() && params.session_id.is_none() && session != saved.session);
        self.run.continues(session.as_ref(), conversation.as_ref());
        let (turn, reply, partition_turn) = if let Some(session) = &session {
            // Joined before the partition is let go, so that the next call on it cannot overtake this one.
            let turn = self.join_session(session);
            let partition_turn = is_saved_later.then_some(partition_turn);
            let whom = format!("another call on session {session}");
            let turn = self.run.wait_behind(whom, turn.wait()).await?;
            (Some(turn), self.send(Some(session), conversation.as_ref()).await, partition_turn)
        } else {
            (None, self.send(None, conversation.as_ref()).await, Some(partition_turn))
        };
        let reply = match reply {
            Ok(reply) => reply,
            Err(error) => {
                drop(partition_turn);
                // The session is held until this call has joined the queue again: the calls behind it wait for their turn.
                let gone = self.forget_what_is_gone(&error, &saved).await?;
                let next = daemon.partition_locks.join(&scope.partition);
                drop(turn);
                if let Some(notice) = gone {
                    return Ok(Outcome::Gone(notice, next));
                }
                let session = session.as_ref();
                return Err(scope.explain_for(error, session, verdict, false));
            }
        };
        let answered = reply.session_id.clone().or(session);
        if let Some(answered) = &answered
            && saved.session.as_ref() != Some(answered)
        {
            daemon.store.set_session(&scope.partition, answered).await?;
        }
        let conversation = reply.conversation_id.clone().or(conversation);
        if self.protocol == AgentProtocol::A2a
            && let Some(context) = &conversation
            && saved.context.as_ref() != Some(context)
        {
            daemon.store.set_context(&scope.partition, context).await?;
        }
        if self.protocol == AgentProtocol::Responses
            && self.is_saved_with_answer()
            && let Some(conversation) = &conversation
            && saved.conversation.as_ref() != Some(conversation)
        {
            daemon.store.set_conversation(&scope.partition, conversation).await?;
        }
        let turn = match (turn, &answered) {
            (None, Some(answered)) => Some(self.join_session(answered).wait().await?),
            (turn, _) => turn,
        };
        drop(partition_turn);
        let notices = self.remarks(&saved);
        let model = scope.model;
        Ok(Outcome::Taken(Box::new(Taken { reply, model, session: answered, conversation, notices, _turn: turn })))
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

    /// May this call use the session and the conversation it names?
    async fn fence(&self) -> Result<Verdict, CallError> {
        let Self { daemon, params, scope, .. } = *self;
        let (agent, owner) = (&scope.partition.agent, scope.partition.owner);
        let in_request = if self.is_whole_request() { context_named(&params.input) } else { None };
        if let Some(conversation) = params.conversation_id.as_ref().or(in_request.as_ref()) {
            let remembered = daemon.store.conversation_owner(agent, conversation).await?;
            if judge(owner, remembered) == Verdict::Foreign && !params.allow_shared_session {
                return Err(CallError::foreign("conversation", conversation.as_str()));
            }
        }
        match &params.session_id {
            None => Ok(Verdict::Own),
            Some(session) => scope.admit(daemon, session, params.allow_shared_session).await,
        }
    }

    /// The session to use; `None` lets the service make one.
    async fn session(&self, saved: &Saved) -> Result<Option<SessionId>, CallError> {
        let Self { daemon, params, scope, .. } = *self;
        if let Some(session) = &params.session_id {
            return Ok(Some(session.clone()));
        }
        if !params.new_session && (saved.session.is_some() || (scope.partition.version.is_none() && !scope.is_local()))
        {
            return Ok(saved.session.clone());
        }
        if scope.is_local() {
            return session_made_here().map(Some);
        }
        // A conversation would lead the service back to the session it is bound to, and no invoke can name a version:
        // so a new session, and one of a certain version, is made first, under the isolation of this call.
        let created = scope
            .agent
            .create_session(&scope.wire, None, scope.partition.version.as_ref())
            .await
            .map_err(|error| self.explain(error))?;
        let session = SessionId::try_from(created.agent_session_id).map_err(|invalid| {
            CallError::new(ErrorKind::UnexpectedAnswer, format!("the service made a session whose {invalid}"))
        })?;
        daemon.store.set_session(&scope.partition, &session).await?;
        Ok(Some(session))
    }

    /// Is the input a request of A2A, to be sent as it is?
    fn is_whole_request(&self) -> bool {
        self.protocol == AgentProtocol::A2a && self.params.input_is_request
    }

    /// The conversation, in the protocol's own sense, that a call naming none continues.
    pub(super) fn continued<'a>(&self, saved: &'a Saved) -> Option<&'a ConversationId> {
        match self.protocol {
            _ if self.params.conversation_id.is_some() || self.params.new_conversation || self.is_whole_request() => {
                None
            }
            AgentProtocol::Responses => saved.conversation.as_ref(),
            AgentProtocol::A2a => saved.context.as_ref(),
            AgentProtocol::Invocations | AgentProtocol::InvocationsWs => None,
        }
    }

    /// Is the conversation saved only once the agent has answered in it: one that the caller names, or one made here?
    fn is_saved_with_answer(&self) -> bool {
        self.params.conversation_id.is_some() || self.scope.is_local()
    }

    /// The conversation to use, or the context of A2A, which `None` lets the agent begin; other protocols have neither.
    async fn conversation(&self, saved: &Saved) -> Result<Option<ConversationId>, CallError> {
        let Self { daemon, params, scope, .. } = *self;
        if let Some(continued) = self.continued(saved) {
            return Ok(Some(continued.clone()));
        }
        match self.protocol {
            // Saved once the agent has answered in it.
            AgentProtocol::Responses | AgentProtocol::A2a if params.conversation_id.is_some() => {
                return Ok(params.conversation_id.clone());
            }
            AgentProtocol::Responses => {}
            AgentProtocol::A2a | AgentProtocol::Invocations | AgentProtocol::InvocationsWs => return Ok(None),
        }
        if scope.is_local() {
            return conversation_made_here().map(Some);
        }
        let conversation = scope.agent.create_conversation(&scope.wire).await.map_err(|error| self.explain(error))?;
        daemon.store.set_conversation(&scope.partition, &conversation).await?;
        Ok(Some(conversation))
    }

    fn explain(&self, error: FoundryError) -> CallError {
        self.scope.explain(error)
    }

    fn join_session(&self, session: &SessionId) -> Waiter<(AgentKey, SessionId)> {
        self.daemon.session_locks.join(&(self.scope.partition.agent.clone(), session.clone()))
    }

    async fn send(
        &self,
        session: Option<&SessionId>,
        conversation: Option<&ConversationId>,
    ) -> Result<Reply, FoundryError> {
        let Self { params, scope, .. } = *self;
        match self.protocol {
            AgentProtocol::Responses => {
                let request = Respond { input: &params.input, session_id: session, conversation_id: conversation };
                scope.agent.respond(&scope.wire, request).await
            }
            AgentProtocol::Invocations => {
                let request = Invocation { body: &params.input, session_id: session, deadline: None };
                scope.agent.invoke(&scope.wire, request).await
            }
            AgentProtocol::InvocationsWs => {
                let idle_limit = match params.idle_timeout_ms {
                    Some(0) => None,
                    Some(milliseconds) => Some(Duration::from_millis(milliseconds)),
                    None => Some(DEFAULT_IDLE_LIMIT),
                };
                let dialogue = Dialogue { messages: messages(params), session_id: session, idle_limit };
                scope.agent.converse(&scope.wire, dialogue).await
            }
            AgentProtocol::A2a => {
                let (input, is_request) = (params.input.as_str(), params.input_is_request);
                let message = Message { input, is_request, session_id: session, context_id: conversation };
                scope.agent.send_message(&scope.wire, message).await
            }
        }
    }
}

/// An id for a session of a local agent, which has no service to make one.
fn session_made_here() -> Result<SessionId, CallError> {
    Uuid::new_v4().to_string().parse().map_err(|_| CallError::internal("a UUID broke the rule of ids"))
}

/// An id for a conversation of a local agent, as the service makes them: a partition key of 16 hex digits and `00`, then 32
/// characters. Agent servers of early 2026 fail on any other (contract section 21.2).
fn conversation_made_here() -> Result<ConversationId, CallError> {
    let [key, chance] = [(); 2].map(|()| Uuid::new_v4().simple().to_string());
    let id = format!("conv_{}00{chance}", key.get(..16).unwrap_or_default());
    id.parse().map_err(|_| CallError::internal("a conversation's id broke the rule of ids"))
}
