//! `runs/*`: following, showing and ending the runs of this daemon, and what is known of those that earlier ones left ([`left`]).

mod left;

use super::follow::{RunFollower, answer, answered};
use super::invoke::{inherit, take_up_one};
use crate::error::CallError;
use crate::partition::journal::Entry;
use crate::partition::{AgentKey, Owner, Partition};
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
    let mut runs: Vec<_> = call.daemon.runs.all().into_iter().filter(is_wanted).map(|run| run.info()).collect();
    if params.all {
        let is_wanted = |entry: &Entry| {
            let place = &entry.partition;
            let is_of = |agent: &AgentKey, owner: Option<Owner>| {
                place.agent == *agent && owner.is_none_or(|owner| owner == place.owner)
            };
            whose.as_ref().is_none_or(|(agent, owner)| is_of(agent, *owner))
                && own.as_ref().is_none_or(|own| own.covers(place))
        };
        let left = call.daemon.journal.left().await?.into_iter().filter(is_wanted).map(|entry| left::info(&entry));
        let left: Vec<_> = left.filter(|left| runs.iter().all(|run| run.run_id != left.run_id)).collect();
        runs.extend(left);
    }
    Ok(ListResponse { runs })
}

pub(crate) async fn show(call: Call, params: RunParams) -> Result<RunInfo, CallError> {
    Ok(match find(&call, &params.run_id).await? {
        Found::Here(run) => run.info(),
        Found::AtService(entry) => take_up_one(&call.daemon, *entry).info(),
        Found::Left(entry) => left::info(&entry),
    })
}

pub(crate) async fn attach(call: Call, params: AttachParams) -> Result<InvokeResponse, CallError> {
    let after = params.after.unwrap_or_default();
    let run = match find(&call, &params.run_id).await? {
        Found::Here(run) => run,
        Found::AtService(entry) => take_up_one(&call.daemon, *entry),
        Found::Left(entry) => {
            let token = params.partial_result_token.as_ref();
            if let (Some(token), Some(ending)) = (token, left::ending(&entry, after)) {
                call.progress(token, &ending).await?;
            }
            return Ok(left::answer(&entry));
        }
    };
    // What an earlier daemon passed on is read again, and may not have come yet.
    if after > run.last_event() && !run.is_taken_up() {
        return Err(CallError::invalid_params(format!("after: the run's newest event is {}", run.last_event()))
            .hint("give the number of the last event seen, or leave it out for everything"));
    }
    let reader = run.follow(after).await;
    let follower =
        RunFollower { call: &call, token: params.partial_result_token.as_ref(), text_only: params.text_only };
    let mut following = std::pin::pin!(follower.follow(&run, reader));
    tokio::select! {
        biased;
        outcome = &mut following => {
            let outcome = outcome?;
            answered(&call.daemon, &run).await;
            answer(&outcome)
        }
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
    let run = match find(&call, &params.run_id).await? {
        Found::Here(run) => run,
        Found::AtService(entry) => {
            let has_ended = entry.ended.is_some();
            let run = take_up_one(&call.daemon, *entry);
            if has_ended {
                return Ok(run.info());
            }
            run
        }
        Found::Left(entry) => return Ok(left::info(&entry)),
    };
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

/// A run that was asked for.
enum Found {
    /// This daemon has it.
    Here(Arc<Run>),
    /// It is not kept in memory any more, but the service still has it.
    AtService(Box<Entry>),
    /// An earlier daemon left it, and nobody can continue it.
    Left(Box<Entry>),
}

/// The run of this id. Another partition's is as if it were not there to a connection that is bound to one.
async fn find(call: &Call, id: &RunId) -> Result<Found, CallError> {
    let own = own(call).await?;
    let here = || call.daemon.runs.find(id).filter(|run| own.as_ref().is_none_or(|own| run.is_in(own)));
    // A run that the service continues, of a daemon that hands over to this one.
    let is_here = |run: &Arc<Run>| !run.is_left();
    if let Some(run) = here().filter(is_here) {
        return Ok(Found::Here(run));
    }
    if !call.daemon.shutdown.is_draining() {
        inherit(&call.daemon).await;
    }
    if let Some(run) = here() {
        return Ok(Found::Here(run));
    }
    let written = call.daemon.journal.find(id).await?;
    let written = written.filter(|entry| own.as_ref().is_none_or(|own| own.covers(&entry.partition)));
    match written {
        Some(entry) if entry.is_settled() => return Ok(Found::Left(Box::new(entry))),
        Some(entry) if entry.reach.is_some() && entry.facts.response.is_some() => {
            return Ok(Found::AtService(Box::new(entry)));
        }
        _ => {}
    }
    Err(CallError::new(ErrorKind::NotFound, format!("there is no run {id}")).hint(
        "`cupola runs list --all` shows those under way, those that ended recently, and what earlier daemons left",
    ))
}
