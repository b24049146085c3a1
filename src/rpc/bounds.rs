//! What a bound connection may reach, and the one gate in front of every handler.
//!
//! A connection is free, or bound once and for good (`binding`). [`Bounds::admit`] is the gate: on a bound
//! connection it alone makes the parameters a handler gets, from the caller's with the agent and the isolation of the
//! binding in their place, and refuses what names anything else. A method that does not say how far it reaches
//! ([`cupola_protocol::Method::REACH`]) does not pass.
//!
//! A session or conversation that a call names must be known here as the binding's own. Whether the service would keep others
//! out is not asked: keys mean nothing to an agent that was deployed without isolation, and nothing tells that from here.
//!
//! What a handler gives out of a list, or finds by the id of a run, it compares itself: [`Bounds::partition`], [`is_own`].
//! A transfer opens local files below the directory of the binding, and nowhere else: [`Bounds::root`].

use crate::daemon::Daemon;
use crate::error::CallError;
use crate::foundry::Extras;
use crate::partition::Partition;
use crate::partition::fence::{Verdict, judge};
use crate::partition::locks::{Locks, Waiter};
use crate::rpc::message::{parse, read};
use crate::rpc::scope::{Confirmed, Scope};
use crate::system::file::Root;
use crate::target::named;
use crate::target::project;
use cupola_protocol::Method;
use cupola_protocol::daemon::{Bind, MethodPattern};
use cupola_protocol::id::SessionId;
use cupola_protocol::isolation::Isolation;
use cupola_protocol::reach::{Reach, Subject};
use cupola_protocol::target::{AgentName, Target};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::OnceCell;

/// What helps someone whose transfer of local files is refused.
const LOCAL_FILES_HINT: &str = "use files/read and files/write; for files of this machine the connection must be bound with \
    `files`, a directory, and `methods` that name files/upload or files/download (cupola attach --files DIR)";

/// The resources that no caller of a gateway may use, whatever it was granted.
const OPERATORS: [&str; 2] = ["daemon/", "auth/"];

/// What one connection is bound to. Keys in it do not print.
#[derive(Debug)]
pub struct Bounds {
    bind: Bind,
    /// The target with its agent named: a directory's files are read once, so that changing them later changes nothing.
    agent: OnceCell<Target>,
    /// The directory for local files, opened once.
    root: OnceCell<Arc<Root>>,
    /// Keeps calls whose order counts in their order of arrival while they pass the gate.
    admissions: Locks<()>,
    /// Both were taken from a proof of who calls, on a gateway.
    is_proven: bool,
    /// What a proven caller has narrowed its methods to.
    narrower: Option<Vec<MethodPattern>>,
}

/// The parameters of a call as they come. That a name comes twice is an error here already.
#[derive(Deserialize)]
struct CallerParams {
    target: Option<Target>,
    isolation: Option<Isolation>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

/// The parameters as the handler gets them.
#[derive(Serialize)]
struct BoundParams<'a> {
    target: &'a Target,
    isolation: &'a Isolation,
    #[serde(flatten)]
    others: &'a Map<String, Value>,
}

impl Bounds {
    pub(crate) fn new(bind: Bind) -> Self {
        Self {
            bind,
            agent: OnceCell::new(),
            root: OnceCell::new(),
            admissions: Locks::default(),
            is_proven: false,
            narrower: None,
        }
    }

    /// What a caller may reach who was proven: `agent`, which callers only know as `name`, under the isolation of the proof.
    pub(crate) fn proven(
        name: AgentName,
        agent: Target,
        isolation: Isolation,
        methods: Option<Vec<MethodPattern>>,
    ) -> Self {
        let bind = Bind { target: Target::Gateway { agent: Some(name) }, isolation, methods, files: None };
        Self { agent: OnceCell::new_with(Some(agent)), is_proven: true, ..Self::new(bind) }
    }

    /// The same for fewer methods, or for one chat of a proven caller, as it asks for.
    pub(crate) fn narrowed(
        &self,
        isolation: &Isolation,
        narrower: Option<Vec<MethodPattern>>,
    ) -> Result<Self, CallError> {
        let agent = OnceCell::new_with(self.agent.get().cloned());
        let bind = Bind { isolation: self.isolation(Some(isolation))?.into_owned(), ..self.bind.clone() };
        Ok(Self { agent, is_proven: self.is_proven, narrower, ..Self::new(bind) })
    }

