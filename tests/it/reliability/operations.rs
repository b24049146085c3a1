//! The operations: how each is called, and which of its requests a fault strikes.

use http::Method;
use serde_json::{Value, json};
use std::fmt;
use std::path::Path;

/// What every turn says. Characters of two and three bytes show whether any is cut in half.
pub(super) const INPUT: &str = "größer ☂";

/// What the agent answers to it.
pub(super) const ANSWER: &str = "echo: größer ☂";

/// The file that file operations use, and what is in it: more than a fault lets pass before it cuts.
pub(super) const FILE: &str = "note.txt";
pub(super) const TEXT: &str = "A line of a file that is long enough to be cut.\n";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Responses,
    Invocations,
    InvocationsWs,
    A2a,
    CreateSession,
    ShowSession,
    ListSessions,
    StopSession,
    DeleteSession,
    Upload,
    Download,
    ListFiles,
    MakeDirectory,
    DeleteFile,
    Monitor,
}

impl Operation {
    pub(super) const ALL: [Self; 15] = [
        Self::Responses,
        Self::Invocations,
        Self::InvocationsWs,
        Self::A2a,
        Self::CreateSession,
        Self::ShowSession,
        Self::ListSessions,
        Self::StopSession,
        Self::DeleteSession,
        Self::Upload,
        Self::Download,
        Self::ListFiles,
        Self::MakeDirectory,
        Self::DeleteFile,
        Self::Monitor,
    ];

    pub(super) const fn is_turn(self) -> bool {
        matches!(self, Self::Responses | Self::Invocations | Self::InvocationsWs | Self::A2a)
    }

    /// Does the answer come as a stream of events?
    pub(super) const fn is_streamed(self) -> bool {
        matches!(self, Self::Responses | Self::A2a)
    }

    pub(super) const fn method(self) -> &'static str {
        match self {
            Self::Responses | Self::Invocations | Self::InvocationsWs | Self::A2a => "invoke",
            Self::CreateSession => "sessions/create",
            Self::ShowSession => "sessions/show",
            Self::ListSessions => "sessions/list",
            Self::StopSession => "sessions/stop",
            Self::DeleteSession => "sessions/delete",
            Self::Upload => "files/upload",
            Self::Download => "files/download",
            Self::ListFiles => "files/list",
            Self::MakeDirectory => "files/mkdir",
            Self::DeleteFile => "files/delete",
            Self::Monitor => "monitor",
        }
    }

    /// The parameters of the call that makes a session, a conversation or a context which can be continued.
    pub(super) fn preparation(self) -> Value {
        match self {
            Self::Invocations | Self::A2a => json!({"input": INPUT, "protocol": self.protocol()}),
            _ => json!({"input": INPUT}),
        }
    }

    /// The parameters of the call itself. `local` is a file of this machine with some text.
    pub(super) fn params(self, session: &str, local: &Path) -> Value {
        match self {
            Self::Responses | Self::Invocations | Self::InvocationsWs | Self::A2a => {
                json!({"input": INPUT, "protocol": self.protocol()})
            }
            Self::StopSession | Self::DeleteSession => json!({"sessionId": session}),
            Self::Upload | Self::Download => json!({"path": FILE, "localPath": local}),
            Self::CreateSession | Self::ShowSession | Self::ListSessions | Self::ListFiles | Self::Monitor => json!({}),
            Self::MakeDirectory => json!({"path": "folder"}),
            Self::DeleteFile => json!({"path": FILE}),
        }
    }

    const fn protocol(self) -> &'static str {
        match self {
            Self::Invocations => "invocations",
            Self::InvocationsWs => "invocationsWs",
            Self::A2a => "a2a",
            _ => "responses",
        }
    }

    /// Is this request the one that the operation is about? The path begins after the agent's name, and after `endpoint/`.
    pub(super) fn is_about(self, method: &Method, path: &str) -> bool {
        let rest = path.strip_prefix("sessions/").unwrap_or_default();
        match self {
            Self::Responses => method == Method::POST && path == "protocols/openai/responses",
            Self::Invocations => method == Method::POST && path == "protocols/invocations",
            Self::InvocationsWs => path == "protocols/invocations_ws",
            Self::A2a => method == Method::POST && path == "protocols/a2a",
            Self::CreateSession => method == Method::POST && path == "sessions",
            Self::ListSessions => method == Method::GET && path == "sessions",
            Self::ShowSession => method == Method::GET && !rest.is_empty() && !rest.contains(['/', ':']),
            Self::StopSession => method == Method::POST && rest.ends_with(":stop"),
            Self::DeleteSession => method == Method::DELETE && !rest.is_empty() && !rest.contains('/'),
            Self::Upload => method == Method::PUT && rest.ends_with("/files/content"),
            Self::Download => method == Method::GET && rest.ends_with("/files/content"),
            Self::ListFiles => method == Method::GET && rest.ends_with("/files"),
            Self::MakeDirectory => method == Method::POST && rest.contains("/files/"),
            Self::DeleteFile => method == Method::DELETE && rest.contains("/files"),
            Self::Monitor => method == Method::GET && rest.ends_with(":logstream"),
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Responses => "`invoke`, responses",
            Self::Invocations => "`invoke`, invocations",
            Self::InvocationsWs => "`invoke`, invocations_ws",
            Self::A2a => "`invoke`, a2a",
            Self::CreateSession => "`sessions create`",
            Self::ShowSession => "`sessions show`",
            Self::ListSessions => "`sessions list`",
            Self::StopSession => "`sessions stop`",
            Self::DeleteSession => "`sessions delete`",
            Self::Upload => "`files upload`",
            Self::Download => "`files download`",
            Self::ListFiles => "`files list`",
            Self::MakeDirectory => "`files mkdir`",
            Self::DeleteFile => "`files delete`",
            Self::Monitor => "`monitor`",
        })
    }
}
