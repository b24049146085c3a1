//! The HTTP client of the credentials that speak HTTP themselves. It follows no redirects, because the requests carry
//! secrets, and reads only so much of an answer.

use azure_core::Error;
use azure_core::error::ErrorKind;
use azure_core::http::{AsyncRawResponse, HttpClient, Request};
use futures_util::StreamExt as _;
use std::time::Duration;

/// How long a connection to the token endpoint may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(20);

/// Longest answer of a token endpoint, in bytes, after decompression. A token has a few kilobytes.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;

#[derive(Debug)]
pub(super) struct TokenClient(reqwest::Client);

impl TokenClient {
    /// Sets up the client. Nothing is connected.
    pub(super) fn new() -> Result<Self, reqwest::Error> {
        crate::system::tls::use_ring();
        let builder = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
        builder.connect_timeout(CONNECT_LIMIT).build().map(Self)
    }
}

#[async_trait::async_trait]
impl HttpClient for TokenClient {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let (status, headers, body) = self.0.execute_request(request).await?.deconstruct();
        let mut left = MAX_ANSWER_BYTES;
        let bounded = body.map(move |piece| {
            let piece = piece?;
            match left.checked_sub(piece.len()) {
                Some(rest) => left = rest,
                None => return Err(too_long()),
            }
            Ok(piece)
        });
        Ok(AsyncRawResponse::new(status, headers, Box::pin(bounded)))
    }
}

fn too_long() -> Error {
    // Not an I/O error: those are tried again.
    let message = format!("the token endpoint's answer is longer than {MAX_ANSWER_BYTES} bytes");
    Error::with_message(ErrorKind::DataConversion, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use azure_core::http::{Method, Url};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn an_endless_answer_is_cut() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}/token", listener.local_addr().unwrap())).unwrap();
        let sent = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&sent);
        let serving = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.read(&mut [0; 4096]).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            while let Ok(written) = stream.write(&[b'x'; 16 * 1024]).await {
                counted.fetch_add(written, Ordering::Relaxed);
            }
        });
        let client = TokenClient::new().unwrap();
        let answer = client.execute_request(&Request::new(url, Method::Get)).await.unwrap();
        let error = answer.into_body().collect().await.unwrap_err();
        assert!(error.to_string().contains("longer than 1048576 bytes"), "{error}");
        serving.await.unwrap();
        // What the system's own buffers took is beside the point.
        assert!(sent.load(Ordering::Relaxed) < 32 * MAX_ANSWER_BYTES, "{sent:?}");
    }
}
