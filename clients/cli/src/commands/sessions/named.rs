//! The session that a command names, by its id or by the beginning of the id.

use super::Common;
use crate::commands::short_id;
use crate::failure::Failure;
use crate::hooks::Hooks;
use crate::scope::target::parse;
use cupola_protocol::error::ErrorKind;
use cupola_protocol::id::SessionId;
use cupola_protocol::isolation::Isolation;
use cupola_protocol::sessions::{SessionParams, Show};
use cupola_protocol::target::Target;

/// Does something with a session. If no session has the given id, it is the beginning of one: the session must be visible to this
/// isolation, and the only one whose id begins so. A whole id costs no further request.
pub(super) fn named<Done>(
    common: &Common,
    hooks: Hooks,
    (target, isolation): (&Target, &Isolation),
    given: &str,
    act: impl Fn(SessionId) -> Result<Done, Failure>,
) -> Result<Done, Failure> {
    let refused = match parse::<SessionId>("SESSION_ID", given).and_then(&act) {
        Err(failure) if short_id::lacks_session(&failure, given) => failure,
        other => return other,
    };
    // If the sessions cannot be listed, the refusal says more than that.
    let Ok(listed) = short_id::sessions(&common.scope, hooks, target, isolation) else { return Err(refused) };
    match short_id::whole(given, &short_id::ids(listed))? {
        Some(id) if id != given => act(parse("SESSION_ID", &id)?),
        _ => Err(refused),
    }
}

/// Like [`named`], for deleting. The service reports success for a session that never existed, so this looks the session up first. If
/// that fails, the id is used as given. The second value is false if the service knows no such session.
pub(super) fn to_delete(
    common: &Common,
    hooks: Hooks,
    (target, isolation): (&Target, &Isolation),
    given: &str,
) -> Result<(SessionId, bool), Failure> {
    let found = named(common, hooks, (target, isolation), given, |session_id| {
        let (target, isolation, session_id) = (target.clone(), isolation.clone(), Some(session_id));
        let (allow_shared_session, progress) = (true, common.scope.progress());
        let params =
            SessionParams { target, isolation, session_id: session_id.clone(), allow_shared_session, progress };
        common.scope.call::<Show>(hooks, params).map(|_| session_id)
    });
    match found {
        Ok(Some(id)) => Ok((id, true)),
        Err(failure @ Failure::Usage { .. }) => Err(failure),
        Err(failure) if failure.is(ErrorKind::SessionNotFound) => Ok((parse("SESSION_ID", given)?, false)),
        _ => Ok((parse("SESSION_ID", given)?, true)),
    }
}
