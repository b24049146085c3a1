//! `azure.yaml`: the nearest one, and the services in it that are agents.

use super::{ProjectError, read};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The names azd takes.
const NAMES: [&str; 2] = ["azure.yaml", "azure.yml"];

/// The `host` of a service that is a hosted agent.
const AGENT_HOST: &str = "azure.ai.agent";

/// A project's file.
#[derive(Debug)]
pub(super) struct ProjectFile {
    pub(super) path: PathBuf,
    /// Where it stands: the project's root.
    pub(super) directory: PathBuf,
    /// The names of its agents' services, sorted.
    pub(super) agents: Vec<String>,
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
}

impl ProjectFile {
    /// The one in `start` or in the nearest directory above it.
    pub(super) fn around(start: &Path) -> Result<Option<Self>, ProjectError> {
        for directory in start.ancestors() {
            for name in NAMES {
                let path = directory.join(name);
                if let Some(text) = read::text(&path)? {
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
        let is_agent = |service: &Option<Service>| {
            service.as_ref().and_then(|service| service.host.as_deref()) == Some(AGENT_HOST)
        };
        let services = content.services.unwrap_or_default().into_iter();
        let agents = services.filter(|(_, service)| is_agent(service)).map(|(name, _)| name).collect();
        Ok(Self { path, directory: directory.to_owned(), agents })
    }

    /// The project's agent, if there is just one.
    pub(super) fn only_agent(&self) -> Result<&String, ProjectError> {
        match self.agents.as_slice() {
            [agent] => Ok(agent),
            [] => Err(ProjectError::NoAgents(self.path.clone())),
            several => Err(ProjectError::Several { file: self.path.clone(), services: several.to_vec() }),
        }
    }
}

/// What the reader says after its first line shows the file, which is in the editor anyway.
fn first_line(message: &str) -> String {
    message.lines().next().unwrap_or_default().to_owned()
}
