//! A run from its request to its one ending, as a task of its own: whoever follows it may come and go.

use super::attempt::{Taken, begin};
use super::observed::ObservedRequests;
use crate::daemon::Daemon;
use crate::error::CallError;
use crate::foundry::{Canceller, ReplyItem, Wants, watch};
use crate::partition::locks::Waiter;
use crate::run::{Run, too_long};
use cupola_protocol::error::ErrorKind;
use cupola_protocol::invoke::{InvokeEvent, InvokeParams, InvokeResponse, RunFailure, RunStatus};
use cupola_protocol::target::Target;
use futures_util::{FutureExt, StreamExt};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long an invoke may take unless the caller says otherwise: azd's own limit (contract section 17.3).
const DEFAULT_TIMEOUT: Duration = Duration::from_mins(30);

/// How long the service may take to hear of a cancellation. Less than a cancelled call waits for its run's ending.
const CANCEL_LIMIT: Duration = Duration::from_secs(2);

/// Carries the run out and publishes its outcome, whatever happens.
pub(super) async fn perform(
    daemon: Arc<Daemon>,
    run: Arc<Run>,
    params: InvokeParams,
    arrival: Waiter<Target>,
    received: std::time::Instant,
) {
    let limit = match params.timeout_ms {
        Some(0) => None,
        Some(milliseconds) => Some(Duration::from_millis(milliseconds)),
        None => Some(DEFAULT_TIMEOUT),
    };
    let deadline = limit.map(|limit| Instant::now() + limit);
    let performance = Performance { daemon: &daemon, run: &run, params: &params, received, deadline };
    let outcome = AssertUnwindSafe(Box::pin(performance.answer(arrival))).catch_unwind().await;
    let outcome = outcome.unwrap_or_else(|_| Err(CallError::internal("the run ended in a panic")));
    daemon.runs.end(&run, outcome.map_err(|error| error.of_run(run.id().clone())));
}

/// Why a run is ended from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    Cancelled,
    TimedOut,
    ShuttingDown,
}

impl Stop {
    fn error(self) -> CallError {
        match self {
            Self::Cancelled => CallError::cancelled(),
            Self::TimedOut => {
                CallError::new(ErrorKind::TimedOut, "the agent did not finish within the call's time limit")
                    .hint("give more time with --timeout SECONDS; 0 means no limit")
            }
            Self::ShuttingDown => CallError::shutting_down(),
        }
    }

    /// The run's ending.
    fn event(self) -> InvokeEvent {
        if self == Self::Cancelled {
            return InvokeEvent::Cancelled {};
        }
        let error = self.error();
        InvokeEvent::Failed { failure: RunFailure { kind: error.kind(), message: error.message, service_code: None } }
    }
}

/// One run, and what it works on.
struct Performance<'a> {
    daemon: &'a Daemon,
    run: &'a Arc<Run>,
    params: &'a InvokeParams,
    /// When the request arrived.
    received: std::time::Instant,
    deadline: Option<Instant>,
}

