//! `monitor`: a session's log, its last lines or followed as it grows.

use crate::id::SessionId;
use crate::invoke::Notice;
use crate::isolation::Isolation;
use crate::observe::{ProgressOptions, SentRequest};
use crate::reach::{Reach, Subject};
use crate::target::{AgentName, Target};
use crate::{Invalid, Method};
use serde::{Deserialize, Serialize};

/// Reads a session's log.
///
/// Without `follow` it ends after the last lines. If the service does not answer, that is an error, never an empty
/// success. With `follow` it continues, reconnecting when necessary, until it is cancelled or the session is gone. Lines
/// that were sent are not sent again. Following needs a `partialResultToken`.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Monitor;

impl Method for Monitor {
    const NAME: &'static str = "monitor";
    const REACH: Reach = Reach::Agent;
    type Params = MonitorParams;
    type Response = MonitorResponse;

    fn subject(params: &MonitorParams) -> Subject<'_> {
        Subject {
            session_id: params.session_id.as_ref(),
            allow_shared_session: params.allow_shared_session,
            ..Subject::of(&params.target, &params.isolation)
        }
    }

    fn progress(params: &Self::Params) -> ProgressOptions {
        params.progress.clone()
    }
}

/// Which log, and how much of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct MonitorParams {
    /// Which agent.
    pub target: Target,
    /// Whose session.
    #[serde(default)]
    pub isolation: Isolation,
    /// Which session; the partition's current one when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionId>,
    /// Read a session that Cupola knows to belong to another partition.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_shared_session: bool,
    /// Keep sending lines as they are written.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub follow: bool,
    /// How many of the last lines to begin with.
    #[serde(default)]
    pub tail: Tail,
    /// Which log: the agent's console or the container's events.
    #[serde(default)]
    pub kind: LogKind,
    /// Send every event of the service as [`MonitorEvent::Raw`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub raw: bool,
    /// Events are sent with its token.
    #[serde(flatten)]
    pub progress: ProgressOptions,
}

/// The two logs of a session (contract section 6).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum LogKind {
    /// What the agent's container wrote.
    #[default]
    Console,
    /// What happened to the container.
    System,
}

/// How many of the last lines: 1 to 300, 50 when left out (contract section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(extend("minimum" = 1, "maximum" = Tail::MAX.0)))]
#[serde(try_from = "u64", into = "u16")]
pub struct Tail(u16);

impl Tail {
    /// The largest number the service returns.
    pub const MAX: Self = Self(300);

    /// The number.
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl Default for Tail {
    fn default() -> Self {
        Self(50)
    }
}

impl From<Tail> for u16 {
    fn from(tail: Tail) -> Self {
        tail.0
    }
}

impl TryFrom<u64> for Tail {
    type Error = Invalid;

    fn try_from(lines: u64) -> Result<Self, Invalid> {
        u16::try_from(lines)
            .ok()
            .filter(|lines| (1..=Self::MAX.0).contains(lines))
            .map(Self)
            .ok_or(Invalid { field: "tail", rule: "must be 1 to 300" })
    }
}

/// How it ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct MonitorResponse {
    /// The session whose log it is.
    pub session_id: SessionId,
    /// How many events of the service were passed on.
    pub count: u64,
    /// The events and notices, if no token was given to send them with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events: Option<Vec<MonitorEvent>>,
}

/// The value of one `$/progress` notification of a `monitor`. Receivers skip types they do not know. Times are RFC 3339,
/// as the service formats them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", tag = "type", rename_all_fields = "camelCase")]
pub enum MonitorEvent {
    /// An outgoing request, if `debug` was set. May come before `started`.
    Request(SentRequest),
    /// The first event: which session is read.
    Started {
        /// The session.
        session_id: SessionId,
        /// The agent's name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        agent: Option<AgentName>,
    },
    /// The session's status: the stream's preamble.
    Session {
        /// When it was reported.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        timestamp: Option<String>,
        /// For example `Running`.
        state: String,
        /// The agent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        agent: Option<String>,
        /// Its version.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<String>,
        /// When the session was last used.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        last_accessed: Option<String>,
    },
    /// One message of the log.
    Line {
        /// When it was written.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        timestamp: Option<String>,
        /// `stdout`, `stderr`, or `status` for the stream's own remarks; left out when the service does not say.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stream: Option<String>,
        /// The text; may hold line feeds and any other character.
        message: String,
    },
    /// Any other event of the service, verbatim; with `raw`, every event.
    Raw {
        /// The service's event name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// Its data.
        data: String,
    },
    /// Something the caller should know. Reading continues.
    Notice {
        /// What it is.
        #[serde(flatten)]
        notice: Notice,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_is_1_to_300_and_50_by_default() {
        let parse = |tail: &str| {
            let text = format!(r#"{{"target":{{"kind":"emulator"}},"tail":{tail}}}"#);
            serde_json::from_str::<MonitorParams>(&text).map(|params| params.tail.get())
        };
        for (text, expected) in [("1", Some(1)), ("300", Some(300)), ("0", None), ("301", None), ("-1", None)] {
            assert_eq!(parse(text).ok(), expected, "{text}");
        }
        assert!(parse("70000").unwrap_err().to_string().contains("tail must be 1 to 300"));
        let params: MonitorParams = serde_json::from_str(r#"{"target":{"kind":"emulator"}}"#).unwrap();
        assert_eq!((params.tail.get(), params.kind, params.follow), (50, LogKind::Console, false));
    }

    #[test]
    fn events_are_told_apart_by_type() {
        let line = MonitorEvent::Line { timestamp: None, stream: Some("stdout".to_owned()), message: "hi".to_owned() };
        let text = serde_json::to_string(&line).unwrap();
        assert_eq!(text, r#"{"type":"line","stream":"stdout","message":"hi"}"#);
    }
}
