//! What the daemon asks of Windows about its own process.

use std::fs::File;
use std::io;
use std::panic;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

/// What is created takes over the access list of its directory.
pub(super) fn create_for_this_user_only() {}

/// Where the log is written: the file. A panic is said there too, because standard error cannot be turned to it.
#[expect(clippy::unnecessary_wraps, reason = "other systems can fail here")]
pub(super) fn log_to(file: File) -> io::Result<BoxMakeWriter> {
    panic::set_hook(Box::new(|panicked| tracing::error!("{panicked}")));
    Ok(BoxMakeWriter::new(file))
}

/// Nothing to do: whoever starts a daemon here reads its report and no further.
#[expect(clippy::unnecessary_wraps, reason = "other systems can fail here")]
pub(super) fn close_standard_streams() -> io::Result<()> {
    Ok(())
}

/// The system's allocator sees to it by itself.
pub(super) fn give_memory_back() {}
