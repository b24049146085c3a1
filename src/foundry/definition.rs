//! What an agent is: the version that answers, the protocols it speaks, and with them its model of isolation
//! (contract sections 3 and 13.1). Pure.

use cupola_protocol::invoke::AgentProtocol;
use cupola_protocol::isolation::IsolationModel;
use cupola_protocol::target::AgentVersion;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// The parts of an agent's definition that decide how to talk to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Definition {
    /// The version that was asked for, or that the agent selects for new sessions.
    pub version: Option<AgentVersion>,
    /// `creating`, `active`, `failed`, `deleting` or `deleted`.
    pub status: Option<String>,
    /// Why its deployment failed, if it did.
    pub failure: Option<String>,
    /// Its sessions are suspended as snapshots of their memory: they keep neither memory nor files when they go idle (contract
    /// section 21.1).
    pub has_memory_snapshots: bool,
    /// What it speaks, in the definition's order.
    pub protocols: Vec<SpokenProtocol>,
}

/// An agent and one of its versions, verbatim; null if it has none.
#[derive(Debug, Clone, PartialEq)]
pub struct Described {
    /// The service's agent object.
    pub agent: Value,
    /// The service's version object.
    pub version: Value,
}

/// A protocol and its version, for example `responses` `2.0.0`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct SpokenProtocol {
    /// The protocol's name.
    #[serde(rename = "protocol")]
    pub name: String,
    /// Its version.
    #[serde(default)]
    pub version: String,
}

impl Definition {
    /// How the agent isolates its users: by keys below version 2, by identity from there on. `None` when the definition does not
    /// say.
    pub fn isolation_model(&self) -> Option<IsolationModel> {
        let major =
            |spoken: &SpokenProtocol| spoken.version.trim_start_matches('v').split('.').next()?.parse::<u32>().ok();
        let invocable =
            self.protocols.iter().filter(|spoken| matches!(spoken.name.as_str(), "responses" | "invocations"));
        // A word that is not known here may count its versions in its own way.
        let known = self.protocols.iter().filter(|spoken| is_known(&spoken.name));
        let major = invocable.chain(known).find_map(major)?;
        Some(if major < 2 { IsolationModel::Keys } else { IsolationModel::Identity })
    }

    /// Which protocol to invoke it with: the first of `responses`, `invocations` and `invocations_ws` that it speaks. `None` when
    /// the definition names no such protocol.
    pub fn protocol(&self) -> Option<AgentProtocol> {
        let speaks = |protocol: &AgentProtocol| self.protocols.iter().any(|spoken| spoken.name == protocol.name());
        [AgentProtocol::Responses, AgentProtocol::Invocations, AgentProtocol::InvocationsWs].into_iter().find(speaks)
    }

    /// The words of its protocols, if it lists some and none is known here.
    pub fn unknown_protocols(&self) -> Option<String> {
        let words: Vec<_> = self.protocols.iter().map(|spoken| spoken.name.as_str()).collect();
        (!words.is_empty() && !words.iter().any(|word| is_known(word))).then(|| words.join(", "))
    }
}

/// Is it the word of a protocol that Cupola speaks, or `activity`, which the service speaks for the agent?
fn is_known(word: &str) -> bool {
    matches!(word, "responses" | "invocations" | "invocations_ws" | "a2a" | "activity")
}

/// The entries that can be read: what a newer service adds must not hide the others.
fn readable<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<SpokenProtocol>, D::Error> {
    let entries = Option::<Vec<Value>>::deserialize(deserializer)?;
    Ok(entries.into_iter().flatten().filter_map(|entry| serde_json::from_value(entry).ok()).collect())
}

#[derive(Deserialize)]
pub(super) struct AgentObject {
    #[serde(default)]
    pub(super) versions: Option<Versions>,
    #[serde(default)]
    agent_endpoint: Option<Endpoint>,
}

#[derive(Deserialize)]
pub(super) struct Versions {
    #[serde(default)]
    pub(super) latest: Option<VersionObject>,
}

#[derive(Deserialize)]
pub(super) struct VersionObject {
    #[serde(default)]
    pub(super) version: Option<AgentVersion>,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    error: Option<DeploymentError>,
    #[serde(default)]
    definition: Option<HostedDefinition>,
}

#[derive(Deserialize)]
struct DeploymentError {
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    message: Option<String>,
}

