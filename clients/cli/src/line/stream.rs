//! The byte stream to the daemon: a Unix socket, or a named pipe on Windows.
//!
//! - `pipe`: a named pipe as a blocking stream

#[cfg(windows)]
mod pipe;

use std::io;
use std::path::Path;
use std::time::Duration;

/// A connection to the daemon.
#[cfg(unix)]
pub type Stream = std::os::unix::net::UnixStream;

/// A connection to the daemon.
#[cfg(windows)]
pub type Stream = pipe::Pipe;

/// Connects, and waits for at most `limit` until the daemon has room for one more connection in its queue: a suspended daemon
/// accepts none.
#[cfg(unix)]
pub(crate) fn connect(path: &Path, limit: Duration) -> io::Result<Stream> {
    use rustix::net::sockopt::{Timeout, set_socket_timeout};
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, socket};
    let socket = socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
    set_socket_timeout(&socket, Timeout::Send, Some(limit))?;
    let address = SocketAddrUnix::new(path)?;
    rustix::io::retry_on_intr(|| rustix::net::connect(&socket, &address))?;
    let stream = Stream::from(socket);
    stream.set_write_timeout(None)?;
    Ok(stream)
}

/// Connects. A pipe without a free instance is asked for a while.
#[cfg(windows)]
pub(crate) fn connect(path: &Path, _limit: Duration) -> io::Result<Stream> {
    Stream::connect(path)
}

/// How long each read and each write may wait; for ever with none.
pub(crate) fn limit(stream: &Stream, limit: Option<Duration>) -> io::Result<()> {
    stream.set_read_timeout(limit)?;
    stream.set_write_timeout(limit)
}

/// Is that what happens when such a limit is over?
pub(crate) fn is_over(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// Is it open, with nothing to read? Where that cannot be told, it is not.
pub(crate) fn is_quiet(stream: &Stream) -> bool {
    #[cfg(unix)]
    {
        use rustix::io::Errno;
        use rustix::net::{RecvFlags, recv};
        // It is looked at, and stays where it is.
        let looked = recv(stream, &mut [0_u8; 1][..], RecvFlags::PEEK | RecvFlags::DONTWAIT);
        looked.err().is_some_and(|error| error == Errno::WOULDBLOCK)
    }
    #[cfg(windows)]
    {
        let _ = stream;
        false
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
