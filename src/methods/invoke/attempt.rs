//! Getting one request to the agent: which session and conversation it continues, and what is replaced when it is gone.

use super::deployment;
use crate::daemon::Daemon;
use crate::error::CallError;
use crate::foundry::{
    Definition, Dialogue, Extras, FoundryError, Invocation, MAX_SENT_BYTES, Message, Reply, Respond, Watcher,
    context_named, turn_headers,
};
use crate::partition::AgentKey;
use crate::partition::fence::{Verdict, judge};
use crate::partition::locks::Lock;
use crate::partition::store::Saved;
use crate::rpc::scope::Scope;
use crate::run::Run;
use cupola_protocol::error::ErrorKind;
use cupola_protocol::id::{ConversationId, SessionId};
use cupola_protocol::invoke::{AgentProtocol, InvokeParams, Notice, NoticeCode};
use cupola_protocol::isolation::IsolationModel;
use cupola_protocol::target::Target;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

/// How often a call may find what was saved gone and start over: once for the session, once for the conversation. It may
/// also wait once for a deployment.
const MAX_REPLACEMENTS: usize = 2;

/// How long an agent that has answered over a WebSocket may say nothing before the dialogue is taken as over, unless the caller
/// says otherwise: longer than a model pauses between words, short enough to wait out.
const DEFAULT_IDLE_LIMIT: Duration = Duration::from_secs(10);

/// A request the service has taken.
pub(super) struct Begun {
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
    deadline: Option<Instant>,
    watcher: Watcher,
) -> Result<Begun, CallError> {
    // Whoever names a call in front of the service is told so below: the service makes its own.
    let call_id = params.call_id.as_ref().filter(|_| matches!(params.target, Target::Local { .. }));
    let headers = turn_headers(&params.client_headers, call_id)?;
    let extras = Extras { headers, watcher: Some(watcher.clone()) };
    let resolve = || Scope::with(daemon, &params.target, &params.isolation, extras.clone());
    let scope = resolve().await?;
    daemon.runs.enter(run, &scope.partition);
    let refused = match take_up(daemon, params, &scope, deadline, &watcher).await {
        Err(refused) if scope.is_outdated(refused.kind()) => refused,
        taken_up => return taken_up,
    };
    let anew = Box::pin(resolve()).await?;
    if anew.model == scope.model {
        return Err(refused);
    }
    daemon.runs.enter(run, &anew.partition);
    Box::pin(take_up(daemon, params, &anew, deadline, &watcher)).await
}

