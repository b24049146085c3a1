//! Every kind of failure a call can have: its number, its name, and whether trying again can help.

use crate::notice::Notice;
use serde::{Deserialize, Serialize};

/// Declares the kinds once: variant, wire name, JSON-RPC code, retryable.
macro_rules! error_kinds {
    ($( $(#[$meta:meta])* $variant:ident = $code:literal, $name:literal, retryable $retryable:literal; )*) => {
        /// What went wrong, in one word that scripts can match on (`error.data.kind`).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        pub enum ErrorKind {
            $( $(#[$meta])* #[serde(rename = $name)] $variant, )*
        }

        impl ErrorKind {
            /// Every kind, in the order of this file.
            pub const ALL: &'static [Self] = &[$( Self::$variant, )*];

            /// The JSON-RPC error code.
            pub const fn code(self) -> i32 {
                match self { $( Self::$variant => $code, )* }
            }

            /// The stable name.
            pub const fn name(self) -> &'static str {
                match self { $( Self::$variant => $name, )* }
            }

            /// Can the same call succeed later without the caller changing anything?
            pub const fn retryable(self) -> bool {
                match self { $( Self::$variant => $retryable, )* }
            }
        }
    };
}

// JSON-RPC reserves -32768 to -32000 and LSP -32899 to -32800; ours are small and positive, clear of both. Numbers are
// part of the protocol: never reuse one.
error_kinds! {
    /// The message was not valid JSON.
    ParseError = -32700, "parseError", retryable false;
    /// The JSON was not a JSON-RPC request.
    InvalidRequest = -32600, "invalidRequest", retryable false;
    /// No such method.
    MethodNotFound = -32601, "methodNotFound", retryable false;
    /// A parameter is missing or breaks its rule.
    InvalidParams = -32602, "invalidParams", retryable false;
    /// A defect in the daemon.
    InternalError = -32603, "internalError", retryable false;
    /// The call was cancelled by its caller.
    Cancelled = -32800, "cancelled", retryable false;

    /// No credential gave a token, or the service refused the token.
    AuthenticationFailed = 1001, "authenticationFailed", retryable false;
    /// The service refused the call, for a reason that no other kind covers.
    Forbidden = 1002, "forbidden", retryable false;
    /// `x-ms-user-identity` needs a permission the caller does not have.
    ImpersonationNotPermitted = 1003, "impersonationNotPermitted", retryable false;
    /// The agent requires isolation keys, but none were given.
    IsolationKeyRequired = 1004, "isolationKeyRequired", retryable false;
    /// The session exists, but not for this isolation.
    IsolationMismatch = 1005, "isolationMismatch", retryable false;
    /// Cupola knows that the session belongs to another partition, and refused without asking the service.
    ForeignSession = 1006, "foreignSession", retryable false;
    /// The session belongs to another ownership key.
    NotSessionOwner = 1007, "notSessionOwner", retryable false;
    /// The agent's protocol version does not support the isolation that was given.
    IsolationNotSupported = 1008, "isolationNotSupported", retryable false;
    /// The session is one of a pool, which several users share: the call would reach what is not the caller's alone.
    PooledSession = 1009, "pooledSession", retryable false;

    /// No such session for this caller.
    SessionNotFound = 1020, "sessionNotFound", retryable false;
    /// No such agent or version.
    AgentNotFound = 1021, "agentNotFound", retryable false;
    /// No such response, conversation, run or other resource.
    NotFound = 1022, "notFound", retryable false;
    /// The resource's current state does not allow the call.
    Conflict = 1023, "conflict", retryable false;
    /// Another turn is running in this conversation.
    ConversationLocked = 1024, "conversationLocked", retryable true;
    /// The service rejected a field of the request.
    BadRequest = 1025, "badRequest", retryable false;

    /// The sandbox did not become ready in time.
    SessionNotReady = 1040, "sessionNotReady", retryable true;
    /// The sandbox was idle and did not resume.
    SandboxIdle = 1041, "sandboxIdle", retryable true;
    /// The gateway gave up waiting for the agent; the turn may have run.
    ProxyTimeout = 1042, "proxyTimeout", retryable false;
    /// The agent's version is still being deployed.
    AgentVersionNotReady = 1043, "agentVersionNotReady", retryable true;
    /// The agent's version could not be deployed.
    AgentVersionFailed = 1044, "agentVersionFailed", retryable false;
    /// Too many sessions for the project or the region.
    QuotaExceeded = 1045, "quotaExceeded", retryable true;
    /// Too many requests.
    RateLimited = 1046, "rateLimited", retryable true;
    /// The service is not available now.
    ServiceUnavailable = 1047, "serviceUnavailable", retryable true;
    /// The service failed.
    ServiceError = 1048, "serviceError", retryable false;
    /// The service's answer could not be understood.
    UnexpectedAnswer = 1049, "unexpectedAnswer", retryable false;
    /// No connection to the service.
    ConnectionFailed = 1050, "connectionFailed", retryable true;
    /// The call's own time limit passed.
    TimedOut = 1051, "timedOut", retryable true;
    /// The host's certificate was refused. Nothing was sent; the hint says which setting helps.
    CertificateNotTrusted = 1053, "certificateNotTrusted", retryable false;
    /// Another version of the agent answered than the one that was asked for. The turn ran there.
    VersionMismatch = 1054, "versionMismatch", retryable false;
    /// The agent itself failed.
    AgentFailed = 1052, "agentFailed", retryable false;

    /// Tokens may not be sent to the endpoint's host.
    HostNotAllowed = 1060, "hostNotAllowed", retryable false;
    /// The connection is bound to something else.
    OutOfBounds = 1061, "outOfBounds", retryable false;
    /// Too many requests at once on this connection, or too many runs in the daemon.
    Overloaded = 1062, "overloaded", retryable true;
    /// Another call has been using the session for too long.
    Busy = 1063, "busy", retryable true;
    /// The daemon is stopping.
    ShuttingDown = 1064, "shuttingDown", retryable true;
    /// Saved state could not be read or written.
    StateUnavailable = 1065, "stateUnavailable", retryable false;
    /// The emulator could not be started.
    EmulatorFailed = 1066, "emulatorFailed", retryable false;
    /// A setting of the configuration file, or a file it names, cannot be used.
    ConfigurationInvalid = 1068, "configurationInvalid", retryable false;
    /// This client took nothing of what it was sent, so its connection ends; `lastEvents` says how far it got.
    ClientStalled = 1069, "clientStalled", retryable false;
    /// The daemon went away before it answered. Reported by clients that keep running, such as `cupola attach`.
    DaemonGone = 1067, "daemonGone", retryable true;

    /// The project has several agents and none was chosen; `choices` lists them.
    AgentNotChosen = 1080, "agentNotChosen", retryable false;
    /// The project does not say which agent, or where it is.
    ProjectNotResolved = 1081, "projectNotResolved", retryable false;
    /// A file of the project, or of azd, cannot be read or understood, or it belongs to another user.
    ProjectFileInvalid = 1082, "projectFileInvalid", retryable false;

    /// The file is larger than the service accepts.
    FileTooLarge = 1090, "fileTooLarge", retryable false;
    /// A file on this machine cannot be read or written.
    LocalFile = 1091, "localFile", retryable false;
    /// The service does not have this operation.
    NotOffered = 1092, "notOffered", retryable false;
}

/// Whether a failed turn ran. The value tells a program what to do: send it again, find out, or leave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum Turn {
    /// It did not run, and that is certain: it was not sent, or what refused it says so. Sending it again is safe.
    NotRun,
    /// It may have run, in part or to its end. Find out before you send it again.
    MayHaveRun,
    /// The agent ran it. The failure is how the turn ended or, as `isolationMismatch`, that it ran under another isolation than the
    /// call's.
    Ran,
}

impl Turn {
    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotRun => "notRun",
            Self::MayHaveRun => "mayHaveRun",
            Self::Ran => "ran",
        }
    }
}

