//! `invoke`: finds what to continue, sends the input, streams the answer.

use crate::daemon::Daemon;
use crate::foundry::{Definition, FoundryError, Invocation, Reply, ReplyItem, Respond};
use crate::partition::AgentKey;
use crate::partition::fence::{Verdict, judge};
use crate::partition::store::Saved;
use crate::partition::turns::Turn;
use crate::rpc::Call;
use crate::rpc::error::RpcError;
use crate::rpc::explain::{Circumstance, explain};
use crate::rpc::scope::Scope;
use crate::run::Run;
use cupola_protocol::error::ErrorKind;
use cupola_protocol::id::{ConversationId, RunId, SessionId};
use cupola_protocol::invoke::{
    AgentProtocol, InvokeEvent, InvokeParams, InvokeResponse, Notice, NoticeCode, RunFailure, RunStatus,
};
use cupola_protocol::isolation::IsolationModel;
use cupola_protocol::target::Target;
use futures_util::StreamExt;
use std::time::Duration;
use tokio::time::Instant;

/// How long an invoke may take unless the caller says otherwise: azd's own limit (contract section 17.3).
const DEFAULT_TIMEOUT: Duration = Duration::from_mins(30);

/// How often a call may find what was saved gone and start over: once for the session, once for the conversation.
const MAX_REPLACEMENTS: usize = 2;

pub(crate) async fn invoke(call: Call, params: InvokeParams) -> Result<InvokeResponse, RpcError> {
    check(&params)?;
    let run = Run::begin(&call.daemon.activity);
    let id = run.id().clone();
    let limit = match params.timeout_ms {
        Some(0) => None,
        Some(milliseconds) => Some(Duration::from_millis(milliseconds)),
        None => Some(DEFAULT_TIMEOUT),
    };
    let deadline = limit.map(|limit| Instant::now() + limit);
    let begun = tokio::select! {
        begun = begin(&call.daemon, &params, deadline) => begun.map_err(|error| error.of_run(id.clone()))?,
        stopped = stopped(&call, deadline, &id) => return Err(stopped),
    };
    follow(&call, &params, run, begun, deadline).await
}

/// Fields that contradict each other.
fn check(params: &InvokeParams) -> Result<(), RpcError> {
    let clash = |left: &str, right: &str| {
        Err(RpcError::invalid_params(format!("{left} and {right} cannot be given together"))
            .hint("leave one of them out"))
    };
    if params.new_session && params.session_id.is_some() {
        return clash("newSession", "sessionId");
    }
    if params.new_conversation && params.conversation_id.is_some() {
        return clash("newConversation", "conversationId");
    }
    Ok(())
}

