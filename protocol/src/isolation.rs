//! Whose state a call may see: the keys of container protocol 1.0.0, the identity of 2.0.0, or a local label.

use crate::Invalid;
use crate::text::{private_text, shown_text};
use serde::{Deserialize, Serialize};

/// Longest key, in bytes. The service states no limit; 1 KiB leaves room for all three keys and a token inside the
/// 8 KiB header block that common HTTP servers accept.
const MAX_KEY_BYTES: usize = 1024;
/// Longest delegated identity, in characters (contract section 13.3).
const MAX_IDENTITY: usize = 256;
/// Longest local chat label. It is stored, never sent.
const MAX_CHAT_LABEL: usize = 128;

/// Can `value` travel as an HTTP header value and arrive unchanged? Servers trim outer blanks, so those are refused.
fn is_header_value(value: &str) -> bool {
    (1..=MAX_KEY_BYTES).contains(&value.len()) && value.trim() == value && !value.chars().any(char::is_control)
}

private_text! {
    /// An isolation key of container protocol 1.0.0: opaque, passed through verbatim (contract section 13.2).
    IsolationKey, field "isolation key",
    rule "must be 1 to 1024 bytes, without control characters (CR, LF, NUL) and without blanks at either end",
    is_header_value,
    schema { "minLength" = 1, "maxLength" = MAX_KEY_BYTES, "pattern" = "^[^\\s\\x00-\\x1f\\x7f-\\x9f]([^\\x00-\\x1f\\x7f-\\x9f]*[^\\s\\x00-\\x1f\\x7f-\\x9f])?$" }
}

private_text! {
    /// The end user on whose behalf the caller acts (`x-ms-user-identity`, contract section 13.3).
    UserIdentity, field "userIdentity",
    rule "must be 1 to 256 characters of A-Z a-z 0-9 . _ : - @",
    |value| (1..=MAX_IDENTITY).contains(&value.len())
        && value.chars().all(|character| character.is_ascii_alphanumeric() || matches!(character, '.' | '_' | ':' | '-' | '@')),
    schema { "minLength" = 1, "maxLength" = MAX_IDENTITY, "pattern" = "^[A-Za-z0-9._:@-]*$" }
}

shown_text! {
    /// A label that partitions Cupola's own saved state only; nothing of it is sent.
    ChatLabel, field "chat",
    rule "must be 1 to 128 characters, without control characters",
    |value| (1..=MAX_CHAT_LABEL).contains(&value.chars().count()) && !value.chars().any(char::is_control),
    schema { "minLength" = 1, "maxLength" = MAX_CHAT_LABEL, "pattern" = "^[^\\x00-\\x1f\\x7f-\\x9f]*$" }
}

/// How a target isolates its users (design section 2). Detected from the agent's definition when not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum IsolationModel {
    /// Container protocol 1.0.0: the isolation-key headers.
    Keys,
    /// Container protocol 2.0.0: the caller's token, or `x-ms-user-identity`.
    Identity,
    /// Nothing is sent; Cupola alone keeps a session and a conversation per key.
    Local,
}

/// Whose state a call may see. Every field is optional; none at all means the caller's own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
// A misspelt key would be ignored, and the call would then reach shared state.
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Isolation {
    /// `x-agent-user-isolation-key`: partitions by user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_key: Option<IsolationKey>,
    /// `x-agent-chat-isolation-key`: partitions by chat.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chat_key: Option<IsolationKey>,
    /// `x-session-isolation-key`: who may delete a session. Only sessions create and delete send it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ownership_key: Option<IsolationKey>,
    /// `x-ms-user-identity`: the delegated end user of a 2.0.0 agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_identity: Option<UserIdentity>,
    /// A label that partitions Cupola's saved state; never sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chat: Option<ChatLabel>,
    /// Forces a model instead of detecting it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<IsolationModel>,
}

impl Isolation {
    /// Names the field in the refusal, which the shared [`IsolationKey`] type cannot know.
    pub fn key(field: &'static str, value: String) -> Result<IsolationKey, Invalid> {
        IsolationKey::try_from(value).map_err(|invalid| Invalid { field, ..invalid })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_cannot_travel_as_a_header_value_cannot_be_made() {
        for bad in ["", "a\r\nx-evil: 1", "a\nb", "nul\0", "tab\tinside", " lead", "trail ", &"k".repeat(1025)] {
            let refusal = Isolation::key("userKey", bad.to_owned()).unwrap_err();
            assert_eq!(refusal.field, "userKey");
            assert!(refusal.to_string().contains("CR, LF, NUL"), "{refusal}");
        }
        for good in ["tenant-acme", "a b", "sk=1;2,3", "käse", &"k".repeat(1024)] {
            assert_eq!(Isolation::key("userKey", good.to_owned()).unwrap().as_str(), good);
        }
    }

    #[test]
    fn a_misspelt_key_is_refused_instead_of_none_being_sent() {
        for misspelt in [r#"{"user_key":"a"}"#, r#"{"userkey":"a"}"#, r#"{"userKey":"a","chatkey":"b"}"#] {
            let error = serde_json::from_str::<Isolation>(misspelt).unwrap_err();
            assert!(error.to_string().contains("unknown field"), "{error}");
        }
    }

    #[test]
    fn identities_follow_the_service_alphabet() {
        for bad in ["", "a b", "ä", "x/y", "a+b", &"u".repeat(257)] {
            assert!(bad.parse::<UserIdentity>().is_err(), "{bad:?} was accepted");
        }
        assert!("alice@contoso.com".parse::<UserIdentity>().is_ok());
    }

    #[test]
    fn keys_never_show_in_debug_output() {
        let isolation: Isolation = serde_json::from_str(
            r#"{"userKey":"hush-1","chatKey":"hush-2","ownershipKey":"hush-3","userIdentity":"hush-4"}"#,
        )
        .unwrap();
        assert!(!format!("{isolation:?}").contains("hush"), "{isolation:?}");
    }

    #[test]
    fn a_bad_field_is_refused_by_deserialization_with_its_rule() {
        let error = serde_json::from_str::<Isolation>(r#"{"userKey":"a\r\nb"}"#).unwrap_err();
        assert!(error.to_string().contains("control characters"), "{error}");
    }
}
