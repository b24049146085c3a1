//! `invoke`: sends the input, streams the answer.
//!
//! - [`attempt`]: finds what to continue and gets the request to the agent
//! - [`deployment`]: a version that is not ready
//! - [`watching`]: what is told of the requests themselves: `--debug`, `-o raw`, waiting

mod attempt;
mod deployment;
mod watching;

use crate::foundry::{ReplyItem, Wants, watch};
use crate::rpc::Call;
use crate::rpc::error::RpcError;
use crate::run::Run;
use attempt::{Begun, begin};
use cupola_protocol::error::ErrorKind;
use cupola_protocol::id::RunId;
use cupola_protocol::invoke::{AgentProtocol, InvokeEvent, InvokeParams, InvokeResponse, RunFailure, RunStatus};
use cupola_protocol::target::Target;
use futures_util::StreamExt;
use std::time::Duration;
use tokio::time::Instant;
use watching::Watching;

/// How long an invoke may take unless the caller says otherwise: azd's own limit (contract section 17.3).
const DEFAULT_TIMEOUT: Duration = Duration::from_mins(30);

pub(crate) async fn invoke(call: Call, params: InvokeParams) -> Result<InvokeResponse, RpcError> {
    check(&params)?;
    let mut run = Run::begin(&call.daemon.activity);
    let limit = match params.timeout_ms {
        Some(0) => None,
        Some(milliseconds) => Some(Duration::from_millis(milliseconds)),
        None => Some(DEFAULT_TIMEOUT),
    };
    let deadline = limit.map(|limit| Instant::now() + limit);
    let (watcher, seen) = watch(Wants { requests: params.debug, raw: params.raw });
    let mut watching = Watching::new(seen);
    let begun = {
        let id = run.id().clone();
        let mut getting_there = std::pin::pin!(begin(&call.daemon, &params, deadline, watcher));
        let mut stopped = std::pin::pin!(stopped(&call, deadline, &id));
        loop {
            tokio::select! {
                biased;
                event = watching.next() => emit(&call, &params, &mut run, event).await?,
                begun = &mut getting_there => break begun.map_err(|error| error.of_run(id.clone())),
                stopped = &mut stopped => return Err(stopped),
            }
        }
    };
    for event in watching.rest() {
        emit(&call, &params, &mut run, event).await?;
    }
    match begun {
        Ok(begun) => {
            watching.forget_refusal();
            follow(&call, &params, run, begun, deadline, watching).await
        }
        Err(error) => {
            for event in watching.refusal() {
                emit(&call, &params, &mut run, event).await?;
            }
            Err(error)
        }
    }
}

/// Fields that contradict each other.
fn check(params: &InvokeParams) -> Result<(), RpcError> {
    let clash = |left: &str, right: &str| {
        Err(RpcError::invalid_params(format!("{left} and {right} cannot be given together"))
            .hint("leave one of them out"))
    };
    if params.new_session && params.session_id.is_some() {
        return clash("newSession", "sessionId");
    }
    if params.new_conversation && params.conversation_id.is_some() {
        return clash("newConversation", "conversationId");
    }
    if params.protocol == Some(AgentProtocol::A2a) && matches!(params.target, Target::Local { .. }) {
        return Err(RpcError::invalid_params("a local agent does not speak a2a: the service does that for it")
            .hint("leave --protocol out, or call the deployed agent"));
    }
    Ok(())
}

/// Resolves when the caller, the clock or the daemon ends the run.
async fn stopped(call: &Call, deadline: Option<Instant>, run: &RunId) -> RpcError {
    let timeout = async {
        match deadline {
            Some(deadline) => tokio::time::sleep_until(deadline).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = call.cancelled.cancelled() => RpcError::cancelled().of_run(run.clone()),
        () = timeout => RpcError::new(ErrorKind::TimedOut, "the agent did not finish within the call's time limit")
            .hint("give more time with --timeout SECONDS; 0 means no limit")
            .of_run(run.clone()),
    }
}

/// Passes the reply's events on until its ending, and makes the response.
async fn follow(
    call: &Call,
    params: &InvokeParams,
    mut run: Run,
    begun: Begun,
    deadline: Option<Instant>,
    mut watching: Watching,
) -> Result<InvokeResponse, RpcError> {
    let Begun { mut reply, model, session, conversation, notices, _turn } = begun;
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
    for event in opening.chain(head) {
        emit(call, params, &mut run, event).await?;
    }
    let mut end = None;
    while run.status().is_none() {
        let item = tokio::select! {
            biased;
            event = watching.next() => Some(ReplyItem::Event(event)),
            item = reply.events.next() => item,
            error = stopped(call, deadline, run.id()) => {
                if let Some(canceller) = &reply.canceller
                    && let Err(error) = canceller.cancel().await
                {
                    tracing::debug!(%error, "the agent was not told of the cancellation");
                }
                return Err(error);
            }
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
            for event in watching.refusal() {
                emit(call, params, &mut run, event).await?;
            }
        }
        let is_in_raw =
            matches!(event, InvokeEvent::TextDelta { .. } | InvokeEvent::Snapshot { .. } | InvokeEvent::Output { .. });
        if !(params.raw && is_in_raw) {
            emit(call, params, &mut run, event).await?;
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
        text: text.unwrap_or_else(|| run.text().to_owned()),
        session_id: session,
        conversation_id: conversation,
        response_id: response_id.or_else(|| reply.response_id.clone()),
        isolation_model: model,
        request_id: reply.request_id.clone(),
        output,
        failure: failure.or_else(|| default_failure(status)),
        notices: watching.notices.into_iter().chain(notices).collect(),
        duration_ms: u64::try_from(call.received.elapsed().as_millis()).unwrap_or(u64::MAX),
    })
}

/// What a response says of an ending that brings no reason of its own.
fn default_failure(status: RunStatus) -> Option<RunFailure> {
    let message = match status {
        RunStatus::Completed | RunStatus::Failed => return None,
        RunStatus::Incomplete => "the agent stopped before its answer was complete",
        RunStatus::Cancelled => "the service reports the run as cancelled",
        RunStatus::Truncated => "the stream ended without saying how the run did; the answer may be cut short",
    };
    Some(RunFailure { kind: ErrorKind::AgentFailed, message: message.to_owned(), service_code: None })
}

async fn emit(call: &Call, params: &InvokeParams, run: &mut Run, event: InvokeEvent) -> Result<(), RpcError> {
    let is_wanted = !(params.text_only && matches!(event, InvokeEvent::Output { .. }));
    if let (Some(event), Some(token)) = (run.take(event), &params.partial_result_token)
        && is_wanted
    {
        call.progress(token, &event).await?;
    }
    Ok(())
}
