//! A writer that notices a client that takes nothing. While the client takes anything it is never cut, however slow it is.
//!
//! The system says that a socket can be written again only when most of what it holds has been read, which takes a slow reader
//! longer than our patience. So the socket is also tried directly, and written in small pieces: reading one of them is progress.

use crate::daemon::Daemon;
use crate::inbound::listener::{WriteHalf, straight, write_directly};
use crate::rpc::client::{CLIENT_STALL, Ends, STALLED_GRACE, Stall};
use crate::rpc::outbox::WriteNow;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::AsyncWrite;
use tokio::time::{Instant, Sleep, sleep};

/// The most bytes of one write. A client that reads this much every ten seconds is taking what it is sent.
const PIECE_BYTES: usize = 8 * 1024;
/// How often a socket that seems full is tried.
const PROBE: Duration = Duration::from_secs(1);

/// Passes bytes on. Says when none were taken for [`CLIENT_STALL`], and fails [`STALLED_GRACE`] after that.
pub(super) struct Patience {
    half: WriteHalf,
    ends: Ends,
    /// A daemon that wants to end waits for no client to wake up.
    daemon: Arc<Daemon>,
    waiting: Option<Waiting>,
}

/// The client takes nothing.
struct Waiting {
    since: Instant,
    next_probe: Pin<Box<Sleep>>,
}

impl Patience {
    pub(super) fn new(half: WriteHalf, ends: Ends, daemon: Arc<Daemon>) -> Self {
        Self { half, ends, daemon, waiting: None }
    }

    /// The connection for what is sent without waiting.
    pub(super) fn straight(&self) -> Option<Weak<dyn WriteNow>> {
        straight(&self.half)
    }

    fn wait(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let waiting =
            self.waiting.get_or_insert_with(|| Waiting { since: Instant::now(), next_probe: Box::pin(sleep(PROBE)) });
        loop {
            ready!(waiting.next_probe.as_mut().poll(context));
            if let Some(written) = write_directly(&self.half, bytes) {
                self.waiting = None;
                return Poll::Ready(Ok(written));
            }
            let now = Instant::now();
            let most = CLIENT_STALL + if self.daemon.shutdown.is_draining() { Duration::ZERO } else { STALLED_GRACE };
            if now - waiting.since >= most {
                tracing::warn!("cut: a client took nothing for {most:?}");
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            if now - waiting.since >= CLIENT_STALL && !self.ends.is_stalled() {
                tracing::warn!("stalled: a client took nothing for {CLIENT_STALL:?}");
                self.ends.stall(Stall::TookNothing);
            }
            waiting.next_probe.as_mut().reset(now + PROBE);
        }
    }
}

impl AsyncWrite for Patience {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let piece = bytes.get(..PIECE_BYTES).unwrap_or(bytes);
        match Pin::new(&mut self.half).poll_write(context, piece) {
            Poll::Ready(written) => {
                self.waiting = None;
                Poll::Ready(written)
            }
            Poll::Pending => self.wait(context, piece),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let first: &[u8] = slices.iter().find(|slice| !slice.is_empty()).map_or(&[], |slice| slice);
        if slices.iter().map(|slice| slice.len()).sum::<usize>() > PIECE_BYTES {
            return self.poll_write(context, first);
        }
        // A short answer with its head is one write.
        match Pin::new(&mut self.half).poll_write_vectored(context, slices) {
            Poll::Ready(written) => {
                self.waiting = None;
                Poll::Ready(written)
            }
            Poll::Pending => self.wait(context, first),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.half.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.half).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.half).poll_shutdown(context)
    }
}
