//! What every call on an agent needs first: the agent, whose state, and how the target isolates its users.

use crate::daemon::Daemon;
use crate::error::CallError;
use crate::foundry::{Agent, CONFIRMED_FOR, Definition, Extras, FoundryError, WireIsolation};
use crate::partition::fence::{Verdict, judge};
use crate::partition::pool::Pool;
use crate::partition::{AgentKey, Owner, Partition};
use crate::rpc::explain::{Circumstance, GivenKeys, explain};
use crate::target::Resolved;
use cupola_protocol::error::ErrorKind;
use cupola_protocol::id::SessionId;
use cupola_protocol::isolation::{Isolation, IsolationModel};
use cupola_protocol::target::{AgentVersion, Target};
use tokio::time::Instant;

/// One call's agent, partition and isolation.
pub(crate) struct Scope {
    /// The target, with its agent named.
    pub(crate) target: Target,
    pub(crate) agent: Agent,
    pub(crate) partition: Partition,
    pub(crate) model: IsolationModel,
    pub(crate) isolation: Isolation,
    pub(crate) wire: WireIsolation,
    /// The agent's definition, where the caller may read it.
    pub(crate) definition: Option<Definition>,
    /// The version azd deployed last, if the target is an azd project.
    pub(crate) deployed: Option<AgentVersion>,
    /// What the azd project's files say that the agent speaks.
    pub(crate) protocols: Vec<String>,
    /// The pool that the call's sessions come from, if the agent's users share sessions.
    pub(crate) pool: Option<Pool>,
    /// Whom pooled sessions of the agent belong to.
    of_pool: Owner,
    /// When it was asked for.
    begun: Instant,
}

/// How recent the agent's definition must be that a call relies on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Confirmed {
    /// Within [`CONFIRMED_FOR`].
    Recently,
    /// Since the call began: for calls that make a session, and for those that are to find out.
    ForThisCall,
}

/// The earliest that the service may have been asked at for an answer to count as recent.
pub(crate) fn recently() -> Instant {
    let now = Instant::now();
    now.checked_sub(CONFIRMED_FOR).unwrap_or(now)
}

impl Scope {
    /// Finds the agent and what is saved for the isolation. `extras` are what the caller adds to its requests or wants to see of them.
    pub(crate) async fn with(
        daemon: &Daemon,
        target: &Target,
        isolation: &Isolation,
        extras: Extras,
        confirmed: Confirmed,
    ) -> Result<Self, CallError> {
        let begun = Instant::now();
        let Resolved { target, agent, deployed, protocols } = daemon.targets.resolve(target).await?;
        let (target, agent) = (target.as_ref(), agent.with(extras));
        let caller = agent.caller().await?;
        let key = AgentKey::new(target);
        let is_local = agent.address().is_local();
        let definition = if is_local {
            None
        } else {
            let since = if confirmed == Confirmed::ForThisCall { begun } else { recently() };
            agent.definition(target.version(), since).await.map_err(|error| explain(error, None))?
        };
        let model = if is_local {
            // Nobody there enforces anything, so only Cupola's own saved state can be kept apart.
            IsolationModel::Local
        } else {
            model_of(definition.as_ref(), isolation)
        };
        check(model, isolation)?;
        let owner = Owner::new(&key, caller.as_str(), model, isolation);
        let of_pool = Owner::of_pool(&key, caller.as_str(), target.version());
        let pool = pool_of(daemon, target, of_pool).filter(|_| has_user(model, isolation));
        let wire =
            if is_local { WireIsolation::for_local_agent(isolation)? } else { WireIsolation::new(model, isolation)? };
        Ok(Self {
            target: target.clone(),
            agent,
            partition: Partition { agent: key, owner, version: target.version().cloned() },
            model,
            isolation: isolation.clone(),
            wire,
            definition,
            deployed,
            protocols,
            pool,
            of_pool,
            begun,
        })
    }

    /// Asks the service again how the agent isolates, if its last answer is too old for what is sent next. An error that
    /// [`Self::is_outdated`] recognises when it isolates in another way by now: nothing has been sent then.
    pub(crate) async fn confirm(&self, makes_something: bool) -> Result<(), CallError> {
        if self.is_local() || self.isolation.model.is_some() || self.definition.is_none() {
            return Ok(());
        }
        let since = if makes_something { recently().max(self.begun) } else { recently() };
        let definition = self.agent.definition(self.partition.version.as_ref(), since).await;
        let definition = definition.map_err(|error| explain(error, None))?;
        if model_of(definition.as_ref(), &self.isolation) == self.model {
            return Ok(());
        }
        let kind = match self.model {
            IsolationModel::Identity => ErrorKind::IsolationKeyRequired,
            IsolationModel::Keys | IsolationModel::Local => ErrorKind::IsolationNotSupported,
        };
        Err(CallError::new(kind, "the agent was redeployed and isolates its users in another way now")
            .hint("run the command again; this one did nothing"))
    }

