//! What every call on an agent needs first: the agent, whose state, and how the target isolates its users.

use crate::daemon::Daemon;
use crate::definitions::Definitions;
use crate::error::CallError;
use crate::foundry::{Agent, Definition, Extras, FoundryError, WireIsolation};
use crate::partition::{AgentKey, Owner, Partition};
use crate::rpc::Call;
use crate::rpc::explain::explain;
use crate::target::project;
use cupola_protocol::error::ErrorKind;
use cupola_protocol::isolation::{Isolation, IsolationModel};
use cupola_protocol::target::{AgentVersion, Target};
use std::borrow::Cow;
use std::sync::Arc;

/// One call's agent, partition and isolation.
pub(crate) struct Scope {
    pub(crate) agent: Agent,
    pub(crate) partition: Partition,
    pub(crate) model: IsolationModel,
    pub(crate) isolation: Isolation,
    pub(crate) wire: WireIsolation,
    /// The agent's definition, where the caller may read it.
    pub(crate) definition: Option<Definition>,
    /// The version azd deployed last, if the target is an azd project.
    pub(crate) deployed: Option<AgentVersion>,
    definitions: Arc<Definitions>,
}

impl Scope {
    pub(crate) async fn resolve(call: &Call, target: &Target, isolation: &Isolation) -> Result<Self, CallError> {
        Self::with(&call.daemon, target, isolation, call.extras()).await
    }

    /// As [`Self::resolve`], for a caller who adds something to its requests or looks on.
    pub(crate) async fn with(
        daemon: &Daemon,
        target: &Target,
        isolation: &Isolation,
        extras: Extras,
    ) -> Result<Self, CallError> {
        let (target, deployed) = named(target).await?;
        let target = target.as_ref();
        let agent = daemon.agent(target).await?.with(extras);
        let caller = agent.caller().await?;
        let key = AgentKey::new(target);
        let is_local = agent.address().is_local();
        let definition = if is_local {
            None
        } else {
            daemon.definitions.get(&agent, &key, target.version()).await.map_err(|error| explain(error, None))?
        };
        let model = if is_local {
            // Nobody there enforces anything, so only Cupola's own saved state can be kept apart.
            IsolationModel::Local
        } else {
            model_of(definition.as_ref(), isolation)
        };
        check(model, isolation)?;
        let owner = Owner::new(&key, caller.as_str(), model, isolation);
        let wire =
            if is_local { WireIsolation::for_local_agent(isolation)? } else { WireIsolation::new(model, isolation)? };
        Ok(Self {
            agent,
            partition: Partition { agent: key, owner, version: target.version().cloned() },
            model,
            isolation: isolation.clone(),
            wire,
            definition,
            deployed,
            definitions: Arc::clone(&daemon.definitions),
        })
    }

    /// Is it a container on this machine without a service in front of it?
    pub(crate) fn is_local(&self) -> bool {
        self.agent.address().is_local()
    }

    /// Refuses a local agent where nothing can be done without the service, before saved state is looked at.
    pub(crate) fn needs_service(&self) -> Result<(), CallError> {
        if self.is_local() { Err(FoundryError::NotLocal.into()) } else { Ok(()) }
    }

    /// Were any keys or an identity given that the service gets to see?
    pub(crate) fn is_isolated(&self) -> bool {
        let Isolation { user_key, chat_key, user_identity, .. } = &self.isolation;
        user_key.is_some() || chat_key.is_some() || user_identity.is_some()
    }

    /// Does a refusal of this kind show that the agent may have been deployed anew, with the other model, since its
    /// definition was read? Nothing has begun then.
    pub(crate) fn is_outdated(&self, refusal: ErrorKind) -> bool {
        let is_other_model = matches!(
            (self.model, refusal),
            (IsolationModel::Keys, ErrorKind::IsolationNotSupported)
                | (IsolationModel::Identity, ErrorKind::IsolationKeyRequired)
        );
        is_other_model && self.isolation.model.is_none() && self.definition.is_some()
    }

    /// Has the next call read the agent's definition again.
    pub(crate) fn forget_definition(&self) {
        self.definitions.forget(&self.partition.agent, self.partition.version.as_ref());
    }

    /// What is sent for this scope with another isolation, for example with a remembered ownership key.
    pub(crate) fn wire_for(&self, isolation: &Isolation) -> Result<WireIsolation, CallError> {
        Ok(WireIsolation::new(self.model, isolation)?)
    }
}

/// The target with its agent named, and the version azd deployed last if it is known: what a directory means is read from
/// its files, anew each time, because a deployment changes them.
pub(crate) async fn named(target: &Target) -> Result<(Cow<'_, Target>, Option<AgentVersion>), CallError> {
    let Target::Directory(directory) = target else { return Ok((Cow::Borrowed(target), None)) };
    let resolved = project::resolve(directory).await?;
    Ok((Cow::Owned(resolved.target()), resolved.deployed))
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
