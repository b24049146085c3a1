//! `daemon/status`: how the daemon is, and what it is doing.

use crate::Method;
use crate::auth::Token;
use crate::error::ErrorKind;
use crate::id::{PartitionId, SessionId};
use crate::reach::Reach;
use crate::runs::RunInfo;
use crate::warm::KeepWarm;
use serde::{Deserialize, Serialize};

/// Shows the daemon's status. With `details`, also what it is doing: what `cupola top` shows.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Status;

impl Method for Status {
    const NAME: &'static str = "daemon/status";
    const REACH: Reach = Reach::Connection;
    type Params = StatusParams;
    type Response = StatusResponse;
}

/// What to show.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "DaemonStatusParams"))]
#[serde(rename_all = "camelCase", default)]
pub struct StatusParams {
    /// Also runs, sessions, tokens, connections to the service and recent errors. Left out on a bound connection, which knows only its own.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub details: bool,
}

/// The daemon's status. Durations are in ms; `startedAt` is RFC 3339, UTC.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "DaemonStatusResponse"))]
#[serde(rename_all = "camelCase")]
pub struct StatusResponse {
    /// The daemon's version.
    pub version: String,
    /// The major protocol version it supports.
    pub protocol_version: u32,
    /// Its process id.
    pub process_id: u32,
    /// Where it listens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub socket: Option<String>,
    /// Where its saved state is.
    pub state_directory: String,
    /// When it started.
    pub started_at: String,
    /// How long it has run.
    pub uptime_ms: u64,
    /// Open connections, this one included.
    pub connections: u64,
    /// Requests not yet answered, this one included.
    pub requests: u64,
    /// Runs under way.
    pub runs: u64,
    /// How long it runs without work before it stops; if missing, it does not stop by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_exit_ms: Option<u64>,
    /// Resident memory in bytes, if the system reports it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resident_bytes: Option<u64>,
    /// Where the embedded emulator listens, if it runs: `unix:` and the path of its socket, or a URL on Windows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub emulator: Option<String>,
    /// Partitions with saved state; missing when saved state cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partitions: Option<u64>,
    /// How traces and metrics leave the daemon; missing when telemetry is off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub telemetry: Option<TelemetryStatus>,
    /// What it is doing, if that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Box<StatusDetails>>,
}

/// How traces and metrics leave the daemon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct TelemetryStatus {
    /// Where spans are sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collector: Option<String>,
    /// Where Prometheus can read metrics; missing while nothing is served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<String>,
    /// Spans that the collector has taken.
    pub sent_spans: u64,
    /// Spans that were dropped, because the collector did not take them in time or at all.
    pub dropped_spans: u64,
    /// What does not work at the moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What the daemon is doing. No isolation key and no token is in it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct StatusDetails {
    /// Runs under way and those that ended recently, newest first.
    pub runs: Vec<RunInfo>,
    /// The sessions that partitions continue, the latest changed first: at most 100.
    pub sessions: Vec<SessionUse>,
    /// The tokens held, and when they expire.
    pub tokens: Vec<Token>,
    /// The connections to services and to agents on this machine that are open; missing where the system does not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream: Option<Vec<UpstreamConnection>>,
    /// The sessions that are kept ready (`warm` of `invoke`).
    pub warm: Vec<WarmSession>,
    /// The latest calls that failed, newest first: at most 32.
    pub errors: Vec<RecentError>,
}

/// A session that a partition continues.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct SessionUse {
    /// The partition. The isolation keys themselves are not kept.
    pub partition: PartitionId,
    /// The agent, as saved state names it.
    pub agent: String,
    /// The session the next call continues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionId>,
    /// Runs under way in the partition.
    pub runs: u64,
    /// When what is saved changed last. RFC 3339, UTC.
    pub updated_at: String,
}

/// A session that is kept ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct WarmSession {
    /// The partition.
    pub partition: PartitionId,
    /// The agent, as saved state names it.
    pub agent: String,
    /// The session.
    pub session_id: SessionId,
    /// How it is kept warm; missing if only the next one is made ahead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<KeepWarm>,
    /// How often the service was asked since the last turn.
    pub asked: u64,
    /// When it was asked last. RFC 3339, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_at: Option<String>,
    /// Why that failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The session that was made ahead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_session_id: Option<SessionId>,
}

/// An open connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct UpstreamConnection {
    /// The address and port at the other end.
    pub peer: String,
}

/// A call that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct RecentError {
    /// When. RFC 3339, UTC.
    pub at: String,
    /// The method that was called.
    pub method: String,
    /// What went wrong, in one word.
    pub kind: ErrorKind,
    /// What happened, for people: at most 300 characters.
    pub message: String,
}
