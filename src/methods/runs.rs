//! `runs/*`: following, showing and ending the runs of this daemon, those of a daemon that was replaced and still finishes them
//! ([`replaced`]), and what is known of those that earlier ones left ([`left`]).

mod left;
mod replaced;

use super::follow::{RunFollower, answer, answered};
use super::invoke::{inherit, take_up_one};
use super::listed::among;
use crate::error::CallError;
use crate::partition::journal::Entry;
use crate::partition::pages::Among;
use crate::partition::{AgentKey, Owner, Partition};
use crate::predecessors::Predecessor;
use crate::rpc::Call;
use crate::run::Run;
use crate::system::clock::from_rfc3339;
use cupola_protocol::error::ErrorKind;
use cupola_protocol::id::RunId;
use cupola_protocol::invoke::InvokeResponse;
use cupola_protocol::isolation::Isolation;
use cupola_protocol::runs::{AttachParams, ListParams, ListResponse, RunInfo, RunParams};
use std::cmp::Reverse;
use std::sync::Arc;
use std::time::SystemTime;

pub(crate) async fn list(call: Call, params: ListParams) -> Result<ListResponse, CallError> {
    let (agents, owner) = match (&params.target, &params.isolation) {
        (None, Some(_)) => {
            return Err(CallError::invalid_params("isolation says whose runs only together with target")
                .hint("name the agent as well"));
        }
        (Some(target), Some(isolation)) if !params.any_agent => {
            let partition = call.scope(target, isolation).await?.partition;
            (Among::Of(partition.agent), Some(partition.owner))
        }
        (target, isolation) => (among(target.as_ref(), isolation.as_ref(), params.any_agent).await?, None),
    };
    let wanted = Wanted { agents, owner, own: own(&call).await? };
    let predecessors = replaced::daemons(&call);
    if !predecessors.is_empty() {
        // A run that was left to this daemon is listed as this one's.
        inherit(&call.daemon).await;
    }
    let is_listed = |run: &Arc<Run>| !run.is_left() && wanted.has_run(run);
    let here = call.daemon.runs.all().into_iter().filter(is_listed);
    let mut runs: Vec<_> = here.map(|run| Dated { at: run.started_at(), run: run.info() }).collect();
    let late = replaced::list(&predecessors, &wanted).await;
    add(&mut runs, late.into_iter().map(|run| Dated { at: from_rfc3339(&run.started_at), run }));
    if params.all {
        let left = call.daemon.journal.left().await?.into_iter().filter(|entry| wanted.has_place(&entry.partition));
        add(&mut runs, left.map(|entry| Dated { at: entry.facts.started_at, run: left::info(&entry) }));
    }
    // The times in the answer have whole seconds, which would not tell runs of the same second apart.
    runs.sort_by_key(|dated| Reverse(dated.at));
    Ok(ListResponse { runs: runs.into_iter().map(|dated| dated.run).collect() })
}

/// A run, and when its request arrived. Of a run of another daemon only the second is known.
struct Dated {
    at: SystemTime,
    run: RunInfo,
}

/// Adds those that are not among the runs yet.
fn add(runs: &mut Vec<Dated>, more: impl Iterator<Item = Dated>) {
    let new: Vec<_> = more.filter(|one| runs.iter().all(|known| known.run.run_id != one.run.run_id)).collect();
    runs.extend(new);
}

/// Which runs a caller asked for, and may know of.
struct Wanted {
    /// Those of these agents.
    agents: Among,
    /// Only those of this owner, if one is given.
    owner: Option<Owner>,
    /// The partition of a bound connection.
    own: Option<Partition>,
}

impl Wanted {
    fn has_place(&self, place: &Partition) -> bool {
        self.agents.has_agent(&place.agent)
            && self.owner.is_none_or(|owner| owner == place.owner)
            && self.own.as_ref().is_none_or(|own| own.covers(place))
    }

