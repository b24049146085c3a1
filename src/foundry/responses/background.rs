//! A response that runs in the background is followed to its end, over as many connections as that takes (contract section 15.4).
//! Nothing but questions is sent: the turn was asked for once.

use super::super::answer::MAX_ANSWER_BYTES;
use super::super::background_turn::BackgroundTurn;
use super::super::error::{FoundryError, Operation};
use super::super::reply::{Ending, ReplyItem, ReplyStream, Source, Split, raw};
use super::mapping::{ResponseMapping, finish, is_under_way, text_of_raw};
use cupola_protocol::invoke::InvokeEvent;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryFutureExt as _};
use serde_json::value::RawValue;
use std::collections::VecDeque;
use std::time::Duration;

/// The pause before the second attempt in a row that brings nothing. It doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// The longest pause: the service may be away for hours, as a laptop is.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// Follows one response.
pub(super) struct Following {
    target: BackgroundTurn,
    state: State,
    /// Attempts in a row that brought nothing.
    attempts: u32,
    items: VecDeque<ReplyItem>,
    is_ended: bool,
}

enum State {
    /// Events come.
    Connected(Box<ReplyStream<ResponseMapping>>),
    /// Nothing comes; what was read is kept.
    Broken(Box<ResponseMapping>),
}

/// What the response itself, rather than its events, says.
enum Shown {
    UnderWay,
    Ended(Box<RawValue>),
}

impl Following {
    /// `stream`: the answer to the request that began it.
    pub(super) fn of(target: BackgroundTurn, stream: ReplyStream<ResponseMapping>) -> BoxStream<'static, ReplyItem> {
        Self::from(target, State::Connected(Box::new(stream)))
    }

    /// From its first event, which the service still has, or from what the service says of it now.
    pub(super) fn resume(target: BackgroundTurn) -> BoxStream<'static, ReplyItem> {
        let mapping = ResponseMapping::of_background(target.id.clone());
        Self::from(target, State::Broken(Box::new(mapping)))
    }

    fn from(target: BackgroundTurn, state: State) -> BoxStream<'static, ReplyItem> {
        Self { target, state, attempts: 0, items: VecDeque::new(), is_ended: false }.into_items()
    }
}

impl Source for Following {
    async fn next(&mut self) -> Option<ReplyItem> {
        loop {
            if let Some(item) = self.items.pop_front() {
                return Some(item);
            }
            if self.is_ended {
                return None;
            }
            let State::Connected(stream) = &mut self.state else {
                self.connect().await;
                continue;
            };
            match stream.next().await {
                Some(ReplyItem::End(ending)) if matches!(ending.event, InvokeEvent::Truncated { .. }) => {
                    let mapping = stream.take_mapping();
                    self.state = State::Broken(Box::new(mapping.again()));
                    tracing::debug!(id = %self.target.id, "a response's events broke off; reading on");
                }
                Some(ReplyItem::End(ending)) => {
                    self.is_ended = true;
                    return Some(ReplyItem::End(ending));
                }
                Some(item) => {
                    // Only an event with a new number is progress.
                    if matches!(item, ReplyItem::At(_)) {
                        self.attempts = 0;
                    }
                    return Some(item);
                }
                None => {
                    let mapping = stream.take_mapping();
                    self.state = State::Broken(Box::new(mapping.again()));
                }
            }
        }
    }
}

impl Following {
    /// Asks for the events after the last one that was read; where the service does not have them, for the response itself.
    async fn connect(&mut self) {
        let State::Broken(mapping) = &mut self.state else { return };
        if self.attempts > 0 {
            let pause = FIRST_PAUSE * 2u32.pow(self.attempts.saturating_sub(1).min(10));
            tokio::time::sleep(pause.min(MAX_PAUSE)).await;
        }
        // An attempt that is answered with no event is followed by a look at the response: it may have ended.
        let is_look = self.attempts % 2 == 1;
        self.attempts = self.attempts.saturating_add(1);
        let refused = if is_look {
            None
        } else {
            match self.target.replay(mapping.applied()).await {
                Ok(answer) if answer.is_events() => {
                    let stream =
                        ReplyStream::new(answer.body(), Split::events(), std::mem::take(&mut **mapping), false);
                    self.state = State::Connected(Box::new(stream));
                    return;
                }
                Ok(_) => None,
                Err(error) => Some(error),
            }
        };
        match refused {
            // The service no longer has its events (contract section 7.5).
            None => {}
            Some(error) if error.status() == Some(400) => {}
            Some(error) => return self.failed(&error),
        }
        match show(&self.target).await {
            Ok(Shown::UnderWay) => {}
            Ok(Shown::Ended(object)) => self.end_with(&object),
            Err(error) => self.failed(&error),
        }
    }

    /// It ended, and its last events cannot be read: the text stands for them.
    fn end_with(&mut self, object: &RawValue) {
        let State::Broken(mapping) = &mut self.state else { return };
        self.items.push_back(ReplyItem::Lost);
        // The object of a cancelled response has no text, also when some was streamed.
        let text = text_of_raw(object).unwrap_or_else(|| mapping.text().whole().to_owned());
        self.items.push_back(mapping.text_mut().restart(text));
        finish(object, None, mapping.text(), mapping.asked(), &mut self.items);
        self.is_ended = true;
    }

    /// A question failed: it is asked again, unless the answer would be the same.
    fn failed(&mut self, error: &FoundryError) {
        if error.is_passing() {
            tracing::debug!(id = %self.target.id, %error, "a response could not be read; trying again");
            return;
        }
        let reason = match error.status() {
            Some(404) => "the service no longer has the response".to_owned(),
            _ => error.to_string(),
        };
        let ending = Ending::of(InvokeEvent::Truncated { reason: Some(reason) });
        let ending = Ending { response_id: Some(self.target.id.clone()), ..ending };
        self.items.push_back(ReplyItem::End(Box::new(ending)));
        self.is_ended = true;
    }
}

/// What the response itself says.
async fn show(target: &BackgroundTurn) -> Result<Shown, FoundryError> {
    let answer = target.show().await?;
    let odd = |reason: String| FoundryError::UnexpectedAnswer { operation: Operation::ShowResponse, reason };
    let body = answer.bytes(MAX_ANSWER_BYTES).map_err(|error| odd(error.to_string())).await?;
    let object = std::str::from_utf8(&body).ok().and_then(raw).ok_or_else(|| odd("it is not JSON".to_owned()))?;
    Ok(if is_under_way(&object) { Shown::UnderWay } else { Shown::Ended(object) })
}
