//! `cupola emulator`: a separate emulator. This crate only takes its flags; what it does is behind [`Hooks`].

use crate::Hooks;
use clap::{Args, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

pub(crate) const HELP: &str = "\
An AGENT is NAME=SOURCE[,OPTION=VALUE]... SOURCE is builtin:notes, exec:COMMAND (one process per session, with its own \
HOME and PORT) or url:URL (an agent that already runs). Options are protocol=1.0.0|2.0.0, require=user|chat|user+chat, \
version=LABEL and idle=SECONDS. Without any agent the emulator offers notes, notes-required and notes-identity.

`--emulator` on other commands needs none of this: it uses an emulator inside the daemon.

Examples:
  cupola emulator
  cupola emulator --agent 'mine=exec:python3 main.py,protocol=2.0.0'
  cupola invoke --emulator=http://127.0.0.1:8787 mine \"hello\"
  cupola emulator --without mkdir,stat
  cupola emulator --tls --json --listen 127.0.0.1:0";

#[derive(Debug, Args)]
pub(crate) struct Flags {
    /// The address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8787")]
    listen: SocketAddr,
    /// Speak https with a certificate of its own, whose file is named at the start
    #[arg(long)]
    tls: bool,
    /// An agent to offer; may be repeated
    #[arg(long = "agent", value_name = "AGENT")]
    agents: Vec<String>,
    /// Where sessions, their files and the certificate are kept; a temporary directory when left out
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
pub struct EmulatorOptions {
    /// The address to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Speak https.
    pub tls: bool,
    /// The agents to offer, each as the user typed it; none means the default ones.
    pub agents: Vec<String>,
    /// Where sessions, their files and the certificate are kept.
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

/// Operations on a session's files that azd has and the service does not document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Undocumented {
    /// Making directories
    Mkdir,
    /// Showing one file
    Stat,
}

/// Becomes the emulator.
pub(crate) fn run(flags: Flags, hooks: Hooks) -> ExitCode {
    (hooks.emulator)(EmulatorOptions {
        listen: flags.listen,
        tls: flags.tls,
        agents: flags.agents,
        data_directory: flags.data_dir,
        idle_seconds: flags.idle,
        withhold_impersonation: flags.withhold_impersonation,
        without: flags.without,
        json: flags.json,
    })
}
