//! Accepts connections over TLS, and serves HTTP/1.1 or HTTP/2 on them until the gateway ends. A WebSocket needs HTTP/1.1: over HTTP/2 it
//! is refused like any request that is not served.

use super::connection::{Connection, Gateway};
use super::files::Sent;
use super::routes;
use super::tls;
use crate::daemon::Daemon;
use crate::inbound::server::wait_for_the_rest;
use crate::lifetime::shutdown::{self, StopSignal};
use crate::limits::places::{MAX_CONNECTIONS, Place};
use crate::rpc::calls::CANCEL_GRACE;
use crate::rpc::client::Ends;
use cupola_protocol::framing::MAX_HEADER_BYTES;
use http_body_util::BodyExt as _;
use hyper::server::conn::http1::Builder;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;

/// How long a connection may take to agree on TLS.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// How long a request's head may take, and how long a connection is kept for the next one.
const HEAD_LIMIT: Duration = Duration::from_secs(30);
/// How long accepting rests after it failed, for example because no file descriptor was left.
const ACCEPT_REST: Duration = Duration::from_millis(100);
/// How long a client that takes nothing has to read why.
const STALLED_REST: Duration = Duration::from_secs(10);
/// Requests at once on one connection of HTTP/2. A client with more of them waits, or opens another connection.
const MAX_STREAMS: u32 = 64;
/// Longest head of a request over HTTP/2, in bytes: as much as over HTTP/1.1. A token has up to 16 KiB.
const MAX_HEADER_LIST: u32 = 32 * 1024;
/// Streams that a client has opened and reset at once before its connection is closed. Each costs work that nobody waits for
/// (CVE-2023-44487), and no client that is used by people resets many within a moment.
const MAX_RESETS: usize = 32;
/// Streams that break the rules of HTTP/2 before their connection is closed. The gateway resets each, which costs the client nothing
/// (CVE-2025-8671), and no client that works has any.
const MAX_BROKEN: usize = 32;
/// What waits to be sent on one stream, in bytes. A client that reads gets more at once than its window.
const MAX_SEND_BUFFER: usize = 64 * 1024;

/// Serves until the gateway is asked to end, and then until everything that was begun has ended. Meanwhile new connections still get
/// an answer, which says that it is stopping.
pub async fn run(gateway: Arc<Gateway>, listener: TcpListener, asked: mpsc::Receiver<StopSignal>) {
    let daemon = Arc::clone(&gateway.daemon);
    let serving = async {
        tokio::select! {
            () = accept(&gateway, &listener) => {}
            () = async {
                daemon.shutdown.draining().await;
                wait_for_the_rest(&daemon).await;
            } => {}
        }
    };
    tokio::select! {
        () = serving => {}
        () = shutdown::obey(asked, &daemon.shutdown) => {}
        () = daemon.runs.forget_in_time() => {}
        () = daemon.journal.take_out_in_time() => {}
    }
}

/// Never returns.
async fn accept(gateway: &Arc<Gateway>, listener: &TcpListener) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        // The semaphore is never closed.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let gateway = Arc::clone(gateway);
                let open = gateway.daemon.activity.connection();
                let tasks = gateway.daemon.tasks.clone();
                tasks.spawn(async move {
                    serve(gateway, stream).await;
                    drop((place, open));
                });
            }
            Err(error) => {
                tracing::warn!(%error, "accepting a connection failed");
                tokio::time::sleep(ACCEPT_REST).await;
            }
        }
    }
}

async fn serve(gateway: Arc<Gateway>, stream: TcpStream) {
    // An answer is one write, which must not wait for another.
    let _ = stream.set_nodelay(true);
    let Some(config) = gateway.tls.clone() else { return converse(gateway, stream, None).await };
    match tokio::time::timeout(HANDSHAKE_LIMIT, TlsAcceptor::from(config).accept(stream)).await {
        Ok(Ok(stream)) => {
            let agreed = stream.get_ref().1;
            let certificate = agreed.peer_certificates().and_then(<[_]>::first).and_then(tls::name_in);
            if agreed.alpn_protocol() == Some(tls::HTTP_2) {
                converse_by_streams(gateway, stream, certificate).await;
            } else {
                converse(gateway, stream, certificate).await;
            }
        }
        Ok(Err(error)) => tracing::debug!(%error, "TLS could not be agreed on"),
        Err(_) => tracing::debug!("TLS was not agreed on in time"),
    }
}

