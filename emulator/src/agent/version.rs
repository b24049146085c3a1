//! One version of an agent: what it was made from, and what the data plane shows of it.

use crate::error::ApiError;
use crate::isolation::Model;
use crate::options::{KEYS_OPTIONAL, Protocol, VersionSpec};
use http::StatusCode;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Idle time of a version that names none (contract section 14.1).
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_mins(15);

/// In a definition: its sessions keep nothing when they go idle.
const SNAPSHOT_FIELD: &str = "enable_memory_snapshot";

/// One version: what it was made from and what the data plane shows of it.
pub(crate) struct Version {
    pub(crate) spec: VersionSpec,
    created_at: i64,
    description: Value,
    metadata: Value,
    definition: Value,
    openapi: Mutex<Arc<Document>>,
}

/// The `OpenAPI` document that a version's container answered with, asked for once.
pub(crate) type Document = tokio::sync::OnceCell<(StatusCode, bytes::Bytes)>;

impl Version {
    /// A version whose definition follows from its spec. `now` in milliseconds, UTC.
    pub(super) fn from_spec(spec: VersionSpec, now: i64) -> Self {
        let protocol = spec.model.protocol_version();
        let shown = |spoken: &Protocol| json!({"protocol": spoken.as_str(), "version": protocol});
        let mut definition = json!({
            "kind": "hosted",
            "cpu": "1",
            "memory": "2Gi",
            "environment_variables": spec.environment,
            "protocol_versions": spec.protocols.iter().map(shown).collect::<Vec<_>>(),
            "session_configuration": {
                "idle_timeout_seconds": spec.idle_timeout.unwrap_or(IDLE_TIMEOUT).as_secs(),
            },
        });
        if spec.memory_snapshot {
            definition[SNAPSHOT_FIELD] = json!(true);
        }
        Self::new(spec, now, Value::Null, json!({}), definition)
    }

    /// A version posted by a client. Its image is not run: it gets the runtime of `like`, and nothing else of it but the rules
    /// for keys. What it brings itself reaches a process only as the runtime allows.
    pub(super) fn posted(label: String, body: &Value, like: &VersionSpec, now: i64) -> Result<Self, ApiError> {
        let definition = body
            .get("definition")
            .filter(|definition| definition.get("kind").and_then(Value::as_str) == Some("hosted"))
            .ok_or_else(|| ApiError::invalid("definition", "The definition must be of kind 'hosted'."))?;
        let protocol = container_protocol(definition).unwrap_or("2.0.0");
        let model = match (protocol, like.model) {
            ("1.0.0", keys @ Model::Keys { .. }) => keys,
            ("1.0.0", Model::Identity) => KEYS_OPTIONAL,
            _ => Model::Identity,
        };
        let environment = posted_environment(definition, like)?;
        let idle_timeout = definition
            .pointer("/session_configuration/idle_timeout_seconds")
            .and_then(Value::as_u64)
            .map(Duration::from_secs);
        let protocols = posted_protocols(definition);
        let runtime = Arc::clone(&like.runtime);
        let memory_snapshot = definition.get(SNAPSHOT_FIELD).and_then(Value::as_bool).unwrap_or(false);
        let spec =
            VersionSpec { version: label, model, runtime, protocols, environment, idle_timeout, memory_snapshot };
        let description = body.get("description").cloned().unwrap_or_default();
        let metadata = body.get("metadata").cloned().unwrap_or_else(|| json!({}));
        Ok(Self::new(spec, now, description, metadata, definition.clone()))
    }

    fn new(spec: VersionSpec, now: i64, description: Value, metadata: Value, definition: Value) -> Self {
        Self { spec, created_at: now, description, metadata, definition, openapi: Mutex::default() }
    }

