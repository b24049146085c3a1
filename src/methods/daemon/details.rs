//! What the daemon is doing: the details of `daemon/status`. What cannot be read is left out, so that the rest can be seen.

use super::super::auth::token;
use crate::daemon::Daemon;
use crate::system::clock::rfc3339;
use crate::system::sockets;
use cupola_protocol::status::{RecentError, SessionUse, StatusDetails, UpstreamConnection, WarmSession};

/// How many partitions are shown: the latest changed are those that somebody looks for.
const MAX_SESSIONS: usize = 100;

pub(super) async fn of(daemon: &Daemon) -> StatusDetails {
    let runs = daemon.runs.all();
    let saved = daemon.store.list().await.unwrap_or_else(|error| {
        tracing::warn!(%error, "partitions cannot be listed");
        Vec::new()
    });
    let sessions = saved.into_iter().take(MAX_SESSIONS).map(|saved| SessionUse {
        partition: saved.partition.id(),
        runs: runs.iter().filter(|run| run.status().is_none() && run.is_in(&saved.partition)).count() as u64,
        agent: saved.partition.agent.as_str().to_owned(),
        session_id: saved.saved.session,
        updated_at: rfc3339(saved.updated_at),
    });
    let sessions = sessions.collect();
    let errors = daemon.failures.all().into_iter().map(|failed| RecentError {
        at: rfc3339(failed.at),
        method: failed.method.to_owned(),
        kind: failed.kind,
        message: failed.message,
    });
    let warm = daemon.warm.all().into_iter().map(|(partition, ready)| WarmSession {
        partition: partition.id(),
        agent: partition.agent.as_str().to_owned(),
        session_id: ready.session,
        keep: ready.keep,
        asked: ready.asked,
        asked_at: ready.asked_at.map(rfc3339),
        error: ready.error,
        next_session_id: ready.next,
    });
    let peers = sockets::peers();
    StatusDetails {
        runs: runs.iter().map(|run| run.info()).collect(),
        sessions,
        tokens: daemon.foundry.tokens().status().into_iter().map(token).collect(),
        upstream: peers.map(|peers| peers.iter().map(|peer| UpstreamConnection { peer: peer.to_string() }).collect()),
        warm: warm.collect(),
        errors: errors.collect(),
    }
}
