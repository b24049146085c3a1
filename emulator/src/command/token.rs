//! `cupola emulator token`: a token signed with the secret of an emulator of this user, for clients that cannot find the secret
//! by themselves.

use crate::auth::{IMPERSONATE, MANAGE_ALL, Secret, SecretError, Token};
use crate::private;
use crate::registry::{self, Entry, RegistryError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// What the command line says.
#[derive(Debug, Clone, Default)]
pub struct TokenOptions {
    /// The caller that the token names.
    pub caller: String,
    /// Exactly these permissions; the usual ones when absent.
    pub permissions: Option<Vec<String>>,
    /// How long the token is valid; forever when absent.
    pub lifetime: Option<Duration>,
    /// The URL of the emulator.
    pub url: Option<String>,
    /// The emulator's data directory.
    pub data_directory: Option<PathBuf>,
    /// Where running emulators are listed.
    pub registry: Option<PathBuf>,
}

/// Why no token was made.
#[derive(Debug, thiserror::Error)]
pub enum TokenCommandError {
    /// A permission that the emulator does not know.
    #[error("unknown permission {0:?}; use {IMPERSONATE}, {MANAGE_ALL}, or both separated by a comma")]
    Permission(String),
    /// The time is too far away to be represented.
    #[error("--expires {0} is too far in the future")]
    Lifetime(u64),
    /// Nothing says which emulator.
    #[error(
        "none of your emulators is running; start one with `cupola emulator`, or pass its directory with --data-dir"
    )]
    NoneRuns,
    /// Several could be meant.
    #[error("several emulators are running; choose one with --url: {}", .0.join(", "))]
    Several(Vec<String>),
    /// None runs there.
    #[error(
        "none of your emulators is running at {0}; `cupola emulator` prints its URL when it starts. For one that is not \
         running, pass its directory with --data-dir"
    )]
    NotThere(String),
    /// The directory does not exist, or is a file.
    #[error("--data-dir: {}", private::unusable(path, source))]
    DataDirectory {
        /// The directory.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// No emulator has used the directory.
    #[error(
        "--data-dir: {} has no emulator's secret; `cupola emulator --data-dir DIRECTORY` makes one when it starts",
        .0.display()
    )]
    NoSecret(PathBuf),
    /// The list of running emulators.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The secret in the directory that was named.
    #[error("--data-dir: {0}")]
    NamedSecret(SecretError),
    /// The secret of an emulator that runs.
    #[error(transparent)]
    Secret(#[from] SecretError),
}

/// The token's text.
pub fn token(options: &TokenOptions) -> Result<String, TokenCommandError> {
    let (secret, url) = source(options)?;
    let mut token = Token::of(&options.caller);
    if let Some(url) = url {
        token = token.issuer(&url);
    }
    if let Some(permissions) = &options.permissions {
        let known: Vec<_> = permissions.iter().map(String::as_str).filter(|name| !name.is_empty()).collect();
        if let Some(unknown) = known.iter().find(|name| ![IMPERSONATE, MANAGE_ALL].contains(name)) {
            return Err(TokenCommandError::Permission((*unknown).to_owned()));
        }
        token = token.permissions(&known);
    }
    if let Some(lifetime) = options.lifetime {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let end = now.checked_add(lifetime).and_then(|end| i64::try_from(end.as_secs()).ok());
        token = token.expires_at(end.ok_or(TokenCommandError::Lifetime(lifetime.as_secs()))?);
    }
    Ok(token.encode(&secret))
}

/// The secret, and the URL of the emulator if it is known.
fn source(options: &TokenOptions) -> Result<(Secret, Option<String>), TokenCommandError> {
    let list = options.registry.as_deref();
    if let Some(directory) = &options.data_directory {
        let path = Secret::path(directory);
        // What is wrong with the directory says more than what is wrong with a file in it.
        std::fs::read_dir(directory)
            .map_err(|source| TokenCommandError::DataDirectory { path: directory.clone(), source })?;
        if !path.exists() {
            return Err(TokenCommandError::NoSecret(directory.clone()));
        }
        let secret = Secret::read(&path).map_err(TokenCommandError::NamedSecret)?;
        let path = std::path::absolute(&path).unwrap_or(path);
        let url = options.url.clone().or_else(|| {
            let running = list.and_then(|list| registry::list(list).ok()).unwrap_or_default();
            running.into_iter().find(|entry| entry.secret == path).map(|entry| entry.url)
        });
        return Ok((secret, url));
    }
    let entry = match &options.url {
        Some(url) => find(list, url)?.ok_or_else(|| TokenCommandError::NotThere(url.clone()))?,
        None => only(list)?,
    };
    Ok((registry::secret(&entry)?, Some(entry.url)))
}