    /// What the version that answered says about the call: an error when it is another one than was relied on, and isolates in
    /// another way. The call has run in the wrong place then.
    pub(crate) async fn check_answer(&self, answered: Option<&AgentVersion>, sent: Instant) -> Result<(), CallError> {
        let (Some(answered), Some(definition)) = (answered, &self.definition) else { return Ok(()) };
        let asked = self.partition.version.as_ref();
        if definition.version.as_ref() == Some(answered) {
            self.agent.confirm_definition(asked, sent).await;
            return Ok(());
        }
        let (kind, message, hint) = if let Some(asked) = asked {
            (
                ErrorKind::VersionMismatch,
                format!("version {answered} of the agent answered, but version {asked} was asked for"),
                "`cupola agents show` shows whether that version is active; to send it there, run the command again with \
                 --new-session",
            )
        } else {
            // A session stays at its version, so another one than the agent selects may well answer.
            // What cannot be read cannot be judged.
            let Ok(Some(other)) = self.agent.definition(Some(answered), recently()).await else { return Ok(()) };
            if self.isolation.model.is_some() || model_of(Some(&other), &self.isolation) == self.model {
                return Ok(());
            }
            (
                ErrorKind::IsolationMismatch,
                format!(
                    "version {answered} of the agent answered, which isolates its users in another way than this call was sent"
                ),
                "the agent was redeployed, and the session that answered is not isolated: `cupola sessions list` without \
                 isolation keys shows it, and `cupola sessions delete` deletes it",
            )
        };
        self.forget_definition();
        Err(CallError::new(kind, message).hint(hint))
    }

    /// May a call touch the session it names? What is not remembered is left to the service.
    pub(crate) async fn admit(
        &self,
        daemon: &Daemon,
        session: &SessionId,
        allow_shared: bool,
    ) -> Result<Verdict, CallError> {
        let verdict = self.judge(daemon, session).await?;
        if verdict == Verdict::Foreign && !allow_shared {
            return Err(CallError::foreign("session", session.as_str()));
        }
        Ok(verdict)
    }

    /// What is remembered of a session. One of a pool belongs to all who continue it.
    pub(crate) async fn judge(&self, daemon: &Daemon, session: &SessionId) -> Result<Verdict, CallError> {
        let known = daemon.store.known_session(&self.partition.agent, session).await?.map(|known| known.owner);
        if known == Some(self.of_pool) && daemon.store.load(&self.partition).await?.session.as_ref() == Some(session) {
            return Ok(Verdict::Own);
        }
        Ok(judge(self.partition.owner, known))
    }

    /// Refuses a call that would reach what other users of a pooled session have there, or take the session away from them. A session
    /// of the caller alone, from before there was a pool, is not refused.
    pub(crate) async fn must_not_share(&self, daemon: &Daemon, session: &SessionId) -> Result<(), CallError> {
        let known = daemon.store.known_session(&self.partition.agent, session).await?.map(|known| known.owner);
        if known == Some(self.partition.owner) || (self.pool.is_none() && known != Some(self.of_pool)) {
            return Ok(());
        }
        Err(CallError::pooled(format!("session {session} is not this user's alone: users of the agent share it")).hint(
            "for a session of your own, remove the agent's pool from Cupola's configuration file, run `cupola stop`, then run \
             `cupola invoke --new-session`",
        ))
    }

    /// Refuses to make a session for one user of an agent whose users share them.
    pub(crate) fn must_not_add(&self) -> Result<(), CallError> {
        if self.pool.is_none() {
            return Ok(());
        }
        Err(CallError::pooled("the agent's users share sessions, so none is made for one of them")
            .hint("to begin a new conversation in the shared session, run `cupola invoke --new-conversation`"))
    }

    /// Whom a session that is made for the call belongs to.
    pub(crate) fn session_owner(&self) -> Owner {
        if self.pool.is_some() { self.of_pool } else { self.partition.owner }
    }

    /// Refuses a session that is bound to another version than the call names, if it names one. The service is asked.
    pub(crate) async fn check_version(&self, session: &SessionId) -> Result<(), CallError> {
        let Some(version) = &self.partition.version else { return Ok(()) };
        let shown = self
            .agent
            .get_session(&self.wire, session)
            .await
            .map_err(|error| self.explain_for(error, Some(session), Verdict::Unknown, false))?;
        match shown.version_indicator {
            Some(bound) if bound.agent_version != version.as_str() => Err(CallError::invalid_params(format!(
                "session {session} is bound to version {}, but version {version} was named",
                bound.agent_version
            ))
            .hint("leave the version out to use the session, or leave the session out to use the version")),
            _ => Ok(()),
        }
    }

