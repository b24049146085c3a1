//! Secrets that the configuration names: where they are, never what they are.

use cupola_cli::ownership::{self, Rule, User};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The most that is read of a secret, in bytes. A certificate with its whole chain has some thousand.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// Reads an environment variable by its name.
pub type Variables = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// Where a secret is read from. There is no way to write one into the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum SecretSource {
    /// An environment variable of the daemon.
    Env(String),
    /// A file; one line break at its end is dropped.
    File(PathBuf),
}

impl SecretSource {
    /// The secret, or why it cannot be had: in words that have nothing of it.
    pub fn read(&self, variable: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
        let secret = match self {
            Self::Env(name) => variable(name).ok_or_else(|| format!("the environment variable {name} is not set"))?,
            Self::File(path) => file(path)?,
        };
        Ok(secret.strip_suffix('\n').map_or(secret.as_str(), |line| line.trim_end_matches('\r')).to_owned())
    }

    /// The file that it is in, if it is in one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Env(_) => None,
            Self::File(path) => Some(path),
        }
    }
}

/// A file that the configuration names: held to the same rule as the configuration itself.
pub fn file(path: &Path) -> Result<String, String> {
    let text = ownership::text(path, Rule::Configuration, MAX_FILE_BYTES, User::current());
    let text = text.map_err(|unusable| format!("{unusable}{}", unusable.advice()))?;
    text.ok_or_else(|| format!("{} does not exist", path.display()))
}
