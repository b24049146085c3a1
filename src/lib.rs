//! The daemon.
//!
//! - [`partition`]: target × caller × isolation → saved session and conversation
//! - [`run`]: one invoke from request to ending

pub mod partition;
pub mod run;
