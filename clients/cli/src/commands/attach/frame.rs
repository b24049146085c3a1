//! Messages on a blocking stream: LSP's `Content-Length` headers, or one line of JSON each.

use cupola_protocol::rpc::MAX_MESSAGE_BYTES;
use std::io::{self, BufRead, Read, Write};

/// Longest line, in bytes: a message and its end.
const MAX_LINE_BYTES: u64 = MAX_MESSAGE_BYTES as u64 + 2;
/// Longest header line, in bytes.
const MAX_HEADER_BYTES: u64 = 8 * 1024;

/// How messages are told apart on a stream, for its whole life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    Lsp,
    Ndjson,
}

impl Framing {
    /// By the daemon's own rule: what the first byte that is no blank says. Nothing when the stream ends without one.
    pub(super) fn detect(reader: &mut impl BufRead) -> io::Result<Option<Self>> {
        loop {
            let buffer = reader.fill_buf()?;
            let Some(first) = buffer.first() else { return Ok(None) };
            match first {
                b'{' | b'[' => return Ok(Some(Self::Ndjson)),
                b'c' | b'C' => return Ok(Some(Self::Lsp)),
                blank if blank.is_ascii_whitespace() => reader.consume(1),
                _ => {
                    return Err(invalid(
                        "the first bytes must be `Content-Length:` (LSP framing) or JSON (one message per line)",
                    ));
                }
            }
        }
    }

    /// Reads the next message into `message`, without what frames it. False when the stream has ended.
    pub(super) fn read(self, reader: &mut impl BufRead, message: &mut Vec<u8>) -> io::Result<bool> {
        message.clear();
        match self {
            Self::Ndjson => read_line(reader, message),
            Self::Lsp => read_body(reader, message),
        }
    }

    /// Writes one message with what frames it, and flushes.
    pub(super) fn write(self, mut writer: impl Write, message: &[u8]) -> io::Result<()> {
        let framed = match self {
            Self::Lsp => [format!("Content-Length: {}\r\n\r\n", message.len()).as_bytes(), message].concat(),
            Self::Ndjson => [message, b"\n"].concat(),
        };
        writer.write_all(&framed)?;
        writer.flush()
    }
}

fn read_line(reader: &mut impl BufRead, message: &mut Vec<u8>) -> io::Result<bool> {
    loop {
        message.clear();
        if bounded(reader, MAX_LINE_BYTES, message)? == 0 {
            return Ok(false);
        }
        message.truncate(message.trim_ascii_end().len());
        if !message.trim_ascii_start().is_empty() {
            return Ok(true);
        }
    }
}

fn read_body(reader: &mut impl BufRead, message: &mut Vec<u8>) -> io::Result<bool> {
    let mut length = None;
    let mut header = Vec::new();
    loop {
        header.clear();
        if bounded(reader, MAX_HEADER_BYTES, &mut header)? == 0 {
            return if length.is_none() { Ok(false) } else { Err(io::Error::from(io::ErrorKind::UnexpectedEof)) };
        }
        let line = header.trim_ascii();
        match (line.is_empty(), length) {
            // Blank lines ahead of the headers belong to nobody.
            (true, None) => continue,
            (true, Some(_)) => break,
            (false, _) => {}
        }
        let (name, value) = std::str::from_utf8(line)
            .ok()
            .and_then(|line| line.split_once(':'))
            .ok_or_else(|| invalid("a message must begin with `Content-Length: BYTES`"))?;
        if name.trim().eq_ignore_ascii_case("content-length") {
            let digits = value.trim_ascii();
            let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            if !is_number {
                return Err(invalid("Content-Length must be a number of bytes, written in digits"));
            }
            let bytes = digits.parse().unwrap_or(u64::MAX);
            if length.replace(bytes).is_some_and(|earlier| earlier != bytes) {
                return Err(invalid("the Content-Length headers of a message differ"));
            }
        }
    }
    let length = length.filter(|length| *length <= MAX_MESSAGE_BYTES as u64);
    let length = length.ok_or_else(|| invalid(&format!("a message must have at most {MAX_MESSAGE_BYTES} bytes")))?;
    if reader.take(length).read_to_end(message)? as u64 != length {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
    }
    Ok(true)
}

/// One line, its end included. An error when there is no end within the bound; a last line may lack it.
fn bounded(reader: &mut impl BufRead, limit: u64, line: &mut Vec<u8>) -> io::Result<usize> {
    let read = reader.take(limit).read_until(b'\n', line)?;
    if read as u64 == limit && line.last() != Some(&b'\n') {
        return Err(invalid(&format!("a line must have at most {limit} bytes")));
    }
    Ok(read)
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(bytes: &[u8]) -> io::Result<Vec<String>> {
        let mut reader = bytes;
        let Some(framing) = Framing::detect(&mut reader)? else { return Ok(Vec::new()) };
        let (mut all, mut message) = (Vec::new(), Vec::new());
        while framing.read(&mut reader, &mut message)? {
            all.push(String::from_utf8_lossy(&message).into_owned());
        }
        Ok(all)
    }

    #[test]
    fn both_framings_are_followed_from_their_first_bytes() {
        for (bytes, expected) in [
            ("", vec![]),
            ("\n \n", vec![]),
            ("{\"id\":1}\n\n[{}]\r\n{}", vec!["{\"id\":1}", "[{}]", "{}"]),
            ("Content-Length: 2\r\n\r\n{}content-length:3\nContent-Type: x\n\n[ ]", vec!["{}", "[ ]"]),
            ("Content-Length: 2\r\ncontent-length: 02\r\n\r\n{}", vec!["{}"]),
            ("\r\nContent-Type: x\r\nContent-Length: 4\r\n\r\n{\n\n}", vec!["{\n\n}"]),
        ] {
            assert_eq!(messages(bytes.as_bytes()).unwrap(), expected, "{bytes:?}");
        }
    }

    #[test]
    fn what_cannot_be_followed_is_an_error() {
        for bytes in [
            "hello\n",
            "GET / HTTP/1.1\r\n\r\n",
            "Content-Length: x\r\n\r\n{}",
            "Content-Length: +2\r\n\r\n{}",
            "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{ }",
            "Content-Length: 99999999999\r\n\r\n",
            "Content-Length: 5\r\n\r\n{}",
            "Content-Length: 5\r\n",
            "Content\r\n\r\n{}",
        ] {
            assert!(messages(bytes.as_bytes()).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn what_is_written_can_be_read() {
        for framing in [Framing::Lsp, Framing::Ndjson] {
            let mut bytes = Vec::new();
            framing.write(&mut bytes, b"{\"a\":\"\xc3\xa4\"}").unwrap();
            framing.write(&mut bytes, b"[]").unwrap();
            assert_eq!(messages(&bytes).unwrap(), ["{\"a\":\"ä\"}", "[]"], "{framing:?}");
        }
    }
}
