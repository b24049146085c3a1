//! `files/read` and `files/write`: the bytes of a session's files on the connection itself, in pieces of bounded size.
//!
//! For clients without a local file, and for bound connections: no file of this machine is involved.

use super::RemotePath;
use crate::Method;
use crate::id::SessionId;
use crate::notice::Notice;
use crate::observe::ProgressOptions;
use crate::reach::{Reach, Subject};
use crate::sessions::SessionParams;
use crate::text::shown_text;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::num::NonZeroU32;

/// Most bytes of one piece. As base64 a piece then takes 1.4 MB of a message, a small part of the longest one (16 MiB), so
/// that a few pieces at once take little memory; the largest file (50 MiB) takes 50 of them.
pub const MAX_PIECE_BYTES: usize = 1024 * 1024;

/// Longest text of one piece: base64 writes three bytes as four characters.
const MAX_PIECE_TEXT: usize = MAX_PIECE_BYTES.div_ceil(3) * 4;

shown_text! {
    /// The id of a file that is read or written over several calls. The daemon makes the id. It is valid only on the
    /// connection that opened the file.
    PieceId, field "readId or writeId",
    rule "must be an id that files/read or files/write answered with",
    |value| (1..=64).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'),
    schema { "pattern" = "^[A-Za-z0-9-]{1,64}$" }
}

/// Bytes of a file. They travel as base64 with the standard alphabet and padding. `Debug` shows how many there are.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Piece(pub Vec<u8>);

impl fmt::Debug for Piece {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "[{} bytes]", self.0.len())
    }
}

impl Serialize for Piece {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Piece {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl serde::de::Visitor<'_> for Text {
            type Value = Piece;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("content as base64 text")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Piece, E> {
                let too_long = || E::custom(format_args!("content must have at most {MAX_PIECE_BYTES} bytes"));
                if text.len() > MAX_PIECE_TEXT {
                    return Err(too_long());
                }
                // What was wrong where is left out: it would repeat a part of the file.
                let bytes = STANDARD.decode(text).map_err(|_| {
                    E::custom("content must be base64 with the standard alphabet (A-Z a-z 0-9 + /) and padding (=)")
                })?;
                if bytes.len() > MAX_PIECE_BYTES { Err(too_long()) } else { Ok(Piece(bytes)) }
            }
        }
        deserializer.deserialize_str(Text)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Piece {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Piece".into()
    }

    fn json_schema(_generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "contentEncoding": "base64",
            "maxLength": MAX_PIECE_TEXT,
            "description": "Bytes of a file, at most 1 MiB (1,048,576), as base64 with the standard alphabet and padding.",
        })
    }
}

/// Reads a piece of a file in the session's home. Nothing is written on this machine.
///
/// Without `keepOpen` each call asks the service for the file and skips what comes before `offset`. To read a whole file,
/// set `keepOpen`: as long as `isLast` is false, the answer has a `readId`, and a call with it gets the next piece of
/// the same download. All pieces are then of one version of the file. A reading that is kept open ends with its connection,
/// and when no piece is asked for within 60 s. At most 8 can be open per connection.
///
/// Over HTTP every request is its own connection: there `keepOpen` has no effect, and each piece is asked for by its offset.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Read;

impl Method for Read {
    const NAME: &'static str = "files/read";
    const REACH: Reach = Reach::Agent;
    type Params = ReadParams;
    type Response = ReadResponse;

    fn subject(params: &ReadParams) -> Subject<'_> {
        params.session.subject()
    }

    fn progress(params: &Self::Params) -> ProgressOptions {
        params.session.progress.clone()
    }
}

/// What to read.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "FileReadParams"))]
#[serde(rename_all = "camelCase")]
pub struct ReadParams {
    /// Which session.
    #[serde(flatten)]
    pub session: SessionParams,
    /// The file.
    pub path: RemotePath,
    /// The first byte to read, counted from 0. With `readId` it is where the last piece ended, and can be left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// How many bytes to read: at most 1 MiB, which is also the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<NonZeroU32>,
    /// Continues the read that returned this id, with the same session and path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_id: Option<PieceId>,
    /// Keep the file open for the next piece, if there is one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keep_open: bool,
}

