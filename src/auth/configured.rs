//! The credential that the configuration names, built on `azure_identity`.

use super::certificate::CertificateAssertion;
use super::credential::{Credential, CredentialConfig, Surroundings};
use super::error::NOT_FOUND;
use super::token_client;
use super::tool::Tool;
use super::{AccessToken, TokenError};
use crate::system::secret::{self, SecretSource};
use crate::system::tls::CertificateFault;
use azure_core::credentials::{Secret, TokenCredential};
use azure_core::http::{ClientOptions, ExponentialRetryOptions, RetryOptions};
use azure_identity::{
    AzureCliCredential, AzureCliCredentialOptions, AzureDeveloperCliCredential, AzureDeveloperCliCredentialOptions,
    AzurePipelinesCredential, AzurePipelinesCredentialOptions, ClientAssertionCredential,
    ClientAssertionCredentialOptions, ClientSecretCredential, ClientSecretCredentialOptions, Executor,
    ManagedIdentityCredential, ManagedIdentityCredentialOptions, UserAssignedId, WorkloadIdentityCredential,
    WorkloadIdentityCredentialOptions,
};
use futures_util::future::BoxFuture;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

/// Longest text of a credential's own error that is passed on, in characters. Tools print whole usage pages.
const MAX_REASON: usize = 600;

/// How often an HTTP credential asks again: about three seconds in all. The library's own eight take most of a minute,
/// which is too long to learn that the machine is offline.
const MAX_RETRIES: u32 = 4;

/// How the library says that there is no such tool, behind the tool's name.
const LIBRARY_NOT_FOUND: &str = " not found on PATH";

/// The credential that the configuration names. What it stands on is built when the first token is asked for.
pub(super) struct Configured {
    config: CredentialConfig,
    surroundings: Surroundings,
    /// In the order they are tried; the one that last gave a token is tried first.
    sources: Mutex<Vec<Source>>,
}

#[derive(Clone)]
struct Source {
    name: &'static str,
    credential: Arc<dyn TokenCredential>,
}

impl Configured {
    pub(super) fn new(config: CredentialConfig, surroundings: Surroundings) -> Self {
        Self { config, surroundings, sources: Mutex::new(Vec::new()) }
    }

    /// The sources, built if needed. `rebuild` builds them again: `azure_identity` keeps tokens inside some of them.
    fn sources(&self, rebuild: bool) -> Result<Vec<Source>, TokenError> {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if rebuild || sources.is_empty() {
            let builder = Builder { config: &self.config, surroundings: &self.surroundings };
            *sources = builder.build()?;
        }
        Ok(sources.clone())
    }

    /// Says whose PATH it was: a shell that has the tool may have another one than the daemon.
    fn where_looked(&self, reason: String) -> String {
        let Some(tool) = reason.strip_suffix(LIBRARY_NOT_FOUND) else { return reason };
        let path = self.surroundings.path.clone().or_else(|| (self.surroundings.variable)("PATH").map(Into::into));
        let path =
            path.map_or_else(|| "not set".to_owned(), |path| path.to_string_lossy().chars().take(MAX_REASON).collect());
        format!("{tool} {NOT_FOUND} ({path})")
    }

    fn prefer(&self, name: &str) {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        sources.sort_by_key(|source| source.name != name);
    }
}

impl Credential for Configured {
    fn name(&self) -> &'static str {
        self.config.name()
    }

    fn fingerprint(&self) -> String {
        serde_json::to_string(&self.config).unwrap_or_else(|_| self.config.name().to_owned())
    }

    fn fetch<'a>(&'a self, scope: &'a str, skip_cached: bool) -> BoxFuture<'a, Result<AccessToken, TokenError>> {
        Box::pin(async move {
            let sources = self.sources(skip_cached)?;
            let mut tried = Vec::new();
            for source in &sources {
                match get_token(source, scope).await {
                    Ok(token) => {
                        self.prefer(source.name);
                        return Ok(token);
                    }
                    Err(NoToken::NotTrusted(fault)) => {
                        return Err(TokenError::NotTrusted { credential: source.name, fault });
                    }
                    Err(NoToken::Refused(reason)) => tried.push((source.name, self.where_looked(reason))),
                }
            }
            Err(match tried.pop() {
                Some((credential, reason)) if tried.is_empty() => TokenError::Refused { credential, reason },
                last => TokenError::NoTool { tried: tried.into_iter().chain(last).collect() },
            })
        })
    }
}

