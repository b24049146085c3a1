//! `cupola mcp`: hosted agents as tools of the Model Context Protocol, on standard input and output or over HTTP.
//!
//! A small client of the daemon like the others: each call goes over a connection that is bound to one agent and one isolation, both
//! chosen by the flags of the command line. A model chooses among tools; their arguments name sessions, runs and files of that
//! isolation and nothing else.
//!
//! - [`server`]: what the protocol asks for; [`offer`]: which tools there are with which flags; [`http`]: the server of `--listen`
//! - [`tools`]: one file per kind of tool; [`resources`]: files of a session by their address
//! - [`person`]: what the person decides: whether a tool may destroy data, and what an agent asks
//! - [`call`]: one call of a tool and what it asks the daemon; [`refusal`]: why it failed; [`text`]: text of others, for a model to read
//! - [`conformance`]: tools for the protocol's conformance suite; only a test uses them
//!
//! It is a crate of its own because the protocol's library needs an async runtime, and the command line starts without one.

mod call;
mod conformance;
mod http;
mod offer;
mod person;
mod refusal;
mod resources;
mod server;
mod text;
mod tools;

use cupola_cli::McpOptions;
use rmcp::ServiceExt as _;
use server::Server;
use std::time::Duration;
use tokio::runtime::Builder;
use tools::Tool;

/// How long calls that are cancelled at the end may take. The daemon cancels what is left when the process is gone.
const GRACE: Duration = Duration::from_secs(2);

/// Serves until standard input ends, or over HTTP until the process ends.
pub fn serve(options: McpOptions) -> Result<(), String> {
    serve_with(options, &[])
}

/// As [`serve`], with the tools of the protocol's conformance suite.
pub fn serve_conformance(options: McpOptions) -> Result<(), String> {
    serve_with(options, conformance::TOOLS)
}

/// Serves these tools, too.
fn serve_with(options: McpOptions, more: &[Tool]) -> Result<(), String> {
    let address = options.listen;
    let server = Server::new(options, more)?;
    let runtime =
        Builder::new_current_thread().enable_all().build().map_err(|error| format!("could not start: {error}"))?;
    let ending = runtime.block_on(async {
        if let Some(address) = address {
            return http::serve(server, address).await;
        }
        // Pipes are read and written by the runtime itself where the system allows it, without a thread for each message.
        match server.serve(rmcp::transport::stdio_pipes()).await {
            Ok(running) => running.waiting().await.map(|_| ()).map_err(|error| error.to_string()),
            // Nobody has said anything: there was nothing to serve.
            Err(rmcp::service::ServerInitializeError::ConnectionClosed(_)) => Ok(()),
            Err(error) => Err(format!("the program that started this server does not speak the protocol: {error}")),
        }
    });
    runtime.shutdown_timeout(GRACE);
    ending
}