impl Performance<'_> {
    async fn answer(&self, arrival: Waiter<Target>) -> Result<InvokeResponse, CallError> {
        let Self { daemon, run, params, .. } = *self;
        let (watcher, seen) = watch(Wants { requests: params.debug, raw: params.raw });
        let mut watching = ObservedRequests::new(seen);
        let begun = {
            let mut getting_there = std::pin::pin!(begin(daemon, run, params, arrival, watcher));
            let mut stopped = std::pin::pin!(self.stopped());
            loop {
                tokio::select! {
                    biased;
                    event = watching.next() => run.take(event).await,
                    begun = &mut getting_there => break begun,
                    stop = &mut stopped => return Err(stop.error()),
                }
            }
        };
        self.take_all(watching.rest()).await;
        match begun {
            Ok(begun) => {
                watching.forget_refusal();
                self.follow(begun, watching).await
            }
            Err(error) => {
                self.take_all(watching.refusal()).await;
                Err(error)
            }
        }
    }

    /// Resolves when a client, the clock or the daemon ends the run.
    async fn stopped(&self) -> Stop {
        let timeout = async {
            match self.deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.run.stopped() => {
                if self.daemon.shutdown.is_forced() { Stop::ShuttingDown } else { Stop::Cancelled }
            }
            () = timeout => Stop::TimedOut,
        }
    }

    async fn take_all(&self, events: impl Iterator<Item = InvokeEvent>) {
        for event in events {
            self.run.take(event).await;
        }
    }

    /// Passes the reply's events on until its ending, and makes the response.
    async fn follow(&self, taken: Taken, mut watching: ObservedRequests) -> Result<InvokeResponse, CallError> {
        let run = self.run;
        let Taken { mut reply, model, session, conversation, notices, _turn } = taken;
        let mut failure = None;
        let started = InvokeEvent::Started {
            session_id: session.clone(),
            conversation_id: conversation.clone(),
            isolation_model: model,
            request_id: reply.request_id.clone(),
        };
        let opening =
            std::iter::once(started).chain(notices.iter().map(|notice| InvokeEvent::Notice { notice: notice.clone() }));
        let head = reply.head.take().map(InvokeEvent::from);
        self.take_all(opening.chain(head)).await;
        let mut end = None;
        let mut stopped = std::pin::pin!(self.stopped());
        while run.status().is_none() {
            let item = tokio::select! {
                biased;
                event = watching.next() => Some(ReplyItem::Event(event)),
                // Before the events: an agent that always has another one must not keep the run from being ended.
                stop = &mut stopped => {
                    tell(reply.canceller.as_ref()).await;
                    run.take(stop.event()).await;
                    if stop != Stop::Cancelled {
                        return Err(stop.error());
                    }
                    failure = Some(failed(ErrorKind::Cancelled, "the run was cancelled"));
                    break;
                }
                item = reply.events.next() => item,
            };
            let event = match item {
                Some(ReplyItem::Event(event)) => event,
                Some(ReplyItem::End(ending)) => {
                    let event = ending.event.clone();
                    end = Some(*ending);
                    event
                }
                None => InvokeEvent::Truncated { reason: None },
            };
            if let InvokeEvent::Failed { failure: reason } = &event {
                failure = Some(reason.clone());
                // A question about a long-running invocation was refused: that is its last answer.
                self.take_all(watching.refusal()).await;
            }
            let is_in_raw = matches!(
                event,
                InvokeEvent::TextDelta { .. } | InvokeEvent::Snapshot { .. } | InvokeEvent::Output { .. }
            );
            if !(self.params.raw && is_in_raw) {
                run.take(event).await;
            }
        }
        let status = run.status().unwrap_or(RunStatus::Truncated);
        let (text, output, response_id) = match end {
            Some(end) => (end.text, end.output, end.response_id),
            None => (None, None, None),
        };
        Ok(InvokeResponse {
            run_id: run.id().clone(),
            status,
            text: text.unwrap_or_else(|| run.text()),
            session_id: session,
            conversation_id: conversation,
            response_id: response_id.or_else(|| reply.response_id.clone()),
            isolation_model: model,
            request_id: reply.request_id.clone(),
            output,
            failure: failure.or_else(|| default_failure(status)),
            notices: watching.notices.into_iter().chain(notices).collect(),
            duration_ms: u64::try_from(self.received.elapsed().as_millis()).unwrap_or(u64::MAX),
        })
    }
}

/// Ends at the service what goes on without a connection.
async fn tell(canceller: Option<&Canceller>) {
    let Some(canceller) = canceller else { return };
    match tokio::time::timeout(CANCEL_LIMIT, canceller.cancel()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "the agent was not told of the cancellation"),
        Err(_) => tracing::debug!("the agent did not answer the cancellation in time"),
    }
}

fn failed(kind: ErrorKind, message: &str) -> RunFailure {
    RunFailure { kind, message: message.to_owned(), service_code: None }
}

/// What a response says of an ending that brings no reason of its own.
fn default_failure(status: RunStatus) -> Option<RunFailure> {
    let message = match status {
        RunStatus::Completed => return None,
        // Every other failure brings its reason.
        RunStatus::Failed => return Some(too_long()),
        RunStatus::Incomplete => "the agent stopped before its answer was complete",
        RunStatus::Cancelled => "the service reports the run as cancelled",
        RunStatus::Truncated => "the stream ended without saying how the run did; the answer may be cut short",
    };
    Some(failed(ErrorKind::AgentFailed, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ending_but_success_has_a_reason() {
        assert!(default_failure(RunStatus::Completed).is_none());
        for status in [RunStatus::Failed, RunStatus::Incomplete, RunStatus::Cancelled, RunStatus::Truncated] {
            assert!(default_failure(status).is_some(), "{status:?}");
        }
        let too_long = default_failure(RunStatus::Failed).unwrap();
        assert_eq!(too_long.kind, ErrorKind::UnexpectedAnswer);
        assert!(too_long.message.contains("longer than"), "{}", too_long.message);
    }
}
