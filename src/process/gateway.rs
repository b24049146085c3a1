//! `cupola gateway` as a process: it stays in the terminal until a signal ends it.
//!
//! It has a state directory of its own, so that it does not take the place of this user's daemon, and no socket: everything that it
//! serves comes over HTTPS.

use super::{BLOCKING_GRACE, Reason, is_flags_fault, log, one_line, report, runtime_of_many, system};
use crate::config::{Config, ConfigError, Flags};
use crate::daemon::Daemon;
use crate::gateway::connection::Gateway;
use crate::gateway::server;
use crate::inbound::local::{self, Ownership};
use crate::inbound::server::descriptors;
use crate::lifetime::shutdown;
use crate::methods;
use cupola_cli::exit;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::net::TcpListener;

/// The gateway's directory in the state directory.
const DIRECTORY: &str = "gateway";
/// What its clients would find, if it had a socket; it makes sure that no two gateways have one state directory.
const SOCKET: &str = "gateway.sock";

/// What `cupola gateway` was told on its command line.
#[derive(Debug, Clone, Default)]
pub struct GatewayFlags {
    /// `--listen`
    pub listen: Option<SocketAddr>,
    /// `--plain-http`: without TLS, on this machine.
    pub is_plain: bool,
    /// `--state-dir`
    pub state_directory: Option<PathBuf>,
    /// `--log`
    pub log: Option<String>,
    /// `--log-file`
    pub log_file: Option<PathBuf>,
}

/// Runs a gateway until it ends.
pub fn gateway(flags: GatewayFlags) -> ExitCode {
    // Before there is any thread.
    system::create_for_this_user_only();
    let names_directory = flags.state_directory.is_some();
    match try_gateway(flags) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            report(&format!("error: {}", one_line(&*reason)));
            ExitCode::from(if is_flags_fault(&*reason, names_directory) { exit::USAGE } else { exit::FAILED })
        }
    }
}

fn try_gateway(flags: GatewayFlags) -> Result<(), Reason> {
    let GatewayFlags { listen, is_plain, state_directory, log, log_file } = flags;
    let is_named = state_directory.is_some();
    let mut config = Config::load(Flags { state_directory, log, log_file, ..Flags::default() })?;
    if !is_named {
        config.state_directory = config.state_directory.join(DIRECTORY);
    }
    config.socket = config.state_directory.join(SOCKET);
    config.idle_exit = None;
    log::start(&mut config, false)?;
    descriptors::raise_limit();
    system::give_memory_back();
    let mut settings =
        config.gateway.clone().ok_or("the configuration file has no [gateway]; docs/gateway.md shows one")?;
    settings.listen = listen.unwrap_or(settings.listen);
    if is_plain && !settings.listen.ip().is_loopback() {
        return Err("--plain-http needs a loopback address to listen on: tokens must not travel unencrypted".into());
    }
    let runtime = runtime_of_many()?;
    let outcome = runtime.block_on(async {
        let lock = match local::own(&config.state_directory, &config.socket).await? {
            Ownership::Ours(lock) => Some(lock),
            Ownership::Unknown => None,
            Ownership::Theirs(_) => {
                let shown = config.state_directory.display();
                return Err(
                    format!("another gateway uses the state directory {shown}; give this one --state-dir").into()
                );
            }
        };
        let daemon = Daemon::start(config)?;
        let scheme = if is_plain { "http" } else { "https" };
        let listen = settings.listen;
        let gateway = Gateway::new(daemon.clone(), settings, is_plain).map_err(ConfigError::Gateway)?;
        let listener =
            TcpListener::bind(listen).await.map_err(|error| format!("cannot listen on {listen}: {error}"))?;
        methods::take_up(&daemon).await;
        let asked = shutdown::signals()?;
        let address = listener.local_addr()?;
        tracing::info!(%address, version = cupola_cli::version(), "listening");
        report(&format!("ready {scheme}://{address}"));
        server::run(gateway, listener, asked).await;
        drop(lock);
        Ok::<_, Reason>(())
    });
    runtime.shutdown_timeout(BLOCKING_GRACE);
    outcome
}
