//! What all connections share, and what one connection is.

use super::issuers::Issuers;
use super::limits::Limits;
use super::readiness::Readiness;
use super::tls;
use crate::config::gateway::GatewaySettings;
use crate::daemon::Daemon;
use crate::limits::places::Place;
use crate::methods;
use crate::rpc::binding::Binding;
use crate::rpc::calls::Calls;
use crate::rpc::client::{Client, Ends};
use crate::rpc::table::Table;
use rustls::ServerConfig;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio_util::sync::CancellationToken;

/// A token that is good for longer still ends a stream: no timer runs for longer.
const MAX_STREAM: Duration = Duration::from_hours(24);

/// What all connections share.
#[derive(Debug)]
pub struct Gateway {
    pub(super) daemon: Arc<Daemon>,
    pub(super) table: &'static Table,
    pub(super) settings: GatewaySettings,
    pub(super) issuers: Issuers,
    pub(super) limits: Limits,
    pub(super) readiness: Readiness,
    pub(super) tls: Option<Arc<ServerConfig>>,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) gateway: Arc<Gateway>,
    pub(super) number: u64,
    pub(super) ends: Ends,
    pub(super) place: Place,
    /// The name in the certificate that the client has shown, if it has shown one.
    pub(super) certificate: Option<String>,
}

impl Gateway {
    /// Reads the certificates. `is_plain`: without TLS. The error says which setting is wrong.
    pub fn new(daemon: Arc<Daemon>, settings: GatewaySettings, is_plain: bool) -> Result<Arc<Self>, String> {
        settings.check()?;
        let tls = if is_plain { None } else { Some(tls::config(&settings)?) };
        let issuers = Issuers::new(&daemon.config, &settings)?;
        let limits = Limits::new(&settings);
        Ok(Arc::new(Self {
            daemon,
            table: methods::table(),
            settings,
            issuers,
            limits,
            readiness: Readiness::default(),
            tls,
        }))
    }
}

impl Connection {
    /// The calls of one request or one WebSocket, held to what its caller may reach.
    pub(super) fn calls(&self, client: &Client, binding: Binding, cancelled: &CancellationToken) -> Arc<Calls> {
        let Gateway { daemon, table, .. } = &*self.gateway;
        Calls::new(Arc::clone(daemon), table, client.clone(), binding, cancelled.clone(), &self.place)
    }
}

/// Returns when a proof expires.
pub(super) async fn expiry(expires: SystemTime) {
    let rest = expires.duration_since(SystemTime::now()).unwrap_or_default();
    tokio::time::sleep(rest.min(MAX_STREAM)).await;
}
