//! `sessions/*`: the service's sandboxes, seen through the call's isolation.

use super::named_session::NamedSession;
use super::new_session::{self, session_id};
use crate::error::CallError;
use crate::foundry::{ListSessions, Stopped};
use crate::partition::Partition;
use crate::partition::exclusion::under;
use crate::rpc::Call;
use crate::rpc::bounds::is_own;
use crate::rpc::scope::Scope;
use cupola_protocol::id::SessionId;
use cupola_protocol::isolation::IsolationModel;
use cupola_protocol::sessions::{
    CreateParams, DeleteResponse, ListParams, ListResponse, Session, SessionParams, StopResponse, UseParams,
};

pub(crate) async fn create(call: Call, params: CreateParams) -> Result<Session, CallError> {
    let scope = call.scope_for_new(&params.target, &params.isolation).await?;
    scope.needs_service()?;
    scope.must_not_add()?;
    let version = scope.partition.version.as_ref().or(scope.deployed.as_ref());
    let (id, session) = new_session::make(&*call.daemon.store, &scope, params.session_id.as_ref(), version).await?;
    make_current(&call, &scope, &id).await?;
    Ok(session)
}

/// Makes a session the current one of its version, if the call names one, and of the calls that name none. A bound connection
/// changes nothing outside its own partition.
async fn make_current(call: &Call, scope: &Scope, session: &SessionId) -> Result<(), CallError> {
    let partition = &scope.partition;
    set_session(call, partition, session).await?;
    if partition.version.is_some() && call.bounds.is_none() {
        set_session(call, &partition.without_version(), session).await?;
    }
    Ok(())
}

/// Under the partition's lock: not between the steps of a call that makes a session, and not once the lock is lost.
async fn set_session(call: &Call, partition: &Partition, session: &SessionId) -> Result<(), CallError> {
    let turn = call.daemon.partition_locks.take(partition).await?;
    Ok(under(&call.daemon.store, turn.lease()).set_session(partition, session).await?)
}

pub(crate) async fn list(call: Call, params: ListParams) -> Result<ListResponse, CallError> {
    let scope = call.scope(&params.target, &params.isolation).await?;
    let explained = |error| scope.explain(error);
    if call.bounds.is_none() {
        let query = ListSessions { limit: params.limit, order: params.order, after: params.after.as_ref() };
        return scope.agent.list_sessions(&scope.wire, query).await.map_err(explained);
    }
    // The service may list more than a bound connection may know of, so its pages are made here.
    let query = ListSessions { order: params.order, ..ListSessions::default() };
    let all = scope.agent.list_sessions(&scope.wire, query).await.map_err(explained)?;
    Ok(page(own(&call, &scope, all.data).await?, &params))
}

/// Those of `sessions` that are known as the scope's own.
async fn own(call: &Call, scope: &Scope, mut sessions: Vec<Session>) -> Result<Vec<Session>, CallError> {
    if let Some(version) = &scope.partition.version {
        sessions.retain(|session| session.is_of(version));
    }
    let mut own = Vec::new();
    for session in sessions {
        if is_own(&call.daemon, scope, &session_id(&session)?).await? {
            own.push(session);
        }
    }
    Ok(own)
}

/// The part of a list that was asked for.
fn page(mut sessions: Vec<Session>, params: &ListParams) -> ListResponse {
    if let Some(after) = &params.after {
        let last = sessions.iter().position(|session| session.agent_session_id == after.as_str());
        sessions.drain(..last.map_or(sessions.len(), |last| last + 1));
    }
    let limit = params.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
    let has_more = sessions.len() > limit;
    sessions.truncate(limit);
    let id = |session: Option<&Session>| session.map(|session| session.agent_session_id.clone());
    ListResponse { first_id: id(sessions.first()), last_id: id(sessions.last()), data: sessions, has_more }
}

pub(crate) async fn show(call: Call, params: SessionParams) -> Result<Session, CallError> {
    let named = NamedSession::resolve(&call, &params).await?;
    let shown = named.scope.agent.get_session(&named.scope.wire, &named.session).await;
    shown.map_err(|error| named.explain(error, false))
}

pub(crate) async fn use_session(call: Call, params: UseParams) -> Result<Session, CallError> {
    let UseParams { target, isolation, session_id, allow_shared_session, progress } = params;
    let params = SessionParams { target, isolation, session_id: Some(session_id), allow_shared_session, progress };
    let named = NamedSession::resolve(&call, &params).await?;
    let NamedSession { scope, session, .. } = &named;
    let shown = scope.agent.get_session(&scope.wire, session).await.map_err(|error| named.explain(error, false))?;
    make_current(&call, scope, session).await?;
    Ok(shown)
}

pub(crate) async fn stop(call: Call, params: SessionParams) -> Result<StopResponse, CallError> {
    let named = NamedSession::resolve_own(&call, &params).await?;
    let stopped = named.scope.agent.stop_session(&named.scope.wire, &named.session).await;
    let stopped = stopped.map_err(|error| named.explain(error, false))?;
    Ok(StopResponse { session_id: named.session, already_stopped: stopped == Stopped::Already })
}

pub(crate) async fn delete(call: Call, mut params: SessionParams) -> Result<DeleteResponse, CallError> {
    let named = NamedSession::resolve_own(&call, &params).await?;
    match (&params.isolation.ownership_key, &named.ownership_key) {
        // A session made under an ownership key can only be deleted with it, so the one remembered is used.
        (None, Some(known)) => params.isolation.ownership_key = Some(known.clone()),
        // Newer agents have no such keys; what a script relied on is kept up here.
        (Some(given), Some(known)) if given != known && named.scope.model != IsolationModel::Keys => {
            return Err(CallError::not_owner(&named.session));
        }
        _ => {}
    }
    let wire = named.scope.wire_for(&params.isolation)?;
    // Held from before the service is asked: a daemon that is stopped in between forgets no session that another one has saved since.
    let turn = call.daemon.partition_locks.take(&named.scope.partition).await?;
    let deleted = named.scope.agent.delete_session(&wire, &named.session).await;
    deleted.map_err(|error| named.explain(error, true))?;
    let store = under(&call.daemon.store, turn.lease());
    store.forget_session(&named.scope.partition.agent, &named.session).await?;
    Ok(DeleteResponse { session_id: named.session })
}
