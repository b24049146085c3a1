//! The invocations protocol: events, JSON and plain text.

use super::*;
use crate::foundry::fixtures;
use crate::foundry::reply::fuzz_reply::check_mapping;
use crate::foundry::reply::{Split, Splitter};
use crate::fuzz::{Input, cuts, files, mutated};
use bolero::check;

#[test]
fn invocations_end_once_and_add_up() {
    let mut seeds: Vec<_> = fixtures::event_streams().into_iter().map(|(_, body)| body).collect();
    seeds.extend(files("emulator/tests/fixtures/agentserver/invocations").into_iter().filter_map(|file| {
        let at = file.windows(4).rposition(|window| window == b"\r\n\r\n")?;
        Some(file[at + 4..].to_vec())
    }));
    seeds.push(
        "data: {\"type\":\"token\",\"content\":\"äöü🦀\"}\n\ndata: {\"type\":\"done\",\"full_text\":\"ä ö\"}\n\n"
            .into(),
    );
    seeds.push("ünï 🦀 text\n".repeat(3).into());
    let shapes: toml::Value = toml::from_str(include_str!("../tests/fixtures/invocation-shapes.toml")).unwrap();
    let streams = shapes["shape"].as_array().unwrap().iter().filter_map(|shape| shape["stream"].as_str());
    seeds.extend(streams.map(|stream| stream.as_bytes().to_vec()));
    let words = [
        "token",
        "assistant.message",
        "status",
        "message",
        "done",
        "error",
        "content",
        "delta",
        "text",
        "full_text",
        "invocation_id",
        "[DONE]",
        "data: ",
        "event: done",
        "choices",
        "\u{fffd}",
        "🦀",
    ];
    let id: Option<ResponseId> = "inv-1".parse().ok();
    check!().with_generator((mutated(seeds, &words), cuts())).for_each(|(bytes, cuts): &(Input, Vec<u8>)| {
        match cuts.iter().fold(0_u8, |sum, cut| sum.wrapping_add(*cut)) % 4 {
            0 => check_mapping(Split::whole, || JsonMapping::new(id.clone()), bytes, cuts),
            1 => check_text(bytes, cuts),
            _ => check_mapping(Split::lenient_events, || TokenMapping::new(id.clone()), bytes, cuts),
        }
    });
}

/// Text comes through whole: no character is lost where a piece ends.
fn check_text(bytes: &[u8], cuts: &[u8]) {
    check_mapping(Split::text, || TextMapping::new(None), bytes, cuts);
    let mut splitter = Splitter::new(Split::text(), TextMapping::new(None), false);
    let mut items = VecDeque::new();
    for byte in bytes {
        splitter.bytes(&[*byte], &mut items);
    }
    splitter.end(BodyEnd::Clean, &mut items);
    let said: String = items
        .iter()
        .filter_map(|item| match item {
            ReplyItem::Event(InvokeEvent::TextDelta { delta }) => Some(delta.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(said, String::from_utf8_lossy(bytes), "characters came apart");
}
