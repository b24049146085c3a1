//! `cupola serve`: the daemon. This crate only takes its flags; what it does is behind [`Hooks`].

use crate::Hooks;
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

pub(crate) const HELP: &str = "\
Every other command starts the daemon by itself; run it by hand to watch it, or under a service manager.

Examples:
  cupola serve
  CUPOLA_LOG=debug cupola serve --idle-exit 0
  cupola serve --socket ~/.cache/cupola-test/v1.sock --state-directory ~/.cache/cupola-test";

#[expect(clippy::doc_markdown, reason = "the comments are help texts")]
#[derive(Debug, Args)]
pub(crate) struct Flags {
    /// The socket to listen on [env: CUPOLA_SOCKET] [default: $XDG_RUNTIME_DIR/cupola/v1.sock, else the state directory]
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Where saved state is kept; must be a directory of your own
    #[arg(long, value_name = "PATH")]
    state_directory: Option<PathBuf>,
    /// The configuration file
    #[arg(long, value_name = "PATH")]
    config: Option<PathBuf>,
    /// Leave after this many seconds with nothing to do; 0 means never
    #[arg(long, value_name = "SECONDS")]
    idle_exit: Option<u64>,
    /// Started by another command: leave its terminal, and report to its pipe
    #[arg(long, hide = true)]
    background: bool,
}

/// What the command line says about the daemon to run. What is `None` the daemon takes from its own configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServeOptions {
    /// The socket to listen on; [`crate::socket::path`] has the rule when it is `None`.
    pub socket: Option<PathBuf>,
    /// Where saved state is kept.
    pub state_directory: Option<PathBuf>,
    /// The configuration file.
    pub config: Option<PathBuf>,
    /// Leave after this many seconds with nothing to do; 0 means never.
    pub idle_exit_seconds: Option<u64>,
    /// Started by another command. Either way the daemon writes `ready PATH` to standard output once it listens, or
    /// `error: REASON`; nobody reads what comes after that line, and standard error goes nowhere, so logs need a file.
    pub background: bool,
}

/// Becomes the daemon.
pub(crate) fn run(flags: Flags, hooks: Hooks) -> ExitCode {
    if flags.background {
        leave_the_terminal();
    }
    (hooks.serve)(ServeOptions {
        socket: flags.socket,
        state_directory: flags.state_directory,
        config: flags.config,
        idle_exit_seconds: flags.idle_exit,
        background: flags.background,
    })
}

/// A session of its own: neither Ctrl-C nor the end of the starter's terminal reaches the daemon.
#[cfg(unix)]
fn leave_the_terminal() {
    // Fails only for the leader of a process group, which a child of the starter never is.
    let _ = rustix::process::setsid();
}

#[cfg(windows)]
fn leave_the_terminal() {}
