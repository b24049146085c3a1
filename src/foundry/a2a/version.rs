//! The two versions of A2A: how a request is written, and what a result is, in either. Pure.
//!
//! The service documents 0.3 (contract section 11); agents' frameworks write 1.0, too. 1.0 names methods, roles and states as
//! Protocol Buffers do, and says what a result is by the member that holds it instead of by `kind`.

use super::super::agent::A2aManner;
use cupola_protocol::id::ConversationId;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

/// A version of the protocol.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Version {
    /// 0.3, which the service documents.
    #[default]
    V0,
    /// 1.0.
    V1,
}

/// What is asked of an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Send,
    Stream,
    Get,
    Cancel,
}

impl From<A2aManner> for Version {
    fn from(manner: A2aManner) -> Self {
        if manner.is_new { Self::V1 } else { Self::V0 }
    }
}

impl Version {
    /// The value of `A2A-Version`.
    pub(super) const fn header(self) -> &'static str {
        match self {
            Self::V0 => "0.3",
            Self::V1 => "1.0",
        }
    }

    const fn method(self, method: Method) -> &'static str {
        match (self, method) {
            (Self::V0, Method::Send) => "message/send",
            (Self::V0, Method::Stream) => "message/stream",
            (Self::V0, Method::Get) => "tasks/get",
            (Self::V0, Method::Cancel) => "tasks/cancel",
            (Self::V1, Method::Send) => "SendMessage",
            (Self::V1, Method::Stream) => "SendStreamingMessage",
            (Self::V1, Method::Get) => "GetTask",
            (Self::V1, Method::Cancel) => "CancelTask",
        }
    }

    /// A request that sends `text`, to be answered in the context if one is named, and as what the task waits for.
    pub(super) fn message(
        self,
        text: &str,
        context: Option<&ConversationId>,
        task: Option<&str>,
        streams: bool,
    ) -> Value {
        let id = Uuid::new_v4().to_string();
        let mut message = match self {
            Self::V0 => json!({"role": "user", "messageId": id, "parts": [{"kind": "text", "text": text}]}),
            Self::V1 => json!({"role": "ROLE_USER", "messageId": id, "parts": [{"text": text}]}),
        };
        if let Some(context) = context {
            message["contextId"] = json!(context);
        }
        if let Some(task) = task {
            message["taskId"] = json!(task);
        }
        let method = if streams { Method::Stream } else { Method::Send };
        self.request(method, &json!({"message": message}))
    }

    /// A request about a task.
    pub(super) fn about_task(self, method: Method, task: &str) -> Value {
        self.request(method, &json!({"id": task}))
    }

    fn request(self, method: Method, params: &Value) -> Value {
        let id = Uuid::new_v4().to_string();
        json!({"jsonrpc": "2.0", "id": id, "method": self.method(method), "params": params})
    }

    /// The version that a whole request is written in, by its method.
    pub(super) fn of_request(request: &str) -> Self {
        let method = serde_json::from_str::<Value>(request).ok();
        let method = method.as_ref().and_then(|request| request.get("method")).and_then(Value::as_str);
        // 0.3 writes `noun/verb`.
        if method.is_some_and(|method| !method.contains('/')) { Self::V1 } else { Self::V0 }
    }
}

/// An agent's card, as far as it decides how to talk to it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Card {
    #[serde(default)]
    capabilities: Option<Capabilities>,
    /// 1.0: where the agent can be called, and in which versions.
    #[serde(default)]
    supported_interfaces: Option<Vec<Interface>>,
    /// 0.3.
    #[serde(default)]
    protocol_version: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct Capabilities {
    #[serde(default)]
    streaming: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Interface {
    #[serde(default)]
    protocol_version: Option<String>,
}

impl Card {
    /// 0.3 if the agent speaks it.
    pub(super) fn manner(&self) -> A2aManner {
        let interfaces = self.supported_interfaces.iter().flatten().map(|interface| &interface.protocol_version);
        let mut versions = interfaces.chain([&self.protocol_version]).flatten().peekable();
        A2aManner {
            is_new: versions.peek().is_some() && versions.all(|version| !version.starts_with("0.")),
            streams: self.capabilities.as_ref().and_then(|capabilities| capabilities.streaming).unwrap_or(false),
        }
    }
}

/// What a result is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Message,
    Task,
    Status,
    Artifact,
}

impl Kind {
    /// Its name in 0.3.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Task => "task",
            Self::Status => "status-update",
            Self::Artifact => "artifact-update",
        }
    }
}

/// A result of either version: what it is, and its members.
pub(super) fn unwrapped(result: &Value) -> (Option<Kind>, &Value) {
    let named = [
        ("message", Kind::Message),
        ("task", Kind::Task),
        ("statusUpdate", Kind::Status),
        ("artifactUpdate", Kind::Artifact),
    ];
    let kind = result.get("kind").and_then(Value::as_str);
    if let Some(kind) = kind {
        return (named.into_iter().map(|(_, kind)| kind).find(|known| known.name() == kind), result);
    }
    let held =
        named.into_iter().find_map(|(name, kind)| Some((kind, result.get(name)?)).filter(|held| held.1.is_object()));
    match held {
        Some((kind, held)) => (Some(kind), held),
        // One that does not say what it is: it is known by what it has.
        None if result.get("parts").is_some() => (Some(Kind::Message), result),
        None if result.get("status").is_some() => (Some(Kind::Task), result),
        None => (None, result),
    }
}

/// A task's state, as 0.3 writes it.
pub(super) fn state_of(status: Option<&Value>) -> Option<String> {
    let state = status?.get("state")?.as_str()?;
    Some(
        state
            .strip_prefix("TASK_STATE_")
            .map_or_else(|| state.to_owned(), |state| state.to_ascii_lowercase().replace('_', "-")),
    )
}

/// Is it the user's own message?
pub(super) fn is_users(message: &Value) -> bool {
    matches!(message.get("role").and_then(Value::as_str), Some("user" | "ROLE_USER"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_says_the_version_and_whether_it_streams() {
        let card = |card: Value| serde_json::from_value::<Card>(card).unwrap().manner();
        for (given, version, streams) in [
            (json!({}), Version::V0, false),
            (json!({"protocolVersion": "0.3.0", "capabilities": {"streaming": true}}), Version::V0, true),
            (
                json!({"supportedInterfaces": [{"url": "u", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}],
                "capabilities": {"streaming": true}}),
                Version::V1,
                true,
            ),
            (
                json!({"supportedInterfaces": [{"protocolVersion": "1.0"}, {"protocolVersion": "0.3"}]}),
                Version::V0,
                false,
            ),
            (json!({"capabilities": null, "supportedInterfaces": null}), Version::V0, false),
            (json!({"capabilities": {"streaming": null}, "protocolVersion": "1.0"}), Version::V1, false),
        ] {
            assert_eq!(card(given.clone()), A2aManner { is_new: version == Version::V1, streams }, "{given}");
        }
    }

    #[test]
    fn a_whole_request_shows_its_version() {
        for (request, version) in [
            (r#"{"method":"message/send"}"#, Version::V0),
            (r#"{"method":"SendMessage"}"#, Version::V1),
            ("not JSON", Version::V0),
        ] {
            assert_eq!(Version::of_request(request), version, "{request}");
        }
    }
}
