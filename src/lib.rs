//! The daemon behind `cupola serve`: the map of its rooms, from the entrance down. A room uses only the rooms below it.
//!
//! - [`process`]: the daemon as an operating-system process: log, start report, detaching
//! - [`gateway`]: the same methods over HTTPS, for callers who were proven
//! - [`inbound`]: how clients come in: the socket, framings, connections
//! - [`methods`]: the table of methods, and one file of handlers per resource
//! - [`conformance`]: `cupola conformance`: does a target answer as the wire contract says?
//! - [`rpc`]: one message → one call → exactly one response
//! - [`daemon`]: what every handler receives
//! - [`config`]: the settings, and the only look at the environment
//! - [`target`]: which agent a call means: address, azd project, embedded emulator
//! - [`shared_logs`]: one log stream of the service for everyone who follows the same log
//! - [`pieces`]: files that are read or written over several calls
//! - [`predecessors`]: daemons that were replaced and still finish their runs
//! - [`run`]: one invoke from request to ending, for as many clients as follow it
//! - [`foundry`]: the service: addresses, isolation headers, responses, invocations, sessions, files
//! - [`partition`]: target × caller × isolation → saved session and conversation
//! - [`telemetry`]: traces and metrics, for those who operate the daemon
//! - [`auth`]: which credential, one fetch per scope, tokens that cannot be printed
//! - [`error`]: why a call failed
//! - [`feed`]: one stream, many readers
//! - [`limits`]: what all clients share and no client may exhaust
//! - [`lifetime`]: what keeps the daemon running, and how it ends
//! - [`system`]: this machine: private directories, files, times, TLS
//! - [`sync`]: the locks and counters of the parts that a schedule explorer looks at

pub mod auth;
pub mod config;
pub mod conformance;
pub mod daemon;
pub mod error;
pub mod feed;
pub mod foundry;
pub mod gateway;
pub mod inbound;
pub mod lifetime;
pub mod limits;
pub mod methods;
pub mod partition;
pub mod pieces;
mod predecessors;
pub mod process;
pub mod rpc;
pub mod run;
pub mod shared_logs;
pub mod sync;
pub mod system;
pub mod target;
pub mod telemetry;

#[cfg(test)]
#[path = "../fuzz/support.rs"]
pub(crate) mod fuzz;
