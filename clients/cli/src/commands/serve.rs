//! `cupola serve`: the daemon. This crate only takes its flags; what it does is behind [`Hooks`].

use crate::Hooks;
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

pub(crate) const HELP: &str = "\
Every other command starts the daemon by itself; run it by hand to watch it, or under a service manager.

Examples:
  cupola serve
  cupola serve --log debug --idle-exit never
  cupola serve --state-dir ~/.cache/cupola-test --socket ~/.cache/cupola-test/v1.sock";

#[expect(clippy::doc_markdown, reason = "the comments are help texts")]
#[derive(Debug, Args)]
pub(crate) struct Flags {
    /// The socket to listen on [env: CUPOLA_SOCKET] [default: $XDG_RUNTIME_DIR/cupola/v1.sock, else the state directory]
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Where saved state is kept; a directory of your own [env: CUPOLA_STATE_DIR]
    #[arg(long, value_name = "PATH")]
    state_dir: Option<PathBuf>,
    /// Leave after this many seconds with nothing to do, or `never` [env: CUPOLA_IDLE_EXIT] [default: 1800]
    #[arg(long, value_name = "SECONDS")]
    idle_exit: Option<String>,
    /// What is logged: a level, or target=level pairs with commas between [env: CUPOLA_LOG] [default: info]
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
    /// Where the log goes; standard error when left out
    #[arg(long, value_name = "PATH")]
    log_file: Option<PathBuf>,
    /// Started by another command: leave its terminal
    #[arg(long, hide = true)]
    background: bool,
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
    /// `error: REASON`; in the background nobody reads what comes after that line, and standard error goes nowhere.
    pub background: bool,
}

/// Becomes the daemon.
pub(crate) fn run(flags: Flags, hooks: Hooks) -> ExitCode {
    if flags.background {
        leave_the_terminal();
    }
    (hooks.serve)(ServeOptions {
        socket: flags.socket,
        state_directory: flags.state_dir,
        idle_exit: flags.idle_exit,
        log: flags.log,
        log_file: flags.log_file,
        background: flags.background,
    })
}

/// A session of its own: neither Ctrl-C nor the end of the starter's terminal reaches the daemon.
#[cfg(unix)]
fn leave_the_terminal() {
    // Fails only for the leader of a process group, which a child of the starter never is.
    let _ = rustix::process::setsid();
}

/// Whoever starts it gives it a console of its own.
#[cfg(windows)]
fn leave_the_terminal() {}
