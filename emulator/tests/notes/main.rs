//! `builtin:notes` measured against Microsoft's agent server, and what it does beyond it.
//!
//! - [`capture`]: reads a captured exchange and makes texts comparable
//! - [`support`]: a started agent and how to talk to it
//! - [`captures`]: the same requests as in the captures, the same answers
//! - [`table`]: which captures, after what, compared how
//! - [`memory`]: what it remembers, and for whom
//! - [`protocol`]: rules of the protocol that no single capture shows

#![expect(clippy::expect_used, reason = "a test ends at the first surprise")]

mod capture;
mod captures;
mod memory;
mod protocol;
mod support;
mod table;
