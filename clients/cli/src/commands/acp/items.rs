//! An item of a response or a conversation, as the service writes it, read for what an editor shows of it. Pure.

use agent_client_protocol_schema::v1::{ToolCallStatus, ToolKind};
use serde_json::Value;

/// What an item is to an editor.
#[derive(Debug, PartialEq)]
pub(super) enum Item {
    /// The person's words.
    User { id: String, text: String },
    /// The agent's words. `is_refusal`: it says that it will not do it.
    Agent { id: String, text: String, is_refusal: bool },
    /// The agent's reasoning.
    Thought { id: String, text: String },
    /// A call of a tool.
    Tool(Tool),
    /// What a tool's call returned.
    Returned { call: String, output: Value },
    /// The agent needed the person's consent, given at a link.
    Consent { id: String, server: Option<String>, link: Option<String> },
    /// What the person decided on a tool's call.
    Decided { call: String, is_allowed: bool },
    /// Nothing that an editor shows.
    Other,
}

/// A call of a tool.
#[derive(Debug, PartialEq)]
pub(super) struct Tool {
    pub(super) id: String,
    /// What its result names it by, if that is a separate item.
    pub(super) call: Option<String>,
    pub(super) title: String,
    pub(super) name: Option<String>,
    pub(super) kind: ToolKind,
    pub(super) status: ToolCallStatus,
    pub(super) input: Option<Value>,
    pub(super) output: Option<Value>,
}

impl Item {
    /// Reads an item.
    pub(super) fn of(item: &Value) -> Self {
        let text = |name: &str| item.get(name).and_then(Value::as_str).unwrap_or_default();
        let id = text("id").to_owned();
        match text("type") {
            "message" => message(item, id),
            "reasoning" => {
                let part =
                    |name: &str| item.get(name).map(|parts| joined(parts, "\n\n")).filter(|text| !text.is_empty());
                let text = part("summary").or_else(|| part("content")).unwrap_or_default();
                Self::Thought { id, text }
            }
            "oauth_consent_request" => {
                let own = |name: &str| Some(text(name).to_owned()).filter(|text| !text.is_empty());
                Self::Consent {
                    id,
                    server: own("server_label"),
                    link: own("consent_link").filter(|link| is_safe(link)),
                }
            }
            "mcp_approval_response" => {
                let is_allowed = item.get("approve").and_then(Value::as_bool).unwrap_or_default();
                Self::Decided { call: text("approval_request_id").to_owned(), is_allowed }
            }
            kind if kind.ends_with("_call_output") => {
                let output = item.get("output").cloned().unwrap_or_default();
                Self::Returned { call: text("call_id").to_owned(), output }
            }
            kind if kind.ends_with("_call") || kind == "mcp_approval_request" => {
                tool(item, kind).filter(|tool| !tool.id.is_empty()).map_or(Self::Other, Self::Tool)
            }
            _ => Self::Other,
        }
    }
}

/// Is it plain `https`, as the links of a live turn are? The daemon checks those; items of a conversation come as the service keeps them.
/// One with a user name can pass for another host.
fn is_safe(link: &str) -> bool {
    let is_plain = link.chars().all(|character| character.is_ascii_graphic() && character != '\\');
    let host = link.strip_prefix("https://").and_then(|rest| rest.split(['/', '?', '#']).next());
    is_plain && host.is_some_and(|host| !host.is_empty() && !host.contains('@'))
}

fn message(item: &Value, id: String) -> Item {
    let content = item.get("content").unwrap_or(&Value::Null);
    let text = joined(content, "");
    match item.get("role").and_then(Value::as_str) {
        Some("user") => Item::User { id, text },
        Some("assistant") => {
            let parts = content.as_array().map(Vec::as_slice).unwrap_or_default();
            let is_refusal = |part: &Value| part.get("type").is_some_and(|kind| kind == "refusal");
            Item::Agent { id, text, is_refusal: !parts.is_empty() && parts.iter().all(is_refusal) }
        }
        _ => Item::Other,
    }
}

/// The text of content: a string, or parts of which some have text.
fn joined(content: &Value, between: &str) -> String {
    let Some(parts) = content.as_array() else { return content.as_str().unwrap_or_default().to_owned() };
    let text = |part: &Value| {
        let text = ["text", "refusal"].iter().find_map(|name| part.get(name)).and_then(Value::as_str);
        text.map(ToOwned::to_owned)
    };
    parts.iter().filter_map(text).collect::<Vec<_>>().join(between)
}

