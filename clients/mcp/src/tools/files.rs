//! `files_*`: the files in the home of a session.

use super::sessions::named;
use crate::call::{Call, Reply};
use crate::refusal::Refusal;
use crate::text::{self, MAX_TEXT, Text, UNTRUSTED};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cupola_protocol::files::pieces::{MAX_PIECE_BYTES, Read, Write};
use cupola_protocol::files::{Delete, List};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::str;

/// How many bytes of a file one call reads at most. As text they are within the bound of a result ([`MAX_TEXT`]).
const MAX_READ: u32 = 60_000;
/// How many entries of a directory a list has at most.
const MAX_ENTRIES: usize = 500;

/// Which directory.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ListArguments {
    /// The session; the current one when left out.
    #[serde(default)]
    session_id: Option<String>,
    /// The directory; the home when left out.
    #[serde(default)]
    path: Option<String>,
}

/// Which part of which file.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ReadArguments {
    /// The session; the current one when left out.
    #[serde(default)]
    session_id: Option<String>,
    /// The file.
    path: String,
    /// The first byte to read, counted from 0.
    #[serde(default)]
    offset: u64,
    /// How many bytes to read: 1 to 60,000, which is also the default.
    #[serde(default)]
    length: Option<u32>,
}

/// What to write where.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct WriteArguments {
    /// The session; the current one when left out.
    #[serde(default)]
    session_id: Option<String>,
    /// The file. Missing directories are created.
    path: String,
    /// The file's content as text, at most 1 MiB; either this or base64.
    #[serde(default)]
    text: Option<String>,
    /// The file's content as base64, at most 1 MiB of bytes.
    #[serde(default)]
    base64: Option<String>,
}

/// What to delete.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct DeleteArguments {
    /// The session. It must be named: nothing is deleted by what happens to be current.
    session_id: String,
    /// The file or directory.
    path: String,
    /// Delete a directory with everything in it, not only an empty one.
    #[serde(default)]
    recursive: bool,
}

/// A directory.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Listed {
    untrusted: &'static str,
    /// The directory; `.` is the home.
    path: String,
    entries: Vec<Entry>,
    /// Whether entries are missing because there are too many.
    has_more: bool,
}

/// A file or directory.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Entry {
    /// Its path in the home.
    path: String,
    is_directory: bool,
    /// Bytes.
    size: u64,
    /// When it was last changed, in Unix seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    modified_time: Option<i64>,
}

/// A piece of a file: `text` or `base64`.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Piece {
    untrusted: &'static str,
    session_id: String,
    path: String,
    /// The piece as text. Control characters are replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    /// The piece, if it is not text.
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
    /// Where the next piece begins, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_offset: Option<u64>,
    /// How many bytes the file has, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    total_bytes: Option<u64>,
}

/// The file that was written.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Written {
    session_id: String,
    path: String,
    /// Bytes.
    bytes: u64,
    /// What else there is to know.
    notices: Vec<String>,
}

/// What was deleted.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Deleted {
    session_id: String,
    path: String,
}

pub(crate) async fn list(mut call: Call) -> Result<Reply, Refusal> {
    let ListArguments { session_id, path } = call.arguments()?;
    let mut params = named(session_id);
    if let Some(path) = path {
        params["path"] = json!(path);
    }
    let listed = call.ask::<List>(params).await?;
    let entries: Vec<_> = listed.entries.iter().take(MAX_ENTRIES).map(Entry::of).collect();
    let has_more = listed.has_more || entries.len() < listed.entries.len();
    Reply::of(&Listed { untrusted: UNTRUSTED, path: text::line(&listed.path), entries, has_more })
}

