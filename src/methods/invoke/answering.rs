//! Which questions of the agent a turn answers: they must be open in the turn's own partition, and the first answer counts.

use super::claim::Claim;
use crate::daemon::Daemon;
use crate::error::CallError;
use crate::foundry::Observer;
use crate::partition::questions::{Asked, AskedIn, NotOpen};
use crate::rpc::scope::Scope;
use cupola_protocol::error::{ErrorKind, Turn};
use cupola_protocol::id::ConversationId;
use cupola_protocol::invoke::{AgentProtocol, InvokeParams, Notice, NoticeCode, QuestionKind};
use std::borrow::Cow;

/// Claims what the items of the input answer. Returns the call as it continues where the questions were asked.
pub(super) async fn claim<'a>(
    daemon: &Daemon,
    params: &'a InvokeParams,
    scope: &Scope,
    observer: &Observer,
) -> Result<(Cow<'a, InvokeParams>, Option<Claim>), CallError> {
    let answers: Vec<(&str, bool)> = params.input.approvals().collect();
    if answers.is_empty() {
        return Ok((Cow::Borrowed(params), None));
    }
    let ids = answers.iter().map(|(id, _)| (*id).to_owned()).collect();
    let turn = observer.clone();
    let were_sent = move || turn.turn() != Turn::NotRun;
    let claimed = Claim::take((&daemon.store, &daemon.tasks), &scope.partition, ids, were_sent).await?;
    let (claim, asked) = claimed.map_err(|(id, why)| not_open(&id, why))?;
    let [Asked { asked_in, .. }, others @ ..] = asked.as_slice() else {
        return Ok((Cow::Borrowed(params), Some(claim)));
    };
    if others.iter().any(|other| other.asked_in != *asked_in) {
        claim.settle().await;
        return Err(CallError::invalid_params("the questions were asked in different conversations")
            .hint("answer those of one conversation at a time"));
    }
    for (Asked { question, .. }, (_, approve)) in asked.iter().zip(&answers) {
        let verb = if *approve { "allowing" } else { "refusing" };
        let tool = question.tool.as_deref().unwrap_or("an unnamed tool");
        let server = question.server.as_ref().map(|server| format!(" (server {server})")).unwrap_or_default();
        let with = question.arguments.as_ref().map(|arguments| format!(" with {arguments}")).unwrap_or_default();
        let message = format!("{verb} the tool {tool}{server}{with}");
        observer.tell(Notice { code: NoticeCode::Answering, message }).await;
    }
    Ok((continued(params, asked_in), Some(claim)))
}

/// The call in the conversation in which the question was asked, unless it names another.
fn continued<'a>(params: &'a InvokeParams, asked_in: &AskedIn) -> Cow<'a, InvokeParams> {
    if params.conversation_id.is_some() || params.previous_response_id.is_some() {
        return Cow::Borrowed(params);
    }
    let AskedIn { conversation, response } = asked_in.clone();
    Cow::Owned(InvokeParams { conversation_id: conversation, previous_response_id: response, ..params.clone() })
}

fn not_open(id: &str, why: NotOpen) -> CallError {
    match why {
        NotOpen::Answered => CallError::new(ErrorKind::Conflict, format!("question {id} was already answered"))
            .hint("the first answer counts; send the message again if the agent is to ask again"),
        NotOpen::Unknown => {
            CallError::new(ErrorKind::NotFound, format!("no question {id} is open for this agent and isolation")).hint(
                "check the id and the isolation keys; a question is kept for a day: after that, send the message again",
            )
        }
    }
}

/// The task of A2A that waits for this message, in the context that it continues.
pub(super) async fn waiting_task(
    daemon: &Daemon,
    params: &InvokeParams,
    scope: &Scope,
    context: Option<&ConversationId>,
) -> Option<String> {
    if params.input_is_request || context.is_none() {
        return None;
    }
    let is_meant =
        |asked: &Asked| asked.question.kind == QuestionKind::Input && asked.asked_in.conversation.as_ref() == context;
    let open = daemon.store.open_questions(&scope.partition).await.unwrap_or_else(|error| {
        tracing::warn!(%error, "which task waits for the message could not be read, so the message begins a new one");
        Vec::new()
    });
    open.into_iter().rfind(is_meant).map(|asked| asked.question.id)
}

/// The task has its answer, and may ask again. One that ended with an error takes no other message.
pub(super) async fn has_its_answer(daemon: &Daemon, scope: &Scope, task: String) {
    match Claim::take((&daemon.store, &daemon.tasks), &scope.partition, vec![task], || true).await {
        Ok(Ok((claim, _))) => claim.settle().await,
        // Another call was first.
        Ok(Err(_)) => {}
        Err(error) => tracing::warn!(%error, "that a task has its answer could not be written down"),
    }
}

/// Refuses what only the responses protocol has.
pub(super) fn check(params: &InvokeParams, protocol: AgentProtocol) -> Result<(), CallError> {
    if protocol == AgentProtocol::Responses {
        return Ok(());
    }
    let name = protocol.name();
    if params.input.text().is_none() {
        return Err(CallError::invalid_params(format!("input items cannot be sent with {name}"))
            .hint("send text as the input, or use --protocol responses"));
    }
    if params.previous_response_id.is_some() {
        return Err(CallError::invalid_params(format!("previousResponseId cannot be sent with {name}"))
            .hint("leave --previous-response-id out, or use --protocol responses"));
    }
    Ok(())
}
