//! Where a listener's encryption and injected faults plug into the gateway.
//!
//! Both are values the caller hands over in [`Options`](crate::Options), so the gateway needs to know neither.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use futures_util::future::BoxFuture;
use std::sync::{Arc, OnceLock};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// A byte stream HTTP is spoken on.
pub trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

/// Turns an accepted TCP connection into the stream HTTP is spoken on, for example by a TLS handshake.
pub trait Acceptor: Send + Sync {
    /// Performs the handshake. An error closes that one connection and is logged.
    fn accept(&self, stream: TcpStream) -> BoxFuture<'_, std::io::Result<Box<dyn Connection>>>;
}

/// Stands around every request before authentication: may answer itself, delay, or change the answer.
///
/// An answer whose extensions hold [`Reset`] closes the connection instead of being sent. To cut or drip an answer,
/// replace its body: a body error aborts the connection mid-answer. A 101 answer has no body, but a [`Tunnel`] among its
/// extensions.
pub trait Interceptor: Send + Sync {
    /// Answers one request; `next.run(request)` is the gateway's own answer.
    fn intercept(&self, request: Request, next: Next) -> BoxFuture<'_, Response>;
}

/// Marks an answer that must never be sent: the connection is closed instead.
#[derive(Debug, Clone, Copy)]
pub struct Reset;

/// Handle on the connection behind a 101 answer, which an interceptor never sees.
#[derive(Debug, Clone, Default)]
pub struct Tunnel(Arc<OnceLock<usize>>);

impl Tunnel {
    /// Cuts it after this many bytes have reached the client.
    pub fn cut(&self, after_bytes: usize) {
        // The first call wins.
        let _already_cut = self.0.set(after_bytes);
    }

    pub(crate) fn cut_after(&self) -> Option<u64> {
        self.0.get().and_then(|bytes| u64::try_from(*bytes).ok())
    }
}
