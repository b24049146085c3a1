//! Notices: what a caller should know although the call continues.

use serde::{Deserialize, Serialize};

/// Something the caller should know. The call continues.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Notice {
    /// A stable code.
    pub code: NoticeCode,
    /// For people.
    pub message: String,
}

/// All kinds of notices. Receivers show the message of a kind they do not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum NoticeCode {
    /// The saved session was gone and has been replaced; its files are gone with it.
    SessionReplaced,
    /// The saved conversation was gone and has been replaced.
    ConversationReplaced,
    /// Isolation keys were mapped onto the agent's newer model.
    IsolationMapped,
    /// The request was sent again after the service said "not now".
    Retried,
    /// Isolation was requested, but nothing enforces it: local agents do not isolate.
    IsolationNotEnforced,
    /// The local agent does not listen yet; the call waits for it to start.
    WaitingForAgent,
    /// The agent's version is still being deployed; the call waits for it.
    WaitingForVersion,
    /// Other calls are using the session, or wait for it; this one waits for its turn.
    Queued,
    /// Another call is using the session, and this one was sent without waiting for it.
    SentWhileBusy,
    /// The agent took the message into the turn that is running. The reply is in that turn's answer.
    Delivered,
    /// A parameter has no effect for this target.
    Ignored,
    /// The connection to a log broke; it is being opened again.
    Disconnected,
    /// The connection to a log is restored.
    Reconnected,
    /// Lines of a log may be missing here.
    Gap,
    /// An event of the answer could not be read, and some of the text may be missing.
    TextMissing,
    /// The session has no sandbox, so it has no log at the moment.
    NoSandbox,
    /// The log exists but has no lines.
    NoLines,
    /// The session is gone, and its log with it.
    SessionGone,
    /// The agent left a dialogue open, which was then closed for it.
    DialogueIdle,
    /// The agent's sessions lose their files when they go idle.
    FilesNotKept,
    /// A question of the agent is being answered: which tool is allowed or refused, and with which arguments.
    Answering,
    /// A question of the agent could not be saved, so it cannot be answered.
    QuestionNotSaved,
    /// Any other code, added by a newer daemon.
    #[serde(other)]
    Other,
}