/// Why one source gave no token.
enum NoToken {
    NotTrusted(CertificateFault),
    Refused(String),
}

async fn get_token(source: &Source, scope: &str) -> Result<AccessToken, NoToken> {
    let token =
        source.credential.get_token(&[scope], None).await.map_err(|error| match CertificateFault::of(&error) {
            Some(fault) => NoToken::NotTrusted(fault),
            None => NoToken::Refused(reason(&error)),
        })?;
    AccessToken::new(token.token.secret(), SystemTime::from(token.expires_on))
        .ok_or_else(|| NoToken::Refused("its token cannot be sent in a header".to_owned()))
}

/// Where a credential's own error goes over to advice for programmers; what to do is said in our own words.
const ADVICE: &str = "To troubleshoot, visit ";

/// What the credential said, with its causes, on one line and bounded.
fn reason(error: &azure_core::Error) -> String {
    let said = |error: &dyn std::error::Error| {
        let text = error.to_string();
        text.split(ADVICE).next().unwrap_or_default().trim().to_owned()
    };
    let mut text = said(error);
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let more = said(error);
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    // It begins with the name of a Rust type, before the actual message.
    let text = text.split_once("Credential authentication failed. ").map_or(text.as_str(), |(_, text)| text);
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(MAX_REASON).collect()
}

/// Builds what the configuration names.
struct Builder<'a> {
    config: &'a CredentialConfig,
    surroundings: &'a Surroundings,
}

