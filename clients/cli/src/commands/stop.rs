//! `cupola stop`: ends the daemon. That none runs is a success: it is what was asked for.

use crate::call::{Connection, typed};
use crate::connect;
use crate::exit;
use crate::failure::Failure;
use crate::show;
use clap::Args;
use cupola_protocol::daemon::{Stop, StopParams};
use std::path::PathBuf;

pub(crate) const HELP: &str = "\
Runs under way end first, unless --force is given. Saved sessions and conversations stay.

Examples:
  cupola stop
  cupola stop --force";

#[expect(clippy::doc_markdown, reason = "the comments are help texts")]
#[derive(Debug, Args)]
pub(crate) struct Flags {
    /// The daemon's socket [env: CUPOLA_SOCKET] [default: $XDG_RUNTIME_DIR/cupola/v1.sock, else the state directory]
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Do not wait for runs under way
    #[arg(long)]
    force: bool,
}

/// Asks the daemon to stop.
pub(crate) fn run(flags: &Flags) -> Result<u8, Failure> {
    let Some(stream) = connect::running(&connect::path(flags.socket.as_deref())?)? else {
        show::print("no daemon runs\n")?;
        return Ok(exit::OK);
    };
    let raw = Connection::new(stream).call_at_once::<Stop>(StopParams { force: flags.force })?;
    let answer = typed::<Stop>(&raw)?;
    show::print(&match (answer.runs, flags.force) {
        (0, _) => "the daemon stops\n".to_owned(),
        (1, false) => "the daemon stops once the run under way has ended\n".to_owned(),
        (runs, false) => format!("the daemon stops once {runs} runs under way have ended\n"),
        (1, true) => "the daemon stops and cuts one run\n".to_owned(),
        (runs, true) => format!("the daemon stops and cuts {runs} runs\n"),
    })?;
    Ok(exit::OK)
}
