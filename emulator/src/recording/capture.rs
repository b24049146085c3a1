//! One exchange as it is kept: its answer in pieces, without keys, identities and tokens (pure). [`Seen`] is for programs
//! that have seen the exchange themselves.

use super::format::{Answer, Asked, Exchange, Head, Piece};
use super::markers::Values;
use super::request::{Known, partition};
use crate::isolation::Partition;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, Uri};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};

/// Headers of answers that clients and the gateway look at.
pub(super) const KEPT_HEADERS: [&str; 5] =
    ["content-type", "retry-after", "x-platform-server", "x-platform-error-source", "x-agent-invocation-id"];

/// An exchange that a client has seen.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The agent's name.
    pub agent: String,
    /// Whose request it was.
    pub user: Partition,
    /// The method.
    pub method: Method,
    /// The path as the agent's container sees it.
    pub uri: Uri,
    /// The request's body.
    pub body: Bytes,
    /// The session that answered.
    pub session: String,
    /// The response's id.
    pub response_id: Option<String>,
    /// The answer's status.
    pub status: u16,
    /// Its headers, in lower case.
    pub headers: BTreeMap<String, String>,
    /// Its body, and when each part came, in milliseconds.
    pub pieces: Vec<(u64, Bytes)>,
}

impl Seen {
    /// The exchange as a file with this head keeps it. The error says why it cannot be kept.
    pub fn exchange(&self, head: &Head) -> Result<Exchange, &'static str> {
        let known = Known::of(&self.method, &self.uri, &self.body, &HashMap::new());
        let mut headers = HeaderMap::new();
        if let Some(Ok(id)) = self.response_id.as_deref().map(HeaderValue::from_str) {
            headers.insert("x-agent-response-id", id);
        }
        let values = known.values(&self.session, &self.user, &headers, head.prompts);
        let partition = partition(&head.salt, &self.user);
        let text = std::str::from_utf8(&self.body).ok().filter(|text| head.prompts && !text.is_empty());
        let kept = self.headers.iter().filter(|(name, _)| KEPT_HEADERS.contains(&name.as_str()));
        let headers: BTreeMap<_, _> = kept.map(|(name, value)| (name.clone(), values.hide(value))).collect();
        let kind = headers.get("content-type").map_or("", String::as_str);
        let pieces = hidden(&self.pieces, kind, &values)?;
        Ok(Exchange {
            agent: self.agent.clone(),
            digest: known.digest(&head.salt, &self.agent, &partition),
            partition,
            response_id: None,
            request: Asked {
                method: known.method.to_string(),
                path: values.hide(&known.path),
                body: text.map(|text| values.hide(text)),
            },
            answer: Answer { status: self.status, headers, pieces },
        })
    }
}

/// The pieces that are kept of a body of this type.
pub(super) fn hidden(came: &[(u64, Bytes)], kind: &str, values: &Values) -> Result<Vec<Piece>, &'static str> {
    let is_stream = is_events(kind);
    let pieces = pieces(came, is_stream).into_iter();
    let pieces: Vec<_> =
        pieces.map(|piece| Piece { text: piece.text.map(|text| values.hide(&text)), ..piece }).collect();
    if is_stream && spells_out(&pieces, values) {
        return Err("its stream spells out a key, an identity or a token over several events");
    }
    Ok(pieces)
}

pub(super) fn is_events(kind: &str) -> bool {
    kind.starts_with("text/event-stream")
}

/// The pieces that are kept: each event of a stream with its time, everything else whole.
fn pieces(came: &[(u64, Bytes)], is_stream: bool) -> Vec<Piece> {
    let last = came.last().map_or(0, |(after, _)| *after);
    let mut whole = BytesMut::new();
    for (_, bytes) in came {
        whole.extend_from_slice(bytes);
    }
    let Ok(text) = std::str::from_utf8(&whole) else {
        return vec![Piece { after_ms: last, text: None, base64: Some(STANDARD.encode(&whole)) }];
    };
    let piece = |after_ms: u64, text: &str| Piece { after_ms, text: Some(text.to_owned()), base64: None };
    if !is_stream {
        return if text.is_empty() { Vec::new() } else { vec![piece(last, text)] };
    }
    let (mut pieces, mut end) = (Vec::new(), 0);
    let mut ends = came.iter().scan(0, |sum, (after, bytes)| {
        *sum += bytes.len();
        Some((*sum, *after))
    });
    let mut current = ends.next();
    for event in text.split_inclusive("\n\n") {
        end += event.len();
        while current.is_some_and(|(until, _)| until < end) {
            current = ends.next();
        }
        pieces.push(piece(current.map_or(last, |(_, after)| after), event));
    }
    pieces
}

/// Do the texts of a stream's events spell out one of the values when they are put together?
fn spells_out(pieces: &[Piece], values: &Values) -> bool {
    let delta = |piece: &Piece| {
        let data = piece.text.as_deref()?.lines().find_map(|line| line.strip_prefix("data:"))?;
        serde_json::from_str::<Value>(data).ok()?.get("delta")?.as_str().map(str::to_owned)
    };
    let spelled: String = pieces.iter().filter_map(delta).collect();
    values.hide(&spelled) != spelled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_the_time_at_which_it_was_complete() {
        let came = [(1, "event: a\nda"), (5, "ta: 1\n\nevent: b\n"), (9, "data: 2\n\n")];
        let came = came.map(|(after, text)| (after, Bytes::from_static(text.as_bytes())));
        let pieces = pieces(&came, true);
        let shown: Vec<_> = pieces.iter().map(|piece| (piece.after_ms, piece.text.as_deref().unwrap())).collect();
        assert_eq!(shown, [(5, "event: a\ndata: 1\n\n"), (9, "event: b\ndata: 2\n\n")]);
    }

    #[test]
    fn a_key_that_is_spelled_out_is_noticed() {
        let mut values = Values::default();
        values.put("user", Some("tenant-acme"));
        let event = |delta: &str| Piece {
            after_ms: 0,
            text: Some(format!("event: x\ndata: {{\"delta\": \"{delta}\"}}\n\n")),
            base64: None,
        };
        assert!(spells_out(&[event("you are ten"), event("ant-acme")], &values));
        assert!(!spells_out(&[event("you are "), event("nobody")], &values));
    }
}
