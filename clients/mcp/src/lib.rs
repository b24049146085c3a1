//! `cupola mcp`: hosted agents as tools of the Model Context Protocol, on standard input and output.
//!
//! A small client of the daemon like the others: each call goes over a connection that is bound to one agent and one isolation, both
//! chosen by the flags of the command line. A model chooses among tools; their arguments name sessions, runs and files of that
//! isolation and nothing else.
//!
//! - [`server`]: what the protocol asks for; [`offer`]: which tools there are with which flags
//! - [`tools`]: one file per kind of tool; [`resources`]: files of a session by their address
//! - [`permission`]: the person decides whether a tool may destroy data
//! - [`call`]: one call of a tool and what it asks the daemon; [`text`]: text of others, for a model to read
//!
//! It is a crate of its own because the protocol's library needs an async runtime, and the command line starts without one.

mod call;
mod offer;
mod permission;
mod resources;
mod server;
mod text;
mod tools;

use cupola_cli::McpOptions;
use rmcp::ServiceExt as _;
use server::Server;
use std::time::Duration;
use tokio::runtime::Builder;

/// How long calls that are cancelled at the end may take. The daemon cancels what is left when the process is gone.
const GRACE: Duration = Duration::from_secs(2);

/// Serves until standard input ends.
pub fn serve(options: McpOptions) -> Result<(), String> {
    let server = Server::new(options)?;
    let runtime =
        Builder::new_current_thread().enable_all().build().map_err(|error| format!("could not start: {error}"))?;
    let ending = runtime.block_on(async {
        match server.serve(rmcp::transport::stdio()).await {
            Ok(running) => running.waiting().await.map(|_| ()).map_err(|error| error.to_string()),
            // Nobody has said anything: there was nothing to serve.
            Err(rmcp::service::ServerInitializeError::ConnectionClosed(_)) => Ok(()),
            Err(error) => Err(format!("the program that started this server does not speak the protocol: {error}")),
        }
    });
    runtime.shutdown_timeout(GRACE);
    ending
}