    /// The same for one connection: calls keep their order on it, and wait for none of another one.
    pub(crate) fn of_connection(&self) -> Self {
        let agent = OnceCell::new_with(self.agent.get().cloned());
        let (is_proven, narrower) = (self.is_proven, self.narrower.clone());
        Self { agent, is_proven, narrower, ..Self::new(self.bind.clone()) }
    }

    /// Takes the place of a call in front of the gate. It is kept until the call's handler has been called.
    pub(crate) fn arrive(&self) -> Waiter<()> {
        self.admissions.join(&())
    }

    /// May this method be called at all?
    pub(crate) fn allows(&self, method: &str, reach: Reach) -> bool {
        let is_named = |patterns: &Vec<MethodPattern>| patterns.iter().any(|pattern| pattern.matches(method));
        if self.is_proven {
            let is_operators = OPERATORS.iter().any(|resource| method.starts_with(resource));
            return !is_operators
                && match reach {
                    Reach::Connection => true,
                    Reach::Agent | Reach::Owned => {
                        [&self.bind.methods, &self.narrower].into_iter().flatten().all(is_named)
                    }
                    Reach::LocalFiles | Reach::Daemon | Reach::Unbounded => false,
                };
        }
        match reach {
            Reach::Connection => true,
            Reach::Agent | Reach::Owned => self.bind.methods.as_ref().is_none_or(is_named),
            Reach::LocalFiles => {
                let is_named = |patterns: &Vec<MethodPattern>| patterns.iter().any(|name| name.as_str() == method);
                self.bind.files.is_some() && self.bind.methods.as_ref().is_some_and(is_named)
            }
            Reach::Daemon => self.bind.methods.as_ref().is_some_and(is_named),
            Reach::Unbounded => false,
        }
    }

    /// The agent this connection is bound to.
    pub(crate) async fn agent(&self) -> Result<&Target, CallError> {
        self.agent.get_or_try_init(async || Ok(named(&self.bind.target).await?.0.into_owned())).await
    }

    /// The directory that the binding names for local files, if it names one.
    pub(crate) async fn root(&self, daemon: &Daemon) -> Result<Option<Arc<Root>>, CallError> {
        let Some(path) = &self.bind.files else { return Ok(None) };
        let open = async || -> Result<_, CallError> {
            // What an azd project says decides which agent the next connection is bound to.
            let project = match &self.bind.target {
                Target::Directory(directory) => project::files_around(directory),
                _ => Vec::new(),
            };
            let protected = daemon.config.protected.and(project);
            Ok(Arc::new(Root::open(Path::new(path.as_str()), protected).await?))
        };
        self.root.get_or_try_init(open).await.cloned().map(Some)
    }

    /// The partition this connection is bound to, under the current credential.
    pub async fn partition(&self, daemon: &Daemon) -> Result<Partition, CallError> {
        Ok(self.scope(daemon, &self.bind.isolation).await?.partition)
    }

    async fn scope(&self, daemon: &Daemon, isolation: &Isolation) -> Result<Scope, CallError> {
        Scope::with(daemon, self.agent().await?, isolation, Extras::default(), Confirmed::Recently).await
    }

