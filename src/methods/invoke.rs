//! `invoke`: begins a run, and follows it as its first client.
//!
//! - [`perform`]: the run itself: sends the input, takes the answer
//! - [`attempt`]: gets the request to the agent, in the session and conversation of the plan
//! - [`named`]: may it use what it names; [`pooled`]: its session where users share them
//! - [`plan`]: what a turn continues (pure); [`hold`]: its hold on the session, and who waits meanwhile
//! - [`protocol`]: what it speaks
//! - [`answering`]: which questions of the agent it answers; [`claim`]: keeps other calls from answering them, too
//! - [`replace`]: what was saved and is gone
//! - [`deployment`]: a version that is not ready; [`version`]: one that is asked for by a single call
//! - [`outcome`]: how a failed turn is reported (pure)
//! - [`noted`]: what the journal gets of a run; [`resume`]: what earlier daemons left,
//!   [`reached`]: how that is found at the service
//! - [`waiting`]: its turn on the session, or what its caller chose for a busy one
//! - [`warm`]: keeps the session ready for the next turn
//! - [`observed`]: what is reported about the requests themselves: `--debug`, `-o raw`, waiting

mod answering;
mod attempt;
mod claim;
mod deployment;
mod hold;
mod named;
mod noted;
mod observed;
mod outcome;
mod perform;
mod plan;
mod pooled;
mod protocol;
mod reached;
mod replace;
mod resume;
mod version;
mod waiting;
mod warm;

pub(super) use self::outcome::{Standing, explain_failure};
pub(crate) use self::resume::{inherit, take_up, take_up_one};

use super::follow::{RunFollower, answer, answered};
use crate::daemon::Daemon;
use crate::error::CallError;
use crate::partition::locks::Waiter;
use crate::rpc::Call;
use crate::run::Beginning;
use cupola_protocol::error::{ErrorKind, Turn};
use cupola_protocol::invoke::{
    AgentProtocol, IfBusy, InvokeParams, InvokeResponse, MAX_INPUT_BYTES, OnDisconnect, RunStatus,
};
use cupola_protocol::target::Target;
use futures_util::FutureExt;
use std::sync::Arc;
use tracing::Instrument;

/// Takes its place in the order of arrival before it returns the future: what runs in the future runs beside other calls.
pub(crate) fn invoke(
    call: Call,
    params: InvokeParams,
) -> impl Future<Output = Result<InvokeResponse, CallError>> + use<> {
    let arrival = call.daemon.arrivals.join(&params.target);
    run(call, params, arrival)
}

async fn run(call: Call, mut params: InvokeParams, arrival: Waiter<Target>) -> Result<InvokeResponse, CallError> {
    let daemon = &call.daemon;
    params.traceparent = params.traceparent.or_else(|| call.client.traceparent().cloned());
    check(&params).and_then(|()| check_room(daemon)).map_err(|refused| refused.of_turn(Turn::NotRun))?;
    let beginning = Beginning { detached: params.is_kept(), may_survive: may_survive(daemon, &params) };
    let run = daemon.runs.begin(&daemon.activity, beginning, daemon.shutdown.work());
    run.asks(params.input.first_words());
    let reader = run.follow(0).await;
    let (token, text_only) = (params.partial_result_token.clone(), params.text_only);
    let performing = perform::perform(Arc::clone(daemon), Arc::clone(&run), params, arrival, call.received);
    // A detached run keeps its place after its call.
    let run_place = call.run_place.clone();
    let performing = performing.inspect(move |()| drop(run_place));
    daemon.tasks.spawn(performing.instrument(tracing::info_span!("run", id = %run.id())));

    let follower = RunFollower { call: &call, token: token.as_ref(), text_only };
    let cancelled = |turn| CallError::cancelled().of_turn(turn).of_run(run.id().clone());
    let mut following = std::pin::pin!(follower.follow(&run, reader));
    let outcome = tokio::select! {
        biased;
        outcome = &mut following => {
            let outcome = outcome?;
            // The client of a detached run may have left without it.
            if !run.is_detached() {
                answered(daemon, &run).await;
            }
            return answer(&outcome);
        }
        () = call.cancelled.cancelled() => {
            if !daemon.shutdown.is_forced() {
                if call.left.is_cancelled() {
                    // Whether the run ends is decided by whether anyone else follows it.
                    return Err(cancelled(Turn::MayHaveRun));
                }
                run.cancel();
            }
            following.await?
        }
    };
    match outcome.as_ref() {
        Ok(InvokeResponse { status: RunStatus::Cancelled, failure, .. }) => {
            let turn = failure.as_ref().and_then(|failure| failure.turn);
            Err(cancelled(turn.unwrap_or(Turn::MayHaveRun)))
        }
        // It had ended otherwise by then.
        _ => answer(&outcome),
    }
}

