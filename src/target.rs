//! Which agent a call means: [`Target`] → a target with its agent named, and that agent at an address that may be given a token.
//!
//! - [`project`]: the azd project around a directory
//! - [`emulator`]: the emulator inside the daemon; [`emulator_tokens`]: tokens for it and for emulators that run by themselves

pub mod emulator;
pub mod emulator_tokens;
pub mod project;

use crate::foundry::{Address, Agent, EMBEDDED_EMULATOR, Foundry, HostNotAllowed};
use cupola_protocol::Invalid;
use cupola_protocol::target::{AgentName, AgentVersion, Target};
use emulator::{EmbeddedEmulator, EmulatorFailed};
use emulator_tokens::EmulatorTokens;
use project::ProjectError;
use std::borrow::Cow;
use std::sync::Arc;

/// What finds the agents that targets name.
#[derive(Debug)]
pub struct Targets {
    foundry: Foundry,
    /// The emulator inside the daemon.
    pub emulator: Arc<EmbeddedEmulator>,
    /// Tokens for it, and for emulators that run by themselves.
    pub emulator_tokens: Arc<EmulatorTokens>,
}

/// A target whose agent is known.
#[derive(Debug)]
pub struct Resolved<'a> {
    /// The target with its agent named.
    pub target: Cow<'a, Target>,
    /// The agent, at an address that may be given a token.
    pub agent: Agent,
    /// The version azd deployed last, if the target is an azd project that knows it.
    pub deployed: Option<AgentVersion>,
    /// What the project's files say that the agent speaks, if the target is an azd project.
    pub protocols: Vec<String>,
}

/// Why a target leads to no agent.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// The directory does not say which agent is meant.
    #[error(transparent)]
    Project(#[from] ProjectError),
    /// The embedded emulator did not start.
    #[error(transparent)]
    Emulator(#[from] EmulatorFailed),
    /// Only a gateway knows agents by such names.
    #[error("only a gateway has agents of its own, and this daemon is not a gateway")]
    NotAGateway,
    /// No token may be sent there.
    #[error(transparent)]
    Host(#[from] HostNotAllowed),
}

impl Targets {
    /// Nothing is read or started before the first target.
    pub fn new(foundry: Foundry, emulator: Arc<EmbeddedEmulator>, emulator_tokens: Arc<EmulatorTokens>) -> Self {
        Self { foundry, emulator, emulator_tokens }
    }

    /// Finds the agent. Starts the embedded emulator if that is meant.
    pub async fn resolve<'a>(&self, target: &'a Target) -> Result<Resolved<'a>, TargetError> {
        let (target, deployed, protocols) = found(target).await?;
        let agent = self.agent(&target).await?;
        Ok(Resolved { target, agent, deployed, protocols })
    }

    /// An agent that stands for its whole project: which of the agents the address names does not matter, so none needs to be chosen.
    pub async fn project(&self, target: &Target) -> Result<Agent, TargetError> {
        self.agent(&*placed(target).await?).await
    }

    async fn agent(&self, target: &Target) -> Result<Agent, TargetError> {
        let hosts = self.foundry.allowed_hosts();
        let address = match target {
            Target::Emulator { agent, url: Some(url), .. } => {
                Address::emulator(&self.emulator_tokens.url(url).await, agent)?
            }
            Target::Emulator { agent, url: None, .. } => self.embedded(agent).await?,
            Target::Project { endpoint, agent, .. } => Address::project(endpoint, agent, hosts)?,
            Target::AgentEndpoint { url, .. } => Address::project(url.project(), url.agent(), hosts)?,
            Target::Local { port, .. } => Address::local(*port)?,
            Target::Gateway { .. } => return Err(TargetError::NotAGateway),
            Target::Directory(directory) => {
                let resolved = project::resolve(directory).await?;
                Address::project(&resolved.endpoint, &resolved.agent, hosts)?
            }
        };
        Ok(self.foundry.agent(address))
    }

    /// An agent of the emulator inside the daemon, which is started if need be.
    async fn embedded(&self, agent: &AgentName) -> Result<Address, TargetError> {
        let url = self.emulator.url().await?;
        if url == EMBEDDED_EMULATOR {
            return Ok(Address::embedded(agent)?);
        }
        // Where there are no Unix sockets it has a port.
        let url = url.parse().map_err(|invalid: Invalid| self.emulator.failed(invalid.to_string()))?;
        Ok(Address::emulator(&url, agent)?)
    }
}

/// The target with its agent named, and the version azd deployed last if it is known: what a directory means is read from
/// its files at each call, because a deployment changes them.
pub async fn named(target: &Target) -> Result<(Cow<'_, Target>, Option<AgentVersion>), ProjectError> {
    let (target, deployed, _) = found(target).await?;
    Ok((target, deployed))
}

/// A target in the same place, which is all that matters of it: for a directory it is the project, without choosing one of its agents.
pub async fn placed(target: &Target) -> Result<Cow<'_, Target>, ProjectError> {
    let Target::Directory(directory) = target else { return Ok(Cow::Borrowed(target)) };
    let endpoint = project::endpoint_around(directory).await?;
    Ok(Cow::Owned(Target::Project { endpoint, agent: AgentName::default(), version: None }))
}

async fn found(target: &Target) -> Result<(Cow<'_, Target>, Option<AgentVersion>, Vec<String>), ProjectError> {
    let Target::Directory(directory) = target else { return Ok((Cow::Borrowed(target), None, Vec::new())) };
    let resolved = project::resolve(directory).await?;
    Ok((Cow::Owned(resolved.target()), resolved.deployed, resolved.protocols))
}
