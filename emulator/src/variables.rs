//! Which environment variables an `exec:` process gets besides those of a hosted container: any that the operator gives it
//! ([`AgentVariables`]), and of a posted agent version those whose names the operator allowed ([`AllowedVariables`]), never one that
//! decides what code runs.
//!
//! Loaders, interpreters and shells read variables that make them run other code, send requests elsewhere or trust other
//! certificates. Anyone with a token can set an allowed name, so such a name cannot be allowed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Beginnings of names, with spaces between: of loaders and the C library; shells; Python, Node.js, Perl, Ruby, PHP, Lua, R,
/// Julia, Tcl, Erlang, Elixir, Guile and Haskell; Java, .NET, Rust, Git and SSH; certificates, and directories with configuration
/// that can name a program; and of what Cupola tells its agents. Compared without case: some programs read names in lower case.
const DENIED_PREFIXES: &str = "\
    LD_ _RLD DYLD_ GLIBC_ MALLOC_ RES_ RESOLV_ LIBC_ NIX_ \
    BASH_ KSH_ ZSH_ FISH_ PROMPT_ \
    PYTHON PYENV_ PIP_ UV_ CONDA_ NODE_ NPM_ YARN_ BUN_ DENO_ TS_NODE_ ELECTRON_ \
    PERL RUBY GEM_ BUNDLE_ BUNDLER_ PHP LUA_ R_ JULIA_ TCL ERL_ ELIXIR_ GUILE_ GHC \
    JAVA_ JDK_ _JAVA_ DOTNET_ CORECLR_ COMPLUS_ COR_ CARGO_ GIT_ SSH_ \
    OPENSSL_ SSL_ CURL_ XDG_ GTK_ QT_ \
    FOUNDRY_ AGENTSERVER_ CUPOLA_ LC_";

/// Whole names, as above: what every process gets; shells and what they start; search paths and options of interpreters and
/// libraries; and files with configuration that can name a program.
const DENIED: &str = "\
    PATH HOME PORT USER LOGNAME SHELL PWD OLDPWD LANG LANGUAGE TZ TZDIR TMPDIR TMP TEMP TERM TERMCAP TERMINFO TERMINFO_DIRS \
    IFS ENV BASHOPTS SHELLOPTS PS1 PS2 PS3 PS4 CDPATH FPATH ZDOTDIR FCEDIT INPUTRC HISTFILE \
    EDITOR VISUAL PAGER BROWSER LESSOPEN LESSCLOSE MAKEFLAGS AWKPATH AWKLIBPATH \
    CLASSPATH VIRTUAL_ENV GODEBUG GOFLAGS GOROOT GOPATH RUSTC_WRAPPER RUSTFLAGS OCAMLRUNPARAM \
    GCONV_PATH LOCPATH NLSPATH GETCONF_DIR HOSTALIASES LOCALDOMAIN LIBPATH SHLIB_PATH \
    AWS_CONFIG_FILE AWS_SHARED_CREDENTIALS_FILE AZURE_CONFIG_DIR KUBECONFIG DOCKER_CONFIG";

/// Ends of names, as above.
const DENIED_SUFFIXES: &str = "_PROXY _PRELOAD _CA_BUNDLE SAN_OPTIONS";

/// A name that the operator cannot allow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// It is not a variable's name.
    #[error("{0:?} is not the name of an environment variable: write letters, digits and '_', and no digit first")]
    Malformed(String),
    /// It decides what code runs, or Cupola sets it.
    #[error(
        "the variable {0} cannot be allowed: loaders, interpreters, shells or Cupola itself read it, so anyone who posts \
         an agent version could use it to run other code"
    )]
    Denied(String),
}

/// Why posted variables are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The operator has not allowed the name.
    #[error(
        "The environment variable '{0}' is not passed to an exec: agent. To allow it, start the emulator with \
         --allow-env {0}."
    )]
    NotAllowed(String),
    /// The name can never be allowed.
    #[error(
        "The environment variable '{0}' is never passed to an exec: agent, because it could make the agent run other code."
    )]
    Never(String),
    /// The value cannot be one.
    #[error("The value of the environment variable '{0}' has a NUL character, which no variable can hold.")]
    Value(String),
}

