//! Which agent a call goes to.
//!
//! - `agent_endpoint`: one URL that names project, agent and protocol; `directory`: the azd project around a directory

mod agent_endpoint;
mod directory;

pub use agent_endpoint::AgentEndpoint;
pub use directory::{AbsolutePath, DirectoryTarget, EnvironmentName, ServiceName};

use crate::Invalid;
use crate::text::shown_text;
use serde::{Deserialize, Serialize};
use std::num::NonZeroU16;

/// Longest agent name (contract section 1.1).
const MAX_AGENT_NAME: usize = 63;
/// Longest agent version azd accepts (contract section 1.1).
const MAX_AGENT_VERSION: usize = 128;
/// Longest URL we take, in bytes; real ones are under 300.
const MAX_URL: usize = 2048;

shown_text! {
    /// An agent's name.
    AgentName, field "agent",
    rule "must be 1 to 63 characters of A-Z a-z 0-9 -, starting and ending with a letter or digit",
    |value| (1..=MAX_AGENT_NAME).contains(&value.len())
        && value.chars().all(|character| character.is_ascii_alphanumeric() || character == '-')
        && !value.starts_with('-')
        && !value.ends_with('-'),
    schema { "minLength" = 1, "maxLength" = MAX_AGENT_NAME, "pattern" = "^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$" }
}

shown_text! {
    /// A concrete version of an agent. `latest` and the like are not versions: leave the field out instead.
    AgentVersion, field "version",
    rule "must be 1 to 128 characters of A-Z a-z 0-9 . _ -, and more than dots",
    |value| (1..=MAX_AGENT_VERSION).contains(&value.len())
        && value.chars().all(|character| character.is_ascii_alphanumeric() || matches!(character, '.' | '_' | '-'))
        && value.chars().any(|character| character != '.'),
    schema { "minLength" = 1, "maxLength" = MAX_AGENT_VERSION, "pattern" = "^[A-Za-z0-9._-]*[A-Za-z0-9_-][A-Za-z0-9._-]*$" }
}

shown_text! {
    /// The version that answers a single call: a version, or `latest`.
    VersionOverride, field "versionOverride",
    rule "must be a version, or `latest`: 1 to 128 characters of A-Z a-z 0-9 . _ -, and more than dots",
    |value| value.parse::<AgentVersion>().is_ok(),
    schema { "minLength" = 1, "maxLength" = MAX_AGENT_VERSION, "pattern" = "^[A-Za-z0-9._-]*[A-Za-z0-9_-][A-Za-z0-9._-]*$" }
}

impl VersionOverride {
    /// The word for the version that was deployed last.
    const LATEST: &'static str = "latest";

    /// The version that it names; `None` for the latest.
    pub fn version(&self) -> Option<AgentVersion> {
        if self.as_str() == Self::LATEST { None } else { self.as_str().parse().ok() }
    }
}

shown_text! {
    /// A project endpoint: `https://ACCOUNT.services.ai.azure.com/api/projects/PROJECT`.
    ///
    /// Only the shape is checked here. Whether a token may be sent to the host is the daemon's decision, from its own
    /// configuration (design section 7).
    ProjectEndpoint, field "projectEndpoint",
    rule "must look like https://ACCOUNT.services.ai.azure.com/api/projects/PROJECT: https, no port, no user, no query, no trailing path",
    |value| https_parts(value).is_some_and(|(_, path)| {
        path.strip_prefix("/api/projects/").is_some_and(|project| is_segment(project.strip_suffix('/').unwrap_or(project)))
    }),
    schema {
        "maxLength" = MAX_URL,
        "pattern" = "^https://[.]*[A-Za-z0-9_-][A-Za-z0-9._-]*/api/projects/[.]*[A-Za-z0-9_-][A-Za-z0-9._-]*/?$"
    }
}

shown_text! {
    /// Where a separately started `cupola emulator` listens, always on this machine.
    EmulatorUrl, field "emulator",
    rule "must look like http://127.0.0.1:PORT or https://localhost:PORT",
    |value| {
        let rest = value.strip_prefix("http://").or_else(|| value.strip_prefix("https://"));
        rest.map(|rest| rest.strip_suffix('/').unwrap_or(rest))
            .and_then(|authority| authority.rsplit_once(':'))
            .is_some_and(|(host, port)| {
                matches!(host, "127.0.0.1" | "localhost" | "[::1]")
                    && !port.starts_with(['0', '+'])
                    && port.parse::<u16>().is_ok()
            })
    },
    schema { "pattern" = "^https?://(127\\.0\\.0\\.1|localhost|\\[::1\\]):[1-9][0-9]{0,4}/?$" }
}

/// A path segment or host label we are willing to see in an endpoint: no escapes, no dots that climb.
fn is_segment(value: &str) -> bool {
    !value.is_empty()
        && value.chars().all(|character| character.is_ascii_alphanumeric() || matches!(character, '-' | '_' | '.'))
        && value.chars().any(|character| character != '.')
}

