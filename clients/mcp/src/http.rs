//! The protocol over HTTP (`--listen`), for programs that cannot start a command: on the loopback interface, at a path that nobody can
//! guess.
//!
//! Every program that knows the path may use the tools, so it is as secret as a password. A web page does not know it, and even one that does is
//! refused: `Host` and `Origin` must be the server's own.

use axum::Router;
use rmcp::ServerHandler;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use uuid::Uuid;

/// Serves until the process ends. Prints the URL once it listens.
pub(crate) async fn serve<Handler: ServerHandler>(handler: Handler, address: SocketAddr) -> Result<(), String> {
    let failed = |error: io::Error| format!("could not listen on {address}: {error}");
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    // 122 random bits.
    let path = format!("/{}/mcp", Uuid::new_v4().simple());
    let handler = Arc::new(handler);
    let config = StreamableHttpServerConfig::default()
        .with_allowed_hosts(own_names(address))
        .with_allowed_origins(own_names(address).map(|name| format!("http://{name}")))
        .enforce_origin_validation();
    let service =
        StreamableHttpService::new(move || Ok(Arc::clone(&handler)), Arc::<LocalSessionManager>::default(), config);
    let app = Router::new().route_service(&path, service);
    writeln!(io::stdout(), "http://{address}{path}").map_err(|error| format!("could not print the URL: {error}"))?;
    axum::serve(listener, app).await.map_err(failed)
}

/// How a program on this machine names the server.
fn own_names(address: SocketAddr) -> impl Iterator<Item = String> {
    [address.to_string(), format!("localhost:{}", address.port())].into_iter()
}
