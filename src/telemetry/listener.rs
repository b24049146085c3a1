//! Serves `/metrics` and `/healthz` on a port of this machine, to programs of this machine.
//!
//! A web page cannot read it: pages send `Origin`, and a name that was made to lead here (DNS rebinding) stands in `Host`.

use super::ReadGauges;
use super::prometheus;
use super::recorder::Recorder;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use http::header::{CONTENT_TYPE, HOST, ORIGIN};
use http::uri::Authority;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// How long to wait before the address is tried again: an earlier daemon may still have it.
const BIND_AGAIN: Duration = Duration::from_secs(1);
/// Connections at once. A scraper needs one.
const MAX_CONNECTIONS: usize = 8;
/// How long one connection may take from beginning to end: it carries one request.
const CONNECTION_LIMIT: Duration = Duration::from_secs(15);
/// The longest head of a request, in bytes.
const MAX_HEAD: usize = 16 * 1024;
const PROMETHEUS: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// Serves until telemetry is closed.
pub(super) async fn serve(
    address: SocketAddr,
    recorder: Arc<Recorder>,
    gauges: ReadGauges,
    closing: CancellationToken,
) {
    let serving = async {
        let listener = bound(address, &recorder).await;
        let mut connections = FuturesUnordered::new();
        loop {
            tokio::select! {
                accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                    Ok((stream, _)) => connections.push(converse(stream, &recorder, &gauges)),
                    // No descriptor is left, for example.
                    Err(_) => sleep(BIND_AGAIN).await,
                },
                Some(()) = connections.next() => {}
            }
        }
    };
    tokio::select! {
        () = serving => {}
        () = closing.cancelled() => {}
    }
}

async fn bound(address: SocketAddr, recorder: &Recorder) -> TcpListener {
    loop {
        match TcpListener::bind(address).await.and_then(|listener| Ok((listener.local_addr()?, listener))) {
            Ok((address, listener)) => {
                recorder.listens(Ok(address));
                return listener;
            }
            Err(error) => recorder.listens(Err(format!("cannot listen on {address}: {error}"))),
        }
        sleep(BIND_AGAIN).await;
    }
}

async fn converse(stream: TcpStream, recorder: &Recorder, gauges: &ReadGauges) {
    let connection = Builder::new()
        .timer(TokioTimer::new())
        .keep_alive(false)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service_fn(|request| answer(request, recorder, gauges)));
    // Neither a reader that leaves nor one that is slow needs to be heard of.
    let _ended = timeout(CONNECTION_LIMIT, connection).await;
}

async fn answer(
    request: Request<Incoming>,
    recorder: &Recorder,
    gauges: &ReadGauges,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let headers = request.headers();
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let (status, kind, text) = if headers.contains_key(ORIGIN) {
        (StatusCode::FORBIDDEN, TEXT, "requests of web pages are not served\n".to_owned())
    } else if !host.is_some_and(is_loopback) {
        (StatusCode::MISDIRECTED_REQUEST, TEXT, "Host must be localhost or a loopback address\n".to_owned())
    } else if !matches!(*request.method(), Method::GET | Method::HEAD) {
        (StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET is served\n".to_owned())
    } else {
        match request.uri().path() {
            "/healthz" => (StatusCode::OK, TEXT, "ok\n".to_owned()),
            "/metrics" => (StatusCode::OK, PROMETHEUS, prometheus::text(recorder, &gauges().await)),
            _ => (StatusCode::NOT_FOUND, TEXT, "there are /metrics and /healthz\n".to_owned()),
        }
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, kind);
    Ok(response)
}

/// Does the value of `Host` name this machine?
fn is_loopback(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let name = authority.host().trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}
