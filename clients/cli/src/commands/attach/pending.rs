//! What the program behind the bridge still waits for. Pure: messages in, answers owed out.

use cupola_protocol::Method as _;
use cupola_protocol::error::{ErrorData, ErrorKind, Turn};
use cupola_protocol::invoke::Invoke;
use cupola_protocol::rpc::ErrorObject;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// As much of a message as the bridge needs to know. Ids stay the text they came as.
#[derive(Debug, Deserialize)]
struct Envelope<'a> {
    #[serde(default, borrow, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(default, borrow)]
    method: Option<Cow<'a, str>>,
    #[serde(default, borrow, deserialize_with = "present")]
    result: Option<&'a RawValue>,
}

/// Keeps `"id": null` apart from a missing id.
fn present<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&'a RawValue>::deserialize(deserializer).map(Some)
}

/// A message's parts: one, or several of a batch. Anything that is not a message has none, and the daemon reports it.
fn envelopes(message: &[u8]) -> (Vec<Envelope<'_>>, bool) {
    if message.trim_ascii_start().starts_with(b"[") {
        let parts: Vec<&RawValue> = serde_json::from_slice(message).unwrap_or_default();
        (parts.into_iter().filter_map(|part| serde_json::from_str(part.get()).ok()).collect(), true)
    } else {
        (serde_json::from_slice(message).ok().into_iter().collect(), false)
    }
}

/// What one message from the program asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// The ids of its requests, and whether each sends a turn to an agent.
    ids: Vec<(String, bool)>,
    /// They travel, and are answered, together.
    is_batch: bool,
    /// The program says `exit`.
    pub(super) is_exit: bool,
    /// The message, if it is the program's `initialize`: it is to be repeated on the next connection.
    initialize: Option<Vec<u8>>,
}

impl Asked {
    pub(super) fn of(message: &[u8]) -> Self {
        let (parts, is_batch) = envelopes(message);
        let says = |name: &str| parts.iter().any(|part| part.method.as_deref() == Some(name));
        Self {
            is_exit: says("exit"),
            initialize: (!is_batch && says("initialize")).then(|| message.to_vec()),
            ids: parts
                .iter()
                .filter(|part| part.method.is_some())
                .filter_map(|part| {
                    part.id.map(|id| (id.get().to_owned(), part.method.as_deref() == Some(Invoke::NAME)))
                })
                .collect(),
            is_batch,
        }
    }

    /// Does anybody wait for an answer?
    pub(super) fn wants_answer(&self) -> bool {
        !self.ids.is_empty()
    }

    /// The answer when the daemon gives none: an error that may be tried again, unless it is a turn that may have run because it
    /// `was_sent`.
    pub(super) fn refusal(&self, message: &str, was_sent: bool) -> Vec<u8> {
        #[derive(Serialize)]
        struct Refusal<'a> {
            jsonrpc: &'static str,
            id: Option<&'a RawValue>,
            error: ErrorObject,
        }
        let error = |is_turn: bool| {
            let mut data = ErrorData::new(ErrorKind::DaemonGone);
            if is_turn {
                data.set_turn(if was_sent { Turn::MayHaveRun } else { Turn::NotRun });
            }
            let hint = if data.retryable {
                "send it again; `sessions/list` and `runs/list` show what the first attempt left behind"
            } else {
                "the turn may have run; look before you send it again: `runs/list` shows the runs if the daemon still runs, \
                 `monitor` what the agent did"
            };
            data.hint = Some(hint.to_owned());
            ErrorObject { code: data.kind.code(), message: message.to_owned(), data: Some(data) }
        };
        let each: Vec<_> = self
            .ids
            .iter()
            .map(|(id, is_turn)| Refusal { jsonrpc: "2.0", id: serde_json::from_str(id).ok(), error: error(*is_turn) })
            .collect();
        let written = match each.as_slice() {
            [one] if !self.is_batch => serde_json::to_vec(one),
            all => serde_json::to_vec(all),
        };
        written.unwrap_or_default()
    }
}

/// What has been asked on one connection and is not answered yet.
#[derive(Debug, Default)]
pub(super) struct Pending(Vec<Asked>);

impl Pending {
    pub(super) fn add(&mut self, asked: Asked) {
        if asked.wants_answer() {
            self.0.push(asked);
        }
    }

