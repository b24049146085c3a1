//! Messages on a blocking stream: LSP's `Content-Length` headers, or one line of JSON each.

use cupola_protocol::framing::{FirstBytes, Framing, Headers, MAX_HEADER_BYTES};
use cupola_protocol::rpc::MAX_MESSAGE_BYTES;
use std::io::{self, BufRead, Read, Write};

/// Longest line, in bytes: a message and its end.
const MAX_LINE_BYTES: usize = MAX_MESSAGE_BYTES + 2;

/// The framing of a stream, from its first bytes. Nothing when the stream ends without any.
pub(crate) fn detect(reader: &mut impl BufRead) -> io::Result<Option<Framing>> {
    loop {
        let buffer = reader.fill_buf()?;
        let blank = buffer.len() - buffer.trim_ascii_start().len();
        if buffer.is_empty() {
            return Ok(None);
        }
        match Framing::of(buffer) {
            FirstBytes::Framing(framing) => return Ok(Some(framing)),
            FirstBytes::Undecided if blank == buffer.len() => reader.consume(blank),
            // A header that came in pieces: it is read with the others.
            FirstBytes::Undecided if matches!(buffer.get(blank), Some(b'c' | b'C')) => return Ok(Some(Framing::Lsp)),
            FirstBytes::Undecided | FirstBytes::Http | FirstBytes::Unknown => {
                return Err(invalid(
                    "the first bytes must be `Content-Length:` (LSP framing) or JSON (one message per line)",
                ));
            }
        }
    }
}

/// Reads the next message into `message`, without what frames it. False when the stream has ended.
pub(crate) fn read(framing: Framing, reader: &mut impl BufRead, message: &mut Vec<u8>) -> io::Result<bool> {
    message.clear();
    match framing {
        Framing::Ndjson => read_line(reader, message),
        Framing::Lsp => read_body(reader, message),
    }
}

/// Writes one message with what frames it, and flushes.
pub(crate) fn write(framing: Framing, mut writer: impl Write, message: &[u8]) -> io::Result<()> {
    let mut framed = Vec::with_capacity(message.len() + 32);
    framing.encode(message, &mut framed);
    writer.write_all(&framed)?;
    writer.flush()
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
    let (mut headers, mut has_begun) = (Headers::default(), false);
    let mut line = Vec::new();
    loop {
        line.clear();
        if bounded(reader, MAX_HEADER_BYTES, &mut line)? == 0 {
            return if has_begun { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(false) };
        }
        match (line.trim_ascii().is_empty(), has_begun) {
            // Blank lines ahead of the headers.
            (true, false) => {}
            (true, true) => break,
            (false, _) => {
                has_begun = true;
                headers.line(&line).map_err(invalid)?;
            }
        }
    }
    let length = headers.length().map_err(invalid)? as u64;
    if reader.take(length).read_to_end(message)? as u64 != length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(true)
}

/// One line, its end included. An error when there is no end within the bound; a last line may lack it.
fn bounded(reader: &mut impl BufRead, limit: usize, line: &mut Vec<u8>) -> io::Result<usize> {
    let read = reader.take(limit as u64).read_until(b'\n', line)?;
    if read == limit && line.last() != Some(&b'\n') {
        return Err(invalid(format!("a line must have at most {limit} bytes")));
    }
    Ok(read)
}

fn invalid(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(bytes: &[u8]) -> io::Result<Vec<String>> {
        let mut reader = bytes;
        let Some(framing) = detect(&mut reader)? else { return Ok(Vec::new()) };
        let (mut all, mut message) = (Vec::new(), Vec::new());
        while read(framing, &mut reader, &mut message)? {
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
            write(framing, &mut bytes, b"{\"a\":\"\xc3\xa4\"}").unwrap();
            write(framing, &mut bytes, b"[]").unwrap();
            assert_eq!(messages(&bytes).unwrap(), ["{\"a\":\"ä\"}", "[]"], "{framing:?}");
        }
    }
}
