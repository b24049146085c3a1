//! Tools for the protocol's conformance suite, which asks for tools of certain names. They are offered beside the usual ones by the same
//! server, in `clients/mcp/examples/conformance.rs` and nowhere else; `tests/real/test_mcp_conformance.py` runs the suite.

use crate::call::{Call, Reply};
use crate::person::{Answer, Heard, Question, Way, undone};
use crate::refusal::Refusal;
use crate::tools::{Effect, Running, Tool, input, output};
use cupola_protocol::error::ErrorKind;
use rmcp::model::{ContentBlock, ElicitationSchema, ProgressNotificationParam};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The suite's tools.
pub(crate) const TOOLS: &[Tool] = &[
    tool("test_simple_text", |_| Box::pin(async { Ok(text("This is a simple text response for testing.")) })),
    tool("test_error_handling", |_| Box::pin(async { Err(failure()) })),
    tool("test_tool_with_progress", |call| Box::pin(tells(call))),
    Tool { input: input::<Message>, ..tool("test_elicitation", |call| Box::pin(asks(call, "user"))) },
    tool("test_input_required_result_elicitation", |call| Box::pin(asks(call, "user_name"))),
    tool("test_input_required_result_request_state", |call| Box::pin(asks(call, "confirm"))),
    tool("test_input_required_result_tampered_state", |call| Box::pin(asks(call, "confirm"))),
];

const fn tool(name: &'static str, run: fn(Call) -> Running) -> Tool {
    Tool {
        name,
        title: name,
        description: "A tool of the conformance suite.",
        effect: Effect::Reads,
        has_agent: false,
        methods: &[],
        input: input::<Nothing>,
        output: output::<Anything>,
        run,
    }
}

/// No arguments.
#[derive(Deserialize, JsonSchema)]
struct Nothing {}

/// A message for the person.
#[derive(Deserialize, JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct Message {
    /// The message.
    message: String,
}

/// Any result.
#[derive(Serialize, JsonSchema)]
struct Anything {}

fn text(text: &str) -> Reply {
    Reply::content(vec![ContentBlock::text(text)])
}

fn failure() -> Refusal {
    Refusal::new(ErrorKind::AgentFailed, "This tool intentionally returns an error for testing".to_owned())
}

async fn tells(call: Call) -> Result<Reply, Refusal> {
    if let Some(token) = call.context.meta.get_progress_token() {
        for done in [0.0, 50.0, 100.0] {
            let progress = ProgressNotificationParam::new(token.clone(), done).with_total(100.0);
            let _ = call.context.peer.notify_progress(progress).await;
        }
    }
    Ok(text("done"))
}

async fn asks(mut call: Call, name: &str) -> Result<Reply, Refusal> {
    let answers = if let Some((answers, _)) = call.person.answered() {
        answers
    } else {
        match call.person.ask(vec![question(name)?], None, &call.context).await? {
            Heard::Answers(answers, _) => answers,
            Heard::Later(asks) => return Ok(Reply::Asks(asks)),
        }
    };
    match answers.first() {
        Some(Answer::Accepted(content)) => Ok(text(&format!("Answer: {}", content.clone().unwrap_or(Value::Null)))),
        Some(Answer::Declined) => Ok(text("Answer: declined")),
        Some(Answer::Open) | None => Err(undone(ErrorKind::Forbidden, "the person did not answer")),
    }
}

fn question(name: &str) -> Result<Question, Refusal> {
    let schema = json!({"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]});
    let schema: ElicitationSchema =
        serde_json::from_value(schema).map_err(|error| Refusal::new(ErrorKind::InternalError, error.to_string()))?;
    Ok(Question { name: name.to_owned(), message: "What is your name?".to_owned(), way: Way::Form(schema) })
}
