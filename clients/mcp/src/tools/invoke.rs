//! `agent_invoke`: a message to the agent, and its answer.

use super::approvals::{self, Next, decided};
use super::tasks::{self, Outcome};
use crate::call::{Call, Reply, structured};
use crate::person::{Heard, Paused};
use crate::refusal::Refusal;
use crate::text::{self, MAX_TEXT, Text, UNTRUSTED};
use cupola_protocol::error::ErrorKind;
use cupola_protocol::invoke::{Invoke, InvokeResponse, RunFailure, RunStatus};
use rmcp::model::CallToolResult;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What to say to the agent, and where.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Arguments {
    /// What to say to the agent.
    message: String,
    /// The session to use; the current one when left out.
    #[serde(default)]
    session_id: Option<String>,
    /// The conversation to continue; the current one when left out.
    #[serde(default)]
    conversation_id: Option<String>,
    /// Start a new session, with an empty home directory.
    #[serde(default)]
    new_session: bool,
    /// Start a new conversation, without memory of the current one.
    #[serde(default)]
    new_conversation: bool,
}

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

pub(crate) async fn invoke(mut call: Call) -> Result<Reply, Refusal> {
    let arguments: Arguments = call.arguments()?;
    let mut params = json!({
        "input": arguments.message,
        "newSession": arguments.new_session,
        "newConversation": arguments.new_conversation,
        "textOnly": true,
    });
    for (name, id) in [("sessionId", arguments.session_id), ("conversationId", arguments.conversation_id)] {
        if let Some(id) = id {
            params[name] = json!(id);
        }
    }
    // A call that comes with the person's answers continues where the earlier one stopped; its message is not sent again.
    let mut next = match call.person.answered() {
        Some((answers, Some(paused))) => decided(paused, &answers),
        _ => Next::Send(params),
    };
    loop {
        let answer = match next {
            Next::Stay(answer) => return result(&call.agent.name, &answer).map(Reply::Result),
            Next::Send(params) if tasks::are_known(&call.context) => match tasks::run(&call, params).await? {
                Outcome::Ended(answer) => *answer,
                Outcome::Continues(task) => return Ok(Reply::Task(task)),
            },
            Next::Send(params) => call.ask_and_tell::<Invoke>(params).await?,
        };
        let asked = approvals::for_person(&answer.questions, &call.context);
        if asked.is_empty() {
            return result(&call.agent.name, &answer).map(Reply::Result);
        }
        let questions = asked.iter().enumerate().map(|(place, question)| approvals::put(place, question)).collect();
        // The service's own object is not shown, and may be large.
        let paused = Paused { asked, answer: InvokeResponse { output: None, ..answer } };
        next = match call.person.ask(questions, Some(paused), &call.context).await? {
            Heard::Later(asks) => return Ok(Reply::Asks(asks)),
            Heard::Answers(answers, Some(paused)) => decided(paused, &answers),
            Heard::Answers(_, None) => {
                return Err(Refusal::new(ErrorKind::InternalError, "the answer is lost".to_owned()));
            }
        };
    }
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
        let advice = failure.hint.as_deref().map(text::short);
        Self { kind: word(&failure.kind), message: text::short(&failure.message), advice }
    }
}

/// The name that a value has in the protocol.
pub(crate) fn word(value: &impl Serialize) -> String {
    serde_json::to_value(value).as_ref().ok().and_then(Value::as_str).unwrap_or("unknown").to_owned()
}
