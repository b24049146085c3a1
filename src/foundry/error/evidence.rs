//! What an error answer shows of its cause, and what its codes mean by themselves. Pure.

use super::Operation as Op;
use cupola_protocol::error::ErrorKind as Kind;

/// All that an error answer shows of its cause.
pub(super) struct Evidence<'a> {
    pub(super) operation: Op,
    /// Did the request act for another user?
    pub(super) delegated: bool,
    pub(super) status: u16,
    /// `x-adc-response-details`.
    pub(super) details: Option<&'a str>,
    /// `error.code`.
    pub(super) code: Option<&'a str>,
    /// `error.message`.
    pub(super) message: &'a str,
    /// `error.param`.
    pub(super) param: Option<&'a str>,
    /// `x-platform-error-source`.
    pub(super) source: Option<&'a str>,
}

impl Evidence<'_> {
    /// Does the message contain these words, in any case?
    pub(super) fn says(&self, words: &str) -> bool {
        self.message.to_ascii_lowercase().contains(words)
    }

    /// The codes: the header's, then the body's.
    pub(super) fn codes(&self) -> impl Iterator<Item = &str> {
        [self.details, self.code].into_iter().flatten()
    }

    /// The first of these kinds that a code names.
    pub(super) fn named(&self, kinds: &[Kind]) -> Option<Kind> {
        self.codes().filter_map(kind_of_code).find(|kind| kinds.contains(kind))
    }
}

/// The kind that a code of the service names by itself (contract sections 14.2 and 14.3).
pub(in super::super) fn kind_of_code(code: &str) -> Option<Kind> {
    Some(match code {
        "ReadinessTimeout" | "readiness_timeout" | "session_not_ready" => Kind::SessionNotReady,
        "SandboxIdle" | "sandbox_idle" => Kind::SandboxIdle,
        "SandboxNotFound" | "sandbox_not_found" | "session_not_found" => Kind::SessionNotFound,
        "ProxyTimeout" | "proxy_timeout" => Kind::ProxyTimeout,
        "QuotaExceeded" | "RegionalQuotaExceeded" | "quota_exceeded" | "session_quota_exceeded" => Kind::QuotaExceeded,
        "AgentVersionNotReady" => Kind::AgentVersionNotReady,
        "AgentVersionProvisioningFailed" => Kind::AgentVersionFailed,
        "agent_crashed" => Kind::AgentFailed,
        "conversation_locked" => Kind::ConversationLocked,
        "missing_isolation_key" => Kind::IsolationKeyRequired,
        "session_not_accessible" => Kind::IsolationMismatch,
        "agent_not_found" => Kind::AgentNotFound,
        _ => return None,
    })
}
