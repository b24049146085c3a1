//! What the daemon asks of Windows about its own process.

use std::fs::File;
use std::io;
use std::panic;

/// What is created takes over the access list of its directory.
pub(super) fn create_for_this_user_only() {}

/// A panic is said in the log, because standard error cannot be turned to it.
#[expect(clippy::unnecessary_wraps, reason = "other systems can fail here")]
pub(super) fn panics_to(_log: &File) -> io::Result<()> {
    panic::set_hook(Box::new(|panicked| tracing::error!("{panicked}")));
    Ok(())
}

/// Nothing to do: the process that starts a daemon here only reads its report.
#[expect(clippy::unnecessary_wraps, reason = "other systems can fail here")]
pub(super) fn close_standard_streams() -> io::Result<()> {
    Ok(())
}

/// The system's allocator sees to it by itself.
pub(super) fn give_memory_back() {}
