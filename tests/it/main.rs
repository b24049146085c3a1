//! Cupola from the outside: in memory over socket pairs where possible, as a process where it must be.

#![cfg(unix)]
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that fails says so by panicking")]

mod a2a;
mod agents;
mod article;
mod attach;
mod bind;
mod calls;
mod chat;
mod cli;
mod debug;
mod display;
mod doctor;
mod embedded;
mod file_pieces;
mod file_trees;
mod files;
mod foundry;
mod framing;
mod hints;
mod hostile;
mod http;
mod invoke;
mod life;
mod local;
mod manual;
mod matrix;
mod memory;
mod monitor;
mod pages;
mod partitions;
mod private;
mod process;
mod project;
mod raw;
mod recovery;
mod reliability;
mod runs;
mod secrets;
mod self_description;
mod server;
mod service;
mod sessions;
mod side_by_side;
mod slow_readers;
mod support;
mod symptoms;
mod targets;
mod tenants;
mod transcripts;
mod turns;
mod unfinished;
mod untrusted;
mod websocket;
