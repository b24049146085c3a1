//! Why a token could not be obtained, and what to do about it.

use crate::system::tls::CertificateFault;
use std::time::Duration;

/// How an error says that a tool was not found, and whose PATH was searched: the daemon's is that of the shell which started it.
pub(super) const NOT_FOUND: &str = "not found on the daemon's PATH";

/// No token could be had. Cheap to clone: everyone who waited for the same fetch gets the same error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The configuration names something that is not there, for example a file or a variable.
    #[error("the configured credential {credential} cannot be used: {reason}")]
    Configuration {
        /// Its name in the configuration.
        credential: &'static str,
        /// What is wrong, naming the file or variable but never its content.
        reason: String,
    },
    /// The credential was asked and gave none.
    #[error("{credential} gave no token: {reason}")]
    Refused {
        /// Its name in the configuration.
        credential: &'static str,
        /// What it said.
        reason: String,
    },
    /// No developer tool provided one.
    #[error("no developer tool gave a token. {}", what_each_said(tried))]
    NoTool {
        /// Which were tried, in order, and what each said.
        tried: Vec<(&'static str, String)>,
    },
    /// There is no emulator of this user, and no token, for a URL.
    #[error("no connection to {origin}: none of your emulators is running there")]
    NoEmulator {
        /// Where it was looked for.
        origin: String,
    },
    /// The certificate of the host that gives tokens was refused. Nothing was sent.
    #[error("{credential} gave no token: the host that gives tokens is not trusted: {fault}")]
    NotTrusted {
        /// Its name in the configuration.
        credential: &'static str,
        /// Why it was refused.
        fault: CertificateFault,
    },
    /// The credential did not answer.
    #[error("{credential} gave no token within {} s", after.as_secs())]
    TimedOut {
        /// Its name in the configuration.
        credential: &'static str,
        /// How long it was waited for.
        after: Duration,
    },
}

/// What each tool said. The daemon's `PATH`, which can fill a screen, is named once.
fn what_each_said(tried: &[(&'static str, String)]) -> String {
    let mut missing = tried.iter().map(|(_, reason)| reason.split_once(NOT_FOUND));
    if let Some(Some((first, path))) = missing.next()
        && tried.len() > 1
        && missing.clone().all(|tool| tool.is_some_and(|(_, other)| other == path))
    {
        let others: Vec<_> = missing.flatten().map(|(tool, _)| tool.trim_end()).collect();
        return format!("{} and {} are {NOT_FOUND}{path}", first.trim_end(), others.join(" and "));
    }
    tried.iter().map(|(tool, reason)| format!("{tool}: {reason}")).collect::<Vec<_>>().join("; ")
}

impl TokenError {
    /// What a person can do.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NoTool { tried } if tried.iter().all(|(_, reason)| reason.contains(NOT_FOUND)) => {
                "install azd or az, then run `azd auth login` or `az login`; if your shell finds one already, run `cupola stop`: the \
                 next command starts a daemon with your shell's PATH"
            }
            Self::NoTool { tried } if tried.iter().any(|(_, reason)| reason.contains(NOT_FOUND)) => {
                "run `azd auth login` or `az login`, then try again; if your shell finds the tool that the daemon does not, run \
                 `cupola stop`: the next command starts a daemon with your shell's PATH"
            }
            Self::Refused { reason, .. } if reason.contains(NOT_FOUND) => {
                "install it and sign in; if your shell finds it already, run `cupola stop`: the next command starts a daemon with \
                 your shell's PATH"
            }
            Self::NotTrusted { fault, .. } => fault.hint(),
            Self::Configuration { .. } => "correct [credential] in the configuration file, then run `cupola stop`",
            Self::NoEmulator { .. } => {
                "start it with `cupola emulator`; for one in a container or of another user, set CUPOLA_EMULATOR_TOKEN to what \
                 `cupola emulator token --url URL` prints there, and start the daemon again (`cupola stop`)"
            }
            Self::NoTool { .. } => "sign in with `azd auth login` or `az login`, then try again",
            Self::Refused { credential: "azd", .. } | Self::TimedOut { credential: "azd", .. } => {
                "run `azd auth login`, then try again"
            }
            Self::Refused { credential: "azureCli", .. } | Self::TimedOut { credential: "azureCli", .. } => {
                "run `az login`, then try again"
            }
            Self::Refused { .. } | Self::TimedOut { .. } => {
                "check [credential] in the configuration file, and that this machine reaches Entra; after a change, run `cupola stop`"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_that_no_tool_is_on_is_named_once() {
        let missing = |tool: &str, path: &str| format!("{tool} {NOT_FOUND} ({path})");
        let error =
            |azd: String, az: String| TokenError::NoTool { tried: vec![("azd", azd), ("azureCli", az)] }.to_string();
        assert_eq!(
            error(missing("azd", "/bin"), missing("az", "/bin")),
            "no developer tool gave a token. azd and az are not found on the daemon's PATH (/bin)"
        );
        let one = error("not logged in".to_owned(), missing("az", "/bin"));
        assert!(one.ends_with("azd: not logged in; azureCli: az not found on the daemon's PATH (/bin)"), "{one}");
    }
}
