//! The `/responses` routes (contract 7).

use super::answer::{Answer, Command};
use super::busy::{self, Fate};
use super::object::{Head, Snapshot, Status};
use super::problem::{self, Problem};
use super::request::CreateResponse;
use super::run::{AbandonOnDrop, Mode, Owner, Run, follow};
use super::{Agent, RequestId, ids, json_body, now, set};
use axum::Extension;
use axum::extract::{Path, Query};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The model's name when the request names none.
const DEFAULT_MODEL: &str = "notes";

/// The header with which the gateway chooses a response's id.
const RESPONSE_ID: &str = "x-agent-response-id";
/// The header that tells the session.
const SESSION_ID: &str = "x-agent-session-id";

/// Items a page of `input_items` may hold, and holds when nothing is said.
const MAX_PAGE: usize = 100;
const DEFAULT_PAGE: usize = 20;

/// Earlier items a run remembers, as `input_items` reads no more (contract 7.5).
const MAX_HISTORY: usize = MAX_PAGE;

/// The texts of turns that the server itself refuses, and of a response that it cannot delete.
const DRAINING: &str = "draining";
const ID_CONFLICT: &str = "id-conflict";
const UNDELETABLE: &str = "undeletable";

type Answered = Result<Response, Problem>;

/// `POST /responses`: starts a run and answers in the way asked for.
pub(super) async fn create(
    Extension(agent): Extension<Arc<Agent>>,
    Extension(request_id): Extension<RequestId>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let (run, store, text) = match prepare(&agent, &headers, &body) {
        Ok(prepared) => prepared,
        Err(problem) => {
            let problem = problem.with_request_id(&request_id);
            return in_session(&agent, problem.into_response());
        }
    };
    let ahead = match busy::fate(&agent, &run) {
        Fate::Runs => Vec::new(),
        Fate::Waits(ahead) => ahead,
        Fate::Refused(refusal) => return in_session(&agent, refusal),
    };
    let run = Arc::new(run);
    if store {
        agent.store.put(Arc::clone(&run));
    }
    let (worker, working) = (Arc::clone(&agent), Arc::clone(&run));
    let waits = !ahead.is_empty();
    agent.tasks.spawn(async move {
        for turn in ahead {
            turn.wait_ended().await;
        }
        let answer = answer(&worker, &working, &headers, &text).await;
        working.perform(answer).await;
        if working.snapshot().is_none() {
            worker.store.remove(&working.head.id);
        } else if store {
            worker.store.settle(&working);
        }
    });
    let mut response = match run.mode {
        Mode { background: true, stream: false } if waits => busy::queued(&run),
        _ => deliver(&agent, &run).await,
    };
    set(response.headers_mut(), SESSION_ID, &run.head.session_id);
    response
}

/// `GET /responses/{id}`: the object, or its events with `stream=true`.
pub(super) async fn retrieve(
    Extension(agent): Extension<Arc<Agent>>,
    Path(id): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    let answer = || {
        let run = known(&agent, &id, &headers)?;
        let streamed = query.get("stream").is_some_and(|flag| flag.eq_ignore_ascii_case("true"));
        if streamed {
            return replay(&agent, run, query.get("starting_after").map(String::as_str));
        }
        let snapshot = run.visible().ok_or_else(|| Problem::not_found(&id))?;
        Ok(json_body(StatusCode::OK, &snapshot.body(&run.head)))
    };
    in_session(&agent, answer().into_response())
}

/// `DELETE /responses/{id}`.
pub(super) async fn delete(
    Extension(agent): Extension<Arc<Agent>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let answer = || {
        let run = known(&agent, &id, &headers)?;
        run.visible().ok_or_else(|| Problem::not_found(&id))?;
        if !run.has_ended() {
            return Err(refused("Cannot delete an in-flight response."));
        }
        if run.input.iter().any(|item| item.pointer("/content/0/text").is_some_and(|text| text == UNDELETABLE)) {
            return Err(Problem::not_deleted(&id));
        }
        agent.store.remove(&id);
        let deleted = json!({"id": id, "object": "response", "deleted": true});
        Ok(json_body(StatusCode::OK, &deleted))
    };
    in_session(&agent, answer().into_response())
}

/// `POST /responses/{id}/cancel`: only a background run can be cancelled.
pub(super) async fn cancel(
    Extension(agent): Extension<Arc<Agent>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let answer = cancelled(&agent, &id, &headers).await;
    in_session(&agent, answer.into_response())
}

/// `GET /responses/{id}/input_items`: what the run was given, earlier turns first.
pub(super) async fn input_items(
    Extension(agent): Extension<Arc<Agent>>,
    Path(id): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    let answer = || {
        let run = known(&agent, &id, &headers)?;
        let items: Vec<Value> = run.history.iter().chain(&run.input).cloned().collect();
        Ok::<_, Problem>(json_body(StatusCode::OK, &page(items, &query)?))
    };
    in_session(&agent, answer().into_response())
}

