//! Whose state a request reaches: the isolation rules of both container protocols, as pure functions.
//!
//! Protocol 1.0.0 partitions by two keys in headers and guards deletion by a third (contract section 13.2); 2.0.0
//! partitions by the caller or the user it acts for (section 13.3). Nothing here reads a socket, file or clock.

use http::HeaderMap;
use serde::{Deserialize, Serialize};

/// `x-agent-user-isolation-key`: partition by user, protocol 1.0.0.
pub const USER_KEY: &str = "x-agent-user-isolation-key";
/// `x-agent-chat-isolation-key`: partition by conversation, protocol 1.0.0.
pub const CHAT_KEY: &str = "x-agent-chat-isolation-key";
/// `x-session-isolation-key`: who may delete the session, protocol 1.0.0.
pub const OWNERSHIP_KEY: &str = "x-session-isolation-key";
/// `x-ms-user-identity`: the user the caller acts for, protocol 2.0.0.
pub const USER_IDENTITY: &str = "x-ms-user-identity";

/// Headers of older models. Any of them on a 2.0.0 agent is an error (contract section 13.3).
const LEGACY: [&str; 5] = [USER_KEY, CHAT_KEY, OWNERSHIP_KEY, "x-ms-user-isolation-key", "x-ms-chat-isolation-key"];

/// How long a user identity may be, in characters (contract section 13.3).
const MAX_IDENTITY: usize = 256;

/// What one isolation key does on an agent of protocol 1.0.0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyRule {
    /// Isolation is not configured: the header is a no-op.
    Ignored,
    /// Partitions when sent.
    Optional,
    /// Refused without it.
    Required,
}

/// How an agent version isolates, chosen by its container protocol version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Model {
    /// Protocol 1.0.0: isolation keys.
    Keys {
        /// The rule of `x-agent-user-isolation-key`.
        user: KeyRule,
        /// The rule of `x-agent-chat-isolation-key`.
        chat: KeyRule,
    },
    /// Protocol 2.0.0: the caller's identity, or the one it acts for.
    Identity,
}

impl Model {
    /// The version string in the definition's `protocol_versions`.
    pub fn protocol_version(self) -> &'static str {
        match self {
            Self::Keys { .. } => "1.0.0",
            Self::Identity => "2.0.0",
        }
    }
}

/// Whose state something is. Equal partitions share everything, others only what the rules below open.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Partition {
    /// Protocol 1.0.0: the state behind these keys, for any caller.
    Keys {
        /// The user key, if one partitions.
        user: Option<String>,
        /// The chat key, if one partitions.
        chat: Option<String>,
    },
    /// Protocol 2.0.0: the caller's own.
    Own(String),
    /// Protocol 2.0.0: the user a caller acts for.
    Delegated(String),
}

/// The isolation headers of a request, verbatim.
#[derive(Debug, Clone, Default)]
pub struct Presented {
    user_key: Option<String>,
    chat_key: Option<String>,
    ownership_key: Option<String>,
    user_identity: Option<String>,
    legacy: Option<&'static str>,
}

impl Presented {
    /// Reads them. An empty key counts as none; bytes beyond ASCII keep their difference. A header that occurs twice is refused.
    pub fn read(headers: &HeaderMap) -> Result<Self, Refusal> {
        let repeated = |name: &&str| headers.get_all(*name).iter().nth(1).is_some();
        if let Some(header) = LEGACY.into_iter().chain([USER_IDENTITY]).find(repeated) {
            return Err(Refusal::Repeated(header));
        }
        let text = |name: &str| {
            let value = headers.get(name)?;
            Some(value.as_bytes().iter().map(|byte| char::from(*byte)).collect::<String>())
        };
        let key = |name| text(name).filter(|value| !value.is_empty());
        Ok(Self {
            user_key: key(USER_KEY),
            chat_key: key(CHAT_KEY),
            ownership_key: key(OWNERSHIP_KEY),
            user_identity: text(USER_IDENTITY),
            legacy: LEGACY.into_iter().find(|name| headers.contains_key(*name)),
        })
    }
}

/// Who makes a request, according to its token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The token's `oid`, else its `sub`.
    pub id: String,
    /// May act for another user.
    pub impersonates: bool,
    /// Sees and manages the sessions of every user.
    pub manages: bool,
}

/// What a request is about to do, where the rules differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Talk to the agent: responses, invocations.
    Invoke,
    /// Look at or change state: sessions, conversations, files, logs.
    Manage,
}

