//! What makes two requests the same: whose they are, the method, the path and the body, without what differs from run to run. Pure.

use super::markers::Values;
use crate::isolation::Partition;
use http::{HeaderMap, Method, Uri};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;

/// Members of a body that say where a turn runs, not what is asked: their ids are new in each run.
const ROUTING: [&str; 4] = ["agent_session_id", "session_id", "conversation", "agent_reference"];

/// The query's member that names the session.
const SESSION_QUERY: &str = "agent_session_id=";

/// A request, taken apart.
pub(super) struct Known {
    pub(super) method: Method,
    /// Without the session; response ids as the recording calls them.
    pub(super) path: String,
    /// In one order, without [`ROUTING`]; response ids as the recording calls them.
    body: Vec<u8>,
    /// The body as it was.
    json: Option<Value>,
}

impl Known {
    /// `names` has what the recording calls the responses of this run.
    pub(super) fn of(method: &Method, uri: &Uri, body: &[u8], names: &HashMap<String, String>) -> Self {
        let query = uri.query().unwrap_or_default().split('&').filter(|pair| !pair.starts_with(SESSION_QUERY));
        let query = query.filter(|pair| !pair.is_empty()).collect::<Vec<_>>().join("&");
        let name = |part: &str| names.get(part).cloned().unwrap_or_else(|| part.to_owned());
        let mut path = uri.path().split('/').map(name).collect::<Vec<_>>().join("/");
        if !query.is_empty() {
            path = format!("{path}?{query}");
        }
        let json: Option<Value> = serde_json::from_slice(body).ok();
        let body = match json.clone() {
            Some(Value::Object(mut members)) => {
                members.retain(|name, _| !ROUTING.contains(&name.as_str()));
                let mut value = Value::Object(members);
                rename(&mut value, names);
                value.sort_all_objects();
                value.to_string().into_bytes()
            }
            _ => body.to_vec(),
        };
        Self { method: method.clone(), path, body, json }
    }

    /// The same for equal requests of the same user to the same agent, and for no others.
    pub(super) fn digest(&self, salt: &str, agent: &str, partition: &str) -> String {
        digest(&[salt, agent, partition, self.method.as_str(), &self.path], &self.body)
    }

    /// The text that a person wrote, if it is one.
    pub(super) fn prompt(&self) -> Option<&str> {
        let json = self.json.as_ref()?;
        ["input", "message"].into_iter().find_map(|name| json.get(name)?.as_str())
    }

    /// How an error shows it: the beginning of what was asked.
    pub(super) fn shown(&self) -> String {
        let asked = String::from_utf8_lossy(&self.body);
        let beginning: String = self.prompt().unwrap_or(&asked).chars().take(SHOWN).collect();
        format!("{} {} {beginning:?}", self.method, self.path)
    }

    /// What is new in each run, and what must not be kept.
    pub(super) fn values(&self, session: &str, partition: &Partition, headers: &HeaderMap, prompts: bool) -> Values {
        let mut values = Values::default();
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let member = |name: &str| {
            let member = self.json.as_ref()?.get(name)?;
            member.as_str().or_else(|| member.get("id")?.as_str())
        };
        for (marker, value) in [
            ("session", Some(session)),
            ("response", header("x-agent-response-id")),
            ("previous", member("previous_response_id")),
            ("conversation", member("conversation")),
            ("user-id", header("x-agent-user-id")),
            ("call-id", header("x-agent-foundry-call-id")),
            ("prompt", self.prompt().filter(|_| !prompts)),
        ] {
            values.put(marker, value);
        }
        match partition {
            Partition::Keys { user, chat } => {
                values.put("user", user.as_deref());
                values.put("chat", chat.as_deref());
            }
            Partition::Own(user) | Partition::Delegated(user) => values.put("user", Some(user)),
        }
        values
    }
}

/// How much of a request an error shows, in characters.
const SHOWN: usize = 80;

/// Whose request it is, as a recording says it: the same for the same user in one file, and not to be read back.
pub(super) fn partition(salt: &str, partition: &Partition) -> String {
    let text = serde_json::to_vec(partition).unwrap_or_default();
    digest(&[salt, "partition"], &text)
}

fn digest(parts: &[&str], rest: &[u8]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    }
    hash.update(rest);
    let half = hash.finalize().first_chunk().copied().unwrap_or_default();
    uuid::Uuid::from_bytes(half).simple().to_string()
}

/// Response ids by the names that the recording has for them.
fn rename(value: &mut Value, names: &HashMap<String, String>) {
    match value {
        Value::String(text) => {
            if let Some(name) = names.get(text.as_str()) {
                name.clone_into(text);
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| rename(value, names)),
        Value::Object(members) => members.values_mut().for_each(|value| rename(value, names)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(path: &str, body: &str) -> Known {
        let names = HashMap::from([("caresp_live".to_owned(), "response-1".to_owned())]);
        Known::of(&Method::POST, &path.parse().unwrap(), body.as_bytes(), &names)
    }

    #[test]
    fn where_a_turn_runs_makes_no_difference_and_what_is_asked_does() {
        let digest = |path: &str, body: &str, user: &str| known(path, body).digest("salt", "mine", user);
        let usual = digest("/responses", r#"{"input": "hi", "stream": true, "agent_session_id": "s-1"}"#, "a");
        for same in [
            r#"{"stream": true, "input": "hi", "agent_session_id": "s-2"}"#,
            r#"{"input": "hi", "stream": true, "conversation": {"id": "c"}}"#,
        ] {
            assert_eq!(digest("/responses", same, "a"), usual, "{same}");
        }
        assert_ne!(digest("/responses", r#"{"input": "hi", "stream": false}"#, "a"), usual);
        assert_ne!(digest("/responses", r#"{"input": "ho", "stream": true}"#, "a"), usual);
        assert_ne!(digest("/responses", r#"{"input": "hi", "stream": true}"#, "b"), usual);
        assert_ne!(digest("/invocations", r#"{"input": "hi", "stream": true}"#, "a"), usual);
        let with = |session: &str| digest(&format!("/invocations?agent_session_id={session}&x=1"), "hi", "a");
        assert_eq!(with("s-1"), with("s-2"));
        assert_ne!(with("s-1"), digest("/invocations?x=2", "hi", "a"));
    }

    #[test]
    fn responses_of_this_run_are_called_as_in_the_recording() {
        assert_eq!(known("/responses/caresp_live", "").path, "/responses/response-1");
        let chained = |id: &str| {
            known("/responses", &format!(r#"{{"input": "hi", "previous_response_id": "{id}"}}"#)).digest("s", "m", "a")
        };
        assert_eq!(chained("caresp_live"), chained("response-1"));
        assert_ne!(chained("caresp_live"), chained("response-2"));
    }

    #[test]
    fn users_are_told_apart_and_cannot_be_read_back() {
        let keys = |user: &str| Partition::Keys { user: Some(user.to_owned()), chat: None };
        let all = [keys("ann"), keys("bob"), Partition::Own("ann".to_owned()), Partition::Delegated("ann".to_owned())];
        let shown: std::collections::BTreeSet<_> = all.iter().map(|one| partition("salt", one)).collect();
        assert_eq!(shown.len(), all.len());
        assert!(shown.iter().all(|text| !text.contains("ann")));
        assert_ne!(partition("salt", &keys("ann")), partition("other", &keys("ann")));
    }
}
