//! The read half of a connection: which framing it speaks, then one frame after the other.

use crate::inbound::framing::{Decoder, FrameError};
use crate::inbound::listener::{ReadHalf, end_input, peer_is_gone};
use crate::limits::input::{Progress, Room, STALL_TIME};
use bytes::{Bytes, BytesMut};
use cupola_protocol::framing::{FirstBytes, Framing, MAX_HEADER_BYTES};
use futures_util::FutureExt;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, timeout, timeout_at};

/// How long the bytes that decide the framing may take, from the first of them on.
pub(crate) const FIRST_LINE_TIME: Duration = Duration::from_secs(5);
/// How long a new connection may say nothing at all. A person at `nc -U` types more slowly than [`FIRST_LINE_TIME`].
pub(crate) const SILENCE_TIME: Duration = Duration::from_mins(5);
/// Room for a usual message, so that it is read with one system call.
const READ_BYTES: usize = 8 * 1024;
/// A buffer above this many bytes is given back once it is empty.
const KEPT_BUFFER_BYTES: usize = 64 * 1024;
/// How much of a refused message is looked at for its id: every client writes the id before the parameters.
const REFUSED_START_BYTES: usize = 4 * 1024;

/// Reads frames. Cancel-safe: what has been read stays in the buffer.
#[derive(Debug)]
pub(crate) struct FrameReader {
    half: ReadHalf,
    buffer: BytesMut,
    decoder: Decoder,
    /// What the message that has begun takes of the memory for input.
    room: Room,
    /// The time of the message that has begun, if one has.
    progress: Option<Progress>,
}

/// One message as it came.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) bytes: Bytes,
    /// What it takes of the memory for input, until its call is answered.
    pub(crate) room: Room,
}

/// What the first bytes turned out to be.
pub(crate) enum Sniffed {
    Framing(Framing),
    Http,
    /// The client left without a word, or never said one.
    Nothing,
    Unknown(FrameError),
}

impl FrameReader {
    pub(crate) fn new(half: ReadHalf, room: Room) -> Self {
        Self { half, buffer: BytesMut::new(), decoder: Decoder::new(Framing::Ndjson), room, progress: None }
    }

    /// Reads until the first bytes decide the framing. Nothing is taken off the buffer.
    pub(crate) async fn sniff(&mut self) -> Sniffed {
        if self.buffer.is_empty() && !matches!(timeout(SILENCE_TIME, self.read()).await, Ok(Ok(count)) if count > 0) {
            return Sniffed::Nothing;
        }
        let deadline = Instant::now() + FIRST_LINE_TIME;
        loop {
            match Framing::of(&self.buffer) {
                FirstBytes::Framing(framing) => {
                    self.decoder = Decoder::new(framing);
                    return Sniffed::Framing(framing);
                }
                FirstBytes::Http => return Sniffed::Http,
                FirstBytes::Unknown => return Sniffed::Unknown(FrameError::UnknownFraming),
                FirstBytes::Undecided if self.buffer.len() > MAX_HEADER_BYTES => {
                    return Sniffed::Unknown(FrameError::HeadersTooLong);
                }
                FirstBytes::Undecided => {}
            }
            match timeout_at(deadline, self.read()).await {
                Err(_) => return Sniffed::Unknown(FrameError::FirstLineTooSlow(FIRST_LINE_TIME)),
                Ok(Ok(0)) if self.buffer.trim_ascii().is_empty() => return Sniffed::Nothing,
                Ok(Ok(0)) => return Sniffed::Unknown(FrameError::UnknownFraming),
                Ok(Ok(_)) => {}
                Ok(Err(_)) => return Sniffed::Nothing,
            }
        }
    }

    /// The half and what has been read of it already.
    pub(crate) fn into_parts(self) -> (ReadHalf, BytesMut) {
        (self.half, self.buffer)
    }

    /// The next frame; nothing when the client has finished sending. After [`FrameError::NoRoom`] there can be more.
    pub(crate) async fn next(&mut self) -> Result<Option<Frame>, FrameError> {
        loop {
            if let Some(bytes) = self.decoder.next(&mut self.buffer)? {
                return Ok(Some(self.whole(bytes)));
            }
            if self.buffer.is_empty() && !self.decoder.is_within() {
                self.progress = None;
            } else if self.room.grow_to(self.buffer.len()).is_err() {
                self.room.take();
                return Err(FrameError::NoRoom(self.decoder.skip(&mut self.buffer, REFUSED_START_BYTES)));
            } else {
                self.progress.get_or_insert_with(Progress::begin);
            }
            let read = match self.progress.map(|progress| progress.deadline(self.buffer.len())) {
                None => self.read().await?,
                Some(deadline) => {
                    timeout_at(deadline, self.read()).await.map_err(|_| FrameError::TooSlow(STALL_TIME))??
                }
            };
            if read == 0 {
                let last = self.decoder.last(&mut self.buffer)?;
                return Ok(last.map(|bytes| self.whole(bytes)));
            }
            if let Some(progress) = &mut self.progress {
                progress.made();
            }
        }
    }

    /// Ends the input. What was sent before can still be read; sending more fails on the other side.
    pub(crate) fn end_input(&self) {
        end_input(&self.half);
    }

    /// The next whole frame of an input that was ended; nothing when only a part of one is left, or none.
    pub(crate) async fn rest(&mut self) -> Option<Frame> {
        loop {
            if let Some(bytes) = self.decoder.next(&mut self.buffer).ok()? {
                return Some(self.whole(bytes));
            }
            self.room.grow_to(self.buffer.len()).ok()?;
            let read = self.read();
            // Where the input cannot be ended there may be more to come, which is not waited for.
            let read = if cfg!(unix) { read.await } else { read.now_or_never()? };
            if !read.is_ok_and(|count| count > 0) {
                return None;
            }
        }
    }

    fn whole(&mut self, bytes: Bytes) -> Frame {
        self.progress = None;
        Frame { bytes, room: self.room.take() }
    }

    /// Has the client begun a message that is not whole yet?
    pub(crate) fn is_within(&self) -> bool {
        !self.buffer.is_empty() || self.decoder.is_within()
    }

    async fn read(&mut self) -> std::io::Result<usize> {
        if self.buffer.is_empty() && self.buffer.capacity() > KEPT_BUFFER_BYTES {
            self.buffer = BytesMut::new();
        }
        self.buffer.reserve(READ_BYTES);
        self.half.read_buf(&mut self.buffer).await
    }

    /// Reads and forgets for a while, or until the input ends.
    pub(crate) async fn discard(&mut self, time: Duration) {
        self.buffer = BytesMut::new();
        let _ = timeout(time, tokio::io::copy(&mut self.half, &mut tokio::io::sink())).await;
    }

    /// Asked after the input has ended: has the reader of the answers gone, too?
    pub(crate) fn peer_is_gone(&self) -> bool {
        peer_is_gone(&self.half)
    }
}
