//! A connection that counts what is read from it until somebody says that a message is complete. The WebSocket library bounds
//! the length of a message, but not how many empty fragments it may have.

use super::super::meter::Excess;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

#[derive(Debug)]
pub(super) struct Metered<Connection> {
    connection: Connection,
    limit: usize,
    /// Bytes read since the latest message.
    unfinished: usize,
}

impl<Connection> Metered<Connection> {
    /// Reading fails with an [`Excess`] after `limit` bytes that complete no message.
    pub(super) const fn new(connection: Connection, limit: usize) -> Self {
        Self { connection, limit, unfinished: 0 }
    }

    /// A message is complete.
    pub(super) const fn finish(&mut self) {
        self.unfinished = 0;
    }
}

impl<Connection: AsyncRead + Unpin> AsyncRead for Metered<Connection> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.unfinished > self.limit {
            return Poll::Ready(Err(io::Error::other(Excess::Bytes(self.limit as u64))));
        }
        let before = buffer.filled().len();
        std::task::ready!(Pin::new(&mut self.connection).poll_read(context, buffer))?;
        self.unfinished += buffer.filled().len() - before;
        Poll::Ready(Ok(()))
    }
}

impl<Connection: AsyncWrite + Unpin> AsyncWrite for Metered<Connection> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.connection).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt as _;

    #[tokio::test]
    async fn endless_bytes_without_a_message_end_in_an_error() {
        let mut endless = Metered::new(tokio::io::repeat(0), 1000);
        let mut buffer = [0; 100];
        for _ in 0..10 {
            // Each of these completes a message.
            assert_eq!(endless.read(&mut buffer).await.unwrap(), 100);
            endless.finish();
        }
        let error = endless.read_to_end(&mut Vec::new()).await.unwrap_err();
        assert!(error.get_ref().unwrap().is::<Excess>(), "{error}");
    }
}
