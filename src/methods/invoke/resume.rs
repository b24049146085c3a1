//! What earlier daemons left: runs that continue at the service are taken up under their own ids, and the others are settled: what
//! is known of them is kept, so that it can be shown. No turn is sent again.

use super::perform;
use crate::daemon::Daemon;
use crate::partition::journal::{Ended, Entry};
use crate::run::Run;
use crate::run::journal::KEPT_FOR;
use cupola_protocol::invoke::RunStatus;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tracing::Instrument as _;

/// How often to check whether a daemon that was alive has left runs.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Why a run that ended with its daemon has no answer.
const CUT: &str = "the daemon that served the run ended before the answer did";

/// Why a run has no answer if its response was not known yet.
const UNNAMED: &str = "the daemon ended before the service had named the response, so the turn may or may not have run";

/// Opens the journal and takes up what it has. Called once, before the first client is served.
pub(crate) async fn take_up(daemon: &Arc<Daemon>) {
    if let Err(error) = daemon.journal.open().await {
        tracing::warn!(%error, "the journal of runs cannot be kept; runs end with this daemon");
        return;
    }
    if !inherit(daemon).await {
        return;
    }
    let looking = Arc::clone(daemon);
    daemon.tasks.spawn(async move {
        loop {
            tokio::select! {
                () = looking.shutdown.draining() => return,
                () = tokio::time::sleep(LOOK_AGAIN) => {}
            }
            if !inherit(&looking).await {
                return;
            }
        }
    });
}

/// Takes up the runs of daemons that are gone. Are others alive that may leave some?
pub(crate) async fn inherit(daemon: &Arc<Daemon>) -> bool {
    let inherited = match daemon.journal.inherit().await {
        Ok(inherited) => inherited,
        Err(error) => {
            tracing::warn!(%error, "the runs of earlier daemons cannot be read; trying again");
            return true;
        }
    };
    for entry in inherited.entries {
        if entry.reach.is_none() || entry.facts.response.is_none() {
            settle(daemon, entry).await;
            continue;
        }
        tracing::info!(id = %entry.run, "taking up a run of an earlier daemon");
        take_up_one(daemon, entry);
    }
    inherited.is_more
}

/// Follows a run at the service that was begun before, by this daemon or another.
pub(crate) fn take_up_one(daemon: &Arc<Daemon>, entry: Entry) -> Arc<Run> {
    let run = match daemon.runs.take_up(&daemon.activity, &entry, daemon.shutdown.work()) {
        Ok(run) => run,
        Err(known) => return known,
    };
    let session = entry.facts.session.as_ref();
    // Joined before the first client is served: a call on the session waits for the run.
    let place = session.map(|session| daemon.session_locks.join(&(entry.partition.agent.clone(), session.clone())));
    let span = tracing::info_span!("run", id = %run.id());
    daemon.tasks.spawn(perform::resume(Arc::clone(daemon), Arc::clone(&run), entry, place).instrument(span));
    run
}

/// Keeps what is known of a run that nobody can continue, and nothing that could reach it.
async fn settle(daemon: &Daemon, mut entry: Entry) {
    if entry.ended.is_none() {
        let reason = if entry.reach.is_some() { UNNAMED } else { CUT };
        entry.ended = Some(Ended { status: RunStatus::Truncated, number: None });
        entry.facts.reason = Some(reason.to_owned());
    }
    (entry.reach, entry.updated_at) = (None, SystemTime::now());
    if let Err(error) = daemon.journal.write(&entry).await {
        tracing::warn!(%error, run = %entry.run, "what became of a run could not be written down");
    }
    daemon.journal.take_out(&entry.run, KEPT_FOR);
}
