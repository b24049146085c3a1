//! One agent: its versions, its endpoint's settings, and the state behind its endpoint.

use crate::conversation::{Conversation, Conversations};
use crate::error::ApiError;
use crate::ids;
use crate::isolation::Model;
use crate::options::{AgentSpec, KEYS_OPTIONAL, VersionSpec};
use crate::responses::ResponseIndex;
use crate::sessions::Sessions;
use http::StatusCode;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

/// Idle time of a version that names none (contract section 14.1).
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_mins(15);

/// An agent of the data plane.
pub(crate) struct Agent {
    pub(crate) name: String,
    pub(crate) sessions: Sessions,
    pub(crate) conversations: Conversations,
    /// The contexts of A2A: kept alike, found only by A2A.
    pub(crate) contexts: Conversations,
    /// Those of the project, which belong to no agent until one answers in them.
    project: Arc<Conversations>,
    pub(crate) responses: ResponseIndex,
    state: RwLock<State>,
}

struct State {
    enabled: bool,
    versions: Vec<Arc<Version>>,
    endpoint: Value,
}

/// One version: what it was made from and what the data plane shows of it.
pub(crate) struct Version {
    pub(crate) spec: VersionSpec,
    created_at: i64,
    description: Value,
    metadata: Value,
    definition: Value,
    guid: String,
    /// The `OpenAPI` document its container answered with, asked for once.
    pub(crate) openapi: tokio::sync::OnceCell<(StatusCode, bytes::Bytes)>,
}

impl Version {
    /// A version whose definition follows from its spec. `now` in milliseconds, UTC.
    fn from_spec(spec: VersionSpec, now: i64) -> Self {
        let protocol = spec.model.protocol_version();
        let definition = json!({
            "kind": "hosted",
            "cpu": "1",
            "memory": "2Gi",
            "environment_variables": spec.environment,
            "protocol_versions": [
                {"protocol": "responses", "version": protocol},
                {"protocol": "invocations", "version": protocol},
                {"protocol": "invocations_ws", "version": protocol},
            ],
            "session_configuration": {
                "idle_timeout_seconds": spec.idle_timeout.unwrap_or(IDLE_TIMEOUT).as_secs(),
            },
        });
        Self::new(spec, now, Value::Null, json!({}), definition)
    }

    /// A version posted by a client. Its image is not run: it gets the runtime of `like`, and nothing else of it but the rules
    /// for keys. What it brings itself reaches a process only as the runtime allows.
    fn posted(label: String, body: &Value, like: &VersionSpec, now: i64) -> Result<Self, ApiError> {
        let definition = body
            .get("definition")
            .filter(|definition| definition.get("kind").and_then(Value::as_str) == Some("hosted"))
            .ok_or_else(|| ApiError::invalid("definition", "The definition must be of kind 'hosted'."))?;
        let protocol = definition.pointer("/protocol_versions/0/version").and_then(Value::as_str).unwrap_or("2.0.0");
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
        let spec = VersionSpec { version: label, model, runtime: Arc::clone(&like.runtime), environment, idle_timeout };
        let description = body.get("description").cloned().unwrap_or_default();
        let metadata = body.get("metadata").cloned().unwrap_or_else(|| json!({}));
        Ok(Self::new(spec, now, description, metadata, definition.clone()))
    }

    fn new(spec: VersionSpec, now: i64, description: Value, metadata: Value, definition: Value) -> Self {
        Self {
            spec,
            created_at: now,
            description,
            metadata,
            definition,
            guid: uuid::Uuid::new_v4().to_string(),
            openapi: tokio::sync::OnceCell::new(),
        }
    }

    /// How long its sessions may do nothing before their sandboxes stop.
    pub(crate) fn idle_timeout(&self) -> Duration {
        self.spec.idle_timeout.unwrap_or(IDLE_TIMEOUT)
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
            "agent_guid": self.guid,
        })
    }
}