/// What the emulator itself tells each process about its session: no other value would work.
const OF_SESSION: [&str; 9] = [
    "HOME",
    "PORT",
    "FOUNDRY_AGENT_ID",
    "FOUNDRY_AGENT_NAME",
    "FOUNDRY_AGENT_SESSION_GUID",
    "FOUNDRY_AGENT_SESSION_ID",
    "FOUNDRY_AGENT_VERSION",
    "FOUNDRY_HOSTING_ENVIRONMENT",
    "AGENTSERVER_STATE_ROOT",
];

/// A variable that the operator cannot give to agents.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidVariable {
    /// It is not a variable's name.
    #[error("{0:?} is not the name of an environment variable: write letters, digits and '_', and no digit first")]
    Malformed(String),
    /// The emulator sets it.
    #[error("the variable {0} cannot be set: the emulator sets it for each session")]
    OfSession(String),
    /// No variable can hold the value.
    #[error("the value of the variable {0} has a NUL character, which no variable can hold")]
    Value(String),
}

/// Variables that the operator gives to `exec:` agents. Values may be secrets, so they are never shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct AgentVariables(BTreeMap<String, String>);

impl AgentVariables {
    /// These variables; of two with one name the later one.
    pub fn new(variables: impl IntoIterator<Item = (String, String)>) -> Result<Self, InvalidVariable> {
        let checked = variables.into_iter().map(|(name, value)| {
            if !is_name(&name) {
                return Err(InvalidVariable::Malformed(name));
            }
            if OF_SESSION.contains(&name.as_str()) {
                return Err(InvalidVariable::OfSession(name));
            }
            if value.contains('\0') {
                return Err(InvalidVariable::Value(name));
            }
            Ok((name, value))
        });
        checked.collect::<Result<_, _>>().map(Self)
    }

    /// Names and values.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&String, &String)> {
        self.0.iter()
    }
}

impl fmt::Debug for AgentVariables {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.0.keys()).finish()
    }
}

/// The names that posted agent versions may set. None unless the operator says otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedVariables(BTreeSet<String>);

impl AllowedVariables {
    /// Exactly these names.
    pub fn new(names: impl IntoIterator<Item = String>) -> Result<Self, InvalidName> {
        names.into_iter().map(|name| check(&name).map(|()| name)).collect::<Result<_, _>>().map(Self)
    }

    /// May all of these be set?
    pub fn admit(&self, variables: &BTreeMap<String, String>) -> Result<(), Refused> {
        for (name, value) in variables {
            if !self.0.contains(name) {
                let refused = if check(name).is_ok() { Refused::NotAllowed } else { Refused::Never };
                return Err(refused(name.clone()));
            }
            if value.contains('\0') {
                return Err(Refused::Value(name.clone()));
            }
        }
        Ok(())
    }
}

fn is_name(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && name.bytes().next().is_some_and(|first| !first.is_ascii_digit())
}