impl DeploymentError {
    fn words(self) -> Option<String> {
        match (self.code, self.message) {
            (Some(code), Some(message)) => Some(format!("{code}: {message}")),
            (code, message) => message.or(code),
        }
    }
}

#[derive(Default, Deserialize)]
struct HostedDefinition {
    /// Called `container_protocol_versions` before.
    #[serde(default, alias = "container_protocol_versions", deserialize_with = "readable")]
    protocol_versions: Vec<SpokenProtocol>,
    #[serde(default)]
    enable_memory_snapshot: Option<bool>,
}

#[derive(Deserialize)]
struct Endpoint {
    #[serde(default)]
    version_selector: Option<Selector>,
}

#[derive(Deserialize)]
struct Selector {
    #[serde(default)]
    version_selection_rules: Vec<Rule>,
}

#[derive(Deserialize)]
struct Rule {
    #[serde(default)]
    agent_version: Option<AgentVersion>,
    #[serde(default)]
    traffic_percentage: f64,
}

impl AgentObject {
    /// The version most new sessions get. Today's service has one rule at most.
    pub(super) fn selected(&self) -> Option<AgentVersion> {
        let rules = &self.agent_endpoint.as_ref()?.version_selector.as_ref()?.version_selection_rules;
        let most = rules.iter().max_by(|a, b| a.traffic_percentage.total_cmp(&b.traffic_percentage))?;
        most.agent_version.clone()
    }
}

impl From<VersionObject> for Definition {
    fn from(object: VersionObject) -> Self {
        let definition = object.definition.unwrap_or_default();
        Self {
            version: object.version,
            status: object.status,
            failure: object.error.and_then(DeploymentError::words),
            has_memory_snapshots: definition.enable_memory_snapshot.unwrap_or(false),
            protocols: definition.protocol_versions,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(protocols: &str) -> Definition {
        let version = format!(r#"{{"version":"3","status":"active","definition":{{"kind":"hosted",{protocols}}}}}"#);
        serde_json::from_str::<VersionObject>(&version).unwrap().into()
    }

    #[test]
    fn the_protocol_version_decides_the_isolation_model() {
        use IsolationModel::{Identity, Keys};
        for (protocols, model, protocol) in [
            (r#""protocol_versions":[{"protocol":"responses","version":"1.0.0"}]"#, Some(Keys), "responses"),
            (r#""protocol_versions":[{"protocol":"responses","version":"2.0.0"}]"#, Some(Identity), "responses"),
            (r#""container_protocol_versions":[{"protocol":"responses","version":"v1"}]"#, Some(Keys), "responses"),
            (r#""protocol_versions":[{"protocol":"invocations","version":"2.1.0"}]"#, Some(Identity), "invocations"),
            (
                r#""protocol_versions":[{"protocol":"a2a","version":"0.3"},{"protocol":"invocations","version":"2.0.0"}]"#,
                Some(Identity),
                "invocations",
            ),
            (r#""protocol_versions":[{"protocol":"invocations_ws","version":"1.0.0"}]"#, Some(Keys), "invocations_ws"),
            (r#""protocol_versions":[{"protocol":"responses"}]"#, None, "responses"),
            (
                r#""protocol_versions":[{"protocol":"voice_conversation_engine","version":"1.0.0"},
                    {"protocol":"voice_conversation_engine","version":{"major":7}},{"engine":"x"},
                    {"protocol":"invocations_ws","version":"2.0.0"}]"#,
                Some(Identity),
                "invocations_ws",
            ),
            (r#""protocol_versions":[{"protocol":"voice_conversation_engine","version":"1.0.0"}]"#, None, ""),
            (r#""cpu":"1""#, None, ""),
            (r#""protocol_versions":null"#, None, ""),
        ] {
            let definition = definition(protocols);
            assert_eq!(definition.isolation_model(), model, "{protocols}");
            assert_eq!(definition.protocol().map_or("", AgentProtocol::name), protocol, "{protocols}");
        }
    }

    #[test]
    fn the_version_with_most_traffic_is_selected() {
        let agent: AgentObject = serde_json::from_str(
            r#"{"agent_endpoint":{"version_selector":{"version_selection_rules":[
                {"type":"FixedRatio","agent_version":"2","traffic_percentage":10},
                {"type":"FixedRatio","agent_version":"3","traffic_percentage":90}]}}}"#,
        )
        .unwrap();
        assert_eq!(agent.selected().unwrap().as_str(), "3");
    }
}