/// Host and path of an `https` URL without user, port, query or fragment.
fn https_parts(value: &str) -> Option<(&str, &str)> {
    if value.len() > MAX_URL {
        return None;
    }
    let rest = value.strip_prefix("https://")?;
    let (host, path) = rest.split_at(rest.find('/')?);
    (is_segment(host) && !path.contains(['?', '#', '@'])).then_some((host, path))
}

impl ProjectEndpoint {
    /// The host alone, as given.
    pub fn host(&self) -> &str {
        https_parts(self.as_str()).map_or("", |(host, _)| host)
    }
}

/// Which agent a call goes to.
///
/// ```json
/// {"kind": "emulator", "agent": "notes"}
/// {"kind": "project", "endpoint": "https://acct.services.ai.azure.com/api/projects/p", "agent": "my-agent", "version": "3"}
/// {"kind": "agentEndpoint", "url": "https://acct.services.ai.azure.com/api/projects/p/agents/my-agent/endpoint/protocols/a2a"}
/// {"kind": "local", "port": 8088}
/// {"kind": "directory", "path": "/home/ada/shop/src"}
/// {"kind": "gateway", "agent": "support"}
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
// A misspelt version would be any version, and a misspelt agent another one.
#[serde(rename_all = "camelCase", tag = "kind", deny_unknown_fields)]
pub enum Target {
    /// The emulator: the daemon's own, or one that listens at `url`.
    #[serde(rename_all = "camelCase")]
    Emulator {
        /// The emulated agent; `notes` when left out.
        #[serde(default = "default_agent")]
        agent: AgentName,
        /// A concrete version of it; the agent's own selection when left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<AgentVersion>,
        /// A separately started emulator; the daemon's own when left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        url: Option<EmulatorUrl>,
    },
    /// A deployed agent of a Foundry project.
    #[serde(rename_all = "camelCase")]
    Project {
        /// The project's endpoint.
        endpoint: ProjectEndpoint,
        /// The agent's name.
        agent: AgentName,
        /// A concrete version of it; the agent's own selection when left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<AgentVersion>,
    },
    /// A deployed agent by its own URL, which also says which protocol to speak.
    #[serde(rename_all = "camelCase")]
    AgentEndpoint {
        /// The agent's endpoint.
        url: AgentEndpoint,
        /// A concrete version of it; the agent's own selection when left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<AgentVersion>,
    },
    /// An agent's container on this machine, as a developer runs it: no service in front of it, so no token, no
    /// sessions, files or logs, and no isolation.
    #[serde(rename_all = "camelCase")]
    Local {
        /// Where it listens on 127.0.0.1; 8088 when left out.
        #[serde(default = "default_port")]
        port: NonZeroU16,
        /// What to call it; one agent answers at a port, whatever its name.
        #[serde(default = "local_agent")]
        agent: AgentName,
    },
    /// The agent of an azd project on this machine.
    Directory(DirectoryTarget),
    /// An agent that a gateway (`cupola gateway`) offers under a name of its own. Only a gateway knows such agents.
    #[serde(rename_all = "camelCase")]
    Gateway {
        /// The name in the gateway's configuration; the only agent that the caller may use when left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        agent: Option<AgentName>,
    },
}

/// Where an agent's container listens unless it is told otherwise (contract section 16).
pub const DEFAULT_LOCAL_PORT: NonZeroU16 = NonZeroU16::new(8088).unwrap();

fn default_port() -> NonZeroU16 {
    DEFAULT_LOCAL_PORT
}

/// The default name of a local agent.
fn local_agent() -> AgentName {
    AgentName("local".to_owned())
}

/// The emulated agent that is meant when none is named.
pub const DEFAULT_EMULATED_AGENT: &str = "notes";

fn default_agent() -> AgentName {
    AgentName::default()
}

impl Default for AgentName {
    /// The constant keeps the rule; a test holds it to that.
    fn default() -> Self {
        Self(DEFAULT_EMULATED_AGENT.to_owned())
    }
}

impl Target {
    /// The agent's name, where the target itself says it.
    pub fn agent(&self) -> Option<&AgentName> {
        match self {
            Self::Emulator { agent, .. } | Self::Project { agent, .. } | Self::Local { agent, .. } => Some(agent),
            Self::AgentEndpoint { url, .. } => Some(url.agent()),
            Self::Gateway { agent } => agent.as_ref(),
            Self::Directory(_) => None,
        }
    }

    /// The concrete version asked for, if any.
    pub fn version(&self) -> Option<&AgentVersion> {
        match self {
            Self::Emulator { version, .. } | Self::Project { version, .. } | Self::AgentEndpoint { version, .. } => {
                version.as_ref()
            }
            Self::Local { .. } | Self::Gateway { .. } => None,
            Self::Directory(directory) => directory.version.as_ref(),
        }
    }

