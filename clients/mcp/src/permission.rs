//! The person decides: before a tool destroys data, the program is asked to ask the person, if it can. What an assistant writes into a
//! tool's arguments cannot answer.
//!
//! In the older era the server sends the question as a request of its own. In the newer one the question is the result of the call,
//! and the program calls again with the answer; the server remembers which question it asked, so that an answer counts once and only
//! for the call that it was asked about.

use crate::call::Refusal;
use crate::text;
use crate::tools::Tool;
use cupola_protocol::error::ErrorKind;
use rmcp::model::{
    ElicitRequest, ElicitRequestParams, ElicitResult, ElicitationAction, ElicitationSchema, InputRequest,
    InputRequests, InputRequiredResult, InputResponses, JsonObject, ProtocolVersion,
};
use rmcp::service::{RequestContext, RoleServer};
use serde_json::Value;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use uuid::Uuid;

/// Most questions that are remembered without an answer; the oldest is forgotten, and asked again when its call comes again.
const MAX_OPEN: usize = 64;
/// The name of the one question of a call.
const QUESTION: &str = "permission";

/// What came of it.
pub(crate) enum Permission {
    Given,
    Refused(Refusal),
    /// The program asks the person and calls again.
    Asked(InputRequiredResult),
}

/// Asks, and remembers what it asked.
#[derive(Debug, Default)]
pub(crate) struct Permissions {
    /// Handles of questions and their words, oldest first.
    open: Mutex<VecDeque<(String, String)>>,
}

impl Permissions {
    /// May this tool run with these arguments? `answers` and `handle` are what the program gave with the call.
    pub(crate) async fn ask(
        &self,
        tool: &Tool,
        agent: &str,
        arguments: &JsonObject,
        (answers, handle): (Option<InputResponses>, Option<String>),
        context: &RequestContext<RoleServer>,
    ) -> Permission {
        if !can_ask(context) {
            return Permission::Given;
        }
        let question = question(tool, agent, arguments);
        let params = ElicitRequestParams::FormElicitationParams {
            meta: None,
            message: question.clone(),
            requested_schema: ElicitationSchema::new(std::collections::BTreeMap::new()),
        };
        if context.protocol_version().is_none_or(|version| version < ProtocolVersion::V_2026_07_28) {
            let answer = tokio::select! {
                answer = context.peer.create_elicitation(params) => answer,
                () = context.ct.cancelled() => return refused("the call was cancelled"),
            };
            return answer.map_or_else(|error| refused(&error.to_string()), |answer| judge(&answer.action));
        }
        if let Some(handle) = handle
            && self.was_asked(&handle, &question)
        {
            let answer = answers.and_then(|mut answers| answers.remove(QUESTION));
            return match answer.map(serde_json::from_value::<ElicitResult>) {
                Some(Ok(answer)) => judge(&answer.action),
                _ => refused("the answer cannot be read"),
            };
        }
        let handle = self.remember(question);
        let requests =
            InputRequests::from([(QUESTION.to_owned(), InputRequest::Elicitation(ElicitRequest::new(params)))]);
        Permission::Asked(InputRequiredResult::new(Some(requests), Some(handle)))
    }

    fn remember(&self, question: String) -> String {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= MAX_OPEN {
            open.pop_front();
        }
        let handle = Uuid::new_v4().to_string();
        open.push_back((handle.clone(), question));
        handle
    }

    /// Was exactly this asked under this handle? It is forgotten then.
    fn was_asked(&self, handle: &str, question: &str) -> bool {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let place = open.iter().position(|(open, asked)| open == handle && asked == question);
        place.and_then(|place| open.remove(place)).is_some()
    }
}

/// Can the program show a question to the person?
fn can_ask(context: &RequestContext<RoleServer>) -> bool {
    let can = context.client_capabilities().and_then(|capabilities| capabilities.elicitation);
    // A program of an older revision does not say how it asks: by a form.
    can.is_some_and(|ways| ways.form.is_some() || ways.url.is_none())
}

/// Each argument on a line of its own, so that none can pass for another.
fn question(tool: &Tool, agent: &str, arguments: &JsonObject) -> String {
    let mut question = format!("Allow {} on the agent {}? {}", tool.name, text::line(agent), tool.description);
    for (name, value) in arguments {
        let shown = match value {
            Value::String(value) => text::line(value),
            other => text::line(&other.to_string()),
        };
        question.push_str(&["\n", &text::line(name), ": ", &shown].concat());
    }
    question
}

fn judge(action: &ElicitationAction) -> Permission {
    match action {
        ElicitationAction::Accept => Permission::Given,
        _ => refused("the person did not allow it"),
    }
}

fn refused(why: &str) -> Permission {
    Permission::Refused(Refusal::new(ErrorKind::Forbidden, format!("nothing was done: {why}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::ALL;
    use serde_json::json;

    #[test]
    fn a_question_is_answered_once_and_for_its_own_call() {
        let permissions = Permissions::default();
        let handle = permissions.remember("delete a?".to_owned());
        assert!(!permissions.was_asked("other", "delete a?"));
        assert!(!permissions.was_asked(&handle, "delete b?"));
        assert!(permissions.was_asked(&handle, "delete a?"));
        assert!(!permissions.was_asked(&handle, "delete a?"));
        let first = permissions.remember("first".to_owned());
        for _ in 0..MAX_OPEN {
            permissions.remember("more".to_owned());
        }
        assert!(!permissions.was_asked(&first, "first"));
    }

    #[test]
    fn a_question_shows_every_argument_on_its_own_line() {
        let tool = ALL.iter().find(|tool| tool.name == "files_delete").unwrap();
        let arguments = json!({"sessionId": "s-1", "path": "a\nrecursive: false", "recursive": true});
        let question = question(tool, "notes", arguments.as_object().unwrap());
        let lines: Vec<_> = question.lines().skip(1).collect();
        assert_eq!(lines, ["sessionId: s-1", "path: a\u{fffd}recursive: false", "recursive: true"]);
    }
}
