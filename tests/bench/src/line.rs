//! A caller on the socket. Blocking, and in the hot places without parsing, so that it is lighter than what it measures.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_mins(5);
/// Bytes read at once: a few hundred events.
const BUFFER: usize = 64 * 1024;
/// How an answer begins, and one that is a result, as the daemon writes them.
const ANSWER: &[u8] = br#"{"jsonrpc":"2.0","id":"#;
const RESULT: &[u8] = br#"{"jsonrpc":"2.0","id":1,"result""#;

/// How messages are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// One line each.
    Lines,
    /// `Content-Length`, as language servers do.
    Lsp,
}

/// One connection, on which one call follows the other.
pub(crate) struct Line {
    reader: BufReader<UnixStream>,
    framing: Framing,
    message: Vec<u8>,
}

impl Line {
    /// Connects.
    pub(crate) fn connect(socket: &Path) -> Result<Self, String> {
        Self::framed(socket, Framing::Lines)
    }

    /// Connects, and speaks in this framing.
    pub(crate) fn framed(socket: &Path, framing: Framing) -> Result<Self, String> {
        let stream = UnixStream::connect(socket).map_err(|error| format!("{}: {error}", socket.display()))?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(|error| error.to_string())?;
        Ok(Self { reader: BufReader::with_capacity(BUFFER, stream), framing, message: Vec::new() })
    }

    /// A request as bytes, made before it is measured.
    pub(crate) fn request(framing: Framing, method: &str, params: &Value) -> Vec<u8> {
        let text = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
        match framing {
            Framing::Lines => format!("{text}\n").into_bytes(),
            Framing::Lsp => format!("Content-Length: {}\r\n\r\n{text}", text.len()).into_bytes(),
        }
    }

    /// Sends bytes.
    pub(crate) fn send(&mut self, request: &[u8]) -> Result<(), String> {
        self.reader.get_mut().write_all(request).map_err(|error| error.to_string())
    }

    /// Reads one message, unparsed.
    pub(crate) fn read(&mut self) -> Result<&[u8], String> {
        self.message.clear();
        let length = match self.framing {
            Framing::Lines => self.reader.read_until(b'\n', &mut self.message),
            Framing::Lsp => self.read_counted(),
        };
        match length.map_err(|error| error.to_string())? {
            0 => Err("the connection ended".to_owned()),
            _ => Ok(&self.message),
        }
    }

    fn read_counted(&mut self) -> std::io::Result<usize> {
        let mut length = 0;
        loop {
            self.message.clear();
            if self.reader.read_until(b'\n', &mut self.message)? == 0 {
                return Ok(0);
            }
            let line = self.message.trim_ascii();
            if line.is_empty() {
                break;
            }
            if let Some(number) = line.strip_prefix(b"Content-Length:") {
                length = std::str::from_utf8(number).ok().and_then(|text| text.trim().parse().ok()).unwrap_or_default();
            }
        }
        self.message.resize(length, 0);
        self.reader.read_exact(&mut self.message)?;
        Ok(length)
    }

    /// Out and back, without a look at the answer beyond that it is one.
    pub(crate) fn round_trip(&mut self, request: &[u8]) -> Result<(), String> {
        self.send(request)?;
        self.read().map(|_| ())
    }

    /// Reads to the answer, which must be a result. Gives how many notifications came before it.
    pub(crate) fn finish(&mut self) -> Result<usize, String> {
        let mut events = 0;
        loop {
            let message = self.read()?;
            if is_answer(message) {
                return checked(message).map(|()| events);
            }
            events += 1;
        }
    }

    /// A request that is answered with a result; what comes before the answer is counted.
    pub(crate) fn exchange(&mut self, request: &[u8]) -> Result<usize, String> {
        self.send(request)?;
        self.finish()
    }

    /// A call, and its result.
    pub(crate) fn call(&mut self, method: &str, params: &Value) -> Result<Value, String> {
        self.send(&Self::request(self.framing, method, params))?;
        loop {
            let message: Value = serde_json::from_slice(self.read()?).map_err(|error| error.to_string())?;
            if message["id"] == 1 {
                return match &message["result"] {
                    Value::Null => Err(message.to_string()),
                    result => Ok(result.clone()),
                };
            }
        }
    }
}

/// An answer, and no notification.
pub(crate) fn is_answer(message: &[u8]) -> bool {
    message.starts_with(ANSWER)
}

/// An answer that is a result.
pub(crate) fn checked(message: &[u8]) -> Result<(), String> {
    if message.starts_with(RESULT) {
        return Ok(());
    }
    Err(String::from_utf8_lossy(message.get(..600.min(message.len())).unwrap_or_default()).into_owned())
}

/// What an invoke asks for.
pub(crate) fn invoke(target: &Value, user: &str, input: &str, streams: bool) -> Value {
    let mut params = json!({"target": target, "isolation": {"userKey": user}, "input": input});
    if streams {
        params["partialResultToken"] = json!("t");
    }
    params
}
