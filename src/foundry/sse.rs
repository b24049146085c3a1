//! Server-sent events: bytes in, events out. Pure; the bytes may be cut anywhere.

use super::meter::MAX_NOISE_BYTES;
use memchr::memchr2;
use std::collections::VecDeque;

/// Longest event of a turn, in bytes. The final event of a response repeats the whole answer; azd stops at 1 to 4 MiB.
const MAX_EVENT_BYTES: usize = 16 * 1024 * 1024;

const BOM: [u8; 3] = [0xEF, 0xBB, 0xBF];

/// One event: its name if it has one, and its data lines joined by line feeds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Event {
    pub(super) name: Option<String>,
    pub(super) data: String,
}

/// The stream is not read any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("an event is longer than {0} bytes")]
    TooLong(usize),
    /// A real keep-alive does not get there, so this one only keeps us busy.
    #[error("{MAX_NOISE_BYTES} bytes of comments or empty events came in a row")]
    OnlyNoise,
}

/// Splits a byte stream into events by the WHATWG rules. `id` and `retry` are not used by this service and skipped.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone, PartialEq))]
pub(super) struct Parser {
    /// Longest event that is taken, in bytes.
    longest: usize,
    /// Bytes since the last data.
    noise: usize,
    /// A line whose end has not come.
    line: Vec<u8>,
    /// The last byte was CR: a LF right after it belongs to it.
    after_cr: bool,
    /// Past the first line, where a byte order mark may stand.
    is_begun: bool,
    name: Option<String>,
    data: String,
    has_data: bool,
}

impl Default for Parser {
    /// For the events of a turn.
    fn default() -> Self {
        Self::with_longest(MAX_EVENT_BYTES)
    }
}

impl Parser {
    /// For a stream whose events have at most `longest` bytes.
    pub(super) const fn with_longest(longest: usize) -> Self {
        Self {
            longest,
            noise: 0,
            line: Vec::new(),
            after_cr: false,
            is_begun: false,
            name: None,
            data: String::new(),
            has_data: false,
        }
    }

    /// Takes the next bytes and appends the events they complete.
    pub(super) fn push(&mut self, mut bytes: &[u8], events: &mut VecDeque<Event>) -> Result<(), Unreadable> {
        while let Some((&first, rest)) = bytes.split_first() {
            if std::mem::take(&mut self.after_cr) && first == b'\n' {
                bytes = rest;
                continue;
            }
            let Some(end) = memchr2(b'\n', b'\r', bytes) else {
                self.line.extend_from_slice(bytes);
                return self.check(self.line.len());
            };
            let (line, rest) = bytes.split_at(end);
            if self.line.is_empty() {
                self.check(line.len())?;
                self.take_line(line, events);
            } else {
                self.line.extend_from_slice(line);
                self.check(self.line.len())?;
                let mut whole = std::mem::take(&mut self.line);
                self.take_line(&whole, events);
                // Keep the buffer for the next line.
                whole.clear();
                self.line = whole;
            }
            self.after_cr = rest.first() == Some(&b'\r');
            bytes = rest.get(1..).unwrap_or_default();
        }
        Ok(())
    }

    /// The event that was begun but not closed by an empty line, for streams that leave the last one out.
    pub(super) fn finish(mut self) -> Option<Event> {
        let mut events = VecDeque::new();
        let line = std::mem::take(&mut self.line);
        self.take_line(&line, &mut events);
        self.dispatch(&mut events);
        events.pop_front()
    }

    /// Is an event with a line of this length taken?
    fn check(&self, line: usize) -> Result<(), Unreadable> {
        if line + self.data.len() > self.longest {
            return Err(Unreadable::TooLong(self.longest));
        }
        if self.noise > MAX_NOISE_BYTES { Err(Unreadable::OnlyNoise) } else { Ok(()) }
    }

    fn take_line(&mut self, mut line: &[u8], events: &mut VecDeque<Event>) {
        self.noise += line.len() + 1;
        if !std::mem::replace(&mut self.is_begun, true) {
            line = line.strip_prefix(&BOM).unwrap_or(line);
        }
        if line.is_empty() {
            self.dispatch(events);
            return;
        }
        // The line is whole, so characters are too, however the bytes arrived.
        match std::str::from_utf8(line) {
            Ok(line) => self.take_field(line),
            Err(_) => self.take_field(&String::from_utf8_lossy(line)),
        }
    }

    fn take_field(&mut self, line: &str) {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => self.name = Some(value.to_owned()),
            "data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.data.push('\n');
                }
                self.data.push_str(value);
                // Content, whether or not its event is complete yet.
                if !value.is_empty() {
                    self.noise = 0;
                }
            }
            // Comments have an empty field name.
            _ => {}
        }
    }

    fn dispatch(&mut self, events: &mut VecDeque<Event>) {
        let event =
            Event { name: self.name.take().filter(|name| !name.is_empty()), data: std::mem::take(&mut self.data) };
        // By the standard an event without data is none. But an agent that sends `event: error` and nothing else has failed.
        let is_failure = event.name.as_deref() == Some("error");
        if std::mem::take(&mut self.has_data) || is_failure {
            events.push_back(event);
        }
    }
}

