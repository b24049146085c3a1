//! Names of the things a call works on, checked when they arrive.

use crate::text::shown_text;

/// Longest session id. The service documents 128 characters; invocation containers accept 256 but the gateway does not.
const MAX_SESSION_ID: usize = 128;
/// Shortest session id the service accepts (contract section 4.1).
const MIN_SESSION_ID: usize = 8;
/// Longest conversation or response id we pass on. The service's own are under 64 characters; containers take any string.
const MAX_OPAQUE_ID: usize = 256;

fn is_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_' || character == '-'
}

/// [`is_opaque`] as a pattern, its length aside.
#[cfg(feature = "schema")]
const OPAQUE: &str = "^[A-Za-z0-9._:-]*[A-Za-z0-9_:-][A-Za-z0-9._:-]*$";

fn is_opaque(value: &str) -> bool {
    (1..=MAX_OPAQUE_ID).contains(&value.len())
        && value.chars().all(|character| is_word(character) || matches!(character, '.' | ':'))
        && value.chars().any(|character| character != '.')
}

shown_text! {
    /// A sandbox of the service (`agent_session_id`): compute and `$HOME` (contract section 4.1).
    SessionId, field "sessionId",
    rule "must be 8 to 128 characters of A-Z a-z 0-9 _ -",
    |value| (MIN_SESSION_ID..=MAX_SESSION_ID).contains(&value.len()) && value.chars().all(is_word),
    schema { "minLength" = MIN_SESSION_ID, "maxLength" = MAX_SESSION_ID, "pattern" = "^[A-Za-z0-9_-]*$" }
}

shown_text! {
    /// A message history (`conversation` id). Not the session.
    ConversationId, field "conversationId",
    rule "must be 1 to 256 characters of A-Z a-z 0-9 . _ : -, and more than dots",
    is_opaque,
    schema { "minLength" = 1, "maxLength" = MAX_OPAQUE_ID, "pattern" = OPAQUE }
}

shown_text! {
    /// A response of the responses protocol, or an invocation of the invocations protocol.
    ResponseId, field "responseId",
    rule "must be 1 to 256 characters of A-Z a-z 0-9 . _ : -, and more than dots",
    is_opaque,
    schema { "minLength" = 1, "maxLength" = MAX_OPAQUE_ID, "pattern" = OPAQUE }
}

shown_text! {
    /// One run in this daemon: one invoke from request to ending. Made by the daemon.
    RunId, field "runId",
    rule "must be 1 to 256 characters of A-Z a-z 0-9 . _ : -, and more than dots",
    is_opaque,
    schema { "minLength" = 1, "maxLength" = MAX_OPAQUE_ID, "pattern" = OPAQUE }
}

shown_text! {
    /// A partition's saved state in this daemon: a fingerprint, from which no key can be read. Made by the daemon.
    PartitionId, field "id",
    rule "must be 16 characters of 0-9 a-f",
    |value| value.len() == 16 && value.chars().all(|character| matches!(character, '0'..='9' | 'a'..='f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_ids_that_could_leave_their_place_in_a_url_cannot_be_made() {
        for bad in [
            "",
            "short",
            "../../etc",
            "a/b/c/d/e",
            "has space",
            "percent%2e",
            "päßwörd-1",
            "nul\0nul00",
            &"x".repeat(129),
        ] {
            assert!(bad.parse::<SessionId>().is_err(), "{bad:?} was accepted");
        }
        for good in ["sess_abc123", "00000000-0000-4000-8000-000000000000", &"a".repeat(63), &"x".repeat(128)] {
            assert_eq!(good.parse::<SessionId>().unwrap().as_str(), good);
        }
    }

    #[test]
    fn conversation_ids_of_dots_only_cannot_be_made() {
        for bad in ["", ".", "..", "a/b", "a b", "a\r\nb"] {
            assert!(bad.parse::<ConversationId>().is_err(), "{bad:?} was accepted");
        }
        assert!("conv_0001".parse::<ConversationId>().is_ok());
    }
}
