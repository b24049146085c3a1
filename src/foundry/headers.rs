//! What of an isolation travels, and in which header: the only place that knows their names (contract section 13).

use super::latency;
use cupola_protocol::Invalid;
use cupola_protocol::headers::{CallId, ClientHeaderName, ClientHeaderValue};
use cupola_protocol::isolation::{Isolation, IsolationKey, IsolationModel, UserIdentity};
use http::{HeaderMap, HeaderName, HeaderValue};
use std::collections::BTreeMap;
use std::fmt;

const USER_KEY: HeaderName = HeaderName::from_static("x-agent-user-isolation-key");
const CHAT_KEY: HeaderName = HeaderName::from_static("x-agent-chat-isolation-key");
const OWNERSHIP_KEY: HeaderName = HeaderName::from_static("x-session-isolation-key");
const USER_IDENTITY: HeaderName = HeaderName::from_static("x-ms-user-identity");
/// What the gateway names each request for the container.
const CALL_ID: HeaderName = HeaderName::from_static("x-agent-foundry-call-id");
/// The version that is to answer, whichever the agent selects (contract section 21.1).
const VERSION_OVERRIDE: &str = "x-agent-version-override";
/// What the gateway makes of the identity for the agent's container.
const LOCAL_USER: HeaderName = HeaderName::from_static("x-agent-user-id");

/// What is added to the headers of one turn. The types have checked the caller's own.
#[derive(Debug, Clone, Copy)]
pub struct TurnHeaders<'a> {
    /// For the agent's code.
    pub client: &'a BTreeMap<ClientHeaderName, ClientHeaderValue>,
    /// For a local agent, which has no service that makes one.
    pub call_id: Option<&'a CallId>,
    /// The version that is to answer, whichever the agent selects.
    pub version: Option<&'a str>,
    /// Has the service measure how long the parts of the turn take.
    pub asks_latency: bool,
}

impl TurnHeaders<'_> {
    /// As they are sent.
    pub fn headers(&self) -> Result<HeaderMap, UnsuitedIsolation> {
        let mut headers = HeaderMap::new();
        for (name, text) in self.client {
            let name =
                HeaderName::try_from(name.as_str()).map_err(|_| UnsuitedIsolation::NoHeaderValue("clientHeaders"))?;
            if let Some(value) = value("clientHeaders", Some(text.as_str()))? {
                headers.insert(name, value);
            }
        }
        if let Some(value) = value("callId", self.call_id.map(CallId::as_str))? {
            headers.insert(CALL_ID, value);
        }
        if let Some(value) = value("versionOverride", self.version)? {
            headers.insert(VERSION_OVERRIDE, value);
        }
        if self.asks_latency {
            headers.insert(latency::REQUEST, HeaderValue::from_static("true"));
        }
        Ok(headers)
    }
}

/// The version that these headers of a turn ask for: in the handshake of a WebSocket, the query names it.
pub(super) fn version_override(headers: &HeaderMap) -> Option<(&'static str, &str)> {
    Some((VERSION_OVERRIDE, headers.get(VERSION_OVERRIDE)?.to_str().ok()?))
}

/// What is sent of an isolation. `Debug` shows which headers, never a value.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct WireIsolation {
    user_key: Option<HeaderValue>,
    chat_key: Option<HeaderValue>,
    ownership_key: Option<HeaderValue>,
    user_identity: Option<HeaderValue>,
    local_user: Option<HeaderValue>,
    is_bridged: bool,
}

/// The isolation cannot be expressed in the target's model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnsuitedIsolation {
    /// `userIdentity` on an agent that takes keys.
    #[error("a user identity needs an agent of container protocol 2.0.0; this one takes isolation keys")]
    IdentityOnKeys,
    /// `userKey` stands in for the identity of a newer agent but breaks the rule of identities.
    #[error("userKey is sent as the user identity to this agent of container protocol 2.0.0, but {0}")]
    KeyIsNoIdentity(Invalid),
    /// A value that no header can carry.
    #[error("{0} cannot be sent as a header")]
    NoHeaderValue(&'static str),
}

