//! JSON-RPC messages: each is a request, a notification, a response or an error, and an id comes back as it was written.

use super::*;
use crate::fuzz::{Input, files, mutated};
use bolero::check;
use serde_json::Value;

/// The messages of all transcripts, each on its line.
fn messages() -> Vec<Vec<u8>> {
    let message = |line: &str| {
        let step: serde_json::Map<String, Value> = serde_json::from_str(line).ok()?;
        Some(format!("{}\n", step.get("->")?))
    };
    let of =
        |file: Vec<u8>| String::from_utf8(file).unwrap().lines().filter_map(message).collect::<String>().into_bytes();
    files("tests/transcripts").into_iter().map(of).filter(|messages| !messages.is_empty()).collect()
}

#[test]
fn every_message_gets_the_answer_that_its_envelope_asks_for() {
    let mut seeds = messages();
    assert!(seeds.len() > 5, "the transcripts have changed");
    for batch in [
        r#"[{"id":1,"method":"m"},{"method":"n"},{"id":"\u00e4","method":"m","params":[]}]"#,
        r#"{"id":null,"method":"m"}"#,
        r#"{"id":-0.5e3,"method":"m","jsonrpc":"2.0"}"#,
        r#"{"id":7,"result":null}"#,
    ] {
        seeds.push(batch.into());
    }
    let words = ["id", "method", "jsonrpc", "2.0", "result", "error", "params", "null", "\\u0022", "[]", "1e999"];
    check!().with_generator(mutated(seeds, &words)).for_each(|bytes: &Input| {
        for frame in bytes.split(|byte| *byte == b'\n').chain([&**bytes]) {
            check_frame(frame);
        }
    });
}

fn check_frame(frame: &[u8]) {
    match Incoming::parse(frame) {
        Ok(Incoming::One(message)) => check_message(&serde_json::from_slice(frame).unwrap_or(Value::Null), Ok(message)),
        Ok(Incoming::Batch(messages)) => {
            assert!((1..=MAX_BATCH_MESSAGES).contains(&messages.len()));
            let Ok(Value::Array(values)) = serde_json::from_slice(frame) else { return };
            assert_eq!(values.len(), messages.len(), "messages of a batch were lost");
            for (value, message) in values.iter().zip(messages) {
                check_message(value, message);
            }
        }
        Err(refused) => check_refusal(refused),
    }
}

/// Holds a message against its JSON, which another reader has read.
fn check_message(value: &Value, message: Result<Message<'_>, Refused>) {
    match message {
        Ok(Message::Request { id, method, .. }) => {
            check_answer(Some(&id), &id.refuse(CallError::cancelled()));
            if value.is_object() {
                assert_eq!(value["method"], Value::String(method.clone()));
                let id: Value = serde_json::from_str(&id.0).unwrap_or(Value::Null);
                assert_eq!(value["id"], id);
            }
        }
        Ok(Message::Notification { method, .. }) => {
            if let Some(object) = value.as_object() {
                assert!(!object.contains_key("id"), "a request was taken for a notification");
                assert_eq!(value["method"], Value::String(method.clone()));
            }
        }
        Ok(Message::Response) => {
            if let Some(object) = value.as_object() {
                assert!(
                    !object.contains_key("method") || object["method"].is_null(),
                    "a request was taken for a response"
                );
            }
        }
        Err(refused) => check_refusal(refused),
    }
}

fn check_refusal(refused: Refused) {
    let id = refused.id.clone();
    check_answer(id.as_ref(), &refused.answer());
}

/// An answer is one JSON object on one line, with the id as text, and an error.
fn check_answer(id: Option<&CallId>, answer: &str) {
    #[derive(Deserialize)]
    struct Answer<'a> {
        #[serde(borrow)]
        id: &'a RawValue,
        #[serde(borrow)]
        error: &'a RawValue,
    }
    let read: Answer<'_> = serde_json::from_str(answer).unwrap_or_else(|error| panic!("{error}: {answer}"));
    assert_eq!(read.id.get(), id.map_or("null", |id| &id.0));
    assert!(read.error.get().starts_with('{'));
    assert!(!answer.contains(['\n', '\r']), "an answer must be one line: {answer:?}");
}
