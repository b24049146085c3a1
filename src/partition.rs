//! Partitions: target × caller × isolation → the session and conversation to continue.
//!
//! Knows nothing of the socket or of the service. [`store`] is the trait that saved state sits behind, [`sqlite`] its
//! embedded default, [`redis`] the engine that several machines share. [`fence`] decides who may touch what, and [`locks`] keeps
//! calls on one session in order, in the [`queues`] of this process; [`exclusion`] does so between processes, by `file_lock` beside a
//! state file. [`questions`] are what
//! agents asked and nobody has answered yet, [`responses`] whose each response is. [`pages`] are parts of a list of partitions. [`journal`] is what is written down of runs, [`presence`] tells which daemon wrote it.
//! [`warm`] are sessions that are kept ready; [`pool`] are those that many users share.

pub mod exclusion;
pub mod fence;
mod file_lock;
pub mod journal;
pub mod locks;
pub mod pages;
pub mod pool;
pub mod presence;
pub mod questions;
pub mod queues;
pub mod redis;
pub mod responses;
pub mod sqlite;
pub mod store;
pub mod warm;

use cupola_protocol::id::PartitionId;
use cupola_protocol::isolation::{Isolation, IsolationModel};
use cupola_protocol::target::{AgentName, AgentVersion, ProjectEndpoint, Target};
use sha2::{Digest, Sha256};
use std::fmt;

/// Bytes of a fingerprint in a partition's id: one user's partitions do not collide in 64 bits.
const PARTITION_ID_BYTES: usize = 8;

/// An agent as saved state names it: where it is and what it is called, without a version, because a session id is
/// unique per agent endpoint (contract section 4.2).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AgentKey(String);

impl AgentKey {
    /// The agent a target names. A directory is resolved before it gets here ([`crate::target::project`]); as it stands it names no
    /// agent that anything else could name.
    pub fn new(target: &Target) -> Self {
        Self(match target {
            Target::Emulator { agent, url: None, .. } => format!("emulator/{agent}"),
            Target::Emulator { agent, url: Some(url), .. } => {
                format!("{}/{agent}", url.as_str().trim_end_matches('/').to_ascii_lowercase())
            }
            Target::Project { endpoint, agent, .. } => in_project(endpoint, agent),
            Target::AgentEndpoint { url, .. } => in_project(url.project(), url.agent()),
            Target::Local { port, .. } => format!("local/{port}"),
            Target::Directory(directory) => format!("directory:{directory:?}"),
            // As a directory: the gateway has put the agent that the name stands for in its place.
            Target::Gateway { agent } => format!("gateway:{agent:?}"),
        })
    }

    /// From storage.
    pub(crate) const fn from_stored(name: String) -> Self {
        Self(name)
    }

    /// Is it one that runs on this machine, without a service in front of it?
    pub fn is_local(&self) -> bool {
        self.0.starts_with("local/")
    }

    /// Is the other agent in the same place: the same emulator, the same project, or also on this machine?
    pub fn is_beside(&self, other: &Self) -> bool {
        self.place() == other.place()
    }

    /// The name without the agent's own. No agent's name has a slash.
    fn place(&self) -> &str {
        self.0.rsplit_once('/').map_or("", |(place, _)| place)
    }

    /// The name as stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn in_project(endpoint: &ProjectEndpoint, agent: &AgentName) -> String {
    let endpoint = endpoint.as_str().trim_end_matches('/');
    // Hosts compare without case; project and agent names do not.
    let path = endpoint.find("/api/").map_or("", |start| &endpoint[start..]);
    format!("https://{}{path}/{agent}", endpoint_host(endpoint))
}

fn endpoint_host(endpoint: &str) -> String {
    endpoint.trim_start_matches("https://").split('/').next().unwrap_or_default().to_ascii_lowercase()
}

/// Whose state: agent × caller × isolation, as a fingerprint. Keys are not kept in readable form.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Owner([u8; 32]);

