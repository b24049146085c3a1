//! What travels on Cupola's socket. Data only: nothing here opens a file, a socket or a clock.
//!
//! Reading order:
//! - [`target`]: which agent a call goes to
//! - [`isolation`]: whose state it may see
//! - [`id`]: sessions, conversations and runs by name
//! - [`invoke`]: the main method, its events and its answer
//! - [`runs`]: invokes for those who did not begin them
//! - [`headers`]: what a caller may add to an invoke's headers
//! - [`sessions`]: the service's sandboxes
//! - [`files`]: the files in them
//! - [`monitor`]: their logs
//! - [`agents`]: a project's agents, as the service describes them
//! - [`watch`]: what a caller may see of the requests themselves
//! - [`partitions`]: saved state
//! - [`daemon`]: handshake, status and stop
//! - [`doctor`]: what is wrong, and what to do about it
//! - [`auth`]: the tokens the daemon holds
//! - [`display`]: which characters act on what displays them
//! - [`error`]: every kind of failure, its number and its name
//! - [`reach`]: how far each method reaches, for connections that are bound
//! - [`rpc`]: the JSON-RPC envelope the methods travel in
//! - `schema`, with the feature of that name: what the protocol says of itself
//!
//! Objects that the service defines (a session, a response) keep the service's own field names, so that its
//! documentation applies to them; everything Cupola defines is `camelCase`.

pub mod agents;
pub mod auth;
pub mod daemon;
pub mod display;
pub mod doctor;
pub mod error;
pub mod files;
pub mod headers;
pub mod id;
pub mod invoke;
pub mod isolation;
pub mod monitor;
pub mod partitions;
pub mod path;
pub mod reach;
pub mod rpc;
pub mod runs;
#[cfg(feature = "schema")]
pub mod schema;
pub mod sessions;
pub mod target;
mod text;
pub mod watch;

use reach::{Reach, Subject};
use serde::Serialize;
use serde::de::DeserializeOwned;
use watch::Watch;

/// The protocol's major version: part of the socket's name (`v1.sock`), negotiated by `initialize`.
pub const PROTOCOL_VERSION: u32 = 1;

/// One RPC method: its name on the wire and the types that travel.
///
/// The daemon's table, the command line and the generated documents all read these constants and types; a method is
/// written down here once.
pub trait Method {
    /// The JSON-RPC method name, for example `sessions/create`.
    const NAME: &'static str;
    /// How far it reaches. A method that does not say is out of bounds for every bound connection.
    const REACH: Reach = Reach::Unbounded;
    /// What the caller sends. `params` on the wire is this object itself.
    type Params: Serialize + DeserializeOwned + Send + 'static;
    /// What the caller gets when the call succeeds.
    type Response: Serialize + DeserializeOwned + Send + 'static;

    /// Whose state a call names. Every method that reaches an agent says so.
    fn subject(_params: &Self::Params) -> Subject<'_> {
        Subject::default()
    }

    /// What the caller wants to see of the requests that the call makes; nothing where the method does not offer it.
    fn watch(_params: &Self::Params) -> Watch {
        Watch::default()
    }
}

pub use text::Invalid;
