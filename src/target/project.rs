//! Which agent the azd project around a directory means: its endpoint and its name.
//!
//! - `project_file`: `azure.yaml` and its agents
//! - `environment`: azd's environments, `.azure/NAME/.env`; `dotenv` is that file's syntax
//! - `user_config`: azd's own `config.json`
//! - `read`: files of bounded size that belong to this user or root
//!
//! Files are only read, and nothing is taken from the daemon's own environment. A file of another user is an error, never
//! passed by: it could send prompts to another project. What the files say is a wish: whether a token may go to the
//! endpoint is decided where every endpoint is checked ([`crate::foundry::Address`]). The order of the sources is azd's
//! (contract section 17.1).

pub(crate) mod dotenv;
mod environment;
mod project_file;
mod read;
mod user_config;

use cupola_cli::ownership::{Unusable, User};
use cupola_protocol::target::{
    AgentName, AgentVersion, DirectoryTarget, EnvironmentName, ProjectEndpoint, ServiceName, Target,
};
use environment::Environment;
use project_file::ProjectFile;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// What a directory target means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The project's endpoint.
    pub endpoint: ProjectEndpoint,
    /// The agent.
    pub agent: AgentName,
    /// The version that was asked for.
    pub version: Option<AgentVersion>,
    /// The version azd deployed last, for what needs a concrete one. Calls follow the agent's own selection all the
    /// same: a session must not be lost with every deployment.
    pub deployed: Option<AgentVersion>,
    /// What the project's files say that it speaks, in their order.
    pub protocols: Vec<String>,
}

impl Resolved {
    /// The same as a `project` target.
    pub fn target(&self) -> Target {
        let Self { endpoint, agent, version, .. } = self.clone();
        Target::Project { endpoint, agent, version }
    }
}

/// Why a directory does not say which agent is meant.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    /// A file is there and cannot be read, or another user could have written it.
    #[error(transparent)]
    Unusable(#[from] Unusable),
    /// A file is not what its name says.
    #[error("{path}{}: {reason}", line.map(|line| format!(":{line}")).unwrap_or_default())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where in it, counted from 1.
        line: Option<u64>,
        /// What is wrong.
        reason: String,
    },
    /// No `azure.yaml`, and nothing else names an agent.
    #[error("no agent is named, and there is no azure.yaml in {0} or above it")]
    NoProject(PathBuf),
    /// An `azure.yaml` without agents.
    #[error("{0} has no service with host: azure.ai.agent")]
    NoAgents(PathBuf),
    /// An `azure.yaml` with several, and none chosen.
    #[error("{file} has several agents: {}", services.join(", "))]
    Several {
        /// The file.
        file: PathBuf,
        /// Their services.
        services: Vec<String>,
    },
    /// azd has not deployed the service in this environment.
    #[error("{service} is not deployed: {variable} is not set in {}", place(.environment.as_deref()))]
    NotDeployed {
        /// The service.
        service: String,
        /// The variable azd sets when it deploys.
        variable: String,
        /// The environment's file, if there is an environment.
        environment: Option<PathBuf>,
    },
    /// The environment is not there.
    #[error("the azd environment {name} does not exist: there is no {path}")]
    NoEnvironment {
        /// Its name.
        name: EnvironmentName,
        /// Where its file would be.
        path: PathBuf,
    },
    /// Nothing says where the project is.
    #[error("nothing says where the Foundry project is: FOUNDRY_PROJECT_ENDPOINT is not set in {}", place(.environment.as_deref()))]
    NoEndpoint {
        /// The environment's file, if there is an environment.
        environment: Option<PathBuf>,
    },
}

fn place(environment: Option<&Path>) -> String {
    environment.map_or_else(|| "an azd environment (none is selected)".to_owned(), |path| path.display().to_string())
}

/// Finds the agent and where it is.
pub async fn resolve(target: &DirectoryTarget) -> Result<Resolved, ProjectError> {
    apart(target, |target| resolve_as(target, User::current())).await
}

/// What decides which agent a directory means, whether it exists or not: a nearer file would take an existing one's place.
pub fn files_around(target: &DirectoryTarget) -> Vec<PathBuf> {
    let path = Path::new(target.path.as_str());
    let files = path.ancestors().flat_map(|directory| {
        let names = project_file::NAMES.into_iter().chain([environment::DIRECTORY]);
        names.map(|name| directory.join(name))
    });
    files.chain(target.azd_config_directory.as_ref().map(|directory| PathBuf::from(directory.as_str()))).collect()
}

/// Finds where the project is, whatever agents it has.
pub async fn endpoint_around(target: &DirectoryTarget) -> Result<ProjectEndpoint, ProjectError> {
    apart(target, |target| {
        let user = User::current();
        let file = ProjectFile::around(Path::new(target.path.as_str()), user)?;
        let environment = environment_of(target, file.as_ref(), user)?;
        endpoint(target, file.as_ref(), environment.as_ref(), None, user)
    })
    .await
}

/// Reads on a separate thread: a network drive may be slow.
async fn apart<Found: Send + 'static>(
    target: &DirectoryTarget,
    read: fn(&DirectoryTarget) -> Result<Found, ProjectError>,
) -> Result<Found, ProjectError> {
    let (target, path) = (target.clone(), PathBuf::from(target.path.as_str()));
    tokio::task::spawn_blocking(move || read(&target)).await.unwrap_or_else(|ended| {
        Err(Unusable::Unreadable { path, source: std::io::Error::other(ended.to_string()) }.into())
    })
}