    /// Takes note of a message from the daemon: its answers are no longer owed. Gives the program's `initialize` back once
    /// it has been granted.
    pub(super) fn answered(&mut self, message: &[u8]) -> Option<Vec<u8>> {
        let (parts, _) = envelopes(message);
        let mut granted = None;
        for part in parts.iter().filter(|part| part.method.is_none()) {
            let Some(id) = part.id else { continue };
            let Some(place) = self.0.iter().position(|asked| asked.ids.iter().any(|(owed, _)| owed == id.get())) else {
                continue;
            };
            granted = self.0.remove(place).initialize.filter(|_| part.result.is_some());
        }
        granted
    }

    /// Is there anything that is owed?
    #[cfg(windows)]
    pub(super) fn is_owed(&self) -> bool {
        !self.0.is_empty()
    }

    /// Everything that is owed.
    pub(super) fn take(&mut self) -> Vec<Asked> {
        std::mem::take(&mut self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pending(messages: &[&str]) -> Pending {
        let mut pending = Pending::default();
        for message in messages {
            pending.add(Asked::of(message.as_bytes()));
        }
        pending
    }

    fn owed(mut pending: Pending) -> Vec<Value> {
        pending.take().iter().map(|asked| serde_json::from_slice(&asked.refusal("gone", true)).unwrap()).collect()
    }

    #[test]
    fn only_requests_without_an_answer_are_owed_one_with_their_own_id() {
        let mut asked = pending(&[
            r#"{"id":1,"method":"a"}"#,
            r#"{"id":"1","method":"b"}"#,
            r#"{"id":null,"method":"c"}"#,
            r#"{"method":"$/cancelRequest","params":{"id":9}}"#,
            r#"{"id":8,"result":{}}"#,
            "no json",
        ]);
        asked.answered(br#"{"id":1,"result":{"id":"1"}}"#);
        asked.answered(br#"{"method":"$/progress","params":{}}"#);
        let owed = owed(asked);
        let ids: Vec<_> = owed.iter().map(|answer| answer["id"].clone()).collect();
        assert_eq!(ids, [json!("1"), json!(null)]);
        assert_eq!(owed[0]["error"]["data"]["kind"], "daemonGone");
        assert_eq!(owed[0]["error"]["data"]["retryable"], true);
    }

    #[test]
    fn a_batch_is_owed_one_answer_to_all_of_it() {
        let batch = r#"[{"id":1,"method":"a"},{"method":"n"},{"id":2,"method":"b"}]"#;
        let answer = owed(pending(&[batch])).remove(0);
        assert_eq!(answer.as_array().unwrap().iter().map(|one| one["id"].clone()).collect::<Vec<_>>(), [1, 2]);
        let mut answered = pending(&[batch]);
        answered.answered(br#"[{"id":2,"result":null},{"id":1,"error":{}}]"#);
        assert!(owed(answered).is_empty());
    }

    #[test]
    fn a_turn_says_whether_it_ran() {
        let batch = r#"[{"id":1,"method":"invoke"},{"id":2,"method":"sessions/list"}]"#;
        for (was_sent, turn) in [(true, "mayHaveRun"), (false, "notRun")] {
            let asked = Asked::of(batch.as_bytes());
            let answer: Value = serde_json::from_slice(&asked.refusal("gone", was_sent)).unwrap();
            let [invoke, list] = [&answer[0]["error"]["data"], &answer[1]["error"]["data"]];
            assert_eq!((&invoke["turn"], &invoke["retryable"]), (&json!(turn), &json!(!was_sent)));
            assert_eq!((list.get("turn"), &list["retryable"]), (None, &json!(true)));
        }
    }

    #[test]
    fn a_greeting_is_repeated_once_it_was_granted() {
        let greeting = r#"{"id":0,"method":"initialize"}"#;
        assert_eq!(pending(&[greeting]).answered(br#"{"id":0,"error":{}}"#), None);
        assert_eq!(pending(&[greeting]).answered(br#"{"id":0,"result":{}}"#), Some(greeting.as_bytes().to_vec()));
        assert_eq!(pending(&[r#"{"id":0,"method":"invoke"}"#]).answered(br#"{"id":0,"result":{}}"#), None);
    }

    #[test]
    fn what_a_message_says_is_seen() {
        let asked = |text: &str| Asked::of(text.as_bytes());
        assert!(asked(r#"{"method":"exit"}"#).is_exit);
        assert!(!asked(r#"{"id":0,"method":"invoke","params":{"method":"exit"}}"#).is_exit);
        assert!(!asked(r#"{"method":"$/cancelRequest"}"#).wants_answer());
    }
}
