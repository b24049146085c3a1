//! `cupola stop`: ends the daemon. That none runs is a success: it is what was asked for.

use crate::exit;
use crate::failure::Failure;
use crate::line::call::typed;
use crate::line::running::Place;
use crate::show;
use clap::Args;
use cupola_protocol::daemon::{Stop, StopParams};
use std::path::PathBuf;

pub(crate) const HELP: &str = "\
Waits for active runs to finish, unless --force is given, and keeps the answers of detached runs until somebody attaches to them, for \
at most ten minutes. Meanwhile the next command starts another daemon; `cupola runs` finds the runs of both. Saved sessions and \
conversations are kept.

Examples:
  cupola stop
  cupola stop --force";

#[expect(clippy::doc_markdown, reason = "the comments are help texts")]
#[derive(Debug, Args)]
pub(crate) struct Flags {
    /// The daemon's socket [env: CUPOLA_SOCKET] [default: $XDG_RUNTIME_DIR/cupola/v1.sock, else the state directory]
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Do not wait for active runs to finish
    #[arg(long)]
    force: bool,
}

/// Asks the daemon to stop.
pub(crate) fn run(flags: &Flags) -> Result<u8, Failure> {
    let place = Place::new(flags.socket.as_deref())?;
    let asked = place.asked::<Stop>(|| StopParams { force: flags.force })?;
    // A daemon that was told to stop before continues with its runs, unless it is told not to.
    let late = if flags.force { place.asked_late::<Stop>(|| StopParams { force: true }).len() } else { 0 };
    let Some(raw) = asked else {
        show::print(match late {
            0 => "no daemon is running\n",
            _ => "Stopping the daemon, which was finishing its runs\n",
        })?;
        return Ok(exit::OK);
    };
    let answer = typed::<Stop>(&raw)?;
    show::print(&match (answer.runs, flags.force) {
        (0, _) => "Stopping the daemon\n".to_owned(),
        (1, false) => "The daemon will stop when the active run has finished\n".to_owned(),
        (runs, false) => format!("The daemon will stop when {runs} active runs have finished\n"),
        (1, true) => "Stopping the daemon and cancelling one run\n".to_owned(),
        (runs, true) => format!("Stopping the daemon and cancelling {runs} runs\n"),
    })?;
    Ok(exit::OK)
}
