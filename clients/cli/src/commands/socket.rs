//! `cupola socket`: where the daemon listens. For editors and scripts that speak to it themselves.

use crate::exit;
use crate::failure::Failure;
use crate::line::connect::DaemonFlags;
use crate::terminal;
use clap::Args;
use std::io::Write;
use std::path::PathBuf;

pub(crate) const HELP: &str = "\
Examples:
  cupola socket
  echo '{\"id\":1,\"method\":\"daemon/status\",\"params\":{}}' | nc -U \"$(cupola socket)\"
  vim.lsp.rpc.connect(vim.fn.trim(vim.fn.system('cupola socket')))";

#[expect(clippy::doc_markdown, reason = "the comments are help texts")]
#[derive(Debug, Args)]
pub(crate) struct Flags {
    /// The daemon's socket [env: CUPOLA_SOCKET] [default: $XDG_RUNTIME_DIR/cupola/v1.sock, else the state directory]
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Only print the path
    #[arg(long)]
    no_start: bool,
}

/// Prints the path once somebody listens there.
pub(crate) fn run(flags: &Flags) -> Result<u8, Failure> {
    let daemon = DaemonFlags { socket: flags.socket.clone(), ..DaemonFlags::default() };
    let path = if flags.no_start { daemon.place()?.noted() } else { daemon.answering()? };
    let mut out = terminal::stdout();
    writeln!(out, "{}", path.display()).and_then(|()| out.flush()).map_err(Failure::writing)?;
    Ok(exit::OK)
}
