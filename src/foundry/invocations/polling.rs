//! Following an invocation that was accepted with 202 (contract section 9): asks how it is until it has ended, with a fresh
//! token each time.

use super::super::Agent;
use super::super::answer::{HttpAnswer, MAX_ANSWER_BYTES};
use super::super::background_turn::BackgroundTurn;
use super::super::error::{FoundryError, Operation, retry_after};
use super::super::head::HttpHead;
use super::super::headers::WireIsolation;
use super::super::meter::Meter;
use super::super::reply::{Ending, Mapping, Reply, ReplyItem, Source, body_event, failed, raw, unclear};
use super::super::sse;
use super::mapping::{JsonMapping, text_of};
use super::shapes::failure_in;
use bytes::Bytes;
use cupola_protocol::error::ErrorKind;
use cupola_protocol::id::{ResponseId, SessionId};
use cupola_protocol::invoke::{AgentProtocol, InvokeEvent, Notice, NoticeCode};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use serde_json::Value;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// How long to wait when the agent does not say. What azd waits.
const DEFAULT_WAIT: Duration = Duration::from_secs(2);

/// The longest wait between two questions, whatever the agent says (contract section 9).
const MAX_WAIT: Duration = Duration::from_secs(30);

/// The shortest, so that `Retry-After: 0` does not become a loop.
const MIN_WAIT: Duration = Duration::from_millis(100);

/// How long one question may take before the next is asked. What azd waits (contract section 9).
const POLL_LIMIT: Duration = Duration::from_secs(30);

/// Words in which agents say of an invocation that they have just accepted that it is not done.
const UNDER_WAY: [&str; 10] = [
    "accepted",
    "created",
    "in_progress",
    "inprogress",
    "pending",
    "processing",
    "queued",
    "running",
    "started",
    "submitted",
];

/// How often "unknown invocation" is taken for "not yet there". azd asks for ever.
const MAX_UNKNOWN: u32 = 5;

/// What one question was answered with.
struct Polled {
    wait: Option<Duration>,
    head: HttpHead,
    body: Bytes,
}

impl Polled {
    async fn read(answer: HttpAnswer) -> Result<Self, FoundryError> {
        let wait = retry_after(answer.response.headers());
        let head = HttpHead::of(&answer.response);
        let body = answer.bytes(MAX_ANSWER_BYTES).await.map_err(|error| FoundryError::UnexpectedAnswer {
            operation: Operation::PollInvocation,
            reason: error.to_string(),
        })?;
        Ok(Self { wait, head, body })
    }
}

/// One question: how is the invocation?
type Ask = Box<dyn Fn() -> BoxFuture<'static, Result<Polled, FoundryError>> + Send + Sync>;

/// The state of following one invocation.
pub(super) struct Polling {
    id: ResponseId,
    ask: Ask,
    is_raw: bool,
    deadline: Option<Instant>,
    wait: Duration,
    unknown: u32,
    /// The last body that was passed on.
    seen: String,
    /// Counts the answers, all together.
    meter: Meter,
    items: VecDeque<ReplyItem>,
    is_ended: bool,
}

impl Polling {
    /// Reads the 202 and gives `reply` the events of what follows.
    pub(super) async fn begin(
        agent: &Agent,
        isolation: &WireIsolation,
        session_id: Option<SessionId>,
        deadline: Option<Instant>,
        answer: HttpAnswer,
        reply: &mut Reply,
    ) {
        let wait = retry_after(answer.response.headers());
        let bytes = answer.bytes(MAX_ANSWER_BYTES).await.unwrap_or_default();
        let body = String::from_utf8_lossy(&bytes).into_owned();
        let Some(id) = job_of(&body, reply.response_id.as_ref()) else {
            reply.events = stream::iter(answered(&body, reply.response_id.clone(), agent.wants_raw())).boxed();
            return;
        };
        let target = BackgroundTurn {
            agent: agent.clone(),
            isolation: isolation.clone(),
            id: id.clone(),
            session_id,
            protocol: AgentProtocol::Invocations,
        };
        reply.response_id = Some(id);
        reply.canceller = Some(target.canceller());
        reply.survives = true;
        let mut polling = Self::of(target, deadline, bounded(wait));
        if polling.is_raw {
            polling.items.push_back(ReplyItem::Event(body_event(&bytes)));
        }
        polling.note(&body);
        reply.events = polling.into_items();
    }

