//! What the tests stand on: a daemon in memory, a client, the real binary, a terminal, methods that misbehave.

pub(crate) mod client;
pub(crate) mod collector;
pub(crate) mod daemon;
pub(crate) mod deployed;
pub(crate) mod emulator;
pub(crate) mod http;
pub(crate) mod local_agent;
pub(crate) mod methods;
pub(crate) mod peer;
pub(crate) mod process;
pub(crate) mod proxy;
pub(crate) mod store_server;
pub(crate) mod terminal;

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

pub(crate) use client::{Client, Framing};
pub(crate) use daemon::TestDaemon;
pub(crate) use emulator::TestEmulator;
pub(crate) use local_agent::LocalAgent;
pub(crate) use process::{Home, Process, at_once, call, finish, finish_after, older_program, until};
pub(crate) use terminal::Terminal;

/// How long a test waits for what must happen. Only what hangs takes this long, also on a machine that has much else to do.
pub(crate) const PATIENCE: Duration = Duration::from_mins(3);

/// An address that stays free until the test takes it: below the ports that the system assigns for port 0, for
/// example to the connections of the tests beside this one.
pub(crate) fn free_address() -> SocketAddr {
    let addresses = std::iter::repeat_with(|| {
        let [low, high, ..] = *uuid::Uuid::new_v4().as_bytes();
        SocketAddr::from(([127, 0, 0, 1], 10_000 + u16::from_le_bytes([low, high]) % 20_000))
    });
    addresses.take(100).find(|address| TcpListener::bind(address).is_ok()).expect("no port is free")
}

/// Says what is not tested here and why, past the capture of test output: nothing is skipped silently. With `CI` set the
/// machine is supposed to have everything.
pub(crate) fn skip(what: &str, why: &str) {
    use std::io::Write;
    assert!(std::env::var_os("CI").is_none(), "{what}: {why}");
    // Not `eprintln!`, which the test harness captures.
    let mut stderr = std::io::stderr();
    writeln!(stderr, "skipped: {what}: {why}").unwrap();
}