    /// Whose state a call sees that gives this isolation. It is the binding's, with one exception: a proven caller may add the
    /// label of a chat. A label separates the caller's own state, is never sent, and names no other caller.
    fn isolation(&self, given: Option<&Isolation>) -> Result<Cow<'_, Isolation>, CallError> {
        let bound = &self.bind.isolation;
        let other = || CallError::out_of_bounds("this connection is bound to another isolation");
        let Some(given) = given else { return Ok(Cow::Borrowed(bound)) };
        if !self.is_proven {
            return if given == bound { Ok(Cow::Borrowed(bound)) } else { Err(other()) };
        }
        let Isolation { chat, .. } = given;
        if *given != (Isolation { chat: chat.clone(), ..Isolation::default() }) {
            return Err(not_from_the_proof());
        }
        match (chat, &bound.chat) {
            (None, _) => Ok(Cow::Borrowed(bound)),
            (Some(_), None) => Ok(Cow::Owned(Isolation { chat: chat.clone(), ..bound.clone() })),
            (Some(chat), Some(only)) if chat == only => Ok(Cow::Borrowed(bound)),
            (Some(_), Some(_)) => Err(other()),
        }
    }

    /// The gate: a call's parameters, if they stay within bounds. A call that names a chat of a proven caller gets the bounds of a connection
    /// that is bound to the chat: what it reaches by a run's id is the chat's, too.
    pub(crate) async fn admit<M: Method>(
        &self,
        daemon: &Daemon,
        text: Option<&str>,
    ) -> Result<(M::Params, Option<Arc<Self>>), CallError> {
        if !self.allows(M::NAME, M::REACH) {
            let refused = CallError::out_of_bounds(format!("this connection may not call {}", M::NAME));
            return Err(if M::REACH == Reach::LocalFiles { refused.hint(LOCAL_FILES_HINT) } else { refused });
        }
        let given: CallerParams = parse(M::NAME, text)?;
        let agent = self.agent().await?;
        // A directory that could not be opened means that nothing was bound.
        self.root(daemon).await?;
        if self.is_proven {
            self.check_proven(&given)?;
        } else if given.target.is_some_and(|target| target != self.bind.target && target != *agent) {
            return Err(CallError::out_of_bounds("this connection is bound to another target"));
        }
        let isolation = self.isolation(given.isolation.as_ref())?;
        let filled = BoundParams { target: agent, isolation: &isolation, others: &given.others };
        let filled = serde_json::to_string(&filled)
            .map_err(|_| CallError::internal("the parameters of a bound call could not be written"))?;
        let params = read(M::NAME, &filled)?;
        self.check(daemon, M::REACH, &isolation, &M::subject(&params)).await?;
        let of_chat = match isolation {
            Cow::Borrowed(_) => None,
            Cow::Owned(isolation) => {
                let bind = Bind { isolation, ..self.bind.clone() };
                Some(Arc::new(Self { bind, ..self.of_connection() }))
            }
        };
        Ok((params, of_chat))
    }

    /// What a proven caller may say for itself: which of its agents it means. What it says about whose state, [`Self::isolation`] checks.
    fn check_proven(&self, given: &CallerParams) -> Result<(), CallError> {
        let is_meant = match &given.target {
            None | Some(Target::Gateway { agent: None }) => true,
            Some(target) => *target == self.bind.target,
        };
        if !is_meant {
            return Err(not_by_name());
        }
        if given.others.get("debug").is_some_and(|debug| *debug != serde_json::Value::Bool(false)) {
            return Err(CallError::out_of_bounds("a gateway does not show its requests").hint("leave debug out"));
        }
        Ok(())
    }

    /// Looks at what the handler will see, so that no other way of reading the parameters can matter.
    async fn check(
        &self,
        daemon: &Daemon,
        reach: Reach,
        own: &Isolation,
        subject: &Subject<'_>,
    ) -> Result<(), CallError> {
        let agent = self.agent().await?;
        if subject.target.map_or(matches!(reach, Reach::Agent | Reach::LocalFiles), |target| target != agent) {
            return Err(CallError::out_of_bounds("this connection is bound to another target"));
        }
        if subject.isolation.is_some_and(|isolation| isolation != own) {
            return Err(CallError::out_of_bounds("this connection is bound to another isolation"));
        }
        if subject.allow_shared_session {
            return Err(CallError::out_of_bounds("this connection may not enter what is another isolation's")
                .hint("leave allowSharedSession out"));
        }
        if subject.is_whole_request {
            return Err(CallError::out_of_bounds(
                "a whole request could name another caller's session or conversation",
            )
            .hint("send the text alone, without inputIsRequest or item references"));
        }
        if subject.overrides_version {
            return Err(CallError::out_of_bounds("this connection is bound to the version that its target selects")
                .hint("leave versionOverride out"));
        }
        if subject.is_any_agent {
            return Err(CallError::out_of_bounds("this connection is bound to one agent")
                .hint("leave anyAgent out to list what is this connection's own"));
        }
        if subject.session_id.is_none() && subject.conversation_id.is_none() && subject.response_id.is_none() {
            return Ok(());
        }
        let scope = self.scope(daemon, own).await?;
        if let Some(session) = subject.session_id
            && !(is_own(daemon, &scope, session).await? && is_of_version(&scope, session).await?)
        {
            return Err(CallError::out_of_bounds(format!("session {session} is not known as this connection's own"))
                .hint("if it was created elsewhere, run `cupola sessions use` (sessions/use) on a connection that is not bound"));
        }
        if let Some(conversation) = subject.conversation_id {
            let owner = daemon.store.conversation_owner(&scope.partition.agent, conversation).await?;
            if judge(scope.partition.owner, owner) != Verdict::Own {
                let message = format!("conversation {conversation} is not known as this connection's own");
                return Err(CallError::out_of_bounds(message));
            }
        }
        if let Some(response) = subject.response_id {
            let owner = daemon.responses.find_owner(&*daemon.store, &scope.partition.agent, response).await?;
            if judge(scope.partition.owner, owner) != Verdict::Own {
                let message = format!("response {response} is not known as this connection's own");
                return Err(CallError::out_of_bounds(message));
            }
        }
        Ok(())
    }
}

