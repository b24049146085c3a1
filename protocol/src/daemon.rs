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

/// Opens a connection: the client identifies itself, and the daemon answers with its capabilities, at once and from
/// static data. Optional: without it, the defaults apply.
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
    /// The client program. Hints for the clients that belong to Cupola are in their own words; for others they name flags and commands
    /// of the command line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_info: Option<ProgramInfo>,
    /// The major protocol versions the client supports; any when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol_versions: Option<Vec<u32>>,
    /// Binds this connection to one agent and one isolation, permanently.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bind: Option<Bind>,
}

/// What a connection is bound to. From the next message on, calls reach this agent under this isolation and nothing else:
/// they may leave `target` and `isolation` out, or repeat them; anything else is refused as `outOfBounds`. A connection is
/// bound once, before its first call, and never loosened. If binding fails, the connection refuses every call.
///
/// A session or conversation can be named, and is listed, if Cupola knows that it belongs to this isolation. For one
/// that was created elsewhere, call `sessions/use` on an unbound connection first. Everything else gets the same answer,
/// whether it exists or not.
///
/// Binding keeps a program from reaching anything it was not given. It is not a security boundary against unconfined
/// programs of the same operating-system user: they can open their own connections.
///
/// A bound connection reads and writes no files of this machine: `files/read` and `files/write` carry the bytes instead.
/// `files/upload` and `files/download` work only if `methods` names them and `files` names a directory, and then below
/// that directory alone. No link is followed there, and files that trust depends on (configuration, saved state, credentials,
/// certificates, the log, the socket) stay out of reach, whatever path or hard link leads to them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
// An unknown field may be meant to narrow the binding: to ignore it would give more than was asked for.
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Bind {
    /// The only agent. A directory is resolved once, when the connection is bound.
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
    /// must exist, and is opened once, when the connection is bound.
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
            // The remaining prefix ends with the slash.
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

/// The daemon's identity and capabilities.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct InitializeResponse {
    /// The major protocol version of this connection.
    pub protocol_version: u32,
    /// The daemon.
    pub server_info: ProgramInfo,
    /// The daemon's process id.
    pub process_id: u32,
    /// Its capabilities.
    pub capabilities: Capabilities,
    /// Whether this connection is bound.
    #[serde(default)]
    pub bound: bool,
}

/// The daemon's capabilities.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Capabilities {
    /// Every method that may be called on this connection.
    pub methods: Vec<String>,
    /// The framings the socket accepts: `lsp`, `ndjson`, `http`.
    pub framings: Vec<String>,
    /// Whether a newer daemon can take over from this one: `daemon/stop` with `drain`. A service manager's socket stays where it is.
    #[serde(default)]
    pub hand_over: bool,
}

/// LSP's `shutdown`: this client is finished. The daemon keeps running.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Shutdown;

impl Method for Shutdown {
    const NAME: &'static str = "shutdown";
    const REACH: Reach = Reach::Connection;
    type Params = NoParams;
    type Response = ();
}

/// Describes all methods, types and errors of the protocol as an OpenRPC document.
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

/// Stops the daemon when all runs have ended, or at once with `force`.
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
    /// Do not wait for active runs.
    pub force: bool,
    /// Leave the runs that survive to the next daemon at once: their clients get `shuttingDown` and continue there with `runs/attach`. The
    /// others are waited for, and finished answers stay available until somebody has had them.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub drain: bool,
    /// End the runs that are still active after this long, in ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
}

/// The daemon is stopping.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "DaemonStopResponse"))]
#[serde(rename_all = "camelCase")]
pub struct StopResponse {
    /// The number of runs it waits for, or ends with `force`.
    pub runs: u64,
    /// The number of answers of detached runs that nobody has read. Without `force` it keeps them for at most ten minutes. An older
    /// daemon leaves this out.
    #[serde(default)]
    pub unread_answers: u64,
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
    fn a_binding_with_an_unknown_field_is_refused() {
        let target = r#""target":{"kind":"emulator"}"#;
        assert!(serde_json::from_str::<Bind>(&format!("{{{target}}}")).is_ok());
        for other in [r#""isolations":{}"#, r#""until":5"#] {
            assert!(serde_json::from_str::<Bind>(&format!("{{{target},{other}}}")).is_err(), "{other}");
        }
    }
}