/// The same, once it is known whose state it is.
async fn take_up(
    daemon: &Daemon,
    params: &InvokeParams,
    scope: &Scope,
    deadline: Option<Instant>,
    watcher: &Watcher,
) -> Result<Begun, CallError> {
    let attempt = Attempt { daemon, params, scope, protocol: protocol(params, scope)?, deadline };
    if attempt.protocol == AgentProtocol::InvocationsWs {
        check_messages(params, scope)?;
    }
    if attempt.is_whole_request() && params.conversation_id.is_some() {
        return Err(CallError::invalid_params("a whole request of a2a names its own context, and is sent unchanged")
            .hint("write the context into the request, or send the text alone"));
    }
    let version = scope.partition.version.as_ref();
    let (mut notices, mut has_waited) = (Vec::new(), false);
    for _ in 0..=MAX_REPLACEMENTS + 1 {
        match attempt.run().await {
            Ok(Outcome::Begun(mut begun)) => {
                begun.notices.splice(0..0, notices);
                return Ok(*begun);
            }
            Ok(Outcome::Gone(notice)) => notices.push(notice),
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
        "the service says again and again that the session it has just made does not exist",
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
    async fn run(&self) -> Result<Outcome, CallError> {
        let Self { daemon, scope, .. } = *self;
        // Held while ids are being made, so that parallel first calls make one of each.
        let partition_turn = daemon.partition_locks.take(&scope.partition).await?;
        let saved = daemon.store.load(&scope.partition).await?;
        let verdict = self.fence().await?;
        let session = self.session(&saved).await?;
        let conversation = self.conversation(&saved).await?;
        // The agent itself begins a context, with its answer.
        let makes_context = self.protocol == AgentProtocol::A2a && conversation.is_none();
        let (turn, reply, partition_turn) = if let Some(session) = &session {
            let partition_turn = makes_context.then_some(partition_turn);
            let turn = self.session_turn(session).await?;
            (Some(turn), self.send(Some(session), conversation.as_ref()).await, partition_turn)
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
        let turn = match (turn, &answered) {
            (None, Some(answered)) => Some(self.session_turn(answered).await?),
            (turn, _) => turn,
        };
        drop(partition_turn);
        let mut notices = reply.notices.clone();
        notices.extend(self.remarks(&saved));
        let model = scope.model;
        Ok(Outcome::Begun(Box::new(Begun { reply, model, session: answered, conversation, notices, _turn: turn })))
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
            let session = made_here::<SessionId>()?;
            daemon.store.set_session(&scope.partition, &session).await?;
            return Ok(Some(session));
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

    /// The conversation, in the protocol's own sense, that a call naming none goes on with.
    fn continued<'a>(&self, saved: &'a Saved) -> Option<&'a ConversationId> {
        match self.protocol {
            _ if self.params.conversation_id.is_some() || self.params.new_conversation || self.is_whole_request() => {
                None
            }
            AgentProtocol::Responses => saved.conversation.as_ref(),
            AgentProtocol::A2a => saved.context.as_ref(),
            AgentProtocol::Invocations | AgentProtocol::InvocationsWs => None,
        }
    }

    /// The conversation to use, or the context of A2A, which `None` lets the agent begin; other protocols have neither.
    async fn conversation(&self, saved: &Saved) -> Result<Option<ConversationId>, CallError> {
        let Self { daemon, params, scope, .. } = *self;
        if let Some(continued) = self.continued(saved) {
            return Ok(Some(continued.clone()));
        }
        match self.protocol {
            AgentProtocol::Responses => {}
            // Saved once the agent has answered in it.
            AgentProtocol::A2a => return Ok(params.conversation_id.clone()),
            AgentProtocol::Invocations | AgentProtocol::InvocationsWs => return Ok(None),
        }
        let conversation = match &params.conversation_id {
            Some(given) => given.clone(),
            None if scope.is_local() => made_here()?,
            None => scope.agent.create_conversation(&scope.wire).await.map_err(|error| self.explain(error))?,
        };
        if saved.conversation.as_ref() != Some(&conversation) {
            daemon.store.set_conversation(&scope.partition, &conversation).await?;
        }
        Ok(Some(conversation))
    }

    fn explain(&self, error: FoundryError) -> CallError {
        self.scope.explain(error)
    }

    async fn session_turn(&self, session: &SessionId) -> Result<Lock<(AgentKey, SessionId)>, CallError> {
        let key = (self.scope.partition.agent.clone(), session.clone());
        Ok(self.daemon.session_locks.take(&key).await?)
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

    /// Does the service not have the session any more?
    async fn is_gone(&self, session: &SessionId) -> bool {
        let shown = self.scope.agent.get_session(&self.scope.wire, session).await;
        shown.is_err_and(|error| error.status() == Some(404))
    }

    /// After a 404: finds out which saved thing is gone and forgets it. Things the caller named are never replaced.
    async fn forget_what_is_gone(&self, error: &FoundryError, saved: &Saved) -> Result<Option<Notice>, CallError> {
        let Self { daemon, params, scope, .. } = *self;
        if error.status() != Some(404) {
            return Ok(None);
        }
        let agent = &scope.partition.agent;
        let code = error.service().and_then(|error| error.code.as_deref());
        // Where the service names the sandbox there is no second question, and nothing else to suspect.
        let is_sandbox = matches!(code, Some("SandboxNotFound" | "sandbox_not_found"));
        if let Some(session) = &saved.session
            && params.session_id.is_none()
            && !params.new_session
            && (is_sandbox || self.is_gone(session).await)
        {
            daemon.store.forget_session(agent, session).await?;
            return Ok(Some(Notice {
                code: NoticeCode::SessionReplaced,
                message: format!(
                    "the service no longer has session {session}; a new one takes its place, and the old one's files are gone"
                ),
            }));
        }
        if let Some(conversation) = self.continued(saved)
            && !is_sandbox
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

/// An id for a session or a conversation of a local agent, which has no service to make one.
fn made_here<Id: std::str::FromStr>() -> Result<Id, CallError> {
    Uuid::new_v4().to_string().parse().map_err(|_| CallError::internal("a UUID broke the rule of ids"))
}
