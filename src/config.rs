//! Settings: defaults < file < environment < flags. The only reader of the environment.
//!
//! The file is `$XDG_CONFIG_HOME/cupola/config.toml` (`~/.config/cupola/config.toml`), or what `CUPOLA_CONFIG` names.
//! Where the socket is cannot be said in it: clients follow the same rule ([`cupola_cli::socket`]) and read no file.
//! Nothing about a call comes from here: whose session a call uses travels with the call.
//!
//! - [`mod@gateway`]: what a gateway serves, and which gateways the command line may use

pub mod gateway;

use self::gateway::{GatewaySettings, KnownGateway};
use crate::auth::{CredentialConfig, GivenToken};
use crate::partition::pool::PoolSettings;
use crate::partition::redis::settings::RedisSettings;
use crate::system::protected::Protected;
use crate::system::proxies::Proxies;
use crate::telemetry::settings::{InvalidTelemetry, TelemetrySettings, TelemetryTable};
use cupola_cli::ownership::{self, Rule, Unusable, User};
use cupola_cli::{places, socket};
use cupola_protocol::target::AgentName;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tracing_subscriber::filter::{LevelFilter, Targets};

/// How long an idle daemon stays: a pause in one's work, not a night.
pub const DEFAULT_IDLE_EXIT: Duration = Duration::from_mins(30);
/// What is logged when nothing else is asked for.
const DEFAULT_LOG: LevelFilter = LevelFilter::INFO;
/// The directory with a list of running emulators.
const EMULATORS: &str = "emulators";
/// The most that is read of the file, in bytes. One with every setting has some hundred.
const MAX_FILE_BYTES: u64 = 256 * 1024;
/// Variables that name the system's certificates, where the system itself does not check those of hosts.
const CERTIFICATE_VARIABLES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];
/// The variable that names the token of a workload identity.
const TOKEN_VARIABLE: &str = "AZURE_FEDERATED_TOKEN_FILE";
/// The variable that says where this user's files are.
const HOME: &str = if cfg!(windows) { "LOCALAPPDATA" } else { "HOME" };
/// How an error names the field.
const IDLE_EXIT_FIELD: &str = "idle_exit in the configuration file";

/// The daemon's settings, all decided.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where it listens.
    pub socket: PathBuf,
    /// Where saved state lives.
    pub state_directory: PathBuf,
    /// Where the user's configuration and profiles are, if anywhere.
    pub config_directory: Option<PathBuf>,
    /// Files and directories that decide over trust, wherever they are.
    pub protected: Protected,
    /// How long it stays with nothing to do; never leaves by itself when `None`.
    pub idle_exit: Option<Duration>,
    /// What is logged.
    pub log: Targets,
    /// Where the log goes; standard error when `None`.
    pub log_file: Option<PathBuf>,
    /// Host suffixes, besides `.services.ai.azure.com`, that tokens may be sent to.
    pub allowed_hosts: Vec<String>,
    /// PEM files with certificates to trust besides the system's.
    pub trusted_certificates: Vec<PathBuf>,
    /// Fixed addresses of host names, for private endpoints.
    pub resolve: Vec<(String, SocketAddr)>,
    /// The proxies that the environment names.
    pub proxies: Proxies,
    /// Variables that name the certificates to trust in place of the system's own, and what they name.
    pub system_certificates: Vec<(&'static str, PathBuf)>,
    /// Where running emulators of this user are listed, with the files of their secrets.
    pub emulators_directory: Option<PathBuf>,
    /// `CUPOLA_EMULATOR_TOKEN`: a token for an emulator that is not in that list.
    pub emulator_token: Option<GivenToken>,
    /// Where tokens come from.
    pub credential: CredentialConfig,
    /// What keeps saved state.
    pub store: StoreConfig,
    /// What is set for agents of a name, in any project.
    pub agents: BTreeMap<String, AgentConfig>,
    /// Ask the service how long the parts of each turn took.
    pub latency: bool,
    /// Traces and metrics, if there are to be any.
    pub telemetry: Option<TelemetrySettings>,
    /// What `cupola gateway` serves, if the file says so.
    pub gateway: Option<GatewaySettings>,
    /// The gateways that the command line may use, by their names.
    pub gateways: BTreeMap<String, KnownGateway>,
    /// How much is kept of runs. Not in the file: users have no reason to change it.
    pub runs: crate::run::Limits,
    /// How long a call of the service other than a turn may take. Not in the file either.
    pub call_limit: Duration,
}

