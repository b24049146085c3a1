//! What the command line only starts (the daemon, the gateway, the emulator, the checklist, the MCP server) and the options that it hands them.
//!
//! - [`bound`]: calls for one agent and one isolation, for the MCP server

mod bound;

pub use crate::line::stop::Stop;
pub use bound::{BoundLine, CallFailure};

use crate::daemon_program::instead;
use crate::line::stream::Stream;
use crate::terminal;
use clap::ValueEnum;
use cupola_protocol::isolation::Isolation;
use cupola_protocol::rpc::ErrorObject;
use cupola_protocol::target::Target;
use serde_json::value::RawValue;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The parts of the program that the command line only starts: it depends on neither the daemon nor the emulator.
#[derive(Debug, Clone, Copy)]
pub struct Hooks {
    /// The program's version, as `cupola --version` prints it and as the daemon and its clients tell each other.
    pub version: &'static str,
    /// Runs the daemon until it ends.
    pub serve: fn(ServeOptions) -> ExitCode,
    /// Runs a daemon inside this process for one call, or opens a line to the gateway of this name or URL, and returns the client's end
    /// of its connection.
    pub embedded: fn(Option<&str>) -> io::Result<Stream>,
    /// Runs a gateway until it ends.
    pub gateway: fn(GatewayOptions) -> ExitCode,
    /// Runs a separate emulator until it ends.
    pub emulator: fn(EmulatorOptions) -> ExitCode,
    /// Prints a token for an emulator.
    pub emulator_token: fn(EmulatorTokenOptions) -> ExitCode,
    /// Tries the checklist of the wire contract on an agent. True if it answered as the contract says.
    pub conformance: fn(ConformanceOptions) -> Result<bool, Box<ErrorObject>>,
    /// Opens a recording, in which prompts are kept or not, and gives what adds a call to it.
    pub record: fn(&Path, bool) -> Result<SaveCall, String>,
    /// Serves the Model Context Protocol: on standard input and output until the input ends, or on an address. The error says what is
    /// wrong with the options, the input or the address.
    pub mcp: fn(McpOptions) -> Result<(), String>,
}

impl Hooks {
    /// For `cupola`, which has none of these parts: each of them runs `cupola-daemon` instead.
    pub(crate) fn of_daemon_program(version: &'static str) -> Self {
        Self {
            version,
            // The command that starts a daemon reads the reason from standard output.
            serve: |_| instead(terminal::stdout()),
            embedded: |_| instead(terminal::stderr()),
            gateway: |_| instead(terminal::stderr()),
            emulator: |_| instead(terminal::stderr()),
            emulator_token: |_| instead(terminal::stderr()),
            conformance: |_| instead(terminal::stderr()),
            record: |_, _| instead(terminal::stderr()),
            mcp: |_| instead(terminal::stderr()),
        }
    }
}

/// What the command line says about the MCP server to run.
#[derive(Debug, Clone)]
pub struct McpOptions {
    /// The agents to offer; at least one.
    pub agents: Vec<McpAgent>,
    /// Each agent is a tool of its own.
    pub has_tool_per_agent: bool,
    /// Only tools that change nothing.
    pub read_only: bool,
    /// Tools that delete or replace data, too.
    pub allow_destructive: bool,
    /// Only the tools of these names; all when empty.
    pub only: Vec<String>,
    /// Serve HTTP on this address of the loopback interface, in place of standard input and output; port 0 takes a free one.
    pub listen: Option<SocketAddr>,
}

/// An agent that the MCP server offers.
#[derive(Debug, Clone)]
pub struct McpAgent {
    /// What a model calls it.
    pub name: String,
    /// Calls for it.
    pub line: BoundLine,
}

/// Adds a call to a recording. The error says why it cannot be kept.
pub type SaveCall = Box<dyn FnOnce(&RecordedCall) -> Result<(), String>>;

/// An invoke as the daemon has told it, with `raw` and `debug`.
#[derive(Debug)]
pub struct RecordedCall {
    /// Its events, and when each came, in milliseconds.
    pub events: Vec<(u64, Box<RawValue>)>,
    /// Its response, if it has one.
    pub response: Option<Box<RawValue>>,
    /// Whose call it was.
    pub isolation: Isolation,
}

/// What the command line says about the daemon to run, as typed. What is `None` the daemon decides from its environment
/// and its configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServeOptions {
    /// The socket to listen on; [`crate::socket::path`] has the rule when it is `None`.
    pub socket: Option<PathBuf>,
    /// Where saved state is kept.
    pub state_directory: Option<PathBuf>,
    /// Seconds with nothing to do after which it leaves, or `never`.
    pub idle_exit: Option<String>,
    /// What is logged.
    pub log: Option<String>,
    /// Where the log goes.
    pub log_file: Option<PathBuf>,
    /// Started by another command. Either way the daemon writes `ready PATH` to standard output once it listens, or
    /// `error: REASON`; in the background nobody reads what follows that line, and standard error is discarded.
    pub background: bool,
}

/// What the command line says about the gateway to run, as typed. What is `None` the gateway decides from its configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GatewayOptions {
    /// The address to listen on; port 0 takes a free one.
    pub listen: Option<SocketAddr>,
    /// Without TLS.
    pub is_plain: bool,
    /// Where saved state is kept.
    pub state_directory: Option<PathBuf>,
    /// What is logged.
    pub log: Option<String>,
    /// Where the log goes.
    pub log_file: Option<PathBuf>,
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
    /// A certificate of the user's and its key, PEM files; generated when absent.
    pub tls_files: Option<(PathBuf, PathBuf)>,
    /// Host names besides localhost.
    pub tls_names: Vec<String>,
    /// The agents to offer, each as the user typed it; none means the default ones.
    pub agents: Vec<String>,
    /// Environment variables that posted agent versions may set.
    pub allowed_variables: Vec<String>,
    /// Environment variables for all `exec:` agents, each `NAME=VALUE`, or `NAME` for the value that this process has.
    pub variables: Vec<String>,
    /// Files with more variables. A variable in `variables` wins over the same one in a file.
    pub variable_files: Vec<PathBuf>,
    /// Directories with the sources of `exec:` agents.
    pub watch: Vec<PathBuf>,
    /// Where the secret, sessions, their files and the certificate are kept.
    pub data_directory: Option<PathBuf>,
    /// Idle time of every session, in seconds, in place of what its agent says.
    pub idle_seconds: Option<u64>,
    /// No caller may send `x-ms-user-identity`.
    pub withhold_impersonation: bool,
    /// Leave these out.
    pub without: Vec<Undocumented>,
    /// Keep the exchanges with all agents in this file.
    pub record: Option<PathBuf>,
    /// Keep digests of requests instead of the requests.
    pub record_without_prompts: bool,
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

/// What the command line says about the agent to check.
#[derive(Debug, Clone, PartialEq)]
pub struct ConformanceOptions {
    /// The agent.
    pub target: Target,
    /// The person has agreed to what it costs, and is not asked.
    pub is_agreed: bool,
    /// The service may create and name sessions.
    pub allows_unnamed: bool,
    /// Print JSON instead of a table.
    pub json: bool,
}

/// Operations on a session's files that azd has and the service does not document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Undocumented {
    /// Creating directories
    Mkdir,
    /// Showing details of one file
    Stat,
}
