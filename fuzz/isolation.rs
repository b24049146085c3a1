//! Isolation values: what is sent is what was given, nothing can be added to a request by one, and none is ever shown.

use super::*;
use crate::fuzz::Words;
use bolero::check;
use serde_json::json;

const WORDS: &[&str] = &[
    "tenant-acme",
    "alice@contoso.com",
    "\r\n",
    "\n",
    "\0",
    " ",
    "\t",
    "x-evil: 1",
    "ä",
    "\u{a0}",
    "\u{85}",
    "\u{2028}",
    "\u{7f}",
    "%0d%0a",
    "\"",
    "a",
    "-",
    ":",
    "__SEAL__",
];

#[test]
fn isolation_values_travel_unchanged_or_not_at_all() {
    let values = (Words(WORDS), Words(WORDS), Words(WORDS), Words(WORDS));
    check!().with_generator(values).for_each(|(user, chat, ownership, identity): &(String, String, String, String)| {
        let given = json!({ "userKey": user, "chatKey": chat, "ownershipKey": ownership });
        let with_identity = json!({ "userIdentity": identity, "chat": chat });
        for given in [given, with_identity] {
            let isolation = match serde_json::from_value::<Isolation>(given.clone()) {
                Ok(isolation) => isolation,
                Err(error) => {
                    // The refusal says which rule, never which value.
                    assert!(!error.to_string().contains("__SEAL__"), "{error}");
                    continue;
                }
            };
            assert_eq!(serde_json::to_value(&isolation).unwrap(), given, "a value changed on its way in");
            for model in [IsolationModel::Keys, IsolationModel::Identity, IsolationModel::Local] {
                match WireIsolation::new(model, &isolation) {
                    Ok(wire) => check_headers(&wire, &given),
                    Err(refusal) => assert!(!refusal.to_string().contains("__SEAL__"), "{refusal}"),
                }
            }
            check_headers(&WireIsolation::for_local_agent(&isolation).unwrap(), &given);
        }
    });
}

fn check_headers(wire: &WireIsolation, given: &serde_json::Value) {
    let mut headers = HeaderMap::new();
    wire.apply(&mut headers);
    wire.apply_ownership(&mut headers);
    for (name, value) in &headers {
        assert!(value.is_sensitive(), "{name} would be shown");
        let text = std::str::from_utf8(value.as_bytes()).unwrap();
        assert!(
            !text.is_empty() && text.trim() == text && !text.contains(|character: char| character.is_control()),
            "{name}: {text:?}"
        );
        let field = match name.as_str() {
            "x-agent-user-isolation-key" => vec!["userKey"],
            "x-agent-chat-isolation-key" => vec!["chatKey"],
            "x-session-isolation-key" => vec!["ownershipKey"],
            // A key stands in for a missing identity.
            "x-ms-user-identity" | "x-agent-user-id" => vec!["userIdentity", "userKey"],
            other => panic!("{other} is not an isolation header"),
        };
        assert!(field.iter().any(|field| given[field] == text), "{name}: {text:?} was never given");
    }
    let shown = format!("{wire:?} {headers:?}");
    assert!(!shown.contains("__SEAL__"), "{shown}");
}
