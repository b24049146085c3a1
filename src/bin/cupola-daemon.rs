//! `cupola-daemon`: the whole program. `cupola serve` is the daemon, everything else a small client of it (`process/program`). People call
//! `cupola`, which starts this one where it needs it.

use std::process::ExitCode;

/// glibc's allocator keeps what a burst of work left in fragments; this one gives it back (`tests/it/memory.rs`).
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    cupola::process::run(env!("CARGO_PKG_VERSION"))
}
