//! How messages are told apart: LSP's `Content-Length` headers, or one line of JSON each. Pure: bytes in, frames out.
//! (HTTP is told apart here as well, and read elsewhere.)

use bytes::{Buf, Bytes, BytesMut};

/// Largest message, in bytes. Prompts stay below by far, and a file travels by its path; four such messages at once still
/// fit a small machine.
pub const MAX_FRAME_BYTES: usize = 16 * 1024 * 1024;
/// Largest first line, and largest header block, in bytes: what common HTTP servers take.
pub const MAX_HEADER_BYTES: usize = 8 * 1024;

/// How a request line of HTTP can begin. Only `POST` is served; the others are told so.
const HTTP_METHODS: [&[u8]; 8] =
    [b"POST ", b"GET ", b"HEAD ", b"OPTIONS ", b"PUT ", b"DELETE ", b"PATCH ", b"CONNECT "];

/// How one connection tells messages apart, for its whole life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// `Content-Length: N`, an empty line, N bytes. The documented default.
    Lsp,
    /// One line per message.
    Ndjson,
}

/// Why bytes could not be followed; the connection ends.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The first bytes belong to no framing.
    #[error(
        "the first bytes must be `Content-Length:` (LSP framing), JSON (one message per line) or an HTTP/1.1 request"
    )]
    UnknownFraming,
    /// The first line did not come.
    #[error("the first line did not arrive within {0:?}")]
    FirstLineTooSlow(std::time::Duration),
    /// A first line or header block above the limit.
    #[error("the headers of a message must have at most {MAX_HEADER_BYTES} bytes")]
    HeadersTooLong,
    /// Headers that do not say how long the message is.
    #[error("a message needs the header `Content-Length:` with its number of bytes")]
    NoLength,
    /// A message above the limit.
    #[error("a message must have at most {MAX_FRAME_BYTES} bytes")]
    TooLong,
    /// A message that began and made no progress.
    #[error("a message began {0:?} ago or more and did not arrive as a whole; send each message at once")]
    TooSlow(std::time::Duration),
    /// No memory is left for the rest of a message. Its beginning is here and the rest is skipped, so the messages behind it
    /// can still be read.
    #[error("there is no memory for the rest of a message")]
    NoRoom(Bytes),
    /// The input ended within a message.
    #[error("the input ended in the middle of a message")]
    Incomplete,
    /// The stream broke.
    #[error(transparent)]
    Stream(#[from] std::io::Error),
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
    pub fn encode(self, message: &str, bytes: &mut Vec<u8>) {
        match self {
            Self::Lsp => {
                bytes.extend_from_slice(format!("Content-Length: {}\r\n\r\n", message.len()).as_bytes());
                bytes.extend_from_slice(message.as_bytes());
            }
            Self::Ndjson => {
                bytes.extend_from_slice(message.as_bytes());
                bytes.push(b'\n');
            }
        }
    }
}

/// Takes frames off the front of a buffer, remembering how far it has looked.
#[derive(Debug)]
pub struct Decoder {
    framing: Framing,
    /// Bytes known to hold no end of line or of headers.
    searched: usize,
    /// The length of the message whose headers have been read.
    length: Option<usize>,
    /// The rest of a message that is thrown away.
    skipped: Option<Rest>,
}

/// What is still to come of a message that is thrown away.
#[derive(Debug, Clone, Copy)]
enum Rest {
    /// This many bytes.
    Bytes(usize),
    /// Everything up to the end of the line, of which this many bytes were thrown away.
    Line(usize),
}

impl Decoder {
    /// For a connection of this framing.
    pub fn new(framing: Framing) -> Self {
        Self { framing, searched: 0, length: None, skipped: None }
    }

    /// The next whole message, or nothing until more bytes are there.
    pub fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<Bytes>, FrameError> {
        if !self.has_skipped(buffer)? {
            return Ok(None);
        }
        match self.framing {
            Framing::Ndjson => self.next_line(buffer),
            Framing::Lsp => self.next_body(buffer),
        }
    }

    /// Throws away the message that has begun in `buffer`, now and as it comes. Gives its first `most` bytes.
    pub fn skip(&mut self, buffer: &mut BytesMut, most: usize) -> Bytes {
        self.searched = 0;
        self.skipped = Some(match self.length.take() {
            Some(length) => Rest::Bytes(length),
            None => Rest::Line(0),
        });
        Bytes::copy_from_slice(buffer.get(..most.min(buffer.len())).unwrap_or_default())
    }

    /// Has a message begun that is not whole, if nothing of it is in the buffer?
    pub fn is_within(&self) -> bool {
        self.length.is_some() || self.skipped.is_some()
    }