fn prepare(agent: &Agent, headers: &HeaderMap, body: &[u8]) -> Result<(Run, bool, String), Problem> {
    let request = CreateResponse::parse(body)?;
    let text = request.text();
    if text == DRAINING {
        return Err(Problem::draining());
    }
    let chosen = headers.get(RESPONSE_ID).and_then(|id| id.to_str().ok());
    let id = match chosen.map(str::trim).filter(|id| !id.is_empty()) {
        Some(id) if ids::is_well_formed(id) => id.to_owned(),
        Some(_) => {
            return Err(Problem::invalid(
                "invalid_request",
                "response_id must be in format caresp_<18-char partition key><32-char alphanumeric entropy>",
                Some("response_id"),
            ));
        }
        None => {
            let near = request.previous_response_id.as_deref();
            ids::new_id(ids::RESPONSE, near.or(request.conversation.as_deref()))
        }
    };
    let owner = Owner::of(headers);
    if text == ID_CONFLICT || agent.store.get(&id).is_some_and(|run| run.admits(headers)) {
        return Err(Problem::id_conflict(&id));
    }
    let input = request.input_items(&id);
    let previous = request.previous_response_id.as_deref();
    let history = previous.map_or_else(Vec::new, |previous| history(agent, previous));
    let head = Head {
        id,
        created_at: now(),
        model: request.model.unwrap_or_else(|| DEFAULT_MODEL.to_owned()),
        instructions: request.instructions,
        metadata: request.metadata,
        previous_response_id: request.previous_response_id,
        conversation: request.conversation,
        background: request.mode.background,
        agent_reference: request.agent_reference,
        session_id: request.agent_session_id.unwrap_or_else(|| agent.context.session_id.clone()),
    };
    let stopped = agent.stopped.clone();
    let run = Run::new(head, request.mode, owner, input, history, stopped);
    Ok((run, request.store, text))
}

/// All items up to and including an earlier response; none when it is not known (contract 7.5).
fn history(agent: &Agent, previous: &str) -> Vec<Value> {
    let Some(run) = agent.store.get(previous) else {
        return Vec::new();
    };
    let mut items = run.history.clone();
    items.extend(run.own_items());
    items.drain(..items.len().saturating_sub(MAX_HISTORY));
    items
}

async fn answer(agent: &Agent, run: &Run, headers: &HeaderMap, text: &str) -> Answer {
    if let Some(answer) = decisions(agent, run) {
        return answer;
    }
    match Command::parse(text) {
        Command::History => Answer::history(earlier(agent, run).len().min(MAX_HISTORY)),
        command => agent.answer(command, headers).await,
    }
}

/// The items of the earlier turns, oldest first.
fn earlier(agent: &Agent, run: &Run) -> Vec<Value> {
    // `input_items` does not list those of a conversation (seen with the real one), but an agent is given them.
    let conversation = run.head.conversation.as_deref();
    let runs = conversation.map(|conversation| agent.store.in_conversation(conversation));
    let runs = runs.into_iter().flatten().filter(|run| run.has_ended());
    run.history.iter().cloned().chain(runs.flat_map(|run| run.own_items())).collect()
}

/// What the person decided about tool calls, if the input says that. A decision must be about a call that an earlier turn asked
/// for, and that has none.
fn decisions(agent: &Agent, run: &Run) -> Option<Answer> {
    const DECISION: &str = "mcp_approval_response";
    let decided: Vec<&Value> = run.input.iter().filter(|item| item["type"] == DECISION).collect();
    if decided.is_empty() {
        return None;
    }
    let earlier = earlier(agent, run);
    let mut decisions = Vec::new();
    for decision in decided {
        let id = &decision["approval_request_id"];
        let asked = earlier.iter().find(|item| item["type"] == "mcp_approval_request" && item["id"] == *id);
        let is_answered = earlier.iter().any(|item| item["type"] == DECISION && item["approval_request_id"] == *id);
        match asked.filter(|_| !is_answered) {
            Some(asked) => {
                let tool = asked["name"].as_str().unwrap_or_default().to_owned();
                decisions.push((tool, decision["approve"] == true));
            }
            None => return Some(Answer::failed(format!("no tool call waits for approval {id}"))),
        }
    }
    Some(Answer::decided(&decisions))
}

impl Agent {
    /// Answers what needs more than the text. What only one protocol has is answered there.
    pub(super) async fn answer(&self, command: Command, headers: &HeaderMap) -> Answer {
        let unusable = |error| Answer::failed(format!("notes.txt could not be used: {error}"));
        match command {
            Command::Say(answer) => answer,
            Command::History => Answer::history(0),
            Command::WhoAmI => Answer::identity(platform_headers(headers, &["x-agent-", "x-client-"])),
            Command::Remember(note) => match self.notebook.remember(&note).await {
                Ok(()) => Answer::remembered(&note),
                Err(error) => unusable(error),
            },
            Command::Recall => match self.notebook.recall().await {
                Ok(notes) => Answer::recalled(&notes),
                Err(error) => unusable(error),
            },
        }
    }
}

