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
use std::path::{Component, Path, PathBuf};

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
    /// What it speaks, by the definition here or in an `agent.yaml` beside its code.
    pub(super) protocols: Vec<String>,
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
    /// Where its code is, from the project's root.
    #[serde(default)]
    project: Option<Text>,
    #[serde(default)]
    protocols: Option<Protocols>,
    /// A file that holds the definition.
    #[serde(default, rename = "$ref")]
    reference: Option<Text>,
}

/// The protocols of a definition.
#[derive(Deserialize)]
#[serde(untagged)]
enum Protocols {
    List(Vec<Protocol>),
    Other(IgnoredAny),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Protocol {
    Named { protocol: String },
    Other(IgnoredAny),
}

impl Protocols {
    fn names(self) -> Vec<String> {
        let Self::List(several) = self else { return Vec::new() };
        let named = several
            .into_iter()
            .filter_map(|it| if let Protocol::Named { protocol } = it { Some(protocol) } else { None });
        named.collect()
    }
}

/// An agent's definition, where it is not the service itself.
#[derive(Deserialize)]
#[serde(untagged)]
enum Definition {
    Agent {
        #[serde(default)]
        name: Option<Text>,
        #[serde(default)]
        protocols: Option<Protocols>,
        #[serde(default, rename = "$ref")]
        reference: Option<Text>,
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

/// Where files are that others name.
struct Folder<'a> {
    root: &'a Path,
    user: User,
}

impl Folder<'_> {
    /// The definition in a file: nothing if there is none, or it is written in another way. What lies outside the project is not read.
    fn definition(&self, file: &Path) -> Result<(Option<String>, Vec<String>), ProjectError> {
        if !file.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
            return Ok((None, Vec::new()));
        }
        let text = read::text(&self.root.join(file), self.user)?;
        let definition = text.and_then(|text| serde_saphyr::from_str::<Definition>(&text).ok());
        // A file that names another one in its turn is not followed.
        Ok(match definition {
            Some(Definition::Agent { name, protocols, .. }) => said(name, protocols),
            Some(Definition::Other(_)) | None => (None, Vec::new()),
        })
    }
}

fn said(name: Option<Text>, protocols: Option<Protocols>) -> (Option<String>, Vec<String>) {
    (name.and_then(Text::said), protocols.map(Protocols::names).unwrap_or_default())
}

/// What is said in place, completed by what a file says.
fn completed(
    (name, protocols): (Option<String>, Vec<String>),
    other: (Option<String>, Vec<String>),
) -> (Option<String>, Vec<String>) {
    (name.or(other.0), if protocols.is_empty() { other.1 } else { protocols })
}

impl Definition {
    /// The name and the protocols, here or in the file that this names.
    fn parts(self, folder: &Folder<'_>) -> Result<(Option<String>, Vec<String>), ProjectError> {
        let Self::Agent { name, protocols, reference } = self else { return Ok((None, Vec::new())) };
        let here = said(name, protocols);
        match reference.and_then(Text::said) {
            Some(file) => Ok(completed(here, folder.definition(Path::new(&file))?)),
            None => Ok(here),
        }
    }
}

impl Service {
    fn agents(self, key: String, folder: &Folder<'_>) -> Result<Vec<Agent>, ProjectError> {
        match self.host.as_deref() {
            Some(AGENT_HOST) => {
                let here = Definition::Agent { name: self.name, protocols: self.protocols, reference: self.reference };
                let mut parts = here.parts(folder)?;
                if let Some(config) = self.config {
                    parts = completed(parts, config.parts(folder)?);
                }
                // Older projects keep the definition beside the agent's code. Its name counts only once it is deployed.
                if let Some(code) = self.project.and_then(Text::said).filter(|_| parts.1.is_empty()) {
                    parts.1 = folder.definition(&Path::new(&code).join("agent.yaml"))?.1;
                }
                Ok(vec![Agent { service: key, name: parts.0, protocols: parts.1 }])
            }
            Some(FOUNDRY_HOST) => {
                let Some(Agents::List(definitions)) = self.agents else { return Ok(Vec::new()) };
                let mut agents = Vec::new();
                for definition in definitions {
                    if let (Some(name), protocols) = definition.parts(folder)? {
                        agents.push(Agent { service: name.clone(), name: Some(name), protocols });
                    }
                }
                Ok(agents)
            }
            _ => Ok(Vec::new()),
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
                    return Self::parse(path, directory, &text, user).map(Some);
                }
            }
        }
        Ok(None)
    }

    fn parse(path: PathBuf, directory: &Path, text: &str, user: User) -> Result<Self, ProjectError> {
        let content: Content = serde_saphyr::from_str(text).map_err(|error| ProjectError::Malformed {
            path: path.clone(),
            line: error.location().map(|location| location.line()),
            reason: first_line(&error.without_snippet().to_string()),
        })?;
        let (mut agents, mut endpoint) = (Vec::new(), None);
        let folder = Folder { root: directory, user };
        for (key, service) in content.services.unwrap_or_default() {
            let Some(mut service) = service else { continue };
            if matches!(service.host.as_deref(), Some(PROJECT_HOST | FOUNDRY_HOST)) {
                endpoint = endpoint.or_else(|| service.endpoint.take()?.said());
            }
            agents.extend(service.agents(key, &folder)?);
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
