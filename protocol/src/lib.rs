//! What travels on Cupola's socket. Data only: nothing here opens a file, a socket or a clock.
//!
//! Reading order:
//! - [`target`]: which agent a call goes to
//! - [`isolation`]: whose state it may see
//! - [`id`]: sessions, conversations and runs by name
//! - [`invoke`]: the main method, its events and its answer
//! - [`busy`]: what an invoke does when its session is busy, and when its clients leave
//! - [`warm`]: sessions that are kept ready between turns
//! - [`runs`]: running and recent invokes, also for other clients
//! - [`latency`]: how long the parts of an invoke took
//! - [`headers`]: what a caller may add to an invoke's headers
//! - [`sessions`]: the service's sandboxes
//! - [`files`]: the files in them
//! - [`monitor`]: their logs
//! - [`agents`]: a project's agents, as the service describes them
//! - [`agent_protocol`]: the protocols that agents are called with
//! - [`notice`]: what a caller should know although the call continues
//! - [`observe`]: what a caller can see of the requests that a call makes
//! - [`partitions`]: saved state; [`chats`]: conversations that a client keeps apart by a label
//! - [`daemon`]: handshake and stop; [`status`]: how the daemon is, and what it is doing
//! - [`doctor`]: what is wrong, and how to fix it
//! - [`auth`]: the tokens the daemon holds
//! - [`question`]: what an agent asks the person, and the input that answers it
//! - [`display`]: which characters act on the program that displays them; [`count`]: a number with its noun
//! - [`wording`]: hints in the words of each client
//! - [`error`]: every kind of failure, its number and its name
//! - [`reach`]: how far each method reaches, for connections that are bound
//! - [`rpc`]: the JSON-RPC envelope the methods travel in; [`framing`]: how messages are told apart on a stream
//! - `method`: what every method declares; [`path`], `text`: paths, and how a validated string is made
//! - `schema`, with the feature of that name: the protocol's description of itself
//!
//! Objects that the service defines (a session, a response) keep the service's own field names, so that its
//! documentation applies to them; everything Cupola defines is `camelCase`.

pub mod agent_protocol;
pub mod agents;
pub mod auth;
pub mod busy;
pub mod chats;
pub mod count;
pub mod daemon;
pub mod display;
pub mod doctor;
pub mod error;
pub mod files;
pub mod framing;
pub mod headers;
pub mod id;
pub mod invoke;
pub mod isolation;
pub mod latency;
mod method;
pub mod monitor;
pub mod notice;
pub mod observe;
pub mod partitions;
pub mod path;
pub mod question;
pub mod reach;
pub mod rpc;
pub mod runs;
#[cfg(feature = "schema")]
pub mod schema;
pub mod sessions;
pub mod status;
pub mod target;
mod text;
pub mod warm;
pub mod wording;

pub use daemon::PROTOCOL_VERSION;
pub use method::Method;
pub use text::Invalid;