/// A target that no caller of a gateway can name.
pub(crate) fn not_by_name() -> CallError {
    CallError::out_of_bounds("a gateway reaches only the agents of its configuration that it has granted to you")
        .hint("name one of them: {\"kind\": \"gateway\", \"agent\": NAME}; with the command line, --agent-name NAME")
}

/// An isolation that a caller of a gateway gives.
pub(crate) fn not_from_the_proof() -> CallError {
    CallError::out_of_bounds("a gateway takes the isolation from the proof of who calls, and from nothing else")
        .hint(
            "leave isolation out, or give only the label of a chat; with the command line, leave its flags, variables and profile out",
        )
}

/// Is the session remembered as the scope's own?
pub(crate) async fn is_own(daemon: &Daemon, scope: &Scope, session: &SessionId) -> Result<bool, CallError> {
    Ok(scope.judge(daemon, session).await? == Verdict::Own)
}

/// Is the session of the version that the scope names, if it names one? The service knows.
async fn is_of_version(scope: &Scope, session: &SessionId) -> Result<bool, CallError> {
    let Some(version) = &scope.partition.version else { return Ok(true) };
    match scope.agent.get_session(&scope.wire, session).await {
        Ok(session) => Ok(session.is_of(version)),
        Err(error) => Err(scope.explain(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bind(methods: Option<&[&str]>) -> Bounds {
        let mut bind: Bind = serde_json::from_str(r#"{"target":{"kind":"emulator"}}"#).unwrap();
        bind.methods = methods.map(|names| names.iter().map(|name| name.parse().unwrap()).collect());
        Bounds::new(bind)
    }

    #[test]
    fn a_method_is_allowed_by_how_far_it_reaches() {
        use Reach::{Agent, Connection, Daemon, LocalFiles, Owned, Unbounded};
        for (methods, files, allowed) in [
            (None, None, [true, true, true, false, false, false]),
            (None, Some("/"), [true, true, true, false, false, false]),
            (Some(&["a/*", "b"][..]), Some("/"), [true, true, true, true, false, false]),
            (Some(&["a/x"][..]), Some("/"), [true, true, true, true, true, false]),
            (Some(&["a/x"][..]), None, [true, true, true, true, false, false]),
            (Some(&["b"][..]), Some("/"), [true, false, false, false, false, false]),
            (Some(&[][..]), Some("/"), [true, false, false, false, false, false]),
        ] {
            let mut bounds = bind(methods);
            bounds.bind.files = files.map(|path| path.parse().unwrap());
            let reaches = [Connection, Agent, Owned, Daemon, LocalFiles, Unbounded];
            assert_eq!(reaches.map(|reach| bounds.allows("a/x", reach)), allowed, "{methods:?} {files:?}");
        }
    }
}