    /// Follows an invocation that was accepted before.
    pub(super) fn resume(target: BackgroundTurn) -> Reply {
        let mut reply = Reply::resumed(target.id.clone(), target.canceller());
        reply.events = Self::of(target, None, MIN_WAIT).into_items();
        reply
    }

    fn of(target: BackgroundTurn, deadline: Option<Instant>, wait: Duration) -> Self {
        let asked = target.clone();
        let ask: Ask = Box::new(move || {
            let target = asked.clone();
            async move { Polled::read(target.poll().await?).await }.boxed()
        });
        Self {
            is_raw: target.agent.wants_raw(),
            id: target.id,
            ask,
            deadline,
            wait,
            unknown: 0,
            seen: String::new(),
            meter: Meter::default(),
            items: VecDeque::new(),
            is_ended: false,
        }
    }
}

impl Source for Polling {
    async fn next(&mut self) -> Option<ReplyItem> {
        loop {
            if let Some(item) = self.items.pop_front() {
                return Some(item);
            }
            if self.is_ended {
                return None;
            }
            let due = Instant::now() + self.wait;
            if self.deadline.is_some_and(|deadline| deadline <= due) {
                if let Some(deadline) = self.deadline {
                    tokio::time::sleep_until(deadline).await;
                }
                self.end(Ending::failed(ErrorKind::TimedOut, "the invocation did not end in time", None));
                continue;
            }
            tokio::time::sleep_until(due).await;
            let Ok(polled) = timeout(POLL_LIMIT, (self.ask)()).await else {
                tracing::debug!(id = %self.id, "a question about an invocation was not answered in time");
                continue;
            };
            match polled {
                Ok(polled) => {
                    self.wait = bounded(polled.wait);
                    match self.meter.take(polled.body.len()) {
                        Ok(()) => self.take(polled),
                        Err(excess) => {
                            let message = format!("what the agent says of the invocation is too much: {excess}");
                            self.end(Ending::failed(ErrorKind::UnexpectedAnswer, message, None));
                        }
                    }
                }
                Err(error) if error.status() == Some(404) && self.unknown < MAX_UNKNOWN => self.unknown += 1,
                Err(error) if error.is_passing() => {
                    tracing::debug!(id = %self.id, %error, "an invocation could not be asked about; trying again");
                    self.wait = (self.wait * 2).min(MAX_WAIT);
                }
                Err(error) => {
                    let code = error.service().and_then(|error| error.code.clone());
                    // The status could not be read, so the state of the invocation is unknown.
                    self.end(Ending::of(unclear(error.kind(), error.to_string(), code)));
                }
            }
        }
    }
}

impl Polling {
    fn end(&mut self, ending: Ending) {
        self.is_ended = true;
        let ending = Ending { response_id: Some(self.id.clone()), ..ending };
        self.items.push_back(ReplyItem::End(Box::new(ending)));
    }

    /// Passes a body on if it says something new.
    fn note(&mut self, body: &str) {
        if body == self.seen {
            return;
        }
        if let Some(data) = raw(body) {
            let name = "invocation".to_owned();
            self.items.push_back(ReplyItem::Event(InvokeEvent::Output { name, data }));
        }
        body.clone_into(&mut self.seen);
    }

    fn take(&mut self, polled: Polled) {
        let body = &String::from_utf8_lossy(&polled.body);
        match judge(body) {
            Judgement::Running => self.note(body),
            Judgement::Ended { event, text } => {
                if self.is_raw {
                    self.items.push_back(ReplyItem::Event(polled.head.into()));
                    self.items.push_back(ReplyItem::Event(body_event(&polled.body)));
                }
                if let Some(delta) = text.clone().filter(|text| !text.is_empty()) {
                    self.items.push_back(ReplyItem::Event(InvokeEvent::TextDelta { delta }));
                }
                self.end(Ending { text, output: raw(body), ..Ending::of(event) });
            }
        }
    }
}

