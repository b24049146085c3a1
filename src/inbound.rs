//! How clients come in. Nothing here knows a method by its name.
//!
//! - [`server`]: accepts clients, as many as `limits/places` has places for, and drains
//! - [`listener`]: where clients come from, and the stream that each brings
//! - [`local`]: the user's socket (a named pipe on Windows): path, permissions, peer, lock
//! - [`framing`]: frames out of bytes, pure (the framings themselves are in `protocol/src/framing.rs`); `reader`: the read half of a connection
//! - `connection`: one client: a reader, a writer, a bounded outbox

pub(crate) mod connection;
pub mod framing;
pub mod listener;
pub mod local;
pub(crate) mod reader;
pub mod server;
