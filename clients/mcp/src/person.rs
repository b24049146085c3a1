//! The person decides: before a tool destroys data, and when an agent asks for an approval, the program is asked to ask the person, if
//! it can. What a model writes into a tool's arguments cannot answer.
//!
//! In the older era the server sends each question as a request of its own. In the newer one the questions are the result of the call,
//! and the program calls again with the answers; the server remembers what it asked, so that an answer counts once and only for the
//! call that it was asked about.

use crate::refusal::Refusal;
use cupola_protocol::error::ErrorKind;
use cupola_protocol::invoke::InvokeResponse;
use cupola_protocol::question::Question as AgentQuestion;
use rmcp::model::{
    ElicitRequest, ElicitRequestParams, ElicitResult, ElicitationAction, ElicitationSchema, InputRequest,
    InputRequiredResult, InputResponses, ProtocolVersion,
};
use rmcp::service::{RequestContext, RoleServer};
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use uuid::Uuid;

/// Most calls that are remembered while they wait for answers; the oldest is forgotten, and asks again when it comes again.
const MAX_OPEN: usize = 64;

/// A question.
#[derive(Debug)]
pub(crate) struct Question {
    /// Its name among the questions of a call.
    pub(crate) name: String,
    /// What the person reads.
    pub(crate) message: String,
    /// What the person does: answers by filling in a form, or opens a link.
    pub(crate) way: Way,
}

/// How a question is answered.
#[derive(Debug)]
pub(crate) enum Way {
    Form(ElicitationSchema),
    Link(String),
}

/// What the person answered.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Answer {
    /// With what was filled in.
    Accepted(Option<Value>),
    Declined,
    /// The person left the question open, or the answer cannot be read.
    Open,
}

/// What came of asking.
pub(crate) enum Heard {
    /// An answer for each question, in their order, and what waited for them.
    Answers(Vec<Answer>, Option<Box<Paused>>),
    /// The program asks the person and calls again.
    Later(InputRequiredResult),
}

/// An agent's answer that waits for the person.
#[derive(Debug)]
pub(crate) struct Paused {
    /// What the person is asked.
    pub(crate) asked: Vec<AgentQuestion>,
    pub(crate) answer: InvokeResponse,
}

/// The calls that wait for answers, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Waiting(Mutex<VecDeque<Open>>);

#[derive(Debug)]
struct Open {
    handle: String,
    /// The call that the questions are about.
    call: String,
    names: Vec<String>,
    paused: Option<Box<Paused>>,
}

/// Asks the person about one call.
#[derive(Debug)]
pub(crate) struct Person {
    waiting: Arc<Waiting>,
    call: String,
    answered: Option<(Vec<Answer>, Option<Box<Paused>>)>,
}

impl Person {
    /// `call` is all that tells one call from another: the tool, the agent and the arguments. `given` is what the program gave with the
    /// call: answers, and the handle of the questions. None if nothing was asked about this call under that handle, or no longer.
    pub(crate) fn new(
        waiting: &Arc<Waiting>,
        call: String,
        given: (Option<InputResponses>, Option<String>),
    ) -> Option<Self> {
        let answered = match given {
            (answers, Some(handle)) => {
                let open = waiting.take(&handle, &call)?;
                let mut answers = answers.unwrap_or_default();
                let answers = open.names.iter().map(|name| answers.remove(name).map_or(Answer::Open, read)).collect();
                Some((answers, open.paused))
            }
            // Nothing was asked yet.
            (_, None) => None,
        };
        Some(Self { waiting: Arc::clone(waiting), call, answered })
    }

    /// The answers that came with the call, and what waited for them.
    pub(crate) fn answered(&mut self) -> Option<(Vec<Answer>, Option<Box<Paused>>)> {
        self.answered.take()
    }

    /// Asks, and keeps what waits for the answers.
    pub(crate) async fn ask(
        &self,
        questions: Vec<Question>,
        paused: Option<Box<Paused>>,
        context: &RequestContext<RoleServer>,
    ) -> Result<Heard, Refusal> {
        let names = questions.iter().map(|question| question.name.clone()).collect();
        let requests = questions.into_iter().map(|question| (question.name.clone(), question.into_request()));
        if context.protocol_version().is_some_and(|version| version >= ProtocolVersion::V_2026_07_28) {
            let requests =
                requests.map(|(name, request)| (name, InputRequest::Elicitation(ElicitRequest::new(request))));
            let handle = self.waiting.add(self.call.clone(), names, paused);
            return Ok(Heard::Later(InputRequiredResult::new(Some(requests.collect()), Some(handle))));
        }
        let mut answers = Vec::new();
        for (_, request) in requests {
            let answer = tokio::select! {
                answer = context.peer.create_elicitation(request) => answer,
                () = context.ct.cancelled() => return Err(undone(ErrorKind::Cancelled, "the call was cancelled")),
            };
            answers.push(answer.map_or(Answer::Open, Answer::of));
        }
        Ok(Heard::Answers(answers, paused))
    }
}

