//! A connection of HTTP/1.1: each `POST /` carries one message or one batch, and gets its answer as JSON, or everything
//! there is to tell as server-sent events.
//!
//! - [`body`]: a request's body, within the memory and the time there is for it
//! - [`request`]: which requests are taken at all (pure)
//! - [`response`]: what is sent: JSON, events, refusals
//!
//! The calls behind it see each request as a separate connection: nothing is bound, and nothing remains but what was
//! detached. A client that leaves before its answer, or ends its input, cancels the call.

pub(crate) mod body;
mod request;
pub(crate) mod response;

use super::patience::Patience;
use crate::daemon::Daemon;
use crate::inbound::reader::{Frame, FrameReader};
use crate::limits::places::{PATIENCE, Place};
use crate::rpc::binding::Binding;
use crate::rpc::calls::{CANCEL_GRACE, Calls};
use crate::rpc::client::{Client, Ends};
use crate::rpc::table::Table;
use cupola_protocol::framing::MAX_HEADER_BYTES;
use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use request::{Answers, Refusal};
use response::{Body, Outbox};
use std::convert::Infallible;
use std::io::Cursor;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long a request's head may take, and how long a connection is kept for the next one.
pub(super) const HEAD_TIME: Duration = Duration::from_secs(15);

/// What the requests of one connection share.
struct Server<'place> {
    daemon: Arc<Daemon>,
    table: &'static Table,
    number: u64,
    /// How the connection ends before its client leaves.
    ends: Ends,
    /// The requests whose calls are not all answered.
    exchanges: TaskTracker,
    place: &'place Place,
}

/// Serves one client until it leaves, is cut, or the daemon ends.
pub(super) async fn serve(
    daemon: Arc<Daemon>,
    table: &'static Table,
    number: u64,
    reader: FrameReader,
    (write, ends): (Patience, Ends),
    place: &Place,
) {
    let (half, begun) = reader.into_parts();
    let stream = tokio::io::join(Cursor::new(begun.freeze()).chain(half), write);
    let exchanges = TaskTracker::new();
    let server =
        Server { daemon: Arc::clone(&daemon), table, number, ends: ends.clone(), exchanges: exchanges.clone(), place };
    tokio::select! {
        ended = converse(&server, stream) => if let Err(error) = ended {
            tracing::debug!(conn = number, %error, "closed");
        },
        () = ends.cut.cancelled() => {}
        () = given_up(&daemon) => {}
    }
    // What was being answered has been dropped above, which cancelled its calls.
    exchanges.close();
    exchanges.wait().await;
}

/// Answers one request after the other. Once the daemon drains, the one under way is the last.
async fn converse(server: &Server<'_>, stream: impl AsyncRead + AsyncWrite + Unpin + Send) -> hyper::Result<()> {
    let mut connection = pin!(
        Builder::new()
            .timer(TokioTimer::new())
            // In a kept place there is time for one request.
            .header_read_timeout(if server.place.is_kept() { PATIENCE } else { HEAD_TIME })
            .keep_alive(!server.place.is_kept())
            .max_buf_size(MAX_HEADER_BYTES)
            .serve_connection(TokioIo::new(stream), service_fn(|request| server.answer(request)))
    );
    tokio::select! {
        ended = connection.as_mut() => return ended,
        () = server.daemon.shutdown.draining() => connection.as_mut().graceful_shutdown(),
        () = server.ends.stalled() => connection.as_mut().graceful_shutdown(),
    }
    connection.await
}

/// Returns when the daemon's end is forced and cancelled calls have had their time.
async fn given_up(daemon: &Daemon) {
    daemon.shutdown.forced().await;
    tokio::time::sleep(CANCEL_GRACE).await;
}

impl Server<'_> {
    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let (head, body) = request.into_parts();
        let read = match request::check(&head) {
            Ok(answers) => self.body(body).await.map(|message| (answers, message)),
            Err(refusal) => Err(refusal),
        };
        Ok(match read {
            Ok((answers, message)) => self.exchange(answers, message).await,
            Err(refusal) => {
                tracing::debug!(conn = self.number, status = refusal.status.as_u16(), "refused");
                response::refused(refusal)
            }
        })
    }

    /// Reads a body; in a kept place there is little time for it.
    async fn body(&self, body: Incoming) -> Result<Frame, Refusal> {
        let read = body::read(body, self.daemon.input.room());
        if self.place.is_kept() {
            tokio::time::timeout(PATIENCE, read).await.unwrap_or_else(|_| Err(Refusal::full()))
        } else {
            read.await
        }
    }

    /// One message, or batch, and its answer. Dropping this, or the body it gives, cancels the calls.
    async fn exchange(&self, answers: Answers, message: Frame) -> Response<Body> {
        let (client, messages) =
            Client::new(&self.daemon, self.number, self.ends.clone(), answers == Answers::Events, None);
        let (cancelled, last) = (self.daemon.shutdown.work(), CancellationToken::new());
        let outbox = Outbox::new(messages, client.clone(), last.clone(), cancelled.clone().drop_guard());
        let (daemon, binding) = (Arc::clone(&self.daemon), Binding::one_shot());
        let calls = Calls::new(daemon, self.table, client.clone(), binding, cancelled.clone(), self.place);
        match calls.receive(&message.bytes, message.room).await {
            Ok(_) if calls.has_begun() || !outbox.is_empty() => {}
            // Only notifications: there is nothing to answer.
            _ => return response::nothing(),
        }
        let is_turned_away = calls.is_turned_away();
        let ends = self.ends.clone();
        self.exchanges.spawn(async move {
            tokio::select! {
                () = calls.answered() => {}
                () = ends.stalled() => {
                    cancelled.cancel();
                    calls.answered().await;
                }
            }
            last.cancel();
        });
        match answers {
            _ if is_turned_away => response::turned_away(outbox).await,
            Answers::Events => response::events(outbox),
            Answers::Json => response::json(outbox).await,
        }
    }
}