/// `[store]`: what keeps saved state.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum StoreConfig {
    /// A file in the state directory, for one machine.
    #[default]
    Sqlite,
    /// Valkey or Redis, for several.
    Redis(Box<RedisSettings>),
}

/// `[agents.NAME]`: what is set for the agents of a name.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentConfig {
    /// `[agents.NAME.pool]`: its users share sessions.
    #[serde(default)]
    pub pool: Option<PoolSettings>,
}

impl AgentConfig {
    fn check(name: &str, agent: &Self) -> Result<(), ConfigError> {
        let fault = |rule: String| ConfigError::Agent { name: name.to_owned(), rule };
        name.parse::<AgentName>().map_err(|invalid| fault(invalid.to_string()))?;
        agent.pool.as_ref().map_or(Ok(()), |pool| pool.check().map_err(|rule| fault(format!("pool: {rule}"))))
    }
}

/// A variable of the daemon's environment, for credentials that are defined by some.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The process's own [`Config::emulators_directory`], for commands that are not the daemon.
pub fn own_emulators_directory() -> Option<PathBuf> {
    emulators_directory(&|name| std::env::var_os(name).filter(|value| !value.is_empty()))
}

fn emulators_directory(environment: &dyn Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let directory = socket::runtime_directory(environment)?;
    Some(std::path::absolute(&directory).unwrap_or(directory).join(EMULATORS))
}

/// What `cupola serve` was told on its command line.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// `--socket`
    pub socket: Option<PathBuf>,
    /// `--state-dir`
    pub state_directory: Option<PathBuf>,
    /// `--idle-exit`: seconds, or `never`.
    pub idle_exit: Option<String>,
    /// `--log`
    pub log: Option<String>,
    /// `--log-file`
    pub log_file: Option<PathBuf>,
}

/// Why there are no settings. Each message names where the value stands and how it is changed.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file was named and is not there.
    #[error("the configuration file {0} does not exist; CUPOLA_CONFIG names it")]
    Missing(PathBuf),
    /// The file is there but cannot be read, or another user could have written it.
    #[error("the configuration file {0}{advice}", advice = .0.advice())]
    Unusable(#[source] Unusable),
    /// The file is not a valid configuration.
    #[error("the configuration file {path} is wrong in line {line}{field}: {reason}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// The setting that the line gives a value to, if it does. The value may be a secret.
        field: String,
        /// The rule.
        reason: String,
    },
    /// A value breaks its rule.
    #[error("{origin}: {value:?} must be {rule}")]
    Value {
        /// The flag, variable or field.
        origin: &'static str,
        /// What it says.
        value: String,
        /// What it should be.
        rule: &'static str,
    },
    /// A setting of an agent breaks its rule.
    #[error("agents.{name} in the configuration file: {rule}")]
    Agent {
        /// The agent's name in the file.
        name: String,
        /// The rule.
        rule: String,
    },
    /// A setting of the gateway breaks its rule.
    #[error("gateway in the configuration file: {0}")]
    Gateway(String),
    /// A setting of the shared store breaks its rule.
    #[error("store in the configuration file: {0}")]
    Store(&'static str),
    /// A setting of telemetry, or a variable that fills one in, breaks its rule.
    #[error("telemetry in the configuration file: {0}")]
    Telemetry(#[from] InvalidTelemetry),
    /// No directory to default to.
    #[error(
        "no home directory is known, because {HOME} is not set; set it, or set CUPOLA_STATE_DIR to a directory that only you can use"
    )]
    NoHome,
    /// The working directory cannot be found, so a relative path means nothing.
    #[error("the path {path} cannot be made absolute: {source}")]
    NotAbsolute {
        /// The path.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
}

impl ConfigError {
    /// Is a value on the command line at fault?
    pub fn is_flag(&self) -> bool {
        matches!(self, Self::Value { origin, .. } if origin.starts_with("--"))
    }
}

/// The file's fields.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    state_dir: Option<PathBuf>,
    idle_exit: Option<Seconds>,
    log: Option<String>,
    log_file: Option<PathBuf>,
    allowed_hosts: Vec<String>,
    trusted_certificates: Vec<PathBuf>,
    resolve: BTreeMap<String, SocketAddr>,
    latency: Option<bool>,
    credential: CredentialConfig,
    store: StoreConfig,
    telemetry: Option<TelemetryTable>,
    agents: BTreeMap<String, AgentConfig>,
    gateway: Option<GatewaySettings>,
    gateways: BTreeMap<String, KnownGateway>,
}

