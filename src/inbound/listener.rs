//! Where clients come from, and the stream that each of them brings.

use crate::rpc::outbox::WriteNow;
use std::io;
use std::sync::Weak;

/// Where clients come from.
pub trait Listener: Send {
    /// The next client, known to be of this user. `None` when no more can come: another daemon listens in this one's place.
    fn accept(&mut self) -> impl Future<Output = io::Result<Option<Stream>>> + Send;

    /// Makes sure that no new client takes this daemon for the one that serves; those already queued can still be accepted.
    fn withdraw(&mut self) {}

    /// After [`Self::withdraw`]: the next one who comes for what only this daemon has, its runs.
    fn late(&mut self) -> impl Future<Output = io::Result<Stream>> + Send {
        std::future::pending()
    }
}

/// A connected client's stream.
#[cfg(unix)]
pub type Stream = tokio::net::UnixStream;
/// A connected client's stream.
#[cfg(windows)]
pub type Stream = interprocess::local_socket::tokio::Stream;

#[cfg(unix)]
pub(crate) use unix::{ReadHalf, WriteHalf};
#[cfg(windows)]
pub(crate) type ReadHalf = tokio::io::ReadHalf<Stream>;
#[cfg(windows)]
pub(crate) type WriteHalf = tokio::io::WriteHalf<Stream>;

/// The two halves of a stream.
pub(crate) fn split(stream: Stream) -> io::Result<(ReadHalf, WriteHalf)> {
    #[cfg(unix)]
    return unix::split(stream);
    #[cfg(windows)]
    return Ok(tokio::io::split(stream));
}

/// Ends the input: what the other side has sent can still be read, and from now on its sending fails, so that it knows what will
/// not be read.
#[cfg(unix)]
pub(crate) fn end_input(half: &ReadHalf) {
    // It fails when the other side is gone, whose input has ended then.
    let _ = rustix::net::shutdown(half.stream(), rustix::net::Shutdown::Read);
}

/// A pipe has no half that can be closed alone.
#[cfg(windows)]
pub(crate) fn end_input(_half: &ReadHalf) {}

/// Has the other side closed both directions? Asked after its input has ended, which alone does not tell: it may still
/// read.
#[cfg(unix)]
pub(crate) fn peer_is_gone(half: &ReadHalf) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut entries = [PollFd::new(half.stream(), PollFlags::empty())];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    let asked = poll(&mut entries, Some(&at_once));
    asked.is_err() || entries.iter().any(|entry| entry.revents().intersects(PollFlags::HUP | PollFlags::ERR))
}

/// A pipe has no half that can be closed alone.
#[cfg(windows)]
pub(crate) fn peer_is_gone(_half: &ReadHalf) -> bool {
    true
}

/// Writes without asking whether the socket is ready: how many bytes were taken at once, if any were.
#[cfg(unix)]
pub(crate) fn write_directly(half: &WriteHalf, bytes: &[u8]) -> Option<usize> {
    half.write_directly(bytes)
}

/// A pipe tells by itself when it can be written.
#[cfg(windows)]
pub(crate) fn write_directly(_half: &WriteHalf, _bytes: &[u8]) -> Option<usize> {
    None
}

/// The connection for what is sent without waiting.
#[cfg(unix)]
#[expect(clippy::unnecessary_wraps, reason = "a pipe has none")]
pub(crate) fn straight(half: &WriteHalf) -> Option<Weak<dyn WriteNow>> {
    Some(half.shared())
}

/// A pipe cannot be written without waiting.
#[cfg(windows)]
pub(crate) fn straight(_half: &WriteHalf) -> Option<Weak<dyn WriteNow>> {
    None
}

#[cfg(unix)]
mod unix;