/// Resolves when the caller, the clock or the daemon ends the run.
async fn stopped(call: &Call, deadline: Option<Instant>, run: &RunId) -> RpcError {
    let timeout = async {
        match deadline {
            Some(deadline) => tokio::time::sleep_until(deadline).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = call.cancelled.cancelled() => RpcError::cancelled().of_run(run.clone()),
        () = timeout => RpcError::new(ErrorKind::TimedOut, "the agent did not finish within the call's time limit")
            .hint("give more time with --timeout SECONDS; 0 means no limit")
            .of_run(run.clone()),
    }
}

/// A request the service has taken.
struct Begun {
    reply: Reply,
    model: IsolationModel,
    session: Option<SessionId>,
    conversation: Option<ConversationId>,
    notices: Vec<Notice>,
    // Held to the run's end, so that the next call on this session waits for it.
    _turn: Option<Turn<(AgentKey, SessionId)>>,
}

/// Finds the session and conversation to continue, sends the input, and commits what the service chose.
async fn begin(daemon: &Daemon, params: &InvokeParams, deadline: Option<Instant>) -> Result<Begun, RpcError> {
    let scope = Scope::resolve(daemon, &params.target, &params.isolation).await?;
    let attempt = Attempt { daemon, params, scope: &scope, protocol: protocol(params, &scope)?, deadline };
    let mut notices = Vec::new();
    for _ in 0..=MAX_REPLACEMENTS {
        match attempt.run().await? {
            Outcome::Begun(mut begun) => {
                begun.notices.splice(0..0, notices);
                return Ok(*begun);
            }
            Outcome::Gone(notice) => notices.push(notice),
        }
    }
    Err(RpcError::new(
        ErrorKind::SessionNotFound,
        "the service says again and again that the session it has just made does not exist",
    ))
}

/// What to speak: as asked for, as the endpoint's path says, or what the agent's definition puts first.
fn protocol(params: &InvokeParams, scope: &Scope) -> Result<AgentProtocol, RpcError> {
    let by_path = match &params.target {
        Target::AgentEndpoint { url, .. } => Some(url.protocol()),
        _ => None,
    };
    let Some(wanted) = params.protocol.or(by_path) else {
        return Ok(scope.definition.as_ref().and_then(Definition::protocol).unwrap_or_default());
    };
    if let Some(by_path) = by_path.filter(|by_path| *by_path != wanted) {
        let (wanted, by_path) = (wanted.name(), by_path.name());
        return Err(RpcError::invalid_params(format!("the agent endpoint is one of {by_path}, not of {wanted}"))
            .hint("leave --protocol out, or give the endpoint of that protocol"));
    }
    // The service speaks a2a for any agent that speaks responses (contract section 11).
    let (name, needed) = (wanted.name(), if wanted == AgentProtocol::A2a { "responses" } else { wanted.name() });
    match &scope.definition {
        Some(definition)
            if !definition.protocols.is_empty()
                && definition.protocols.iter().all(|spoken| spoken.name != needed && spoken.name != name) =>
        {
            Err(RpcError::invalid_params(format!("the agent does not speak {name}"))
                .hint("leave --protocol out to use what it speaks"))
        }
        _ => Ok(wanted),
    }
}

/// How one try went.
enum Outcome {
    Begun(Box<Begun>),
    /// Something saved is gone and has been forgotten; try again without it.
    Gone(Notice),
}

/// One try to get the request to the service.
struct Attempt<'a> {
    daemon: &'a Daemon,
    params: &'a InvokeParams,
    scope: &'a Scope,
    protocol: AgentProtocol,
    deadline: Option<Instant>,
}

