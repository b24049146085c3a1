//! What the tests stand on: a daemon in memory, a client, a daemon as a process, methods that misbehave.

pub(crate) mod client;
pub(crate) mod daemon;
pub(crate) mod deployed;
pub(crate) mod emulator;
pub(crate) mod http;
pub(crate) mod local_agent;
pub(crate) mod methods;
pub(crate) mod process;

pub(crate) use client::{Client, Framing};
pub(crate) use daemon::TestDaemon;
pub(crate) use emulator::TestEmulator;
pub(crate) use local_agent::LocalAgent;
pub(crate) use process::{Home, Process, call, finish, finish_after};

/// Says what is not tested here and why, past the capture of test output: nothing is skipped silently. With `CI` set the
/// machine is supposed to have everything.
pub(crate) fn skip(what: &str, why: &str) {
    use std::io::Write;
    assert!(std::env::var_os("CI").is_none(), "{what}: {why}");
    // Not `eprintln!`, which the test harness captures.
    let mut stderr = std::io::stderr();
    writeln!(stderr, "skipped: {what}: {why}").unwrap();
}
