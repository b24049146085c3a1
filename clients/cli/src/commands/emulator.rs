//! `cupola emulator`: a separate emulator. This crate only takes its flags; what it does is behind [`Hooks`].

use crate::Hooks;
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

pub(crate) const HELP: &str = "\
An AGENT is NAME=SOURCE, where SOURCE is builtin:notes, exec:COMMAND (one process per session, with its own HOME and
PORT) or url:URL (an agent that already runs). Without any, the emulator offers notes, notes-required and
notes-identity. `--emulator` on other commands needs none of this: it uses an emulator inside the daemon.

Examples:
  cupola emulator
  cupola emulator --port 8787 --agent 'mine=exec:python3 main.py'
  cupola invoke --emulator=http://127.0.0.1:8787 mine \"hello\"";

#[derive(Debug, Args)]
pub(crate) struct Flags {
    /// The port to listen on, on this machine only; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 8787)]
    port: u16,
    /// Speak https with a certificate made at the first start
    #[arg(long)]
    tls: bool,
    /// An agent to offer; may be repeated
    #[arg(long = "agent", value_name = "NAME=SOURCE")]
    agents: Vec<String>,
    /// Where session files and the certificate are kept; a temporary directory when left out
    #[arg(long, value_name = "PATH")]
    data_directory: Option<PathBuf>,
    /// A session with nothing to do is stopped after this many seconds
    #[arg(long, value_name = "SECONDS")]
    idle_seconds: Option<u64>,
}

/// What the command line says about the emulator to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmulatorOptions {
    /// The port on the loopback address; 0 takes a free one.
    pub port: u16,
    /// Speak https.
    pub tls: bool,
    /// The agents to offer, each `NAME=SOURCE` as the user typed it; none means the default ones.
    pub agents: Vec<String>,
    /// Where session files and the certificate are kept.
    pub data_directory: Option<PathBuf>,
    /// How long a session stays without anything to do.
    pub idle_seconds: Option<u64>,
}

/// Becomes the emulator.
pub(crate) fn run(flags: Flags, hooks: Hooks) -> ExitCode {
    (hooks.emulator)(EmulatorOptions {
        port: flags.port,
        tls: flags.tls,
        agents: flags.agents,
        data_directory: flags.data_directory,
        idle_seconds: flags.idle_seconds,
    })
}
