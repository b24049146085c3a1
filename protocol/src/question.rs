//! What an agent asks the person, and the input that answers it.

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use std::fmt;

/// The type of an input item that answers a tool's approval, as the responses protocol names it.
pub const APPROVAL: &str = "mcp_approval_response";

/// The agent waits for the person. The run that asked has ended; the answer is another `invoke` in the same partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Question {
    /// The agent's own id of the question. [`Input::Items`] with an item `mcp_approval_response` names it as
    /// `approval_request_id`.
    pub id: String,
    /// What is asked.
    pub kind: QuestionKind,
    /// What the agent says about it, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The tool that the agent wants to call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// The server that has the tool, or that wants consent, by its label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// The arguments of the tool's call, as the agent wrote them: usually JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arguments: Option<String>,
    /// Where the person gives consent. Always `https`; show it whole, and open it only if the person says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// What a question is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum QuestionKind {
    /// May the agent call this tool with these arguments? Answered with an approval or a denial; the first answer counts.
    Approval,
    /// The person signs in at a link, then sends the message again.
    Consent,
    /// The agent needs more information. Answered with the next message.
    Input,
    /// Any other kind, added by a newer daemon.
    #[serde(other)]
    Other,
}

/// What is sent to an agent.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum Input {
    /// Text, or the body of an invocation.
    Text(String),
    /// Input items of the responses protocol, for example `{"type": "mcp_approval_response", "approval_request_id": "…",
    /// "approve": true}`. An approval must answer a question that is open in this partition.
    Items(Vec<Value>),
}

impl<'de> Deserialize<'de> for Input {
    /// As serde's own for an untagged enum, with a message that says what may be given.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Given;

        impl<'de> Visitor<'de> for Given {
            type Value = Input;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("text, or a list of input items")
            }

            fn visit_str<E>(self, text: &str) -> Result<Input, E> {
                Ok(Input::Text(text.to_owned()))
            }

            fn visit_string<E>(self, text: String) -> Result<Input, E> {
                Ok(Input::Text(text))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Input, A::Error> {
                let mut all = Vec::new();
                while let Some(item) = items.next_element::<Map<String, Value>>()? {
                    all.push(Value::Object(item));
                }
                Ok(Input::Items(all))
            }
        }

        deserializer.deserialize_any(Given)
    }
}

impl fmt::Debug for Input {
    /// Leaves the content out: prompts do not belong in logs.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} bytes of input", self.len())
    }
}

impl Input {
    /// The text, unless it is a list of items.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Items(_) => None,
        }
    }

    /// Is there nothing to send?
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Text(text) => text.trim().is_empty(),
            Self::Items(items) => items.is_empty(),
        }
    }

    /// Its length as it is sent, in bytes.
    pub fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Items(items) => items.iter().map(|item| item.to_string().len() + 1).sum(),
        }
    }

    /// The questions that its items approve or deny: their ids, and whether they approve.
    pub fn approvals(&self) -> impl Iterator<Item = (&str, bool)> {
        let items = match self {
            Self::Text(_) => &[],
            Self::Items(items) => items.as_slice(),
        };
        items.iter().filter(|item| item.get("type").is_some_and(|kind| kind == APPROVAL)).map(|item| {
            let id = item.get("approval_request_id").and_then(Value::as_str).unwrap_or_default();
            (id, item.get("approve") == Some(&Value::Bool(true)))
        })
    }

    /// Does an item name another one by its id?
    pub fn has_references(&self) -> bool {
        // The type of a reference may be left out. So may that of a message, but a message has a role.
        let is_reference = |item: &Value| match item.get("type").and_then(Value::as_str) {
            Some(kind) => kind == "item_reference",
            None => item.get("role").is_none(),
        };
        matches!(self, Self::Items(items) if items.iter().any(is_reference))
    }
}

impl From<String> for Input {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Input {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// An item that answers a tool's approval.
pub fn approval(id: &str, approve: bool) -> Value {
    serde_json::json!({"type": APPROVAL, "approval_request_id": id, "approve": approve})
}

/// A message of the person, as an item.
pub fn message(text: &str) -> Value {
    serde_json::json!({"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_tell_what_they_answer() {
        let input: Input = serde_json::from_str(
            r#"[{"type":"mcp_approval_response","approval_request_id":"a","approve":true},
                {"type":"mcp_approval_response","approval_request_id":"b","approve":"yes"},
                {"type":"message","role":"user","content":"and thanks"}]"#,
        )
        .unwrap();
        // Anything but true denies.
        assert_eq!(input.approvals().collect::<Vec<_>>(), [("a", true), ("b", false)]);
        assert!(!input.has_references() && !input.is_empty());
        let text: Input = serde_json::from_str("\"hello\"").unwrap();
        assert_eq!((text.text(), text.len(), text.approvals().count()), (Some("hello"), 5, 0));
        for (item, is_reference) in [
            (r#"{"type":"item_reference","id":"x"}"#, true),
            (r#"{"id":"x"}"#, true),
            (r#"{"type":null,"id":"x"}"#, true),
            (r#"{"role":"user","content":"hello"}"#, false),
        ] {
            let input: Input = serde_json::from_str(&format!("[{item}]")).unwrap();
            assert_eq!(input.has_references(), is_reference, "{item}");
        }
        for wrong in ["5", "null", "[\"text\"]", "{}"] {
            assert!(serde_json::from_str::<Input>(wrong).is_err(), "{wrong}");
        }
    }
}
