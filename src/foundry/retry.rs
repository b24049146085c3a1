//! May a request be sent again, and when? Pure functions of what was asked and what came back.

use super::error::FoundryError;
use super::turn::Speaker;
use cupola_protocol::error::{ErrorKind, Turn};
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

/// Longest notice of a pause, in characters: a line of a terminal without `notice: `.
const NOTICE_WIDTH: usize = 72;

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
    Refused {
        /// The HTTP status.
        status: u16,
        /// What it means.
        kind: ErrorKind,
        /// Who answered.
        speaker: Speaker,
        /// Did the answer name its cause?
        is_named: bool,
        /// Did it run, if it was a turn?
        turn: Turn,
        /// `Retry-After`.
        retry_after: Option<Duration>,
    },
}

impl Failure {
    /// Did it run, if it was a turn?
    pub(super) const fn turn(self) -> Turn {
        match self {
            Self::NotConnected | Self::NotTrusted => Turn::NotRun,
            Self::Interrupted => Turn::MayHaveRun,
            Self::Refused { turn, .. } => turn,
        }
    }
}

/// What is sent, as far as it decides whether to send it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sending {
    pub(super) repeat: Repeat,
    /// Is it a turn? A local agent that does not listen yet is waited for with its first turn.
    pub(super) is_turn: bool,
    /// Does it go to an agent without a gateway?
    pub(super) is_local: bool,
}

/// What was tried so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tries {
    /// How often the request was sent, from 1.
    pub(super) attempt: u32,
    /// How long ago it was sent first.
    pub(super) waited: Duration,
    /// Was its token replaced?
    pub(super) is_refreshed: bool,
}

/// What to do after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Send it again with a fresh token.
    Refresh,
    /// Send it again after this pause.
    Wait(Duration),
    /// Send it again after this pause, because the local agent may still be starting.
    WaitForStart(Duration),
    /// Report the failure.
    GiveUp,
}

/// Decides whether to send a request again.
pub(super) fn next(sending: Sending, tries: Tries, failure: Failure) -> Next {
    match failure {
        Failure::NotConnected if sending.is_local && sending.is_turn => {
            start_pause(tries.attempt, tries.waited).map_or(Next::GiveUp, Next::WaitForStart)
        }
        Failure::Refused { .. } if sending.is_local => Next::GiveUp,
        Failure::Refused { status: 401, speaker: Speaker::Gateway, .. } if !tries.is_refreshed => Next::Refresh,
        _ => pause(sending.repeat, tries.attempt, failure).map_or(Next::GiveUp, Next::Wait),
    }
}

/// How long to wait before sending it again; `None` to give up. `attempt` is how often it was sent, from 1.
fn pause(repeat: Repeat, attempt: u32, failure: Failure) -> Option<Duration> {
    let (limit, is_safe) = match repeat {
        Repeat::Harmless => (MAX_ATTEMPTS, is_transient(failure)),
        Repeat::Harmful => (MAX_TURN_ATTEMPTS, is_not_now(failure)),
    };
    if attempt >= limit || !is_safe {
        return None;
    }
    match failure {
        Failure::Refused { retry_after: Some(asked), .. } => (asked <= MAX_RETRY_AFTER).then_some(asked),
        _ => Some((FIRST_PAUSE * 2u32.pow(attempt.saturating_sub(1))).min(MAX_PAUSE)),
    }
}

/// How long to wait for a local agent that does not listen yet; `None` to give up. `waited` is how long it has been.
fn start_pause(attempt: u32, waited: Duration) -> Option<Duration> {
    let pause = (FIRST_PAUSE * 2u32.pow(attempt.saturating_sub(1).min(8))).min(MAX_START_PAUSE);
    (waited + pause <= START_LIMIT).then_some(pause)
}

/// What people read about a pause: one line of a terminal of 80 columns, also after `notice: `. The service's own words, which can fill
/// a screen, come with the error if it lasts.
pub(super) fn notice(wait: Duration, error: &FoundryError) -> String {
    let seconds = if wait < Duration::from_secs(1) { format!("{:.1}", wait.as_secs_f32()) } else { ceil(wait) };
    let cause = match error.service() {
        Some(service) => {
            let code = service.code.as_ref().map(|code| format!(", {code}")).unwrap_or_default();
            format!("HTTP {}{code}", service.status)
        }
        None => error.to_string(),
    };
    let message = format!("trying again in {seconds} s: {}", cause.lines().next().unwrap_or_default());
    match message.char_indices().nth(NOTICE_WIDTH) {
        None => message,
        Some(_) => message.chars().take(NOTICE_WIDTH - 1).chain(['…']).collect(),
    }
}

/// Whole seconds, rounded up.
fn ceil(wait: Duration) -> String {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).to_string()
}

fn is_transient(failure: Failure) -> bool {
    match failure {
        Failure::NotConnected | Failure::Interrupted => true,
        Failure::NotTrusted
        | Failure::Refused { kind: ErrorKind::QuotaExceeded | ErrorKind::AgentVersionFailed, .. } => false,
        Failure::Refused { status, .. } => matches!(status, 408 | 429 | 500 | 502..=504),
    }
}