    /// Is it a container on this machine without a service in front of it?
    pub(crate) fn is_local(&self) -> bool {
        self.agent.address().is_local()
    }

    /// Refuses a local agent where nothing can be done without the service, before saved state is looked at.
    pub(crate) fn needs_service(&self) -> Result<(), CallError> {
        if !self.is_local() {
            return Ok(());
        }
        Err(CallError::from(FoundryError::NotLocal)
            .hint("use what the agent prints where it was started, or call a deployed agent or the emulator instead"))
    }

    /// Were any keys or an identity given that the service gets to see?
    pub(crate) fn is_isolated(&self) -> bool {
        let Isolation { user_key, chat_key, user_identity, .. } = &self.isolation;
        user_key.is_some() || chat_key.is_some() || user_identity.is_some()
    }

    /// Does a refusal of this kind show that the agent may have been deployed again, with the other model, since its
    /// definition was read? Nothing has begun then.
    pub(crate) fn is_outdated(&self, refusal: ErrorKind) -> bool {
        let is_other_model = matches!(
            (self.model, refusal),
            (IsolationModel::Keys, ErrorKind::IsolationNotSupported)
                | (IsolationModel::Identity, ErrorKind::IsolationKeyRequired)
        );
        is_other_model && self.isolation.model.is_none() && self.definition.is_some()
    }

    /// What a refusal of the service means for a call that names no session.
    pub(crate) fn explain(&self, error: FoundryError) -> CallError {
        self.explain_for(error, None, Verdict::Unknown, false)
    }

    /// What a refusal means for a call on `session`. One that shows that the agent's definition has changed has the next call read it
    /// again.
    pub(crate) fn explain_for(
        &self,
        error: FoundryError,
        session: Option<&SessionId>,
        verdict: Verdict,
        deleting: bool,
    ) -> CallError {
        let is_outdated = self.is_outdated(error.kind()) && !error.may_have_run();
        if is_outdated {
            self.forget_definition();
        }
        let circumstance = Circumstance {
            model: self.model,
            is_local: self.is_local(),
            is_isolated: self.is_isolated(),
            keys: GivenKeys { user: self.isolation.user_key.is_some(), chat: self.isolation.chat_key.is_some() },
            is_outdated,
            session,
            verdict,
            deleting,
        };
        explain(error, Some(circumstance))
    }

    /// Has the next call read the agent's definition again.
    pub(crate) fn forget_definition(&self) {
        self.agent.forget_definition(self.partition.version.as_ref());
    }

    /// What is sent for this scope with another isolation, for example with a remembered ownership key.
    pub(crate) fn wire_for(&self, isolation: &Isolation) -> Result<WireIsolation, CallError> {
        Ok(WireIsolation::new(self.model, isolation)?)
    }
}

/// The pool that is set for an agent.
fn pool_of(daemon: &Daemon, target: &Target, owner: Owner) -> Option<Pool> {
    let settings = daemon.config.agents.get(target.agent()?.as_str())?.pool.as_ref()?;
    Some(Pool { owner, most: settings.sessions.get().into(), share: settings.share.get() })
}

/// Does the agent tell this call's user apart by identity? Its own caller's sessions are closed to those users.
const fn has_user(model: IsolationModel, isolation: &Isolation) -> bool {
    matches!(model, IsolationModel::Identity) && (isolation.user_identity.is_some() || isolation.user_key.is_some())
}

/// The model of isolation: the caller's word, then the agent's own definition.
pub(crate) fn model_of(definition: Option<&Definition>, isolation: &Isolation) -> IsolationModel {
    let defined = || definition.and_then(Definition::isolation_model);
    isolation.model.or_else(defined).unwrap_or_else(|| guess(isolation))
}

/// The model of an agent whose definition cannot be read: the one the caller's own words belong to.
const fn guess(isolation: &Isolation) -> IsolationModel {
    if isolation.user_identity.is_none() && (isolation.user_key.is_some() || isolation.chat_key.is_some()) {
        IsolationModel::Keys
    } else {
        IsolationModel::Identity
    }
}

/// Refuses two names for one user: on these models a user key and an identity both say who the user is.
fn check(model: IsolationModel, isolation: &Isolation) -> Result<(), CallError> {
    match (&isolation.user_identity, &isolation.user_key) {
        (Some(identity), Some(key)) if model != IsolationModel::Keys && identity.as_str() != key.as_str() => {
            Err(CallError::invalid_params(
                "userIdentity and userKey name different users; on this agent both mean the user",
            )
            .hint("give one of --user-identity and --user-isolation-key"))
        }
        _ => Ok(()),
    }
}
