//! `initialize`, `shutdown`, `daemon/status` and `daemon/stop`: the daemon itself.

use crate::Method;
use crate::isolation::Isolation;
use crate::path::LocalPath;
use crate::reach::Reach;
use crate::target::Target;
use crate::text::shown_text;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The protocol's major version: part of the socket's name (`v1.sock`), negotiated by `initialize`.
pub const PROTOCOL_VERSION: u32 = 1;

/// Opens a connection: says who the client is, answers what the daemon can do. Answered at once, from static data.
/// Optional: calls without it get the defaults.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Initialize;

impl Method for Initialize {
    const NAME: &'static str = "initialize";
    const REACH: Reach = Reach::Connection;
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
    /// Ties this connection to one agent and one isolation, for good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bind: Option<Bind>,
}

/// What a connection is tied to. From the next message on, calls reach this agent under this isolation and nothing else:
/// they may leave `target` and `isolation` out, or repeat them; anything else is refused as `outOfBounds`. A connection is
/// bound once, before its first call, and never loosened. If binding fails, the connection refuses every call.
///
/// A session or conversation can be named, and is listed, if it is known to be this isolation's: one that was made elsewhere
/// becomes so by a `sessions/use` on a connection that is not bound. Everything else is answered alike, whether it exists or not.
///
/// It keeps a program from reaching what it was not handed. It is not a boundary against programs of the same
/// operating-system user that run unconfined: they can open connections of their own.
///
/// A bound connection reads and writes no files of this machine: `files/read` and `files/write` carry the bytes instead.
/// `files/upload` and `files/download` work only if `methods` names them and `files` names a directory, and then below
/// that directory alone. No link is followed there, and files that decide over trust (configuration, saved state, credentials,
/// certificates, the log, the socket) stay out of reach, whatever path or hard link leads to them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
// An unknown field may be meant to narrow the binding: to ignore it would give more than was asked for.
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Bind {
    /// The only agent. A directory is resolved once, now.
    pub target: Target,
    /// The only isolation.
    #[serde(default)]
    pub isolation: Isolation,
    /// The methods it may call; those that work on one agent when left out. `initialize`, `shutdown`, `daemon/status`,
    /// `rpc.discover` and cancelling are always allowed. `files/upload` and `files/download` must be named in full
    /// (`files/*` does not include them), together with `files`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub methods: Option<Vec<MethodPattern>>,
    /// The directory of this machine that `files/upload` reads from and `files/download` writes to; none when left out. It
    /// must exist, and is opened once, now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<LocalPath>,
}

/// Longest name of a method, in bytes; ours are under 24.
const MAX_METHOD_NAME: usize = 128;

shown_text! {
    /// A method's name, or all methods of one resource: `sessions/*`.
    MethodPattern, field "methods",
    rule "must each be a method's name, or a resource and all its methods, such as sessions/*",
    |value| {
        let resource = value.strip_suffix("/*");
        (1..=MAX_METHOD_NAME).contains(&value.len())
            && resource != Some("")
            && resource.unwrap_or(value).chars().all(|character| character.is_ascii_graphic() && character != '*')
    }
}

impl MethodPattern {
    /// Does it name this method?
    pub fn matches(&self, method: &str) -> bool {
        match self.as_str().strip_suffix('*') {
            // What is left ends with the slash.
            Some(resource) => method.strip_prefix(resource).is_some_and(|rest| !rest.is_empty()),
            None => self.as_str() == method,
        }
    }
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
    /// Is this connection bound?
    #[serde(default)]
    pub bound: bool,
}

/// What the daemon can do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Capabilities {
    /// Every method that may be called on this connection.
    pub methods: Vec<String>,
    /// The framings the socket takes: `lsp`, `ndjson`, `http`.
    pub framings: Vec<String>,
}

/// LSP's `shutdown`: this client is done. The daemon itself goes on.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Shutdown;

impl Method for Shutdown {
    const NAME: &'static str = "shutdown";
    const REACH: Reach = Reach::Connection;
    type Params = NoParams;
    type Response = ();
}

/// Says all the protocol's methods, types and errors: an OpenRPC document.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Discover;

impl Method for Discover {
    const NAME: &'static str = "rpc.discover";
    const REACH: Reach = Reach::Connection;
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
    const REACH: Reach = Reach::Connection;
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
    /// Where the embedded emulator listens, if it runs: `unix:` and the path of its socket, or a URL on Windows.
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
    const REACH: Reach = Reach::Daemon;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_name_or_a_resource() {
        for bad in ["", "*", "/*", "ses*", "sessions/*/x", "a/**", "*/list", "a b", "ä"] {
            assert!(bad.parse::<MethodPattern>().is_err(), "{bad:?} was accepted");
        }
        for (pattern, method, matches) in [
            ("invoke", "invoke", true),
            ("invoke", "invoked", false),
            ("Invoke", "invoke", false),
            ("sessions/*", "sessions/list", true),
            ("sessions/*", "sessions/", false),
            ("sessions/*", "sessions", false),
            ("sessions/*", "sessionsX/list", false),
            ("sessions/list", "sessions/list/x", false),
        ] {
            assert_eq!(pattern.parse::<MethodPattern>().unwrap().matches(method), matches, "{pattern} {method}");
        }
    }

    #[test]
    fn a_binding_with_a_field_nobody_knows_is_refused() {
        let target = r#""target":{"kind":"emulator"}"#;
        assert!(serde_json::from_str::<Bind>(&format!("{{{target}}}")).is_ok());
        for other in [r#""isolations":{}"#, r#""until":5"#] {
            assert!(serde_json::from_str::<Bind>(&format!("{{{target},{other}}}")).is_err(), "{other}");
        }
    }
}
