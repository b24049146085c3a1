//! HTTP without TLS, to emulators and local agents: the same hyper that reqwest stands on, used directly. Only so can the
//! informational answers (1xx) of a peer be counted, which hyper otherwise skips for as long as they come. Over TLS, that is
//! to the service, the call's time limit is the only bound on them.

use super::timing::{CONNECT_LIMIT, IDLE_CONNECTION, IDLE_CONNECTIONS, TCP_KEEPALIVE};
use http::header::HOST;
use http::uri::{Authority, Parts, Scheme};
use http::{HeaderValue, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::error::Error;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio_util::sync::CancellationToken;

/// Most informational answers to one request. A server that says every second that it is still processing takes more than the
/// half hour that a turn may take by default.
const MAX_INFORMATIONAL: usize = 2000;

/// The peer answers, but only informationally.
#[derive(Debug, thiserror::Error)]
#[error("more than {MAX_INFORMATIONAL} informational answers (1xx) came, and no other")]
struct OnlyInformational;

/// A pool of connections.
pub(super) struct PlainClient {
    client: Client<HttpConnector, reqwest::Body>,
    resolve: Vec<(String, SocketAddr)>,
}

/// A request that got no answer.
pub(super) struct PlainError {
    /// There was no connection.
    pub(super) is_connect: bool,
    pub(super) error: Box<dyn Error + Send + Sync>,
}

impl PlainClient {
    /// `resolve` has fixed addresses for host names.
    pub(super) fn new(resolve: &[(String, SocketAddr)]) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_LIMIT));
        connector.set_nodelay(true);
        connector.set_keepalive(Some(TCP_KEEPALIVE));
        let mut builder = Client::builder(TokioExecutor::new());
        builder.timer(TokioTimer::new()).pool_timer(TokioTimer::new());
        builder.pool_idle_timeout(IDLE_CONNECTION).pool_max_idle_per_host(IDLE_CONNECTIONS);
        Self { client: builder.build(connector), resolve: resolve.to_vec() }
    }

    pub(super) async fn execute(&self, request: reqwest::Request) -> Result<reqwest::Response, PlainError> {
        let odd = |error: Box<dyn Error + Send + Sync>| PlainError { is_connect: false, error };
        let mut request = http::Request::<reqwest::Body>::try_from(request).map_err(|error| odd(error.into()))?;
        self.redirect(&mut request).map_err(|error| odd(error.into()))?;
        let too_many = CancellationToken::new();
        let (count, flooded) = (AtomicUsize::new(0), too_many.clone());
        hyper::ext::on_informational(&mut request, move |_| {
            if count.fetch_add(1, Ordering::Relaxed) >= MAX_INFORMATIONAL {
                flooded.cancel();
            }
        });
        tokio::select! {
            answer = self.client.request(request) => match answer {
                Ok(answer) => Ok(answer.map(reqwest::Body::wrap).into()),
                Err(error) => Err(PlainError { is_connect: error.is_connect(), error: error.into() }),
            },
            // Dropping the request closes its connection.
            () = too_many.cancelled() => Err(odd(OnlyInformational.into())),
        }
    }

    /// Leads a request to the fixed address of its host, if it has one.
    fn redirect(&self, request: &mut http::Request<reqwest::Body>) -> Result<(), http::Error> {
        let Some(named) = request.uri().authority().cloned() else { return Ok(()) };
        let Some((_, address)) = self.resolve.iter().find(|(host, _)| host.eq_ignore_ascii_case(named.host())) else {
            return Ok(());
        };
        let address = SocketAddr::new(address.ip(), named.port_u16().unwrap_or_else(|| address.port()));
        let mut parts: Parts = request.uri().clone().into_parts();
        parts.scheme = Some(Scheme::HTTP);
        parts.authority = Some(Authority::try_from(address.to_string())?);
        *request.uri_mut() = Uri::from_parts(parts)?;
        request.headers_mut().insert(HOST, HeaderValue::from_str(named.as_str())?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::sync::{Barrier, mpsc};

    #[test]
    fn a_host_with_a_fixed_address_is_reached_there_under_its_own_name() {
        let address: SocketAddr = "127.0.0.1:9".parse().unwrap();
        let client = PlainClient::new(&[("Agent.test".to_owned(), address)]);
        for (url, uri, host) in [
            ("http://agent.test/a?b=c", "http://127.0.0.1:9/a?b=c", Some("agent.test")),
            ("http://agent.test:81/", "http://127.0.0.1:81/", Some("agent.test:81")),
            ("http://other.test/a", "http://other.test/a", None),
        ] {
            let mut request = http::Request::builder().uri(url).body(reqwest::Body::from("")).unwrap();
            client.redirect(&mut request).unwrap();
            assert_eq!(request.uri().to_string(), uri);
            assert_eq!(request.headers().get(HOST).map(|value| value.to_str().unwrap()), host);
        }
    }
    #[tokio::test]
    async fn after_many_requests_at_once_only_some_connections_are_kept() {
        const REQUESTS: usize = IDLE_CONNECTIONS + 5;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (all_came, (closed, mut closing)) = (Arc::new(Barrier::new(REQUESTS)), mpsc::channel(REQUESTS));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (all_came, closed) = (Arc::clone(&all_came), closed.clone());
                tokio::spawn(async move {
                    let mut head = [0; 1024];
                    assert!(stream.read(&mut head).await.unwrap() > 0);
                    // So each has a connection of its own.
                    all_came.wait().await;
                    stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
                    assert_eq!(stream.read(&mut head).await.unwrap_or_default(), 0, "it is used again");
                    closed.send(()).await.unwrap();
                });
            }
        });
        let client = PlainClient::new(&[]);
        let asked = (0..REQUESTS).map(|_| async {
            let url = format!("http://{address}/").parse().unwrap();
            let answer = client.execute(reqwest::Request::new(reqwest::Method::GET, url)).await;
            assert!(answer.is_ok_and(|answer| answer.status() == 204));
        });
        futures_util::future::join_all(asked).await;
        for _ in IDLE_CONNECTIONS..REQUESTS {
            let closed = tokio::time::timeout(CONNECT_LIMIT, closing.recv()).await;
            closed.expect("an unused connection beyond the others is closed").unwrap();
        }
        assert!(closing.try_recv().is_err(), "the others are kept");
    }
}
