//! `agent_invoke`: a message to the agent, and what it asks on the way.

use super::answer::result;
use super::approvals::{self, Next, decided};
use super::tasks::{self, Outcome};
use crate::call::{Call, Reply};
use crate::person::{Heard, Paused};
use crate::refusal::Refusal;
use cupola_protocol::error::ErrorKind;
use cupola_protocol::invoke::{Invoke, InvokeResponse};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

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
        Some((answers, Some(paused))) => decided(*paused, &answers),
        _ => Next::Send(params),
    };
    loop {
        let answer = match next {
            Next::Stay(answer) => return result(&call.agent.name, &answer).map(Reply::Result),
            Next::Send(params) if tasks::are_known(&call.context) => match tasks::run(&call, params).await? {
                Outcome::Ended(answer) => *answer,
                Outcome::Continues(task) => return Ok(Reply::Task(*task)),
            },
            Next::Send(params) => call.ask_and_tell::<Invoke>(params).await?,
        };
        let asked = approvals::for_person(&answer.questions, &call.context);
        if asked.is_empty() {
            return result(&call.agent.name, &answer).map(Reply::Result);
        }
        let questions = asked.iter().enumerate().map(|(place, question)| approvals::put(place, question)).collect();
        // The service's own object is not shown, and may be large.
        let paused = Box::new(Paused { asked, answer: InvokeResponse { output: None, ..answer } });
        next = match call.person.ask(questions, Some(paused), &call.context).await? {
            Heard::Later(asks) => return Ok(Reply::Asks(asks)),
            Heard::Answers(answers, Some(paused)) => decided(*paused, &answers),
            Heard::Answers(_, None) => {
                return Err(Refusal::new(ErrorKind::InternalError, "the answer is lost".to_owned()));
            }
        };
    }
}
