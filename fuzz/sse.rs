//! Server-sent events: the same events however the bytes arrive, and the same as another reading of the standard gives.

use super::*;
use crate::foundry::fixtures;
use crate::fuzz::{Input, cuts, mutated, pieces};
use bolero::check;

fn parsed(pieces: &[&[u8]]) -> (Vec<Event>, Option<Event>) {
    let (mut parser, mut events) = (Parser::default(), VecDeque::new());
    for piece in pieces {
        parser.push(piece, &mut events).unwrap();
    }
    (events.into(), parser.finish())
}

/// The standard's rules, read once more and without a thought for speed: line by line, on a whole text.
fn by_the_standard(bytes: &[u8]) -> Vec<Event> {
    let text = bytes.strip_prefix(&BOM).unwrap_or(bytes);
    let mut lines: Vec<Vec<u8>> = vec![Vec::new()];
    let mut rest = text.iter().copied().peekable();
    while let Some(byte) = rest.next() {
        match byte {
            b'\r' => {
                rest.next_if_eq(&b'\n');
                lines.push(Vec::new());
            }
            b'\n' => lines.push(Vec::new()),
            other => lines.last_mut().unwrap().push(other),
        }
    }
    // Text without a line end is not a line.
    lines.pop();
    let (mut events, mut name, mut data) = (Vec::new(), String::new(), Vec::<String>::new());
    for line in lines {
        let line = String::from_utf8_lossy(&line).into_owned();
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            _ if line.is_empty() => {
                // The one exception: an error without data.
                if !data.is_empty() || name == "error" {
                    events.push(Event { name: (!name.is_empty()).then(|| name.clone()), data: data.join("\n") });
                }
                (name, data) = (String::new(), Vec::new());
            }
            "event" => value.clone_into(&mut name),
            "data" => data.push(value.to_owned()),
            _ => {}
        }
    }
    events
}

#[test]
fn events_are_those_of_the_standard_wherever_the_bytes_are_cut() {
    let mut seeds: Vec<_> = fixtures::event_streams().into_iter().map(|(_, body)| body).collect();
    // The standard's other line ends.
    for end in ["\r\n", "\r"] {
        let body = String::from_utf8_lossy(&seeds[0]).replace('\n', end);
        seeds.push(body.into_bytes());
    }
    seeds.push("\u{feff}event: a\rdata: 1\r\rdata:2\r\n\r\n: comment\ndata\ndata:  3\n\n".into());
    let words =
        ["data:", "data: ", "event: ", "\n\n", "\r\n\r\n", "\r", ":", "id: 1", "retry: 5", "event: error", "\u{feff}"];
    check!().with_generator((mutated(seeds, &words), cuts())).for_each(|(bytes, cuts): &(Input, Vec<u8>)| {
        let whole = parsed(&[bytes]);
        assert_eq!(whole.0, by_the_standard(bytes));
        assert_eq!(parsed(&pieces(bytes, cuts)), whole);
        let data: usize = whole.0.iter().map(|event| event.data.len()).sum();
        // A byte that is not UTF-8 becomes a character of three.
        assert!(data <= 3 * bytes.len());
    });
}
