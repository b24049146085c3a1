//! Keeping a partition's session ready after a turn (`warm`): requests that may keep it from going idle, and the next session made
//! ahead. Experimental, and only for callers that ask for it.

use super::super::new_session;
use crate::daemon::Daemon;
use crate::error::CallError;
use crate::foundry::Extras;
use crate::partition::Partition;
use crate::rpc::scope::{Confirmed, Scope};
use crate::run::Run;
use cupola_protocol::id::SessionId;
use cupola_protocol::invoke::{InvokeParams, RunStatus};
use cupola_protocol::target::Target;
use cupola_protocol::warm::{KeepWarm, MAX_WARM_FOR_MS, MIN_WARM_EVERY_MS, Warm, WarmRequest};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Is what the caller asks for within bounds?
pub(super) fn check(params: &InvokeParams) -> Result<(), CallError> {
    let Some(keep) = params.warm.as_ref().and_then(|warm| warm.keep.as_ref()) else { return Ok(()) };
    let refused = |message: String| Err(CallError::invalid_params(message).hint("choose a time within these bounds"));
    if keep.every_ms < MIN_WARM_EVERY_MS {
        return refused(format!("everyMs: {} is less than {MIN_WARM_EVERY_MS}", keep.every_ms));
    }
    if keep.for_ms > MAX_WARM_FOR_MS {
        return refused(format!("forMs: {} is more than {MAX_WARM_FOR_MS}", keep.for_ms));
    }
    Ok(())
}

/// A run has ended. Keeps its session ready if its caller asked for that and the agent has sessions.
pub(super) fn after(daemon: &Arc<Daemon>, run: &Run, params: InvokeParams) {
    let Some(warm) = params.warm.clone().filter(|warm| warm.keep.is_some() || warm.pre_create) else { return };
    let is_lasting = params.version_override.is_none() && !matches!(params.target, Target::Local { .. });
    let has_answered = run.status().is_some_and(|status| status != RunStatus::Failed);
    let (Some(partition), Some(session)) = (run.partition(), run.session()) else { return };
    if !is_lasting || !has_answered || daemon.shutdown.is_draining() {
        return;
    }
    let Some(replaced) = daemon.warm.begin(&partition, &session, warm.keep.clone()) else {
        tracing::warn!("too many sessions are kept ready; this one is not");
        return;
    };
    let kept = Kept { daemon: Arc::clone(daemon), partition, session, params, replaced };
    daemon.tasks.spawn(kept.stay_ready(warm));
}

/// A session that is kept ready.
struct Kept {
    daemon: Arc<Daemon>,
    partition: Partition,
    session: SessionId,
    params: InvokeParams,
    /// Another turn has taken over.
    replaced: CancellationToken,
}

impl Kept {
    async fn stay_ready(self, warm: Warm) {
        // The daemon stays for as long.
        let _work = self.daemon.activity.background();
        if warm.pre_create && self.daemon.warm.needs_next(&self.partition) {
            match self.make_next().await {
                Ok(session) => self.daemon.warm.put_next(&self.partition, session),
                Err(error) => tracing::warn!(%error, "the next session could not be made ahead"),
            }
        }
        if let Some(keep) = &warm.keep {
            self.keep_warm(keep).await;
        }
        self.daemon.warm.end(&self.partition, &self.replaced);
    }

    async fn keep_warm(&self, keep: &KeepWarm) {
        let until = Instant::now() + Duration::from_millis(keep.for_ms.min(MAX_WARM_FOR_MS));
        let every = Duration::from_millis(keep.every_ms.max(MIN_WARM_EVERY_MS));
        loop {
            let next = Instant::now() + every;
            if next > until {
                return;
            }
            tokio::select! {
                () = self.replaced.cancelled() => return,
                () = self.daemon.shutdown.draining() => return,
                () = tokio::time::sleep_until(next) => {}
            }
            let outcome = self.ask(keep.request).await.map_err(|error| error.message().to_owned());
            self.daemon.warm.asked(&self.partition, outcome);
        }
    }

    /// One request that may keep the session warm.
    async fn ask(&self, request: WarmRequest) -> Result<(), CallError> {
        let scope = self.scope().await?;
        let asked = match request {
            WarmRequest::Session => scope.agent.get_session(&scope.wire, &self.session).await.map(drop),
            WarmRequest::Files => scope.agent.list_files(&scope.wire, &self.session, None).await.map(drop),
        };
        asked.map_err(|error| scope.explain(error))
    }

    async fn make_next(&self) -> Result<SessionId, CallError> {
        let scope = self.scope().await?;
        scope.must_not_add()?;
        let version = scope.partition.version.as_ref();
        Ok(new_session::make(&*self.daemon.store, &scope, None, version).await?.0)
    }

    async fn scope(&self) -> Result<Scope, CallError> {
        let InvokeParams { target, isolation, .. } = &self.params;
        let scope = Scope::with(&self.daemon, target, isolation, Extras::default(), Confirmed::Recently).await?;
        if scope.partition != self.partition {
            return Err(CallError::internal("the partition of a session that is kept ready has changed"));
        }
        Ok(scope)
    }
}

/// The session that was made ahead for the partition, if it is still there.
pub(super) async fn next_session(daemon: &Daemon, scope: &Scope) -> Option<SessionId> {
    let session = daemon.warm.take_next(&scope.partition)?;
    match scope.agent.get_session(&scope.wire, &session).await {
        Ok(shown) if !matches!(shown.status.as_deref(), Some("failed" | "deleting" | "deleted" | "expired")) => {
            Some(session)
        }
        Ok(_) => None,
        Err(error) => {
            tracing::debug!(%error, "the session that was made ahead is gone");
            None
        }
    }
}
