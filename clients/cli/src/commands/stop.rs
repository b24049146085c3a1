//! `cupola stop`: ends the daemon. That none runs is a success: it is what was asked for.

use crate::exit;
use crate::failure::Failure;
use crate::line::call::typed;
use crate::line::running::Place;
use crate::show;
use clap::Args;
use cupola_protocol::count::counted;
use cupola_protocol::daemon::{Stop, StopParams, StopResponse};
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
    show::print(&sentence(&answer, flags.force))?;
    Ok(exit::OK)
}

fn sentence(answer: &StopResponse, is_forced: bool) -> String {
    let runs = match (answer.runs, is_forced) {
        (0, _) => "Stopping the daemon\n".to_owned(),
        (1, false) => "The daemon will stop when the active run has finished\n".to_owned(),
        (runs, false) => format!("The daemon will stop when {runs} active runs have finished\n"),
        (runs, true) => format!("Stopping the daemon and cancelling {}\n", counted(runs, "run")),
    };
    match answer.unread_answers {
        0 => runs,
        unread if is_forced => format!("{runs}{} of detached runs will be lost\n", counted(unread, "unread answer")),
        unread => format!(
            "{runs}It keeps {} of detached runs for at most ten minutes; `cupola runs list` shows the runs, and `cupola runs attach \
             RUN_ID` prints an answer\n",
            counted(unread, "unread answer")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_what_the_daemon_waits_for_and_what_is_lost() {
        let said = |runs, unread_answers, is_forced| sentence(&StopResponse { runs, unread_answers }, is_forced);
        assert_eq!(said(0, 0, false), "Stopping the daemon\n");
        assert_eq!(said(1, 0, true), "Stopping the daemon and cancelling 1 run\n");
        assert!(said(0, 1, false).contains("It keeps 1 unread answer of detached runs for at most ten minutes"));
        assert!(said(2, 3, true).ends_with("cancelling 2 runs\n3 unread answers of detached runs will be lost\n"));
    }
}
