//! One exchange over its own TCP connection, and the answer as it came.

use serde_json::Value;
use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Longest wait for a byte; every answer here is made in memory.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Answer {
    /// The first header of this lower-case name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The JSON body; null for any other.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Server-sent events as name and data, or what is wrong with their form: senders want exactly one space after
    /// each colon.
    pub(crate) fn events(&self) -> Result<Vec<(String, Value)>, String> {
        let mut events = Vec::new();
        for frame in self.text().split_terminator("\n\n") {
            let wrong = || format!("a frame of another form: {frame:?}");
            let (name, data) = frame.split_once('\n').ok_or_else(wrong)?;
            let name = name.strip_prefix("event: ").ok_or_else(wrong)?;
            let data = data.strip_prefix("data: ").ok_or_else(wrong)?;
            events.push((name.to_owned(), serde_json::from_str(data).map_err(|_| wrong())?));
        }
        Ok(events)
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body: String = String::from_utf8_lossy(&self.body).chars().take(600).collect();
        write!(formatter, "{} {:?} {body}", self.status, self.headers)
    }
}

/// Sends the bytes and reads one answer; of one that does not end by itself, as much as has the `last` text in it.
pub(crate) async fn exchange(address: SocketAddr, bytes: Vec<u8>, last: Option<&'static str>) -> Answer {
    tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(&bytes).unwrap();
        read(BufReader::new(stream), last)
    })
    .await
    .unwrap()
}

fn read(mut reader: impl BufRead, last: Option<&str>) -> Answer {
    let line = |reader: &mut dyn BufRead| {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        line.trim_end_matches("\r\n").to_owned()
    };
    let status = line(&mut reader).split(' ').nth(1).unwrap().parse().unwrap();
    let mut headers = Vec::new();
    loop {
        let header = line(&mut reader);
        let Some((name, value)) = header.split_once(": ") else { break };
        headers.push((name.to_lowercase(), value.to_owned()));
    }
    let mut answer = Answer { status, headers, body: Vec::new() };
    if answer.header("transfer-encoding") == Some("chunked") {
        loop {
            let size = u64::from_str_radix(&line(&mut reader), 16).unwrap();
            reader.by_ref().take(size).read_to_end(&mut answer.body).unwrap();
            line(&mut reader);
            if size == 0 || last.is_some_and(|last| answer.text().contains(last)) {
                break;
            }
        }
    } else if let Some(length) = answer.header("content-length") {
        let length = length.parse().unwrap();
        reader.take(length).read_to_end(&mut answer.body).unwrap();
    }
    answer
}
