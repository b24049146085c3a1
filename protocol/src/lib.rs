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
//! - [`observe`]: what a caller may see of the requests themselves
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

pub mod agent_protocol;
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
mod method;
pub mod monitor;
pub mod observe;
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

pub use daemon::PROTOCOL_VERSION;
pub use method::Method;
pub use text::Invalid;
