//! Accepts connections over TLS, and serves HTTP/1.1 on them until the gateway ends.

use super::connection::{Connection, Gateway};
use super::routes;
use super::tls;
use crate::daemon::Daemon;
use crate::inbound::server::wait_for_the_rest;
use crate::lifetime::shutdown::{self, StopSignal};
use crate::limits::places::{MAX_CONNECTIONS, Place};
use crate::rpc::calls::CANCEL_GRACE;
use crate::rpc::client::Ends;
use cupola_protocol::framing::MAX_HEADER_BYTES;
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;

/// How long a connection may take to agree on TLS.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// How long a request's head may take, and how long a connection is kept for the next one.
const HEAD_LIMIT: Duration = Duration::from_secs(30);
/// How long accepting rests after it failed, for example because no file descriptor was left.
const ACCEPT_REST: Duration = Duration::from_millis(100);
/// How long a client that takes nothing has to read why.
const STALLED_REST: Duration = Duration::from_secs(10);
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
            let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first).and_then(tls::name_in);
            converse(gateway, stream, certificate).await;
        }
        Ok(Err(error)) => tracing::debug!(%error, "TLS could not be agreed on"),
        Err(_) => tracing::debug!("TLS was not agreed on in time"),
    }
}

async fn converse<Stream>(gateway: Arc<Gateway>, stream: Stream, certificate: Option<String>)
where
    Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    static CONNECTIONS: AtomicU64 = AtomicU64::new(1);
    let number = CONNECTIONS.fetch_add(1, Ordering::Relaxed);
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

/// Returns when the gateway's end is forced and cancelled calls have had their time.
async fn forced(daemon: &Daemon) {
    daemon.shutdown.forced().await;
    tokio::time::sleep(CANCEL_GRACE).await;
}

async fn stalled(ends: &Ends) {
    ends.stalled().await;
    tokio::time::sleep(STALLED_REST).await;
}
