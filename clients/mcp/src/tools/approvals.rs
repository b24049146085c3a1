//! What an agent asks in the middle of a turn: an approval of a tool's call, or consent at a link. The person answers, and the answers
//! are the next input of the same conversation. No argument of a tool answers.

use crate::person::{self, Answer, Paused, Question, Way};
use crate::text;
use cupola_protocol::invoke::InvokeResponse;
use cupola_protocol::question::{Question as AgentQuestion, QuestionKind, approval};
use rmcp::service::{RequestContext, RoleServer};
use serde_json::{Value, json};

/// What comes next in a turn.
pub(crate) enum Next {
    /// Another message to the agent.
    Send(Value),
    /// Nothing: this is the answer.
    Stay(Box<InvokeResponse>),
}

/// The questions that the person can be asked here.
pub(crate) fn for_person(questions: &[AgentQuestion], context: &RequestContext<RoleServer>) -> Vec<AgentQuestion> {
    let can_be_asked = |question: &&AgentQuestion| match question.kind {
        QuestionKind::Approval => person::has_forms(context),
        QuestionKind::Consent => question.url.is_some() && person::opens_links(context),
        // The agent's own words ask for it, and the next message answers.
        QuestionKind::Input | QuestionKind::Other => false,
    };
    questions.iter().filter(can_be_asked).cloned().collect()
}

/// The agent's question in the words of this server, with everything that the agent wants to do.
pub(crate) fn put(place: usize, question: &AgentQuestion) -> Question {
    let name = format!("question-{}", place + 1);
    match &question.url {
        Some(url) => {
            let message = format!("{} Open the link only if you trust it.", words(question));
            Question { name, message, way: Way::Link(url.clone()) }
        }
        None => Question::decision(&name, format!("Allow this once? {}", words(question))),
    }
}

/// The message that takes the person's answers to the agent, if there is one.
pub(crate) fn decided(Paused { asked, answer }: Paused, answers: &[Answer]) -> Next {
    let mut items = Vec::new();
    for (question, decision) in asked.iter().zip(answers) {
        match (question.kind, decision) {
            (QuestionKind::Approval, Answer::Accepted(_)) => items.push(approval(&question.id, true)),
            (QuestionKind::Approval, Answer::Declined) => items.push(approval(&question.id, false)),
            // The turn cannot continue without this answer.
            (QuestionKind::Approval, Answer::Open) => return Next::Stay(Box::new(answer)),
            // The person signs in at the link, and then the message is sent again.
            _ => {}
        }
    }
    if items.is_empty() {
        return Next::Stay(Box::new(answer));
    }
    let mut params = json!({"input": items, "textOnly": true});
    if let Some(session) = &answer.session_id {
        params["sessionId"] = json!(session);
    }
    if let Some(conversation) = &answer.conversation_id {
        params["conversationId"] = json!(conversation);
    }
    Next::Send(params)
}

/// What the model reads of a question that nobody has answered.
pub(crate) fn unanswered(question: &AgentQuestion) -> String {
    let how = match question.kind {
        QuestionKind::Approval => {
            "No tool can answer this. The person can, in another client of Cupola, for example `cupola chat`."
        }
        QuestionKind::Consent => "The person must open the link and sign in. Then send the message again.",
        QuestionKind::Input | QuestionKind::Other => "Answer with the next message.",
    };
    format!("{} {how}", words(question))
}

fn words(question: &AgentQuestion) -> String {
    let server = question.server.as_deref().map(|server| format!(" of the server {}", text::line(server)));
    let server = server.unwrap_or_default();
    let mut words = match question.kind {
        QuestionKind::Approval => {
            let tool = text::line(question.tool.as_deref().unwrap_or("(not named)"));
            format!("The agent asks to call the tool {tool}{server}.")
        }
        QuestionKind::Consent => format!("The agent needs the person's consent{server}."),
        QuestionKind::Input | QuestionKind::Other => "The agent waits for more information.".to_owned(),
    };
    let more = [("arguments", &question.arguments), ("message", &question.message), ("link", &question.url)];
    for (name, value) in more {
        if let Some(value) = value {
            // On one line, so that nothing in it can pass for words of this server. Never shortened: a person decides about it.
            words.extend([" ", name, ": ", &cupola_cli::harmless::line(value), "."]);
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paused(questions: Value) -> Paused {
        let answer = json!({"runId": "run-1", "status": "incomplete", "text": "", "isolationModel": "keys", "durationMs": 1,
            "sessionId": "session-1", "conversationId": "conv_1"});
        Paused { asked: serde_json::from_value(questions).unwrap(), answer: serde_json::from_value(answer).unwrap() }
    }

    #[test]
    fn only_a_persons_decision_is_sent() {
        let asked =
            json!([{"id": "a", "kind": "approval"}, {"id": "b", "kind": "approval"}, {"id": "c", "kind": "consent"}]);
        let accepted = || Answer::Accepted(None);
        let Next::Send(sent) = decided(paused(asked.clone()), &[accepted(), Answer::Declined, accepted()]) else {
            panic!("nothing is sent");
        };
        assert_eq!(sent["input"], json!([approval("a", true), approval("b", false)]));
        assert_eq!((&sent["sessionId"], &sent["conversationId"]), (&json!("session-1"), &json!("conv_1")));
        for answers in [[accepted(), Answer::Open, accepted()], [Answer::Open, accepted(), accepted()]] {
            assert!(matches!(decided(paused(asked.clone()), &answers), Next::Stay(_)), "{answers:?}");
        }
        let consent = paused(json!([{"id": "c", "kind": "consent"}]));
        assert!(matches!(decided(consent, &[accepted()]), Next::Stay(_)));
    }

    #[test]
    fn a_question_shows_all_that_the_agent_wants_to_do_on_one_line() {
        let question = json!({"id": "a", "kind": "approval", "tool": "delete\u{1b}[2J", "server": "files",
            "arguments": format!("{{\"path\":\n\"{}\"}}", "x".repeat(5_000))});
        let shown = put(0, &serde_json::from_value(question).unwrap());
        assert_eq!(shown.name, "question-1");
        assert!(
            shown
                .message
                .starts_with("Allow this once? The agent asks to call the tool delete\u{fffd}[2J of the server files.")
        );
        assert!(shown.message.contains(&"x".repeat(5_000)) && !shown.message.contains('\n'));
    }
}