/// `idle_exit = 600` or `idle_exit = "never"`.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "idle_exit must be a whole number of seconds above zero, or \"never\"")]
enum Seconds {
    Number(u64),
    Text(String),
}

impl Config {
    /// Reads the process's environment and the file, and lets flags win.
    pub fn load(flags: Flags) -> Result<Self, ConfigError> {
        Self::resolve(flags, &|name| std::env::var_os(name).filter(|value| !value.is_empty()))
    }

    /// As [`Config::load`], with the environment as a value.
    pub fn resolve(flags: Flags, environment: &dyn Fn(&str) -> Option<OsString>) -> Result<Self, ConfigError> {
        let path_in = |name| environment(name).map(PathBuf::from);
        let text_in = |name: &str| environment(name).map(|value| value.to_string_lossy().into_owned());
        let config_directory = places::config_directory(environment);
        let file = match path_in("CUPOLA_CONFIG") {
            Some(path) => Settings::read(&path, true)?,
            None => match &config_directory {
                Some(directory) => Settings::read(&directory.join("config.toml"), false)?,
                None => Settings::default(),
            },
        };
        let socket = socket::path(flags.socket.as_deref(), environment).ok_or(ConfigError::NoHome)?;
        let state_directory = flags
            .state_directory
            .or(path_in("CUPOLA_STATE_DIR"))
            .or(file.state_dir)
            .or_else(|| socket::state_directory(environment))
            .ok_or(ConfigError::NoHome)?;
        let idle_exit = if let Some(value) = flags.idle_exit {
            parse_idle_exit("--idle-exit", &value)?
        } else if let Some(value) = text_in("CUPOLA_IDLE_EXIT") {
            parse_idle_exit("CUPOLA_IDLE_EXIT", &value)?
        } else {
            match file.idle_exit {
                Some(Seconds::Number(seconds)) => parse_idle_exit(IDLE_EXIT_FIELD, &seconds.to_string())?,
                Some(Seconds::Text(value)) => parse_idle_exit(IDLE_EXIT_FIELD, &value)?,
                None => Some(DEFAULT_IDLE_EXIT),
            }
        };
        let log = if let Some(value) = flags.log {
            parse_log("--log", value)?
        } else if let Some(value) = text_in("CUPOLA_LOG") {
            parse_log("CUPOLA_LOG", value)?
        } else {
            file.log.map_or_else(
                || Ok(Targets::new().with_default(DEFAULT_LOG)),
                |value| parse_log("log in the configuration file", value),
            )?
        };
        let (socket, state_directory) = (absolute(socket)?, absolute(state_directory)?);
        let log_file = flags.log_file.or(file.log_file).map(absolute).transpose()?;
        let own = [Some(state_directory.clone()), config_directory.clone(), path_in("CUPOLA_CONFIG"), log_file.clone()];
        let shared = match &file.store {
            StoreConfig::Redis(settings) => {
                settings.check().map_err(ConfigError::Store)?;
                Some(settings.files())
            }
            StoreConfig::Sqlite => None,
        };
        file.agents.iter().try_for_each(|(name, agent)| AgentConfig::check(name, agent))?;
        let used = file.credential.files().chain(file.trusted_certificates.iter().cloned());
        let telemetry = file.telemetry.map(|table| table.resolve(&text_in)).transpose()?.flatten();
        let used = used.chain(shared.into_iter().flatten());
        let used = used.chain(telemetry.iter().flat_map(TelemetrySettings::files));
        let used = used.chain(file.gateway.iter().flat_map(GatewaySettings::files));
        let used = used.chain(file.gateways.values().flat_map(KnownGateway::files));
        let protected = Protected::new(
            own.into_iter()
                .flatten()
                .chain(log_file.as_ref().map(|log| put_aside(log)))
                .chain(beside_socket(&socket))
                .chain(used)
                .chain([TOKEN_VARIABLE].into_iter().chain(CERTIFICATE_VARIABLES).filter_map(path_in))
                .chain(places::sign_in_directories(environment))
                .chain(emulators_directory(environment)),
        );
        Ok(Self {
            socket,
            state_directory,
            config_directory,
            protected,
            idle_exit,
            log,
            log_file,
            allowed_hosts: file.allowed_hosts,
            trusted_certificates: file.trusted_certificates,
            resolve: file.resolve.into_iter().collect(),
            proxies: Proxies::of(environment),
            system_certificates: if cfg!(any(target_vendor = "apple", windows)) {
                Vec::new()
            } else {
                CERTIFICATE_VARIABLES.into_iter().filter_map(|name| Some((name, path_in(name)?))).collect()
            },
            emulators_directory: emulators_directory(environment),
            emulator_token: text_in("CUPOLA_EMULATOR_TOKEN").map(GivenToken::new),
            credential: file.credential,
            store: file.store,
            agents: file.agents,
            gateway: file.gateway,
            gateways: file.gateways,
            latency: file.latency.unwrap_or(true),
            telemetry,
            runs: crate::run::Limits::default(),
            call_limit: crate::foundry::CALL_LIMIT,
        })
    }
}