/// A piece of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "FileReadResponse"))]
#[serde(rename_all = "camelCase")]
pub struct ReadResponse {
    /// The session.
    pub session_id: SessionId,
    /// The file.
    pub path: RemotePath,
    /// Where in the file the piece begins.
    pub offset: u64,
    /// The piece. It is shorter than asked for only at the end of the file.
    pub content: Piece,
    /// Does the file end with this piece?
    pub is_last: bool,
    /// How many bytes the file has, if the service says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_bytes: Option<u64>,
    /// Gets the next piece, if the file was kept open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_id: Option<PieceId>,
}

/// Writes a file in the session's home, in one piece or several. Nothing of this machine is read. An existing file is
/// replaced; the service creates missing directories.
///
/// Pieces are collected by the daemon, in their order, and the whole file is sent to the service with the last one: the
/// service never sees a part of it. A file of one piece (1 MiB) is one call with `isLast`. For a longer one, up to 50 MiB,
/// send the first piece without `writeId`, and the others with the `writeId` of the answer. What
/// was collected is thrown away when the connection ends, when no piece comes within 60 s, or when a call with the
/// `writeId` is cancelled or fails. At most 8 files can be written at once per connection.
///
/// Over HTTP every request is its own connection, so there a file is written in one piece.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Write;

impl Method for Write {
    const NAME: &'static str = "files/write";
    const REACH: Reach = Reach::Agent;
    type Params = WriteParams;
    type Response = WriteResponse;

    fn subject(params: &WriteParams) -> Subject<'_> {
        params.session.subject()
    }

    fn progress(params: &Self::Params) -> ProgressOptions {
        params.session.progress.clone()
    }
}

/// What to write.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "FileWriteParams"))]
#[serde(rename_all = "camelCase")]
pub struct WriteParams {
    /// Which session.
    #[serde(flatten)]
    pub session: SessionParams,
    /// The file.
    pub path: RemotePath,
    /// The next piece.
    pub content: Piece,
    /// Is it the last piece? Only then is the file sent to the service.
    pub is_last: bool,
    /// Continues the write that returned this id, with the same session and path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write_id: Option<PieceId>,
    /// Where in the file the piece begins. Pieces must arrive in order: any number other than the bytes
    /// so far is refused, and the writing can continue with the right piece.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
}

/// What was written, or collected so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "FileWriteResponse"))]
#[serde(rename_all = "camelCase")]
pub struct WriteResponse {
    /// The session.
    pub session_id: SessionId,
    /// The file.
    pub path: RemotePath,
    /// The bytes of all pieces so far.
    pub bytes: u64,
    /// Is the file in the session's home now?
    pub is_written: bool,
    /// Adds the next piece, as long as the file is not written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write_id: Option<PieceId>,
    /// What the caller should know about what was written, for example that the session will not keep it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<Notice>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(text: &str) -> Result<Piece, String> {
        serde_json::from_value(serde_json::json!(text)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_piece_is_strict_base64_of_bounded_length_and_is_not_printed() {
        assert_eq!(piece("aGVsbG8=").unwrap().0, b"hello");
        assert_eq!(piece("").unwrap().0, b"");
        assert_eq!(serde_json::to_string(&Piece(b"hello".to_vec())).unwrap(), r#""aGVsbG8=""#);
        for garbage in ["aGVsbG8", "aGVsbG8=\n", "aGVs bG8=", "_-8=", "====", "ä", "aGVsbG9=x"] {
            let error = piece(garbage).unwrap_err();
            assert!(error.contains("must be base64") && !error.contains(garbage), "{garbage:?}: {error}");
        }
        assert_eq!(format!("{:?}", piece("aGVsbG8=").unwrap()), "[5 bytes]");
        let longest = STANDARD.encode(vec![0; MAX_PIECE_BYTES]);
        assert_eq!(piece(&longest).unwrap().0.len(), MAX_PIECE_BYTES);
        assert!(piece(&STANDARD.encode(vec![0; MAX_PIECE_BYTES + 1])).unwrap_err().contains("at most 1048576 bytes"));
    }

    #[test]
    fn whether_a_piece_is_the_last_must_be_said() {
        let text = r#"{"target":{"kind":"emulator"},"path":"a","content":""}"#;
        let error = serde_json::from_str::<WriteParams>(text).unwrap_err().to_string();
        assert!(error.contains("isLast"), "{error}");
    }
}
