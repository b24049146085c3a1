//! The daemon.
//!
//! - [`partition`]: target × caller × isolation → saved session and conversation

pub mod partition;
