//! The daemon behind `cupola serve`.
//!
//! Reading order, from the outside in:
//! - [`process`]: the daemon as a process: log, start report, detaching
//! - [`config`]: the settings, and the only look at the environment
//! - [`server`]: accepts clients until the daemon is to end
//! - [`shutdown`]: what "to end" means: drain, then force
//! - [`transport`]: the socket, and how messages are told apart on it
//! - `connection`: one client: a reader, a writer, a bounded outbox
//! - [`rpc`]: one message → one call → exactly one response; [`rpc::methods`] is the table of all methods
//! - [`daemon`]: what every handler receives
//! - [`partition`]: target × caller × isolation → saved session and conversation
//! - [`run`]: one invoke from request to ending, for as many clients as follow it
//! - [`followed`]: logs that are followed: one stream of the service for all who follow the same
//! - [`feed`]: one stream, many readers
//! - [`auth`]: which credential, one fetch per scope, tokens that cannot be printed
//! - [`foundry`]: the service: addresses, isolation headers, responses, invocations, sessions, files
//! - [`project`]: which agent the azd project around a directory means
//! - [`definitions`]: how agents isolate and what they speak; [`lately`]: answers that are believed for a while
//! - [`embedded`]: the emulator inside the daemon
//! - [`activity`]: what keeps the daemon from leaving; [`clock`]: times as they travel
//! - [`local_file`]: files on this machine that are sent and fetched
//! - [`directory`]: directories that only this user can enter

pub mod activity;
pub mod auth;
pub mod clock;
pub mod config;
mod connection;
pub mod daemon;
pub mod definitions;
pub mod directory;
pub mod embedded;
pub mod feed;
pub mod followed;
pub mod foundry;
pub mod lately;
pub mod local_file;
pub mod partition;
pub mod process;
pub mod project;
pub mod rpc;
pub mod run;
pub mod server;
pub mod shutdown;
pub mod transport;

pub use connection::{CLIENT_STALL, Client, ClientGone, OUTBOX_MESSAGES};
