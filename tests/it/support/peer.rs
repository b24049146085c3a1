//! A peer that answers HTTP with whatever bytes the test likes, for as long as it likes.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What one request is answered with.
pub(crate) struct Bytes {
    /// Sent first.
    pub(crate) first: String,
    /// Sent repeatedly until the other side has had enough; the connection closes at once when this is empty.
    pub(crate) then: String,
}

impl Bytes {
    /// A JSON answer.
    pub(crate) fn json(body: &serde_json::Value) -> Self {
        let body = body.to_string();
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close";
        Self { first: format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()), then: String::new() }
    }

    /// An answer that continues until the connection closes.
    pub(crate) fn endless(content_type: &str, piece: &str) -> Self {
        let first = format!("HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\n\r\n");
        Self { first, then: piece.repeat(16 * 1024 / piece.len()) }
    }
}

pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    /// Bytes the other side, or the system in between, took.
    sent: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<String>>>,
    serving: JoinHandle<()>,
}

impl Peer {
    /// `answer` gets the head of a request, and how many came before it.
    pub(crate) async fn start(answer: impl Fn(&str, usize) -> Bytes + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sent, requests) = (Arc::<AtomicUsize>::default(), Arc::<Mutex<Vec<String>>>::default());
        let (counted, seen, answer) = (Arc::clone(&sent), Arc::clone(&requests), Arc::new(answer));
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (counted, seen, answer) = (Arc::clone(&counted), Arc::clone(&seen), Arc::clone(&answer));
                tokio::spawn(async move {
                    let answer = |head: &str| {
                        let mut seen = seen.lock().unwrap();
                        seen.push(head.to_owned());
                        answer(head, seen.len() - 1)
                    };
                    // The other side leaves when it has had enough.
                    let _left = serve(stream, &counted, answer).await;
                });
            }
        });
        Self { address, sent, requests, serving }
    }

    pub(crate) fn sent(&self) -> usize {
        self.sent.load(Ordering::Relaxed)
    }

    pub(crate) fn requests(&self) -> usize {
        self.requests.lock().unwrap().len()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(mut stream: TcpStream, sent: &AtomicUsize, answer: impl Fn(&str) -> Bytes) -> std::io::Result<()> {
    let (mut head, mut buffer) = (Vec::new(), [0; 4096]);
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        head.extend_from_slice(&buffer[..read]);
    }
    let Bytes { first, then } = answer(&String::from_utf8_lossy(&head));
    stream.write_all(first.as_bytes()).await?;
    sent.fetch_add(first.len(), Ordering::Relaxed);
    while !then.is_empty() {
        stream.write_all(then.as_bytes()).await?;
        sent.fetch_add(then.len(), Ordering::Relaxed);
    }
    // What was asked but not read would reset the connection before the answer is there.
    stream.shutdown().await?;
    while stream.read(&mut buffer).await? > 0 {}
    Ok(())
}
