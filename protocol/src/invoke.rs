//! `invoke`: one request to an agent, its events as they happen, and its answer.

use crate::Method;
use crate::error::{ErrorKind, Turn};
use crate::headers::{CallId, ClientHeaderName, ClientHeaderValue, TraceParent};
use crate::id::{ConversationId, ResponseId, RunId, SessionId};
use crate::isolation::{Isolation, IsolationModel};
use crate::latency::Latency;
use crate::observe::SentRequest;
use crate::reach::{Reach, Subject};
use crate::rpc::ProgressToken;
use crate::target::{AgentVersion, Target, VersionOverride};
use crate::warm::Warm;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

pub use crate::agent_protocol::AgentProtocol;
pub use crate::busy::{IfBusy, OnDisconnect};
pub use crate::notice::{Notice, NoticeCode};
pub use crate::observe::HttpHeader;
pub use crate::question::{Input, Question, QuestionKind};

/// Longest `input` of an `invoke`, in bytes. It is far above what any model reads at once, and a message holds it even when
/// JSON writes each of its characters in two. Larger data travels as a file.
pub const MAX_INPUT_BYTES: usize = 16 * 1024 * 1024;

/// Sends one input to an agent and waits for its answer.
///
/// With `partialResultToken`, events arrive as `$/progress` notifications before the response, which is complete in
/// itself. An answer that the agent ended as failed, incomplete or truncated is a response with that `status`, not an
/// error; an error means that no run took place or that the caller or its time limit ended it.
///
/// Other clients can follow the run and cancel it: see [`crate::runs`]. The run is cancelled when its last client leaves,
/// unless `detach` is set. Cancelling this call always cancels the run.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Invoke;

impl Method for Invoke {
    const NAME: &'static str = "invoke";
    const REACH: Reach = Reach::Agent;
    const IS_TURN: bool = true;
    type Params = InvokeParams;
    type Response = InvokeResponse;

    fn subject(params: &InvokeParams) -> Subject<'_> {
        Subject {
            session_id: params.session_id.as_ref(),
            conversation_id: params.conversation_id.as_ref(),
            allow_shared_session: params.allow_shared_session,
            is_whole_request: params.input_is_request || params.input.has_references(),
            response_id: params.previous_response_id.as_ref(),
            overrides_version: params.version_override.is_some(),
            ..Subject::of(&params.target, &params.isolation)
        }
    }

    fn hints(response: &mut InvokeResponse) -> Vec<&mut String> {
        response.failure.iter_mut().filter_map(|failure| failure.hint.as_mut()).collect()
    }
}

