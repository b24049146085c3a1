//! Profiles: a target and an isolation under a name, in the user's own `profiles.toml`.
//!
//! ```toml
//! [acme]
//! project_endpoint = "https://ACCOUNT.services.ai.azure.com/api/projects/PROJECT"
//! agent = "support"
//! user_isolation_key_env = "ACME_KEY"   # or user_isolation_key = "…", and then the file must be private
//! ownership_key_env = "ACME_SESSIONS"   # or ownership_key = "…": the --isolation-key of sessions create and delete
//! keep_warm = { request = "session", every = 600, hours = 8 }   # experimental: see docs/terminal.md
//! pre_create = true                                             # experimental
//! ```

use super::model::Model;
use crate::environment::Environment;
use crate::failure::Failure;
use crate::ownership::{self, Rule, User};
use crate::{environment, places};
use cupola_protocol::warm::{self, MAX_WARM_FOR_MS, MIN_WARM_EVERY_MS, Warm, WarmRequest};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};

/// The file, in Cupola's configuration directory.
const FILE_NAME: &str = "profiles.toml";
/// The most that is read of it, in bytes. A thousand profiles fit.
const MAX_FILE_BYTES: u64 = 256 * 1024;

/// What a profile says. Each field stands for the flag of its name.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Profile {
    #[serde(skip)]
    pub name: String,
    pub emulator: Option<Switch>,
    pub project_endpoint: Option<String>,
    pub agent_endpoint: Option<String>,
    /// The port of a local agent, or `true` for the usual one.
    pub local: Option<Port>,
    pub directory: Option<PathBuf>,
    pub environment: Option<String>,
    pub agent: Option<String>,
    pub version: Option<String>,
    user_isolation_key: Option<String>,
    user_isolation_key_env: Option<String>,
    chat_isolation_key: Option<String>,
    chat_isolation_key_env: Option<String>,
    user_identity: Option<String>,
    user_identity_env: Option<String>,
    /// `--isolation-key` of `sessions create` and `sessions delete`.
    ownership_key: Option<String>,
    ownership_key_env: Option<String>,
    pub chat: Option<String>,
    pub isolation_model: Option<Model>,
    keep_warm: Option<KeepWarm>,
    pre_create: bool,
}

/// How the session is kept warm after a turn.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeepWarm {
    request: WarmRequest,
    /// Seconds between two requests.
    every: u64,
    /// Hours after the last turn.
    hours: u64,
}

/// `emulator = true` or `emulator = "http://127.0.0.1:8787"`.
#[derive(Clone, Deserialize)]
#[serde(untagged)]
pub(crate) enum Switch {
    On(bool),
    At(String),
}

/// `local = true` or `local = 8088`.
#[derive(Clone, Deserialize)]
#[serde(untagged)]
pub(crate) enum Port {
    On(bool),
    At(NonZeroU16),
}

/// The names of all profiles in the user's file.
pub(crate) fn names() -> Result<Vec<String>, Failure> {
    let Some(directory) = places::config_directory(environment::variable) else { return Ok(Vec::new()) };
    let text = ownership::text(&directory.join(FILE_NAME), Rule::Configuration, MAX_FILE_BYTES, User::current())?;
    let profiles: toml::Table =
        toml::from_str(&text.unwrap_or_default()).map_err(|error| Failure::usage(error.message().to_owned()))?;
    Ok(profiles.into_iter().map(|(name, _)| name).collect())
}

impl Profile {
    /// Reads the profile from the user's file.
    pub(crate) fn load(name: &str, environment: &Environment) -> Result<Self, Failure> {
        let Some(directory) = places::config_directory(environment::variable) else {
            return Err(Failure::usage_hint(
                "cannot find profiles.toml: neither XDG_CONFIG_HOME nor HOME is set",
                "set one of them, or use flags",
            ));
        };
        Self::read(&directory.join(FILE_NAME), name, environment)
    }