fn find(list: Option<&Path>, url: &str) -> Result<Option<Entry>, RegistryError> {
    list.map_or(Ok(None), |list| registry::find(list, url))
}

fn only(list: Option<&Path>) -> Result<Entry, TokenCommandError> {
    let mut running = list.map_or(Ok(Vec::new()), registry::list)?;
    if running.len() > 1 {
        return Err(TokenCommandError::Several(running.into_iter().map(|entry| entry.url).collect()));
    }
    running.pop().ok_or(TokenCommandError::NoneRuns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    fn options(root: &Path) -> TokenOptions {
        TokenOptions { caller: "ann".to_owned(), registry: Some(root.join("emulators")), ..TokenOptions::default() }
    }

    fn claims(token: &str) -> serde_json::Value {
        let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
        serde_json::from_slice(&claims).unwrap()
    }

    #[test]
    fn the_emulator_is_the_one_that_runs_or_is_named() {
        let root = tempfile::tempdir().unwrap();
        let asked = options(root.path());
        assert!(matches!(token(&asked), Err(TokenCommandError::NoneRuns)));
        let register = |name: &str, url: &str| {
            let data = root.path().join(name);
            crate::private::directory(&data).unwrap();
            Secret::of(&data).unwrap();
            let entry = Entry { url: url.to_owned(), secret: Secret::path(&data) };
            registry::register(&root.path().join("emulators"), &entry).unwrap()
        };
        let _one = register("one", "http://127.0.0.1:8787");
        assert_eq!(claims(&token(&asked).unwrap())["iss"], "http://127.0.0.1:8787");
        let _two = register("two", "http://127.0.0.1:8788");
        let error = token(&asked).unwrap_err().to_string();
        assert!(error.contains("--url") && error.contains("8787") && error.contains("8788"), "{error}");
        let named = |url: &str| token(&TokenOptions { url: Some(url.to_owned()), ..asked.clone() });
        assert_eq!(claims(&named("http://localhost:8788").unwrap())["iss"], "http://127.0.0.1:8788");
        assert!(matches!(named("http://127.0.0.1:1"), Err(TokenCommandError::NotThere(_))));
        let by_data = TokenOptions { data_directory: Some(root.path().join("one")), ..asked.clone() };
        assert_eq!(claims(&token(&by_data).unwrap())["iss"], "http://127.0.0.1:8787");
        let elsewhere = TokenOptions { url: Some("http://127.0.0.1:9".to_owned()), ..by_data };
        assert_eq!(claims(&token(&elsewhere).unwrap())["iss"], "http://127.0.0.1:9");
    }

    #[test]
    fn caller_permissions_and_end_are_as_asked_for() {
        let root = tempfile::tempdir().unwrap();
        Secret::of(root.path()).unwrap();
        let asked = TokenOptions { data_directory: Some(root.path().to_owned()), ..options(root.path()) };
        let plain = claims(&token(&asked).unwrap());
        assert_eq!((&plain["oid"], plain.get("exp"), plain.get("permissions")), (&"ann".into(), None, None));
        let limited = TokenOptions {
            permissions: Some(vec![MANAGE_ALL.to_owned()]),
            lifetime: Some(Duration::from_mins(1)),
            ..asked.clone()
        };
        let limited = claims(&token(&limited).unwrap());
        assert_eq!(limited["permissions"], serde_json::json!([MANAGE_ALL]));
        assert!(limited["exp"].as_i64().unwrap() > 1_700_000_000);
        let none = TokenOptions { permissions: Some(vec![String::new()]), ..asked.clone() };
        assert_eq!(claims(&token(&none).unwrap())["permissions"], serde_json::json!([]));
        let odd = TokenOptions { permissions: Some(vec!["Root".to_owned()]), ..asked.clone() };
        assert!(token(&odd).unwrap_err().to_string().contains("Root"));
        let endless = TokenOptions { lifetime: Some(Duration::from_secs(u64::MAX)), ..asked };
        assert!(matches!(token(&endless), Err(TokenCommandError::Lifetime(_))));
    }
}
