//! An agent named by the azd project around a directory.

use super::{AgentVersion, ProjectEndpoint};
use crate::text::shown_text;
use serde::{Deserialize, Serialize};

/// Longest path we take, in bytes: Linux's own limit.
const MAX_PATH: usize = 4096;
/// Longest name of a service or an environment, in bytes. azd's own are under 64.
const MAX_NAME: usize = 128;

shown_text! {
    /// A directory or file on this machine, absolute: the daemon's working directory means nothing to a caller.
    AbsolutePath, field "path",
    rule "must be an absolute path of at most 4096 bytes, without control characters",
    |value| value.len() <= MAX_PATH
        && !value.chars().any(char::is_control)
        && std::path::Path::new(value).is_absolute(),
    schema { "minLength" = 1, "maxLength" = MAX_PATH, "pattern" = "^[^\\x00-\\x1f\\x7f-\\x9f]*$" }
}

shown_text! {
    /// What a caller calls an agent in a project: the service's name in `azure.yaml`, or the agent's own.
    ServiceName, field "agent",
    rule "must be 1 to 128 characters without control characters, / and \\",
    |value| (1..=MAX_NAME).contains(&value.len())
        && !value.chars().any(|character| character.is_control() || matches!(character, '/' | '\\')),
    schema { "minLength" = 1, "maxLength" = MAX_NAME, "pattern" = "^[^\\x00-\\x1f\\x7f-\\x9f/\\\\]*$" }
}

shown_text! {
    /// An azd environment: the name of a directory below `.azure`.
    EnvironmentName, field "environment",
    rule "must be 1 to 128 characters of A-Z a-z 0-9 . _ - ( ), and more than dots",
    |value| (1..=MAX_NAME).contains(&value.len())
        && value.chars().all(|character| {
            character.is_ascii_alphanumeric() || matches!(character, '.' | '_' | '-' | '(' | ')')
        })
        && value.chars().any(|character| character != '.'),
    schema { "minLength" = 1, "maxLength" = MAX_NAME, "pattern" = "^[A-Za-z0-9._()-]*[A-Za-z0-9_()-][A-Za-z0-9._()-]*$" }
}

/// The agent of an azd project, found from any directory at or below its `azure.yaml`.
///
/// The daemon turns it into a `project` target before anything else, so both lead to the same saved state. Nothing comes
/// from the daemon's own environment: what azd would read from the caller's is in this object.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
// The rule of `Target` does not apply to kinds with their own types.
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DirectoryTarget {
    /// Where to look for `azure.yaml`, here and upwards.
    pub path: AbsolutePath,
    /// Which agent; the project's only one when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<ServiceName>,
    /// A concrete version of it; the agent's own selection when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<AgentVersion>,
    /// The azd environment; the project's default one when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<EnvironmentName>,
    /// The project's endpoint, before what any file says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<ProjectEndpoint>,
    /// The project's endpoint where no file names one: the caller's `FOUNDRY_PROJECT_ENDPOINT`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback_endpoint: Option<ProjectEndpoint>,
    /// azd's own directory with the user's `config.json`; not read when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub azd_config_directory: Option<AbsolutePath>,
}

impl DirectoryTarget {
    /// The project around `path`, all else left to its files.
    pub const fn new(path: AbsolutePath) -> Self {
        Self {
            path,
            agent: None,
            version: None,
            environment: None,
            endpoint: None,
            fallback_endpoint: None,
            azd_config_directory: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_cannot_lead_out_of_its_directory() {
        for bad in ["", ".", "..", "../x", "a/b", "a\\b", "a b", "a\n", "ä"] {
            assert!(bad.parse::<EnvironmentName>().is_err(), "{bad:?} was accepted");
        }
        for good in ["dev", "my-env_1.2", "v1(eu)"] {
            assert!(good.parse::<EnvironmentName>().is_ok(), "{good:?} was refused");
        }
    }

    #[test]
    fn a_directory_is_absolute_and_a_service_a_name() {
        assert!("src/agent".parse::<AbsolutePath>().is_err());
        assert!("".parse::<ServiceName>().is_err() && "a/b".parse::<ServiceName>().is_err());
        assert!("my agent_2".parse::<ServiceName>().is_ok());
    }
}
