//! A2A: results in events and as the whole answer.

use super::*;
use crate::foundry::reply::Split;
use crate::foundry::reply::fuzz_reply::check_mapping;
use crate::fuzz::{Input, cuts, mutated};
use bolero::check;

const RESULTS: &[&str] = &[
    r#"{"kind":"task","id":"t","contextId":"c","status":{"state":"submitted"}}"#,
    r#"{"kind":"artifact-update","append":true,"artifact":{"parts":[{"text":"al"}]}}"#,
    r#"{"kind":"artifact-update","append":true,"artifact":{"parts":[{"kind":"text","text":"pha"}]}}"#,
    r#"{"kind":"status-update","final":true,"status":{"state":"completed","message":{"parts":[{"text":"done"}]}}}"#,
    r#"{"kind":"status-update","status":{"state":"working"}}"#,
    r#"{"kind":"message","role":"agent","parts":[{"text":"alpha"}]}"#,
    r#"{"kind":"task","status":{"state":"failed","message":{"parts":[{"text":"no"}]}}}"#,
    r#"{"status":{"state":"input-required"},"history":[{"role":"agent","parts":[{"text":"h"}]}]}"#,
];

#[test]
fn results_end_once_and_add_up() {
    let envelope = |result: &str| format!(r#"{{"jsonrpc":"2.0","id":"1","result":{result}}}"#);
    let mut seeds: Vec<Vec<u8>> = RESULTS.iter().map(|result| envelope(result).into_bytes()).collect();
    seeds.push(
        RESULTS.iter().map(|result| ["data: ", &envelope(result), "\n\n"].concat()).collect::<String>().into_bytes(),
    );
    seeds.push(br#"{"jsonrpc":"2.0","id":"1","error":{"code":-32603,"message":"it broke"}}"#.to_vec());
    let words = [
        "task",
        "message",
        "status-update",
        "artifact-update",
        "completed",
        "failed",
        "working",
        "canceled",
        "auth-required",
        "final",
        "parts",
        "text",
        "history",
        "artifacts",
        "state",
        "result",
        "error",
        "data: ",
        "\n\n",
        "\\n",
    ];
    check!().with_generator((mutated(seeds, &words), cuts())).for_each(|(bytes, cuts): &(Input, Vec<u8>)| {
        check_mapping(Split::events, || ResultMapping::new(Answered::InEvents), bytes, cuts);
        check_mapping(Split::whole, || ResultMapping::new(Answered::Whole), bytes, cuts);
    });
}
