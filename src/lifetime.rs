//! How long the daemon lives.
//!
//! - [`activity`]: what keeps it from leaving: connections, requests, runs
//! - [`shutdown`]: how it ends: drain, then force

pub mod activity;
pub mod shutdown;
