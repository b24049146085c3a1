//! `auth/status`, `auth/clear`: the tokens the daemon holds, without the tokens.

use crate::auth;
use crate::error::CallError;
use crate::rpc::Call;
use crate::system::clock::rfc3339;
use cupola_protocol::auth::{ClearResponse, Credential, StatusResponse, Token, TokenState};
use cupola_protocol::daemon::NoParams;

pub(crate) async fn status(call: Call, _params: NoParams) -> Result<StatusResponse, CallError> {
    let config = &call.daemon.config.credential;
    let credential = Credential { kind: config.name().to_owned(), tenant_id: config.tenant().map(ToOwned::to_owned) };
    Ok(StatusResponse { credential, tokens: call.daemon.foundry.tokens().status().into_iter().map(token).collect() })
}

pub(crate) async fn clear(call: Call, _params: NoParams) -> Result<ClearResponse, CallError> {
    let tokens = call.daemon.foundry.tokens();
    let cleared = tokens.status().iter().filter(|token| token.expires_on.is_some()).count();
    tokens.clear();
    Ok(ClearResponse { cleared: u64::try_from(cleared).unwrap_or(u64::MAX) })
}

pub(super) fn token(status: auth::TokenStatus) -> Token {
    Token {
        credential: status.credential.to_owned(),
        scope: status.scope,
        tenant_id: status.tenant,
        state: match status.state {
            auth::TokenState::Missing => TokenState::Missing,
            auth::TokenState::Fetching => TokenState::Fetching,
            auth::TokenState::Valid => TokenState::Valid,
            auth::TokenState::Expired => TokenState::Expired,
        },
        expires_at: status.expires_on.map(rfc3339),
        error: status.error.map(|error| error.to_string()),
    }
}