/// The name that a log gets when it is put aside.
pub fn put_aside(log: &Path) -> PathBuf {
    let mut name = log.as_os_str().to_owned();
    name.push(".old");
    name.into()
}

/// The socket's directory, which belongs to this user alone. On Windows a pipe is in no directory.
fn beside_socket(socket: &Path) -> Option<PathBuf> {
    if cfg!(windows) { None } else { socket.parent().map(Path::to_path_buf) }
}

fn absolute(path: PathBuf) -> Result<PathBuf, ConfigError> {
    std::path::absolute(&path).map_err(|source| ConfigError::NotAbsolute { path, source })
}

/// Zero is refused: the daemon would be gone before the client that started it has connected.
fn parse_idle_exit(origin: &'static str, value: &str) -> Result<Option<Duration>, ConfigError> {
    if value == "never" {
        return Ok(None);
    }
    match value.parse::<NonZeroU32>() {
        Ok(seconds) => Ok(Some(Duration::from_secs(seconds.get().into()))),
        Err(_) => Err(ConfigError::Value {
            origin,
            value: value.to_owned(),
            rule: "a whole number of seconds above zero, or never",
        }),
    }
}

/// A level, or `target=level` pairs with commas between. A word alone must be a level: tracing would take it for a target,
/// and a level written wrongly would silence everything else.
fn parse_log(origin: &'static str, value: String) -> Result<Targets, ConfigError> {
    let plausible = value.split(',').all(|part| part.contains('=') || part.parse::<LevelFilter>().is_ok());
    match value.parse() {
        Ok(targets) if plausible => Ok(targets),
        _ => Err(ConfigError::Value {
            origin,
            value,
            rule: "off, error, warn, info, debug or trace, or target=level pairs with commas between",
        }),
    }
}

