//! Server-sent events as the agent server writes them: Python's JSON spacing, one chunk per event (contract 15.1).

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http::header;
use serde_json::Value;
use serde_json::ser::{Formatter, Serializer};
use std::convert::Infallible;
use std::io::{self, Write};
use std::time::Duration;

/// The content type of an event stream.
pub(super) const CONTENT_TYPE: &str = "text/event-stream; charset=utf-8";

/// Between what is sent of an answer and the end of its connection: every connection on the way has sent that much by then.
pub(super) const UNTIL_CUT: Duration = Duration::from_millis(50);

/// What is sent while nothing happens, so that proxies keep the connection. Not an event and not numbered.
const KEEP_ALIVE: &[u8] = b": keep-alive\n\n";

/// One event, encoded.
pub(super) fn frame(event: &str, data: &Value) -> Bytes {
    Bytes::from(format!("event: {event}\ndata: {}\n\n", python_json(data)))
}

/// JSON as Python's `json.dumps` writes it: a space after `,` and `:`, and nothing but ASCII.
pub(super) fn python_json(value: &Value) -> String {
    let mut bytes = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut bytes, PythonFormatter);
    // A `Value` has text keys only and a `Vec` takes any write, so this cannot fail.
    match serde::Serialize::serialize(value, &mut serializer) {
        Ok(()) => String::from_utf8(bytes).unwrap_or_default(),
        Err(_) => value.to_string(),
    }
}

/// An event stream's body, with keep-alive comments when `keep_alive` passes without an event.
pub(super) fn body(frames: impl Stream<Item = Bytes> + Send + 'static, keep_alive: Option<Duration>) -> Response {
    let frames = frames.boxed();
    let chunks = stream::unfold(frames, move |mut frames| async move {
        let chunk = match keep_alive {
            None => frames.next().await,
            Some(interval) => match tokio::time::timeout(interval, frames.next()).await {
                Ok(frame) => frame,
                Err(_) => Some(Bytes::from_static(KEEP_ALIVE)),
            },
        }?;
        Some((Ok::<_, Infallible>(chunk), frames))
    });
    let headers = [(header::CONTENT_TYPE, CONTENT_TYPE)];
    (headers, Body::from_stream(chunks)).into_response()
}

struct PythonFormatter;

impl Formatter for PythonFormatter {
    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }

    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        for character in fragment.chars() {
            if character.is_ascii() {
                write!(writer, "{character}")?;
                continue;
            }
            for unit in character.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn json_is_spaced_and_escaped_as_python_does() {
        for (value, text) in [
            (json!({"a": [1, 2], "b": {}}), r#"{"a": [1, 2], "b": {}}"#),
            (json!("é 😀 \" \n"), r#""\u00e9 \ud83d\ude00 \" \n""#),
            (json!([]), "[]"),
            (json!(null), "null"),
        ] {
            assert_eq!(python_json(&value), text);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_filled_with_comments() {
        let frames = stream::once(async {
            tokio::time::sleep(Duration::from_millis(2500)).await;
            frame("x", &json!({}))
        });
        let body = body(frames, Some(Duration::from_secs(1))).into_body();
        let bytes = axum::body::to_bytes(body, 1000).await.expect("a body");
        assert_eq!(bytes, ": keep-alive\n\n: keep-alive\n\nevent: x\ndata: {}\n\n".as_bytes());
    }
}
