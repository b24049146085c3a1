//! `partitions/*`: saved state: listed, forgotten, taken over from another program.

use super::listed;
use crate::daemon::Daemon;
use crate::error::CallError;
use crate::partition::exclusion::under;
use crate::partition::fence::{Verdict, judge};
use crate::partition::pages::{Among, Place};
use crate::partition::store::SavedPartition;
use crate::partition::{AgentKey, Owner, Partition};
use crate::rpc::Call;
use crate::rpc::explain::explain;
use crate::rpc::scope::{model_of, recently};
use crate::system::clock::rfc3339;
use crate::target::Resolved;
use cupola_protocol::error::ErrorKind;
use cupola_protocol::isolation::IsolationModel;
use cupola_protocol::partitions::{
    ForgetParams, ForgetResponse, ImportEntry, ImportOutcome, ImportParams, ImportResponse, Imported, ListParams,
    ListResponse, MAX_PAGE, PartitionInfo,
};
use std::cmp::Reverse;

/// Most entries of one call: azd keeps one per agent and version.
const MAX_ENTRIES: usize = 1000;

/// How many partitions are read at a time where a list is wanted as a whole: one user's are hardly ever more.
const WHOLE_PAGE: usize = 1000;

pub(crate) async fn list(call: Call, params: ListParams) -> Result<ListResponse, CallError> {
    let (among, own) = match (&params.target, &params.isolation) {
        (None, Some(_)) => {
            return Err(CallError::invalid_params("isolation says whose only together with target")
                .hint("name the agent as well"));
        }
        (Some(target), Some(isolation)) if !params.any_agent => {
            let partition = call.scope(target, isolation).await?.partition;
            (Among::Of(partition.agent.clone()), Some(partition))
        }
        (target, isolation) => (listed::among(target.as_ref(), isolation.as_ref(), params.any_agent).await?, None),
    };
    let among = match (&call.bounds, &own) {
        (None, _) => among,
        (Some(_), Some(own)) => Among::CoveredBy(own.clone()),
        (Some(_), None) => return Ok(ListResponse { partitions: Vec::new(), next: None }),
    };
    let (saved, next) = if params.limit.is_some() || params.after.is_some() {
        let (after, most) = place(&params, &among)?;
        let page = call.daemon.store.page(&among, after.as_ref(), most).await?;
        (page.partitions, page.next.map(|place| place.cursor(&among)))
    } else {
        (whole(&call.daemon, &among).await?, None)
    };
    let is_own = |partition: &Partition| own.as_ref().is_some_and(|own| own.owner == partition.owner);
    let partitions = saved
        .into_iter()
        .map(|SavedPartition { partition, saved, updated_at }| PartitionInfo {
            id: partition.id(),
            own: is_own(&partition),
            agent: partition.agent.as_str().to_owned(),
            version: partition.version,
            session_id: saved.session,
            conversation_id: saved.conversation,
            context_id: saved.context,
            updated_at: Some(rfc3339(updated_at)),
        })
        .collect();
    Ok(ListResponse { partitions, next })
}

/// Where the page that is asked for begins, and how many it may have.
fn place(params: &ListParams, among: &Among) -> Result<(Option<Place>, usize), CallError> {
    let most = match params.limit {
        Some(0) => {
            return Err(CallError::invalid_params("limit must be 1 or more").hint("give 1 or more, or leave it out"));
        }
        limit => usize::try_from(limit.unwrap_or(MAX_PAGE).min(MAX_PAGE)).unwrap_or(usize::MAX),
    };
    let after = params.after.as_ref().map(|cursor| {
        Place::read(cursor, among).ok_or_else(|| {
            CallError::invalid_params("after is not the end of a page of this list").hint(
                "pass `next` of the page before, with the same target, isolation and anyAgent; leave after out to begin again",
            )
        })
    });
    Ok((after.transpose()?, most))
}