impl Owner {
    /// Fingerprints what separates one user's state from another's.
    ///
    /// On an `identity` target a user key is the delegated identity under its older name and a chat key is a local
    /// label (the migration bridge), so either spelling leads to the same owner.
    pub fn new(agent: &AgentKey, caller: &str, model: IsolationModel, isolation: &Isolation) -> Self {
        let user_key = isolation.user_key.as_ref().map(cupola_protocol::isolation::IsolationKey::as_str);
        let chat_key = isolation.chat_key.as_ref().map(cupola_protocol::isolation::IsolationKey::as_str);
        let identity = isolation.user_identity.as_ref().map(cupola_protocol::isolation::UserIdentity::as_str);
        let label = isolation.chat.as_ref().map(cupola_protocol::isolation::ChatLabel::as_str);
        let (model, user, chat, label) = match model {
            IsolationModel::Keys => ("keys", user_key, chat_key, label),
            IsolationModel::Identity => ("identity", identity.or(user_key), None, label.or(chat_key)),
            IsolationModel::Local => ("local", user_key.or(identity), None, label.or(chat_key)),
        };
        Self(fingerprint(&[Some(agent.as_str()), Some(caller), Some(model), user, chat, label]))
    }

    /// The owner of the sessions that users of an agent share, in one version: no single user's.
    pub fn of_pool(agent: &AgentKey, caller: &str, version: Option<&AgentVersion>) -> Self {
        let version = version.map(AgentVersion::as_str);
        Self(fingerprint(&[Some(agent.as_str()), Some(caller), Some("pool"), version]))
    }

    /// The fingerprint, for storage.
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// From storage.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Debug for Owner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Four bytes tell owners apart in a log.
        write!(formatter, "Owner({:02x}{:02x}{:02x}{:02x})", self.0[0], self.0[1], self.0[2], self.0[3])
    }
}

/// The unit of saved state: an owner, and the version that was asked for, because a session is bound to one version.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Partition {
    /// The agent.
    pub agent: AgentKey,
    /// Whose state.
    pub owner: Owner,
    /// The version asked for; `None` follows the agent's own selection and is a separate partition.
    pub version: Option<AgentVersion>,
}

impl Partition {
    /// Is `other` this partition, or one of its versions if this one asks for none?
    pub fn covers(&self, other: &Self) -> bool {
        let is_version = self.version.is_none() || self.version == other.version;
        self.agent == other.agent && self.owner == other.owner && is_version
    }

    /// The partition of the same owner's calls that name no version.
    #[must_use]
    pub fn without_version(&self) -> Self {
        Self { version: None, ..self.clone() }
    }

    /// What it is called by, from outside: a fingerprint of a fingerprint, short enough to type.
    pub fn id(&self) -> PartitionId {
        let owner = hex(self.owner.bytes());
        let version = self.version.as_ref().map(AgentVersion::as_str);
        let id = fingerprint(&[Some(self.agent.as_str()), Some(&owner), version]);
        match hex(&id[..PARTITION_ID_BYTES]).parse() {
            Ok(id) => id,
            Err(invalid) => unreachable!("hexadecimal digits make a valid id: {invalid}"),
        }
    }
}

/// A name for what the fields say, for a file: no two different lists have the same one, and nothing can be read from it.
pub(crate) fn digest(fields: &[Option<&str>]) -> String {
    hex(&fingerprint(fields))
}

impl Partition {
    /// What its lock is called.
    pub(crate) fn lock_name(&self) -> String {
        let owner = hex(self.owner.bytes());
        digest(&[
            Some("partition"),
            Some(self.agent.as_str()),
            Some(&owner),
            self.version.as_ref().map(AgentVersion::as_str),
        ])
    }
}

fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or_default();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)]).collect()
}

