//! `run_show`, `run_cancel`: a run by its id.

use super::answer::{Failure, word};
use crate::call::{Call, Reply};
use crate::refusal::Refusal;
use crate::text::{MAX_TEXT, Text, UNTRUSTED};
use cupola_protocol::runs::{Attach, Cancel, RunInfo, RunState, Show};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Which run.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Arguments {
    /// The run's id.
    run_id: String,
}

/// A run.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Shown {
    untrusted: &'static str,
    /// Its id.
    run_id: String,
    /// Running, or how it ended: completed, failed, incomplete, cancelled or truncated.
    status: String,
    /// The session that answers, once that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<String>,
    /// The conversation, once that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    conversation_id: Option<String>,
    /// When it began, RFC 3339.
    started_at: String,
    /// When it ended, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<String>,
    /// The answer, if the run has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<Text>,
    /// Why the answer is not complete.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<Failure>,
}

pub(crate) async fn show(mut call: Call) -> Result<Reply, Refusal> {
    let Arguments { run_id } = call.arguments()?;
    let mut run = Shown::of(call.ask::<Show>(json!({"runId": run_id})).await?);
    if run.ended_at.is_some() {
        // What has ended is answered at once.
        match call.ask::<Attach>(json!({"runId": run_id, "textOnly": true})).await {
            Ok(answer) => {
                run.answer = Some(Text::of(&answer.text, MAX_TEXT));
                run.failure = answer.failure.as_ref().map(Failure::of);
            }
            // It could not begin.
            Err(refusal) => {
                run.failure = Some(Failure { kind: word(&refusal.kind), message: refusal.words(), advice: None });
            }
        }
    }
    Reply::of(&run)
}

pub(crate) async fn cancel(mut call: Call) -> Result<Reply, Refusal> {
    let Arguments { run_id } = call.arguments()?;
    Reply::of(&Shown::of(call.ask::<Cancel>(json!({"runId": run_id})).await?))
}

impl Shown {
    fn of(run: RunInfo) -> Self {
        let ended_at = run.ended_at.filter(|_| run.status != RunState::Running);
        Self {
            untrusted: UNTRUSTED,
            run_id: run.run_id.to_string(),
            status: word(&run.status),
            session_id: run.session_id.as_ref().map(ToString::to_string),
            conversation_id: run.conversation_id.as_ref().map(ToString::to_string),
            started_at: run.started_at,
            ended_at,
            answer: None,
            failure: None,
        }
    }
}
