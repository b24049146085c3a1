//! What the tests stand on: a daemon in memory, a client, a daemon as a process, methods that misbehave.

pub(crate) mod client;
pub(crate) mod daemon;
pub(crate) mod emulator;
pub(crate) mod methods;
pub(crate) mod process;

pub(crate) use client::{Client, Framing};
pub(crate) use daemon::TestDaemon;
pub(crate) use emulator::TestEmulator;
pub(crate) use process::{Home, Process, call};
