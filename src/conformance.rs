//! `cupola conformance`: does a target answer as the wire contract says?
//!
//! It runs in a process of its own, as the separate emulator does, and not as a method of the daemon: it needs the daemon's HTTP and
//! tokens, but no saved state and no run, and a program that may use the daemon must not be able to spend a person's turns with it.
//!
//! - [`checklist`]: the cases, which are data (`checklist.toml`); `expect`: what an answer must be like (pure)
//! - [`subject`]: the agent that is looked at, and which cases apply to it
//! - [`trial`]: the cases, one after the other, on it; `made`: what they made, which is deleted in any case
//! - [`report`]: what came of each case, for people and as JSON; `replaced`: removes names, ids and hosts from what is reported (pure)

pub mod checklist;
mod expect;
mod made;
mod replaced;
pub mod report;
pub mod subject;
pub mod trial;
