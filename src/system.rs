//! What the daemon needs of this machine. Nothing here knows what Cupola is for.
//!
//! - [`directory`]: directories that only this user can enter
//! - [`file`](mod@file): files that are sent and fetched
//! - [`protected`]: files that decide over trust, whatever path leads to them
//! - [`proxies`]: which proxy the environment names
//! - [`secret`]: secrets that the configuration names
//! - [`clock`]: times as they travel
//! - [`sockets`]: which connections this process has
//! - [`tls`]: the TLS provider of the process

pub mod clock;
pub mod directory;
pub mod file;
pub mod protected;
pub mod proxies;
pub mod secret;
pub mod sockets;
pub mod tls;