impl Attempt<'_> {
    async fn run(&self) -> Result<Outcome, RpcError> {
        let Self { daemon, scope, .. } = *self;
        // Held while ids are being made, so that parallel first calls make one of each.
        let partition_turn = daemon.partition_turns.take(&scope.partition).await?;
        let saved = daemon.store.load(&scope.partition).await?;
        let verdict = self.fence().await?;
        let session = self.session(&saved).await?;
        let conversation = self.conversation(&saved).await?;
        let (turn, reply, partition_turn) = if let Some(session) = &session {
            drop(partition_turn);
            let turn = self.session_turn(session).await?;
            (Some(turn), self.send(Some(session), conversation.as_ref()).await, None)
        } else {
            (None, self.send(None, conversation.as_ref()).await, Some(partition_turn))
        };
        let reply = match reply {
            Ok(reply) => reply,
            Err(error) => {
                drop(turn);
                if let Some(notice) = self.forget_what_is_gone(&error, &saved).await? {
                    return Ok(Outcome::Gone(notice));
                }
                let session = session.as_ref();
                return Err(explain(error, Some(&Circumstance { scope, session, verdict, deleting: false })));
            }
        };
        let answered = reply.session_id.clone().or(session);
        if let Some(answered) = &answered
            && saved.session.as_ref() != Some(answered)
        {
            daemon.store.set_session(&scope.partition, answered).await?;
        }
        let turn = match (turn, &answered) {
            (None, Some(answered)) => Some(self.session_turn(answered).await?),
            (turn, _) => turn,
        };
        drop(partition_turn);
        let mut notices = reply.notices.clone();
        if scope.wire.is_bridged() && saved == Saved::default() {
            notices.push(Notice {
                code: NoticeCode::IsolationMapped,
                message: "this agent isolates by user identity (container protocol 2.0.0): the user isolation key is \
                          sent as x-ms-user-identity, the chat isolation key only separates saved conversations here"
                    .to_owned(),
            });
        }
        let model = scope.model;
        Ok(Outcome::Begun(Box::new(Begun { reply, model, session: answered, conversation, notices, _turn: turn })))
    }

    /// May this call use the session and the conversation it names?
    async fn fence(&self) -> Result<Verdict, RpcError> {
        let Self { daemon, params, scope, .. } = *self;
        let (agent, owner) = (&scope.partition.agent, scope.partition.owner);
        if let Some(conversation) = &params.conversation_id {
            let remembered = daemon.store.conversation_owner(agent, conversation).await?;
            if judge(owner, remembered) == Verdict::Foreign && !params.allow_shared_session {
                return Err(RpcError::foreign("conversation", conversation.as_str()));
            }
        }
        match &params.session_id {
            None => Ok(Verdict::Own),
            Some(session) => daemon.admit(&scope.partition, session, params.allow_shared_session).await,
        }
    }

    /// The session to use; `None` lets the service make one.
    async fn session(&self, saved: &Saved) -> Result<Option<SessionId>, RpcError> {
        let Self { daemon, params, scope, .. } = *self;
        if let Some(session) = &params.session_id {
            return Ok(Some(session.clone()));
        }
        if !params.new_session && (saved.session.is_some() || scope.partition.version.is_none()) {
            return Ok(saved.session.clone());
        }
        // A conversation would lead the service back to the session it is bound to, and no invoke can name a version:
        // so a new session, and one of a certain version, is made first, under the isolation of this call.
        let created = scope
            .agent
            .create_session(&scope.wire, None, scope.partition.version.as_ref())
            .await
            .map_err(|error| self.explain(error))?;
        let session = SessionId::try_from(created.agent_session_id).map_err(|invalid| {
            RpcError::new(ErrorKind::UnexpectedAnswer, format!("the service made a session whose {invalid}"))
        })?;
        daemon.store.set_session(&scope.partition, &session).await?;
        Ok(Some(session))
    }

    /// The conversation to use; only the responses protocol has them.
    async fn conversation(&self, saved: &Saved) -> Result<Option<ConversationId>, RpcError> {
        let Self { daemon, params, scope, .. } = *self;
        if self.protocol != AgentProtocol::Responses {
            return Ok(None);
        }
        let conversation = match (&params.conversation_id, &saved.conversation) {
            (Some(given), _) => given.clone(),
            (None, Some(saved)) if !params.new_conversation => return Ok(Some(saved.clone())),
            (None, _) => scope.agent.create_conversation(&scope.wire).await.map_err(|error| self.explain(error))?,
        };
        if saved.conversation.as_ref() != Some(&conversation) {
            daemon.store.set_conversation(&scope.partition, &conversation).await?;
        }
        Ok(Some(conversation))
    }

    fn explain(&self, error: FoundryError) -> RpcError {
        explain(error, Some(&Circumstance::of(self.scope)))
    }

    async fn session_turn(&self, session: &SessionId) -> Result<Turn<(AgentKey, SessionId)>, RpcError> {
        let key = (self.scope.partition.agent.clone(), session.clone());
        Ok(self.daemon.session_turns.take(&key).await?)
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
                let request = Invocation { body: &params.input, session_id: session, deadline: self.deadline };
                scope.agent.invoke(&scope.wire, request).await
            }
            AgentProtocol::A2a => Err(FoundryError::Setup("a2a is not spoken yet".to_owned())),
        }
    }

    /// After a 404: finds out which saved thing is gone and forgets it. Things the caller named are never replaced.
    async fn forget_what_is_gone(&self, error: &FoundryError, saved: &Saved) -> Result<Option<Notice>, RpcError> {
        let Self { daemon, params, scope, .. } = *self;
        if error.status() != Some(404) {
            return Ok(None);
        }
        let agent = &scope.partition.agent;
        if let Some(session) = &saved.session
            && params.session_id.is_none()
            && !params.new_session
            && let Err(error) = scope.agent.get_session(&scope.wire, session).await
            && error.status() == Some(404)
        {
            daemon.store.forget_session(agent, session).await?;
            return Ok(Some(Notice {
                code: NoticeCode::SessionReplaced,
                message: format!(
                    "the service no longer has session {session}; a new one takes its place, and the old one's files are gone"
                ),
            }));
        }
        if let Some(conversation) = &saved.conversation
            && self.protocol == AgentProtocol::Responses
            && params.conversation_id.is_none()
            && !params.new_conversation
        {
            daemon.store.forget_conversation(agent, conversation).await?;
            return Ok(Some(Notice {
                code: NoticeCode::ConversationReplaced,
                message: format!("the service no longer has conversation {conversation}; a new one takes its place"),
            }));
        }
        Ok(None)
    }
}

