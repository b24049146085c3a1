//! Following an invocation that was accepted with 202 (contract section 9): asks how it is until it has ended, with a fresh
//! token each time.

use super::super::Agent;
use super::super::answer::{HttpAnswer, MAX_ANSWER_BYTES};
use super::super::canceller::Canceller;
use super::super::error::{FoundryError, Operation, retry_after};
use super::super::head::HttpHead;
use super::super::headers::WireIsolation;
use super::super::meter::Meter;
use super::super::reply::{Ending, Reply, ReplyItem, body_event, failed, raw};
use super::mapping::{failure_in, text_of};
use bytes::Bytes;
use cupola_protocol::error::ErrorKind;
use cupola_protocol::id::SessionId;
use cupola_protocol::invoke::InvokeEvent;
use futures_util::{StreamExt as _, stream};
use serde_json::Value;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;

/// How long to wait when the agent does not say. What azd waits.
const DEFAULT_WAIT: Duration = Duration::from_secs(2);

/// The longest wait between two questions, whatever the agent says (contract section 9).
const MAX_WAIT: Duration = Duration::from_secs(30);

/// The shortest, so that `Retry-After: 0` does not become a loop.
const MIN_WAIT: Duration = Duration::from_millis(100);

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

/// The state of following one invocation.
pub(super) struct Polling {
    target: Canceller,
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
        let json = serde_json::from_str::<Value>(&body).unwrap_or_default();
        let id_in_body = || json.get("invocation_id").and_then(Value::as_str).and_then(|id| id.parse().ok());
        let Some(id) = reply.response_id.clone().or_else(id_in_body) else {
            let message = "the agent accepted the invocation but did not say how to ask for it";
            let end = ReplyItem::End(Box::new(Ending::failed(ErrorKind::UnexpectedAnswer, message, None)));
            reply.events = stream::iter([end]).boxed();
            return;
        };
        let target = Canceller { agent: agent.clone(), isolation: isolation.clone(), id: id.clone(), session_id };
        reply.response_id = Some(id);
        reply.canceller = Some(target.clone());
        let mut polling = Self {
            target,
            deadline,
            wait: bounded(wait),
            unknown: 0,
            seen: String::new(),
            meter: Meter::default(),
            items: VecDeque::new(),
            is_ended: false,
        };
        if polling.target.agent.wants_raw() {
            polling.items.push_back(ReplyItem::Event(body_event(&bytes)));
        }
        polling.note(&body);
        reply.events = stream::unfold(polling, |mut polling| async move {
            let item = polling.next().await?;
            Some((item, polling))
        })
        .boxed();
    }

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
            let polled = match self.target.poll().await {
                Ok(answer) => Polled::read(answer).await,
                Err(error) => Err(error),
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
                Err(error) => {
                    let code = error.service().and_then(|error| error.code.clone());
                    self.end(Ending::failed(error.kind(), error.to_string(), code));
                }
            }
        }
    }

    fn end(&mut self, ending: Ending) {
        self.is_ended = true;
        let ending = Ending { response_id: Some(self.target.id.clone()), ..ending };
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
                if self.target.agent.wants_raw() {
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
    fn waits_are_bounded() {
        for (asked, wait) in [(None, 2000), (Some(0), 100), (Some(5), 5000), (Some(3600), 30_000)] {
            assert_eq!(bounded(asked.map(Duration::from_secs)), Duration::from_millis(wait));
        }
    }
}
