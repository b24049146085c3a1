//! Accepts connections and serves the gateway on them, HTTP/1.1 and HTTP/2, until told to stop.

use crate::hooks::{Acceptor, Reset};
use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long to wait before accepting again when the system refuses, for example for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How serving ends.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stop {
    /// No further connection; those that are open end after their request in flight.
    pub(crate) soon: CancellationToken,
    /// What is still open is closed, whatever it is doing.
    pub(crate) now: CancellationToken,
}

/// Accepts until told to stop; each connection is a task of `tracker`.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    acceptor: Option<Arc<dyn Acceptor>>,
    stop: Stop,
    tracker: TaskTracker,
) {
    loop {
        let accepted = tokio::select! {
            () = stop.soon.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let (router, acceptor, stop) = (router.clone(), acceptor.clone(), stop.clone());
                tracker.spawn(async move {
                    tokio::select! {
                        () = stop.now.cancelled() => {}
                        () = connection(stream, router, acceptor, &stop.soon) => {}
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(
    stream: TcpStream,
    router: Router,
    acceptor: Option<Arc<dyn Acceptor>>,
    stopping: &CancellationToken,
) {
    // Events are small and must leave at once.
    let _ = stream.set_nodelay(true);
    let Some(acceptor) = acceptor else {
        return speak(stream, router, stopping).await;
    };
    let accepted = tokio::select! {
        () = stopping.cancelled() => return,
        accepted = acceptor.accept(stream) => accepted,
    };
    match accepted {
        Ok(stream) => speak(stream, router, stopping).await,
        Err(error) => tracing::debug!(%error, "a handshake failed"),
    }
}

async fn speak(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    stopping: &CancellationToken,
) {
    let gateway = TowerToHyperService::new(router);
    let service = service_fn(move |request: http::Request<Incoming>| {
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
    builder.http1().timer(TokioTimer::new());
    builder.http2().timer(TokioTimer::new());
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
