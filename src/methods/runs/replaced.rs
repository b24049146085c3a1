//! Runs of daemons that were replaced by this one and still finish them: found, and followed through this daemon.

use super::Wanted;
use crate::error::CallError;
use crate::partition::Partition;
use crate::predecessors::{self, Answer, Predecessor};
use crate::rpc::Call;
use cupola_protocol::error::ErrorKind;
use cupola_protocol::id::RunId;
use cupola_protocol::invoke::InvokeResponse;
use cupola_protocol::runs::{Attach, AttachParams, Cancel, List, ListParams, RunInfo, RunParams, Show};
use serde::Deserialize;
use std::sync::atomic::Ordering;

/// The daemons to ask. None in a process that cannot have replaced another, and none while this one leaves.
pub(super) fn daemons(call: &Call) -> Vec<Predecessor> {
    let daemon = &call.daemon;
    if !daemon.can_hand_over.load(Ordering::Relaxed) || daemon.shutdown.is_draining() {
        return Vec::new();
    }
    predecessors::all(&daemon.config.socket)
}

/// Their runs.
pub(super) async fn list(daemons: &[Predecessor], wanted: &Wanted) -> Vec<RunInfo> {
    let mut runs = Vec::new();
    for daemon in daemons {
        // If one does not answer, the runs of the others are still listed.
        if let Ok(Some(listed)) = daemon.ask::<List>(&ListParams::default()).await {
            runs.extend(listed.runs.into_iter().filter(|run| wanted.has(run)));
        }
    }
    runs
}

/// The run of this id, if one of them has it and `own` covers it.
pub(super) async fn find(call: &Call, id: &RunId, own: Option<&Partition>) -> Option<(Predecessor, RunInfo)> {
    for daemon in daemons(call) {
        if let Ok(Some(run)) = daemon.ask::<Show>(&RunParams { run_id: id.clone(), isolation: None }).await {
            return own.is_none_or(|own| is_in(&run, own)).then_some((daemon, run));
        }
    }
    None
}

/// Is the run this partition's, or one of its versions'?
pub(super) fn is_in(run: &RunInfo, partition: &Partition) -> bool {
    // A version that was asked for is the one that answers.
    let versions = if partition.version.is_none() { vec![None, run.agent_version.clone()] } else { Vec::new() };
    let candidates = versions.into_iter().map(|version| Partition { version, ..partition.clone() });
    run.partition_id
        .as_ref()
        .is_some_and(|id| candidates.chain([partition.clone()]).any(|candidate| candidate.id() == *id))
}

/// Cancels it there. `None`: its daemon has ended.
pub(super) async fn cancel(daemon: &Predecessor, id: &RunId) -> Result<Option<RunInfo>, CallError> {
    daemon.ask::<Cancel>(&RunParams { run_id: id.clone(), isolation: None }).await
}

/// Follows it there and passes its events on; `params.after` moves with them. `None`: its daemon has ended.
pub(super) async fn attach(
    call: &Call,
    daemon: &Predecessor,
    params: &mut AttachParams,
) -> Result<Option<InvokeResponse>, CallError> {
    #[derive(Deserialize)]
    struct Numbered {
        number: u64,
    }
    let Some(mut answers) = daemon.call::<Attach>(params).await? else { return Ok(None) };
    loop {
        let answer = tokio::select! {
            biased;
            answer = answers.next() => answer?,
            () = call.cancelled.cancelled() => return Err(CallError::cancelled().of_run(params.run_id.clone())),
        };
        let event = match answer {
            Some(Answer::Event(event)) => event,
            Some(Answer::Last(answer)) => return Ok(Some(answer)),
            None => return Ok(None),
        };
        if let Some(token) = &params.partial_result_token {
            call.progress(token, &event).await?;
        }
        if let Ok(Numbered { number }) = serde_json::from_str(event.get()) {
            params.after = Some(number);
        }
    }
}

/// Does a failure to follow it say that this daemon has the run now?
pub(super) fn is_left(run: &RunInfo, error: &CallError) -> bool {
    run.survives && error.kind() == ErrorKind::ShuttingDown
}