/// What to send and to whom.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "each is a separate field on the wire")]
pub struct InvokeParams {
    /// Which agent.
    pub target: Target,
    /// Whose state.
    #[serde(default)]
    pub isolation: Isolation,
    /// The text to send, at most 16 MiB. With [`AgentProtocol::Invocations`] it is the request's body, as JSON if it parses
    /// as JSON. With [`AgentProtocol::Responses`] it may be a list of input items, which also answers questions
    /// ([`Question`]): each approval must answer one that is open in this partition, and the first answer counts.
    pub input: Input,
    /// `input` is a complete request of the protocol and is sent unchanged. Applies to [`AgentProtocol::A2a`] only, whose
    /// requests are JSON-RPC. The request itself names the context, so `conversationId` is not allowed with it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub input_is_request: bool,
    /// Send each line of `input` as a separate message, one after the other; empty lines are skipped. Applies to
    /// [`AgentProtocol::InvocationsWs`] only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub message_per_line: bool,
    /// With [`AgentProtocol::InvocationsWs`]: the dialogue ends when the agent has sent something and is then silent for
    /// this long, in ms. The default is 10 s; with 0 only the agent ends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_timeout_ms: Option<u64>,
    /// The protocol to use. When left out, it is taken from the agent's definition: `responses` if the agent supports both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<AgentProtocol>,
    /// Use this session instead of the saved one, and save it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionId>,
    /// Start a session instead of using the saved one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub new_session: bool,
    /// Use this conversation instead of the saved one, and save it. With [`AgentProtocol::A2a`] it is the context, which is
    /// saved apart from the conversation of `responses`, once the agent has answered in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation_id: Option<ConversationId>,
    /// Start a conversation, or a context, instead of using the saved one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub new_conversation: bool,
    /// Continue from this response instead of a conversation: a branch, which the next call does not continue by itself. Applies to
    /// [`AgentProtocol::Responses`] only. Not with `conversationId` or `newConversation`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_response_id: Option<ResponseId>,
    /// Allow a session that Cupola knows to belong to another partition.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_shared_session: bool,
    /// Let this version of the agent answer, or the `latest`, whichever version the agent selects for its callers. The turn runs
    /// in a session and a conversation of its own, and nothing is saved. The call fails with `versionMismatch` if another version
    /// answers. Not with a target's `version`, `sessionId`, `conversationId`, [`AgentProtocol::A2a`] or a local agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_override: Option<VersionOverride>,
    /// Headers for the agent's own code. Not with [`AgentProtocol::A2a`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub client_headers: BTreeMap<ClientHeaderName, ClientHeaderValue>,
    /// The `x-agent-foundry-call-id` for a local agent; the service generates its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call_id: Option<CallId>,
    /// The caller's own span, as W3C Trace Context writes it. The daemon's span of this run becomes its child, and the agent's spans join
    /// the same trace. Not used when the daemon's telemetry is off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<TraceParent>,
    /// Send the service's answer unmodified, as `httpHead` and `httpBody` events, in place of `textDelta`, `snapshot` and
    /// `output`. This includes refusals, which come before the call's error.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub raw: bool,
    /// Send each outgoing request as a `request` event.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub debug: bool,
    /// Leave out `output` events, for clients that show only the text. Their event numbers are then missing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub text_only: bool,
    /// Keep running after the client leaves, even with no client attached. A client that stays still gets the response
    /// last.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub detach: bool,
    /// Let the run outlive the daemon, too: it runs in the service's background mode, and the next daemon continues it. `detach`
    /// asks for this as well. Whether the run can is in its `started` event: only `responses`, and `invocations` that the agent
    /// accepts with 202, can. Not with `raw`, and not with the embedded emulator, which ends with the daemon.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub survive: bool,
    /// What to do when another call is using the session: wait for it, unless something else is chosen.
    #[serde(default, skip_serializing_if = "is_queue")]
    pub if_busy: IfBusy,
    /// What becomes of the run when its last client leaves. The default is `cancel`; `detach` means `keep`, and is not allowed with
    /// `cancel`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_disconnect: Option<OnDisconnect>,
    /// Keep the session ready for the next turn. Experimental.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warm: Option<Warm>,
    /// Give up after this long, in ms; the default is 30 min, 0 means never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// Send events as `$/progress` with this token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partial_result_token: Option<ProgressToken>,
}

impl InvokeParams {
    /// A turn in the partition's saved session and conversation, with defaults for everything else.
    pub fn new(target: Target, isolation: Isolation, input: impl Into<Input>) -> Self {
        Self {
            target,
            isolation,
            input: input.into(),
            input_is_request: false,
            protocol: None,
            session_id: None,
            new_session: false,
            conversation_id: None,
            new_conversation: false,
            previous_response_id: None,
            allow_shared_session: false,
            version_override: None,
            client_headers: BTreeMap::new(),
            call_id: None,
            traceparent: None,
            raw: false,
            debug: false,
            text_only: false,
            detach: false,
            survive: false,
            if_busy: IfBusy::Queue,
            on_disconnect: None,
            warm: None,
            message_per_line: false,
            idle_timeout_ms: None,
            timeout_ms: None,
            partial_result_token: None,
        }
    }