/// `error.data` of every error the daemon sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ErrorData {
    /// What went wrong, in one word.
    pub kind: ErrorKind,
    /// Can the same call succeed later? If the call is a turn, only when the turn did not run.
    pub retryable: bool,
    /// Whether the turn ran. With every error of `invoke`, and only there; a daemon older than this field leaves it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn: Option<Turn>,
    /// When to try again, in ms, if the service said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// The service's HTTP status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_status: Option<u16>,
    /// The service's own code: `x-adc-response-details`, else `error.code`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_code: Option<String>,
    /// The service's request id, for its support.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The values to choose from, if one must be named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<String>,
    /// The run, if it had begun before the failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<crate::id::RunId>,
    /// With `clientStalled`: the last event that the client was sent of each run it followed on the connection.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub last_events: Vec<LastEvent>,
    /// What the caller should know about the call up to the failure, for example that a saved session was replaced.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<Notice>,
}

/// How far a client got in a run: `runs/attach` continues after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct LastEvent {
    /// The run.
    pub run_id: crate::id::RunId,
    /// The event's number.
    pub number: u64,
}

impl ErrorData {
    /// The data of a kind, with nothing else known.
    pub const fn new(kind: ErrorKind) -> Self {
        Self {
            kind,
            retryable: kind.retryable(),
            turn: None,
            retry_after_ms: None,
            http_status: None,
            service_code: None,
            request_id: None,
            hint: None,
            choices: Vec::new(),
            run_id: None,
            last_events: Vec::new(),
            notices: Vec::new(),
        }
    }

