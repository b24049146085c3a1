//! The ids the gateway makes and the rules of those it is given (contract sections 4.1 and 7.3).

use uuid::Uuid;

/// 32 lower-case hex digits.
pub(crate) fn hex() -> String {
    Uuid::new_v4().simple().to_string()
}

/// A session id of the gateway's own making.
pub(crate) fn session() -> String {
    format!("sess_{}", hex())
}

/// A conversation id, with a partition key as all ids have it: agent servers refuse shorter ones (contract section 21.2).
pub(crate) fn conversation() -> String {
    format!("conv_{}{}", partition_key(None), hex())
}

/// Whether a conversation id is one that [`conversation`] could have made, now or before ids had a partition key.
pub(crate) fn is_conversation(id: &str) -> bool {
    id.strip_prefix("conv_")
        .is_some_and(|body| matches!(body.len(), 32 | 50) && body.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// A response id that shares its partition key with the response or conversation it continues, if any.
pub(crate) fn response(previous: Option<&str>) -> String {
    format!("caresp_{}{}", partition_key(previous), hex())
}

/// The id of an item in a conversation or an answer, for example prefix `msg`.
pub(crate) fn item(prefix: &str) -> String {
    format!("{prefix}_{}{}", partition_key(None), hex())
}

/// 16 hex digits and `00`: copied from `previous` where it has one.
fn partition_key(previous: Option<&str>) -> String {
    previous
        .and_then(|id| id.split_once('_'))
        .filter(|(_, body)| body.len() == 50)
        .and_then(|(_, body)| body.get(..18))
        .map_or_else(|| format!("{}00", hex().get(..16).unwrap_or_default()), str::to_owned)
}

/// Whether a response id has the documented form: a prefix, `_`, and 50 (once 48) letters and digits.
pub(crate) fn is_response(id: &str) -> bool {
    id.split_once('_').is_some_and(|(prefix, body)| {
        !prefix.is_empty()
            && prefix.bytes().all(|byte| byte.is_ascii_lowercase())
            && matches!(body.len(), 48 | 50)
            && body.bytes().all(|byte| byte.is_ascii_alphanumeric())
    })
}

/// Whether a session id has the documented form `^[A-Za-z0-9_-]{8,128}$`.
pub(crate) fn is_session(id: &str) -> bool {
    (8..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

/// Whether an agent name has the documented form: 1 to 63 letters, digits and inner hyphens.
pub(crate) fn is_agent(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && !name.starts_with('-')
        && !name.ends_with('-')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_continued_response_keeps_its_partition_key() {
        let first = response(None);
        let second = response(Some(&first));
        assert!(is_response(&first) && is_response(&second), "{first} {second}");
        assert_eq!(first.get(7..25), second.get(7..25));
        assert_ne!(first, second);
    }

    #[test]
    fn a_conversation_lends_its_partition_key() {
        let conversation = conversation();
        let body = conversation.strip_prefix("conv_").unwrap();
        assert!(body.len() == 50 && is_conversation(&conversation), "{conversation}");
        assert!(body.get(16..18) == Some("00"), "{conversation}");
        assert_eq!(response(Some(&conversation)).get(7..25), body.get(..18));
        assert!(is_conversation("conv_00112233445566778899aabbccddeeff"), "one of an earlier version");
        assert!(!is_conversation("conv_../../../../../../../../../etc/passwd"));
    }

    #[test]
    fn ids_outside_their_rules_are_told_apart() {
        for (id, good) in
            [("sess-fixture-0001", true), ("short", false), ("../../etc/passwd", false), ("with space", false)]
        {
            assert_eq!(is_session(id), good, "{id}");
        }
        for (name, good) in [("notes", true), ("-notes", false), ("a/b", false), ("", false)] {
            assert_eq!(is_agent(name), good, "{name}");
        }
        assert!(!is_response("not-an-id"));
    }
}
