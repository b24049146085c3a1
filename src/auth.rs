//! Entra tokens: which credential gives them, how long they are kept, and a type that cannot print them.
//!
//! - [`credential`]: what the configuration can name; [`configured`]: how a token is fetched with it
//! - [`certificate`]: the signed assertion of a certificate credential
//! - [`tool`]: runs a developer tool; [`token_client`]: the HTTP of the others; both read only so much
//! - [`cache`]: one fetch in flight per credential and scope, refreshed before it expires
//! - [`token`]: the token itself, redacted, and who it belongs to
//! - [`error`]: why there is none, and what to run
//!
//! Tokens live in memory only. Nothing here knows the service or the daemon's protocol.

mod cache;
mod certificate;
mod configured;
mod credential;
mod error;
mod token;
mod token_client;
mod tool;

pub use cache::{EmulatorCredentials, TokenState, TokenStatus, Tokens};
pub use credential::{Credential, CredentialConfig, Fixed, Surroundings};
pub use error::TokenError;
pub use token::{AccessToken, CallerId, GivenToken};

use std::sync::Arc;

/// The scope of every data-plane call (contract section 1.2).
pub const SCOPE: &str = "https://ai.azure.com/.default";

/// Whose token a call carries.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Account {
    /// The credential of the configuration.
    Configured,
    /// The caller of the emulator at this origin, for example `http://127.0.0.1:8787`: each has its own tokens.
    Emulator(Arc<str>),
}