    /// Says whether the turn ran. Only one that did not run can be sent again.
    pub fn set_turn(&mut self, turn: Turn) {
        self.turn = Some(turn);
        self.judge();
    }

    /// Changes the kind. A turn that may have run stays one that is not sent again.
    pub fn set_kind(&mut self, kind: ErrorKind) {
        self.kind = kind;
        self.judge();
    }

    fn judge(&mut self) {
        self.retryable = self.kind.retryable() && matches!(self.turn, None | Some(Turn::NotRun));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn codes_and_names_are_unique_and_clear_of_reserved_ranges() {
        let codes: HashSet<i32> = ErrorKind::ALL.iter().map(|kind| kind.code()).collect();
        let names: HashSet<&str> = ErrorKind::ALL.iter().map(|kind| kind.name()).collect();
        assert_eq!(codes.len(), ErrorKind::ALL.len());
        assert_eq!(names.len(), ErrorKind::ALL.len());
        for kind in ErrorKind::ALL {
            let standard = matches!(kind.code(), -32700 | -32603..=-32600 | -32800);
            assert!(standard || (1000..2000).contains(&kind.code()), "{kind:?}");
        }
    }

    #[test]
    fn only_a_turn_that_did_not_run_can_be_retried() {
        for kind in ErrorKind::ALL {
            for turn in [Turn::NotRun, Turn::MayHaveRun, Turn::Ran] {
                let mut data = ErrorData::new(*kind);
                data.set_turn(turn);
                assert_eq!(data.retryable, kind.retryable() && turn == Turn::NotRun, "{kind:?} {turn:?}");
                data.set_kind(ErrorKind::TimedOut);
                assert_eq!(data.retryable, turn == Turn::NotRun, "a new kind of {turn:?}");
                assert_eq!(serde_json::to_value(turn).unwrap(), turn.name());
            }
            assert_eq!(ErrorData::new(*kind).retryable, kind.retryable(), "no turn at all");
        }
    }

    #[test]
    fn a_kind_travels_by_its_name() {
        for kind in ErrorKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
    }
}