/// Can this name be allowed?
fn check(name: &str) -> Result<(), InvalidName> {
    if !is_name(name) {
        return Err(InvalidName::Malformed(name.to_owned()));
    }
    let upper = name.to_ascii_uppercase();
    let is_denied = DENIED.split_whitespace().any(|denied| denied == upper)
        || DENIED_PREFIXES.split_whitespace().any(|prefix| upper.starts_with(prefix))
        || DENIED_SUFFIXES.split_whitespace().any(|suffix| upper.ends_with(suffix));
    if is_denied { Err(InvalidName::Denied(name.to_owned())) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn posted(name: &str, value: &str) -> BTreeMap<String, String> {
        BTreeMap::from([(name.to_owned(), value.to_owned())])
    }

    #[test]
    fn a_name_that_decides_what_runs_cannot_be_allowed_in_any_letter_case() {
        let names = "\
            LD_PRELOAD LD_LIBRARY_PATH LD_AUDIT DYLD_INSERT_LIBRARIES PATH HOME IFS ENV BASH_ENV SHELLOPTS PS4 \
            PYTHONPATH PYTHONSTARTUP PYTHONINSPECT NODE_OPTIONS NODE_PATH PERL5LIB PERL5OPT RUBYOPT RUBYLIB \
            JAVA_TOOL_OPTIONS JDK_JAVA_OPTIONS _JAVA_OPTIONS CLASSPATH GIT_SSH_COMMAND GCONV_PATH LOCPATH NLSPATH \
            MALLOC_CHECK_ GLIBC_TUNABLES DOTNET_STARTUP_HOOKS CORECLR_PROFILER_PATH COMPlus_EnableDiagnostics \
            LUA_INIT LUA_PATH OPENSSL_CONF SSL_CERT_FILE BASH_FUNC_x HTTP_PROXY no_proxy ALL_PROXY PORT \
            FOUNDRY_AGENT_NAME AGENTSERVER_STATE_ROOT npm_config_script_shell REQUESTS_CA_BUNDLE TMPDIR";
        for name in names.split_whitespace() {
            for name in [name.to_owned(), name.to_ascii_lowercase(), name.to_ascii_uppercase()] {
                let refusal = AllowedVariables::new([name.clone()]).unwrap_err();
                assert_eq!(refusal, InvalidName::Denied(name.clone()));
                // Nor does it get in without having been allowed.
                assert_eq!(AllowedVariables::default().admit(&posted(&name, "x")), Err(Refused::Never(name)));
            }
        }
        for bad in ["", "1A", "A B", "A=B", "LD_PRELOAD=/x.so:", "A\0", "BASH_FUNC_x%%", "Ä"] {
            assert!(matches!(AllowedVariables::new([bad.to_owned()]), Err(InvalidName::Malformed(_))), "{bad:?}");
            assert!(AllowedVariables::default().admit(&posted(bad, "x")).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_operator_may_give_any_variable_but_those_of_a_session_and_its_value_is_not_shown() {
        let of = |name: &str, value: &str| AgentVariables::new([(name.to_owned(), value.to_owned())]);
        for name in ["MODEL_KEY", "PYTHONPATH", "FOUNDRY_PROJECT_ENDPOINT", "HTTPS_PROXY"] {
            let shown = format!("{:?}", of(name, "k-4711").unwrap());
            assert!(shown.contains(name) && !shown.contains("4711"), "{shown}");
        }
        for name in ["PORT", "HOME", "FOUNDRY_AGENT_SESSION_ID", "AGENTSERVER_STATE_ROOT"] {
            assert_eq!(of(name, "x"), Err(InvalidVariable::OfSession(name.to_owned())));
        }
        assert_eq!(of("1A", "x"), Err(InvalidVariable::Malformed("1A".to_owned())));
        let refusal = of("A", "secret\0").unwrap_err();
        assert!(!refusal.to_string().contains("secret"), "{refusal}");
    }

    #[test]
    fn only_what_the_operator_named_is_admitted() {
        let allowed = AllowedVariables::new(["GREETING".to_owned(), "MODEL_NAME".to_owned()]).unwrap();
        assert_eq!(allowed.admit(&posted("GREETING", "good day")), Ok(()));
        for (name, value, refused) in [
            ("greeting", "x", Refused::NotAllowed("greeting".to_owned())),
            ("OTHER", "x", Refused::NotAllowed("OTHER".to_owned())),
            ("GREETING", "a\0b", Refused::Value("GREETING".to_owned())),
        ] {
            let refusal = allowed.admit(&posted(name, value)).unwrap_err();
            assert_eq!(refusal, refused);
            assert!(refusal.to_string().contains(name));
        }
        assert_eq!(AllowedVariables::default().admit(&BTreeMap::new()), Ok(()));
    }
}
