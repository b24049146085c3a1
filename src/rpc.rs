//! One message → one call → exactly one response.
//!
//! - [`calls`]: a connection's requests under way; [`call`]: what a handler gets besides its parameters
//! - [`client`]: a handle to one connected client; `outbox`: the way to it, straight or through a bounded queue
//! - [`message`]: the envelope: what a frame's JSON asks for (pure); [`wire`]: what every client's JSON reader can read (pure)
//! - `shape`: which members each method's parameters have; others are refused by name (pure)
//! - [`table`]: method names and what answers them
//! - [`bounds`]: what a bound connection may reach: the gate every call passes; `binding`: whether a connection is bound, `proven`: what
//!   a caller may reach whom a gateway has proven
//! - `guest`: what may be called while the daemon is full
//! - `scope`: what every call on an agent needs first: the agent, whose state, how it isolates
//! - `debug`: `--debug`: a call's own requests, shown to the caller who asked for them
//! - [`error`]: every error of the layers below → kind, message, hint; `explain`: what a refusal of the service means (pure)

pub(crate) mod binding;
pub mod bounds;
pub mod call;
pub mod calls;
pub mod client;
mod debug;
pub mod error;
pub(crate) mod explain;
pub(crate) mod guest;
pub mod message;
pub(crate) mod outbox;
pub(crate) mod proven;
pub(crate) mod scope;
mod shape;
pub mod table;
pub mod wire;

pub use call::Call;
