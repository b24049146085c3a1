//! How long the parts of a turn took, read from the headers of its answer (contract section 21.1). Pure.
//!
//! The service measures when it is asked to ([`REQUEST`]). The trailer with the times up to the last byte is not read: nothing
//! between HTTP and here passes trailers on.

use cupola_protocol::latency::{Latency, SessionStart};
use http::{HeaderMap, HeaderName};

/// Asks the service to measure.
pub(super) const REQUEST: HeaderName = HeaderName::from_static("x-ms-debug-latency-enabled");

/// What the service measured; `None` if it says nothing.
pub(super) fn latency(headers: &HeaderMap) -> Option<Latency> {
    let text = |name: &str| headers.get(format!("x-ms-debug-latency-{name}"))?.to_str().ok().map(str::trim);
    let milliseconds = |name: &str| rounded(text(name)?);
    let latency = Latency {
        session_start: text("session-start-type").map(|word| match word {
            "cold" => SessionStart::Cold,
            "warm" => SessionStart::Warm,
            "resume" => SessionStart::Resume,
            _ => SessionStart::Other,
        }),
        platform_preprocessing_ms: milliseconds("platform-preprocessing-ms"),
        infra_setup_ms: milliseconds("infra-setup-ms"),
        container_readiness_ms: milliseconds("container-readiness-ms"),
        container_response_ms: milliseconds("container-response-ms"),
        response_begin_ms: milliseconds("response-begin-ms"),
    };
    (latency != Latency::default()).then_some(latency)
}

/// A time in whole ms; whether the service gives fractions is not documented.
fn rounded(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_number =
        fraction.bytes().all(|byte| byte.is_ascii_digit()) && whole.bytes().all(|byte| byte.is_ascii_digit());
    let up = u64::from(fraction.as_bytes().first().is_some_and(|digit| *digit >= b'5'));
    whole.parse::<u64>().ok().filter(|_| is_number).map(|whole| whole.saturating_add(up))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Option<Latency> {
        let named = |(name, value): &(&str, &str)| {
            (format!("x-ms-debug-latency-{name}").parse::<HeaderName>().unwrap(), value.parse().unwrap())
        };
        latency(&pairs.iter().map(named).collect())
    }

    #[test]
    fn what_is_missing_or_odd_is_left_out() {
        assert_eq!(read(&[]), None);
        assert_eq!(read(&[("response-begin-ms", "soon"), ("infra-setup-ms", "-3")]), None);
        let warm =
            read(&[("session-start-type", "warm"), ("response-begin-ms", "12.6"), ("container-response-ms", "7")]);
        let expected = Latency {
            session_start: Some(SessionStart::Warm),
            container_response_ms: Some(7),
            response_begin_ms: Some(13),
            ..Latency::default()
        };
        assert_eq!(warm, Some(expected));
        let newer = read(&[("session-start-type", "prewarmed")]).unwrap();
        assert_eq!(newer.session_start, Some(SessionStart::Other));
    }
}
