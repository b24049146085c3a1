//! `azure.yaml`: the nearest one, the services in it that are agents, and the Foundry project it names.
//!
//! Read are the file beside an `agent.yaml`, where a service says no more than `host: azure.ai.agent`; the unified file, whose
//! services hold the agent's definition and a service `host: azure.ai.project` the project; and the one between the two, a
//! service `host: microsoft.foundry` with a list of `agents`.

use super::{ProjectError, read};
use cupola_cli::ownership::User;
use cupola_protocol::Invalid;
use cupola_protocol::target::{AgentName, ProjectEndpoint};
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The names azd takes.
pub(super) const NAMES: [&str; 2] = ["azure.yaml", "azure.yml"];

/// The `host` of a service that is a hosted agent.
const AGENT_HOST: &str = "azure.ai.agent";
/// The `host` of a service that is a Foundry project.
const PROJECT_HOST: &str = "azure.ai.project";
/// The `host` of a service that is a Foundry project and its agents.
const FOUNDRY_HOST: &str = "microsoft.foundry";

/// A project's file.
#[derive(Debug)]
pub(super) struct ProjectFile {
    pub(super) path: PathBuf,
    /// Where it stands: the project's root.
    pub(super) directory: PathBuf,
    /// Its agents, sorted by their services.
    pub(super) agents: Vec<Agent>,
    /// The Foundry project it is for, if it is one that exists already.
    endpoint: Option<String>,
}

/// An agent of a project.
#[derive(Debug)]
pub(super) struct Agent {
    /// The service that deploys it.
    pub(super) service: String,
    /// What its definition calls it, if that is here.
    name: Option<String>,
}

/// The little that matters here; azd itself checks the rest.
#[derive(Deserialize)]
struct Content {
    #[serde(default)]
    services: Option<BTreeMap<String, Option<Service>>>,
}

#[derive(Deserialize)]
struct Service {
    #[serde(default)]
    host: Option<String>,
    #[serde(default)]
    name: Option<Text>,
    #[serde(default)]
    endpoint: Option<Text>,
    #[serde(default)]
    config: Option<Definition>,
    #[serde(default)]
    agents: Option<Agents>,
}

/// An agent's definition, where it is not the service itself.
#[derive(Deserialize)]
#[serde(untagged)]
enum Definition {
    Agent {
        #[serde(default)]
        name: Option<Text>,
    },
    Other(IgnoredAny),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Agents {
    List(Vec<Definition>),
    Other(IgnoredAny),
}

/// A value that may be anything in a service that is not an agent.
#[derive(Deserialize)]
#[serde(untagged)]
enum Text {
    Text(String),
    Other(IgnoredAny),
}

impl Text {
    /// What it says. One that azd fills in when it deploys (`${NAME}`) says nothing: what came of it is in the azd environment.
    fn said(self) -> Option<String> {
        match self {
            Self::Text(text) if !text.is_empty() && !text.contains("${") => Some(text),
            Self::Text(_) | Self::Other(_) => None,
        }
    }
}

impl Definition {
    fn name(self) -> Option<String> {
        if let Self::Agent { name } = self { name.and_then(Text::said) } else { None }
    }
}

impl Service {
    fn agents(self, key: String) -> Vec<Agent> {
        match self.host.as_deref() {
            Some(AGENT_HOST) => {
                let name = self.name.and_then(Text::said).or_else(|| self.config.and_then(Definition::name));
                vec![Agent { service: key, name }]
            }
            Some(FOUNDRY_HOST) => match self.agents {
                Some(Agents::List(agents)) => {
                    let named = agents.into_iter().filter_map(Definition::name);
                    named.map(|name| Agent { service: name.clone(), name: Some(name) }).collect()
                }
                Some(Agents::Other(_)) | None => Vec::new(),
            },
            _ => Vec::new(),
        }
    }
}

impl ProjectFile {
    /// The one in `start` or in the nearest directory above it. One that may not be believed ends the search with an error:
    /// the project above it is another one.
    pub(super) fn around(start: &Path, user: User) -> Result<Option<Self>, ProjectError> {
        for directory in start.ancestors() {
            for name in NAMES {
                let path = directory.join(name);
                if let Some(text) = read::text(&path, user)? {
                    return Self::parse(path, directory, &text).map(Some);
                }
            }
        }
        Ok(None)
    }

    fn parse(path: PathBuf, directory: &Path, text: &str) -> Result<Self, ProjectError> {
        let content: Content = serde_saphyr::from_str(text).map_err(|error| ProjectError::Malformed {
            path: path.clone(),
            line: error.location().map(|location| location.line()),
            reason: first_line(&error.without_snippet().to_string()),
        })?;
        let (mut agents, mut endpoint) = (Vec::new(), None);
        for (key, service) in content.services.unwrap_or_default() {
            let Some(mut service) = service else { continue };
            if matches!(service.host.as_deref(), Some(PROJECT_HOST | FOUNDRY_HOST)) {
                endpoint = endpoint.or_else(|| service.endpoint.take()?.said());
            }
            agents.extend(service.agents(key));
        }
        Ok(Self { path, directory: directory.to_owned(), agents, endpoint })
    }

    /// The project's agent, if there is just one.
    pub(super) fn only_agent(&self) -> Result<&Agent, ProjectError> {
        match self.agents.as_slice() {
            [agent] => Ok(agent),
            [] => Err(ProjectError::NoAgents(self.path.clone())),
            several => {
                let services = several.iter().map(|agent| agent.service.clone()).collect();
                Err(ProjectError::Several { file: self.path.clone(), services })
            }
        }
    }

    /// What the agent's definition in this file calls it.
    pub(super) fn name(&self, agent: &Agent) -> Result<Option<AgentName>, ProjectError> {
        let parse = |name: &String| {
            let wrong = |rule| self.wrong(format!("the name of {} {rule}: got {name:?}", agent.service));
            name.parse().map_err(|invalid: Invalid| wrong(invalid.rule))
        };
        agent.name.as_ref().map(parse).transpose()
    }

    /// The Foundry project this file names.
    pub(super) fn endpoint(&self) -> Result<Option<ProjectEndpoint>, ProjectError> {
        let parse = |endpoint: &String| {
            let wrong = |rule| self.wrong(format!("the project's endpoint {rule}: got {endpoint:?}"));
            endpoint.parse().map_err(|invalid: Invalid| wrong(invalid.rule))
        };
        self.endpoint.as_ref().map(parse).transpose()
    }

    fn wrong(&self, reason: String) -> ProjectError {
        ProjectError::Malformed { path: self.path.clone(), line: None, reason }
    }
}

/// What the reader says after its first line shows the file, which is in the editor anyway.
fn first_line(message: &str) -> String {
    message.lines().next().unwrap_or_default().to_owned()
}
