//! `cupola emulator`: a separate emulator. This crate only takes its flags; what it does is behind [`Hooks`].

use crate::hooks::{EmulatorOptions, EmulatorTokenOptions, Hooks, Undocumented};
use clap::{Args, Subcommand};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

pub(crate) const HELP: &str = "\
An AGENT is NAME=SOURCE[,OPTION=VALUE]... SOURCE is builtin:notes, exec:COMMAND (one process per session, with its own \
HOME and PORT), url:URL (an agent that already runs) or replay:FILE (the answers of a recording made with --record). Options are protocol=1.0.0|2.0.0, \
protocols=PROTOCOL[+PROTOCOL]... (responses, invocations, invocations_ws; all by default), require=user|chat|user+chat, \
version=LABEL, snapshot=on, replay=timed|instant and idle=SECONDS. Without any agent the emulator offers notes, notes-required \
and notes-identity.

You do not need this command for `--emulator`, which uses an emulator inside the daemon.

Every request needs a token that the emulator's own secret has signed. Commands of the same user find the secret by themselves; \
`cupola emulator token` prints a token for other clients, and for Cupola in a container or of another user \
(CUPOLA_EMULATOR_TOKEN). The secret is in the data directory, and so is everything else, \
which only you may be able to enter.

Examples:
  cupola emulator
  cupola emulator --agent 'mine=exec:python3 main.py,protocol=2.0.0'
  cupola invoke --emulator=http://127.0.0.1:8787 mine \"hello\"
  cupola emulator --agent 'mine=exec:python3 main.py' --watch . --env-file .env
  cupola emulator --agent 'mine=exec:python3 main.py' --allow-env MODEL_NAME
  cupola emulator --agent 'mine=url:http://127.0.0.1:8088' --record mine.jsonl
  cupola emulator --agent 'mine=replay:mine.jsonl'
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
    /// Print a token for your running emulator, or for the one given by --url or --data-dir
    Token(TokenFlags),
}

#[derive(Debug, Args)]
struct TokenFlags {
    /// The caller's name; callers cannot see each other's sessions
    #[arg(long, value_name = "NAME", default_value = "local-user")]
    caller: String,
    #[arg(long, value_name = "LIST", value_delimiter = ',', help = PERMISSIONS)]
    permissions: Option<Vec<String>>,
    /// How long the token is valid; if omitted, as long as the emulator keeps its secret
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
    /// Allow an address that other machines can reach; anyone with a token can then use the agents
    #[arg(long)]
    listen_beyond_loopback: bool,
    /// Use https with a generated certificate, whose path is printed at startup
    #[arg(long)]
    tls: bool,
    /// Use this certificate (a PEM file with its chain) instead of a generated one; its names need --tls-name
    #[arg(long, value_name = "FILE", requires = "tls", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The private key of --tls-cert (a PEM file)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Another host name that clients may use, besides localhost; a generated certificate covers it; can be repeated
    #[arg(long = "tls-name", value_name = "NAME", requires = "tls")]
    tls_names: Vec<String>,
    /// An agent to offer; can be repeated
    #[arg(long = "agent", value_name = "AGENT")]
    agents: Vec<String>,
    /// An environment variable for all exec: agents: NAME=VALUE, or NAME to pass on your own; can be repeated
    #[arg(long = "env", value_name = "NAME[=VALUE]")]
    variables: Vec<String>,
    /// Read environment variables for all exec: agents from this file of NAME=VALUE lines; --env wins; can be repeated
    #[arg(long = "env-file", value_name = "FILE")]
    variable_files: Vec<PathBuf>,
    /// Restart the sandboxes of exec: agents when a source file below this directory changes; can be repeated
    #[arg(long, value_name = "DIR")]
    watch: Vec<PathBuf>,
    /// An environment variable that agent versions created through the API may set for exec: agents; can be repeated
    #[arg(long = "allow-env", value_name = "NAME")]
    allowed_variables: Vec<String>,
    /// Where to keep the secret, the certificate, sessions and their files; a temporary directory if omitted
    #[arg(long, value_name = "PATH")]
    data_dir: Option<PathBuf>,
    /// Stop sessions that have been idle for this many seconds, overriding the agent's setting
    #[arg(long, value_name = "SECONDS")]
    idle: Option<u64>,
    /// Reject x-ms-user-identity from all callers, as if they lacked the permission
    #[arg(long)]
    withhold_impersonation: bool,
    /// Leave out operations that the service does not document, to test without them
    #[arg(long, value_name = "OPERATION", value_delimiter = ',')]
    without: Vec<Undocumented>,
    /// Keep the exchanges with all agents in this new file, for replay:FILE agents; keys, identities and tokens are replaced
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Keep only digests of what agents are asked
    #[arg(long, requires = "record")]
    record_without_prompts: bool,
    /// Print connection details as one line of JSON: url, projectEndpoint, token, certificate
    #[arg(long)]
    json: bool,
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
        tls_files: flags.tls_cert.zip(flags.tls_key),
        tls_names: flags.tls_names,
        agents: flags.agents,
        allowed_variables: flags.allowed_variables,
        variables: flags.variables,
        variable_files: flags.variable_files,
        watch: flags.watch,
        data_directory: flags.data_dir,
        idle_seconds: flags.idle,
        withhold_impersonation: flags.withhold_impersonation,
        without: flags.without,
        record: flags.record,
        record_without_prompts: flags.record_without_prompts,
        json: flags.json,
    })
}
