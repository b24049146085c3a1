//! What all clients share and no client may exhaust.
//!
//! - [`places`]: how many connections are held, and what becomes of the next one
//! - [`input`]: the memory and the time of messages that have begun and not ended
//! - [`output`]: the memory of messages that wait for clients who do not read

pub mod input;
pub mod output;
pub mod places;