/// Why a request may not reach what it names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The agent requires a key that was not sent.
    #[error("This agent requires the header '{header}'.")]
    MissingKey {
        /// The header.
        header: &'static str,
        /// On an invoke the service says 403, elsewhere 404.
        invoke: bool,
    },
    /// The session lies behind other keys (on an invoke).
    #[error("The session is not accessible with the isolation keys of this request.")]
    WrongKeys,
    /// It lies behind other keys or belongs to another user, and is not shown to exist.
    #[error("The resource was not found.")]
    Hidden,
    /// The ownership key differs from the one the session was created under.
    #[error("Cannot delete session: it is owned under another ownership key.")]
    NotOwner,
    /// One side acts for a user, the other for itself.
    #[error(
        "This is not accessible: the state of a user whom a caller acts for, and that of callers themselves, do not mix."
    )]
    Wall,
    /// The session is another caller's own.
    #[error("The session is not accessible: it belongs to another caller.")]
    OtherCaller,
    /// Acting for a user needs a permission the caller lacks.
    #[error(
        "The caller may not send 'x-ms-user-identity': it lacks Microsoft.CognitiveServices/accounts/AIServices/agents/endpoints/UserIdentityImpersonation/action."
    )]
    NoPermission,
    /// A header of an older isolation model on protocol 2.0.0.
    #[error("The header '{0}' is not supported by agents of container protocol 2.0.0.")]
    LegacyHeader(&'static str),
    /// A header that says whose state a request reaches, more than once. Which one counts would depend on who reads it.
    #[error("The header '{0}' is given more than once.")]
    Repeated(&'static str),
    /// A user identity outside its rule.
    #[error("'x-ms-user-identity' must be 1 to 256 characters of letters, digits and . _ : - @")]
    InvalidIdentity,
}

/// Whose state the request asks for.
pub fn partition(model: Model, presented: &Presented, caller: &Caller, purpose: Purpose) -> Result<Partition, Refusal> {
    match model {
        Model::Keys { user, chat } => Ok(Partition::Keys {
            user: apply(user, presented.user_key.as_ref(), USER_KEY, purpose)?,
            chat: apply(chat, presented.chat_key.as_ref(), CHAT_KEY, purpose)?,
        }),
        Model::Identity => {
            if let Some(header) = presented.legacy {
                return Err(Refusal::LegacyHeader(header));
            }
            match &presented.user_identity {
                None => Ok(Partition::Own(caller.id.clone())),
                Some(user) if !is_identity(user) => Err(Refusal::InvalidIdentity),
                Some(_) if !caller.impersonates => Err(Refusal::NoPermission),
                Some(user) => Ok(Partition::Delegated(user.clone())),
            }
        }
    }
}

fn apply(
    rule: KeyRule,
    key: Option<&String>,
    header: &'static str,
    purpose: Purpose,
) -> Result<Option<String>, Refusal> {
    match (rule, key) {
        (KeyRule::Ignored, _) => Ok(None),
        (KeyRule::Required, None) => Err(Refusal::MissingKey { header, invoke: purpose == Purpose::Invoke }),
        (_, key) => Ok(key.cloned()),
    }
}

fn is_identity(value: &str) -> bool {
    (1..=MAX_IDENTITY).contains(&value.chars().count())
        && value.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | ':' | '-' | '@'))
}

/// Whether a request may use a session of `owner`'s.
///
/// Delegated users enter one another's sessions: the service has no fence there, and neither has this.
pub fn enter(asking: &Partition, caller: &Caller, owner: &Partition, purpose: Purpose) -> Result<(), Refusal> {
    match (asking, owner) {
        (asking, owner) if asking == owner => Ok(()),
        (Partition::Delegated(_), Partition::Delegated(_)) => Ok(()),
        (Partition::Own(_), Partition::Own(_) | Partition::Delegated(_))
            if caller.manages && purpose == Purpose::Manage =>
        {
            Ok(())
        }
        (Partition::Own(_), Partition::Own(_)) => Err(Refusal::OtherCaller),
        (Partition::Own(_), Partition::Delegated(_)) | (Partition::Delegated(_), Partition::Own(_)) => {
            Err(Refusal::Wall)
        }
        _ if purpose == Purpose::Invoke => Err(Refusal::WrongKeys),
        _ => Err(Refusal::Hidden),
    }
}

/// Whether a list shows a session of `owner`'s.
pub fn lists(asking: &Partition, caller: &Caller, owner: &Partition) -> bool {
    asking == owner
        || (caller.manages && matches!(asking, Partition::Own(_)) && !matches!(owner, Partition::Keys { .. }))
}

/// Whether a request may reach a response or conversation of `owner`'s: these stay per partition, also between
/// delegated users. The wall between delegated and own state stands here too (contract section 13.5, G-A6).
pub fn reach(asking: &Partition, owner: &Partition) -> Result<(), Refusal> {
    match (asking, owner) {
        (asking, owner) if asking == owner => Ok(()),
        (Partition::Own(_), Partition::Delegated(_)) | (Partition::Delegated(_), Partition::Own(_)) => {
            Err(Refusal::Wall)
        }
        _ => Err(Refusal::Hidden),
    }
}

