//! Sessions that are kept ready between turns. Experimental: no source says what short of a turn resets a session's idle time.

use serde::{Deserialize, Serialize};

/// The shortest time between two requests that keep a session warm, in ms.
pub const MIN_WARM_EVERY_MS: u64 = 10_000;

/// The longest time that a session is kept warm after its last turn, in ms: a day.
pub const MAX_WARM_FOR_MS: u64 = 24 * 60 * 60 * 1000;

/// How a partition's session is kept ready after this turn. Experimental, and it costs: a sandbox that does not go idle is paid for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct Warm {
    /// Ask the service for something now and then, so that the session may not go idle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep: Option<KeepWarm>,
    /// Make the partition's next session ahead: the next call that needs a new one gets it. It counts among the project's sessions.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub pre_create: bool,
}

/// With what a session is kept warm, and for how long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct KeepWarm {
    /// What is asked for. Never a turn.
    pub request: WarmRequest,
    /// How often, in ms: 10 s at least.
    pub every_ms: u64,
    /// For how long after the last turn, in ms: 24 h at most.
    pub for_ms: u64,
}

/// A request that may keep a session warm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum WarmRequest {
    /// Show the session. The service answers this itself.
    Session,
    /// List the files in the session's home.
    Files,
}