async fn converse<Stream>(gateway: Arc<Gateway>, stream: Stream, certificate: Option<String>)
where
    Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let number = next_number();
    let (daemon, ends) = (Arc::clone(&gateway.daemon), Ends::default());
    let connection = Connection { gateway, number, ends: ends.clone(), place: Place::uncounted(), certificate };
    let connection = Arc::new(connection);
    // Who comes to a gateway that is stopping gets one answer, which says so.
    let is_late = daemon.shutdown.is_draining();
    let mut serving = pin!(
        Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_LIMIT)
            .keep_alive(!is_late)
            .max_buf_size(4 * MAX_HEADER_BYTES)
            .serve_connection(
                TokioIo::new(stream),
                service_fn(move |request| routes::answer(Arc::clone(&connection), request))
            )
            .with_upgrades()
    );
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = daemon.shutdown.draining(), if !is_late => {
            serving.as_mut().graceful_shutdown();
            tokio::select! {
                ended = serving.as_mut() => ended,
                () = forced(&daemon) => return,
            }
        }
        () = forced(&daemon), if is_late => return,
        () = stalled(&ends) => return,
    };
    if let Err(error) = ended {
        tracing::debug!(conn = number, %error, "closed");
    }
}

/// HTTP/2. Each request is a stream, with its own end: one that nobody reads does not end the others.
async fn converse_by_streams<Stream>(gateway: Arc<Gateway>, stream: Stream, certificate: Option<String>)
where
    Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (number, daemon, traffic) = (next_number(), Arc::clone(&gateway.daemon), Arc::new(Traffic::default()));
    let service = {
        let traffic = Arc::clone(&traffic);
        service_fn(move |request| {
            let connection = Connection {
                gateway: Arc::clone(&gateway),
                number,
                ends: Ends::default(),
                place: Place::uncounted(),
                certificate: certificate.clone(),
            };
            let under_way = Traffic::begin(&traffic);
            async move {
                let answer = routes::answer(Arc::new(connection), request).await?;
                // Under way until its body is sent, or dropped.
                let body = |body: Sent| body.map_frame(move |frame| (&under_way, frame).1).boxed_unsync();
                Ok::<_, Infallible>(answer.map(body))
            }
        })
    };
    let mut serving = pin!(
        http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(MAX_HEADER_LIST)
            .max_pending_accept_reset_streams(MAX_RESETS)
            .max_local_error_reset_streams(MAX_BROKEN)
            .max_send_buf_size(MAX_SEND_BUFFER)
            .keep_alive_interval(HEAD_LIMIT)
            .keep_alive_timeout(HANDSHAKE_LIMIT)
            .serve_connection(TokioIo::new(stream), service)
    );
    // Who comes to a gateway that is stopping gets one answer, which says so.
    let is_late = daemon.shutdown.is_draining();
    let leaving = async {
        if is_late {
            return traffic.served().await;
        }
        tokio::select! {
            () = daemon.shutdown.draining() => {}
            () = traffic.idle() => {}
        }
    };
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = leaving => {
            serving.as_mut().graceful_shutdown();
            tokio::select! {
                ended = serving.as_mut() => ended,
                () = forced(&daemon) => return,
            }
        }
        () = forced(&daemon) => return,
    };
    if let Err(error) = ended {
        tracing::debug!(conn = number, %error, "closed");
    }
}

/// The requests of one connection.
#[derive(Debug, Default)]
struct Traffic {
    under_way: AtomicUsize,
    /// Notified each time one begins or ends.
    changed: Notify,
}

/// One of them.
struct UnderWay(Arc<Traffic>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
        self.0.changed.notify_one();
    }
}

impl Traffic {
    fn begin(traffic: &Arc<Self>) -> UnderWay {
        traffic.under_way.fetch_add(1, Ordering::Relaxed);
        traffic.changed.notify_one();
        UnderWay(Arc::clone(traffic))
    }

    /// Returns once no request has begun or ended for [`HEAD_LIMIT`], and none is under way.
    async fn idle(&self) {
        loop {
            let is_over = tokio::time::timeout(HEAD_LIMIT, self.changed.notified()).await.is_err();
            if is_over && self.under_way.load(Ordering::Relaxed) == 0 {
                return;
            }
        }
    }

    /// Returns once a request has come, or after [`HEAD_LIMIT`].
    async fn served(&self) {
        let _ = tokio::time::timeout(HEAD_LIMIT, self.changed.notified()).await;
    }
}

/// The number of the next connection.
fn next_number() -> u64 {
    static CONNECTIONS: AtomicU64 = AtomicU64::new(1);
    CONNECTIONS.fetch_add(1, Ordering::Relaxed)
}

/// Returns when the gateway's end is forced and cancelled calls have had their time.
async fn forced(daemon: &Daemon) {
    daemon.shutdown.forced().await;
    tokio::time::sleep(CANCEL_GRACE).await;
}

async fn stalled(ends: &Ends) {
    ends.stalled().await;
    tokio::time::sleep(STALLED_REST).await;
}
