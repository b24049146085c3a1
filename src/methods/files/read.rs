//! `files/read`: a piece of a file, out of a download that may be kept open for the next piece.

use super::super::named_session::NamedSession;
use super::of;
use crate::error::CallError;
use crate::foundry::MAX_DOWNLOAD_BYTES;
use crate::pieces::{Place, Reading, Work};
use crate::rpc::Call;
use bytes::{Buf as _, Bytes};
use cupola_protocol::count::counted;
use cupola_protocol::files::RemotePath;
use cupola_protocol::files::pieces::{MAX_PIECE_BYTES, Piece, ReadParams, ReadResponse};

pub(crate) async fn read(call: Call, params: ReadParams) -> Result<ReadResponse, CallError> {
    let length = params.length.map_or(MAX_PIECE_BYTES, |length| usize::try_from(length.get()).unwrap_or(usize::MAX));
    if length > MAX_PIECE_BYTES {
        return Err(CallError::invalid_params(format!("length must be at most {MAX_PIECE_BYTES} bytes"))
            .hint("read the file in several pieces, with keepOpen"));
    }
    tokio::select! {
        () = call.cancelled.cancelled() => Err(CallError::cancelled()),
        piece = piece(&call, params, length) => piece,
    }
}

async fn piece(call: &Call, params: ReadParams, length: usize) -> Result<ReadResponse, CallError> {
    let ReadParams { session, path, offset, read_id, keep_open, .. } = params;
    let named = NamedSession::resolve_own(call, &session).await?;
    let of = of(call, &named, &path);
    let (mut place, mut reading) = match &read_id {
        None => (None, begin(&named, &path, offset.unwrap_or_default()).await?),
        Some(id) => match call.daemon.pieces.take(id, &of)? {
            (place, Work::Reading(reading)) => (Some(place), reading),
            (place, work @ Work::Writing(_)) => {
                place.keep(work, call.left.clone());
                return Err(CallError::invalid_params("readId is the id of a writing"));
            }
        },
    };
    if offset.is_some_and(|offset| offset != reading.position) {
        let position = reading.position;
        keep(call, place, reading);
        return Err(CallError::invalid_params(format!("with this readId the next piece begins at {position}"))
            .hint("leave offset out, or read without readId"));
    }
    let wants_place = keep_open && !call.is_one_shot();
    if wants_place && place.is_none() {
        place = Some(call.daemon.pieces.begin(of)?);
    }
    let at = reading.position;
    let mut content = Vec::new();
    while content.len() < length && fill(&mut reading, &named).await? {
        let taken = reading.left.split_to(reading.left.len().min(length - content.len()));
        content.extend_from_slice(&taken);
    }
    reading.position = at + content.len() as u64;
    let total_bytes = reading.download.length;
    let is_last = total_bytes.is_none_or(|total| total <= reading.position) && !fill(&mut reading, &named).await?;
    let place = place.filter(|_| wants_place && !is_last);
    let read_id = place.map(|place| place.keep(Work::Reading(reading), call.left.clone()));
    Ok(ReadResponse {
        session_id: named.session,
        path,
        offset: at,
        content: Piece(content),
        is_last,
        total_bytes,
        read_id,
    })
}

/// Asks for the file and goes to where the piece begins.
async fn begin(named: &NamedSession, path: &RemotePath, offset: u64) -> Result<Box<Reading>, CallError> {
    let download = named.scope.agent.download_file(&named.scope.wire, &named.session, path, MAX_DOWNLOAD_BYTES).await;
    let download = download.map_err(|error| named.explain(error, false))?;
    let past_the_end = |length: u64| {
        let size = counted(length, "byte");
        CallError::invalid_params(format!("offset {offset} is past the end of the file, which has {size}"))
    };
    if let Some(length) = download.length.filter(|length| *length < offset) {
        return Err(past_the_end(length));
    }
    let mut reading = Box::new(Reading { download, left: Bytes::new(), position: 0 });
    while reading.position < offset {
        if !fill(&mut reading, named).await? {
            return Err(past_the_end(reading.position));
        }
        let skipped = (offset - reading.position).min(reading.left.len() as u64);
        reading.left.advance(usize::try_from(skipped).unwrap_or(usize::MAX));
        reading.position += skipped;
    }
    Ok(reading)
}

/// Waits for bytes, if none are left. False at the end of the file.
async fn fill(reading: &mut Reading, named: &NamedSession) -> Result<bool, CallError> {
    while reading.left.is_empty() {
        match reading.download.next().await.map_err(|error| named.explain(error, false))? {
            None => return Ok(false),
            Some(bytes) => reading.left = bytes,
        }
    }
    Ok(true)
}

/// Puts a reading back as it was.
fn keep(call: &Call, place: Option<Place>, reading: Box<Reading>) {
    if let Some(place) = place {
        place.keep(Work::Reading(reading), call.left.clone());
    }
}
