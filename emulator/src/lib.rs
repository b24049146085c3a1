//! A local Foundry data plane that enforces isolation as the service does.
//!
//! - [`agents`]: the agents built in
//! - [`container`]: what the gateway asks of an agent
//! - [`logs`]: what a session's container wrote
//! - [`sandbox`]: agents that are programs of their own: `exec:` and `url:`
//! - [`hooks`]: where TLS and injected faults plug in
//! - [`faults`]: failures switched on per route
//! - [`tls`]: the certificate and the TLS side of the listener

pub mod agents;
pub mod container;
pub mod faults;
pub mod hooks;
pub mod logs;
pub mod sandbox;
pub mod tls;
