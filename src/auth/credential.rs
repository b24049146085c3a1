//! Which credential gives tokens: what the configuration can name, and one way to fetch with any of it.

use super::{AccessToken, CallerId, TokenError};
use crate::system::proxies::Proxies;
use crate::system::secret::{SecretSource, Variables};
use azure_core::http::Transport;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// `[credential]` of the configuration file. No secret is ever written in it.
///
/// ```toml
/// [credential]
/// kind = "clientSecret"
/// tenantId = "…"
/// clientId = "…"
/// secret = { env = "AZURE_CLIENT_SECRET" }   # or { file = "/run/secrets/foundry" }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum CredentialConfig {
    /// The Azure Developer CLI, then the Azure CLI.
    #[default]
    DeveloperTools,
    /// The Azure CLI (`az login`).
    AzureCli {
        /// The tenant to sign in to; the tool's own choice when left out.
        #[serde(default)]
        tenant_id: Option<String>,
    },
    /// The Azure Developer CLI (`azd auth login`).
    Azd {
        /// The tenant to sign in to; the tool's own choice when left out.
        #[serde(default)]
        tenant_id: Option<String>,
    },
    /// The identity of the Azure machine or App Service this runs on.
    ManagedIdentity {
        /// A user-assigned identity; the system-assigned one when left out.
        #[serde(default)]
        client_id: Option<String>,
    },
    /// Kubernetes workload identity. What is left out comes from the pod's variables.
    WorkloadIdentity {
        /// The tenant.
        #[serde(default)]
        tenant_id: Option<String>,
        /// The application.
        #[serde(default)]
        client_id: Option<String>,
        /// The service account token's file.
        #[serde(default)]
        token_file: Option<PathBuf>,
    },
    /// An application with a secret.
    ClientSecret {
        /// The tenant.
        tenant_id: String,
        /// The application.
        client_id: String,
        /// Where the secret is.
        secret: SecretSource,
    },
    /// An application with a certificate.
    ClientCertificate {
        /// The tenant.
        tenant_id: String,
        /// The application.
        client_id: String,
        /// A PEM file with the certificate and its RSA private key.
        certificate: PathBuf,
    },
    /// A service connection of an Azure Pipelines job. Needs `SYSTEM_ACCESSTOKEN` mapped into the job's environment.
    AzurePipelines {
        /// The tenant.
        tenant_id: String,
        /// The application.
        client_id: String,
        /// The service connection.
        service_connection_id: String,
    },
}

/// What credentials may take from around the process. `config` fills it in; tests bring their own.
#[derive(Clone)]
pub struct Surroundings {
    /// `PATH` for the developer tools; the process's own when `None`.
    pub path: Option<OsString>,
    /// Reads an environment variable.
    pub variable: Variables,
    /// Carries the HTTP of credentials that speak it; made when first needed if `None`.
    pub transport: Option<Transport>,
    /// PEM files with certificates to trust besides the system's.
    pub trusted_certificates: Vec<PathBuf>,
    /// Fixed addresses of host names.
    pub resolve: Vec<(String, SocketAddr)>,
    /// The proxies that the environment names.
    pub proxies: Proxies,
}

impl Default for Surroundings {
    /// No variables, the process's own `PATH`.
    fn default() -> Self {
        Self {
            path: None,
            variable: Arc::new(|_| None),
            transport: None,
            trusted_certificates: Vec::new(),
            resolve: Vec::new(),
            proxies: Proxies::default(),
        }
    }
}

impl fmt::Debug for Surroundings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Surroundings").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Something that gives tokens. The cache calls it with at most one fetch in flight.
pub trait Credential: Send + Sync {
    /// Its name for people: the `kind` of the configuration.
    fn name(&self) -> &'static str;

    /// Distinguishes it from others of its kind: part of the caller's fingerprint when a token has no claims.
    fn fingerprint(&self) -> String;

    /// Gets a token for `scope`. With `skip_cached` it is not taken from an inner cache, because the service refused the last one.
    fn fetch<'a>(&'a self, scope: &'a str, skip_cached: bool) -> BoxFuture<'a, Result<AccessToken, TokenError>>;

    /// Whom its tokens name, where that is known without one: what is saved of an emulator's sessions can then be looked at while
    /// it does not run.
    fn caller(&self) -> Option<CallerId> {
        None
    }

