//! How long the parts of a call took, as the service measured them.

use serde::{Deserialize, Serialize};

/// Where a call's time went, up to the beginning of its answer, as the service measured it. All times are in ms; what the service
/// does not report is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Latency {
    /// Whether a sandbox had to be started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_start: Option<SessionStart>,
    /// The service's own work before the sandbox was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform_preprocessing_ms: Option<u64>,
    /// Setting up the sandbox; left out when one was running.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub infra_setup_ms: Option<u64>,
    /// Waiting until the agent in it was ready; left out when one was running.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_readiness_ms: Option<u64>,
    /// From the request to the agent until its answer began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_response_ms: Option<u64>,
    /// All of it: from the request's arrival until the answer began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_begin_ms: Option<u64>,
}

/// How a session's sandbox was ready for a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum SessionStart {
    /// A sandbox was started.
    Cold,
    /// It was running.
    Warm,
    /// An idle session's sandbox was started again.
    Resume,
    /// Any other word of the service.
    #[serde(other)]
    Other,
}

impl SessionStart {
    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cold => "cold",
            Self::Warm => "warm",
            Self::Resume => "resume",
            Self::Other => "other",
        }
    }
}
