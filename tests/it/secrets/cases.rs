//! One call or more of every method, with marks in all that it takes, and the same calls gone wrong.

use super::marks::Mark;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

/// An agent, and the isolation that its calls carry.
pub(crate) struct Scope {
    pub(crate) target: Value,
    pub(crate) isolation: Value,
    /// Sessions that the calls make: one that stays, one that is deleted.
    pub(crate) sessions: [&'static str; 2],
}

/// Keys, and the ownership key that goes with them.
pub(crate) fn keys() -> Value {
    json!({"userKey": Mark::UserKey.text(), "chatKey": Mark::ChatKey.text(), "ownershipKey": Mark::OwnershipKey.text()})
}

/// A delegated identity.
pub(crate) fn identity() -> Value {
    json!({"userIdentity": Mark::Identity.text(), "chat": "label"})
}

impl Scope {
    /// Parameters for this agent and isolation, and more.
    #[expect(clippy::needless_pass_by_value, reason = "it reads well with json! in its place")]
    pub(crate) fn with(&self, more: Value) -> Value {
        let mut params = Map::new();
        params.insert("target".to_owned(), self.target.clone());
        params.insert("isolation".to_owned(), self.isolation.clone());
        params.extend(more.as_object().unwrap().clone());
        Value::Object(params)
    }

    /// As [`Self::with`], in a chat.
    fn with_chat(&self, more: Value) -> Value {
        let mut params = self.with(more);
        params["isolation"]["chat"] = "label".into();
        params
    }

    /// Calls in an order in which each has something to do. `run` is a run that has ended; `directory` is for local files.
    pub(crate) fn calls(&self, run: &str, directory: &str) -> Vec<(&'static str, Value)> {
        let prompt = format!("remember {}", Mark::Prompt.text());
        let [kept, deleted] = self.sessions;
        let of_agent = |more: Value| {
            let mut params = self.with(more);
            params.as_object_mut().unwrap().remove("isolation");
            params
        };
        let debug = |more: Value| {
            let mut params = self.with(more);
            params["debug"] = true.into();
            params["partialResultToken"] = "shown".into();
            params
        };
        let upload = format!("{directory}/content.txt");
        let download = format!("{directory}/copy.txt");
        let written = STANDARD.encode(Mark::Content.text());
        vec![
            ("agents/list", of_agent(json!({}))),
            ("agents/show", of_agent(json!({"debug": true, "partialResultToken": "shown"}))),
            ("sessions/create", debug(json!({"sessionId": kept}))),
            ("sessions/create", self.with(json!({"sessionId": deleted}))),
            ("sessions/use", self.with(json!({"sessionId": kept}))),
            ("invoke", debug(json!({"input": prompt}))),
            ("invoke", self.with(json!({"input": prompt, "raw": true, "partialResultToken": "raw"}))),
            ("invoke", self.with(json!({"input": prompt, "protocol": "invocations", "partialResultToken": "events"}))),
            ("runs/list", self.with(json!({}))),
            ("runs/show", json!({"runId": run})),
            ("runs/attach", json!({"runId": run, "partialResultToken": "again"})),
            ("runs/cancel", json!({"runId": run})),
            ("sessions/list", self.with(json!({}))),
            ("sessions/show", self.with(json!({"sessionId": kept}))),
            ("files/upload", debug(json!({"localPath": upload, "path": "content.txt"}))),
            ("files/list", self.with(json!({}))),
            ("files/stat", self.with(json!({"path": "content.txt"}))),
            ("files/download", self.with(json!({"localPath": download, "path": "content.txt"}))),
            ("files/read", self.with(json!({"path": "content.txt"}))),
            ("files/write", self.with(json!({"path": "written.txt", "content": written, "isLast": true}))),
            ("files/mkdir", self.with(json!({"path": "made"}))),
            ("files/delete", self.with(json!({"path": "made", "recursive": true}))),
            ("monitor", self.with(json!({"tail": 10}))),
            ("daemon/doctor", self.with(json!({}))),
            ("partitions/list", self.with(json!({}))),
            ("partitions/import", json!({"entries": [self.with(json!({"sessionId": kept}))], "dryRun": true})),
            ("chats/save", self.with_chat(json!({"title": "shown"}))),
            ("chats/list", self.with(json!({}))),
            ("chats/items", self.with(json!({}))),
            ("sessions/stop", self.with(json!({"sessionId": deleted}))),
            ("sessions/delete", debug(json!({"sessionId": deleted}))),
            ("daemon/status", json!({})),
            ("auth/status", json!({})),
            ("rpc.discover", json!({})),
            ("initialize", json!({"clientInfo": {"name": "walk"}})),
        ]
    }

    /// Calls that end something, each on its own connection.
    pub(crate) fn last_calls(&self) -> Vec<(&'static str, Value)> {
        vec![
            ("initialize", json!({"bind": self.with(json!({}))})),
            ("chats/forget", self.with_chat(json!({}))),
            ("partitions/forget", self.with(json!({}))),
            ("auth/clear", json!({})),
            ("shutdown", json!({})),
        ]
    }
}

/// The same call with something wrong that a caller could get wrong: what is refused must not be repeated.
pub(crate) fn mistaken(params: &Value) -> Vec<Value> {
    let mut mistaken = Vec::new();
    let mut change = |member: &str, value: Value| {
        if params.get(member).is_some() {
            let mut params = params.clone();
            params[member] = value;
            mistaken.push(params);
        }
    };
    let user = Mark::UserKey.text();
    let number: Value = serde_json::from_str(&Mark::NumberKey.text()).unwrap();
    for isolation in [
        json!({"userKey": format!("{user}\r\nx-evil: 1")}),
        json!({"chatKey": format!(" {}", Mark::ChatKey.text())}),
        json!({"ownershipKey": format!("{}{}", Mark::OwnershipKey.text(), "x".repeat(1024))}),
        json!({"userIdentity": format!("{} of mine", Mark::Identity.text())}),
        json!({"userKey": number.clone()}),
        json!({"userKey": [user.clone()]}),
        json!({"userKey": {"value": user.clone()}}),
        json!({"unknown": user.clone()}),
        json!(user.clone()),
        number.clone(),
    ] {
        change("isolation", isolation);
    }
    for input in [json!([Mark::Prompt.text()]), json!({"text": Mark::Prompt.text()}), number] {
        change("input", input);
    }
    mistaken
}

/// The same call to places that refuse it.
pub(crate) fn misdirected(params: &Value) -> Vec<Value> {
    let Some(target) = params.get("target") else { return Vec::new() };
    let host = json!({"kind": "project", "endpoint": "https://evil.example/api/projects/p", "agent": "notes"});
    let mut required = target.clone();
    required["agent"] = "notes-required".into();
    let mut none = target.clone();
    none["agent"] = "no-such-agent".into();
    let to = |target: Value| {
        let mut params = params.clone();
        params["target"] = target;
        params
    };
    vec![to(host), to(required), to(none)]
}
