//! Saved state on a disk that fails: what was acknowledged is there after a power cut at any write, and after any fault of the disk.
//!
//! The store is Cupola's own (`src/partition/sqlite.rs`), unchanged. Below SQLite lies a file system that writes down every operation
//! and can let one of them fail. From that record the files are made again as a disk may have them after a power cut.
//!
//! - [`vfs`]: the file system that SQLite calls, the only place with unsafe code; [`disk`]: what it writes down, and when it fails
//! - [`image`]: the files after a power cut; [`chance`]: random numbers that a seed repeats
//! - [`workload`]: calls on the store, and what can be read of it
//! - [`power`]: power cuts; [`faults`]: writes and syncs that fail; [`formats`]: state files of earlier and later versions

#![cfg(unix)]

#[path = "../it/kills/chance.rs"]
mod chance;
mod disk;
mod faults;
mod formats;
mod image;
mod power;
mod vfs;
mod workload;