impl Agent {
    /// Makes an agent whose state lies in `directory`, with what an earlier run left there.
    pub(crate) fn new(spec: AgentSpec, directory: &Path, project: &Arc<Conversations>, now: i64) -> Self {
        let versions: Vec<_> =
            spec.versions.into_iter().map(|version| Arc::new(Version::from_spec(version, now))).collect();
        let default = spec
            .default_version
            .or_else(|| versions.last().map(|version| version.spec.version.clone()))
            .unwrap_or_default();
        Self::with_versions(spec.name, versions, &default, directory, project)
    }

    /// Makes an agent posted by a client, with one version.
    pub(crate) fn posted(
        name: &str,
        body: &Value,
        like: &VersionSpec,
        directory: &Path,
        project: &Arc<Conversations>,
        now: i64,
    ) -> Result<Self, ApiError> {
        let version = Version::posted("1".to_owned(), body, like, now)?;
        Ok(Self::with_versions(name.to_owned(), vec![Arc::new(version)], "1", directory, project))
    }

    fn with_versions(
        name: String,
        versions: Vec<Arc<Version>>,
        default: &str,
        directory: &Path,
        project: &Arc<Conversations>,
    ) -> Self {
        let sessions = Sessions::load(&directory.join("sessions"));
        let responses = ResponseIndex::load(&sessions);
        Self {
            name,
            sessions,
            conversations: Conversations::load(&directory.join("conversations")),
            contexts: Conversations::load(&directory.join("contexts")),
            project: Arc::clone(project),
            responses,
            state: RwLock::new(State {
                enabled: true,
                versions,
                endpoint: json!({
                    "version_selector": {"version_selection_rules": [
                        {"type": "FixedRatio", "agent_version": default, "traffic_percentage": 100},
                    ]},
                    "protocol_configuration": {"responses": {}, "invocations": {}, "invocations_ws": {}},
                    "authorization_schemes": [{"type": "Entra"}],
                }),
            }),
        }
    }

    /// A conversation a response may be in: one of the agent's own, or one of the project's.
    pub(crate) fn conversation(&self, id: &str) -> Option<Arc<Conversation>> {
        self.conversations.get(id).or_else(|| self.project.get(id))
    }

    fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.write().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn enabled(&self) -> bool {
        self.read(|state| state.enabled)
    }

    pub(crate) fn enable(&self, enabled: bool) {
        self.write(|state| state.enabled = enabled);
    }

    /// Its versions, oldest first.
    pub(crate) fn versions(&self) -> Vec<Arc<Version>> {
        self.read(|state| state.versions.clone())
    }

    pub(crate) fn version(&self, label: &str) -> Result<Arc<Version>, ApiError> {
        self.versions()
            .into_iter()
            .find(|version| version.spec.version == label)
            .ok_or_else(|| ApiError::not_found("Agent version", &format!("{}:{label}", self.name)))
    }

    /// The version new sessions get: the selector's rule with the most traffic.
    pub(crate) fn default_version(&self) -> Result<Arc<Version>, ApiError> {
        let chosen = self.read(|state| {
            state
                .endpoint
                .pointer("/version_selector/version_selection_rules")
                .and_then(Value::as_array)
                .and_then(|rules| {
                    rules.iter().max_by_key(|rule| rule.get("traffic_percentage").and_then(Value::as_u64))
                })
                .and_then(|rule| rule.get("agent_version")?.as_str().map(str::to_owned))
        });
        if let Some(Ok(version)) = chosen.map(|label| self.version(&label)) {
            return Ok(version);
        }
        self.latest().ok_or_else(|| ApiError::not_found("Agent", &self.name))
    }

    pub(crate) fn latest(&self) -> Option<Arc<Version>> {
        self.read(|state| state.versions.last().cloned())
    }

    /// Adds the version a client posted and makes it the one new sessions get.
    pub(crate) fn add_version(&self, body: &Value, now: i64) -> Result<Arc<Version>, ApiError> {
        let like = self.latest().ok_or_else(|| ApiError::not_found("Agent", &self.name))?;
        self.write(|state| {
            let next = state
                .versions
                .iter()
                .filter_map(|version| version.spec.version.parse::<u64>().ok())
                .max()
                .unwrap_or(0)
                .saturating_add(1);
            let version = Arc::new(Version::posted(next.to_string(), body, &like.spec, now)?);
            state.versions.push(Arc::clone(&version));
            select(&mut state.endpoint, &version.spec.version);
            Ok(version)
        })
    }

