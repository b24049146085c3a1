//! What a bound connection may reach, and the one gate in front of every handler.
//!
//! [`Binding`] is a connection's own: free, or bound once and for good. [`Bounds::admit`] is the gate: on a bound
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
use crate::rpc::shape;
use crate::system::file::Root;
use crate::target::named;
use crate::target::project;
use cupola_protocol::Method;
use cupola_protocol::daemon::{Bind, Initialize, MethodPattern};
use cupola_protocol::id::SessionId;
use cupola_protocol::isolation::Isolation;
use cupola_protocol::reach::{Reach, Subject};
use cupola_protocol::target::Target;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::OnceCell;

/// What helps someone whose transfer of local files is refused.
const LOCAL_FILES_HINT: &str = "use files/read and files/write; for files of this machine the connection must be bound with \
    `files`, a directory, and `methods` that name files/upload or files/download (cupola attach --files DIR)";

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
        Self { bind, agent: OnceCell::new(), root: OnceCell::new(), admissions: Locks::default() }
    }

    /// Takes the place of a call in front of the gate. It is kept until the call's handler has been called.
    pub(crate) fn arrive(&self) -> Waiter<()> {
        self.admissions.join(&())
    }

    /// May this method be called at all?
    pub(crate) fn allows(&self, method: &str, reach: Reach) -> bool {
        let is_named = |patterns: &Vec<MethodPattern>| patterns.iter().any(|pattern| pattern.matches(method));
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
        Ok(self.scope(daemon).await?.partition)
    }

    async fn scope(&self, daemon: &Daemon) -> Result<Scope, CallError> {
        Scope::with(daemon, self.agent().await?, &self.bind.isolation, Extras::default(), Confirmed::Recently).await
    }

    /// The gate: a call's parameters, if they stay within bounds.
    pub(crate) async fn admit<M: Method>(&self, daemon: &Daemon, text: Option<&str>) -> Result<M::Params, CallError> {
        if !self.allows(M::NAME, M::REACH) {
            let refused = CallError::out_of_bounds(format!("this connection may not call {}", M::NAME));
            return Err(if M::REACH == Reach::LocalFiles { refused.hint(LOCAL_FILES_HINT) } else { refused });
        }
        let given: CallerParams = parse(M::NAME, text)?;
        let agent = self.agent().await?;
        // A directory that could not be opened means that nothing was bound.
        self.root(daemon).await?;
        if given.target.is_some_and(|target| target != self.bind.target && target != *agent) {
            return Err(CallError::out_of_bounds("this connection is bound to another target"));
        }
        if given.isolation.is_some_and(|isolation| isolation != self.bind.isolation) {
            return Err(CallError::out_of_bounds("this connection is bound to another isolation"));
        }
        let filled = BoundParams { target: agent, isolation: &self.bind.isolation, others: &given.others };
        let filled = serde_json::to_string(&filled)
            .map_err(|_| CallError::internal("the parameters of a bound call could not be written"))?;
        let params = read(M::NAME, &filled)?;
        self.check(daemon, M::REACH, &M::subject(&params)).await?;
        Ok(params)
    }

    /// Looks at what the handler will see, so that no other way of reading the parameters can matter.
    async fn check(&self, daemon: &Daemon, reach: Reach, subject: &Subject<'_>) -> Result<(), CallError> {
        let agent = self.agent().await?;
        if subject.target.map_or(matches!(reach, Reach::Agent | Reach::LocalFiles), |target| target != agent) {
            return Err(CallError::out_of_bounds("this connection is bound to another target"));
        }
        if subject.isolation.is_some_and(|isolation| *isolation != self.bind.isolation) {
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
        if subject.session_id.is_none() && subject.conversation_id.is_none() && subject.response_id.is_none() {
            return Ok(());
        }
        let scope = self.scope(daemon).await?;
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
            let owner = daemon.questions.response_owner(&scope.partition.agent, response);
            if judge(scope.partition.owner, owner) != Verdict::Own {
                let message = format!("response {response} is not known as this connection's own");
                return Err(CallError::out_of_bounds(message));
            }
        }
        Ok(())
    }
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