/// Is the run to outlive the daemon, as far as its request says? The embedded emulator ends with the daemon, and an unmodified
/// answer cannot be read a second time.
fn may_survive(daemon: &Daemon, params: &InvokeParams) -> bool {
    let is_embedded = matches!(params.target, Target::Emulator { url: None, .. });
    (params.detach || params.survive) && daemon.journal.is_open() && !params.raw && !is_embedded
}

/// Are there as many runs as the daemon takes?
fn check_room(daemon: &Daemon) -> Result<(), CallError> {
    let most = daemon.config.runs.under_way;
    if daemon.activity.runs() < most {
        return Ok(());
    }
    Err(CallError::new(ErrorKind::Overloaded, format!("{most} runs are under way, and no more are begun"))
        .hint("wait for one to end, or end one: `cupola runs list` shows them, `cupola runs cancel` ends one"))
}

/// Fields that contradict each other or are invalid by themselves.
fn check(params: &InvokeParams) -> Result<(), CallError> {
    let clash = |left: &str, right: &str| {
        Err(CallError::invalid_params(format!("{left} and {right} cannot be given together"))
            .hint("leave one of them out"))
    };
    if params.input.is_empty() {
        return Err(CallError::invalid_params("the input is empty, so there is nothing to send")
            .hint("write a message; if it comes from a pipe or a file, check that something arrives"));
    }
    if params.input.len() > MAX_INPUT_BYTES {
        let (given, most) = (params.input.len(), MAX_INPUT_BYTES / (1024 * 1024));
        let message = format!("the input has {given} bytes, and at most {most} MiB ({MAX_INPUT_BYTES} bytes) are sent");
        return Err(CallError::invalid_params(message)
            .hint("upload it as a file (`cupola files upload`, `files/write`), and name the file in the input"));
    }
    warm::check(params)?;
    if params.detach && params.on_disconnect == Some(OnDisconnect::Cancel) {
        return clash("detach", "onDisconnect: cancel");
    }
    if params.raw && params.if_busy == IfBusy::Steer {
        return clash("raw", "ifBusy: steer");
    }
    if params.new_session && params.session_id.is_some() {
        return clash("newSession", "sessionId");
    }
    if params.new_conversation && params.conversation_id.is_some() {
        return clash("newConversation", "conversationId");
    }
    if params.previous_response_id.is_some() {
        if params.conversation_id.is_some() {
            return clash("previousResponseId", "conversationId");
        }
        if params.new_conversation {
            return clash("previousResponseId", "newConversation");
        }
    }
    if params.version_override.is_some() {
        for (is_given, field) in [
            (params.target.version().is_some(), "version"),
            (params.session_id.is_some(), "sessionId"),
            (params.conversation_id.is_some(), "conversationId"),
        ] {
            if is_given {
                return clash("versionOverride", field);
            }
        }
        if matches!(params.target, Target::Local { .. }) {
            return Err(CallError::invalid_params("a local agent has no versions: the service keeps them")
                .hint("leave --version-override out, or call the deployed agent"));
        }
    }
    if params.protocol == Some(AgentProtocol::A2a) && matches!(params.target, Target::Local { .. }) {
        return Err(CallError::invalid_params("a local agent does not speak a2a: the service does that for it")
            .hint("leave --protocol out, or call the deployed agent"));
    }
    Ok(())
}
