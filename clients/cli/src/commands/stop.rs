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
  cupola stop --drain --deadline 600
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
    /// Leave the runs that survive to the next daemon at once, and finish the others
    #[arg(long, conflicts_with = "force")]
    drain: bool,
    /// End the runs that are still active after this many seconds
    #[arg(long, value_name = "SECONDS", conflicts_with = "force")]
    deadline: Option<u64>,
}

impl Flags {
    fn params(&self) -> StopParams {
        let deadline_ms = self.deadline.map(|seconds| seconds.saturating_mul(1000));
        StopParams { force: self.force, drain: self.drain, deadline_ms }
    }
}

/// Asks the daemon to stop.
pub(crate) fn run(flags: &Flags) -> Result<u8, Failure> {
    let place = Place::new(flags.socket.as_deref())?;
    let asked = place.asked::<Stop>(|| flags.params())?;
    // A daemon that was told to stop before continues with its runs, unless it is told not to.
    let sooner = flags.force || flags.deadline.is_some();
    let late = if sooner { place.asked_late::<Stop>(|| flags.params()).len() } else { 0 };
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
