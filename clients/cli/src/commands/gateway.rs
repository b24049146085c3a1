//! `cupola gateway`: the daemon's methods over HTTPS. This crate only takes its flags; what it does is behind [`Hooks`].

use crate::hooks::{GatewayOptions, Hooks};
use clap::Args;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

pub(crate) const HELP: &str = "\
Serves the agents of [gateway] in the configuration file to people and services on other machines. Who calls is proven by a token of \
your identity provider or by a client certificate, and the isolation is taken from that proof. SIGTERM lets what is under way finish.

Examples:
  cupola gateway
  cupola gateway --listen 0.0.0.0:8443 --state-dir /var/lib/cupola
  cupola gateway --plain-http --listen 127.0.0.1:8080";

#[expect(clippy::doc_markdown, reason = "the comments are help texts")]
#[derive(Debug, Args)]
pub(crate) struct Flags {
    /// The address to listen on; port 0 takes a free one [default: listen in the configuration file, else 127.0.0.1:8443]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// Serve HTTP without TLS; only on a loopback address
    #[arg(long)]
    plain_http: bool,
    /// Where to keep saved state; a directory that only you can write [default: gateway in the state directory]
    #[arg(long, value_name = "PATH")]
    state_dir: Option<PathBuf>,
    /// What to log: a level, or comma-separated target=level pairs [env: CUPOLA_LOG] [default: info]
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
    /// Where to write the log; standard error if omitted
    #[arg(long, value_name = "PATH")]
    log_file: Option<PathBuf>,
}

/// Becomes the gateway.
pub(crate) fn run(flags: Flags, hooks: Hooks) -> ExitCode {
    (hooks.gateway)(GatewayOptions {
        listen: flags.listen,
        is_plain: flags.plain_http,
        state_directory: flags.state_dir,
        log: flags.log,
        log_file: flags.log_file,
    })
}