impl WireIsolation {
    /// Decides what `isolation` means on the wire for a target of `model`.
    ///
    /// - `Keys`: the three headers, values verbatim.
    /// - `Identity`: `x-ms-user-identity`; a user key stands in for a missing identity, a chat key is not sent: a legacy
    ///   header is an error of the service here.
    /// - `Local`: nothing.
    pub fn new(model: IsolationModel, isolation: &Isolation) -> Result<Self, UnsuitedIsolation> {
        match model {
            IsolationModel::Local => Ok(Self::default()),
            IsolationModel::Keys if isolation.user_identity.is_some() => Err(UnsuitedIsolation::IdentityOnKeys),
            IsolationModel::Keys => Ok(Self {
                user_key: value("userKey", isolation.user_key.as_ref().map(IsolationKey::as_str))?,
                chat_key: value("chatKey", isolation.chat_key.as_ref().map(IsolationKey::as_str))?,
                ownership_key: value("ownershipKey", isolation.ownership_key.as_ref().map(IsolationKey::as_str))?,
                ..Self::default()
            }),
            IsolationModel::Identity => {
                let bridged = match (&isolation.user_identity, &isolation.user_key) {
                    (None, Some(key)) => {
                        Some(key.as_str().parse::<UserIdentity>().map_err(UnsuitedIsolation::KeyIsNoIdentity)?)
                    }
                    _ => None,
                };
                let identity = isolation.user_identity.as_ref().or(bridged.as_ref());
                Ok(Self {
                    user_identity: value("userIdentity", identity.map(UserIdentity::as_str))?,
                    is_bridged: bridged.is_some() || isolation.chat_key.is_some(),
                    ..Self::default()
                })
            }
        }
    }

    /// What a container without a service in front of it gets: the keys as they are, and the identity under the name
    /// that the gateway would hand it on with.
    pub fn for_local_agent(isolation: &Isolation) -> Result<Self, UnsuitedIsolation> {
        Ok(Self {
            user_key: value("userKey", isolation.user_key.as_ref().map(IsolationKey::as_str))?,
            chat_key: value("chatKey", isolation.chat_key.as_ref().map(IsolationKey::as_str))?,
            local_user: value("userIdentity", isolation.user_identity.as_ref().map(UserIdentity::as_str))?,
            ..Self::default()
        })
    }

    /// Were keys mapped onto the newer model? The caller should be told once.
    pub fn is_bridged(&self) -> bool {
        self.is_bridged
    }

    /// Does the call act for another user?
    pub fn is_delegated(&self) -> bool {
        self.user_identity.is_some()
    }

    /// Is nothing sent that partitions?
    pub fn is_empty(&self) -> bool {
        self.user_key.is_none() && self.chat_key.is_none() && self.user_identity.is_none()
    }

    /// Adds the headers of every isolated call.
    pub(super) fn apply(&self, headers: &mut HeaderMap) {
        for (name, value) in [
            (USER_KEY, &self.user_key),
            (CHAT_KEY, &self.chat_key),
            (USER_IDENTITY, &self.user_identity),
            (LOCAL_USER, &self.local_user),
        ] {
            if let Some(value) = value {
                headers.insert(name, value.clone());
            }
        }
    }

    /// Adds the ownership key, which only sessions create and delete carry.
    pub(super) fn apply_ownership(&self, headers: &mut HeaderMap) {
        if let Some(value) = &self.ownership_key {
            headers.insert(OWNERSHIP_KEY, value.clone());
        }
    }
}

fn value(field: &'static str, value: Option<&str>) -> Result<Option<HeaderValue>, UnsuitedIsolation> {
    let Some(value) = value else { return Ok(None) };
    // From bytes: keys may be UTF-8, which travels as it is.
    let mut value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| UnsuitedIsolation::NoHeaderValue(field))?;
    value.set_sensitive(true);
    Ok(Some(value))
}

