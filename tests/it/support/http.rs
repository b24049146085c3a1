//! HTTP/1.1 on the socket, byte by byte.

use super::PATIENCE;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// One client's connection.
pub(crate) struct Http {
    pub(crate) stream: UnixStream,
    buffer: Vec<u8>,
}

/// An answer, its body put together.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The messages of an event stream.
    pub(crate) fn events(&self) -> Vec<Value> {
        assert!(self.head.contains("content-type: text/event-stream"), "{self:?}");
        let data = self.body.lines().filter_map(|line| line.strip_prefix("data: "));
        data.map(|data| serde_json::from_str(data).unwrap()).collect()
    }
}

/// A message as a request. More headers are lines, each with its end.
pub(crate) fn post(message: &Value, headers: &str) -> String {
    let body = message.to_string();
    format!(
        "POST / HTTP/1.1\r\nHost: cupola\r\nContent-Type: application/json\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

impl Http {
    pub(crate) fn new(stream: UnixStream) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Posts a message and reads its answer.
    pub(crate) async fn post(&mut self, message: &Value) -> Answer {
        self.send(post(message, "")).await;
        self.answer().await
    }

    /// Posts a message and reads all events until the stream's end.
    pub(crate) async fn stream(&mut self, message: &Value) -> Answer {
        self.send(post(message, "Accept: text/event-stream\r\n")).await;
        self.answer().await
    }

    /// The next answer, whole.
    pub(crate) async fn answer(&mut self) -> Answer {
        let head = self.until("\r\n\r\n").await.to_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut body = String::new();
        if head.contains("transfer-encoding: chunked") {
            loop {
                let size = self.until("\r\n").await;
                let size = usize::from_str_radix(size.trim(), 16).unwrap();
                body += &self.exactly(size).await;
                self.exactly(2).await;
                if size == 0 {
                    break;
                }
            }
        } else if let Some(length) = head.lines().find_map(|line| line.strip_prefix("content-length: ")) {
            body = self.exactly(length.parse().unwrap()).await;
        }
        Answer { status, head, body }
    }

    /// Reads on until these bytes have come.
    pub(crate) async fn until(&mut self, end: &str) -> String {
        loop {
            if let Some(at) = self.buffer.windows(end.len()).position(|bytes| bytes == end.as_bytes()) {
                return self.exactly(at + end.len()).await;
            }
            assert!(self.read().await, "closed: {:?}", String::from_utf8_lossy(&self.buffer));
        }
    }

    async fn exactly(&mut self, count: usize) -> String {
        while self.buffer.len() < count {
            assert!(self.read().await, "closed: {:?}", String::from_utf8_lossy(&self.buffer));
        }
        String::from_utf8(self.buffer.drain(..count).collect()).unwrap()
    }

    async fn read(&mut self) -> bool {
        let read = tokio::time::timeout(PATIENCE, self.stream.read_buf(&mut self.buffer)).await;
        read.expect("nothing came").unwrap_or(0) > 0
    }

    /// The daemon closes the connection and says nothing more.
    pub(crate) async fn closed(mut self) {
        while self.read().await {}
        assert_eq!(String::from_utf8_lossy(&self.buffer), "");
    }
}
