//! `-o raw`: the unmodified HTTP response, as it arrives.

use super::Header;
use crate::failure::Failure;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::io::Write;

/// Between the answer that took a long-running invocation on and the one it had in the end, as azd prints them.
const SEPARATOR: &[u8] = b"\n---\n";

/// Writes one run's responses.
#[derive(Default)]
pub(crate) struct RawResponse {
    has_begun: bool,
    /// The last line has no end yet.
    is_in_line: bool,
}

/// An `httpHead` or `httpBody` event, and whatever else is of no interest here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Part<'line> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'line, str>,
    #[serde(default, borrow)]
    status_line: Option<Cow<'line, str>>,
    #[serde(default, borrow)]
    headers: Vec<Header<'line>>,
    #[serde(default, borrow)]
    text: Option<Cow<'line, str>>,
    #[serde(default, borrow)]
    base64: Option<Cow<'line, str>>,
}

impl RawResponse {
    /// Writes what an event brings of a response.
    pub(crate) fn event(&mut self, event: &RawValue, out: &mut impl Write) -> Result<(), Failure> {
        let Ok(part) = serde_json::from_str::<Part<'_>>(event.get()) else { return Ok(()) };
        match part.kind.as_ref() {
            "httpHead" => self.head(&part, out).map_err(Failure::writing),
            "httpBody" => {
                let decoded = part.base64.and_then(|base64| STANDARD.decode(base64.as_bytes()).ok());
                let bytes = part.text.as_deref().map(str::as_bytes).or(decoded.as_deref()).unwrap_or_default();
                self.is_in_line = bytes.last().map_or(self.is_in_line, |last| *last != b'\n');
                out.write_all(bytes).map_err(Failure::writing)
            }
            "gap" => Err(Failure::Output(std::io::Error::other(
                "this program read too slowly and lost part of the response",
            ))),
            _ => Ok(()),
        }
    }

    /// Ends the last line, so that the terminal's next output starts on a new line.
    pub(crate) fn end_line(&mut self, out: &mut impl Write) -> Result<(), Failure> {
        if std::mem::take(&mut self.is_in_line) { out.write_all(b"\n").map_err(Failure::writing) } else { Ok(()) }
    }

    fn head(&mut self, head: &Part<'_>, out: &mut impl Write) -> std::io::Result<()> {
        if std::mem::replace(&mut self.has_begun, true) {
            out.write_all(SEPARATOR)?;
        }
        writeln!(out, "{}", head.status_line.as_deref().unwrap_or_default())?;
        for Header { name, value } in &head.headers {
            writeln!(out, "{name}: {value}")?;
        }
        writeln!(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_are_written_byte_for_byte() {
        let head = |status: &str| {
            format!(r#"{{"type":"httpHead","statusLine":"{status}","headers":[{{"name":"a","value":"b"}}]}}"#)
        };
        let events = [
            r#"{"type":"started","isolationModel":"keys"}"#.to_owned(),
            head("HTTP/1.1 202 Accepted"),
            r#"{"type":"httpBody","text":"{\"a\": 1}"}"#.to_owned(),
            r#"{"type":"notice","code":"retried","message":"no"}"#.to_owned(),
            head("HTTP/1.1 200 OK"),
            r#"{"type":"httpBody","base64":"/wA="}"#.to_owned(),
        ];
        let (mut response, mut out) = (RawResponse::default(), Vec::new());
        for event in &events {
            response.event(serde_json::from_str(event).unwrap(), &mut out).unwrap();
        }
        let expected = b"HTTP/1.1 202 Accepted\na: b\n\n{\"a\": 1}\n---\nHTTP/1.1 200 OK\na: b\n\n\xff\x00";
        assert_eq!(out, expected);
        response.end_line(&mut out).unwrap();
        response.end_line(&mut out).unwrap();
        assert_eq!(out, [expected, &b"\n"[..]].concat());
    }
}
