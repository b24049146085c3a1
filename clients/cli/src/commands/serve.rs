//! `cupola serve`: the daemon. This crate only takes its flags; what it does is behind [`Hooks`].

use crate::hooks::{Hooks, ServeOptions};
use crate::{daemon_program, environment, exit, terminal};
use clap::Args;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

pub(crate) const HELP: &str = "\
Other commands start the daemon automatically. Run it yourself to watch it, or under a service manager.

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
    /// Where to keep saved state; a directory that only you can write [env: CUPOLA_STATE_DIR]
    #[arg(long, value_name = "PATH")]
    state_dir: Option<PathBuf>,
    /// Exit after this many idle seconds, or `never` [env: CUPOLA_IDLE_EXIT] [default: 1800]
    #[arg(long, value_name = "SECONDS")]
    idle_exit: Option<String>,
    /// What to log: a level, or comma-separated target=level pairs [env: CUPOLA_LOG] [default: info]
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
    /// Where to write the log; standard error if omitted
    #[arg(long, value_name = "PATH")]
    log_file: Option<PathBuf>,
    /// Started by another command: leave its terminal
    #[arg(long, hide = true)]
    background: bool,
    /// The version of the command that starts it
    #[arg(long, hide = true)]
    for_version: Option<String>,
}

/// Becomes the daemon.
pub(crate) fn run(flags: Flags, hooks: Hooks) -> ExitCode {
    if flags.background {
        leave_the_terminal();
    }
    // A newer command replaces an older daemon. If it had started this one, it would start and replace it without end.
    if let Some(wanted) = flags.for_version.filter(|wanted| wanted != environment::version()) {
        let report = daemon_program::of_another_version(&wanted);
        // Nothing is left to do if nobody reads the report.
        let _ = writeln!(terminal::stdout(), "error: {report}");
        return ExitCode::from(exit::DAEMON);
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

/// Starts a new terminal session: neither Ctrl-C nor the end of the starter's terminal reaches the daemon.
#[cfg(unix)]
fn leave_the_terminal() {
    // Fails only for the leader of a process group, which a child of the starter never is.
    let _ = rustix::process::setsid();
}

/// Nothing to do: the process that starts it gives it a console.
#[cfg(windows)]
fn leave_the_terminal() {}