/// The invocation to ask about after a 202. An agent server puts its own id on every answer (`header`), so that alone names no
/// invocation: the body names it, says that it is under way, or says nothing at all.
fn job_of(body: &str, header: Option<&ResponseId>) -> Option<ResponseId> {
    if body.trim().is_empty() {
        return header.cloned();
    }
    let json = serde_json::from_str::<Value>(body).ok()?;
    let object = json.as_object()?;
    if let Some(id) = object.get("invocation_id").and_then(Value::as_str).and_then(|id| id.parse().ok()) {
        return Some(header.cloned().unwrap_or(id));
    }
    let header = header?;
    let status = object.get("status").and_then(Value::as_str).map(str::to_ascii_lowercase);
    let is_under_way = object.is_empty()
        || status.is_some_and(|status| UNDER_WAY.contains(&status.as_str()))
        || object.values().any(|value| value.as_str() == Some(header.as_str()));
    is_under_way.then(|| header.clone())
}

/// A 202 that is the agent's whole answer, as items.
fn answered(body: &str, id: Option<ResponseId>, is_raw: bool) -> VecDeque<ReplyItem> {
    let mut items = VecDeque::new();
    if is_raw {
        items.push_back(ReplyItem::Event(body_event(body.as_bytes())));
    }
    if is_delivered(body) {
        let message = "the agent took the message into the turn that is running; its answer has the reply".to_owned();
        let notice = Notice { code: NoticeCode::Delivered, message };
        items.push_back(ReplyItem::Event(InvokeEvent::Notice { notice }));
    }
    JsonMapping::new(id).event(sse::Event { name: None, data: body.to_owned() }, &mut items);
    items
}

/// Is it the word of agents that can be steered for a message that the running turn takes in?
fn is_delivered(body: &str) -> bool {
    let json = serde_json::from_str::<Value>(body).unwrap_or_default();
    json.get("status").and_then(Value::as_str).is_some_and(|status| status.eq_ignore_ascii_case("delivered"))
}

fn bounded(wait: Option<Duration>) -> Duration {
    wait.unwrap_or(DEFAULT_WAIT).clamp(MIN_WAIT, MAX_WAIT)
}

/// What one poll's body says.
#[derive(Debug)]
enum Judgement {
    Running,
    Ended { event: InvokeEvent, text: Option<String> },
}

