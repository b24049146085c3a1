//! `auth/*`: the tokens the daemon holds. Their values are never sent.

use crate::Method;
use crate::daemon::NoParams;
use crate::reach::Reach;
use serde::{Deserialize, Serialize};

/// Shows the configured credential and the status of its tokens.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Status;

impl Method for Status {
    const NAME: &'static str = "auth/status";
    const REACH: Reach = Reach::Daemon;
    type Params = NoParams;
    type Response = StatusResponse;
}

/// The credential and its tokens.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "AuthStatusResponse"))]
#[serde(rename_all = "camelCase")]
pub struct StatusResponse {
    /// The configured credential.
    pub credential: Credential,
    /// The tokens held, sorted by credential and scope.
    pub tokens: Vec<Token>,
}

/// A credential, as the configuration names it. Nothing secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Credential {
    /// For example `developerTools` or `managedIdentity`.
    pub kind: String,
    /// The tenant, if the configuration names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<String>,
}

/// The status of one token. Times are RFC 3339, UTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Token {
    /// Where it came from: a credential's kind, or `emulator`.
    pub credential: String,
    /// What it is for.
    pub scope: String,
    /// The tenant, if the configuration names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<String>,
    /// Its state.
    pub state: TokenState,
    /// When it expires. A token in use is replaced some minutes earlier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// Why the last attempt to get one failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The state of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum TokenState {
    /// No token is held.
    Missing,
    /// The first one is being fetched.
    Fetching,
    /// It is valid.
    Valid,
    /// It has expired; the next call fetches another.
    Expired,
}

/// Forgets every token, for example after `az login` with another account. The next call fetches a new one.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Clear;

impl Method for Clear {
    const NAME: &'static str = "auth/clear";
    const REACH: Reach = Reach::Daemon;
    type Params = NoParams;
    type Response = ClearResponse;
}

/// What was forgotten.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "AuthClearResponse"))]
#[serde(rename_all = "camelCase")]
pub struct ClearResponse {
    /// The number of tokens.
    pub cleared: u64,
}
