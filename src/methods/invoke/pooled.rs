//! The session of a user whose agent has a pool: the store says which, and the service is asked to make it if nobody has.

use super::super::new_session::{make_or_adopt, session_made_here};
use crate::daemon::Daemon;
use crate::error::CallError;
use crate::partition::pool::Pool;
use crate::partition::store::Store;
use crate::rpc::scope::Scope;
use cupola_protocol::error::ErrorKind;
use cupola_protocol::id::SessionId;
use std::sync::Arc;

/// Gives the call's partition its session of the pool. It is the partition's current one from then on.
pub(super) async fn session(
    daemon: &Daemon,
    store: &Arc<dyn Store>,
    scope: &Scope,
    pool: &Pool,
) -> Result<SessionId, CallError> {
    match placed(daemon, store, scope, pool).await {
        // The service gives fewer sessions than the pool may have: those that there are serve more users.
        Err(refused) if refused.kind() == ErrorKind::QuotaExceeded => {
            let Ok(session) = placed(daemon, store, scope, &pool.closed()).await else { return Err(refused) };
            tracing::warn!("the service's quota is below the pool's bound; no session is added");
            Ok(session)
        }
        placed => placed,
    }
}

async fn placed(daemon: &Daemon, store: &Arc<dyn Store>, scope: &Scope, pool: &Pool) -> Result<SessionId, CallError> {
    let agent = &scope.partition.agent;
    let Some(session) = store.place(&scope.partition, pool, &session_made_here()?).await? else {
        return Err(CallError::internal("a pool without sessions may not have one"));
    };
    if daemon.pooled.contains(agent, &session) {
        return Ok(session);
    }
    // Several may ask for it at once, for the same id: one makes it, and the others are told that it exists.
    match make_or_adopt(store, scope, Some(&session)).await {
        Ok(session) => {
            daemon.pooled.insert(agent, &session);
            Ok(session)
        }
        Err(error) => {
            if error.kind() == ErrorKind::QuotaExceeded {
                store.forget_session(agent, &session).await?;
            }
            Err(error)
        }
    }
}
