//! A client's socket, in two halves. The write half is shared with those who send without waiting ([`crate::rpc::outbox`]).
//!
//! tokio's own stream asks the system about both directions all the time, so the daemon would wake up each time that a client reads
//! something. Here it is asked whether there is something to read, and whether there is room again only while there is none.

use crate::rpc::outbox::WriteNow;
use rustix::fd::OwnedFd;
use rustix::net::Shutdown;
use std::io::{self, IoSlice, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::task::coop;
use tokio::time::{Instant, Sleep, sleep};

/// Reads what the client sends.
#[derive(Debug)]
pub(crate) struct ReadHalf(Arc<Socket>);

/// Writes to the client. Ends the output when it is dropped.
#[derive(Debug)]
pub(crate) struct WriteHalf {
    socket: Arc<Socket>,
    /// Waits while the socket takes nothing.
    room: Option<Room>,
}

/// How it is noticed that a socket takes something again.
#[derive(Debug)]
enum Room {
    /// The socket once more: the system tells.
    Told(AsyncFd<OwnedFd>),
    /// No descriptor is left for that: it is tried at this time.
    Tried(Pin<Box<Sleep>>),
}

impl Room {
    fn of(socket: &Socket) -> Self {
        let again = socket.stream().try_clone().and_then(|again| ask(OwnedFd::from(again), Interest::WRITABLE));
        again.map_or_else(|_| Self::Tried(Box::pin(sleep(TRIED_AFTER))), Self::Told)
    }

    /// Ready when the socket may take something.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Told(socket) => ready!(socket.poll_write_ready(context))?.clear_ready(),
            Self::Tried(time) => {
                ready!(time.as_mut().poll(context));
                time.as_mut().reset(Instant::now() + TRIED_AFTER);
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// How often a full socket is tried that the system does not tell about. A person does not notice a wait of this length.
const TRIED_AFTER: Duration = Duration::from_millis(50);

#[derive(Debug)]
struct Socket(AsyncFd<UnixStream>);

pub(super) fn split(stream: tokio::net::UnixStream) -> io::Result<(ReadHalf, WriteHalf)> {
    let socket = Arc::new(Socket(ask(stream.into_std()?, Interest::READABLE)?));
    Ok((ReadHalf(Arc::clone(&socket)), WriteHalf { socket, room: None }))
}

/// Has the system tell when a socket is ready in this direction.
#[expect(
    deprecated,
    reason = "it trusts its argument to keep the descriptor open, as both types here do; what replaces it is unsafe"
)]
fn ask<Descriptor: AsRawFd>(socket: Descriptor, direction: Interest) -> io::Result<AsyncFd<Descriptor>> {
    AsyncFd::with_interest(socket, direction)
}

impl Socket {
    fn stream(&self) -> &UnixStream {
        self.0.get_ref()
    }
}

impl WriteNow for Socket {
    fn write_now(&self, bytes: &[u8]) -> usize {
        self.stream().write(bytes).unwrap_or(0)
    }
}

impl ReadHalf {
    pub(super) fn stream(&self) -> &UnixStream {
        self.0.stream()
    }
}

impl AsyncRead for ReadHalf {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut ready = ready!(self.0.0.poll_read_ready(context))?;
            let free = buffer.initialize_unfilled();
            let size = free.len();
            match ready.try_io(|socket| socket.get_ref().read(free)) {
                Ok(Ok(read)) => {
                    // The socket is empty now. The system tells when something comes, and tokio remembers an end of the input.
                    if read > 0 && read < size {
                        ready.clear_ready();
                    }
                    buffer.advance(read);
                    return Poll::Ready(Ok(()));
                }
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(Err(error)) => return Poll::Ready(Err(error)),
                Err(_not_ready) => {}
            }
        }
    }
}

impl WriteHalf {
    pub(super) fn write_directly(&self, bytes: &[u8]) -> Option<usize> {
        Some(self.socket.write_now(bytes)).filter(|written| *written > 0)
    }

    pub(super) fn shared(&self) -> Weak<dyn WriteNow> {
        let socket: Weak<Socket> = Arc::downgrade(&self.socket);
        socket
    }

    /// Writes, or waits until there is room.
    fn poll(
        &mut self,
        context: &mut Context<'_>,
        write: impl Fn(&mut &UnixStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let turn = ready!(coop::poll_proceed(context));
        loop {
            match write(&mut self.socket.stream()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                written => {
                    turn.made_progress();
                    self.room = None;
                    return Poll::Ready(written);
                }
            }
            let room = self.room.get_or_insert_with(|| Room::of(&self.socket));
            ready!(room.poll(context))?;
        }
    }
}

impl AsyncWrite for WriteHalf {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll(context, |stream| stream.write(bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll(context, |stream| stream.write_vectored(slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(rustix::net::shutdown(self.socket.stream(), Shutdown::Write).map_err(io::Error::from))
    }
}

impl Drop for WriteHalf {
    fn drop(&mut self) {
        // It fails when the other side is gone, which needs to hear nothing then.
        let _ = rustix::net::shutdown(self.socket.stream(), Shutdown::Write);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn a_full_socket_is_written_when_it_has_room_also_without_a_descriptor_to_be_told_by() {
        for has_none in [false, true] {
            let (ours, mut theirs) = tokio::net::UnixStream::pair().unwrap();
            let (_input, mut half) = split(ours).unwrap();
            let mut sent = 0;
            while let Some(written) = half.write_directly(&[7; 1024]) {
                sent += written;
            }
            half.room = has_none.then(|| Room::Tried(Box::pin(sleep(TRIED_AFTER))));
            let writing = tokio::spawn(async move { half.write_all(&[7; 1024]).await });
            tokio::task::yield_now().await;
            assert!(!writing.is_finished(), "the socket takes more");
            theirs.read_exact(&mut vec![0; sent]).await.unwrap();
            writing.await.unwrap().unwrap();
        }
    }
}