    /// May a token that was kept still be sent? Asked each time, so the answer must be quick.
    fn is_current(&self) -> bool {
        true
    }
}

/// Tokens made on the spot by a function, for tests.
pub struct Fixed<Mint>(pub Mint);

impl<Mint> Credential for Fixed<Mint>
where
    Mint: Fn() -> String + Send + Sync,
{
    fn name(&self) -> &'static str {
        "emulator"
    }

    fn fingerprint(&self) -> String {
        "emulator".to_owned()
    }

    fn fetch<'a>(&'a self, _scope: &'a str, _skip_cached: bool) -> BoxFuture<'a, Result<AccessToken, TokenError>> {
        let token = AccessToken::new(&(self.0)(), SystemTime::now() + Duration::from_hours(24));
        Box::pin(std::future::ready(token.ok_or_else(|| TokenError::Refused {
            credential: "emulator",
            reason: "the created token is not a valid header value".to_owned(),
        })))
    }
}

impl CredentialConfig {
    /// The `kind` of the configuration.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::DeveloperTools => "developerTools",
            Self::AzureCli { .. } => "azureCli",
            Self::Azd { .. } => "azd",
            Self::ManagedIdentity { .. } => "managedIdentity",
            Self::WorkloadIdentity { .. } => "workloadIdentity",
            Self::ClientSecret { .. } => "clientSecret",
            Self::ClientCertificate { .. } => "clientCertificate",
            Self::AzurePipelines { .. } => "azurePipelines",
        }
    }

    /// The files it names: secrets, keys and tokens.
    pub fn files(&self) -> impl Iterator<Item = PathBuf> + use<> {
        let file = match self {
            Self::WorkloadIdentity { token_file, .. } => token_file.clone(),
            Self::ClientSecret { secret: SecretSource::File(path), .. } => Some(path.clone()),
            Self::ClientCertificate { certificate, .. } => Some(certificate.clone()),
            Self::DeveloperTools
            | Self::AzureCli { .. }
            | Self::Azd { .. }
            | Self::ManagedIdentity { .. }
            | Self::ClientSecret { secret: SecretSource::Env(_), .. }
            | Self::AzurePipelines { .. } => None,
        };
        file.into_iter()
    }

    /// The tenant it signs in to, where the configuration says.
    pub fn tenant(&self) -> Option<&str> {
        match self {
            Self::DeveloperTools | Self::ManagedIdentity { .. } => None,
            Self::AzureCli { tenant_id } | Self::Azd { tenant_id } | Self::WorkloadIdentity { tenant_id, .. } => {
                tenant_id.as_deref()
            }
            Self::ClientSecret { tenant_id, .. }
            | Self::ClientCertificate { tenant_id, .. }
            | Self::AzurePipelines { tenant_id, .. } => Some(tenant_id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_can_be_configured() {
        for (toml, name) in [
            (r#"kind = "developerTools""#, "developerTools"),
            (r#"kind = "azureCli""#, "azureCli"),
            (
                r#"kind = "azd"
                tenantId = "t""#,
                "azd",
            ),
            (
                r#"kind = "managedIdentity"
                clientId = "c""#,
                "managedIdentity",
            ),
            (r#"kind = "workloadIdentity""#, "workloadIdentity"),
            (
                r#"kind = "clientSecret"
                tenantId = "t"
                clientId = "c"
                secret = { env = "SECRET" }"#,
                "clientSecret",
            ),
            (
                r#"kind = "clientCertificate"
                tenantId = "t"
                clientId = "c"
                certificate = "/etc/x.pem""#,
                "clientCertificate",
            ),
            (
                r#"kind = "azurePipelines"
                tenantId = "t"
                clientId = "c"
                serviceConnectionId = "s""#,
                "azurePipelines",
            ),
        ] {
            let config: CredentialConfig = toml::from_str(toml).unwrap();
            assert_eq!(config.name(), name);
        }
        for bad in [
            // A secret in the file itself.
            r#"kind = "clientSecret"
               tenantId = "t"
               clientId = "c"
               secret = "hush""#,
            r#"kind = "browser""#,
            r#"kind = "azd"
               tenant = "t""#,
        ] {
            assert!(toml::from_str::<CredentialConfig>(bad).is_err(), "{bad}");
        }
    }
}
