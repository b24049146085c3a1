//! An agent's answer as a model reads it.

use super::approvals;
use crate::call::structured;
use crate::refusal::Refusal;
use crate::text::{self, MAX_TEXT, Text, UNTRUSTED};
use cupola_protocol::invoke::{InvokeResponse, RunFailure, RunStatus};
use cupola_protocol::wording::Client;
use rmcp::model::CallToolResult;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

/// The agent's answer.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Answer {
    pub(crate) untrusted: &'static str,
    /// The agent that answered.
    pub(crate) agent: String,
    /// The run's id, for `run_show`.
    pub(crate) run_id: String,
    /// How it ended: completed, failed, incomplete, cancelled or truncated.
    pub(crate) status: String,
    /// What the agent said.
    #[serde(flatten)]
    pub(crate) text: Text,
    /// The session that answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) session_id: Option<String>,
    /// The conversation that was continued.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) conversation_id: Option<String>,
    /// Why the answer is not complete.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) failure: Option<Failure>,
    /// What else happened.
    pub(crate) notices: Vec<String>,
    /// What the agent waits for. Only the person can answer it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) waits_for: Vec<String>,
}

/// Why an answer is not complete.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Failure {
    /// The kind, in one word.
    pub(crate) kind: String,
    /// What happened.
    pub(crate) message: String,
    /// What to do next.
    #[serde(rename = "hint", skip_serializing_if = "Option::is_none")]
    pub(crate) advice: Option<String>,
}

/// What the tool gives back: the agent's answer, and whether the agent failed.
pub(crate) fn result(agent: &str, answer: &InvokeResponse) -> Result<CallToolResult, Refusal> {
    let is_failure = answer.status != RunStatus::Completed && answer.questions.is_empty();
    structured(&Answer::new(agent, answer), is_failure)
}

impl Answer {
    fn new(agent: &str, answer: &InvokeResponse) -> Self {
        Self {
            untrusted: UNTRUSTED,
            agent: agent.to_owned(),
            run_id: answer.run_id.to_string(),
            status: word(&answer.status),
            text: Text::of(&answer.text, MAX_TEXT),
            session_id: answer.session_id.as_ref().map(ToString::to_string),
            conversation_id: answer.conversation_id.as_ref().map(ToString::to_string),
            failure: answer.failure.as_ref().map(Failure::of),
            notices: answer.notices.iter().map(|notice| text::line(&notice.message)).collect(),
            waits_for: answer.questions.iter().map(approvals::unanswered).collect(),
        }
    }
}

impl Failure {
    pub(crate) fn of(failure: &RunFailure) -> Self {
        let advice = failure.hint.as_deref().map(|advice| text::short(&Client::Mcp.word(advice)));
        Self { kind: word(&failure.kind), message: text::short(&failure.message), advice }
    }
}

/// The name that a value has in the protocol.
pub(crate) fn word(value: &impl Serialize) -> String {
    serde_json::to_value(value).as_ref().ok().and_then(Value::as_str).unwrap_or("unknown").to_owned()
}
