//! What an agent asks in the middle of a turn: the person decides in the editor, and the answers are the next input of the same turn.

use super::editor::Editor;
use super::session::Session;
use super::teller::{NO_LINK, Teller};
use crate::line::stop::Stop;
use agent_client_protocol_schema::v1::{
    CreateElicitationRequest, CreateElicitationResponse, ElicitationAction, ElicitationSessionScope,
    ElicitationUrlMode, PermissionOption, PermissionOptionKind, RequestPermissionOutcome, RequestPermissionRequest,
    SessionUpdate, ToolCallStatus, ToolCallUpdate, ToolCallUpdateFields,
};
use cupola_protocol::question::{Question, QuestionKind, approval};
use serde_json::Value;
use std::sync::Arc;

/// The two answers to a tool call. It can be allowed once; later calls cannot be allowed in advance.
const ALLOW: &str = "allow";
const DENY: &str = "deny";

/// The items that answer what the agent asked. `None` if nothing is to be sent, because nothing can be answered here or the person
/// left a question open.
pub(super) fn answers(
    editor: &Editor,
    session: &Session,
    stop: &Arc<Stop>,
    questions: &[Question],
) -> Option<Vec<Value>> {
    let (mut items, mut updates) = (Vec::new(), Vec::new());
    for question in questions {
        match question.kind {
            QuestionKind::Approval => {
                let is_allowed = is_allowed(editor, session, stop, question)?;
                updates.push(SessionUpdate::ToolCallUpdate(Teller::decided(&question.id, is_allowed)));
                items.push(approval(&question.id, is_allowed));
            }
            QuestionKind::Consent => consent(editor, session, stop, question),
            // The agent's own words ask for it, and the next prompt answers.
            QuestionKind::Input | QuestionKind::Other => {}
        }
    }
    // Only now is it certain that the answers are sent.
    for update in updates {
        editor.update(&session.id, update);
    }
    (!items.is_empty()).then_some(items)
}

/// May the agent call the tool? None without an answer.
fn is_allowed(editor: &Editor, session: &Session, stop: &Arc<Stop>, question: &Question) -> Option<bool> {
    let tool = question.tool.as_deref().unwrap_or("a tool");
    let title = question.server.as_ref().map_or_else(|| tool.to_owned(), |server| format!("{server}: {tool}"));
    let arguments = question.arguments.as_deref();
    let arguments: Option<Value> =
        arguments.map(|text| serde_json::from_str(text).unwrap_or_else(|_| Value::from(text)));
    let fields = ToolCallUpdateFields::new().title(title).status(ToolCallStatus::Pending).raw_input(arguments);
    let options = vec![
        PermissionOption::new(ALLOW, "Allow once", PermissionOptionKind::AllowOnce),
        PermissionOption::new(DENY, "Deny", PermissionOptionKind::RejectOnce),
    ];
    let call = ToolCallUpdate::new(question.id.clone(), fields);
    let request = RequestPermissionRequest::new(session.id.clone(), call, options);
    match editor.permission(&request, stop)?.outcome {
        RequestPermissionOutcome::Selected(selected) if selected.option_id.0.as_ref() == ALLOW => Some(true),
        RequestPermissionOutcome::Selected(selected) if selected.option_id.0.as_ref() == DENY => Some(false),
        _ => None,
    }
}

/// Has the editor open the link, or shows it.
fn consent(editor: &Editor, session: &Session, stop: &Arc<Stop>, question: &Question) {
    let server = question.server.as_deref().unwrap_or("The agent");
    let Some(url) = &question.url else {
        let message = question.message.as_deref().unwrap_or(NO_LINK);
        return editor.update(&session.id, Teller::new(editor.takes_notices()).note(message));
    };
    if editor.opens_links() {
        let scope = ElicitationSessionScope::new(session.id.clone());
        let mode = ElicitationUrlMode::new(scope, question.id.clone(), url.clone());
        let message = format!("{server} needs your consent. Sign in, then send the message again.");
        let asked: Option<CreateElicitationResponse> =
            editor.elicit(&CreateElicitationRequest::new(mode, message), stop);
        if matches!(asked, Some(CreateElicitationResponse { action: ElicitationAction::Accept(_), .. })) {
            return;
        }
    }
    editor.update(&session.id, Teller::consent(&question.id, question.server.as_deref(), url));
}