/// The headers with one of these prefixes, as the agent reports them.
pub(super) fn platform_headers(headers: &HeaderMap, prefixes: &[&str]) -> Map<String, Value> {
    headers
        .iter()
        .filter(|(name, _)| prefixes.iter().any(|prefix| name.as_str().starts_with(prefix)))
        .map(|(name, value)| {
            let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
            (name.as_str().to_owned(), text.into())
        })
        .collect()
}

async fn deliver(agent: &Agent, run: &Arc<Run>) -> Response {
    let abandon = (!run.mode.background).then(|| AbandonOnDrop(Arc::clone(run)));
    if run.mode.background {
        // A client that chose the id may ask for it as soon as it gets this answer.
        run.wait_created().await;
    }
    if run.mode.stream {
        return follow(Arc::clone(run), -1, agent.keep_alive, abandon);
    }
    if !run.mode.background {
        run.wait_ended().await;
    }
    match run.snapshot() {
        // However fast the run, the first answer in the background is its beginning.
        Some(snapshot) if run.mode.background && !snapshot.was_never_created() => {
            let begun = Snapshot::in_progress(Vec::new());
            json_body(StatusCode::OK, &begun.body(&run.head))
        }
        Some(snapshot) => json_body(StatusCode::OK, &snapshot.body(&run.head)),
        None => problem::crashed(),
    }
}

fn replay(agent: &Agent, run: Arc<Run>, after: Option<&str>) -> Answered {
    let refused = |because: &str| {
        let message = format!("This response cannot be streamed because it was not created with {because}.");
        Err(Problem::bad_parameter(message, "stream"))
    };
    if !run.mode.background {
        return refused("background=true");
    }
    if !run.can_replay() {
        return refused(if run.has_ended() { "stream=true or the stream TTL has expired" } else { "stream=true" });
    }
    let after = after
        .unwrap_or("-1")
        .trim()
        .parse::<i64>()
        .map_err(|_| Problem::bad_parameter("starting_after must be an integer", "starting_after"))?;
    Ok(follow(run, after, agent.keep_alive, None))
}

async fn cancelled(agent: &Agent, id: &str, headers: &HeaderMap) -> Answered {
    let run = known(agent, id, headers)?;
    let snapshot = run.visible().ok_or_else(|| Problem::not_found(id))?;
    if !run.mode.background {
        return Err(refused("Cannot cancel a synchronous response."));
    }
    if snapshot.status == Status::InProgress {
        run.cancel();
        run.wait_ended().await;
    }
    let snapshot = run.visible().ok_or_else(|| Problem::not_found(id))?;
    match snapshot.status {
        Status::Cancelled => Ok(json_body(StatusCode::OK, &snapshot.body(&run.head))),
        Status::Completed => Err(refused("Cannot cancel a completed response.")),
        Status::Failed => Err(refused("Cannot cancel a failed response.")),
        Status::Incomplete | Status::InProgress => Err(refused("Cannot cancel a response in terminal state.")),
    }
}

fn known(agent: &Agent, id: &str, headers: &HeaderMap) -> Result<Arc<Run>, Problem> {
    if !ids::is_well_formed(id) {
        return Err(Problem::malformed_id(id));
    }
    agent.store.get(id).filter(|run| run.admits(headers)).ok_or_else(|| Problem::not_found(id))
}

fn refused(message: &str) -> Problem {
    Problem::bad_parameter(message, "response_id")
}

fn page(mut items: Vec<Value>, query: &BTreeMap<String, String>) -> Result<Value, Problem> {
    let limit = match query.get("limit").map(|limit| limit.trim().parse::<i64>()) {
        None => DEFAULT_PAGE,
        Some(Err(_)) => {
            let message = "limit must be an integer between 1 and 100";
            return Err(Problem::bad_parameter(message, "limit"));
        }
        Some(Ok(limit)) => usize::try_from(limit)
            .ok()
            .filter(|limit| (1..=MAX_PAGE).contains(limit))
            .ok_or_else(|| Problem::bad_parameter("limit must be between 1 and 100", "limit"))?,
    };
    let order = query.get("order").map_or("desc", String::as_str).to_lowercase();
    match order.as_str() {
        "asc" => {}
        "desc" => items.reverse(),
        _ => {
            return Err(Problem::bad_parameter("order must be 'asc' or 'desc'", "order"));
        }
    }
    let place = |items: &[Value], cursor: &str| {
        let id = query.get(cursor)?;
        items.iter().position(|item| item["id"] == id.as_str())
    };
    if let Some(after) = place(&items, "after") {
        items.drain(..=after);
    }
    if let Some(before) = place(&items, "before") {
        items.truncate(before);
    }
    let has_more = items.len() > limit;
    items.truncate(limit);
    let id_of = |item: Option<&Value>| item.map_or(Value::Null, |item| item["id"].clone());
    let (first, last) = (id_of(items.first()), id_of(items.last()));
    Ok(json!({
        "object": "list",
        "data": items,
        "first_id": first,
        "last_id": last,
        "has_more": has_more,
    }))
}

/// Adds the container's own session to an answer, as it is told one by its environment.
fn in_session(agent: &Agent, mut response: Response) -> Response {
    set(response.headers_mut(), SESSION_ID, &agent.context.session_id);
    response
}