/// By the convention's `status`. A body without one is the agent's answer itself.
fn judge(body: &str) -> Judgement {
    let ended = |event| Judgement::Ended { event, text: None };
    let json = serde_json::from_str::<Value>(body).unwrap_or_default();
    let status = json.get("status").and_then(Value::as_str).map(str::to_ascii_lowercase);
    match status.as_deref() {
        Some("completed" | "succeeded") => {
            let text =
                json.get("output").and_then(Value::as_str).map_or_else(|| text_of(&json, body), ToOwned::to_owned);
            Judgement::Ended { event: InvokeEvent::Completed {}, text: Some(text) }
        }
        Some("failed") => ended(
            failure_in(&json)
                .unwrap_or_else(|| failed(ErrorKind::AgentFailed, "the invocation failed and did not say why", None)),
        ),
        Some("cancelled" | "canceled") => ended(InvokeEvent::Cancelled {}),
        Some(_) => Judgement::Running,
        None => match failure_in(&json) {
            Some(failure) => ended(failure),
            None => Judgement::Ended { event: InvokeEvent::Completed {}, text: Some(text_of(&json, body)) },
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::foundry::fixtures;
    use crate::foundry::reply::shown;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn the_status_says_whether_it_has_ended() {
        let captured = |name| String::from_utf8(fixtures::answer(&format!("invocations/{name}")).body).unwrap();
        for (body, expected) in [
            (captured("lro-1-accepted"), "Running"),
            (captured("lro-2-poll-running"), "Running"),
            (captured("lro-3-poll-completed"), "Completed"),
            (captured("lro-6-poll-cancelled"), "Cancelled"),
            (r#"{"status":"failed","error":{"code":"c","message":"no"}}"#.to_owned(), "Failed"),
            (r#"{"status":"failed"}"#.to_owned(), "Failed"),
            (r#"{"status":"warming up"}"#.to_owned(), "Running"),
            (r#"{"answer":42}"#.to_owned(), "Completed"),
            ("plain words".to_owned(), "Completed"),
            (r#"{"error":{"message":"no"}}"#.to_owned(), "Failed"),
        ] {
            let shown = match judge(&body) {
                Judgement::Running => "Running".to_owned(),
                Judgement::Ended { event, .. } => format!("{:?}", event.ending().unwrap()),
            };
            assert_eq!(shown, expected, "{body}");
        }
        let Judgement::Ended { text, .. } = judge(&captured("lro-3-poll-completed")) else { panic!("still running") };
        assert_eq!(text.as_deref(), Some("done after 1.5s"));
    }

    #[test]
    fn a_202_is_asked_about_only_if_it_names_an_invocation() {
        let captured = String::from_utf8(fixtures::answer("invocations/lro-1-accepted").body).unwrap();
        for (body, header, expected) in [
            (captured.as_str(), Some("inv-1"), Some("inv-1")),
            (r#"{"invocation_id":"inv-2","status":"warming up"}"#, None, Some("inv-2")),
            (r#"{"status":"Queued"}"#, Some("inv-1"), Some("inv-1")),
            (r#"{"id":"inv-1","status":"on its way"}"#, Some("inv-1"), Some("inv-1")),
            ("", Some("inv-1"), Some("inv-1")),
            ("{}", Some("inv-1"), Some("inv-1")),
            ("", None, None),
            (r#"{"status":"queued"}"#, None, None),
            (r#"{"status":"delivered"}"#, Some("inv-1"), None),
            (r#"{"ok":true}"#, Some("inv-1"), None),
            (r#"{"error":{"code":"busy","message":"no"}}"#, Some("inv-1"), None),
            ("delivered", Some("inv-1"), None),
            ("[1]", Some("inv-1"), None),
        ] {
            let header: Option<ResponseId> = header.map(|id| id.parse().unwrap());
            let job = job_of(body, header.as_ref());
            assert_eq!(job.as_ref().map(ResponseId::as_str), expected, "{body} {header:?}");
        }
        for (body, lines) in [
            (r#"{"status":"delivered"}"#, [r#"+{"status":"delivered"}"#, "end: completed"]),
            ("delivered", ["+delivered", "end: completed"]),
        ] {
            let told = shown(&answered(body, None, false));
            let (notices, answer) = told.split_at(told.len() - lines.len());
            assert_eq!(answer, lines);
            // An agent that can be steered says it like this.
            assert_eq!(notices.iter().any(|notice| notice.contains("Delivered")), body.starts_with('{'));
        }
        let refused = answered(r#"{"error":{"code":"busy","message":"no"}}"#, None, false);
        assert_eq!(shown(&refused), ["end: failed AgentFailed: no"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_that_is_not_answered_is_asked_again() {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let unclear = || FoundryError::UnexpectedAnswer { operation: Operation::PollInvocation, reason: String::new() };
        let ask: Ask = Box::new(move || match count.fetch_add(1, Ordering::Relaxed) {
            0 | 1 => std::future::pending().boxed(),
            2 | 3 => std::future::ready(Err(unclear())).boxed(),
            _ => {
                let head = HttpHead { status_line: String::new(), headers: Vec::new() };
                let body = Bytes::from_static(br#"{"status":"completed","output":"done"}"#);
                std::future::ready(Ok(Polled { wait: None, head, body })).boxed()
            }
        });
        let mut polling = Polling {
            id: "inv-1".parse().unwrap(),
            ask,
            is_raw: false,
            deadline: None,
            wait: DEFAULT_WAIT,
            unknown: 0,
            seen: String::new(),
            meter: Meter::default(),
            items: VecDeque::new(),
            is_ended: false,
        };
        let (began, mut items) = (Instant::now(), VecDeque::new());
        while let Some(item) = polling.next().await {
            items.push_back(item);
        }
        assert_eq!(shown(&items), ["+done", "end: completed"]);
        assert_eq!(asked.load(Ordering::Relaxed), 5);
        // Each question that fails doubles the wait.
        assert_eq!(began.elapsed(), 2 * POLL_LIMIT + (3 + 2 + 4) * DEFAULT_WAIT);
    }

    #[test]
    fn waits_are_bounded() {
        for (asked, wait) in [(None, 2000), (Some(0), 100), (Some(5), 5000), (Some(3600), 30_000)] {
            assert_eq!(bounded(asked.map(Duration::from_secs)), Duration::from_millis(wait));
        }
    }
}
