//! `cupola emulator`: a separate emulator. This crate only takes its flags; what it does is behind [`Hooks`].

use crate::Hooks;
use clap::{Args, Subcommand, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

pub(crate) const HELP: &str = "\
An AGENT is NAME=SOURCE[,OPTION=VALUE]... SOURCE is builtin:notes, exec:COMMAND (one process per session, with its own \
HOME and PORT) or url:URL (an agent that already runs). Options are protocol=1.0.0|2.0.0, require=user|chat|user+chat, \
version=LABEL and idle=SECONDS. Without any agent the emulator offers notes, notes-required and notes-identity.

`--emulator` on other commands needs none of this: it uses an emulator inside the daemon.

Every request needs a token that the emulator's own secret has signed. Commands of the same user find the secret by themselves; \
`cupola emulator token` prints a token for other clients, and for Cupola in a container or of another user \
(CUPOLA_EMULATOR_TOKEN). The secret is in the data directory, and so is everything else, \
which only you may be able to enter.

Examples:
  cupola emulator
  cupola emulator --agent 'mine=exec:python3 main.py,protocol=2.0.0'
  cupola invoke --emulator=http://127.0.0.1:8787 mine \"hello\"
  cupola emulator --agent 'mine=exec:python3 main.py' --allow-env MODEL_NAME
  cupola emulator token --caller ann --expires 3600
  cupola emulator --without mkdir,stat
  cupola emulator --tls --json --listen 127.0.0.1:0";

/// Help of `--permissions`, whose names are words of Microsoft's.
const PERMISSIONS: &str = "What the caller may do: UserIdentityImpersonation, FoundryUser, both, or nothing (an empty LIST); the \
first when left out";

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Flags {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    start: StartFlags,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print a token for an emulator of yours: for the one that runs, unless --url or --data-dir says which
    Token(TokenFlags),
}

#[derive(Debug, Args)]
struct TokenFlags {
    /// Who the token names: callers do not see each other's sessions
    #[arg(long, value_name = "NAME", default_value = "local-user")]
    caller: String,
    #[arg(long, value_name = "LIST", value_delimiter = ',', help = PERMISSIONS)]
    permissions: Option<Vec<String>>,
    /// How long the token is good; as long as the emulator keeps its secret when left out
    #[arg(long, value_name = "SECONDS")]
    expires: Option<u64>,
    /// The emulator's URL
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// The emulator's data directory
    #[arg(long, value_name = "PATH")]
    data_dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
struct StartFlags {
    /// The address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8787")]
    listen: SocketAddr,
    /// Listen on an address that other machines can reach: whoever has a token can then use the agents from there
    #[arg(long)]
    listen_beyond_loopback: bool,
    /// Speak https with a certificate of its own, whose file is named at the start
    #[arg(long)]
    tls: bool,
    /// A host name that leads to the emulator, besides localhost: the certificate is for it too; may be repeated
    #[arg(long = "tls-name", value_name = "NAME", requires = "tls")]
    tls_names: Vec<String>,
    /// An agent to offer; may be repeated
    #[arg(long = "agent", value_name = "AGENT")]
    agents: Vec<String>,
    /// An environment variable that agent versions made through the API may set in exec: agents; may be repeated
    #[arg(long = "allow-env", value_name = "NAME")]
    allowed_variables: Vec<String>,
    /// Where the secret, sessions, their files and the certificate are kept; a temporary directory when left out
    #[arg(long, value_name = "PATH")]
    data_dir: Option<PathBuf>,
    /// Stop a session that has had nothing to do for this many seconds, whatever its agent says
    #[arg(long, value_name = "SECONDS")]
    idle: Option<u64>,
    /// Let no caller send x-ms-user-identity, as if the permission were missing
    #[arg(long)]
    withhold_impersonation: bool,
    /// Leave out what the service does not document, so that it can be tried without
    #[arg(long, value_name = "OPERATION", value_delimiter = ',')]
    without: Vec<Undocumented>,
    /// Say where it listens as one line of JSON: url, projectEndpoint, token, certificate
    #[arg(long)]
    json: bool,
}

/// What the command line says about the emulator to run.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct EmulatorOptions {
    /// The address to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Other machines may reach it.
    pub listen_beyond_loopback: bool,
    /// Speak https.
    pub tls: bool,
    /// Host names besides localhost.
    pub tls_names: Vec<String>,
    /// The agents to offer, each as the user typed it; none means the default ones.
    pub agents: Vec<String>,
    /// Environment variables that posted agent versions may set.
    pub allowed_variables: Vec<String>,
    /// Where the secret, sessions, their files and the certificate are kept.
    pub data_directory: Option<PathBuf>,
    /// Idle time of every session, in seconds, in place of what its agent says.
    pub idle_seconds: Option<u64>,
    /// No caller may send `x-ms-user-identity`.
    pub withhold_impersonation: bool,
    /// Leave these out.
    pub without: Vec<Undocumented>,
    /// Say where it listens as one line of JSON.
    pub json: bool,
}

/// What the command line says about the token to print.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmulatorTokenOptions {
    /// Who the token names.
    pub caller: String,
    /// Exactly these permissions; the usual ones when absent.
    pub permissions: Option<Vec<String>>,
    /// How long the token is good, in seconds; without end when absent.
    pub expires_seconds: Option<u64>,
    /// The emulator's URL.
    pub url: Option<String>,
    /// The emulator's data directory.
    pub data_directory: Option<PathBuf>,
}

/// Operations on a session's files that azd has and the service does not document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Undocumented {
    /// Making directories
    Mkdir,
    /// Showing one file
    Stat,
}

/// Becomes the emulator, or prints a token.
pub(crate) fn run(flags: Flags, hooks: Hooks) -> ExitCode {
    let Flags { command, start: flags } = flags;
    if let Some(Command::Token(token)) = command {
        return (hooks.emulator_token)(EmulatorTokenOptions {
            caller: token.caller,
            permissions: token.permissions,
            expires_seconds: token.expires,
            url: token.url,
            data_directory: token.data_dir,
        });
    }
    (hooks.emulator)(EmulatorOptions {
        listen: flags.listen,
        listen_beyond_loopback: flags.listen_beyond_loopback,
        tls: flags.tls,
        tls_names: flags.tls_names,
        agents: flags.agents,
        allowed_variables: flags.allowed_variables,
        data_directory: flags.data_dir,
        idle_seconds: flags.idle,
        withhold_impersonation: flags.withhold_impersonation,
        without: flags.without,
        json: flags.json,
    })
}
