//! Splits the bytes of a body into the pieces that a protocol's mapping takes, and hands them to it. Pure; the bytes may be
//! cut anywhere.

use super::super::answer::MAX_ANSWER_BYTES;
use super::super::meter::Meter;
use super::super::sse;
use super::{BodyEnd, Mapping, ReplyItem, body_event};
use serde::de::IgnoredAny;
use std::borrow::Cow;
use std::collections::VecDeque;

/// What a body is split into.
#[derive(Debug)]
pub(in super::super) enum Split {
    /// Server-sent events. The meter counts them: each costs something, and none need carry anything.
    Events(sse::Parser, Meter),
    /// Server-sent events, unless the first line shows that it is bare text under their content type. Holds what does not
    /// decide it.
    Undecided(Vec<u8>),
    /// One piece: the whole body.
    Whole(Vec<u8>),
    /// Text as it comes. Holds the beginning of a character whose rest has not arrived.
    Text(Vec<u8>),
}

impl Split {
    pub(in super::super) fn events() -> Self {
        Self::Events(sse::Parser::default(), Meter::default())
    }

    /// For agents whose developers write the stream themselves: some send bare text as `text/event-stream`.
    pub(in super::super) const fn lenient_events() -> Self {
        Self::Undecided(Vec::new())
    }

    pub(in super::super) const fn whole() -> Self {
        Self::Whole(Vec::new())
    }

    pub(in super::super) const fn text() -> Self {
        Self::Text(Vec::new())
    }

    /// Hands on the pieces that these bytes complete. An error says what there is too much of; nothing more may be pushed then.
    fn push(&mut self, bytes: &[u8], mut take: impl FnMut(sse::Event)) -> Result<(), String> {
        match self {
            // Decided before anything is pushed.
            Self::Undecided(_) => Ok(()),
            Self::Events(parser, meter) => {
                let mut events = VecDeque::new();
                let outcome = parser.push(bytes, &mut events);
                for event in events {
                    meter.take(event.data.len()).map_err(|excess| excess.to_string())?;
                    take(event);
                }
                outcome.map_err(|unreadable| unreadable.to_string())
            }
            Self::Whole(body) => {
                body.extend_from_slice(bytes);
                if body.len() > MAX_ANSWER_BYTES {
                    return Err(format!("it is longer than {MAX_ANSWER_BYTES} bytes"));
                }
                Ok(())
            }
            Self::Text(partial) => {
                partial.extend_from_slice(bytes);
                let rest = partial.split_off(whole_characters(partial));
                take(unnamed(&std::mem::replace(partial, rest)));
                Ok(())
            }
        }
    }

    /// Decides what the body is, once its beginning shows that. Gives the bytes to push: `None` while it is open.
    fn decide<'a>(&mut self, bytes: &'a [u8], is_last: bool) -> Option<(Cow<'a, [u8]>, bool)> {
        let Self::Undecided(begun) = self else { return Some((Cow::Borrowed(bytes), false)) };
        begun.extend_from_slice(bytes);
        let is_events = begins_events(begun).or(is_last.then_some(begun.iter().all(u8::is_ascii_whitespace)))?;
        let begun = std::mem::take(begun);
        *self = if is_events { Self::events() } else { Self::text() };
        Some((Cow::Owned(begun), !is_events))
    }

    /// The last piece, once no more bytes will come.
    fn finish(&mut self, how: &BodyEnd) -> Option<sse::Event> {
        let is_clean = *how == BodyEnd::Clean;
        match self {
            // An event without its empty line counts only if the body ended well and the data is whole.
            Self::Events(parser, _) => std::mem::take(parser).finish().filter(|event| {
                is_clean && (event.data == "[DONE]" || serde_json::from_str::<IgnoredAny>(&event.data).is_ok())
            }),
            Self::Undecided(_) => None,
            Self::Whole(body) => is_clean.then(|| unnamed(body)),
            Self::Text(partial) => Some(unnamed(partial)),
        }
    }
}

fn unnamed(bytes: &[u8]) -> sse::Event {
    sse::Event { name: None, data: String::from_utf8_lossy(bytes).into_owned() }
}

/// How many bytes of empty lines are kept before a stream counts as one of events.
const MAX_BLANK: usize = 64;

