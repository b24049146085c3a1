//! May a request be sent again, and when? Pure functions of what was asked and what came back.

use cupola_protocol::error::ErrorKind;
use std::time::Duration;

/// How often one request is sent at most. Microsoft's own clients send up to four (contract section 17.3).
const MAX_ATTEMPTS: u32 = 4;

/// How often a turn is sent at most: each attempt may wait minutes for a sandbox.
const MAX_TURN_ATTEMPTS: u32 = 3;

/// The first pause when the service names none; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// The longest pause we choose.
const MAX_PAUSE: Duration = Duration::from_secs(8);

/// The longest pause we accept from `Retry-After`. Beyond it the caller decides whether to wait.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(30);

/// How long a local agent is given to start listening, and the longest pause between two looks: azd's own numbers
/// (contract section 16).
pub(super) const START_LIMIT: Duration = Duration::from_mins(1);
const MAX_START_PAUSE: Duration = Duration::from_secs(2);

/// What sending a request twice would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// The same as sending it once.
    Harmless,
    /// Run a turn, or make a thing, twice. Sent again only when the service surely did nothing.
    Harmful,
}

/// How a request failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// No connection: the service has not seen it.
    NotConnected,
    /// No connection, and trying again would not help: TLS failed, most often because the host's certificate is not trusted.
    NotTrusted,
    /// The connection broke before the answer's head was there: the service may have seen it.
    Interrupted,
    /// An answer with an error status.
    Status {
        /// The HTTP status.
        status: u16,
        /// What it means.
        kind: ErrorKind,
        /// `Retry-After`.
        retry_after: Option<Duration>,
    },
}

/// How long to wait before sending it again; `None` to give up. `attempt` is how often it was sent, from 1.
pub(super) fn pause(repeat: Repeat, attempt: u32, failure: Failure) -> Option<Duration> {
    let (limit, is_safe) = match repeat {
        Repeat::Harmless => (MAX_ATTEMPTS, is_transient(failure)),
        Repeat::Harmful => (MAX_TURN_ATTEMPTS, is_not_now(failure)),
    };
    if attempt >= limit || !is_safe {
        return None;
    }
    match failure {
        Failure::Status { retry_after: Some(asked), .. } => (asked <= MAX_RETRY_AFTER).then_some(asked),
        _ => Some((FIRST_PAUSE * 2u32.pow(attempt.saturating_sub(1))).min(MAX_PAUSE)),
    }
}

/// How long to wait for a local agent that does not listen yet; `None` to give up. `waited` is how long it has been.
pub(super) fn start_pause(attempt: u32, waited: Duration) -> Option<Duration> {
    let pause = (FIRST_PAUSE * 2u32.pow(attempt.saturating_sub(1).min(8))).min(MAX_START_PAUSE);
    (waited + pause <= START_LIMIT).then_some(pause)
}

fn is_transient(failure: Failure) -> bool {
    match failure {
        Failure::NotConnected | Failure::Interrupted => true,
        Failure::NotTrusted
        | Failure::Status { kind: ErrorKind::QuotaExceeded | ErrorKind::AgentVersionFailed, .. } => false,
        Failure::Status { status, .. } => matches!(status, 408 | 429 | 500 | 502..=504),
    }
}

/// Did the service say "not now", so that nothing can have run? A gateway's 504 (`ProxyTimeout`), a plain 500 or a
/// broken connection leave that open; a 409 would only be answered 409 again.
fn is_not_now(failure: Failure) -> bool {
    match failure {
        Failure::NotConnected => true,
        Failure::Interrupted | Failure::NotTrusted => false,
        Failure::Status { status, kind, retry_after } => match kind {
            ErrorKind::SessionNotReady | ErrorKind::SandboxIdle => matches!(status, 424 | 502 | 503),
            ErrorKind::ServiceUnavailable => status == 503,
            ErrorKind::RateLimited => status == 429 && retry_after.is_some(),
            _ => false,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(status: u16, kind: ErrorKind, retry_after: Option<u64>) -> Failure {
        Failure::Status { status, kind, retry_after: retry_after.map(Duration::from_secs) }
    }

    #[test]
    fn a_turn_is_repeated_only_when_nothing_can_have_run() {
        for (failure, again) in [
            (Failure::NotConnected, true),
            (Failure::Interrupted, false),
            (Failure::NotTrusted, false),
            (status(424, ErrorKind::SessionNotReady, None), true),
            (status(502, ErrorKind::SessionNotReady, None), true),
            (status(502, ErrorKind::SandboxIdle, None), true),
            (status(502, ErrorKind::ServiceError, None), false),
            (status(503, ErrorKind::ServiceUnavailable, None), true),
            (status(504, ErrorKind::ProxyTimeout, Some(1)), false),
            (status(500, ErrorKind::AgentFailed, None), false),
            (status(429, ErrorKind::RateLimited, Some(1)), true),
            (status(429, ErrorKind::RateLimited, None), false),
            (status(429, ErrorKind::QuotaExceeded, Some(1)), false),
            (status(409, ErrorKind::ConversationLocked, Some(1)), false),
            (status(404, ErrorKind::SessionNotFound, None), false),
        ] {
            assert_eq!(pause(Repeat::Harmful, 1, failure).is_some(), again, "{failure:?}");
        }
    }

    #[test]
    fn a_harmless_request_is_repeated_on_anything_transient() {
        for (failure, again) in [
            (Failure::NotConnected, true),
            (Failure::Interrupted, true),
            (Failure::NotTrusted, false),
            (status(408, ErrorKind::ServiceUnavailable, None), true),
            (status(429, ErrorKind::RateLimited, None), true),
            (status(429, ErrorKind::QuotaExceeded, None), false),
            (status(500, ErrorKind::ServiceError, None), true),
            (status(501, ErrorKind::BadRequest, None), false),
            (status(503, ErrorKind::ServiceUnavailable, None), true),
            (status(504, ErrorKind::ProxyTimeout, None), true),
            (status(400, ErrorKind::BadRequest, None), false),
            (status(404, ErrorKind::NotFound, None), false),
        ] {
            assert_eq!(pause(Repeat::Harmless, 1, failure).is_some(), again, "{failure:?}");
        }
    }

    #[test]
    fn pauses_grow_follow_the_service_and_end() {
        let pauses = |repeat, failure| -> Vec<_> {
            (1..10).map_while(|attempt| pause(repeat, attempt, failure)).map(|pause| pause.as_millis()).collect()
        };
        assert_eq!(pauses(Repeat::Harmless, Failure::NotConnected), [500, 1000, 2000]);
        assert_eq!(pauses(Repeat::Harmful, Failure::NotConnected), [500, 1000]);
        assert_eq!(pauses(Repeat::Harmless, status(503, ErrorKind::ServiceUnavailable, Some(7))), [7000; 3]);
        assert_eq!(pauses(Repeat::Harmless, status(503, ErrorKind::ServiceUnavailable, Some(31))), [0u128; 0]);
    }

    #[test]
    fn a_local_agent_is_looked_for_more_and_more_slowly_for_a_minute() {
        let (mut waited, mut pauses) = (Duration::ZERO, Vec::new());
        while let Some(pause) = start_pause(u32::try_from(pauses.len()).unwrap() + 1, waited) {
            waited += pause;
            pauses.push(pause.as_millis());
        }
        assert_eq!(pauses[..4], [500, 1000, 2000, 2000]);
        assert!(waited <= START_LIMIT && waited + MAX_START_PAUSE > START_LIMIT, "{waited:?}");
    }
}