impl fmt::Debug for WireIsolation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |value: &Option<HeaderValue>| value.as_ref().map(|_| "[redacted]");
        formatter
            .debug_struct("WireIsolation")
            .field("user_key", &shown(&self.user_key))
            .field("chat_key", &shown(&self.chat_key))
            .field("ownership_key", &shown(&self.ownership_key))
            .field("user_identity", &shown(&self.user_identity))
            .field("local_user", &shown(&self.local_user))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "../../fuzz/isolation.rs"]
mod fuzz_isolation;

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &str = r#"{"userKey":"acme","chatKey":"chat 1","ownershipKey":"own"}"#;

    fn wire(model: IsolationModel, isolation: &str) -> Result<Vec<String>, UnsuitedIsolation> {
        let isolation: Isolation = serde_json::from_str(isolation).unwrap();
        let wire = WireIsolation::new(model, &isolation)?;
        let mut headers = HeaderMap::new();
        wire.apply(&mut headers);
        wire.apply_ownership(&mut headers);
        let mut lines: Vec<_> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())))
            .collect();
        lines.sort();
        Ok(lines)
    }

    #[test]
    fn each_model_sends_its_own_headers() {
        use IsolationModel::{Identity, Keys, Local};
        for (model, isolation, expected) in [
            (
                Keys,
                ALL,
                vec![
                    "x-agent-chat-isolation-key: chat 1",
                    "x-agent-user-isolation-key: acme",
                    "x-session-isolation-key: own",
                ],
            ),
            (Keys, "{}", vec![]),
            (Keys, r#"{"userKey":"käse"}"#, vec!["x-agent-user-isolation-key: käse"]),
            (Identity, ALL, vec!["x-ms-user-identity: acme"]),
            (Identity, r#"{"userIdentity":"a@b","userKey":"acme"}"#, vec!["x-ms-user-identity: a@b"]),
            (Identity, r#"{"chatKey":"chat 1"}"#, vec![]),
            (Local, ALL, vec![]),
            (Local, r#"{"userIdentity":"a@b"}"#, vec![]),
        ] {
            assert_eq!(wire(model, isolation).unwrap(), expected, "{model:?} {isolation}");
        }
    }

    #[test]
    fn a_local_agent_gets_what_the_gateway_would_hand_on() {
        let isolation: Isolation =
            serde_json::from_str(r#"{"userKey":"acme","chatKey":"c","ownershipKey":"o","userIdentity":"a@b"}"#)
                .unwrap();
        let mut headers = HeaderMap::new();
        WireIsolation::for_local_agent(&isolation).unwrap().apply(&mut headers);
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["x-agent-chat-isolation-key", "x-agent-user-id", "x-agent-user-isolation-key"]);
    }

    #[test]
    fn what_the_model_cannot_say_is_refused_before_any_request() {
        assert_eq!(wire(IsolationModel::Keys, r#"{"userIdentity":"a@b"}"#), Err(UnsuitedIsolation::IdentityOnKeys));
        let refusal = wire(IsolationModel::Identity, r#"{"userKey":"two words"}"#).unwrap_err();
        assert!(refusal.to_string().contains("A-Z a-z 0-9 . _ : - @"), "{refusal}");
    }

    #[test]
    fn no_value_shows_in_debug_output() {
        let isolation: Isolation =
            serde_json::from_str(r#"{"userKey":"hush-1","chatKey":"hush-2","ownershipKey":"hush-3"}"#).unwrap();
        for model in [IsolationModel::Keys, IsolationModel::Identity] {
            let shown = format!("{:?}", WireIsolation::new(model, &isolation).unwrap());
            assert!(!shown.contains("hush"), "{shown}");
        }
    }
}