    /// The same agent at `version`. A local agent has no versions, and a gateway chooses them: both stay as they are.
    #[must_use]
    pub fn at_version(mut self, wanted: AgentVersion) -> Self {
        match &mut self {
            Self::Emulator { version, .. } | Self::Project { version, .. } | Self::AgentEndpoint { version, .. } => {
                *version = Some(wanted);
            }
            Self::Local { .. } | Self::Gateway { .. } => {}
            Self::Directory(directory) => directory.version = Some(wanted),
        }
        self
    }

    /// An agent on this machine.
    pub fn local(port: NonZeroU16, agent: Option<AgentName>) -> Self {
        Self::Local { port, agent: agent.unwrap_or_else(local_agent) }
    }

    /// Parses the flag pair `--project-endpoint`, `--agent-name` and friends into a target.
    pub fn project(endpoint: &str, agent: &str, version: Option<&str>) -> Result<Self, Invalid> {
        Ok(Self::Project {
            endpoint: endpoint.parse()?,
            agent: agent.parse()?,
            version: version.map(str::parse).transpose()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agent_names_follow_the_service() {
        for bad in ["", "-a", "a-", "a_b", "a.b", "ä", "a/b", &"a".repeat(64)] {
            assert!(bad.parse::<AgentName>().is_err(), "{bad:?} was accepted");
        }
        assert!("notes-identity".parse::<AgentName>().is_ok());
    }

    #[test]
    fn endpoints_with_a_port_a_user_or_another_shape_cannot_be_made() {
        for bad in [
            "http://acct.services.ai.azure.com/api/projects/p",
            "https://acct.services.ai.azure.com:8443/api/projects/p",
            "https://me@acct.services.ai.azure.com/api/projects/p",
            "https://acct.services.ai.azure.com/api/projects/p?x=1",
            "https://acct.services.ai.azure.com/api/projects/p#f",
            "https://acct.services.ai.azure.com/api/projects/",
            "https://acct.services.ai.azure.com/api/projects/..",
            "https://acct.services.ai.azure.com/api/projects/p/agents/a",
            "https://acct.services.ai.azure.com",
            "https:///api/projects/p",
            "ftp://x",
            "",
        ] {
            assert!(bad.parse::<ProjectEndpoint>().is_err(), "{bad:?} was accepted");
        }
        let endpoint: ProjectEndpoint = "https://acct.services.ai.azure.com/api/projects/my-proj".parse().unwrap();
        assert_eq!(endpoint.host(), "acct.services.ai.azure.com");
    }

    #[test]
    fn an_emulator_url_stays_on_this_machine() {
        for bad in [
            "http://10.0.0.1:80",
            "ftp://127.0.0.1:80",
            "http://127.0.0.1",
            "http://127.0.0.1:99999",
            "http://127.0.0.1:80/x",
            "http://u@127.0.0.1:80",
        ] {
            assert!(bad.parse::<EmulatorUrl>().is_err(), "{bad:?} was accepted");
        }
        for good in ["http://127.0.0.1:8787", "https://localhost:8443/", "http://[::1]:1"] {
            assert!(good.parse::<EmulatorUrl>().is_ok(), "{good:?} was refused");
        }
    }

    #[test]
    fn a_version_override_names_a_version_or_the_latest() {
        let version =
            |text: &str| text.parse::<VersionOverride>().unwrap().version().map(|version| version.to_string());
        assert_eq!((version("latest"), version("3").as_deref()), (None, Some("3")));
        assert!("".parse::<VersionOverride>().is_err() && "a b".parse::<VersionOverride>().is_err());
    }

    #[test]
    fn the_emulators_default_agent_is_notes() {
        let target: Target = serde_json::from_str(r#"{"kind":"emulator"}"#).unwrap();
        assert_eq!(target.agent().map(AgentName::as_str), Some("notes"));
        assert!(DEFAULT_EMULATED_AGENT.parse::<AgentName>().is_ok());
    }

    #[test]
    fn a_misspelt_field_is_refused() {
        for misspelt in [
            r#"{"kind":"emulator","versoin":"2"}"#,
            r#"{"kind":"emulator","agentName":"a"}"#,
            r#"{"kind":"directory","path":"/home/ada","agnet":"billing"}"#,
        ] {
            let error = serde_json::from_str::<Target>(misspelt).unwrap_err();
            assert!(error.to_string().contains("unknown field"), "{error}");
        }
        let directory = r#"{"kind":"directory","path":"/home/ada","version":"3"}"#;
        assert!(serde_json::from_str::<Target>(directory).is_ok());
    }

    #[test]
    fn a_local_agent_needs_nothing_but_its_kind() {
        let target: Target = serde_json::from_str(r#"{"kind":"local"}"#).unwrap();
        assert_eq!(target, Target::local(DEFAULT_LOCAL_PORT, None));
        assert!(target.agent().unwrap().as_str().parse::<AgentName>().is_ok());
        assert!(serde_json::from_str::<Target>(r#"{"kind":"local","port":0}"#).is_err());
    }
}