    /// Removes a version, and says whether the agent has any left.
    pub(crate) fn remove_version(&self, label: &str) -> bool {
        self.write(|state| {
            state.versions.retain(|version| version.spec.version != label);
            !state.versions.is_empty()
        })
    }

    /// Applies a merge patch to the endpoint's settings.
    pub(crate) fn patch(&self, patch: &Value) -> Result<(), ApiError> {
        let Some(change) = patch.get("agent_endpoint") else {
            return Ok(());
        };
        let rules = change.pointer("/version_selector/version_selection_rules").and_then(Value::as_array);
        for rule in rules.into_iter().flatten() {
            let label = rule.get("agent_version").and_then(Value::as_str).unwrap_or_default();
            self.version(label).map_err(|_| {
                ApiError::invalid("agent_endpoint.version_selector", format!("There is no version '{label}'."))
            })?;
        }
        self.write(|state| merge(&mut state.endpoint, change));
        Ok(())
    }

    /// The agent object (contract section 3).
    pub(crate) fn to_json(&self) -> Value {
        let state = if self.enabled() { "enabled" } else { "disabled" };
        json!({
            "object": "agent",
            "id": self.name,
            "name": self.name,
            "state": state,
            "configuration_state": state,
            "versions": {"latest": self.latest().map(|version| version.to_json(&self.name))},
            "agent_endpoint": self.read(|state| state.endpoint.clone()),
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

fn select(endpoint: &mut Value, label: &str) {
    let rules = json!([{"type": "FixedRatio", "agent_version": label, "traffic_percentage": 100}]);
    merge(endpoint, &json!({"version_selector": {"version_selection_rules": rules}}));
}

/// JSON merge patch (RFC 7396).
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    if let Value::Object(fields) = target {
        for (name, change) in changes {
            if change.is_null() {
                fields.remove(name);
            } else {
                merge(fields.entry(name).or_insert(Value::Null), change);
            }
        }
    }
}

/// The agents by name, in the order they were made.
#[derive(Default)]
pub(crate) struct Catalog {
    agents: Mutex<Vec<Arc<Agent>>>,
}

impl Catalog {
    /// Adds an agent; false when the name is taken.
    pub(crate) fn add(&self, agent: Arc<Agent>) -> bool {
        let mut agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        if agents.iter().any(|known| known.name == agent.name) {
            return false;
        }
        agents.push(agent);
        true
    }

    pub(crate) fn remove(&self, name: &str) {
        self.agents.lock().unwrap_or_else(PoisonError::into_inner).retain(|agent| agent.name != name);
    }

    pub(crate) fn all(&self) -> Vec<Arc<Agent>> {
        self.agents.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn get(&self, name: &str) -> Result<Arc<Agent>, ApiError> {
        self.all().into_iter().find(|agent| agent.name == name).ok_or_else(|| ApiError::not_found("Agent", name))
    }
}

/// Why a set of agents cannot be offered, if it cannot.
pub(crate) fn check(agents: &[AgentSpec]) -> Result<(), String> {
    for (at, agent) in agents.iter().enumerate() {
        if !ids::is_agent(&agent.name) {
            return Err(format!(
                "{:?} is not a valid agent name: use 1 to 63 letters, digits and inner hyphens",
                agent.name
            ));
        }
        if agents.iter().take(at).any(|other| other.name == agent.name) {
            return Err(format!("the agent {:?} is given twice", agent.name));
        }
        if agent.versions.is_empty() {
            return Err(format!("the agent {:?} has no version", agent.name));
        }
        if let Some(default) = &agent.default_version
            && !agent.versions.iter().any(|version| version.version == *default)
        {
            return Err(format!("the agent {:?} has no version {default:?}", agent.name));
        }
    }
    Ok(())
}
