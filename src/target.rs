//! Which agent a call means: [`Target`] → a target with its agent named, and that agent at an address that may be given a token.
//!
//! - [`project`]: the azd project around a directory
//! - [`emulator`]: the emulator inside the daemon

pub mod emulator;
pub mod project;

use crate::foundry::{Address, Agent, Foundry, HostNotAllowed};
use cupola_protocol::target::{AgentName, AgentVersion, Target};
use emulator::{EmbeddedEmulator, EmulatorFailed};
use project::ProjectError;
use std::borrow::Cow;

/// What finds the agents that targets name. Cheap to clone.
#[derive(Debug)]
pub struct Targets {
    foundry: Foundry,
    /// The emulator inside the daemon.
    pub emulator: EmbeddedEmulator,
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
    /// No token may be sent there.
    #[error(transparent)]
    Host(#[from] HostNotAllowed),
}

impl Targets {
    /// Nothing is read or started before the first target.
    pub fn new(foundry: Foundry, emulator: EmbeddedEmulator) -> Self {
        Self { foundry, emulator }
    }

    /// Finds the agent. Starts the embedded emulator if that is meant.
    pub async fn resolve<'a>(&self, target: &'a Target) -> Result<Resolved<'a>, TargetError> {
        let (target, deployed) = named(target).await?;
        let agent = self.agent(&target).await?;
        Ok(Resolved { target, agent, deployed })
    }

    /// An agent that stands for its whole project: which of the agents the address names does not matter, so none needs to be chosen.
    pub async fn project(&self, target: &Target) -> Result<Agent, TargetError> {
        let Target::Directory(directory) = target else { return self.agent(target).await };
        let endpoint = project::endpoint_around(directory).await?;
        self.agent(&Target::Project { endpoint, agent: AgentName::default(), version: None }).await
    }

    async fn agent(&self, target: &Target) -> Result<Agent, TargetError> {
        let hosts = self.foundry.allowed_hosts();
        let address = match target {
            Target::Emulator { agent, url: Some(url), .. } => Address::emulator(url, agent)?,
            Target::Emulator { agent, url: None, .. } => Address::emulator(&self.emulator.url().await?, agent)?,
            Target::Project { endpoint, agent, .. } => Address::project(endpoint, agent, hosts)?,
            Target::AgentEndpoint { url, .. } => Address::project(url.project(), url.agent(), hosts)?,
            Target::Local { port, .. } => Address::local(*port)?,
            Target::Directory(directory) => {
                let resolved = project::resolve(directory).await?;
                Address::project(&resolved.endpoint, &resolved.agent, hosts)?
            }
        };
        Ok(self.foundry.agent(address))
    }
}

/// The target with its agent named, and the version azd deployed last if it is known: what a directory means is read from
/// its files at each call, because a deployment changes them.
pub async fn named(target: &Target) -> Result<(Cow<'_, Target>, Option<AgentVersion>), ProjectError> {
    let Target::Directory(directory) = target else { return Ok((Cow::Borrowed(target), None)) };
    let resolved = project::resolve(directory).await?;
    Ok((Cow::Owned(resolved.target()), resolved.deployed))
}