fn tool(item: &Value, item_kind: &str) -> Option<Tool> {
    let text = |name: &str| item.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let name = text("name");
    let action = item.get("action");
    let query = action.and_then(|action| action.get("query")).and_then(Value::as_str);
    let (title, kind, input) = match item_kind {
        "web_search_call" => {
            let title = query.map_or_else(|| "search the web".to_owned(), |query| format!("search the web: {query}"));
            (title, ToolKind::Search, action.cloned())
        }
        "file_search_call" => ("search files".to_owned(), ToolKind::Search, item.get("queries").cloned()),
        "code_interpreter_call" => ("run code".to_owned(), ToolKind::Execute, item.get("code").cloned()),
        "shell_call" | "local_shell_call" => ("run a command".to_owned(), ToolKind::Execute, action.cloned()),
        "apply_patch_call" => ("apply a patch".to_owned(), ToolKind::Edit, item.get("operation").cloned()),
        other => {
            let title = match (text("server_label"), name) {
                (Some(server), Some(name)) => format!("{server}: {name}"),
                (_, Some(name)) => name.to_owned(),
                _ => other.trim_end_matches("_call").replace('_', " "),
            };
            let input = item.get("arguments").or_else(|| item.get("input")).or(action);
            (title, ToolKind::Other, input.map(parsed))
        }
    };
    let error = item.get("error").filter(|error| !error.is_null());
    let output = error.or_else(|| item.get("output").filter(|output| !output.is_null()));
    let status = match (text("status"), error) {
        _ if item_kind == "mcp_approval_request" => ToolCallStatus::Pending,
        (_, Some(_)) | (Some("failed" | "incomplete"), _) => ToolCallStatus::Failed,
        // What a function returns is a separate item, and comes later.
        (Some("completed"), None) if text("call_id").is_none() => ToolCallStatus::Completed,
        _ => ToolCallStatus::InProgress,
    };
    Some(Tool {
        id: text("id").or_else(|| text("call_id"))?.to_owned(),
        call: text("call_id").map(ToOwned::to_owned),
        title,
        name: name.map(ToOwned::to_owned),
        kind,
        status,
        input: input.filter(|input| !input.is_null() && input != ""),
        output: output.map(parsed),
    })
}

/// JSON that travels as text, as JSON.
fn parsed(value: &Value) -> Value {
    let text = value.as_str();
    text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_else(|| value.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn words_are_told_apart_by_whose_they_are() {
        for (item, expected) in [
            (
                json!({"type": "message", "id": "m1", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}),
                Item::User { id: "m1".to_owned(), text: "hi".to_owned() },
            ),
            (
                json!({"type": "message", "id": "m1", "role": "user", "content": "hi"}),
                Item::User { id: "m1".to_owned(), text: "hi".to_owned() },
            ),
            (
                json!({"type": "message", "id": "m2", "role": "assistant", "content": [{"type": "output_text", "text": "a"},
                    {"type": "output_text", "text": "b"}]}),
                Item::Agent { id: "m2".to_owned(), text: "ab".to_owned(), is_refusal: false },
            ),
            (
                json!({"type": "message", "id": "m2", "role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}),
                Item::Agent { id: "m2".to_owned(), text: "no".to_owned(), is_refusal: true },
            ),
            (
                json!({"type": "reasoning", "id": "r1", "summary": [{"text": "one"}, {"text": "two"}]}),
                Item::Thought { id: "r1".to_owned(), text: "one\n\ntwo".to_owned() },
            ),
            (json!({"type": "message", "role": "system", "content": "be good"}), Item::Other),
            (json!({"type": "mcp_list_tools", "id": "l1"}), Item::Other),
            (json!(7), Item::Other),
        ] {
            assert_eq!(Item::of(&item), expected, "{item}");
        }
    }

    #[test]
    fn only_a_plain_https_link_to_consent_is_shown() {
        let link = |link: &str| {
            let item = json!({"type": "oauth_consent_request", "id": "c", "consent_link": link});
            let Item::Consent { link, .. } = Item::of(&item) else { panic!("{item}") };
            link
        };
        for plain in ["https://login.example/consent?code=1#x", "https://login.example"] {
            assert_eq!(link(plain).as_deref(), Some(plain));
        }
        for other in [
            "http://login.example/",
            "javascript:alert(1)",
            "https://login.example@evil.example/",
            "https://login.example\\@evil.example/",
            "https:///consent",
            "https://login.example/\u{202e}moc",
            "https://login.example/ a",
            "",
        ] {
            assert_eq!(link(other), None, "{other}");
        }
    }

    #[test]
    fn each_call_of_a_tool_has_an_id_a_title_and_a_status() {
        use ToolCallStatus::{Completed, Failed, InProgress, Pending};
        for (item, id, title, status) in [
            (
                json!({"type": "function_call", "id": "fc", "call_id": "c1", "name": "get_time", "arguments": "{\"a\":1}",
                    "status": "completed"}),
                "fc",
                "get_time",
                InProgress,
            ),
            (
                json!({"type": "mcp_call", "id": "m", "server_label": "docs", "name": "find", "status": "completed",
                    "output": "yes"}),
                "m",
                "docs: find",
                Completed,
            ),
            (json!({"type": "mcp_call", "id": "m", "name": "find", "error": "no"}), "m", "find", Failed),
            (
                json!({"type": "mcp_approval_request", "id": "a", "server_label": "docs", "name": "drop"}),
                "a",
                "docs: drop",
                Pending,
            ),
            (
                json!({"type": "web_search_call", "id": "w", "status": "in_progress", "action": {"query": "rust"}}),
                "w",
                "search the web: rust",
                InProgress,
            ),
            (json!({"type": "brand_new_call", "id": "n", "status": "failed"}), "n", "brand new", Failed),
        ] {
            let Item::Tool(tool) = Item::of(&item) else { panic!("{item}") };
            assert_eq!((tool.id.as_str(), tool.title.as_str(), tool.status), (id, title, status), "{item}");
        }
        assert_eq!(Item::of(&json!({"type": "function_call", "name": "x"})), Item::Other, "nothing could update it");
        let output = json!({"type": "function_call_output", "call_id": "c1", "output": "noon"});
        assert_eq!(Item::of(&output), Item::Returned { call: "c1".to_owned(), output: json!("noon") });
    }
}
