//! The JSON-RPC 2.0 envelope, as a client reads and writes it, and the notifications that stream and cancel.

use crate::error::ErrorData;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Largest message in both directions, in bytes, whatever frames it. The daemon and every client have this one limit. The
/// largest answer is 32 MiB of text, and JSON may write a character of it in two.
pub const MAX_MESSAGE_BYTES: usize = 64 * 1024 * 1024;

/// A request id. Echoed with its value and its type.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum Id {
    /// A number.
    Number(i64),
    /// A string.
    Text(String),
}

/// Chosen by the caller, echoed in every `$/progress` of its call.
pub type ProgressToken = Id;

/// A call, or a notification when `id` is missing.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Request<Params> {
    /// Always `2.0`; its absence is accepted.
    #[serde(default = "version")]
    pub jsonrpc: String,
    /// Names the call in its response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Id>,
    /// The method's name.
    pub method: String,
    /// Its parameters: one object.
    pub params: Params,
}

impl<Params> Request<Params> {
    /// A call that will be answered.
    pub fn call(id: Id, method: &str, params: Params) -> Self {
        Self { jsonrpc: version(), id: Some(id), method: method.to_owned(), params }
    }

    /// A notification: nothing answers it.
    pub fn notification(method: &str, params: Params) -> Self {
        Self { jsonrpc: version(), id: None, method: method.to_owned(), params }
    }
}

fn version() -> String {
    "2.0".to_owned()
}

/// Anything the daemon sends: a notification (`method`, `params`), a result or an error (`id` and one of the two).
#[derive(Debug, Deserialize)]
pub struct Incoming {
    /// The call this answers.
    #[serde(default)]
    pub id: Option<Id>,
    /// A notification's method.
    #[serde(default)]
    pub method: Option<String>,
    /// A notification's parameters.
    #[serde(default)]
    pub params: Option<Box<RawValue>>,
    /// The call's result.
    #[serde(default)]
    pub result: Option<Box<RawValue>>,
    /// Why it failed.
    #[serde(default)]
    pub error: Option<ErrorObject>,
}

/// Why a call failed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ErrorObject {
    /// The number of [`crate::error::ErrorKind`].
    pub code: i32,
    /// What happened, for people.
    pub message: String,
    /// Details for programs. Missing only in errors of a daemon that is not Cupola.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<ErrorData>,
}

/// The notification that carries events.
pub const PROGRESS: &str = "$/progress";

/// The notification that cancels, in the spelling of LSP.
pub const CANCEL: &str = "$/cancelRequest";

/// The same notification as spelled by ACP (`requestId`) and MCP (`requestId`).
pub const CANCEL_ALIASES: [&str; 2] = ["$/cancel_request", "notifications/cancelled"];

/// `$/progress`.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "ProgressParams"))]
pub struct Progress<Value> {
    /// The caller's token.
    pub token: ProgressToken,
    /// What happened.
    pub value: Value,
}

/// `$/cancelRequest`.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "CancelParams"))]
pub struct Cancel {
    /// The call to cancel.
    #[serde(alias = "requestId")]
    pub id: Id,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_keep_their_type() {
        assert_eq!(serde_json::from_str::<Id>("1").unwrap(), Id::Number(1));
        assert_eq!(serde_json::from_str::<Id>("\"1\"").unwrap(), Id::Text("1".to_owned()));
        assert_eq!(serde_json::to_string(&Id::Text("1".to_owned())).unwrap(), "\"1\"");
    }

    #[test]
    fn cancel_is_understood_in_every_spelling() {
        for text in [r#"{"id":7}"#, r#"{"requestId":7}"#] {
            assert_eq!(serde_json::from_str::<Cancel>(text).unwrap().id, Id::Number(7));
        }
    }
}
