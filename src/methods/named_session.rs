//! The session a call works on: the one it names, or the partition's current one.

use crate::error::CallError;
use crate::foundry::FoundryError;
use crate::partition::fence::Verdict;
use crate::rpc::Call;
use crate::rpc::scope::Scope;
use cupola_protocol::error::ErrorKind;
use cupola_protocol::id::SessionId;
use cupola_protocol::isolation::IsolationKey;
use cupola_protocol::sessions::SessionParams;

/// The session a call names, or the partition's current one.
pub(super) struct NamedSession {
    pub(super) scope: Scope,
    pub(super) session: SessionId,
    verdict: Verdict,
    pub(super) ownership_key: Option<IsolationKey>,
}

impl NamedSession {
    pub(super) async fn resolve(call: &Call, params: &SessionParams) -> Result<Self, CallError> {
        let scope = call.scope(&params.target, &params.isolation).await?;
        scope.needs_service()?;
        let (session, verdict) = match &params.session_id {
            Some(session) => {
                let verdict = scope.admit(&call.daemon, session, params.allow_shared_session).await?;
                Box::pin(scope.check_version(session)).await?;
                (session.clone(), verdict)
            }
            None => (call.daemon.store.load(&scope.partition).await?.session.ok_or_else(nothing_saved)?, Verdict::Own),
        };
        let known = call.daemon.store.known_session(&scope.partition.agent, &session).await?;
        Ok(Self { scope, session, verdict, ownership_key: known.and_then(|known| known.ownership_key) })
    }

    /// As [`Self::resolve`], for what must not be done to a session that several users share.
    pub(super) async fn resolve_own(call: &Call, params: &SessionParams) -> Result<Self, CallError> {
        let named = Self::resolve(call, params).await?;
        named.scope.must_not_share(&call.daemon, &named.session).await?;
        Ok(named)
    }

    pub(super) fn explain(&self, error: FoundryError, deleting: bool) -> CallError {
        self.scope.explain_for(error, Some(&self.session), self.verdict, deleting)
    }
}

fn nothing_saved() -> CallError {
    CallError::new(ErrorKind::SessionNotFound, "no session is saved for this agent under this isolation").hint(
        "pass --session-id ID with the isolation keys it was created with, or run `cupola invoke` to create one; `cupola sessions \
         list` shows the sessions that these keys reach",
    )
}
