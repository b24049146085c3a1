//! azd's environments: `.azure/config.json` names the default one, `.azure/NAME/.env` holds its values.

use super::dotenv::{self, Assignment};
use super::{ProjectError, read};
use cupola_cli::ownership::User;
use cupola_protocol::Invalid;
use cupola_protocol::target::{EnvironmentName, ProjectEndpoint};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The directory of a project with all of it.
pub(super) const DIRECTORY: &str = ".azure";

/// What azd calls the project's endpoint: today, and before.
const ENDPOINT_VARIABLES: [&str; 2] = ["FOUNDRY_PROJECT_ENDPOINT", "AZURE_AI_PROJECT_ENDPOINT"];

/// The values of one environment.
#[derive(Debug)]
pub(super) struct Environment {
    /// Its `.env` file.
    pub(super) path: PathBuf,
    values: Vec<Assignment>,
}

/// A value and where it stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Value<'a> {
    pub(super) text: &'a str,
    name: &'a str,
    path: &'a Path,
    line: u64,
}

#[derive(Deserialize)]
struct Selection {
    #[serde(default, rename = "defaultEnvironment")]
    default: Option<String>,
}

/// `AGENT_{SERVICE}_{WHAT}`, as azd spells it (contract section 17.1).
pub(super) fn agent_variable(service: &str, what: &str) -> String {
    let service: String = service
        .chars()
        .map(|character| if matches!(character, '-' | ' ') { '_' } else { character.to_ascii_uppercase() })
        .collect();
    format!("AGENT_{service}_{what}")
}

impl Environment {
    /// The environment `wanted`, else the project's default one; `None` when there is none.
    pub(super) fn of(
        project: &Path,
        wanted: Option<&EnvironmentName>,
        user: User,
    ) -> Result<Option<Self>, ProjectError> {
        let directory = project.join(DIRECTORY);
        let Some(name) = wanted.cloned().map_or_else(|| default(&directory, user), |name| Ok(Some(name)))? else {
            return Ok(None);
        };
        let path = directory.join(name.as_str()).join(".env");
        let Some(text) = read::text(&path, user)? else { return Err(ProjectError::NoEnvironment { name, path }) };
        let values = dotenv::parse(&text).map_err(|wrong| ProjectError::Malformed {
            path: path.clone(),
            line: Some(wrong.line),
            reason: wrong.reason.to_owned(),
        })?;
        Ok(Some(Self { path, values }))
    }

    /// The project's endpoint.
    pub(super) fn project_endpoint(&self) -> Option<EndpointValue<'_>> {
        ENDPOINT_VARIABLES.iter().find_map(|name| self.value(name)).map(EndpointValue)
    }

    /// What is known of the agent a service deploys.
    pub(super) fn agent(&self, service: &str, what: &str) -> Option<Value<'_>> {
        self.value(&agent_variable(service, what))
    }

    /// A value that is set; azd clears values by making them empty.
    fn value(&self, name: &str) -> Option<Value<'_>> {
        let found = self.values.iter().rfind(|assignment| assignment.name == name)?;
        let value = Value { text: &found.value, name: &found.name, path: &self.path, line: found.line };
        (!value.text.is_empty()).then_some(value)
    }
}

impl Value<'_> {
    /// The value as a name, or where it stands and which rule it breaks.
    pub(super) fn parse<Name: FromStr<Err = Invalid>>(&self) -> Result<Name, ProjectError> {
        self.text.parse().map_err(|invalid: Invalid| ProjectError::Malformed {
            path: self.path.to_owned(),
            line: Some(self.line),
            reason: format!("{} {}: got {:?}", self.name, invalid.rule, self.text),
        })
    }
}

/// The project's endpoint as written.
pub(super) struct EndpointValue<'a>(Value<'a>);

impl EndpointValue<'_> {
    pub(super) fn parse(&self) -> Result<ProjectEndpoint, ProjectError> {
        self.0.parse()
    }
}

fn default(directory: &Path, user: User) -> Result<Option<EnvironmentName>, ProjectError> {
    let path = directory.join("config.json");
    let Some(text) = read::text(&path, user)? else { return Ok(None) };
    let malformed = |line, reason| ProjectError::Malformed { path: path.clone(), line, reason };
    let selection: Selection =
        serde_json::from_str(&text).map_err(|error| malformed(u64::try_from(error.line()).ok(), error.to_string()))?;
    let name = selection.default.filter(|name| !name.is_empty());
    name.map(|name| {
        name.parse()
            .map_err(|invalid: Invalid| malformed(None, format!("defaultEnvironment {}: got {name:?}", invalid.rule)))
    })
    .transpose()
}