impl Waiting {
    fn add(&self, call: String, names: Vec<String>, paused: Option<Box<Paused>>) -> String {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= MAX_OPEN {
            open.pop_front();
        }
        let handle = Uuid::new_v4().to_string();
        open.push_back(Open { handle: handle.clone(), call, names, paused });
        handle
    }

    /// What was asked under this handle about exactly this call. It is forgotten then.
    fn take(&self, handle: &str, call: &str) -> Option<Open> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = open.iter().position(|open| open.handle == handle && open.call == call)?;
        open.remove(place)
    }
}

impl Question {
    /// A question that is answered with yes or no.
    pub(crate) fn decision(name: &str, message: String) -> Self {
        Self { name: name.to_owned(), message, way: Way::Form(ElicitationSchema::new(BTreeMap::new())) }
    }

    pub(crate) fn into_request(self) -> ElicitRequestParams {
        match self.way {
            Way::Form(requested_schema) => {
                ElicitRequestParams::FormElicitationParams { meta: None, message: self.message, requested_schema }
            }
            Way::Link(url) => ElicitRequestParams::UrlElicitationParams {
                meta: None,
                message: self.message,
                url,
                elicitation_id: self.name,
            },
        }
    }
}

impl Answer {
    fn of(result: ElicitResult) -> Self {
        match result.action {
            ElicitationAction::Accept => Self::Accepted(result.content),
            ElicitationAction::Decline => Self::Declined,
            _ => Self::Open,
        }
    }
}

/// An answer as the program gives it.
pub(crate) fn read(answer: Value) -> Answer {
    serde_json::from_value::<ElicitResult>(answer).map_or(Answer::Open, Answer::of)
}

/// Can the program show a form to the person?
pub(crate) fn has_forms(context: &RequestContext<RoleServer>) -> bool {
    let can = context.client_capabilities().and_then(|capabilities| capabilities.elicitation);
    // A program of an older revision does not say how it asks: by a form.
    can.is_some_and(|ways| ways.form.is_some() || ways.url.is_none())
}

/// Can the program open a link for the person?
pub(crate) fn opens_links(context: &RequestContext<RoleServer>) -> bool {
    let can = context.client_capabilities().and_then(|capabilities| capabilities.elicitation);
    can.is_some_and(|ways| ways.url.is_some())
}

/// The tool did nothing.
pub(crate) fn undone(kind: ErrorKind, why: &str) -> Refusal {
    Refusal::new(kind, format!("nothing was done: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn answers(waiting: &Arc<Waiting>, call: &str, handle: &str, answers: Value) -> Option<Vec<Answer>> {
        let answers = serde_json::from_value(answers).unwrap();
        let person = Person::new(waiting, call.to_owned(), (Some(answers), Some(handle.to_owned())));
        person.and_then(|mut person| person.answered()).map(|(answers, _)| answers)
    }

    #[test]
    fn an_answer_counts_once_and_for_the_call_it_was_asked_about() {
        let waiting = Arc::<Waiting>::default();
        let handle = waiting.add("delete a".to_owned(), vec!["one".to_owned()], None);
        let yes = json!({"one": {"action": "accept", "content": {}}});
        assert_eq!(answers(&waiting, "delete a", "made up", yes.clone()), None);
        assert_eq!(answers(&waiting, "delete b", &handle, yes.clone()), None);
        let accepted = vec![Answer::Accepted(Some(json!({})))];
        assert_eq!(answers(&waiting, "delete a", &handle, yes.clone()), Some(accepted));
        assert_eq!(answers(&waiting, "delete a", &handle, yes.clone()), None);
        let first = waiting.add("first".to_owned(), vec!["one".to_owned()], None);
        for _ in 0..MAX_OPEN {
            waiting.add("more".to_owned(), Vec::new(), None);
        }
        assert_eq!(answers(&waiting, "first", &first, yes), None);
    }

    #[test]
    fn what_is_not_an_answer_allows_nothing() {
        for (given, expected) in [
            (json!({}), Answer::Open),
            (json!({"two": {"action": "accept"}}), Answer::Open),
            (json!({"one": 12345}), Answer::Open),
            (json!({"one": {"action": "cancel"}}), Answer::Open),
            (json!({"one": {"action": "decline"}}), Answer::Declined),
        ] {
            let waiting = Arc::<Waiting>::default();
            let handle = waiting.add("call".to_owned(), vec!["one".to_owned()], None);
            assert_eq!(answers(&waiting, "call", &handle, given.clone()), Some(vec![expected]), "{given}");
        }
    }
}
