//! What is known of a run that this daemon does not have in memory: nobody can continue it, or only the service still has its answer.
//! Pure.

use super::super::invoke::{Standing, explain_failure};
use crate::partition::journal::Entry;
use crate::run::BEYOND_ALL;
use crate::system::clock::rfc3339;
use cupola_protocol::error::{ErrorKind, Turn};
use cupola_protocol::invoke::{InvokeEvent, InvokeResponse, NumberedEvent, RunFailure, RunStatus};
use cupola_protocol::runs::{RunInfo, RunState};

/// What became of the answer of a run that had ended.
const ANSWER_GONE: &str = "the run had ended, but the daemon that had its answer has ended, too";

/// The run, as lists show it.
pub(super) fn info(entry: &Entry) -> RunInfo {
    let facts = &entry.facts;
    RunInfo {
        run_id: entry.run.clone(),
        agent: entry.partition.agent.as_str().to_owned(),
        partition_id: Some(entry.partition.id()),
        status: RunState::from(status(entry)),
        question: None,
        questions: Vec::new(),
        queue: None,
        session_id: facts.session.clone(),
        conversation_id: facts.conversation.clone(),
        response_id: facts.response.clone(),
        agent_version: facts.version.clone(),
        latency: None,
        started_at: rfc3339(facts.started_at),
        ended_at: Some(rfc3339(entry.updated_at)),
        last_event: 0,
        detached: facts.detached,
        survives: entry.reach.is_some(),
        reason: entry.reach.is_none().then(|| reason(entry).to_owned()),
        clients: 0,
    }
}

/// The ending that a client gets which has seen the events up to `after`: none, if that was told an ending. Its number is the same for
/// every client, so that a client which comes again is told it once.
pub(super) fn ending(entry: &Entry, after: u64) -> Option<NumberedEvent> {
    if entry.ended.is_some_and(|ended| ended.was_told(after)) || after >= BEYOND_ALL {
        return None;
    }
    let event = match status(entry) {
        RunStatus::Cancelled => InvokeEvent::Cancelled {},
        RunStatus::Failed => InvokeEvent::Failed { failure: failure(entry) },
        _ => InvokeEvent::Truncated { reason: Some(reason(entry).to_owned()) },
    };
    Some(NumberedEvent { run_id: entry.run.clone(), number: BEYOND_ALL, event })
}

/// The response to a client that asks for its answer.
pub(super) fn answer(entry: &Entry) -> InvokeResponse {
    let facts = &entry.facts;
    let turn = turn(entry);
    let standing = Standing {
        run: &entry.run,
        turn,
        is_local: entry.partition.agent.is_local(),
        session: facts.session.clone(),
        waits_behind: None,
        limit: None,
    };
    InvokeResponse {
        run_id: entry.run.clone(),
        status: status(entry),
        text: String::new(),
        session_id: facts.session.clone(),
        conversation_id: facts.conversation.clone(),
        response_id: facts.response.clone(),
        isolation_model: facts.model,
        agent_version: facts.version.clone(),
        latency: None,
        request_id: None,
        output: None,
        failure: Some(explain_failure(failure(entry), &standing)),
        questions: Vec::new(),
        notices: Vec::new(),
        duration_ms: 0,
    }
}

/// How it ended, as every view of it says: a run without its answer is truncated, also where the agent had finished the answer.
/// Where the service still has the answer, the run ended as it was told.
fn status(entry: &Entry) -> RunStatus {
    let ended = entry.ended.map(|ended| ended.status);
    match ended {
        Some(status) if entry.reach.is_some() => status,
        Some(status @ (RunStatus::Cancelled | RunStatus::Failed)) => status,
        Some(RunStatus::Completed | RunStatus::Incomplete | RunStatus::Truncated) | None => RunStatus::Truncated,
    }
}

fn turn(entry: &Entry) -> Turn {
    let is_known =
        entry.facts.response.is_some() && entry.ended.is_none_or(|ended| ended.status != RunStatus::Truncated);
    if is_known { Turn::Ran } else { Turn::MayHaveRun }
}

fn failure(entry: &Entry) -> RunFailure {
    let message = format!("the answer was cut off: {}", reason(entry));
    RunFailure { kind: ErrorKind::ServiceError, message, service_code: None, turn: Some(turn(entry)), hint: None }
}

fn reason(entry: &Entry) -> &str {
    entry.facts.reason.as_deref().unwrap_or(ANSWER_GONE)
}
