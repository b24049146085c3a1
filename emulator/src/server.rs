//! Accepts connections and serves the gateway on them, HTTP/1.1 and HTTP/2, until told to stop.
//!
//! - [`listener`]: a TCP or a Unix socket, and the one connection it gives
//!
//! The number of connections is limited. Any further one gets an error and is closed, so that a client that opens many
//! cannot use up the process's file descriptors, which the daemon shares with its embedded emulator.

pub(crate) mod listener;

use crate::error::ApiError;
use crate::hooks::{Acceptor, Connection, Reset};
use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use http::header::{CONNECTION, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use hyper::body::Incoming;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use listener::{Accepted, Listener};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long to wait before accepting again when the system refuses, for example for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long a connection may say nothing at all, and how long its TLS handshake may take. hyper limits the time for the head
/// of a request to the same 30 s, but only once the first bytes are there.
const FIRST_BYTES_LIMIT: Duration = Duration::from_secs(30);

/// How many connections above the limit are told so at once. Further ones wait for their turn in the system's queue.
const TURNED_AWAY: usize = 16;

/// How long one of these may take for its request.
const TURN_AWAY_LIMIT: Duration = Duration::from_secs(5);

/// Largest number of bytes of HTTP/1.1 that are buffered for one connection: the head of a request must fit.
const MAX_HTTP1_BUFFER: usize = 64 * 1024;

/// Requests of one HTTP/2 connection at once. Each can hold a body in memory, and no client here sends more.
const MAX_HTTP2_STREAMS: u32 = 100;

/// How serving ends.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stop {
    /// Accept no more connections; open ones end after their current request.
    pub(crate) soon: CancellationToken,
    /// What is still open is closed, whatever it is doing.
    pub(crate) now: CancellationToken,
}

/// What serves connections.
pub(crate) struct Server {
    pub(crate) router: Router,
    pub(crate) acceptor: Option<Arc<dyn Acceptor>>,
    pub(crate) max_connections: usize,
    pub(crate) stop: Stop,
    /// Each connection is a task of it.
    pub(crate) tracker: TaskTracker,
}

impl Server {
    /// Accepts until told to stop.
    pub(crate) async fn serve(self, listener: Listener) {
        let places = Arc::new(Semaphore::new(self.max_connections));
        let anterooms = Arc::new(Semaphore::new(TURNED_AWAY));
        let turning_away = turning_away(self.max_connections);
        loop {
            let accepted = tokio::select! {
                () = self.stop.soon.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            let connection = match accepted {
                Ok(connection) => connection,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            if let Ok(place) = Arc::clone(&places).try_acquire_owned() {
                self.spawn(connection, self.router.clone(), None, place);
                continue;
            }
            let room = tokio::select! {
                () = self.stop.soon.cancelled() => return,
                room = Arc::clone(&anterooms).acquire_owned() => room,
            };
            if let Ok(room) = room {
                self.spawn(connection, turning_away.clone(), Some(TURN_AWAY_LIMIT), room);
            }
        }
    }

    /// Serves one connection in its own task. `place` is free again at its end, unless it has become a WebSocket: then the
    /// place goes with the connection.
    fn spawn(&self, stream: Accepted, router: Router, limit: Option<Duration>, place: OwnedSemaphorePermit) {
        let (acceptor, stop) = (self.acceptor.clone(), self.stop.clone());
        self.tracker.spawn(async move {
            let place = Arc::new(place);
            let served = connection(stream, router, acceptor, &stop.soon, Arc::clone(&place));
            let served = async {
                match limit {
                    // It has been told, or does not ask.
                    Some(limit) => drop(timeout(limit, served).await),
                    None => served.await,
                }
            };
            tokio::select! {
                () = stop.now.cancelled() => {}
                () = served => {}
            }
        });
    }
}

/// A connection's share of the limit, for as long as anything holds it.
type Place = Arc<OwnedSemaphorePermit>;

/// What the gateway finds in a request's extensions, to hold on to if the connection becomes a WebSocket.
#[derive(Clone)]
pub(crate) struct Held(#[expect(dead_code, reason = "held for its drop")] Place);

/// Answers every request with the limit.
fn turning_away(limit: usize) -> Router {
    Router::new().fallback(move || async move {
        let message =
            format!("The emulator serves {limit} connections at once, and all are in use. Close some, or try again.");
        let refusal = ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_connections", message);
        let mut response: Response = refusal.into_response();
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        response
    })
}

async fn connection(
    stream: Accepted,
    router: Router,
    acceptor: Option<Arc<dyn Acceptor>>,
    stopping: &CancellationToken,
    place: Place,
) {
    let prepared = async {
        stream.has_bytes().await?;
        match (stream, acceptor) {
            (Accepted::Tcp(stream), Some(acceptor)) => acceptor.accept(stream).await,
            (Accepted::Tcp(stream), None) => Ok(Box::new(stream) as Box<dyn Connection>),
            #[cfg(unix)]
            (Accepted::Unix(stream), _) => Ok(Box::new(stream) as Box<dyn Connection>),
        }
    };
    let prepared = tokio::select! {
        () = stopping.cancelled() => return,
        prepared = timeout(FIRST_BYTES_LIMIT, prepared) => prepared,
    };
    match prepared {
        Ok(Ok(stream)) => speak(stream, router, stopping, place).await,
        Ok(Err(error)) => tracing::debug!(%error, "a handshake failed"),
        Err(_) => tracing::debug!("a connection said nothing"),
    }
}

async fn speak(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    stopping: &CancellationToken,
    place: Place,
) {
    let gateway = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: http::Request<Incoming>| {
        request.extensions_mut().insert(Held(Arc::clone(&place)));
        let answer = gateway.call(request);
        async move {
            let response: http::Response<Body> = match answer.await {
                Ok(response) => response,
                Err(never) => match never {},
            };
            if response.extensions().get::<Reset>().is_some() {
                return Err(io::Error::from(io::ErrorKind::ConnectionReset));
            }
            Ok(response)
        }
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).max_buf_size(MAX_HTTP1_BUFFER);
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(MAX_HTTP2_STREAMS);
    let mut connection = pin!(builder.serve_connection_with_upgrades(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopping.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}