pub(crate) async fn read(mut call: Call) -> Result<Reply, Refusal> {
    let ReadArguments { session_id, path, offset, length } = call.arguments()?;
    let length = length.unwrap_or(MAX_READ);
    if !(1..=MAX_READ).contains(&length) {
        return Err(Refusal::arguments(&format!("length must be 1 to {MAX_READ}")));
    }
    let mut params = named(session_id);
    params["path"] = json!(path);
    params["offset"] = json!(offset);
    params["length"] = json!(length);
    let piece = call.ask::<Read>(params).await?;
    let bytes = piece.content.0.as_slice();
    let (text, base64, used) = match as_text(bytes, piece.is_last) {
        Some(text) => (Some(Text::of(text, MAX_TEXT).text), None, text.len()),
        None => (None, Some(STANDARD.encode(bytes)), bytes.len()),
    };
    let next_offset = (!piece.is_last || used < bytes.len()).then(|| piece.offset + used as u64);
    Reply::of(&Piece {
        untrusted: UNTRUSTED,
        session_id: piece.session_id.to_string(),
        path: text::line(piece.path.as_str()),
        text,
        base64,
        next_offset,
        total_bytes: piece.total_bytes,
    })
}

pub(crate) async fn write(mut call: Call) -> Result<Reply, Refusal> {
    let WriteArguments { session_id, path, text, base64 } = call.arguments()?;
    let content = match (text, base64) {
        (Some(text), None) if text.len() <= MAX_PIECE_BYTES => STANDARD.encode(text),
        (Some(_), None) => return Err(Refusal::arguments(&format!("text must have at most {MAX_PIECE_BYTES} bytes"))),
        (None, Some(base64)) => base64,
        _ => return Err(Refusal::arguments("give either text or base64")),
    };
    let mut params = named(session_id);
    params["path"] = json!(path);
    params["content"] = json!(content);
    params["isLast"] = json!(true);
    let written = call.ask::<Write>(params).await?;
    Reply::of(&Written {
        session_id: written.session_id.to_string(),
        path: text::line(written.path.as_str()),
        bytes: written.bytes,
        notices: written.notices.iter().map(|notice| text::line(&notice.message)).collect(),
    })
}

pub(crate) async fn delete(mut call: Call) -> Result<Reply, Refusal> {
    let DeleteArguments { session_id, path, recursive } = call.arguments()?;
    let mut params = named(Some(session_id));
    params["path"] = json!(path);
    params["recursive"] = json!(recursive);
    let deleted = call.ask::<Delete>(params).await?;
    Reply::of(&Deleted { session_id: deleted.session_id.to_string(), path: text::line(deleted.path.as_str()) })
}

/// A piece as text, if it is text. A character that the piece cuts at its end belongs to the next piece.
pub(crate) fn as_text(bytes: &[u8], is_last: bool) -> Option<&str> {
    let text = match str::from_utf8(bytes) {
        Ok(text) => text,
        // No length of what is wrong: the end is missing.
        Err(error) if !is_last && error.error_len().is_none() && error.valid_up_to() > 0 => {
            str::from_utf8(&bytes[..error.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    (!text.contains('\0')).then_some(text)
}

impl Entry {
    fn of(entry: &cupola_protocol::files::Entry) -> Self {
        Self {
            path: text::line(&entry.path),
            is_directory: entry.is_directory,
            size: entry.size,
            modified_time: entry.modified_time,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_text_up_to_the_character_that_it_cuts() {
        let bytes = "aä€".as_bytes();
        for (length, is_last, expected) in [
            (6, true, Some("aä€")),
            (5, false, Some("aä")),
            (4, false, Some("aä")),
            (5, true, None),
            (2, false, Some("a")),
            (0, true, Some("")),
        ] {
            assert_eq!(as_text(&bytes[..length], is_last), expected, "{length} {is_last}");
        }
        assert_eq!(as_text(b"a\0b", true), None);
        assert_eq!(as_text(b"\xffa", false), None);
        // Without a single whole character the next piece would begin where this one did.
        assert_eq!(as_text(&"€".as_bytes()[..1], false), None);
    }
}
