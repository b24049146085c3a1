//! A local Foundry data plane that enforces isolation as the service does.
//!
//! - [`container`]: what the gateway asks of an agent
//! - [`logs`]: what a session's container wrote

pub mod container;
pub mod logs;
