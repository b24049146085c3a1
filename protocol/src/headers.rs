//! Headers that a caller may add to an invoke, checked so that none can break out of its line or imitate one of Cupola's headers.

use crate::text::{private_text, shown_text};

/// The only prefix the service hands on to the agent's code (contract section 1.5).
const CLIENT_PREFIX: &str = "x-client-";
/// Longest header name, in bytes. Names are words; a longer one is a mistake.
const MAX_NAME: usize = 128;
/// Longest header value, in bytes: half of the 8 KiB header block that common HTTP servers accept.
const MAX_VALUE: usize = 4096;
/// Longest call id, in characters. The service's own are 32.
const MAX_CALL_ID: usize = 256;

/// RFC 9110's `tchar`.
fn is_token(character: char) -> bool {
    character.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(character)
}

shown_text! {
    /// The name of a header for the agent's own code: `x-client-…`.
    ClientHeaderName, field "clientHeaders",
    rule "must have names of at most 128 characters: x-client- followed by letters, digits and hyphens",
    |value| value.len() <= MAX_NAME
        && value.chars().all(is_token)
        && value.get(..CLIENT_PREFIX.len()).is_some_and(|prefix| prefix.eq_ignore_ascii_case(CLIENT_PREFIX))
        && value.len() > CLIENT_PREFIX.len(),
    schema { "maxLength" = MAX_NAME, "pattern" = "^[xX]-[cC][lL][iI][eE][nN][tT]-[!#$%&'*+.^_`|~A-Za-z0-9-]+$" }
}

private_text! {
    /// The value of such a header.
    ClientHeaderValue, field "clientHeaders",
    rule "must have values of at most 4096 visible ASCII characters and blanks, without blanks at either end",
    |value| value.len() <= MAX_VALUE
        && value.trim() == value
        && value.chars().all(|character| character.is_ascii_graphic() || character == ' '),
    schema { "maxLength" = MAX_VALUE, "pattern" = "^([!-~]([ -~]*[!-~])?)?$" }
}

shown_text! {
    /// `x-agent-foundry-call-id`: what the gateway names each request for the agent's container. Only a local agent, which
    /// has no gateway, takes the caller's (contract section 13.3).
    CallId, field "callId",
    rule "must be 1 to 256 visible ASCII characters",
    |value| (1..=MAX_CALL_ID).contains(&value.len()) && value.chars().all(|character| character.is_ascii_graphic()),
    schema { "minLength" = 1, "maxLength" = MAX_CALL_ID, "pattern" = "^[!-~]*$" }
}

/// The length of `traceparent` of version 00, in characters.
const TRACE_PARENT: usize = 55;

shown_text! {
    /// `traceparent` of W3C Trace Context: the caller's own span, which the run's span becomes a child of.
    TraceParent, field "traceparent",
    rule "must look like 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01: version 00, 32, 16 and 2 lower-case hexadecimal digits",
    |value| value.len() == TRACE_PARENT
        && value.starts_with("00-")
        && value.bytes().enumerate().all(|(index, byte)| match index {
            2 | 35 | 52 => byte == b'-',
            _ => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
        }),
    schema { "minLength" = TRACE_PARENT, "maxLength" = TRACE_PARENT, "pattern" = "^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_client_headers_can_be_named() {
        for bad in [
            "",
            "x-client-",
            "x-client",
            "authorization",
            "x-ms-user-identity",
            "x-agent-user-isolation-key",
            "x-client-a b",
            "x-client-a:b",
            "x-client-a\r\nx-evil",
            "x-client-ä",
            &format!("x-client-{}", "a".repeat(128)),
        ] {
            assert!(bad.parse::<ClientHeaderName>().is_err(), "{bad:?} was accepted");
        }
        for good in ["x-client-tenant", "X-Client-Tenant", "x-client-a.b_c"] {
            assert!(good.parse::<ClientHeaderName>().is_ok(), "{good:?} was refused");
        }
    }

    #[test]
    fn a_value_cannot_leave_its_line() {
        for bad in ["a\r\nx-evil: 1", "a\nb", "nul\0", "tab\tinside", " lead", "trail ", "käse", &"v".repeat(4097)] {
            assert!(bad.parse::<ClientHeaderValue>().is_err(), "{bad:?} was accepted");
        }
        for good in ["", "contoso", "a b; c=\"d\""] {
            assert!(good.parse::<ClientHeaderValue>().is_ok(), "{good:?} was refused");
        }
        assert!("call-7".parse::<CallId>().is_ok());
        assert!("call 7".parse::<CallId>().is_err() && "".parse::<CallId>().is_err());
    }

    #[test]
    fn a_trace_parent_has_the_form_of_version_00() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert!(good.parse::<TraceParent>().is_ok());
        for bad in [
            "",
            "00",
            &good.to_uppercase(),
            &good.replacen("00", "01", 1),
            &format!("{good}-x"),
            &good.replace('-', "0"),
            &good.replace("01", "0g"),
            &good.replace("01", "0\n"),
        ] {
            assert!(bad.parse::<TraceParent>().is_err(), "{bad:?} was accepted");
        }
    }
}