impl Builder<'_> {
    fn build(&self) -> Result<Vec<Source>, TokenError> {
        let credential = match self.config {
            CredentialConfig::DeveloperTools => return Ok(vec![self.azd(None)?, self.azure_cli(None)?]),
            CredentialConfig::AzureCli { tenant_id } => return Ok(vec![self.azure_cli(tenant_id.as_deref())?]),
            CredentialConfig::Azd { tenant_id } => return Ok(vec![self.azd(tenant_id.as_deref())?]),
            CredentialConfig::ManagedIdentity { client_id } => self.managed_identity(client_id.as_deref())?,
            CredentialConfig::WorkloadIdentity { tenant_id, client_id, token_file } => {
                self.workload_identity(tenant_id.as_deref(), client_id.as_deref(), token_file.as_deref())?
            }
            CredentialConfig::ClientSecret { tenant_id, client_id, secret } => {
                self.client_secret(tenant_id, client_id, secret)?
            }
            CredentialConfig::ClientCertificate { tenant_id, client_id, certificate } => {
                self.client_certificate(tenant_id, client_id, certificate)?
            }
            CredentialConfig::AzurePipelines { tenant_id, client_id, service_connection_id } => {
                self.azure_pipelines(tenant_id, client_id, service_connection_id)?
            }
        };
        Ok(vec![Source { name: self.config.name(), credential }])
    }

    fn azd(&self, tenant_id: Option<&str>) -> Result<Source, TokenError> {
        let (executor, tenant_id) = (Some(self.executor()), tenant_id.map(ToOwned::to_owned));
        let options = AzureDeveloperCliCredentialOptions { executor, tenant_id };
        let credential = self.made(AzureDeveloperCliCredential::new(Some(options)))?;
        Ok(Source { name: "azd", credential })
    }

    fn azure_cli(&self, tenant_id: Option<&str>) -> Result<Source, TokenError> {
        let (executor, tenant_id) = (Some(self.executor()), tenant_id.map(ToOwned::to_owned));
        let options = AzureCliCredentialOptions { executor, tenant_id, ..Default::default() };
        let credential = self.made(AzureCliCredential::new(Some(options)))?;
        Ok(Source { name: "azureCli", credential })
    }

    fn managed_identity(&self, client_id: Option<&str>) -> Result<Arc<dyn TokenCredential>, TokenError> {
        let user_assigned_id = client_id.map(|id| UserAssignedId::ClientId(id.to_owned()));
        let options = ManagedIdentityCredentialOptions { user_assigned_id, client_options: self.client_options()? };
        Ok(self.made(ManagedIdentityCredential::new(Some(options)))?)
    }

    fn workload_identity(
        &self,
        tenant_id: Option<&str>,
        client_id: Option<&str>,
        token_file: Option<&Path>,
    ) -> Result<Arc<dyn TokenCredential>, TokenError> {
        if let Some(path) = token_file {
            // The library reads it again for every token; this is only the rule for files that the configuration names.
            self.file(path)?;
        }
        let options = WorkloadIdentityCredentialOptions {
            credential_options: self.assertion_options()?,
            client_id: client_id.map(ToOwned::to_owned),
            tenant_id: tenant_id.map(ToOwned::to_owned),
            token_file_path: token_file.map(ToOwned::to_owned),
        };
        Ok(self.made(WorkloadIdentityCredential::new(Some(options)))?)
    }

    fn client_secret(
        &self,
        tenant_id: &str,
        client_id: &str,
        secret: &SecretSource,
    ) -> Result<Arc<dyn TokenCredential>, TokenError> {
        let secret = self.secret(secret)?;
        let options = ClientSecretCredentialOptions { client_options: self.client_options()? };
        Ok(self.made(ClientSecretCredential::new(tenant_id, client_id.to_owned(), secret, Some(options)))?)
    }

    fn client_certificate(
        &self,
        tenant_id: &str,
        client_id: &str,
        certificate: &Path,
    ) -> Result<Arc<dyn TokenCredential>, TokenError> {
        let pem = self.file(certificate)?;
        let assertion = CertificateAssertion::new(tenant_id, client_id, &pem)
            .map_err(|reason| self.broken(format!("{}: {reason}", certificate.display())))?;
        let options = Some(self.assertion_options()?);
        let (tenant_id, client_id) = (tenant_id.to_owned(), client_id.to_owned());
        Ok(self.made(ClientAssertionCredential::new(tenant_id, client_id, assertion, options))?)
    }

    fn azure_pipelines(
        &self,
        tenant_id: &str,
        client_id: &str,
        service_connection_id: &str,
    ) -> Result<Arc<dyn TokenCredential>, TokenError> {
        let token = self.secret(&SecretSource::Env("SYSTEM_ACCESSTOKEN".to_owned()))?;
        let options = Some(AzurePipelinesCredentialOptions { credential_options: self.assertion_options()? });
        let (tenant_id, client_id) = (tenant_id.to_owned(), client_id.to_owned());
        Ok(self.made(AzurePipelinesCredential::new(tenant_id, client_id, service_connection_id, token, options))?)
    }

    /// How a credential that asks over HTTP does so.
    fn client_options(&self) -> Result<ClientOptions, TokenError> {
        let transport = match &self.surroundings.transport {
            Some(transport) => transport.clone(),
            None => token_client::transport(self.surroundings).map_err(|reason| self.broken(reason))?,
        };
        let retry = ExponentialRetryOptions { max_retries: MAX_RETRIES, ..Default::default() };
        Ok(ClientOptions {
            transport: Some(transport),
            retry: RetryOptions::exponential(retry),
            ..ClientOptions::default()
        })
    }

    fn assertion_options(&self) -> Result<ClientAssertionCredentialOptions, TokenError> {
        Ok(ClientAssertionCredentialOptions { client_options: self.client_options()? })
    }

    /// What runs a credential's tool.
    fn executor(&self) -> Arc<dyn Executor> {
        Arc::new(Tool::new(self.surroundings.path.clone()))
    }

    fn secret(&self, source: &SecretSource) -> Result<Secret, TokenError> {
        let secret = source.read(&*self.surroundings.variable).map_err(|reason| self.broken(reason))?;
        Ok(Secret::new(secret))
    }

    /// A file that the configuration names.
    fn file(&self, path: &Path) -> Result<String, TokenError> {
        secret::file(path).map_err(|reason| self.broken(reason))
    }

    /// A credential, or why the library refused to make it.
    fn made<Made>(&self, credential: azure_core::Result<Made>) -> Result<Made, TokenError> {
        credential.map_err(|error| self.broken(reason(&error)))
    }

    fn broken(&self, reason: String) -> TokenError {
        TokenError::Configuration { credential: self.config.name(), reason }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Account, Fixed, Tokens};
    use super::*;
    use azure_core::http::headers::Headers;
    use azure_core::http::{AsyncRawResponse, Body, HttpClient, Request, StatusCode, Transport};
    use std::time::Duration;

    /// Stands in for Entra: notes each request's URL and form, and gives numbered tokens.
    #[derive(Debug, Default)]
    struct Entra {
        requests: Mutex<Vec<String>>,
    }

    #[async_trait::async_trait]
    impl HttpClient for Entra {
        async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
            let Body::Bytes(body) = request.body() else { panic!("a form is expected") };
            let mut requests = self.requests.lock().unwrap();
            requests.push(format!("{} {}", request.url(), String::from_utf8_lossy(body)));
            let token =
                format!(r#"{{"access_token":"token-{}","expires_in":3600,"token_type":"Bearer"}}"#, requests.len());
            Ok(AsyncRawResponse::from_bytes(StatusCode::Ok, Headers::default(), token))
        }
    }

    fn configured(toml: &str, entra: &Arc<Entra>) -> Configured {
        let surroundings = Surroundings {
            variable: Arc::new(|name| (name == "SECRET").then(|| "hush".to_owned())),
            transport: Some(Transport::new(Arc::clone(entra) as Arc<dyn HttpClient>)),
            ..Surroundings::default()
        };
        Configured::new(toml::from_str(toml).unwrap(), surroundings)
    }

    #[tokio::test]
    async fn a_secret_is_read_where_the_configuration_says_and_tokens_can_be_forced() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("secret");
        std::fs::write(&file, "from-file\r\n").unwrap();
        for (source, secret) in
            [("env = \"SECRET\"".to_owned(), "hush"), (format!("file = {:?}", file.to_str().unwrap()), "from-file")]
        {
            let entra = Arc::<Entra>::default();
            let toml = format!("kind = \"clientSecret\"\ntenantId = \"t\"\nclientId = \"c\"\nsecret = {{ {source} }}");
            let credential = configured(&toml, &entra);
            for (skip_cached, requests) in [(false, 1), (false, 1), (true, 2)] {
                credential.fetch("https://ai.azure.com/.default", skip_cached).await.unwrap();
                assert_eq!(entra.requests.lock().unwrap().len(), requests, "skip_cached: {skip_cached}");
            }
            let request = entra.requests.lock().unwrap()[0].clone();
            assert!(request.starts_with("https://login.microsoftonline.com/t/oauth2/v2.0/token "), "{request}");
            assert!(request.contains(&format!("client_secret={secret}&")), "{request}");
            assert!(request.contains("scope=https%3A%2F%2Fai.azure.com%2F.default"), "{request}");
        }
    }

    #[tokio::test]
    async fn a_certificate_signs_the_request() {
        let entra = Arc::<Entra>::default();
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/auth/certificate.pem");
        let toml = format!("kind = \"clientCertificate\"\ntenantId = \"t\"\nclientId = \"c\"\ncertificate = {path:?}");
        configured(&toml, &entra).fetch("scope", false).await.unwrap();
        let request = entra.requests.lock().unwrap()[0].clone();
        assert!(request.contains("client_assertion=eyJ"), "{request}");
        assert!(!request.contains("client_secret"), "{request}");
    }

    #[tokio::test]
    async fn what_the_configuration_lacks_is_named_without_secrets() {
        let entra = Arc::<Entra>::default();
        for (toml, named) in [
            ("kind = \"clientSecret\"\ntenantId = \"t\"\nclientId = \"c\"\nsecret = { env = \"NOT_SET\" }", "NOT_SET"),
            (
                "kind = \"clientSecret\"\ntenantId = \"t\"\nclientId = \"c\"\nsecret = { file = \"/nowhere/secret\" }",
                "/nowhere/secret",
            ),
            (
                "kind = \"clientCertificate\"\ntenantId = \"t\"\nclientId = \"c\"\ncertificate = \"/nowhere/c.pem\"",
                "/nowhere/c.pem",
            ),
            (
                "kind = \"azurePipelines\"\ntenantId = \"t\"\nclientId = \"c\"\nserviceConnectionId = \"s\"",
                "SYSTEM_ACCESSTOKEN",
            ),
            (
                "kind = \"clientSecret\"\ntenantId = \"no/tenant\"\nclientId = \"c\"\nsecret = { env = \"SECRET\" }",
                "no/tenant",
            ),
        ] {
            let error = configured(toml, &entra).fetch("scope", false).await.unwrap_err();
            assert!(error.to_string().contains(named), "{error}");
            assert!(!error.to_string().contains("hush"), "{error}");
            assert!(error.hint().contains("[credential]"), "{}", error.hint());
        }
    }

    /// A machine without a network.
    #[derive(Debug, Default)]
    struct Offline(Mutex<u32>);

    #[async_trait::async_trait]
    impl HttpClient for Offline {
        async fn execute_request(&self, _request: &Request) -> azure_core::Result<AsyncRawResponse> {
            *self.0.lock().unwrap() += 1;
            Err(azure_core::Error::with_message(azure_core::error::ErrorKind::Io, "no route to host"))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_machine_that_is_offline_is_said_to_be_in_seconds() {
        let offline = Arc::<Offline>::default();
        let surroundings = Surroundings {
            variable: Arc::new(|_| Some("hush".to_owned())),
            transport: Some(Transport::new(Arc::clone(&offline) as Arc<dyn HttpClient>)),
            ..Surroundings::default()
        };
        let toml = "kind = \"clientSecret\"\ntenantId = \"t\"\nclientId = \"c\"\nsecret = { env = \"SECRET\" }";
        let began = tokio::time::Instant::now();
        let error =
            Configured::new(toml::from_str(toml).unwrap(), surroundings).fetch("scope", false).await.unwrap_err();
        assert!(error.to_string().contains("no route to host"), "{error}");
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
        assert_eq!(*offline.0.lock().unwrap(), MAX_RETRIES + 1);
    }

    #[tokio::test]
    async fn the_http_client_of_credentials_can_be_built() {
        let directory = tempfile::tempdir().unwrap();
        let token_file = directory.path().join("token");
        std::fs::write(&token_file, "service-account").unwrap();
        let config = CredentialConfig::WorkloadIdentity {
            tenant_id: Some("t".to_owned()),
            client_id: Some("c".to_owned()),
            token_file: Some(token_file),
        };
        assert!(Builder { config: &config, surroundings: &Surroundings::default() }.build().is_ok());
    }

    #[cfg(unix)]
    mod tools {
        use super::*;
        use std::os::unix::fs::PermissionsExt as _;
        use std::path::Path;

        /// Puts a program on the `PATH` that counts its runs and then does what `script` says.
        fn install(directory: &Path, name: &str, script: &str) {
            let program = directory.join(name);
            let runs = directory.join(format!("{name}.runs"));
            std::fs::write(&program, format!("#!/bin/sh\necho \"$*\" >> {}\n{script}\n", runs.display())).unwrap();
            std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        }

        fn runs(directory: &Path, name: &str) -> Vec<String> {
            let runs = std::fs::read_to_string(directory.join(format!("{name}.runs"))).unwrap_or_default();
            runs.lines().map(ToOwned::to_owned).collect()
        }

        fn tokens(directory: &Path, config: CredentialConfig) -> Arc<Tokens> {
            let surroundings = Surroundings { path: Some(directory.into()), ..Surroundings::default() };
            let emulator: crate::auth::EmulatorCredentials = Arc::new(|_| Arc::new(Fixed(|| "emulated".to_owned())));
            Arc::new(Tokens::new(config, surroundings, emulator))
        }

        const AZD: &str = r#"echo '{"token":"azd-token","expiresOn":"2099-01-01T00:00:00Z"}'"#;
        const AZ: &str = r#"echo '{"accessToken":"az-token","expires_on":4070908800,"tokenType":"Bearer"}'"#;

        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn two_hundred_parallel_first_calls_run_azd_once() {
            let directory = tempfile::tempdir().unwrap();
            install(directory.path(), "azd", AZD);
            let tokens = tokens(directory.path(), CredentialConfig::DeveloperTools);
            let calls: Vec<_> = (0..200)
                .map(|_| {
                    let tokens = Arc::clone(&tokens);
                    tokio::spawn(async move { tokens.get(&Account::Configured, "https://ai.azure.com/.default").await })
                })
                .collect();
            for call in calls {
                assert_eq!(call.await.unwrap().unwrap().authorization(), "Bearer azd-token");
            }
            let runs = runs(directory.path(), "azd");
            assert_eq!(runs, ["auth token -o json --no-prompt --scope https://ai.azure.com/.default"]);
        }

        #[tokio::test]
        async fn az_is_asked_when_azd_is_not_signed_in_and_first_from_then_on() {
            let directory = tempfile::tempdir().unwrap();
            install(directory.path(), "azd", "echo 'not logged in' >&2; exit 1");
            install(directory.path(), "az", AZ);
            let tokens = tokens(directory.path(), CredentialConfig::DeveloperTools);
            for _ in 0..2 {
                let token = tokens.get(&Account::Configured, "scope").await.unwrap();
                assert_eq!(token.authorization(), "Bearer az-token");
                tokens.clear();
            }
            assert_eq!((runs(directory.path(), "azd").len(), runs(directory.path(), "az").len()), (1, 2));
        }

        #[tokio::test]
        async fn without_a_token_the_error_names_what_was_tried_and_what_to_run() {
            let directory = tempfile::tempdir().unwrap();
            install(directory.path(), "azd", "echo 'not logged in' >&2; exit 1");
            let error = tokens(directory.path(), CredentialConfig::DeveloperTools)
                .get(&Account::Configured, "scope")
                .await
                .unwrap_err();
            let text = error.to_string();
            assert!(text.contains("azd: ") && text.contains("not logged in"), "{text}");
            let looked = format!("not found on the daemon's PATH ({})", directory.path().display());
            assert!(text.contains("azureCli: ") && text.contains(&looked), "{text}");
            assert!(
                error.hint().starts_with("run `azd auth login` or `az login`, then try again; "),
                "{}",
                error.hint()
            );
            assert!(error.hint().contains("`cupola stop`"), "{}", error.hint());
        }

        #[tokio::test]
        async fn a_tool_that_is_not_there_is_said_with_the_path_and_one_that_is_installed_later_is_used() {
            let directory = tempfile::tempdir().unwrap();
            for (config, tool, script) in [
                (CredentialConfig::AzureCli { tenant_id: None }, "az", AZ),
                (CredentialConfig::Azd { tenant_id: None }, "azd", AZD),
                (CredentialConfig::DeveloperTools, "azd", AZD),
            ] {
                let tokens = tokens(directory.path(), config);
                let error = tokens.get(&Account::Configured, "scope").await.unwrap_err();
                assert!(error.to_string().contains(&directory.path().display().to_string()), "{error}");
                assert!(error.hint().contains("install") && error.hint().contains("`cupola stop`"), "{}", error.hint());
                install(directory.path(), tool, script);
                tokens.get(&Account::Configured, "scope").await.unwrap();
                std::fs::remove_file(directory.path().join(tool)).unwrap();
            }
        }
    }
}