    /// Does the run continue without a client?
    pub fn is_kept(&self) -> bool {
        self.detach || self.on_disconnect == Some(OnDisconnect::Keep)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_queue(if_busy: &IfBusy) -> bool {
    *if_busy == IfBusy::Queue
}

impl std::fmt::Debug for InvokeParams {
    /// Leaves the input out: prompts do not belong in logs.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("InvokeParams")
            .field("target", &self.target)
            .field("isolation", &self.isolation)
            .field("input_bytes", &self.input.len())
            .field("session_id", &self.session_id)
            .field("conversation_id", &self.conversation_id)
            .finish_non_exhaustive()
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum RunStatus {
    /// The agent finished its answer.
    Completed,
    /// The agent or the service failed after the run had begun.
    Failed,
    /// The agent stopped early, for example at a token limit.
    Incomplete,
    /// It was cancelled, by a client or at the service.
    Cancelled,
    /// The stream ended without reporting how the run ended.
    Truncated,
}

/// The whole answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct InvokeResponse {
    /// The run's id in this daemon.
    pub run_id: RunId,
    /// How it ended.
    pub status: RunStatus,
    /// The answer's text: all text of the response in order, or the invocation's text.
    pub text: String,
    /// The session that answered, now saved for the partition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionId>,
    /// The conversation this turn belongs to, now saved for the partition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation_id: Option<ConversationId>,
    /// The response's or the invocation's id at the service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_id: Option<ResponseId>,
    /// How the target isolates its users.
    pub isolation_model: IsolationModel,
    /// The version of the agent that answered, if the service says which.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_version: Option<AgentVersion>,
    /// How long the parts of the call took, if the service measured it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
    /// The service's request id, for its support.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The service's final object (a response, or an invocation's JSON), verbatim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Box<RawValue>>,
    /// Why it did not complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<RunFailure>,
    /// What the agent asks the person; it waits for the answers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub questions: Vec<Question>,
    /// What the caller should know about how the call was carried out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<Notice>,
    /// From the request's arrival to the ending, in ms.
    pub duration_ms: u64,
}

/// Why a run did not complete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct RunFailure {
    /// The kind of failure.
    pub kind: ErrorKind,
    /// What happened, for people.
    pub message: String,
    /// The service's or the agent's own code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_code: Option<String>,
    /// Whether the turn ran. Never `notRun`: the service had accepted it. A daemon older than this field leaves it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn: Option<Turn>,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// The value of one `$/progress` notification of an `invoke`.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "InvokeEvent"))]
#[serde(rename_all = "camelCase")]
pub struct NumberedEvent {
    /// The run's id.
    pub run_id: RunId,
    /// Rises within a run, by 1 unless the run was to survive the daemon; a client that asked for `textOnly` does not see every
    /// number. A `gap` and the `snapshot` after it have the number of the last event they stand for. In a run that was to survive,
    /// an event keeps its number whichever daemon reads it from the service, and numbers are skipped. What the daemon itself says there
    /// (`notice`, `request`) has the number of the event before it, 0 at first, and is not repeated.
    pub number: u64,
    /// What happened.
    #[serde(flatten)]
    pub event: InvokeEvent,
}

impl<'de> Deserialize<'de> for NumberedEvent {
    /// Reads the event's own fields a second time: verbatim data cannot pass through serde's flattening.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Head {
            run_id: RunId,
            number: u64,
            r#type: String,
        }
        #[derive(Deserialize)]
        struct Output {
            name: String,
            data: Box<RawValue>,
        }
        let text = Box::<RawValue>::deserialize(deserializer)?;
        let head: Head = serde_json::from_str(text.get()).map_err(D::Error::custom)?;
        let event = if head.r#type == "output" {
            let Output { name, data } = serde_json::from_str(text.get()).map_err(D::Error::custom)?;
            InvokeEvent::Output { name, data }
        } else {
            serde_json::from_str(text.get()).map_err(D::Error::custom)?
        };
        Ok(Self { run_id: head.run_id, number: head.number, event })
    }
}