/// All partitions of a list, the latest changed first.
pub(super) async fn whole(daemon: &Daemon, among: &Among) -> Result<Vec<SavedPartition>, CallError> {
    if !matches!(among, Among::CoveredBy(_)) {
        let saved = daemon.store.list().await?;
        return Ok(saved.into_iter().filter(|saved| among.has(&saved.partition)).collect());
    }
    // One user's are few. Those of all others are not read for them.
    let (mut saved, mut after) = (Vec::new(), None);
    loop {
        let page = daemon.store.page(among, after.as_ref(), WHOLE_PAGE).await?;
        saved.extend(page.partitions);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    // Those of the same second keep the order of their keys.
    saved.sort_by_key(|saved| Reverse(saved.updated_at));
    Ok(saved)
}

pub(crate) async fn forget(call: Call, params: ForgetParams) -> Result<ForgetResponse, CallError> {
    // A bound connection's calls always have a target: its own, which holds for an id, too.
    let own = match (&params.target, &params.id) {
        (None, None) => return Err(CallError::invalid_params("name what to forget: id, or target and isolation")),
        (Some(_), Some(_)) if call.bounds.is_none() => {
            return Err(
                CallError::invalid_params("id and target cannot be given together").hint("leave one of them out")
            );
        }
        (None, Some(_)) => None,
        (Some(target), _) => {
            let isolation = params.isolation.clone().unwrap_or_default();
            Some(call.scope(target, &isolation).await?.partition)
        }
    };
    let is_meant = |partition: &Partition| params.id.as_ref().is_none_or(|id| *id == partition.id());
    let saved = whole(&call.daemon, &own.map_or(Among::All, Among::CoveredBy)).await?.into_iter();
    let meant: Vec<_> = saved.map(|saved| saved.partition).filter(is_meant).collect();
    let forgotten = forget_each(&call.daemon, &meant).await?;
    match params.id {
        Some(id) if forgotten == 0 => Err(CallError::new(ErrorKind::NotFound, format!("nothing is saved as {id}"))
            .hint("`cupola partitions list` shows what is saved")),
        _ => Ok(ForgetResponse { forgotten }),
    }
}

/// Forgets partitions, each under its lock: what a daemon that was stopped for too long forgets late is refused.
pub(super) async fn forget_each(daemon: &Daemon, partitions: &[Partition]) -> Result<u64, CallError> {
    let mut forgotten = 0;
    for partition in partitions {
        let turn = daemon.partition_locks.take(partition).await?;
        forgotten += under(&daemon.store, turn.lease()).forget(std::slice::from_ref(partition)).await?;
    }
    Ok(forgotten)
}

pub(crate) async fn import(call: Call, params: ImportParams) -> Result<ImportResponse, CallError> {
    if params.entries.len() > MAX_ENTRIES {
        let count = params.entries.len();
        return Err(CallError::invalid_params(format!("entries: {count} at once, and {MAX_ENTRIES} is the most"))
            .hint("import them in parts"));
    }
    let mut entries = Vec::with_capacity(params.entries.len());
    for entry in &params.entries {
        let imported = match partition(&call.daemon, entry).await {
            Ok(partition) => take_over(&call.daemon, &partition, entry, &params).await?,
            // One agent that is gone does not stand in the way of the others.
            Err(refusal) => Imported { session: None, conversation: None, refused: Some(reason(&refusal)) },
        };
        entries.push(imported);
    }
    Ok(ImportResponse { entries })
}

fn reason(refusal: &CallError) -> String {
    let hint = refusal.data.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
    format!("{}{hint}", refusal.message)
}

/// The partition an entry belongs to. The agent's definition is asked for only if the entry leaves the model open.
async fn partition(daemon: &Daemon, entry: &ImportEntry) -> Result<Partition, CallError> {
    let Resolved { target, agent, .. } = daemon.targets.resolve(&entry.target).await?;
    let caller = agent.caller().await?;
    let key = AgentKey::new(&target);
    let model = match entry.isolation.model {
        _ if agent.address().is_local() => IsolationModel::Local,
        Some(model) => model,
        None => {
            let definition = agent.definition(target.version(), recently()).await.map_err(|error| {
                let refusal = explain(error, None);
                let hint = "name its model with --isolation-model to do without the service";
                if refusal.data.retryable { refusal.hint(hint) } else { refusal }
            })?;
            model_of(definition.as_ref(), &entry.isolation)
        }
    };
    let owner = Owner::new(&key, caller.as_str(), model, &entry.isolation);
    Ok(Partition { agent: key, owner, version: target.version().cloned() })
}

async fn take_over(
    daemon: &Daemon,
    partition: &Partition,
    entry: &ImportEntry,
    params: &ImportParams,
) -> Result<Imported, CallError> {
    // A first call of the same partition must not save its own ids in between.
    let turn = daemon.partition_locks.take(partition).await?;
    let store = under(&daemon.store, turn.lease());
    let saved = store.load(partition).await?;
    let mut imported = Imported { session: None, conversation: None, refused: None };
    if let Some(session) = &entry.session_id {
        let known = daemon.store.known_session(&partition.agent, session).await?;
        let verdict = judge(partition.owner, known.map(|known| known.owner));
        let outcome = outcome(verdict, saved.session.as_ref(), session, params.force);
        if outcome == ImportOutcome::Imported && !params.dry_run {
            store.set_session(partition, session).await?;
        }
        imported.session = Some(outcome);
    }
    if let Some(conversation) = &entry.conversation_id {
        let known = daemon.store.conversation_owner(&partition.agent, conversation).await?;
        let outcome = outcome(judge(partition.owner, known), saved.conversation.as_ref(), conversation, params.force);
        if outcome == ImportOutcome::Imported && !params.dry_run {
            store.set_conversation(partition, conversation).await?;
        }
        imported.conversation = Some(outcome);
    }
    Ok(imported)
}

/// Nothing ever gets another user's, however much force is used.
fn outcome<Id: PartialEq>(verdict: Verdict, saved: Option<&Id>, id: &Id, force: bool) -> ImportOutcome {
    match saved {
        Some(saved) if saved == id => ImportOutcome::Unchanged,
        _ if verdict == Verdict::Foreign => ImportOutcome::Foreign,
        Some(_) if !force => ImportOutcome::Kept,
        _ => ImportOutcome::Imported,
    }
}
