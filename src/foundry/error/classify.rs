//! The kind of an error answer: by its HTTP status first, then by its codes, then by its words, because codes may be null or
//! missing. Pure.

use self::Rule::{By, If, Is, Named};
use super::Operation as Op;
use super::denial::forbidden;
use super::evidence::Evidence;
use cupola_protocol::error::ErrorKind as Kind;
use std::ops::RangeInclusive;

/// One row of the table: which kind an answer has, if the row is about it.
enum Rule {
    /// Always this one.
    Is(Kind),
    /// The one that a code names, if it is one of these.
    Named(&'static [Kind]),
    /// This one, if the evidence says so.
    If(fn(&Evidence<'_>) -> bool, Kind),
    /// The one that this finds.
    By(fn(&Evidence<'_>) -> Kind),
}

/// The statuses of an answer, and the rule for it. The first rule that gives a kind decides (contract sections 13.2, 14.2 and 14.3).
const RULES: &[(RangeInclusive<u16>, Rule)] = &[
    (401..=401, Is(Kind::AuthenticationFailed)),
    (0..=u16::MAX, Named(&[Kind::AgentVersionNotReady, Kind::AgentVersionFailed])),
    (400..=400, Named(&[Kind::IsolationKeyRequired])),
    (400..=400, If(is_about_keys, Kind::IsolationNotSupported)),
    (403..=403, Named(&[Kind::IsolationKeyRequired, Kind::IsolationMismatch])),
    (403..=403, By(forbidden)),
    // Where a key is required and missing, nothing is found; the answer may say so.
    (404..=404, If(is_about_keys, Kind::IsolationKeyRequired)),
    (404..=404, Named(&[Kind::SessionNotFound, Kind::AgentNotFound])),
    (404..=404, If(|it| it.operation == Op::ReadAgent, Kind::AgentNotFound)),
    (404..=404, If(|it| is_about_a_session(it.operation) || it.says("session"), Kind::SessionNotFound)),
    (404..=404, If(lacks_the_agent, Kind::AgentNotFound)),
    (404..=404, Is(Kind::NotFound)),
    (408..=408, Named(&[Kind::SessionNotReady, Kind::SandboxIdle])),
    (408..=408, Is(Kind::ServiceUnavailable)),
    (409..=409, Named(&[Kind::ConversationLocked])),
    (409..=409, Is(Kind::Conflict)),
    (413..=413, If(|it| it.operation == Op::UploadFile, Kind::FileTooLarge)),
    // Another start of an agent that crashed would crash, too.
    (424..=424, Named(&[Kind::AgentFailed])),
    (424..=424, Is(Kind::SessionNotReady)),
    (429..=429, Named(&[Kind::QuotaExceeded])),
    (429..=429, If(|it| it.says("quota"), Kind::QuotaExceeded)),
    (429..=429, Is(Kind::RateLimited)),
    (400..=499, Is(Kind::BadRequest)),
    // An agent without a handler for this protocol.
    (501..=501, Is(Kind::BadRequest)),
    (502..=502, Named(&[Kind::SessionNotReady, Kind::SandboxIdle, Kind::AgentFailed])),
    (502..=502, Is(Kind::ServiceError)),
    (503..=503, Named(&[Kind::SessionNotReady, Kind::SandboxIdle])),
    (503..=503, Is(Kind::ServiceUnavailable)),
    (504..=504, Is(Kind::ProxyTimeout)),
    (500..=599, If(|it| it.source == Some("upstream"), Kind::AgentFailed)),
    (500..=599, Is(Kind::ServiceError)),
];

/// What an error answer means.
pub(super) fn classify(evidence: &Evidence<'_>) -> Kind {
    let rules = RULES.iter().filter(|(statuses, _)| statuses.contains(&evidence.status));
    let kind = rules.into_iter().find_map(|(_, rule)| match rule {
        Is(kind) => Some(*kind),
        Named(kinds) => evidence.named(kinds),
        If(holds, kind) => holds(evidence).then_some(*kind),
        By(find) => Some(find(evidence)),
    });
    // A redirect is never followed: a token must not go to another host.
    kind.unwrap_or(Kind::UnexpectedAnswer)
}

fn is_about_keys(evidence: &Evidence<'_>) -> bool {
    let is_param = |param: &str| param.contains("isolation-key") || param.contains("isolation key");
    evidence.says("isolation-key") || evidence.says("isolation key") || evidence.param.is_some_and(is_param)
}

const fn is_about_a_session(operation: Op) -> bool {
    matches!(operation, Op::ShowSession | Op::StopSession | Op::DeleteSession | Op::ReadLog)
}

fn lacks_the_agent(evidence: &Evidence<'_>) -> bool {
    match evidence.operation {
        Op::CreateSession | Op::ListSessions | Op::CreateConversation => evidence.says("agent"),
        Op::Invoke => evidence.says("agent '") || evidence.says("agent \""),
        _ => false,
    }
}
