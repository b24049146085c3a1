//! A request's body. What is not taken is thrown away for a moment, so that a client in the middle of sending gets to read
//! why.

use super::super::LINGER;
use super::request::Refusal;
use crate::inbound::framing::MAX_FRAME_BYTES;
use crate::inbound::reader::Frame;
use crate::limits::input::{Progress, Room};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;

/// The most that memory is taken for ahead of what comes, in bytes: what a request announces need not be true.
const RESERVED_BYTES: usize = 64 * 1024;

/// Reads a body, whose memory is taken from `room`.
pub(crate) async fn read(mut body: Incoming, room: Room) -> Result<Frame, Refusal> {
    let read = collect(&mut body, room).await;
    if matches!(&read, Err(refusal) if refusal.is_of_size()) {
        discard(body).await;
    }
    read
}

/// Throws a body away for a moment, so that a client in the middle of sending gets to read why it was not taken.
pub(crate) async fn discard(mut body: Incoming) {
    let rest = async { while body.frame().await.is_some_and(|frame| frame.is_ok()) {} };
    let _ = tokio::time::timeout(LINGER, rest).await;
}

async fn collect(body: &mut Incoming, mut room: Room) -> Result<Frame, Refusal> {
    let announced = usize::try_from(hyper::body::Body::size_hint(body).lower()).unwrap_or(usize::MAX);
    let mut bytes = BytesMut::with_capacity(announced.min(RESERVED_BYTES));
    let mut progress = Progress::begin();
    loop {
        let frame = tokio::time::timeout_at(progress.deadline(bytes.len()), body.frame()).await;
        let data: Bytes = match frame.map_err(|_| Refusal::too_slow())? {
            None => return Ok(Frame { bytes: bytes.freeze(), room }),
            Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
            Some(Err(error)) => return Err(Refusal::cut_off(&error.to_string())),
        };
        if bytes.len() + data.len() > MAX_FRAME_BYTES {
            return Err(Refusal::too_long());
        }
        room.grow_to(bytes.len() + data.len()).map_err(|_| Refusal::no_room(&bytes))?;
        bytes.extend_from_slice(&data);
        progress.made();
    }
}