/// What happens during a run. There is exactly one ending, and it is the last event. Receivers skip types they do not know.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", tag = "type", rename_all_fields = "camelCase")]
pub enum InvokeEvent {
    /// The service accepted the request; the session id is saved.
    Started {
        /// The session that answers.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        session_id: Option<SessionId>,
        /// The conversation of this turn.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        conversation_id: Option<ConversationId>,
        /// How the target isolates its users.
        isolation_model: IsolationModel,
        /// The version of the agent that answers, if the service says which.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        agent_version: Option<AgentVersion>,
        /// The version that the agent selects for new sessions, if another one answers: a session stays at the version that it
        /// was created with.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        selected_version: Option<AgentVersion>,
        /// How long the parts of the call took up to here, if the service measured it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        latency: Option<Box<Latency>>,
        /// The service's request id.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request_id: Option<String>,
        /// The run outlives the daemon: if the daemon ends, the next one continues it under the same id.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        survives: bool,
    },
    /// An outgoing request, if `debug` was set. May come before `started`.
    Request(SentRequest),
    /// The start of an answer, if `raw` was set. A second one belongs to the final answer of a long-running invocation.
    HttpHead {
        /// For example `HTTP/1.1 200 OK`.
        status_line: String,
        /// The headers, in the order of their arrival.
        headers: Vec<HttpHeader>,
    },
    /// The next bytes of that answer's body.
    HttpBody {
        /// The bytes, if they are UTF-8.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text: Option<String>,
        /// The bytes in base64, if they are not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        base64: Option<String>,
    },
    /// More text of the answer.
    TextDelta {
        /// The text, to be appended.
        delta: String,
    },
    /// The agent asks the person. The run ends after it; `invoke` answers it.
    Question {
        /// What is asked.
        question: Box<Question>,
    },
    /// Any other event of the service, verbatim.
    Output {
        /// The service's event name.
        name: String,
        /// Its data, verbatim; a JSON string if it was not JSON.
        data: Box<RawValue>,
    },
    /// Something the caller should know. The run continues.
    Notice {
        /// What it is.
        #[serde(flatten)]
        notice: Notice,
    },
    /// Events are missing here; the next snapshot or the response is complete again.
    Gap {
        /// The last event number before the gap.
        after: u64,
    },
    /// The run restarted at the service, or events were lost: replace all text so far with this.
    Snapshot {
        /// The whole text up to now.
        text: String,
    },
    /// Ending: the agent finished its answer.
    Completed {},
    /// Ending: the agent or the service failed.
    Failed {
        /// Why.
        failure: RunFailure,
    },
    /// Ending: the agent stopped early.
    Incomplete {
        /// The service's reason, for example `max_output_tokens`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// Ending: the run was cancelled.
    Cancelled {},
    /// Ending: the stream ended without reporting how the run ended.
    Truncated {
        /// The reason, as far as it is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
}

impl InvokeEvent {
    /// How the run ended, if this is its ending.
    pub const fn ending(&self) -> Option<RunStatus> {
        match self {
            Self::Completed {} => Some(RunStatus::Completed),
            Self::Failed { .. } => Some(RunStatus::Failed),
            Self::Incomplete { .. } => Some(RunStatus::Incomplete),
            Self::Cancelled {} => Some(RunStatus::Cancelled),
            Self::Truncated { .. } => Some(RunStatus::Truncated),
            _ => None,
        }
    }

    /// Why the run did not complete, if this is an ending other than success.
    pub fn failure(&self) -> Option<RunFailure> {
        let because = |what: &str, reason: &Option<String>| match reason {
            Some(reason) => format!("{what}: {reason}"),
            None => what.to_owned(),
        };
        let (kind, message, turn) = match self {
            Self::Failed { failure } => return Some(failure.clone()),
            Self::Incomplete { reason } => {
                (ErrorKind::AgentFailed, because("the agent stopped before its answer was complete", reason), Turn::Ran)
            }
            Self::Cancelled {} => {
                (ErrorKind::Cancelled, "the service reports the run as cancelled".to_owned(), Turn::Ran)
            }
            Self::Truncated { reason } => {
                // Not a connection failure: that kind promises that trying again is safe.
                (ErrorKind::ServiceError, because("the answer was cut off", reason), Turn::MayHaveRun)
            }
            _ => return None,
        };
        Some(RunFailure { kind, message, service_code: None, turn: Some(turn), hint: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_told_apart_by_type_beside_their_number() {
        let event = NumberedEvent {
            run_id: "run-1".parse().unwrap(),
            number: 3,
            event: InvokeEvent::TextDelta { delta: "hel".to_owned() },
        };
        assert_eq!(
            serde_json::to_string(&event).unwrap(),
            r#"{"runId":"run-1","number":3,"type":"textDelta","delta":"hel"}"#
        );
    }

    #[test]
    fn every_event_can_be_read_back_and_verbatim_data_stays_as_it_was() {
        for text in [
            r#"{"runId":"run-1","number":1,"type":"started","sessionId":"session-1","isolationModel":"keys"}"#,
            r#"{"runId":"run-1","number":2,"type":"output","name":"response.created","data":{"b": 1.0, "a": [ ]}}"#,
            r#"{"runId":"run-1","number":3,"type":"notice","code":"retried","message":"again"}"#,
            r#"{"runId":"run-1","number":4,"type":"completed"}"#,
        ] {
            let event: NumberedEvent = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&event).unwrap(), text);
        }
    }

    #[test]
    fn every_ending_but_success_has_a_reason_and_says_that_the_turn_is_not_to_be_repeated() {
        let because = Some("the line broke".to_owned());
        assert!(InvokeEvent::Completed {}.failure().is_none());
        for (event, message, turn) in [
            (InvokeEvent::Truncated { reason: None }, "the answer was cut off", Turn::MayHaveRun),
            (
                InvokeEvent::Truncated { reason: because.clone() },
                "the answer was cut off: the line broke",
                Turn::MayHaveRun,
            ),
            (
                InvokeEvent::Incomplete { reason: because },
                "the agent stopped before its answer was complete: the line broke",
                Turn::Ran,
            ),
            (InvokeEvent::Cancelled {}, "the service reports the run as cancelled", Turn::Ran),
        ] {
            let failure = event.failure().unwrap();
            assert_eq!((failure.message.as_str(), failure.turn), (message, Some(turn)), "{event:?}");
        }
    }

    #[test]
    fn the_prompt_is_not_in_the_debug_output() {
        let params: InvokeParams =
            serde_json::from_str(r#"{"target":{"kind":"emulator"},"input":"my secret plan"}"#).unwrap();
        assert!(!format!("{params:?}").contains("secret"));
    }
}
