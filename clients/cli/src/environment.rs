//! The only reader of the process's environment in the command line.

use crate::failure::Failure;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::OnceLock;

/// The user's isolation key.
pub(crate) const USER_KEY: &str = "CUPOLA_USER_ISOLATION_KEY";
/// The chat's isolation key.
pub(crate) const CHAT_KEY: &str = "CUPOLA_CHAT_ISOLATION_KEY";
/// The delegated identity.
pub(crate) const IDENTITY: &str = "CUPOLA_USER_IDENTITY";

/// The variables that say whose state a command may see. They are for that command alone: the daemon takes no isolation
/// from its environment, and neither the daemon nor a program it starts needs to know them.
pub const ISOLATION_VARIABLES: [&str; 3] = [USER_KEY, CHAT_KEY, IDENTITY];

/// The variables a command may read, or none of them (`--no-env`).
pub(crate) struct Environment(Box<Lookup>);

type Lookup = dyn Fn(&str) -> Option<OsString>;

impl Environment {
    /// The process's own environment; empty when `ignored`.
    pub(crate) fn process(ignored: bool) -> Self {
        if ignored { Self(Box::new(|_| None)) } else { Self(Box::new(variable)) }
    }

    /// Only these variables.
    #[cfg(test)]
    pub(crate) fn of(set: &'static [(&str, &str)]) -> Self {
        Self(Box::new(|name| set.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value))))
    }

    /// A variable's text. A variable that is set but empty is an error: it is nearly always a script's unset variable, and
    /// continuing without it would mean continuing without isolation.
    pub(crate) fn text(&self, name: &str) -> Result<Option<String>, Failure> {
        let Some(value) = (self.0)(name) else { return Ok(None) };
        if value.is_empty() {
            return Err(Failure::usage_hint(
                format!("{name} is set but empty"),
                format!("give it a value, `unset {name}`, or ignore the variables with --no-env"),
            ));
        }
        value.into_string().map(Some).map_err(|_| Failure::usage(format!("{name} is not valid UTF-8")))
    }
}

/// May colours be written to a terminal? `NO_COLOR` with any value but the empty one says no, and so does a terminal that
/// has none.
pub fn allows_colours() -> bool {
    variable("NO_COLOR").is_none_or(|value| value.is_empty()) && !is_dumb()
}

/// Is it a terminal that shows what is typed, and can do nothing about it?
pub(crate) fn is_dumb() -> bool {
    variable("TERM").is_some_and(|name| name == "dumb")
}

/// The directory for temporary files: `TMPDIR`, else the system's default.
pub(crate) fn temporary_directory() -> PathBuf {
    std::env::temp_dir()
}

/// One variable of the process.
pub(crate) fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

/// The version that the program has given.
static VERSION: OnceLock<&str> = OnceLock::new();

/// Says which version this program has. Once: a process runs one command line.
pub(crate) fn set_version(version: &'static str) {
    let _ = VERSION.set(version);
}

/// This program's version. That of this crate if no program has given one to [`crate::run`].
pub fn version() -> &'static str {
    VERSION.get().unwrap_or(&env!("CARGO_PKG_VERSION"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_variable_is_refused_rather_than_taken_for_none() {
        let environment = Environment::of(&[("CUPOLA_USER_ISOLATION_KEY", "")]);
        let Err(Failure::Usage { message, hint }) = environment.text("CUPOLA_USER_ISOLATION_KEY") else {
            panic!("it was accepted")
        };
        assert_eq!(message, "CUPOLA_USER_ISOLATION_KEY is set but empty");
        assert!(hint.unwrap().contains("--no-env"));
    }
}