impl Settings {
    /// Only the default file may be missing.
    fn read(path: &Path, named: bool) -> Result<Self, ConfigError> {
        let found = ownership::text(path, Rule::Configuration, MAX_FILE_BYTES, User::current());
        let text = match found.map_err(ConfigError::Unusable)? {
            Some(text) => text,
            None if named => return Err(ConfigError::Missing(path.to_owned())),
            None => return Ok(Self::default()),
        };
        toml::from_str(&text).map_err(|error: toml::de::Error| {
            let line =
                error.span().map_or(0, |span| text.bytes().take(span.start).filter(|byte| *byte == b'\n').count());
            let key = text.lines().nth(line).and_then(|line| line.split_once('=')).map_or("", |(key, _)| key.trim());
            let is_key = |letter: char| letter.is_ascii_alphanumeric() || "_-.".contains(letter);
            let field = if !key.is_empty() && key.chars().all(is_key) { format!(" ({key})") } else { String::new() };
            ConfigError::Malformed { path: path.to_owned(), line: line + 1, field, reason: error.message().to_owned() }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Settings from a file and variables.
    fn load(file: &str, variables: &[(&str, &str)], flags: Flags) -> Result<Config, ConfigError> {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(home.path().join(".config/cupola")).unwrap();
        std::fs::write(home.path().join(".config/cupola/config.toml"), file).unwrap();
        Config::resolve(flags, &|name| {
            if name == "HOME" {
                return Some(home.path().into());
            }
            variables.iter().find(|(variable, _)| *variable == name).map(|(_, value)| OsString::from(value))
        })
    }

    #[test]
    fn flags_win_over_variables_and_those_over_the_file() {
        let file = "idle_exit = 1\nstate_dir = \"/file\"\nlog = \"warn\"";
        let config = load(file, &[], Flags::default()).unwrap();
        assert_eq!(config.idle_exit, Some(Duration::from_secs(1)));
        assert_eq!(config.state_directory, Path::new("/file"));
        let variables = [("CUPOLA_IDLE_EXIT", "2"), ("CUPOLA_STATE_DIR", "/variable")];
        let config = load(file, &variables, Flags::default()).unwrap();
        assert_eq!(config.idle_exit, Some(Duration::from_secs(2)));
        assert_eq!(config.state_directory, Path::new("/variable"));
        let flags =
            Flags { idle_exit: Some("never".to_owned()), state_directory: Some("/flag".into()), ..Flags::default() };
        let config = load(file, &variables, flags).unwrap();
        assert_eq!(config.idle_exit, None);
        assert_eq!(config.state_directory, Path::new("/flag"));
        assert_eq!(config.log.default_level(), Some(LevelFilter::WARN));
    }

    #[test]
    fn the_service_is_asked_to_measure_unless_the_file_says_no() {
        assert!(load("", &[], Flags::default()).unwrap().latency);
        assert!(!load("latency = false", &[], Flags::default()).unwrap().latency);
    }

    #[test]
    fn a_time_that_is_none_is_refused_with_the_rule() {
        for wrong in ["-5", "1.5", "true", "\"soon\"", "0"] {
            let error = load(&format!("idle_exit = {wrong}"), &[], Flags::default()).unwrap_err().to_string();
            assert!(error.contains("a whole number of seconds above zero, or"), "{wrong}: {error}");
        }
    }

    #[test]
    fn the_socket_is_in_the_runtime_directory_or_else_beside_the_state() {
        let config = load("", &[("XDG_RUNTIME_DIR", "/run/user/7")], Flags::default()).unwrap();
        assert_eq!(config.socket, Path::new("/run/user/7/cupola/v1.sock"));
        let config = load("", &[("XDG_STATE_HOME", "/state")], Flags::default()).unwrap();
        assert_eq!(config.socket, Path::new("/state/cupola/v1.sock"));
        assert_eq!(config.state_directory, Path::new("/state/cupola"));
        let config = load("", &[], Flags::default()).unwrap();
        assert!(config.socket.ends_with(".local/state/cupola/v1.sock"));
    }

    #[test]
    fn a_wrong_file_is_an_error_that_names_file_line_and_field() {
        for (file, parts) in [
            ("log = \"info\"\nstaet_dir = \"/x\"", ["config.toml", "line 2", "staet_dir"]),
            ("log = \"info\"\n\nallowed_hosts = 3", ["config.toml", "line 3", "allowed_hosts"]),
            ("log = ", ["config.toml", "line 1", "log"]),
            ("idle_exit = \"soon\"", ["idle_exit", "soon", "seconds"]),
            ("idle_exit = 0", ["idle_exit", "0", "never"]),
            ("log = \"loud\"", ["log", "loud", "debug"]),
        ] {
            let error = load(file, &[], Flags::default()).unwrap_err().to_string();
            for part in parts {
                assert!(error.contains(part), "{part:?} is missing in: {error}");
            }
        }
    }

    #[test]
    fn a_file_that_was_named_must_be_there() {
        let error = load("", &[("CUPOLA_CONFIG", "/does/not/exist.toml")], Flags::default()).unwrap_err();
        assert!(error.to_string().contains("/does/not/exist.toml does not exist"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_other_users_can_change_is_refused_with_the_command_that_mends_it() {
        use std::os::unix::fs::PermissionsExt;
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("mine.toml");
        std::fs::write(&path, "allowed_hosts = [\"foundry.contoso.com\"]").unwrap();
        let load = || {
            Config::resolve(Flags::default(), &|name| match name {
                "HOME" => Some(home.path().into()),
                "CUPOLA_CONFIG" => Some(path.clone().into()),
                _ => None,
            })
        };
        assert_eq!(load().unwrap().allowed_hosts, ["foundry.contoso.com"]);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o606)).unwrap();
        let error = load().unwrap_err().to_string();
        let expected = format!(
            "mine.toml can be changed by other users (mode 606), so it is not used; check what it says, then run: chmod go-w {}",
            path.display()
        );
        assert!(error.contains(&expected), "{error}");
    }
}
