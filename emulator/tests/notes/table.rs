//! Which captures there are, what happens before each, and how much of its answer must be the same.

/// What happens before a capture's own request. `Begin` and the like give the response the id of the capture.
pub(crate) enum Step {
    /// Creates a response and reads its answer.
    Create(&'static str),
    /// Creates a background response and does not wait for it.
    Begin(&'static str),
    /// The same, with headers.
    BeginAs(&'static [(&'static str, &'static str)], &'static str),
    /// Creates a response, reads this many events of it, and drops the connection.
    Drop(&'static str, usize),
    /// Creates a long-running invocation of this many seconds.
    Job(f32),
    Cancel,
    Delete,
    /// Waits until everything has ended.
    Settle,
}

/// How much of an answer must be the same.
#[derive(Clone, Copy)]
pub(crate) enum Compare {
    /// The body's text.
    All,
    /// The body without the texts in it, as the agent behind the capture words them differently.
    WithoutTexts,
    /// Keep-alive comments count once, as the capture's server sent more than one per interval.
    CommentsOnce,
    /// Not the body, for this reason.
    Head(&'static str),
    /// Nothing, for this reason.
    Nothing(&'static str),
}

use Compare::{All, CommentsOnce, Head, Nothing, WithoutTexts};
use Step::{Begin, BeginAs, Cancel, Create, Delete, Drop, Job, Settle};

/// A capture's name, what happens before, and what is compared.
pub(crate) type Row = (&'static str, &'static [Step], Compare);

const SLOW: &str = r#"{"input": "slow 20", "background": true}"#;
const SLOW_STREAM: &str = r#"{"input": "slow 12", "background": true, "stream": true}"#;
const FOREGROUND: &str = r#"{"input": "slow 12", "stream": true}"#;
const STREAMED: &str = r#"{"input": "stream one two three", "background": true, "stream": true}"#;
const HELLO: &str = r#"{"input": "hello there"}"#;
const FAILS: &str = r#"{"input": "late-error", "background": true}"#;
const ALICE: &[(&str, &str)] = &[("x-agent-user-id", "alice")];
const ALICE_SLOW: Step = BeginAs(ALICE, r#"{"input": "slow 8", "background": true}"#);

#[rustfmt::skip]
pub(crate) const RESPONSES: &[Row] = &[
    ("background-cancel", &[Begin(SLOW)], All),
    ("background-cancel-again", &[Begin(SLOW), Cancel], All),
    ("background-cancel-completed", &[Begin(r#"{"input": "hi", "background": true}"#), Settle], All),
    ("background-cancel-failed", &[Begin(FAILS), Settle], All),
    ("background-cancel-incomplete", &[Begin(r#"{"input": "incomplete", "background": true}"#), Settle], All),
    ("background-create", &[], All),
    ("background-delete-in-flight", &[Begin(SLOW)], All),
    ("background-early-error", &[], All),
    ("background-get-cancelled", &[Begin(SLOW), Cancel], All),
    ("background-get-completed", &[Begin(r#"{"input": "slow 4", "background": true}"#), Settle], All),
    ("background-get-failed", &[Begin(FAILS), Settle], All),
    ("background-get-in-progress", &[Begin(SLOW)], All),
    ("background-get-stream-refused", &[Begin(SLOW)], All),
    ("background-store-false", &[], All),
    ("background-stream-cancel-1-stream-side", &[Begin(SLOW_STREAM)], All),
    ("background-stream-cancel-2-cancel-call", &[Begin(SLOW_STREAM)], All),
    ("background-stream-cancel-3-get", &[Begin(SLOW_STREAM), Cancel], All),
    ("background-stream-create", &[], All),
    ("background-stream-drop-1-first-connection", &[], All),
    ("background-stream-drop-2-get-json", &[Drop(SLOW_STREAM, 10)], All),
    ("background-stream-drop-3-reconnect", &[Drop(SLOW_STREAM, 10)], All),
    ("background-stream-get-json", &[Create(STREAMED)], All),
    ("background-stream-get-replay-all", &[Create(STREAMED)], All),
    ("background-stream-get-starting-after", &[Create(STREAMED)], All),
    ("background-stream-get-starting-after-bad", &[Create(STREAMED)], All),
    ("background-stream-get-starting-after-beyond", &[Create(STREAMED)], All),
    ("background-stream-get-starting-after-last", &[Create(STREAMED)], All),
    ("background-stream-get-starting-after-negative", &[Create(STREAMED)], All),
    ("bad-conversation-and-previous", &[], All),
    ("bad-empty-body", &[], All),
    ("bad-input-type", &[], All),
    ("bad-json", &[], All),
    ("bad-metadata", &[], All),
    ("bad-missing-input", &[], All),
    ("bad-not-object", &[], All),
    ("bad-previous-response-id", &[], All),
    ("bad-session-id", &[], All),
    ("bad-stream-options", &[], All),
    ("bad-stream-type", &[], All),
    ("cancel-not-found", &[], All),
    ("cancel-sync-response", &[Create(HELLO)], All),
    ("conversations-not-served", &[], All),
    ("create-stream", &[], All),
    ("create-stream-early-error", &[], All),
    ("create-stream-failed", &[], All),
    ("create-stream-incomplete", &[], All),
    ("create-stream-late-error", &[], All),
    ("create-stream-reasoning", &[], All),
    ("create-stream-tool", &[], All),
    ("create-sync", &[], All),
    ("create-sync-azd-local-body", &[], WithoutTexts),
    ("create-sync-conversation-same-session", &[], All),
    ("create-sync-early-error", &[], All),
    ("create-sync-failed", &[], All),
    ("create-sync-incomplete", &[], All),
    ("create-sync-input-items", &[], All),
    ("create-sync-late-error", &[], All),
    ("create-sync-previous-response", &[Create(HELLO)], All),
    ("create-sync-previous-response-unknown", &[], All),
    ("create-sync-response-id-header", &[], All),
    ("create-sync-tool", &[], All),
    ("create-sync-with-session", &[], WithoutTexts),
    ("delete", &[Create(HELLO)], All),
    ("delete-again", &[Create(HELLO), Delete], All),
    ("foreground-stream-drop-1", &[], All),
    ("foreground-stream-drop-2-get", &[Drop(FOREGROUND, 8)], All),
    ("foreground-stream-drop-3-get-later", &[Drop(FOREGROUND, 8), Settle], All),
    ("get", &[Create(HELLO)], All),
    ("get-after-delete", &[Create(HELLO), Delete], All),
    ("get-malformed-id", &[], All),
    ("get-not-found", &[], All),
    ("get-stream-of-foreground", &[Create(r#"{"input": "stream alpha", "stream": true}"#)], All),
    ("get-stream-of-non-stream", &[Create(HELLO)], All),
    ("input-items", &[Create(HELLO)], All),
    ("input-items-after-delete", &[Create(HELLO), Delete], All),
    ("input-items-bad-limit", &[Create(HELLO)], All),
    ("input-items-not-found", &[], All),
    ("method-not-allowed", &[], All),
    ("openai-prefix-not-served", &[], All),
    ("readiness", &[], All),
    ("route-not-found", &[], All),
    ("store-false", &[], All),
    ("store-false-get", &[Create(r#"{"input": "hi", "store": false}"#)], All),
    ("user-match-get", &[ALICE_SLOW], All),
    ("user-mismatch-cancel", &[ALICE_SLOW], All),
    ("user-mismatch-get", &[ALICE_SLOW], All),
    ("user-mismatch-get-after-completion", &[ALICE_SLOW, Settle], All),
    ("user-mismatch-no-header", &[ALICE_SLOW], All),
];

const OTHER_TURN: &str = r#"{"input": "slow 9", "background": true, "conversation": "conv_1"}"#;

#[rustfmt::skip]
pub(crate) const VARIANTS: &[Row] = &[
    ("concurrent-default-background", &[Begin(OTHER_TURN)], All),
    ("concurrent-default-foreground", &[Begin(OTHER_TURN)], All),
    ("env-session-body-wins", &[], All),
    ("env-session-get", &[Create(r#"{"input": "hi", "agent_session_id": "sess-from-body"}"#)], All),
    ("env-session-sync", &[], All),
    ("keepalive-stream", &[], CommentsOnce),
    ("crash-1-create-stream", &[], Nothing(OTHER_OPTIONS)),
    ("crash-2-reconnect", &[], Nothing(OTHER_OPTIONS)),
    ("crash-3-get", &[], Nothing(OTHER_OPTIONS)),
    ("crash-4-replay-all", &[], Nothing(OTHER_OPTIONS)),
    ("locked-1-first-turn", &[], Nothing(OTHER_OPTIONS)),
    ("locked-2-second-turn", &[], Nothing(OTHER_OPTIONS)),
    ("locked-3-second-turn-foreground", &[], Nothing(OTHER_OPTIONS)),
    ("steer-1-first-turn", &[], Nothing(OTHER_OPTIONS)),
    ("steer-2-second-turn", &[], Nothing(OTHER_OPTIONS)),
    ("steer-3-second-turn-get", &[], Nothing(OTHER_OPTIONS)),
    ("steer-4-third-turn-stream", &[], Nothing(OTHER_OPTIONS)),
    ("steer-5-second-turn-get-later", &[], Nothing(OTHER_OPTIONS)),
    ("steer-6-fork", &[], Nothing(OTHER_OPTIONS)),
];

const OTHER_OPTIONS: &str =
    "steering, locks and recovery are options the notes agent does not have; clients are read with them";

const NO_HANDLERS: &str = "an agent without handlers; the notes agent has them";

#[rustfmt::skip]
pub(crate) const INVOCATIONS: &[Row] = &[
    ("agent-400", &[], All),
    ("asyncapi-none", &[], All),
    ("bare-cancel-404", &[], Nothing(NO_HANDLERS)),
    ("bare-get-404", &[], Nothing(NO_HANDLERS)),
    ("bare-invoke-501", &[], Nothing(NO_HANDLERS)),
    ("bare-openapi-404", &[], Nothing(NO_HANDLERS)),
    ("bare-ws-upgrade", &[], Nothing(NO_HANDLERS)),
    ("crash-500", &[], All),
    ("get-unknown", &[], All),
    ("identity-headers", &[], All),
    ("lro-1-accepted", &[], All),
    ("lro-2-poll-running", &[Job(1.5)], All),
    ("lro-3-poll-completed", &[Job(1.5), Settle], All),
    ("lro-4-accepted", &[], All),
    ("lro-5-cancel", &[Job(30.0)], All),
    ("lro-6-poll-cancelled", &[Job(30.0), Cancel], All),
    ("method-not-allowed", &[], All),
    ("openapi", &[], Head("each agent has its own document")),
    ("readiness", &[], All),
    ("sse", &[], All),
    ("sse-crash", &[], All),
    ("sse-error-frame", &[], All),
    ("sse-keepalive", &[], All),
    ("sse-openai-style", &[], All),
    ("sync-bad-ids", &[], All),
    ("sync-invocation-id-header", &[], All),
    ("sync-json", &[], All),
    ("sync-json-no-session", &[], All),
    ("sync-session-in-header-ignored", &[], All),
    ("sync-text", &[], All),
    ("ws-upgrade", &[], All),
];

const CHAT: Step = BeginAs(&[("x-agent-user-isolation-key", "alice"), ("x-agent-chat-isolation-key", "chat-1")], SLOW);
const OLD_OBJECT: &str = "the old server's response object has other keys; the new one's is given for both";
const OLD_AGENT: &str = "the agent behind the capture reports the keys in its own words";

#[rustfmt::skip]
pub(crate) const PROTOCOL_1: &[Row] = &[
    ("background-create", &[], Head(OLD_OBJECT)),
    ("cancel-right-keys", &[CHAT], Head(OLD_OBJECT)),
    ("cancel-wrong-chat-key", &[CHAT], All),
    ("delete-wrong-chat-key", &[CHAT], All),
    ("get-no-keys", &[CHAT], All),
    ("get-wrong-chat-key", &[CHAT], All),
    ("get-wrong-user-key", &[CHAT], Head(OLD_OBJECT)),
    ("input-items-wrong-chat-key", &[CHAT], All),
    ("invocations-keys", &[], Head(OLD_AGENT)),
    ("invocations-no-keys", &[], Head(OLD_AGENT)),
    ("readiness", &[], All),
    ("responses-empty-keys", &[], Head(OLD_OBJECT)),
    ("responses-keys", &[], Head(OLD_OBJECT)),
    ("responses-no-keys", &[], Head(OLD_OBJECT)),
];