#[cfg(test)]
#[path = "../../fuzz/sse.rs"]
mod fuzz_sse;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::foundry::fixtures;

    fn parse(chunks: &[&[u8]]) -> Vec<Event> {
        let (mut parser, mut events) = (Parser::default(), VecDeque::new());
        for chunk in chunks {
            parser.push(chunk, &mut events).unwrap();
        }
        events.into()
    }

    fn event(name: &str, data: &str) -> Event {
        Event { name: (!name.is_empty()).then(|| name.to_owned()), data: data.to_owned() }
    }

    #[test]
    fn fields_comments_and_line_ends_follow_the_standard() {
        for (text, expected) in [
            ("event: a\ndata: 1\n\n", vec![event("a", "1")]),
            ("event:a\r\ndata:1\r\n\r\n", vec![event("a", "1")]),
            ("event: a\rdata: 1\r\rdata: 2\r\r", vec![event("a", "1"), event("", "2")]),
            ("\u{feff}data: 1\n\n", vec![event("", "1")]),
            ("data: 1\ndata:  2\ndata\n\n", vec![event("", "1\n 2\n")]),
            (": keep-alive\n\n: more\ndata: 1\n: between\n\n", vec![event("", "1")]),
            ("event: lonely\n\ndata: 1\n\n", vec![event("", "1")]),
            ("event: error\n\ndata: 1\n\n", vec![event("error", ""), event("", "1")]),
            ("data\n\n", vec![event("", "")]),
            ("id: 7\nretry: 10\nother: x\ndata: 1\n\n", vec![event("", "1")]),
            ("data: cut", vec![]),
            ("data: cut\n", vec![]),
            ("data: ünï 🦀\n\n", vec![event("", "ünï 🦀")]),
        ] {
            assert_eq!(parse(&[text.as_bytes()]), expected, "{text:?}");
            for cut in 0..=text.len() {
                let (head, tail) = text.as_bytes().split_at(cut);
                assert_eq!(parse(&[head, tail]), expected, "{text:?} cut at {cut}");
            }
            let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
            assert_eq!(parse(&bytes), expected, "{text:?} byte by byte");
        }
    }

    /// Every cut in two, checked up to the end of the event it cuts: there the parser must be as it is without the cut, so
    /// that the rest of the stream cannot differ either. (Parsing the whole rest each time would take minutes.)
    #[test]
    fn every_captured_stream_reads_the_same_wherever_it_is_cut() {
        let streams = fixtures::event_streams();
        assert!(streams.len() > 15, "only {} streams found", streams.len());
        for (name, body) in streams {
            let frames = String::from_utf8_lossy(&body).lines().filter(|line| line.starts_with("data:")).count();
            let whole = parse(&[&body]);
            assert_eq!(whole.len(), frames, "{name}");

            let mut states = vec![Parser::default()];
            let mut ends = Vec::new();
            for (at, byte) in body.iter().enumerate() {
                let (mut parser, mut events) = (states[at].clone(), VecDeque::new());
                parser.push(&[*byte], &mut events).unwrap();
                states.push(parser);
                ends.extend(events.into_iter().map(|event| (at + 1, event)));
            }
            assert_eq!(
                ends.iter().map(|(_, event)| event).collect::<Vec<_>>(),
                whole.iter().collect::<Vec<_>>(),
                "{name}"
            );

            for cut in 0..body.len() {
                let next = ends.iter().find(|(end, _)| *end > cut);
                let end = next.map_or(body.len(), |(end, _)| *end);
                let (mut parser, mut events) = (states[cut].clone(), VecDeque::new());
                parser.push(&body[cut..end], &mut events).unwrap();
                assert!(events.iter().eq(next.map(|(_, event)| event)), "{name} cut at {cut}: {events:?}");
                assert_eq!(parser, states[end], "{name} cut at {cut}");
            }
        }
    }

    #[test]
    fn an_unclosed_last_event_can_be_had() {
        let mut parser = Parser::default();
        parser.push(b"data: [DONE]", &mut VecDeque::new()).unwrap();
        assert_eq!(parser.finish(), Some(event("", "[DONE]")));
        assert_eq!(Parser::default().finish(), None);
    }

    #[test]
    fn an_endless_event_is_refused() {
        let (mut parser, mut events) = (Parser::default(), VecDeque::new());
        let block = vec![b'x'; 1 << 20];
        let outcome = (0..20).try_for_each(|_| parser.push(&block, &mut events));
        assert_eq!(outcome, Err(Unreadable::TooLong(MAX_EVENT_BYTES)));
    }

    /// How many of these pieces are taken before the stream is given up.
    fn taken(piece: &str, most: usize) -> usize {
        let (mut parser, mut events) = (Parser::default(), VecDeque::new());
        (0..most)
            .take_while(|_| {
                events.clear();
                parser.push(piece.as_bytes(), &mut events).is_ok()
            })
            .count()
    }

    #[test]
    fn a_flood_without_content_is_given_up() {
        for piece in [
            ":\n",
            "\n",
            "\r\n",
            ": keep-alive\n\n",
            "event: ping\n\n",
            "id: 1\n",
            "retry: 1\n",
            "data:\n\n",
            "other\n",
        ] {
            let bytes = taken(piece, 4 * MAX_NOISE_BYTES / piece.len()) * piece.len();
            assert!((MAX_NOISE_BYTES / 2..3 * MAX_NOISE_BYTES).contains(&bytes), "{piece:?}: {bytes} bytes");
        }
    }

    #[test]
    fn a_long_event_is_not_a_flood_wherever_it_is_cut() {
        let line = format!("data: {}\n", "w".repeat(3 * MAX_NOISE_BYTES));
        assert_eq!(parse(&[line.as_bytes(), b"id: 1\n", b"\n"]).len(), 1);
    }

    #[test]
    fn keep_alives_between_events_do_not_count_as_a_flood() {
        // A week of quiet, four times a minute, and an event now and then for much longer.
        assert_eq!(taken(": keep-alive\n\n", 7 * 24 * 60 * 4), 7 * 24 * 60 * 4);
        let spell = format!("{}data: 1\n\n", ": keep-alive\n\n".repeat(1000));
        assert_eq!(taken(&spell, 1000), 1000);
    }
}
