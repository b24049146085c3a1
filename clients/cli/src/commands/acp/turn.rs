//! A turn: the prompt goes to the agent, what happens is told to the editor, and the ending becomes a reason to stop or an error.

use super::calls::Calls;
use super::editor::Editor;
use super::items::Item;
use super::session::Session;
use super::teller::Teller;
use super::{problem, questions};
use crate::line::bound::Beside;
use crate::line::stop::Stop;
use agent_client_protocol_schema::v1::{Error, Meta, PromptResponse, StopReason};
use cupola_protocol::invoke::{Input, Invoke, InvokeParams, InvokeResponse, NumberedEvent, RunStatus};
use cupola_protocol::rpc::ProgressToken;
use serde_json::{Value, json};
use std::sync::Arc;

/// The progress of the one call on a connection.
const TOKEN: ProgressToken = ProgressToken::Number(1);

/// A prompt under way.
pub(super) struct Turn<'a> {
    pub(super) calls: &'a Calls,
    pub(super) editor: &'a Editor,
    pub(super) session: &'a Session,
    pub(super) stop: &'a Arc<Stop>,
    pub(super) debug: bool,
}

impl Turn<'_> {
    /// Sends a prompt and waits for its ending. What the agent asks on the way is asked in the editor, and the answers are sent. `beside`
    /// goes with the prompt, and has ended as well when it has.
    pub(super) fn take(&self, text: &str, mut beside: Option<Beside>) -> Result<PromptResponse, Error> {
        let mut input = Input::from(text);
        loop {
            if self.stop.is_wanted() {
                return Ok(PromptResponse::new(StopReason::Cancelled));
            }
            let answer = self.run(input, beside.take())?;
            let Some(answer) = answer else { return Ok(PromptResponse::new(StopReason::Cancelled)) };
            match questions::answers(self.editor, self.session, self.stop, &answer.questions) {
                Some(items) => input = Input::Items(items),
                None if self.stop.is_wanted() => return Ok(PromptResponse::new(StopReason::Cancelled)),
                None => return ending(&answer),
            }
        }
    }

    /// One run, told as it happens. None if it was cancelled.
    fn run(&self, input: Input, beside: Option<Beside>) -> Result<Option<InvokeResponse>, Error> {
        let Self { editor, session, stop, .. } = self;
        let scope = session.chosen();
        let mut params = InvokeParams::new(scope.target.clone(), scope.isolation.clone(), input);
        params.debug = self.debug;
        params.partial_result_token = Some(TOKEN);
        let mut teller = Teller::new(editor.takes_notices());
        let answer = self.calls.stream::<Invoke>(&scope, params, beside, stop, |event, ahead| {
            // An event of a newer daemon may have a type that this program does not know.
            if let Ok(event) = serde_json::from_str::<NumberedEvent>(event.get()) {
                for update in teller.event(&event) {
                    editor.update_after(&session.id, update, || ahead.begin());
                }
            }
        });
        let updates = match &answer {
            Ok(answer) => teller.end(answer),
            Err(_) => teller.settle(false),
        };
        for update in updates {
            editor.update(&session.id, update);
        }
        match answer {
            Ok(answer) => Ok(Some(answer)),
            Err(failure) if stop.is_wanted() || problem::is_cancelled(&failure) => Ok(None),
            Err(failure) => Err(problem::of(&failure)),
        }
    }
}

/// How a run ended, as a reason to stop; what is cut or failed is an error.
fn ending(answer: &InvokeResponse) -> Result<PromptResponse, Error> {
    let output: Value =
        answer.output.as_ref().and_then(|output| serde_json::from_str(output.get()).ok()).unwrap_or_default();
    let reason = output.get("incomplete_details").and_then(|details| details.get("reason")).and_then(Value::as_str);
    let reason = match (answer.status, reason) {
        (RunStatus::Completed, _) if is_refusal(&output) => StopReason::Refusal,
        (RunStatus::Completed, _) => StopReason::EndTurn,
        (RunStatus::Cancelled, _) => StopReason::Cancelled,
        (RunStatus::Incomplete, Some("max_output_tokens" | "max_prompt_tokens")) => StopReason::MaxTokens,
        (RunStatus::Incomplete, Some("content_filter")) => StopReason::Refusal,
        (RunStatus::Incomplete | RunStatus::Failed | RunStatus::Truncated, _) => {
            return Err(answer.failure.as_ref().map_or_else(Error::internal_error, problem::of_run));
        }
    };
    let mut about = json!({"runId": answer.run_id});
    if let Some(usage) = output.get("usage").filter(|usage| !usage.is_null()) {
        about["usage"] = usage.clone();
    }
    let meta: Meta = [("cupola".to_owned(), about)].into_iter().collect();
    Ok(PromptResponse::new(reason).meta(meta))
}

/// Does the agent say nothing but that it will not do it?
fn is_refusal(output: &Value) -> bool {
    let items = output.get("output").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut words = items.iter().filter_map(|item| match Item::of(item) {
        Item::Agent { is_refusal, .. } => Some(is_refusal),
        _ => None,
    });
    words.next().is_some_and(|first| first && words.all(|other| other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_ending_is_a_reason_to_stop_or_an_error_with_data() {
        let refusal = json!({"output": [{"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}]});
        let incomplete = |reason: &str| json!({"incomplete_details": {"reason": reason}});
        for (status, output, expected) in [
            ("completed", json!({}), Ok("end_turn")),
            ("completed", refusal, Ok("refusal")),
            ("incomplete", incomplete("max_output_tokens"), Ok("max_tokens")),
            ("incomplete", incomplete("content_filter"), Ok("refusal")),
            ("incomplete", incomplete("the moon"), Err("agentFailed")),
            ("cancelled", json!({}), Ok("cancelled")),
            ("failed", json!({}), Err("agentFailed")),
            ("truncated", json!({}), Err("agentFailed")),
        ] {
            let answer = json!({"runId": "run-1", "status": status, "text": "", "isolationModel": "keys", "durationMs": 1,
                "output": output, "failure": {"kind": "agentFailed", "message": "it broke", "turn": "ran"}});
            let answer: InvokeResponse = serde_json::from_value(answer).unwrap();
            match (ending(&answer), expected) {
                (Ok(response), Ok(reason)) => assert_eq!(json!(response)["stopReason"], reason, "{status}"),
                (Err(error), Err(kind)) => assert_eq!(json!(error)["data"]["kind"], kind, "{status}"),
                (found, _) => panic!("{status}: {found:?}"),
            }
        }
    }
}