/// Reads what [`hex`] wrote.
fn bytes(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks_exact(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

/// Hashes fields so that no two different lists give the same text: each is led by its presence and length.
fn fingerprint(fields: &[Option<&str>]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for field in fields {
        match field {
            None => hash.update([0]),
            Some(text) => {
                hash.update([1]);
                hash.update((text.len() as u64).to_be_bytes());
                hash.update(text.as_bytes());
            }
        }
    }
    hash.finalize().into()
}

#[cfg(test)]
#[path = "../fuzz/owner.rs"]
mod fuzz_owner;

#[cfg(test)]
mod tests {
    use super::*;

    fn isolation(json: &str) -> Isolation {
        serde_json::from_str(json).unwrap()
    }

    fn target(json: &str) -> Target {
        serde_json::from_str(json).unwrap()
    }

    fn owner(model: IsolationModel, json: &str) -> Owner {
        Owner::new(&AgentKey::new(&target(r#"{"kind":"emulator"}"#)), "caller", model, &isolation(json))
    }

    #[test]
    fn every_different_isolation_is_another_owner() {
        let all = [
            "{}",
            r#"{"userKey":"a"}"#,
            r#"{"userKey":"b"}"#,
            r#"{"chatKey":"a"}"#,
            r#"{"userKey":"a","chatKey":"b"}"#,
            r#"{"userKey":"ab","chatKey":"c"}"#,
            r#"{"userKey":"a","chatKey":"bc"}"#,
            r#"{"userKey":"a","chat":"b"}"#,
            r#"{"chat":"a"}"#,
        ];
        for (index, left) in all.iter().enumerate() {
            for right in &all[index + 1..] {
                let model = IsolationModel::Keys;
                assert_ne!(owner(model, left), owner(model, right), "{left} {right}");
            }
        }
    }

    #[test]
    fn an_ownership_key_does_not_partition() {
        let model = IsolationModel::Keys;
        assert_eq!(owner(model, r#"{"ownershipKey":"sk"}"#), owner(model, "{}"));
    }

    #[test]
    fn on_an_identity_target_yesterdays_flags_lead_to_the_same_owner() {
        let model = IsolationModel::Identity;
        assert_eq!(
            owner(model, r#"{"userKey":"alice","chatKey":"t1"}"#),
            owner(model, r#"{"userIdentity":"alice","chat":"t1"}"#)
        );
    }

    #[test]
    fn another_caller_is_another_owner() {
        let agent = AgentKey::new(&target(r#"{"kind":"emulator"}"#));
        let none = Isolation::default();
        let model = IsolationModel::Keys;
        assert_ne!(Owner::new(&agent, "me", model, &none), Owner::new(&agent, "you", model, &none));
    }

    #[test]
    fn hosts_compare_without_case_and_agents_with_it() {
        let key = |endpoint: &str, agent: &str| AgentKey::new(&Target::project(endpoint, agent, None).unwrap());
        let lower = key("https://acct.services.ai.azure.com/api/projects/P", "a");
        assert_eq!(lower, key("https://ACCT.services.ai.azure.com/api/projects/P/", "a"));
        assert_ne!(lower, key("https://acct.services.ai.azure.com/api/projects/p", "a"));
        assert_ne!(lower, key("https://acct.services.ai.azure.com/api/projects/P", "A"));
    }

    #[test]
    fn an_agent_by_its_own_url_is_the_same_agent() {
        let path =
            "ACCT.services.ai.azure.com/api/projects/P/agents/a/endpoint/protocols/openai/responses?api-version=v1";
        let by_url = target(&format!(r#"{{"kind":"agentEndpoint","url":"https://{path}"}}"#));
        let project = Target::project("https://acct.services.ai.azure.com/api/projects/P/", "a", None).unwrap();
        assert_eq!(AgentKey::new(&by_url), AgentKey::new(&project));
    }

    #[test]
    fn a_local_agent_is_its_port() {
        let key = |json| AgentKey::new(&target(json));
        assert_eq!(key(r#"{"kind":"local"}"#), key(r#"{"kind":"local","port":8088,"agent":"a"}"#));
        assert_ne!(key(r#"{"kind":"local"}"#), key(r#"{"kind":"local","port":8089}"#));
    }

    #[test]
    fn no_key_shows_in_debug_output() {
        let owner = owner(IsolationModel::Keys, r#"{"userKey":"tenant-acme"}"#);
        assert!(!format!("{owner:?}").contains("tenant"));
    }
}