    /// Throws away what there is of a message that is skipped; false while more of it is to come.
    fn has_skipped(&mut self, buffer: &mut BytesMut) -> Result<bool, FrameError> {
        let left = match self.skipped {
            None => return Ok(true),
            Some(Rest::Bytes(left)) => {
                let here = left.min(buffer.len());
                buffer.advance(here);
                (left > here).then_some(Rest::Bytes(left - here))
            }
            Some(Rest::Line(before)) => {
                let end = buffer.iter().position(|byte| *byte == b'\n');
                let here = end.map_or(buffer.len(), |end| end + 1);
                if before + here > MAX_FRAME_BYTES {
                    return Err(FrameError::TooLong);
                }
                buffer.advance(here);
                end.is_none().then_some(Rest::Line(before + here))
            }
        };
        self.skipped = left;
        Ok(left.is_none())
    }

    /// What is left when the input ends: a last line without its end, or part of a message.
    pub fn last(&mut self, buffer: &mut BytesMut) -> Result<Option<Bytes>, FrameError> {
        if buffer.trim_ascii().is_empty() && self.length.is_none() {
            return Ok(None);
        }
        match self.framing {
            // It has been answered already.
            _ if self.skipped.is_some() => Ok(None),
            Framing::Ndjson => {
                self.searched = 0;
                Ok(Some(buffer.split().freeze()))
            }
            Framing::Lsp => Err(FrameError::Incomplete),
        }
    }

    fn next_line(&mut self, buffer: &mut BytesMut) -> Result<Option<Bytes>, FrameError> {
        loop {
            let unsearched = buffer.get(self.searched..).unwrap_or_default();
            let Some(end) = unsearched.iter().position(|byte| *byte == b'\n') else {
                self.searched = buffer.len();
                return if self.searched > MAX_FRAME_BYTES { Err(FrameError::TooLong) } else { Ok(None) };
            };
            let line = buffer.split_to(self.searched + end + 1).freeze();
            self.searched = 0;
            if line.len() > MAX_FRAME_BYTES {
                return Err(FrameError::TooLong);
            }
            if !line.trim_ascii().is_empty() {
                return Ok(Some(line));
            }
        }
    }

    fn next_body(&mut self, buffer: &mut BytesMut) -> Result<Option<Bytes>, FrameError> {
        let length = match self.length {
            Some(length) => length,
            None => match self.next_headers(buffer)? {
                Some(length) => *self.length.insert(length),
                None => return Ok(None),
            },
        };
        if buffer.len() < length {
            return Ok(None);
        }
        self.length = None;
        Ok(Some(buffer.split_to(length).freeze()))
    }

    /// Reads header lines up to the empty one. Line ends may lack their CR, as some hand-written clients send them.
    fn next_headers(&mut self, buffer: &mut BytesMut) -> Result<Option<usize>, FrameError> {
        let blank = buffer.len() - buffer.trim_ascii_start().len();
        if self.searched == 0 {
            buffer.advance(blank);
        }
        let Some(end) = end_of_headers(buffer, self.searched) else {
            // The end may be half here: its last three bytes are looked at again.
            self.searched = buffer.len().saturating_sub(3);
            return if buffer.len() > MAX_HEADER_BYTES { Err(FrameError::HeadersTooLong) } else { Ok(None) };
        };
        self.searched = 0;
        let headers = buffer.split_to(end);
        if headers.len() > MAX_HEADER_BYTES {
            return Err(FrameError::HeadersTooLong);
        }
        let length = headers
            .as_ref()
            .split(|byte| *byte == b'\n')
            .filter_map(|line| std::str::from_utf8(line).ok()?.split_once(':'))
            .find(|(name, _)| name.trim().eq_ignore_ascii_case("content-length"))
            .and_then(|(_, value)| value.trim().parse::<u64>().ok())
            .ok_or(FrameError::NoLength)?;
        usize::try_from(length).ok().filter(|length| *length <= MAX_FRAME_BYTES).ok_or(FrameError::TooLong).map(Some)
    }
}

/// Where the body begins: behind the first empty line.
fn end_of_headers(bytes: &[u8], from: usize) -> Option<usize> {
    let searched = bytes.get(from..)?;
    (0..searched.len()).find_map(|start| match searched.get(start..)? {
        [b'\n', b'\n', ..] => Some(from + start + 2),
        [b'\n', b'\r', b'\n', ..] => Some(from + start + 3),
        _ => None,
    })
}

#[cfg(test)]
#[path = "../../fuzz/first_bytes.rs"]
mod fuzz_first_bytes;
#[cfg(test)]
#[path = "../../fuzz/framing.rs"]
mod fuzz_framing;
