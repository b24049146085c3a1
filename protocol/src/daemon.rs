//! `initialize`, `shutdown`, `daemon/status` and `daemon/stop`: the daemon itself.

use crate::Method;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Opens a connection: says who the client is, answers what the daemon can do. Answered at once, from static data.
/// Optional: calls without it get the defaults.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Initialize;

impl Method for Initialize {
    const NAME: &'static str = "initialize";
    type Params = InitializeParams;
    type Response = InitializeResponse;
}

/// Who is calling.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct InitializeParams {
    /// The client program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_info: Option<ProgramInfo>,
    /// The protocol majors the client can speak; any when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol_versions: Option<Vec<u32>>,
}

/// A program's name and version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ProgramInfo {
    /// Its name.
    pub name: String,
    /// Its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// What the daemon is and can do.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct InitializeResponse {
    /// The protocol major both sides will speak.
    pub protocol_version: u32,
    /// The daemon.
    pub server_info: ProgramInfo,
    /// The daemon's process id.
    pub process_id: u32,
    /// What it can do.
    pub capabilities: Capabilities,
}

/// What the daemon can do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Capabilities {
    /// Every method it answers.
    pub methods: Vec<String>,
    /// The framings the socket takes: `lsp`, `ndjson`.
    pub framings: Vec<String>,
}

/// LSP's `shutdown`: this client is done. The daemon itself goes on.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Shutdown;

impl Method for Shutdown {
    const NAME: &'static str = "shutdown";
    type Params = NoParams;
    type Response = ();
}

/// Says all the protocol's methods, types and errors: an OpenRPC document.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Discover;

impl Method for Discover {
    const NAME: &'static str = "rpc.discover";
    type Params = NoParams;
    type Response = OpenRpcDocument;
}

/// An OpenRPC document, see <https://spec.open-rpc.org>.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(extend("type" = "object")))]
pub struct OpenRpcDocument(pub Box<RawValue>);

/// The protocol's OpenRPC document, as `cargo xtask schema` wrote it from these types.
pub const OPENRPC: &str = include_str!("../schema/openrpc.json");

/// No parameters: `{}`, `null` or left out.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct NoParams {}

/// How the daemon is.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Status;

impl Method for Status {
    const NAME: &'static str = "daemon/status";
    type Params = NoParams;
    type Response = StatusResponse;
}

/// How the daemon is. Times are ms; `startedAt` is RFC 3339, UTC.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "DaemonStatusResponse"))]
#[serde(rename_all = "camelCase")]
pub struct StatusResponse {
    /// The daemon's version.
    pub version: String,
    /// The protocol major it speaks.
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
    /// How long it stays with nothing to do; it never leaves by itself when this is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_exit_ms: Option<u64>,
    /// Resident memory in bytes, where the system tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resident_bytes: Option<u64>,
    /// Where the embedded emulator listens, if it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub emulator: Option<String>,
    /// Partitions with saved state; missing when saved state cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partitions: Option<u64>,
}

/// Stops the daemon once what runs has ended, or at once with `force`.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Stop;

impl Method for Stop {
    const NAME: &'static str = "daemon/stop";
    type Params = StopParams;
    type Response = StopResponse;
}

/// How to stop.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "DaemonStopParams"))]
#[serde(rename_all = "camelCase", default)]
pub struct StopParams {
    /// Do not wait for runs under way.
    pub force: bool,
}

/// The daemon is stopping.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "DaemonStopResponse"))]
#[serde(rename_all = "camelCase")]
pub struct StopResponse {
    /// Runs it waits for, or cuts with `force`.
    pub runs: u64,
}
