//! Making a session. What it takes to delete it is stored before the service is asked: an answer that never arrives would leave a
//! session that cannot be deleted.

use crate::error::CallError;
use crate::foundry::FoundryError;
use crate::partition::store::{KnownSession, Store};
use crate::rpc::scope::Scope;
use cupola_protocol::error::ErrorKind;
use cupola_protocol::id::{ConversationId, SessionId};
use cupola_protocol::sessions::Session;
use cupola_protocol::target::AgentVersion;
use std::sync::Arc;
use tokio::time::Instant;
use uuid::Uuid;

/// Makes a session under the scope's isolation: with this id, or one of the service's; bound to this version, or to the agent's own
/// selection. It is known as the scope's own from then on, and is the current one of no partition yet.
pub(super) async fn make(
    store: &dyn Store,
    scope: &Scope,
    id: Option<&SessionId>,
    version: Option<&AgentVersion>,
) -> Result<(SessionId, Session), CallError> {
    let agent = &scope.partition.agent;
    let ownership_key = scope.isolation.ownership_key.clone();
    let known = KnownSession { owner: scope.session_owner(), ownership_key };
    let intended = match id {
        Some(id) => Some(id.clone()),
        // What has no id yet cannot be stored.
        None if known.ownership_key.is_some() => Some(session_made_here()?),
        None => None,
    };
    let mut is_new = false;
    if let Some(intended) = &intended {
        is_new = store.known_session(agent, intended).await?.is_none();
        if is_new {
            store.remember_session(agent, intended, known.clone()).await?;
        }
    }
    let sent = Instant::now();
    let made = scope.agent.create_session(&scope.wire, intended.as_ref(), version).await;
    let forget = intended.as_ref().filter(|_| is_new);
    let session = match made {
        Ok(session) => session,
        Err(error) => {
            if let Some(intended) = forget.filter(|_| made_nothing(&error)) {
                store.forget_session(agent, intended).await?;
            }
            return Err(scope.explain(error));
        }
    };
    let id = session_id(&session)?;
    if let Some(intended) = forget.filter(|intended| **intended != id) {
        store.forget_session(agent, intended).await?;
    }
    store.remember_session(agent, &id, known).await?;
    let bound = session.version_indicator.as_ref().and_then(|bound| bound.agent_version.parse().ok());
    // One that was asked for is the one it is bound to, whichever the call names.
    if version.is_none() {
        scope.check_answer(bound.as_ref(), sent).await?;
    }
    Ok((id, session))
}

/// Makes the session of a partition. Where its id is known before (`id`), all who make it make the same one: the second is told that it
/// exists already, and continues in it.
pub(super) async fn make_or_adopt(
    store: &Arc<dyn Store>,
    scope: &Scope,
    id: Option<&SessionId>,
) -> Result<SessionId, CallError> {
    let made = make(&**store, scope, id, scope.partition.version.as_ref()).await;
    match (made, id) {
        (Ok((session, _)), _) => Ok(session),
        (Err(error), Some(id)) if error.data.http_status == Some(409) => {
            // It is there for this isolation, or nobody could have made it: the id cannot be guessed.
            scope.agent.get_session(&scope.wire, id).await.map_err(|error| scope.explain(error))?;
            let known =
                KnownSession { owner: scope.session_owner(), ownership_key: scope.isolation.ownership_key.clone() };
            store.remember_session(&scope.partition.agent, id, known).await?;
            Ok(id.clone())
        }
        (Err(error), _) => Err(error),
    }
}

/// Does the failure show that no session was made? An answer that got lost does not, nor does an error of a server that
/// may have got half-way.
fn made_nothing(error: &FoundryError) -> bool {
    match error {
        FoundryError::Service(refusal) => (400..500).contains(&refusal.status) && refusal.status != 408,
        FoundryError::NotConnected { .. }
        | FoundryError::NotTrusted { .. }
        | FoundryError::Token(_)
        | FoundryError::Setup(_) => true,
        _ => false,
    }
}

/// The id of a session in the service's words.
pub(super) fn session_id(session: &Session) -> Result<SessionId, CallError> {
    session.agent_session_id.parse().map_err(|invalid| {
        CallError::new(ErrorKind::UnexpectedAnswer, format!("the service answered with a session whose {invalid}"))
    })
}

/// A session id of our own making, for what the service does not name or does not name in time.
pub(super) fn session_made_here() -> Result<SessionId, CallError> {
    Uuid::new_v4().to_string().parse().map_err(|_| CallError::internal("a UUID broke the rule of ids"))
}

/// An id for a conversation of a local agent, as the service makes them: a partition key of 16 hex digits and `00`, then 32
/// characters. Agent servers of early 2026 fail on any other (contract section 21.2).
pub(super) fn conversation_made_here() -> Result<ConversationId, CallError> {
    let [key, chance] = [(); 2].map(|()| Uuid::new_v4().simple().to_string());
    let id = format!("conv_{}00{chance}", key.get(..16).unwrap_or_default());
    id.parse().map_err(|_| CallError::internal("a conversation's id broke the rule of ids"))
}