/// Is this the beginning of server-sent events, rather than of bare text? `None` while both are possible.
fn begins_events(bytes: &[u8]) -> Option<bool> {
    const FIELDS: [&[u8]; 5] = [b"data", b"event", b"id", b"retry", b""];
    // A byte order mark may stand first.
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let Some(start) = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n')) else {
        // Nothing but empty lines: the events' own limit on noise applies.
        return (bytes.len() > MAX_BLANK).then_some(true);
    };
    let line = bytes.get(start..).unwrap_or_default();
    let Some(end) = line.iter().position(|byte| matches!(byte, b':' | b'\r' | b'\n')) else {
        let may_be = FIELDS.iter().any(|field| field.starts_with(line)) || b"\xEF\xBB\xBF".starts_with(line);
        return if may_be { None } else { Some(false) };
    };
    let field = line.get(..end).unwrap_or_default();
    Some(FIELDS.contains(&field))
}

/// How many bytes can be decoded now: all but a character cut off at the end.
fn whole_characters(bytes: &[u8]) -> usize {
    // A character has at most four bytes; what is invalid rather than cut is replaced, not kept.
    (1..=3.min(bytes.len()))
        .find(|back| {
            let tail = bytes.get(bytes.len() - back..).unwrap_or_default();
            tail.first().is_some_and(|byte| *byte >= 0xC0)
                && std::str::from_utf8(tail).is_err_and(|error| error.error_len().is_none())
        })
        .map_or(bytes.len(), |back| bytes.len() - back)
}

/// A mapping that is fed with bytes.
#[derive(Debug)]
pub(in super::super) struct Splitter<M> {
    split: Split,
    mapping: M,
    /// Does the caller want the body as well, as it came? The ending then waits for the last byte.
    is_raw: bool,
    /// The ending that waits.
    ending: Option<ReplyItem>,
    /// There was more than is taken, so the mapping gets no more.
    is_given_up: bool,
}

impl<M: Mapping> Splitter<M> {
    pub(in super::super) const fn new(split: Split, mapping: M, is_raw: bool) -> Self {
        Self { split, mapping, is_raw, ending: None, is_given_up: false }
    }

    pub(super) const fn mapping(&self) -> &M {
        &self.mapping
    }

    pub(super) fn into_mapping(self) -> M {
        self.mapping
    }

    pub(in super::super) const fn mapping_mut(&mut self) -> &mut M {
        &mut self.mapping
    }

    /// Is there an ending that only waits for the last byte?
    pub(super) const fn has_ending(&self) -> bool {
        self.ending.is_some()
    }

    /// Takes the next bytes.
    pub(in super::super) fn bytes(&mut self, bytes: &[u8], items: &mut VecDeque<ReplyItem>) {
        if self.is_raw {
            items.push_back(ReplyItem::Event(body_event(bytes)));
        }
        if self.is_given_up || self.has_ending() {
            return;
        }
        self.take(bytes, false, items);
    }

    fn take(&mut self, bytes: &[u8], is_last: bool, items: &mut VecDeque<ReplyItem>) {
        let Some((bytes, is_bare)) = self.split.decide(bytes, is_last) else { return };
        let mapping = &mut self.mapping;
        if is_bare {
            mapping.is_bare_text();
        }
        match self.split.push(&bytes, |event| mapping.event(event, items)) {
            Ok(()) => self.hold(items),
            // Nothing more is read, so the ending does not wait.
            Err(reason) => {
                self.is_given_up = true;
                self.mapping.end(BodyEnd::TooMuch(reason), items);
            }
        }
    }

    /// No more bytes will come. Adds the ending if there was none.
    pub(in super::super) fn end(&mut self, how: BodyEnd, items: &mut VecDeque<ReplyItem>) {
        if !self.has_ending() {
            if matches!(self.split, Split::Undecided(_)) {
                self.take(&[], true, items);
            }
            if !self.is_given_up
                && let Some(event) = self.split.finish(&how)
            {
                self.mapping.event(event, items);
            }
            self.mapping.end(how, items);
        }
        items.extend(self.ending.take());
    }

    /// Keeps the ending back for a caller who wants the rest of the body first.
    fn hold(&mut self, items: &mut VecDeque<ReplyItem>) {
        if self.is_raw && matches!(items.back(), Some(ReplyItem::End(_))) {
            self.ending = items.pop_back();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_one_of_events_if_its_first_line_has_a_field_of_theirs() {
        for (body, expected) in [
            ("data: x", Some(true)),
            ("data\n", Some(true)),
            ("event: x", Some(true)),
            (": keep-alive", Some(true)),
            ("\n\r\nid: 1", Some(true)),
            ("\u{feff}data: x", Some(true)),
            ("Hello", Some(false)),
            ("Hello: there", Some(false)),
            ("datum", Some(false)),
            ("dat", None),
            ("\n", None),
            ("", None),
        ] {
            assert_eq!(begins_events(body.as_bytes()), expected, "{body:?}");
        }
        assert_eq!(begins_events("\n".repeat(MAX_BLANK + 1).as_bytes()), Some(true));
    }
}