    /// Its `OpenAPI` document, or where it belongs once its container has answered.
    pub(crate) fn openapi(&self) -> Arc<Document> {
        Arc::clone(&self.openapi.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The next one who needs the document asks for it again.
    pub(crate) fn forget_openapi(&self) {
        *self.openapi.lock().unwrap_or_else(PoisonError::into_inner) = Arc::default();
    }

    /// How long its sessions may do nothing before their sandboxes stop.
    pub(crate) fn idle_timeout(&self) -> Duration {
        self.spec.idle_timeout.unwrap_or(IDLE_TIMEOUT)
    }

    /// Its protocols as the settings of an endpoint show them: its definition's, also those that are not emulated.
    pub(super) fn protocol_configuration(&self) -> Value {
        let listed = self.definition.get("protocol_versions").and_then(Value::as_array).into_iter().flatten();
        let words = listed.filter_map(|entry| entry.get("protocol")?.as_str());
        words.map(|word| (word.to_owned(), json!({}))).collect::<serde_json::Map<_, _>>().into()
    }

    /// Refuses a request by a protocol that the version does not speak. What the service answers is not documented.
    pub(crate) fn speaks(&self, protocol: Protocol) -> Result<(), ApiError> {
        if self.spec.protocols.contains(&protocol) {
            return Ok(());
        }
        let message = format!(
            "Version '{}' of the agent does not speak the protocol '{}'; its definition does not list it.",
            self.spec.version,
            protocol.as_str()
        );
        Err(ApiError::new(StatusCode::NOT_FOUND, "not_found", message))
    }

    /// The version object (contract section 3).
    pub(crate) fn to_json(&self, agent: &str) -> Value {
        let version = &self.spec.version;
        json!({
            "object": "agent.version",
            "id": format!("{agent}:{version}"),
            "name": agent,
            "version": version,
            "description": self.description,
            "created_at": self.created_at / 1000,
            "metadata": self.metadata,
            "status": "active",
            "definition": self.definition,
            "agent_guid": agent_guid(agent),
        })
    }
}

/// The environment variables of a posted definition, if the runtime admits them all.
fn posted_environment(definition: &Value, like: &VersionSpec) -> Result<BTreeMap<String, String>, ApiError> {
    const FIELD: &str = "definition.environment_variables";
    let posted = definition.get("environment_variables").filter(|variables| !variables.is_null());
    let variables: BTreeMap<String, String> = match posted {
        None => BTreeMap::new(),
        Some(variables) => serde_json::from_value(variables.clone())
            .map_err(|_| ApiError::invalid(FIELD, "The environment variables must be an object of strings."))?,
    };
    like.runtime.admit(&variables).map_err(|refused| {
        ApiError::new(StatusCode::BAD_REQUEST, "environment_variable_not_allowed", refused.to_string()).param(FIELD)
    })?;
    Ok(variables)
}

/// The version of the container protocol: that of the first entry whose word is known here.
fn container_protocol(definition: &Value) -> Option<&str> {
    let listed = definition.get("protocol_versions")?.as_array()?;
    let is_known = |entry: &&Value| entry.get("protocol").and_then(Value::as_str).and_then(Protocol::parse).is_some();
    listed.iter().find(is_known).or_else(|| listed.first())?.get("version")?.as_str()
}

/// The protocols of a posted definition: all when it lists none. Words that are not known here are for others to understand.
fn posted_protocols(definition: &Value) -> BTreeSet<Protocol> {
    match definition.get("protocol_versions").and_then(Value::as_array) {
        None => Protocol::ALL.into_iter().collect(),
        Some(listed) => {
            let words = listed.iter().filter_map(|entry| entry.get("protocol")?.as_str());
            words.filter_map(Protocol::parse).collect()
        }
    }
}

/// An agent's id, the same in every run.
pub(super) fn agent_guid(name: &str) -> String {
    guid(&["agent", name]).hyphenated().to_string()
}

/// An id that is always the same for the same words.
pub(super) fn guid(words: &[&str]) -> uuid::Uuid {
    let digest = Sha256::digest(words.join("\0"));
    uuid::Builder::from_custom_bytes(digest.first_chunk().copied().unwrap_or_default()).into_uuid()
}
