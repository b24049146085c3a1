//! Faults of whole connections: what the other side meets before it can send a request.

use super::Faults;
use crate::hooks::{Acceptor, Connection};
use futures_util::future::BoxFuture;
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// HTTP/2: the server's settings, then GOAWAY with "no stream was looked at" and no error (RFC 9113, sections 6.5 and 6.8).
const GO_AWAY: &[u8] = &[
    0, 0, 0, 4, 0, 0, 0, 0, 0, //
    0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
];

/// An acceptor whose connections faults can strike.
struct Struck {
    acceptor: Arc<dyn Acceptor>,
    faults: Faults,
}

impl Faults {
    /// `acceptor`, whose connections the `goAway` faults strike.
    pub fn around(&self, acceptor: Arc<dyn Acceptor>) -> Arc<dyn Acceptor> {
        Arc::new(Struck { acceptor, faults: self.clone() })
    }
}

impl Acceptor for Struck {
    fn accept(&self, stream: TcpStream) -> BoxFuture<'_, io::Result<Box<dyn Connection>>> {
        Box::pin(async move {
            let mut stream = self.acceptor.accept(stream).await?;
            if !self.faults.locked().choose_connection() {
                return Ok(stream);
            }
            stream.write_all(GO_AWAY).await?;
            stream.flush().await?;
            // What the other side says is read, so that the system does not answer it with a reset. The server limits how long.
            let mut heard = [0; 1024];
            while stream.read(&mut heard).await? > 0 {}
            Err(io::Error::other("a fault said GOAWAY"))
        })
    }
}
