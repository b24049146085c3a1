//! `--agent-endpoint`: one URL that says project, agent and protocol, so that no project is needed.

use super::{AgentName, MAX_URL, ProjectEndpoint, https_parts};
use crate::Invalid;
use crate::agent_protocol::AgentProtocol;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Says which version of the service's API the URL was made for. azd of the isolation keys writes `2025-11-15-preview`, later ones `v1`.
/// Cupola speaks `v1`, whatever the URL says (contract section 1.3).
const API_VERSION: &str = "api-version=";

/// [`AgentEndpoint::RULE`] for readers of the schema.
#[cfg(feature = "schema")]
const PATTERN: &str = "^https://[.]*[A-Za-z0-9_-][A-Za-z0-9._-]*/api/projects/[.]*[A-Za-z0-9_-][A-Za-z0-9._-]*\
    /agents/[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\
    /endpoint/protocols/(openai/responses|openai/v1/responses|invocations|invocations_ws|a2a)(\\?api-version=[A-Za-z0-9.-]+)?$";

/// An agent's own endpoint:
/// `https://ACCOUNT.services.ai.azure.com/api/projects/PROJECT/agents/AGENT/endpoint/protocols/PROTOCOL[?api-version=VERSION]`
/// with `invocations`, `invocations_ws`, `a2a`, `openai/responses` or `openai/v1/responses` for PROTOCOL (contract section 17.1).
///
/// As with [`ProjectEndpoint`], only the shape is checked here.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("x-rule" = Self::RULE, "maxLength" = MAX_URL, "pattern" = PATTERN)))]
#[serde(try_from = "String", into = "String")]
pub struct AgentEndpoint {
    text: String,
    project: ProjectEndpoint,
    agent: AgentName,
    protocol: AgentProtocol,
}

impl AgentEndpoint {
    /// The rule a value must keep, as a sentence part.
    pub const RULE: &'static str = "must look like https://ACCOUNT.services.ai.azure.com/api/projects/PROJECT/agents/AGENT/endpoint/protocols/PROTOCOL?api-version=v1, \
         where PROTOCOL is openai/responses, openai/v1/responses, invocations, invocations_ws or a2a: https, no port, no user, no other query";

    /// The URL as given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The project it is in.
    pub const fn project(&self) -> &ProjectEndpoint {
        &self.project
    }

    /// The agent's name.
    pub const fn agent(&self) -> &AgentName {
        &self.agent
    }

    /// What its path says the agent speaks.
    pub const fn protocol(&self) -> AgentProtocol {
        self.protocol
    }

    fn parse(text: &str) -> Option<Self> {
        let address = match text.split_once('?') {
            None => text,
            // As for azd, an explicit empty version is a mistake in whatever made the URL.
            Some((address, query)) => {
                query.strip_prefix(API_VERSION).filter(|given| is_version(given)).map(|_| address)?
            }
        };
        let (_, path) = https_parts(address).filter(|_| text.len() <= MAX_URL)?;
        let mut names = path.strip_prefix("/api/projects/")?.split('/');
        let (project, agents, agent) = (names.next()?, names.next()?, names.next()?);
        let rest: Vec<&str> = names.collect();
        let protocol = match rest.as_slice() {
            ["endpoint", "protocols", "openai", "responses"]
            | ["endpoint", "protocols", "openai", "v1", "responses"] => AgentProtocol::Responses,
            ["endpoint", "protocols", "invocations"] => AgentProtocol::Invocations,
            ["endpoint", "protocols", "invocations_ws"] => AgentProtocol::InvocationsWs,
            ["endpoint", "protocols", "a2a"] => AgentProtocol::A2a,
            _ => return None,
        };
        if agents != "agents" {
            return None;
        }
        let origin = address.strip_suffix(path)?;
        Some(Self {
            text: text.to_owned(),
            project: format!("{origin}/api/projects/{project}").parse().ok()?,
            agent: agent.parse().ok()?,
            protocol,
        })
    }
}

fn is_version(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'))
}

impl TryFrom<String> for AgentEndpoint {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        Self::parse(&text).ok_or(Invalid { field: "agentEndpoint", rule: Self::RULE })
    }
}

impl FromStr for AgentEndpoint {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::try_from(text.to_owned())
    }
}

impl From<AgentEndpoint> for String {
    fn from(endpoint: AgentEndpoint) -> Self {
        endpoint.text
    }
}

impl fmt::Display for AgentEndpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl fmt::Debug for AgentEndpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}", self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGENT: &str = "https://acct.services.ai.azure.com/api/projects/p/agents/notes";

    #[test]
    fn the_path_names_project_agent_and_protocol() {
        use AgentProtocol::{A2a, Invocations, InvocationsWs, Responses};
        for (path, protocol) in [
            ("openai/responses", Responses),
            ("openai/v1/responses", Responses),
            ("invocations", Invocations),
            ("invocations_ws", InvocationsWs),
            ("a2a", A2a),
        ] {
            for query in ["", "?api-version=v1", "?api-version=2025-11-15-preview"] {
                let endpoint: AgentEndpoint = format!("{AGENT}/endpoint/protocols/{path}{query}").parse().unwrap();
                assert_eq!(endpoint.project().as_str(), "https://acct.services.ai.azure.com/api/projects/p");
                assert_eq!((endpoint.agent().as_str(), endpoint.protocol()), ("notes", protocol));
            }
        }
    }

    #[test]
    fn any_other_shape_is_refused() {
        for bad in [
            "/endpoint/protocols/openai/responses?api-version=",
            "/endpoint/protocols/openai/responses?api-version",
            "/endpoint/protocols/openai/responses?",
            "/endpoint/protocols/openai/responses?api-version=v%31",
            "/endpoint/protocols/openai/responses?api-version=v1&x=1",
            "/endpoint/protocols/openai/responses?x=1&api-version=v1",
            "/endpoint/protocols/openai/responses#api-version=v1",
            "/endpoint/protocols/openai/responses/",
            "/endpoint/protocols/openai/responses/resp_1",
            "/endpoint/protocols/openai",
            "/endpoint/protocols/mcp",
            "/endpoint/protocols/Invocations",
            "/versions/3/endpoint/protocols/invocations",
            "/endpoint/../endpoint/protocols/invocations",
            "/endpoint",
            "",
        ] {
            assert!(format!("{AGENT}{bad}").parse::<AgentEndpoint>().is_err(), "{bad:?} was accepted");
        }
        for bad in [
            "http://acct.services.ai.azure.com/api/projects/p/agents/a/endpoint/protocols/a2a",
            "https://acct.services.ai.azure.com:443/api/projects/p/agents/a/endpoint/protocols/a2a",
            "https://me@acct.services.ai.azure.com/api/projects/p/agents/a/endpoint/protocols/a2a",
            "https://acct.services.ai.azure.com/api/projects/p%2f/agents/a/endpoint/protocols/a2a",
            "https://acct.services.ai.azure.com/api/projects/../agents/a/endpoint/protocols/a2a",
            "https://acct.services.ai.azure.com/api/projects/p/agents/a_b/endpoint/protocols/a2a",
            "https://acct.services.ai.azure.com/api/projects/p/agents//endpoint/protocols/a2a",
            "https://acct.services.ai.azure.com/api/projects/p/bots/a/endpoint/protocols/a2a",
            "https:///api/projects/p/agents/a/endpoint/protocols/a2a",
        ] {
            assert!(bad.parse::<AgentEndpoint>().is_err(), "{bad:?} was accepted");
        }
    }
}