/// Under which key a session is created: the ownership key sent, else one derived from the caller.
pub fn ownership(presented: &Presented, caller: &Caller) -> String {
    match &presented.ownership_key {
        Some(key) => format!("key:{key}"),
        None => format!("caller:{}", caller.id),
    }
}

/// Whether a request that may see the session may also delete it. Protocol 2.0.0 has no ownership key.
pub fn delete(model: Model, presented: &Presented, caller: &Caller, owner: &str) -> Result<(), Refusal> {
    match model {
        Model::Keys { .. } if ownership(presented, caller) != owner => Err(Refusal::NotOwner),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(id: &str) -> Caller {
        Caller { id: id.to_owned(), impersonates: true, manages: false }
    }

    fn presented(headers: &[(&'static str, &str)]) -> Presented {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        Presented::read(&map).unwrap()
    }

    #[test]
    fn an_identity_follows_its_rule() {
        let long = "a".repeat(257);
        for (value, good) in [
            ("alice@contoso.com", true),
            ("a:b_c-d.e", true),
            ("", false),
            ("a b", false),
            ("ünï", false),
            (long.as_str(), false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(USER_IDENTITY, http::HeaderValue::from_bytes(value.as_bytes()).unwrap());
            let found =
                partition(Model::Identity, &Presented::read(&headers).unwrap(), &caller("app"), Purpose::Invoke);
            assert_eq!(found.is_ok(), good, "{value}: {found:?}");
        }
    }

    #[test]
    fn a_required_key_is_missed_differently_by_purpose() {
        let model = Model::Keys { user: KeyRule::Required, chat: KeyRule::Optional };
        for (purpose, invoke) in [(Purpose::Invoke, true), (Purpose::Manage, false)] {
            assert_eq!(
                partition(model, &presented(&[(USER_KEY, "")]), &caller("app"), purpose),
                Err(Refusal::MissingKey { header: USER_KEY, invoke })
            );
        }
    }

    #[test]
    fn ignored_keys_do_not_partition() {
        let model = Model::Keys { user: KeyRule::Ignored, chat: KeyRule::Ignored };
        let find = |key| partition(model, &presented(&[(USER_KEY, key)]), &caller("app"), Purpose::Invoke);
        assert_eq!(find("acme"), find("contoso"));
    }

    #[test]
    fn who_enters_whose_session() {
        let own = |id: &str| Partition::Own(id.to_owned());
        let delegated = |id: &str| Partition::Delegated(id.to_owned());
        let keys = |user: &str| Partition::Keys { user: Some(user.to_owned()), chat: None };
        for (asking, owner, outcome) in [
            (keys("acme"), keys("acme"), Ok(())),
            (keys("acme"), keys("contoso"), Err(Refusal::WrongKeys)),
            (own("app"), own("app"), Ok(())),
            (own("app"), own("other"), Err(Refusal::OtherCaller)),
            (own("app"), delegated("alice"), Err(Refusal::Wall)),
            (delegated("alice"), own("app"), Err(Refusal::Wall)),
            (delegated("bob"), delegated("alice"), Ok(())),
        ] {
            assert_eq!(enter(&asking, &caller("app"), &owner, Purpose::Invoke), outcome, "{asking:?} {owner:?}");
        }
        assert_eq!(enter(&keys("acme"), &caller("app"), &keys("contoso"), Purpose::Manage), Err(Refusal::Hidden));
        for (asking, owner, outcome) in [
            (delegated("alice"), delegated("alice"), Ok(())),
            (delegated("bob"), delegated("alice"), Err(Refusal::Hidden)),
            (own("app"), own("other"), Err(Refusal::Hidden)),
            (own("app"), delegated("alice"), Err(Refusal::Wall)),
            (delegated("alice"), own("app"), Err(Refusal::Wall)),
            (keys("acme"), keys("contoso"), Err(Refusal::Hidden)),
        ] {
            assert_eq!(reach(&asking, &owner), outcome, "{asking:?} {owner:?}");
        }
    }

    #[test]
    fn the_managing_role_manages_but_does_not_talk() {
        let manager = Caller { id: "lead".to_owned(), impersonates: false, manages: true };
        let (asking, owner) = (Partition::Own("lead".to_owned()), Partition::Delegated("alice".to_owned()));
        assert!(lists(&asking, &manager, &owner));
        assert_eq!(enter(&asking, &manager, &owner, Purpose::Manage), Ok(()));
        assert_eq!(enter(&asking, &manager, &owner, Purpose::Invoke), Err(Refusal::Wall));
    }
}
