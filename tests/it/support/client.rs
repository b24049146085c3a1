//! A client that notices what it was not asked to read.

use super::PATIENCE;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    Ndjson,
    Lsp,
}

impl Framing {
    /// One message as it travels.
    pub(crate) fn encode(self, message: &Value) -> Vec<u8> {
        match self {
            Self::Ndjson => format!("{message}\n").into_bytes(),
            Self::Lsp => {
                let text = message.to_string();
                format!("Content-Length: {}\r\n\r\n{text}", text.len()).into_bytes()
            }
        }
    }
}

pub(crate) struct Client {
    pub(crate) stream: UnixStream,
    framing: Framing,
    buffer: Vec<u8>,
    /// How much of it has no end of a line.
    searched: usize,
    next_id: u64,
}

impl Client {
    pub(crate) fn new(stream: UnixStream, framing: Framing) -> Self {
        Self { stream, framing, buffer: Vec::new(), searched: 0, next_id: 1 }
    }

    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    pub(crate) async fn send(&mut self, message: Value) {
        self.send_bytes(&self.framing.encode(&message)).await;
    }

    /// Sends a request and returns its id.
    pub(crate) async fn request(&mut self, method: &str, params: Value) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.send(json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})).await;
        id
    }

    /// Calls a method whose response comes next, and returns the whole response.
    pub(crate) async fn call(&mut self, method: &str, params: Value) -> Value {
        let id = self.request(method, params).await;
        let response = self.next().await;
        assert_eq!(response["id"], id, "{response}");
        response
    }

    /// The next message.
    pub(crate) async fn next(&mut self) -> Value {
        self.try_next().await.expect("the daemon closed the connection")
    }

    /// The next message; nothing when the daemon has closed the connection.
    pub(crate) async fn try_next(&mut self) -> Option<Value> {
        loop {
            if let Some(message) = self.take() {
                return Some(message);
            }
            self.buffer.reserve(64 * 1024);
            let read = tokio::time::timeout(PATIENCE, self.stream.read_buf(&mut self.buffer)).await;
            if read.expect("no message came").unwrap_or(0) == 0 {
                assert!(self.buffer.is_empty(), "half a message: {:?}", String::from_utf8_lossy(&self.buffer));
                return None;
            }
        }
    }

    /// The connection is closed, and nothing comes before that.
    pub(crate) async fn closed(mut self) {
        assert_eq!(self.try_next().await, None);
    }

    /// Leaves in good order: ends its input and fails when there is anything it has not read.
    pub(crate) async fn leave(mut self) {
        self.stream.shutdown().await.unwrap();
        self.closed().await;
    }

    fn take(&mut self) -> Option<Value> {
        let (start, end) = match self.framing {
            Framing::Ndjson => {
                let end = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n');
                let end = end.map(|end| self.searched + end + 1);
                self.searched = if end.is_some() { 0 } else { self.buffer.len() };
                (0, end?)
            }
            Framing::Lsp => {
                let start = self.buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n")? + 4;
                let headers = std::str::from_utf8(&self.buffer[..start]).unwrap();
                let length: usize = headers.trim().strip_prefix("Content-Length: ").unwrap().parse().unwrap();
                (start, start + length)
            }
        };
        if self.buffer.len() < end {
            return None;
        }
        let message = serde_json::from_slice(&self.buffer[start..end]).unwrap();
        self.buffer.drain(..end);
        Some(message)
    }
}
