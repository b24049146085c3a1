//! `auth/*`: the tokens the daemon holds. What they are is never said.

use crate::Method;
use crate::daemon::NoParams;
use crate::reach::Reach;
use serde::{Deserialize, Serialize};

/// Which credential is configured, and how the tokens are that it gave.
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
    /// The tenant, where the configuration says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<String>,
}

/// How one token is. Times are RFC 3339, UTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Token {
    /// Who gave it: a credential's kind, or `emulator`.
    pub credential: String,
    /// What it is for.
    pub scope: String,
    /// The tenant, where the configuration says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<String>,
    /// How it is.
    pub state: TokenState,
    /// When it ends. It is replaced some minutes before, if it is in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// Why the last attempt to get one failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// How a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum TokenState {
    /// There is none.
    Missing,
    /// The first one is being fetched.
    Fetching,
    /// Good to use.
    Valid,
    /// It has ended; the next call fetches another.
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
    /// How many tokens.
    pub cleared: u64,
}
