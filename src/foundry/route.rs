//! How requests to the service leave this machine: the settings that apply to one host, for people who look for a fault.

use super::connections::Settings;
use crate::system::proxies::{NotAProxy, Way};
use std::net::SocketAddr;
use std::path::PathBuf;

/// What applies to one host of the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The host, as it is in the agent's address.
    pub host: String,
    /// Through which proxy, if any.
    pub way: Way,
    /// The address that `resolve` in the configuration file gives the host.
    pub fixed: Option<SocketAddr>,
    /// Files of certificates that are trusted besides the system's.
    pub certificates: Vec<PathBuf>,
}

impl Route {
    /// The route to a host, or which variable does not name a proxy.
    pub(super) fn to(host: &str, settings: &Settings) -> Result<Self, NotAProxy> {
        let fixed = settings.resolve.iter().find(|(name, _)| name.eq_ignore_ascii_case(host));
        Ok(Self {
            host: host.to_owned(),
            way: settings.proxies.way_to(host)?,
            fixed: fixed.map(|(_, address)| *address),
            certificates: settings.trusted_certificates.clone(),
        })
    }
}