    fn read(path: &Path, name: &str, environment: &Environment) -> Result<Self, Failure> {
        let shown = path.display();
        let unreadable = |error: std::io::Error| {
            Failure::usage_hint(
                format!("profile {name}: {shown} cannot be read: {error}"),
                format!("write the profile there: [{name}], then its fields"),
            )
        };
        let text = ownership::text(path, Rule::Configuration, MAX_FILE_BYTES, User::current())?
            .ok_or_else(|| unreadable(std::io::ErrorKind::NotFound.into()))?;
        let found = fs::metadata(path).map_err(unreadable)?;
        // The reader's own message shows the line, and with it possibly a key.
        let mut profiles: BTreeMap<String, Self> = toml::from_str(&text).map_err(|error| {
            let line =
                error.span().map_or(0, |span| text.bytes().take(span.start).filter(|byte| *byte == b'\n').count());
            Failure::usage(format!("{shown}:{}: {}", line + 1, error.message()))
        })?;
        if profiles.values().any(Self::holds_a_key) {
            check_private(path, &found)?;
        }
        let Some(mut profile) = profiles.remove(name) else {
            let others: Vec<_> = profiles.into_keys().collect();
            let others = if others.is_empty() { "none".to_owned() } else { others.join(", ") };
            return Err(Failure::usage(format!("{shown} has no profile {name:?}; it has {others}")));
        };
        name.clone_into(&mut profile.name);
        profile.fill_from(environment)?;
        Ok(profile)
    }

    /// Reads the variables that the profile names. One that is not set is an error: continuing without it would mean continuing
    /// without isolation.
    fn fill_from(&mut self, environment: &Environment) -> Result<(), Failure> {
        let name = &self.name;
        for (field, value, variable) in [
            ("user_isolation_key", &mut self.user_isolation_key, self.user_isolation_key_env.take()),
            ("chat_isolation_key", &mut self.chat_isolation_key, self.chat_isolation_key_env.take()),
            ("user_identity", &mut self.user_identity, self.user_identity_env.take()),
            ("ownership_key", &mut self.ownership_key, self.ownership_key_env.take()),
        ] {
            let Some(variable) = variable else { continue };
            if value.is_some() {
                return Err(Failure::usage(format!("profile {name} gives both {field} and {field}_env")));
            }
            *value = Some(environment.text(&variable)?.ok_or_else(|| {
                Failure::usage_hint(
                    format!("profile {name} takes its {field} from {variable}, which is not set"),
                    "set the variable, or remove --no-env if you passed it",
                )
            })?);
        }
        Ok(())
    }

    fn holds_a_key(&self) -> bool {
        [&self.user_isolation_key, &self.chat_isolation_key, &self.user_identity, &self.ownership_key]
            .into_iter()
            .any(Option::is_some)
    }

    /// How an invoke keeps its session ready.
    pub(crate) fn warm(&self) -> Result<Option<Warm>, Failure> {
        if self.keep_warm.is_none() && !self.pre_create {
            return Ok(None);
        }
        let keep = self.keep_warm.as_ref().map(|keep| warm::KeepWarm {
            request: keep.request,
            every_ms: keep.every.saturating_mul(1000),
            for_ms: keep.hours.saturating_mul(60 * 60 * 1000),
        });
        if keep.as_ref().is_some_and(|keep| keep.every_ms < MIN_WARM_EVERY_MS || keep.for_ms > MAX_WARM_FOR_MS) {
            let (every, hours) = (MIN_WARM_EVERY_MS / 1000, MAX_WARM_FOR_MS / (60 * 60 * 1000));
            let message =
                format!("profile {}: keep_warm needs every >= {every} (seconds) and hours <= {hours}", self.name);
            return Err(Failure::usage(message));
        }
        Ok(Some(Warm { keep, pre_create: self.pre_create }))
    }

