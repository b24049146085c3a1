//! The byte stream to the daemon: a Unix socket, or a named pipe on Windows.

/// A connection to the daemon.
#[cfg(unix)]
pub type Stream = std::os::unix::net::UnixStream;

/// A connection to the daemon.
#[cfg(windows)]
pub type Stream = std::fs::File;
