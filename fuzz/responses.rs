//! The responses protocol: streams and whole objects.

use super::*;
use crate::foundry::fixtures;
use crate::foundry::reply::Split;
use crate::foundry::reply::fuzz_reply::{check_mapping, told};
use crate::fuzz::{Input, cuts, files, mutated};
use bolero::check;

const WORDS: &[&str] = &[
    "response.output_text.delta",
    "response.refusal.delta",
    "response.in_progress",
    "response.completed",
    "response.failed",
    "response.incomplete",
    "response.cancelled",
    "error",
    "completed",
    "failed",
    "queued",
    "cancelled",
    "output_text",
    "refusal",
    "message",
    "delta",
    "response",
    "status",
    "sequence_number",
    "data: ",
    "event: ",
    "\n\n",
    "\\n",
    "\u{2028}",
    "",
];

#[test]
fn streams_of_responses_end_once_and_add_up() {
    let seeds = fixtures::event_streams().into_iter().map(|(_, body)| body);
    check!().with_generator((mutated(seeds, WORDS), cuts())).for_each(|(bytes, cuts): &(Input, Vec<u8>)| {
        check_mapping(Split::events, ResponseMapping::default, bytes, cuts);
        check_replay(bytes, usize::from(cuts[0]));
    });
}

/// A stream that begins again after some events, as after a broken connection, tells nothing twice.
fn check_replay(bytes: &[u8], broken_after: usize) {
    let (mut parser, mut events) = (sse::Parser::default(), VecDeque::new());
    parser.push(bytes, &mut events).unwrap();
    let numbers: Option<Vec<i64>> =
        events.iter().map(|event| serde_json::from_str::<Frame<'_>>(&event.data).ok()?.sequence_number).collect();
    if !numbers.is_some_and(|numbers| numbers.is_sorted_by(|left, right| left < right)) {
        return;
    }
    let mapped = |events: Vec<sse::Event>| {
        let (mut mapping, mut items) = (ResponseMapping::default(), VecDeque::new());
        for event in events {
            mapping.event(event, &mut items);
        }
        mapping.end(BodyEnd::Clean, &mut items);
        told(items)
    };
    let once: Vec<_> = events.into();
    let begun = once.iter().take(broken_after % (once.len() + 1)).cloned();
    assert_eq!(mapped(begun.chain(once.iter().cloned()).collect()), mapped(once.clone()));
}

#[test]
fn response_objects_end_once_and_add_up() {
    let bodies = files("emulator/tests/fixtures/agentserver/responses").into_iter().filter_map(|file| {
        let at = file.windows(4).rposition(|window| window == b"\r\n\r\n")?;
        let body = &file[at + 4..];
        // One line, as captured, and many lines, as some write it.
        let pretty = serde_json::from_slice::<Value>(body).map(|json| format!("{json:#}").into_bytes()).ok();
        Some([Some(body.to_vec()), pretty])
    });
    let bodies = bodies.flatten().flatten();
    check!().with_generator((mutated(bodies, WORDS), cuts())).for_each(|(bytes, cuts): &(Input, Vec<u8>)| {
        check_mapping(Split::whole, ObjectMapping::default, bytes, cuts);
    });
}