fn resolve_as(target: &DirectoryTarget, user: User) -> Result<Resolved, ProjectError> {
    let start = Path::new(target.path.as_str());
    let file = ProjectFile::around(start, user)?;
    let environment = environment_of(target, file.as_ref(), user)?;
    let agent = agent(target, file.as_ref(), environment.as_ref())?;
    let endpoint = endpoint(target, file.as_ref(), environment.as_ref(), agent.endpoint.as_ref(), user)?;
    let ChosenAgent { name, version, protocols, .. } = agent;
    Ok(Resolved { endpoint, agent: name, version: target.version.clone(), deployed: version, protocols })
}

fn environment_of(
    target: &DirectoryTarget,
    file: Option<&ProjectFile>,
    user: User,
) -> Result<Option<Environment>, ProjectError> {
    file.map_or(Ok(None), |file| Environment::of(&file.directory, target.environment.as_ref(), user))
}

/// An agent as the project's files know it.
struct ChosenAgent {
    name: AgentName,
    version: Option<AgentVersion>,
    /// The project's endpoint, as part of the agent's own.
    endpoint: Option<ProjectEndpoint>,
    /// What the project's files say that it speaks.
    protocols: Vec<String>,
}

fn agent(
    target: &DirectoryTarget,
    file: Option<&ProjectFile>,
    environment: Option<&Environment>,
) -> Result<ChosenAgent, ProjectError> {
    let wanted = target.agent.as_ref().map(ServiceName::as_str);
    let Some(file) = file else {
        let wanted = wanted.ok_or_else(|| ProjectError::NoProject(PathBuf::from(target.path.as_str())))?;
        return literal(wanted, Path::new(target.path.as_str()));
    };
    let agent = match wanted {
        None => file.only_agent()?,
        Some(wanted) => {
            let deployed_as = |service: &str| environment.and_then(|environment| environment.agent(service, "NAME"));
            let by_agent =
                || file.agents.iter().find(|agent| deployed_as(&agent.service).is_some_and(|it| it.text == wanted));
            match file.agents.iter().find(|agent| agent.service == wanted).or_else(by_agent) {
                Some(agent) => agent,
                // An agent that this project does not deploy.
                None => return literal(wanted, &file.path),
            }
        }
    };
    let service = &agent.service;
    let known = |what: &str| environment.and_then(|environment| environment.agent(service, what));
    // `…/api/projects/p/agents/a/versions/3`, or `…/agents/a/endpoint/…`.
    let own = known("ENDPOINT").and_then(|value| {
        let (project, rest) = value.text.split_once("/agents/")?;
        let mut segments = rest.split('/');
        let agent = segments.next()?.parse().ok()?;
        let version =
            segments.next().filter(|segment| *segment == "versions").and_then(|_| segments.next()?.parse().ok());
        Some(ChosenAgent { name: agent, version, endpoint: project.parse().ok(), protocols: Vec::new() })
    });
    let (name, from_endpoint) = match (known("NAME"), own) {
        (Some(value), own) => (value.parse()?, own),
        (None, Some(own)) => (own.name.clone(), Some(own)),
        (None, None) => {
            let protocols = agent.protocols.clone();
            if let Some(name) = file.name(agent)? {
                return Ok(ChosenAgent { name, version: None, endpoint: None, protocols });
            }
            if wanted.is_some() {
                return literal(service, &file.path).map(|chosen| ChosenAgent { protocols, ..chosen });
            }
            return Err(ProjectError::NotDeployed {
                variable: environment::agent_variable(service, "NAME"),
                service: service.clone(),
                environment: environment.map(|environment| environment.path.clone()),
            });
        }
    };
    let version = known("VERSION").map(|value| value.parse()).transpose()?;
    let (fallback_version, endpoint) = from_endpoint.map_or((None, None), |own| (own.version, own.endpoint));
    Ok(ChosenAgent { name, version: version.or(fallback_version), endpoint, protocols: agent.protocols.clone() })
}

/// The word itself is the agent's name.
fn literal(wanted: &str, file: &Path) -> Result<ChosenAgent, ProjectError> {
    let name = AgentName::from_str(wanted).map_err(|invalid| ProjectError::Malformed {
        path: file.to_owned(),
        line: None,
        reason: format!("it has no agent called {wanted:?}, and an agent's name {}", invalid.rule),
    })?;
    Ok(ChosenAgent { name, version: None, endpoint: None, protocols: Vec::new() })
}

/// Flag, azd environment, the project's own file, azd's user configuration, the caller's environment. A value that breaks its rule is an error at
/// every level: continuing to the next would call another project than the user wrote down.
fn endpoint(
    target: &DirectoryTarget,
    file: Option<&ProjectFile>,
    environment: Option<&Environment>,
    of_agent: Option<&ProjectEndpoint>,
    user: User,
) -> Result<ProjectEndpoint, ProjectError> {
    if let Some(endpoint) = &target.endpoint {
        return Ok(endpoint.clone());
    }
    if let Some(environment) = environment {
        if let Some(value) = environment.project_endpoint() {
            return value.parse();
        }
        if let Some(endpoint) = of_agent {
            return Ok(endpoint.clone());
        }
    }
    if let Some(endpoint) = file.map_or(Ok(None), ProjectFile::endpoint)? {
        return Ok(endpoint);
    }
    if let Some(directory) = &target.azd_config_directory
        && let Some(endpoint) = user_config::endpoint(Path::new(directory.as_str()), user)?
    {
        return Ok(endpoint);
    }
    target.fallback_endpoint.clone().ok_or_else(|| ProjectError::NoEndpoint {
        environment: environment.map(|environment| environment.path.clone()),
    })
}

#[cfg(test)]
#[path = "../../fuzz/azd_project.rs"]
mod fuzz_azd_project;

#[cfg(test)]
mod tests;
