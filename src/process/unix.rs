//! What the daemon asks of a Unix system about its own process: new files are private, unused memory is given back, and its standard
//! streams are closed or become the log.

use std::fs::{File, OpenOptions};
use std::io;

/// Whatever is created from now on is for this user only.
pub(super) fn create_for_this_user_only() {
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
}

/// Unused memory goes back to the system though nothing else happens. Only the daemon needs the thread that sees to it;
/// commands end before it would do anything.
#[cfg(target_os = "linux")]
pub(super) fn give_memory_back() {
    if let Err(error) = tikv_jemalloc_ctl::background_thread::write(true) {
        tracing::warn!(%error, "memory is given back only while there is work: the allocator has no thread for it");
    }
}

/// Other systems' allocators see to it by themselves.
#[cfg(not(target_os = "linux"))]
pub(super) fn give_memory_back() {}

/// Turns standard error to the log, so that a panic's text is in it.
pub(super) fn panics_to(log: &File) -> io::Result<()> {
    Ok(rustix::stdio::dup2_stderr(log)?)
}

/// Lets go of standard input and output.
pub(super) fn close_standard_streams() -> io::Result<()> {
    let nothing = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&nothing)?;
    rustix::stdio::dup2_stdout(&nothing)?;
    Ok(())
}
