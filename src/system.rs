//! What the daemon needs of this machine. Nothing here knows what Cupola is for.
//!
//! - [`directory`]: directories that only this user can enter
//! - [`file`](mod@file): files that are sent and fetched
//! - [`protected`]: files that decide over trust, whatever path leads to them
//! - [`secret`]: secrets that the configuration names
//! - [`clock`]: times as they travel
//! - [`tls`]: the TLS provider of the process

pub mod clock;
pub mod directory;
pub mod file;
pub mod protected;
pub mod secret;
pub mod tls;