/// Did the gateway say "not now"? Only what surely did not run is sent again, and only when the gateway said so by naming the cause
/// (contract section 14.3): what an agent server refuses, such as a busy conversation, it would only refuse again.
fn is_not_now(failure: Failure) -> bool {
    if failure.turn() != Turn::NotRun {
        return false;
    }
    match failure {
        Failure::NotConnected => true,
        Failure::Refused { status, kind, speaker: Speaker::Gateway, is_named: true, retry_after, .. } => match kind {
            ErrorKind::SessionNotReady | ErrorKind::SandboxIdle => matches!(status, 424 | 502 | 503),
            ErrorKind::ServiceUnavailable => status == 503,
            ErrorKind::RateLimited => status == 429 && retry_after.is_some(),
            _ => false,
        },
        Failure::NotTrusted | Failure::Interrupted | Failure::Refused { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::error::{Operation, ServiceError};
    use super::*;

    fn status(status: u16, kind: ErrorKind, retry_after: Option<u64>) -> Failure {
        let (speaker, is_named, turn) = (Speaker::Gateway, true, Turn::NotRun);
        Failure::Refused { status, kind, speaker, is_named, turn, retry_after: retry_after.map(Duration::from_secs) }
    }

    /// The same failure, changed in one respect.
    fn but(failure: Failure, change: impl Fn(&mut Speaker, &mut bool, &mut Turn)) -> Failure {
        let mut changed = failure;
        if let Failure::Refused { speaker, is_named, turn, .. } = &mut changed {
            change(speaker, is_named, turn);
        }
        changed
    }

    /// The same without a cause that the gateway names.
    fn unnamed(failure: Failure) -> Failure {
        but(failure, |_, is_named, _| *is_named = false)
    }

    /// The same, said by the agent server.
    fn by_agent(failure: Failure) -> Failure {
        but(failure, |speaker, _, _| *speaker = Speaker::AgentServer)
    }

    #[test]
    fn the_notice_of_a_pause_fits_in_a_line() {
        let refused = |status: u16, code: &str| {
            let body = format!(r#"{{"error":{{"code":"{code}","message":"{}"}}}}"#, "no capacity\\n".repeat(60));
            let status = http::StatusCode::from_u16(status).unwrap();
            let headers = http::HeaderMap::new();
            let refused = ServiceError::read(Operation::Invoke, false, false, status, &headers, body.as_bytes());
            FoundryError::Service(Box::new(refused))
        };
        let told = |milliseconds, error: &FoundryError| notice(Duration::from_millis(milliseconds), error);
        assert_eq!(told(500, &refused(424, "session_not_ready")), "trying again in 0.5 s: HTTP 424, session_not_ready");
        assert_eq!(told(2001, &refused(429, "too_many")), "trying again in 3 s: HTTP 429, too_many");
        let long = told(8000, &refused(503, &"x".repeat(120)));
        assert!(long.chars().count() == NOTICE_WIDTH && long.ends_with('…'), "{long}");
        let setup = told(8000, &FoundryError::Setup("first line\nsecond line".to_owned()));
        assert_eq!(setup, "trying again in 8 s: the connection to the service cannot be set up: fi…");
    }

    #[test]
    fn each_failure_of_a_turn_has_one_consequence() {
        let wait = |milliseconds| Next::Wait(Duration::from_millis(milliseconds));
        let remote = Sending { repeat: Repeat::Harmful, is_turn: true, is_local: false };
        let local = Sending { is_local: true, ..remote };
        let first = Tries { attempt: 1, waited: Duration::ZERO, is_refreshed: false };
        let unauthorized = status(401, ErrorKind::AuthenticationFailed, None);
        let unavailable = status(503, ErrorKind::ServiceUnavailable, Some(1));
        let limited = status(429, ErrorKind::RateLimited, Some(1));
        let not_ready = status(424, ErrorKind::SessionNotReady, None);
        let missing = status(404, ErrorKind::SessionNotFound, None);
        for (sending, tries, failure, expected) in [
            (remote, first, unauthorized, Next::Refresh),
            (remote, first, unnamed(unauthorized), Next::Refresh),
            (remote, Tries { is_refreshed: true, ..first }, unauthorized, Next::GiveUp),
            (remote, first, by_agent(unauthorized), Next::GiveUp),
            (remote, first, unavailable, wait(1000)),
            (remote, first, limited, wait(1000)),
            (remote, first, not_ready, wait(500)),
            (remote, Tries { attempt: 3, ..first }, not_ready, Next::GiveUp),
            (remote, first, missing, Next::GiveUp),
            (remote, first, Failure::NotConnected, wait(500)),
            (remote, first, Failure::Interrupted, Next::GiveUp),
            (local, first, Failure::NotConnected, Next::WaitForStart(Duration::from_millis(500))),
            (local, Tries { waited: START_LIMIT, ..first }, Failure::NotConnected, Next::GiveUp),
        ] {
            assert_eq!(next(sending, tries, failure), expected, "{sending:?} {tries:?} {failure:?}");
        }
        for failure in [unavailable, limited, not_ready, missing] {
            assert_eq!(next(remote, first, by_agent(failure)), Next::GiveUp, "said by the agent: {failure:?}");
            assert_eq!(next(remote, first, unnamed(failure)), Next::GiveUp, "without a named cause: {failure:?}");
            assert_eq!(next(local, first, by_agent(failure)), Next::GiveUp, "local: {failure:?}");
            assert_eq!(next(local, first, failure), Next::GiveUp, "local: {failure:?}");
            let maybe = but(failure, |_, _, turn| *turn = Turn::MayHaveRun);
            assert_eq!(next(remote, first, maybe), Next::GiveUp, "it may have run: {failure:?}");
        }
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
