//! The byte stream to the daemon: a Unix socket, or a named pipe on Windows.

#[cfg(windows)]
mod pipe;

use std::io;
use std::time::Duration;

/// A connection to the daemon.
#[cfg(unix)]
pub type Stream = std::os::unix::net::UnixStream;

/// A connection to the daemon.
#[cfg(windows)]
pub type Stream = pipe::Pipe;

/// How long to wait for the next bytes; for ever with none. A pipe on Windows is always waited for.
#[cfg_attr(windows, expect(clippy::unnecessary_wraps, reason = "other systems can fail here"))]
pub(crate) fn limit(stream: &Stream, limit: Option<Duration>) -> io::Result<()> {
    #[cfg(unix)]
    return stream.set_read_timeout(limit);
    #[cfg(windows)]
    {
        let _ = (stream, limit);
        Ok(())
    }
}

/// Ends a connection that another thread may be reading from.
pub(crate) fn close(stream: &Stream) {
    #[cfg(unix)]
    // It may have ended by itself.
    let _ = stream.shutdown(std::net::Shutdown::Both);
    #[cfg(windows)]
    // A pipe cannot be closed while it is read: the daemon closes it.
    let _ = std::io::Write::write_all(&mut &*stream, b"{\"jsonrpc\":\"2.0\",\"method\":\"exit\"}\n");
}

/// The process at the other end, where the system tells.
pub(crate) fn peer_process(stream: &Stream) -> Option<i32> {
    #[cfg(target_os = "linux")]
    return rustix::net::sockopt::socket_peercred(stream).ok().map(|peer| peer.pid.as_raw_nonzero().get());
    #[cfg(not(target_os = "linux"))]
    {
        let _ = stream;
        None
    }
}
