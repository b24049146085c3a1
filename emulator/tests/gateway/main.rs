//! The running gateway as a client meets it, one file per part of the contract.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail the test")]

mod a2a;
mod about;
mod agents;
mod auth;
mod conversations;
mod door;
mod files;
mod invocations;
mod isolation_identity;
mod isolation_keys;
mod latency;
mod logs;
mod posted;
mod project;
mod recording;
mod responses;
mod sessions;
mod support;
mod version;
mod whole;
