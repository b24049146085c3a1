//! How messages are told apart on a stream: LSP's `Content-Length` headers, or one line of JSON each. Pure: the daemon and the
//! command line read their streams by it, each in its own way.

use crate::rpc::MAX_MESSAGE_BYTES;
use std::fmt;

/// Largest header line and header block, in bytes: what common HTTP servers take.
pub const MAX_HEADER_BYTES: usize = 8 * 1024;

/// How a request line of HTTP can begin. Only `POST` is served; the others are told so.
pub const HTTP_METHODS: [&[u8]; 8] =
    [b"POST ", b"GET ", b"HEAD ", b"OPTIONS ", b"PUT ", b"DELETE ", b"PATCH ", b"CONNECT "];

/// How one connection tells messages apart, for its whole life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// `Content-Length: N`, an empty line, N bytes. The documented default.
    Lsp,
    /// One line per message.
    Ndjson,
}

/// What the first bytes say.
#[derive(Debug, PartialEq, Eq)]
pub enum FirstBytes {
    /// They decide.
    Framing(Framing),
    /// An HTTP request.
    Http,
    /// They could still become one or the other.
    Undecided,
    /// They are neither.
    Unknown,
}

impl Framing {
    /// Decides from a connection's first bytes.
    pub fn of(first: &[u8]) -> FirstBytes {
        let first = first.trim_ascii_start();
        match first {
            [] => return FirstBytes::Undecided,
            [b'{' | b'[', ..] => return FirstBytes::Framing(Self::Ndjson),
            _ => {}
        }
        let mut undecided = false;
        for header in [b"content-length:".as_slice(), b"content-type:"] {
            let shared = header.len().min(first.len());
            let matches = header.iter().zip(first).all(|(wanted, given)| *wanted == given.to_ascii_lowercase());
            if matches && shared == header.len() {
                return FirstBytes::Framing(Self::Lsp);
            }
            undecided |= matches;
        }
        for method in HTTP_METHODS {
            if first.starts_with(method) {
                return FirstBytes::Http;
            }
            undecided |= method.starts_with(first);
        }
        if undecided { FirstBytes::Undecided } else { FirstBytes::Unknown }
    }

    /// Appends one message as it travels.
    pub fn encode(self, message: &[u8], bytes: &mut Vec<u8>) {
        match self {
            Self::Lsp => {
                bytes.extend_from_slice(format!("Content-Length: {}\r\n\r\n", message.len()).as_bytes());
                bytes.extend_from_slice(message);
            }
            Self::Ndjson => {
                bytes.extend_from_slice(message);
                bytes.push(b'\n');
            }
        }
    }
}

/// Why the headers of a message do not say how long it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderError {
    /// All of them are invalid lengths.
    NoLength,
    /// They give different lengths.
    DifferingLengths,
    /// The length is above [`MAX_MESSAGE_BYTES`].
    TooLong,
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoLength => {
                f.write_str("a message needs the header `Content-Length:` with its number of bytes, written in digits")
            }
            Self::DifferingLengths => f.write_str("the `Content-Length:` headers of a message differ"),
            Self::TooLong => write!(f, "a message must have at most {MAX_MESSAGE_BYTES} bytes"),
        }
    }
}

impl std::error::Error for HeaderError {}

/// The headers of one message, taken line by line.
#[derive(Debug, Default)]
pub struct Headers {
    length: Option<u64>,
}

impl Headers {
    /// Takes one line, with or without its end. Other headers, and lines that are not headers, do not affect the length.
    pub fn line(&mut self, line: &[u8]) -> Result<(), HeaderError> {
        let header = std::str::from_utf8(line).ok().and_then(|line| line.split_once(':'));
        let Some((_, value)) = header.filter(|(name, _)| name.trim().eq_ignore_ascii_case("content-length")) else {
            return Ok(());
        };
        let length = content_length(value).ok_or(HeaderError::NoLength)?;
        if self.length.replace(length).is_some_and(|earlier| earlier != length) {
            return Err(HeaderError::DifferingLengths);
        }
        Ok(())
    }

    /// The length of the message in bytes, once all lines were taken.
    pub fn length(self) -> Result<usize, HeaderError> {
        let length = self.length.ok_or(HeaderError::NoLength)?;
        usize::try_from(length).ok().filter(|length| *length <= MAX_MESSAGE_BYTES).ok_or(HeaderError::TooLong)
    }
}

/// A number of bytes: digits, without a sign. A longer number than 64 bits hold is the longest of these.
fn content_length(value: &str) -> Option<u64> {
    let digits = value.trim_ascii();
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn length(lines: &[&str]) -> Result<usize, HeaderError> {
        let mut headers = Headers::default();
        for line in lines {
            headers.line(line.as_bytes())?;
        }
        headers.length()
    }

    #[test]
    fn the_length_is_found_in_any_spelling_and_said_once() {
        for (lines, expected) in [
            (&["Content-Length: 2\r\n"][..], Ok(2)),
            (&["Content-Type: x", "content-length:007 "], Ok(7)),
            (&["Content-Length: 2", "CONTENT-LENGTH: 02"], Ok(2)),
            (&["Content-Length: 2", "Content-Length: 3"], Err(HeaderError::DifferingLengths)),
            (&["Content-Length: 18446744073709551617", "Content-Length: 2"], Err(HeaderError::DifferingLengths)),
            (&["Content-Length: 18446744073709551617"], Err(HeaderError::TooLong)),
            (&["Content-Length: +2"], Err(HeaderError::NoLength)),
            (&["Content-Length:"], Err(HeaderError::NoLength)),
            (&["Content"], Err(HeaderError::NoLength)),
            (&[], Err(HeaderError::NoLength)),
        ] {
            assert_eq!(length(lines), expected, "{lines:?}");
        }
    }

    #[test]
    fn the_first_bytes_decide_as_soon_as_they_can() {
        for (first, expected) in [
            ("", FirstBytes::Undecided),
            (" \r\n[", FirstBytes::Framing(Framing::Ndjson)),
            ("con", FirstBytes::Undecided),
            ("Content-Length:", FirstBytes::Framing(Framing::Lsp)),
            ("CONNECT ", FirstBytes::Http),
            ("POST /", FirstBytes::Http),
            ("hello", FirstBytes::Unknown),
        ] {
            assert_eq!(Framing::of(first.as_bytes()), expected, "{first:?}");
        }
    }
}