/// Passes the reply's events on until its ending, and makes the response.
async fn follow(
    call: &Call,
    params: &InvokeParams,
    mut run: Run,
    begun: Begun,
    deadline: Option<Instant>,
) -> Result<InvokeResponse, RpcError> {
    let Begun { mut reply, model, session, conversation, notices, _turn } = begun;
    let token = params.partial_result_token.as_ref();
    let mut failure = None;
    let started = InvokeEvent::Started {
        session_id: session.clone(),
        conversation_id: conversation.clone(),
        isolation_model: model,
        request_id: reply.request_id.clone(),
    };
    let opening =
        std::iter::once(started).chain(notices.iter().map(|notice| InvokeEvent::Notice { notice: notice.clone() }));
    for event in opening {
        emit(call, token, &mut run, event).await?;
    }
    let mut end = None;
    while run.status().is_none() {
        let item = tokio::select! {
            item = reply.events.next() => item,
            error = stopped(call, deadline, run.id()) => {
                if let Some(canceller) = &reply.canceller
                    && let Err(error) = canceller.cancel().await
                {
                    tracing::debug!(%error, "the agent was not told of the cancellation");
                }
                return Err(error);
            }
        };
        let event = match item {
            Some(ReplyItem::Event(event)) => event,
            Some(ReplyItem::End(ending)) => {
                let event = ending.event.clone();
                end = Some(*ending);
                event
            }
            None => InvokeEvent::Truncated { reason: None },
        };
        if let InvokeEvent::Failed { failure: reason } = &event {
            failure = Some(reason.clone());
        }
        emit(call, token, &mut run, event).await?;
    }
    let status = run.status().unwrap_or(RunStatus::Truncated);
    let (text, output, response_id) = match end {
        Some(end) => (end.text, end.output, end.response_id),
        None => (None, None, None),
    };
    Ok(InvokeResponse {
        run_id: run.id().clone(),
        status,
        text: text.unwrap_or_else(|| run.text().to_owned()),
        session_id: session,
        conversation_id: conversation,
        response_id: response_id.or_else(|| reply.response_id.clone()),
        isolation_model: model,
        request_id: reply.request_id.clone(),
        output,
        failure: failure.or_else(|| default_failure(status)),
        notices,
        duration_ms: u64::try_from(call.received.elapsed().as_millis()).unwrap_or(u64::MAX),
    })
}

/// What a response says of an ending that brings no reason of its own.
fn default_failure(status: RunStatus) -> Option<RunFailure> {
    let message = match status {
        RunStatus::Completed | RunStatus::Failed => return None,
        RunStatus::Incomplete => "the agent stopped before its answer was complete",
        RunStatus::Cancelled => "the service reports the run as cancelled",
        RunStatus::Truncated => "the stream ended without saying how the run did; the answer may be cut short",
    };
    Some(RunFailure { kind: ErrorKind::AgentFailed, message: message.to_owned(), service_code: None })
}

async fn emit(
    call: &Call,
    token: Option<&cupola_protocol::rpc::ProgressToken>,
    run: &mut Run,
    event: InvokeEvent,
) -> Result<(), RpcError> {
    if let (Some(event), Some(token)) = (run.take(event), token) {
        call.progress(token, &event).await?;
    }
    Ok(())
}