/// Whether, and to what, one connection is bound.
#[derive(Debug, Default)]
pub(crate) struct Binding(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// There is no connection beyond this one message.
    is_one_shot: bool,
    has_called: bool,
    /// A binding was asked for. While there is none, nothing may be called: a client that asked, and sent more without waiting
    /// for the answer, meant it to be bound.
    is_wanted: bool,
    bounds: Option<Arc<Bounds>>,
}

impl Binding {
    /// For a request that comes without its own connection.
    pub(crate) fn one_shot() -> Self {
        Self(Mutex::new(State { is_one_shot: true, ..State::default() }))
    }

    /// Does the connection end with this message?
    pub(crate) fn is_one_shot(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_one_shot
    }

    /// Takes note of a message, in its order, before anything is done for it: what it is bound to.
    pub(crate) fn enter(&self, method: &str, params: Option<&str>) -> Result<Option<Arc<Bounds>>, CallError> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if method == Initialize::NAME {
            state.is_wanted |= asks_to_bind(params);
        } else if state.is_wanted && state.bounds.is_none() {
            return Err(CallError::out_of_bounds(
                "initialize was to bind this connection and did not, so it may call nothing",
            )
            .hint("the answer to initialize says why; bind again, or open another connection"));
        } else {
            state.has_called = true;
        }
        Ok(state.bounds.clone())
    }

    /// A binding could not be made after all. As one is wanted, the connection calls nothing until it is bound.
    pub(crate) fn fail(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).bounds = None;
    }

    /// Binds, once. Every message after the one that is being handled is held to it.
    pub(crate) fn bind(&self, bounds: Arc<Bounds>) -> Result<(), CallError> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.is_one_shot {
            return Err(CallError::out_of_bounds("there is no connection to bind: each HTTP request stands alone")
                .hint("connect by the LSP or NDJSON framing, or name target and isolation in each call"));
        }
        if state.bounds.is_some() {
            return Err(CallError::out_of_bounds("this connection is bound already, for good"));
        }
        if state.has_called {
            return Err(CallError::out_of_bounds("a connection is bound before its first call, or not at all"));
        }
        state.bounds = Some(bounds);
        Ok(())
    }
}

/// Do the parameters of an initialize ask for a binding, even one that cannot be granted or read?
fn asks_to_bind(params: Option<&str>) -> bool {
    #[derive(Deserialize)]
    struct Asks {
        bind: Option<IgnoredAny>,
    }
    match params {
        None | Some("null") => false,
        // What cannot be understood may have asked, and so may a member that is not known.
        Some(text) => {
            shape::check(Initialize::NAME, text).is_err()
                || serde_json::from_str::<Asks>(text).map_or(true, |asks| asks.bind.is_some())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cupola_protocol::error::ErrorKind;

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

    #[test]
    fn a_connection_that_was_to_be_bound_calls_nothing_until_it_is() {
        for asked in
            [r#"{"bind":{}}"#, r#"{"bind":1,"bind":2}"#, r#"["bind"]"#, r#"{"bind":{"target":7}}"#, r#"{"bnd":{}}"#]
        {
            let binding = Binding::default();
            assert!(binding.enter("initialize", Some(asked)).unwrap().is_none());
            let refused = binding.enter("invoke", None).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::OutOfBounds, "{asked}");
            binding.bind(Arc::new(bind(None))).unwrap();
            assert!(binding.enter("invoke", None).unwrap().is_some());
        }
        for unasked in [None, Some("null"), Some("{}"), Some(r#"{"bind":null,"clientInfo":{"name":"x"}}"#)] {
            let binding = Binding::default();
            binding.enter("initialize", unasked).unwrap();
            assert!(binding.enter("invoke", None).unwrap().is_none(), "{unasked:?}");
        }
    }
}
