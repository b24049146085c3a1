//! One agent: its versions, its endpoint's settings, and the state behind its endpoint. One version is in [`version`].

pub(crate) mod version;

use crate::container::SandboxContext;
use crate::conversation::{Conversation, Conversations};
use crate::error::ApiError;
use crate::ids;
use crate::logs::LogSink;
use crate::options::{AgentSpec, VersionSpec};
use crate::responses::ResponseIndex;
use crate::sessions::Sessions;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
pub(crate) use version::Version;
use version::guid;

/// The project's Azure resource id, as containers get it. No such resource exists.
const PROJECT_ARM_ID: &str = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/emulator/providers/\
    Microsoft.CognitiveServices/accounts/emulator/projects/emulator";

/// Seconds after which a silent event stream of the service has a keep-alive comment (contract section 15.1).
const KEEP_ALIVE: &str = "15";

/// An agent of the data plane.
pub(crate) struct Agent {
    pub(crate) name: String,
    /// Where its agent servers keep what outlives sessions.
    state_root: PathBuf,
    pub(crate) sessions: Sessions,
    pub(crate) conversations: Arc<Conversations>,
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
        let offered = versions.iter().find(|version| version.spec.version == default);
        let protocols = offered.map(|version| version.protocol_configuration()).unwrap_or_default();
        Self {
            state_root: directory.join("state"),
            name,
            sessions,
            conversations: Arc::new(Conversations::load(&directory.join("conversations"))),
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
                    "protocol_configuration": protocols,
                    "authorization_schemes": [{"type": "Entra"}],
                }),
            }),
        }
    }

    /// What a sandbox of the version `spec` is told.
    pub(crate) fn sandbox(
        &self,
        spec: &VersionSpec,
        project_endpoint: &str,
        session_id: &str,
        home: PathBuf,
        logs: LogSink,
    ) -> SandboxContext {
        let mut environment = spec.environment.clone();
        environment.entry("SSE_KEEPALIVE_INTERVAL".to_owned()).or_insert_with(|| KEEP_ALIVE.to_owned());
        let session_guid = guid(&["session", &self.name, session_id]).simple().to_string();
        for (name, value) in [
            ("FOUNDRY_PROJECT_ENDPOINT", project_endpoint),
            ("FOUNDRY_PROJECT_ARM_ID", PROJECT_ARM_ID),
            ("FOUNDRY_AGENT_ID", &version::agent_guid(&self.name)),
            ("FOUNDRY_AGENT_SESSION_GUID", &session_guid),
        ] {
            environment.insert(name.to_owned(), value.to_owned());
        }
        SandboxContext {
            agent: self.name.clone(),
            version: spec.version.clone(),
            session_id: session_id.to_owned(),
            home,
            state_root: self.state_root.clone(),
            environment,
            logs,
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
