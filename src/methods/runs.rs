//! `runs/*`: following, showing and ending the runs of this daemon.

use super::follow::{RunFollower, answer};
use crate::error::CallError;
use crate::partition::{AgentKey, Partition};
use crate::rpc::Call;
use crate::run::Run;
use crate::target::named;
use cupola_protocol::error::ErrorKind;
use cupola_protocol::id::RunId;
use cupola_protocol::invoke::InvokeResponse;
use cupola_protocol::runs::{AttachParams, ListParams, ListResponse, RunInfo, RunParams};
use std::sync::Arc;

pub(crate) async fn list(call: Call, params: ListParams) -> Result<ListResponse, CallError> {
    let whose = match (&params.target, &params.isolation) {
        (None, None) => None,
        (None, Some(_)) => {
            return Err(CallError::invalid_params("isolation says whose runs only together with target")
                .hint("name the agent as well"));
        }
        (Some(target), None) => Some((AgentKey::new(&named(target).await?.0), None)),
        (Some(target), Some(isolation)) => {
            let partition = call.scope(target, isolation).await?.partition;
            Some((partition.agent, Some(partition.owner)))
        }
    };
    let own = own(&call).await?;
    let is_wanted = |run: &Arc<Run>| {
        whose.as_ref().is_none_or(|(agent, owner)| run.is_of(agent, *owner))
            && own.as_ref().is_none_or(|own| run.is_in(own))
    };
    let runs = call.daemon.runs.all().into_iter().filter(is_wanted).map(|run| run.info()).collect();
    Ok(ListResponse { runs })
}

pub(crate) async fn show(call: Call, params: RunParams) -> Result<RunInfo, CallError> {
    Ok(find(&call, &params.run_id).await?.info())
}

pub(crate) async fn attach(call: Call, params: AttachParams) -> Result<InvokeResponse, CallError> {
    let run = find(&call, &params.run_id).await?;
    let after = params.after.unwrap_or_default();
    if after > run.last_event() {
        return Err(CallError::invalid_params(format!("after: the run's newest event is {}", run.last_event()))
            .hint("give the number of the last event seen, or leave it out for everything"));
    }
    let reader = run.follow(after).await;
    let follower =
        RunFollower { call: &call, token: params.partial_result_token.as_ref(), text_only: params.text_only };
    let mut following = std::pin::pin!(follower.follow(&run, reader));
    tokio::select! {
        biased;
        outcome = &mut following => answer(&outcome?),
        // When the daemon is made to end, the run does, and its ending is passed on.
        () = call.cancelled.cancelled() => {
            if call.daemon.shutdown.is_forced() {
                return answer(&following.await?);
            }
            Err(CallError::cancelled().of_run(run.id().clone()))
        }
    }
}

/// Returns once the run has ended, which is soon: what the service is told takes a bounded time.
pub(crate) async fn cancel(call: Call, params: RunParams) -> Result<RunInfo, CallError> {
    let run = find(&call, &params.run_id).await?;
    run.cancel();
    tokio::select! {
        _outcome = run.ended() => {}
        () = call.cancelled.cancelled() => {}
    }
    Ok(run.info())
}

/// The partition whose runs alone a bound connection knows of.
async fn own(call: &Call) -> Result<Option<Partition>, CallError> {
    match &call.bounds {
        Some(bounds) => bounds.partition(&call.daemon).await.map(Some),
        None => Ok(None),
    }
}

/// The run of this id. Another partition's is as if it were not there to a connection that is bound to one.
async fn find(call: &Call, id: &RunId) -> Result<Arc<Run>, CallError> {
    let own = own(call).await?;
    let run = call.daemon.runs.find(id).filter(|run| own.as_ref().is_none_or(|own| run.is_in(own)));
    run.ok_or_else(|| {
        CallError::new(ErrorKind::NotFound, format!("there is no run {id}"))
            .hint("`cupola runs list` shows those under way and those that ended recently")
    })
}