    /// As [`Self::has_place`], of a run of this daemon. One whose partition is not known yet belongs to nobody.
    fn has_run(&self, run: &Run) -> bool {
        match run.partition() {
            Some(place) => self.has_place(&place),
            None => matches!(self, Self { agents: Among::All, owner: None, own: None }),
        }
    }

    /// As [`Self::has_place`], of a run that another daemon has.
    fn has(&self, run: &RunInfo) -> bool {
        let agent = AgentKey::from_stored(run.agent.clone());
        self.agents.has_agent(&agent)
            && self.owner.is_none_or(|owner| replaced::is_in(run, &Partition { agent, owner, version: None }))
            && self.own.as_ref().is_none_or(|own| replaced::is_in(run, own))
    }
}

/// The gate has made sure that a bound connection may give this isolation, and has taken it into account. A run's id says on no other
/// connection whose run it is.
fn check_isolation(call: &Call, isolation: Option<&Isolation>) -> Result<(), CallError> {
    if call.bounds.is_none() && isolation.is_some() {
        return Err(CallError::invalid_params("isolation says whose run only on a bound connection")
            .hint("leave isolation out: the run's id is enough"));
    }
    Ok(())
}

pub(crate) async fn show(call: Call, params: RunParams) -> Result<RunInfo, CallError> {
    check_isolation(&call, params.isolation.as_ref())?;
    Ok(match find(&call, &params.run_id).await? {
        Found::Here(run) => shown(&call, &run).await?,
        Found::AtService(entry) => shown(&call, &take_up_one(&call.daemon, *entry)).await?,
        Found::Left(entry) => left::info(&entry),
        Found::Replaced(_, run) => *run,
    })
}

/// A run with what the agent asked in it and still waits for.
async fn shown(call: &Call, run: &Run) -> Result<RunInfo, CallError> {
    let (mut info, asked) = (run.info(), run.asked());
    if let Some(partition) = run.partition().filter(|_| !asked.is_empty()) {
        let open = call.daemon.store.open_questions(&partition).await?;
        info.questions =
            open.into_iter().map(|open| open.question).filter(|question| asked.contains(&question.id)).collect();
    }
    Ok(info)
}

pub(crate) async fn attach(call: Call, mut params: AttachParams) -> Result<InvokeResponse, CallError> {
    check_isolation(&call, params.isolation.as_ref())?;
    // Another daemon is asked on a connection that is not bound.
    params.isolation = None;
    let mut is_left = false;
    let found = loop {
        match find(&call, &params.run_id).await? {
            Found::Replaced(daemon, run) => match replaced::attach(&call, &daemon, &mut params).await {
                Ok(Some(answer)) => return Ok(answer),
                // What its daemon left is looked for here.
                Ok(None) => {}
                Err(error) if !is_left && replaced::is_left(&run, &error) => is_left = true,
                Err(error) => return Err(error),
            },
            found => break found,
        }
    };
    let after = params.after.unwrap_or_default();
    let run = match found {
        Found::Here(run) => run,
        Found::AtService(entry) => take_up_one(&call.daemon, *entry),
        Found::Replaced(_, run) => return Err(unknown(&run.run_id)),
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
    check_isolation(&call, params.isolation.as_ref())?;
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
        Found::Replaced(daemon, run) => {
            let cancelled = replaced::cancel(&daemon, &params.run_id).await?;
            return Ok(cancelled.unwrap_or(*run));
        }
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
    /// A daemon that was replaced still has it.
    Replaced(Predecessor, Box<RunInfo>),
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
    match replaced::find(call, id, own.as_ref()).await {
        Some((daemon, run)) => Ok(Found::Replaced(daemon, Box::new(run))),
        None => Err(unknown(id)),
    }
}

fn unknown(id: &RunId) -> CallError {
    CallError::new(ErrorKind::NotFound, format!("the run {id} was not found")).hint(
        "`cupola runs list --all` shows those under way, those that ended recently, and what earlier daemons left",
    )
}
