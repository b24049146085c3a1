//! What proves the user to a gateway: a token that the configuration names, or one of the credential that the daemon uses as well.

use super::Reason;
use crate::auth::{AccessToken, Account, Credential, TokenError, Tokens};
use crate::config::gateway::KnownGateway;
use crate::config::{self, Config};
use crate::daemon;
use crate::system::secret::SecretSource;
use futures_util::future::BoxFuture;
use http::HeaderValue;
use std::sync::Arc;

/// Where tokens for one gateway come from.
#[derive(Debug, Clone)]
pub(super) enum Proof {
    /// A file or a variable, which is read again each time.
    Given(SecretSource),
    /// The credential of the configuration, asked for the gateway's own audience. A token is kept until it is due for another one.
    Credential { tokens: Arc<Tokens>, scope: String },
}

/// No emulator is asked for a token here.
struct NoEmulator(String);

impl Credential for NoEmulator {
    fn name(&self) -> &'static str {
        "emulator"
    }

    fn fingerprint(&self) -> String {
        self.0.clone()
    }

    fn fetch<'a>(&'a self, _scope: &'a str, _skip_cached: bool) -> BoxFuture<'a, Result<AccessToken, TokenError>> {
        Box::pin(std::future::ready(Err(TokenError::NoEmulator { origin: self.0.clone() })))
    }
}

impl Proof {
    pub(super) fn new(config: &Config, known: &KnownGateway) -> Result<Self, Reason> {
        match (&known.token, &known.audience) {
            (Some(token), None) => Ok(Self::Given(token.clone())),
            (None, Some(audience)) if !audience.is_empty() && !audience.contains(char::is_whitespace) => {
                let of_emulator =
                    Arc::new(|origin: &str| Arc::new(NoEmulator(origin.to_owned())) as Arc<dyn Credential>);
                let tokens = Tokens::new(config.credential.clone(), daemon::surroundings(config), of_emulator);
                let scope = format!("{}/.default", audience.trim_end_matches('/'));
                Ok(Self::Credential { tokens: Arc::new(tokens), scope })
            }
            _ => Err("a gateway in the configuration file must have either token or audience".into()),
        }
    }

    /// The value of the `Authorization` header.
    pub(super) async fn authorization(&self) -> Result<HeaderValue, String> {
        match self {
            Self::Given(source) => {
                let token =
                    source.read(&config::variable).map_err(|reason| format!("the gateway's token: {reason}"))?;
                let value = HeaderValue::try_from(format!("Bearer {token}"));
                let mut value =
                    value.map_err(|_| "the gateway's token has characters that no header has".to_owned())?;
                value.set_sensitive(true);
                Ok(value)
            }
            Self::Credential { tokens, scope } => {
                let token = tokens.get(&Account::Configured, scope).await;
                let token = token.map_err(|error| format!("no token for the gateway: {error}; {}", error.hint()))?;
                Ok(token.authorization())
            }
        }
    }
}