    pub(crate) fn user_isolation_key(&self) -> Option<&String> {
        self.user_isolation_key.as_ref()
    }

    pub(crate) fn chat_isolation_key(&self) -> Option<&String> {
        self.chat_isolation_key.as_ref()
    }

    pub(crate) fn user_identity(&self) -> Option<&String> {
        self.user_identity.as_ref()
    }

    pub(crate) fn ownership_key(&self) -> Option<&String> {
        self.ownership_key.as_ref()
    }
}

#[cfg(unix)]
fn check_private(path: &Path, found: &fs::Metadata) -> Result<(), Failure> {
    use std::os::unix::fs::MetadataExt;
    let mode = found.mode() & 0o777;
    let of_others = mode & 0o077;
    if of_others == 0 {
        return Ok(());
    }
    let shown = path.display();
    Err(Failure::usage_hint(
        format!("{shown} contains isolation keys, but other users can read it (mode {mode:03o})"),
        format!("run: chmod 600 {shown}; or name variables instead: user_isolation_key_env = \"…\""),
    ))
}

/// A user's profile directories on Windows are private by their inherited access lists.
#[cfg(windows)]
#[expect(clippy::unnecessary_wraps, reason = "other systems can fail here")]
fn check_private(_path: &Path, _found: &fs::Metadata) -> Result<(), Failure> {
    Ok(())
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn read(text: &str, mode: u32, name: &str, environment: &Environment) -> Result<Profile, Failure> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE_NAME);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        Profile::read(&path, name, environment)
    }

    fn refusal(text: &str, mode: u32, name: &str, environment: &Environment) -> String {
        match read(text, mode, name, environment) {
            Err(Failure::Usage { message, hint }) => message + " | " + &hint.unwrap_or_default(),
            Err(other) => panic!("{other:?}"),
            Ok(_) => panic!("it was accepted"),
        }
    }

    #[test]
    fn a_file_with_keys_must_be_private_and_one_that_names_variables_need_not() {
        let none = Environment::of(&[]);
        let keys = "[acme]\nuser_isolation_key = \"hush\"\n[other]\nagent = \"a\"\n";
        assert_eq!(read(keys, 0o600, "acme", &none).unwrap().user_isolation_key().unwrap(), "hush");
        for (mode, name) in [(0o644, "acme"), (0o640, "other"), (0o604, "other")] {
            let said = refusal(keys, mode, name, &none);
            assert!(said.contains("chmod 600") && !said.contains("hush"), "{said}");
        }
        let said = refusal("[acme]\nownership_key = \"hush\"\n", 0o644, "acme", &none);
        assert!(said.contains("chmod 600") && !said.contains("hush"), "{said}");
        let named = "[acme]\nuser_isolation_key_env = \"ACME_KEY\"\n";
        let environment = Environment::of(&[("ACME_KEY", "from-env")]);
        assert_eq!(read(named, 0o644, "acme", &environment).unwrap().user_isolation_key().unwrap(), "from-env");
        let said = refusal(named, 0o644, "acme", &none);
        assert!(said.contains("ACME_KEY, which is not set"), "{said}");
    }

    #[test]
    fn what_is_wrong_is_named_and_no_key_is_shown() {
        let none = Environment::of(&[]);
        for (text, expected) in [
            ("[acme]\nagnet = \"x\"\n", ":2: "),
            ("[acme]\nuser_isolation_key = hush\n", ":2: "),
            ("[acme]\nuser_isolation_key = [\"hush\"]\n", ":2: "),
            ("[acme]\nuser_isolation_key = \"hush\"\nuser_isolation_key_env = \"X\"\n", "both user_isolation_key and"),
            ("[beta]\n[gamma]\n", "no profile \"acme\"; it has beta, gamma"),
        ] {
            let said = refusal(text, 0o600, "acme", &none);
            assert!(said.contains(expected) && !said.contains("hush"), "{expected}: {said}");
        }
    }
}
