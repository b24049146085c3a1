//! The body of `POST /responses`, read and checked as the agent server does (contract 7.1, 7.5).

use super::ids;
use super::problem::Problem;
use super::run::Mode;
use serde_json::{Map, Value, json};

/// Limits of `metadata` (contract 7.1).
const MAX_METADATA_KEYS: usize = 16;
const MAX_METADATA_KEY_CHARS: usize = 64;
const MAX_METADATA_VALUE_CHARS: usize = 512;

/// Fields with one type; null counts as absent. `input` and `conversation` may have two.
const TYPES: [(&str, &str); 9] = [
    ("agent_session_id", "string"),
    ("background", "boolean"),
    ("instructions", "string"),
    ("metadata", "object"),
    ("model", "string"),
    ("previous_response_id", "string"),
    ("store", "boolean"),
    ("stream", "boolean"),
    ("stream_options", "object"),
];

/// What was asked for.
#[derive(Debug)]
pub(super) struct CreateResponse {
    pub(super) mode: Mode,
    pub(super) store: bool,
    /// The items of `input`, without ids.
    items: Vec<Map<String, Value>>,
    pub(super) model: Option<String>,
    pub(super) instructions: Option<Value>,
    pub(super) metadata: Option<Value>,
    pub(super) previous_response_id: Option<String>,
    pub(super) conversation: Option<String>,
    pub(super) agent_reference: Option<Value>,
    pub(super) agent_session_id: Option<String>,
}

impl CreateResponse {
    /// Reads a body.
    pub(super) fn parse(body: &[u8]) -> Result<Self, Problem> {
        let value: Value = serde_json::from_slice(body).map_err(|error| bad_json(body, &error))?;
        let Value::Object(fields) = value else {
            return Err(Problem::invalid("invalid_request", "request body must be a JSON object", None));
        };
        let agent_reference = agent_reference(&fields)?;
        check_types(&fields)?;

        let flag = |name| fields.get(name).and_then(Value::as_bool);
        let given = |name| fields.get(name).filter(|value| !value.is_null()).cloned();
        let text = |name| {
            let text = fields.get(name).and_then(Value::as_str).map(str::trim);
            text.filter(|text| !text.is_empty()).map(str::to_owned)
        };
        let mode = Mode { background: flag("background").unwrap_or(false), stream: flag("stream").unwrap_or(false) };
        let store = flag("store").unwrap_or(true);
        if mode.background && !store {
            return Err(Problem::invalid(
                "unsupported_parameter",
                "background=true requires store=true",
                Some("background"),
            ));
        }
        let stream_options = given("stream_options");
        if stream_options.is_some() && !mode.stream {
            return Err(Problem::invalid("invalid_mode", "stream_options requires stream=true", Some("stream")));
        }
        let metadata = given("metadata");
        check_metadata(metadata.as_ref())?;
        let previous_response_id = text("previous_response_id");
        if previous_response_id.as_deref().is_some_and(|id| !ids::is_response_id(id)) {
            return Err(Problem::invalid("invalid_parameters", "Malformed identifier.", Some("previous_response_id")));
        }
        Ok(Self {
            mode,
            store,
            items: items(fields.get("input")),
            model: text("model"),
            instructions: given("instructions"),
            metadata,
            previous_response_id,
            conversation: conversation(fields.get("conversation")),
            agent_reference,
            agent_session_id: text("agent_session_id"),
        })
    }

    /// The text of the input: all `input_text` parts of its messages, a line each.
    pub(super) fn text(&self) -> String {
        let mut texts = Vec::new();
        for item in &self.items {
            match item.get("content") {
                Some(Value::String(text)) => texts.push(text.as_str()),
                Some(Value::Array(parts)) => {
                    let parts = parts.iter().filter(|part| part["type"] == "input_text");
                    texts.extend(parts.filter_map(|part| part["text"].as_str()));
                }
                _ => {}
            }
        }
        texts.join("\n")
    }

    /// The items as they are listed later, with ids in the partition of `response_id`.
    pub(super) fn input_items(&self, response_id: &str) -> Vec<Value> {
        let listed = |mut item: Map<String, Value>| {
            if let Some(Value::String(text)) = item.get("content") {
                let parts = json!([{"type": "input_text", "text": text}]);
                item.insert("content".to_owned(), parts);
            }
            item.entry("id").or_insert_with(|| ids::new_id("msg", Some(response_id)).into());
            item.entry("status").or_insert_with(|| "completed".into());
            Value::Object(item)
        };
        self.items.iter().cloned().map(listed).collect()
    }
}

fn items(input: Option<&Value>) -> Vec<Map<String, Value>> {
    let message = |text: &str| {
        let content = json!([{"type": "input_text", "text": text}]);
        let mut item = Map::new();
        item.insert("type".to_owned(), "message".into());
        item.insert("role".to_owned(), "user".into());
        item.insert("content".to_owned(), content);
        item
    };
    match input {
        Some(Value::String(text)) => vec![message(text)],
        Some(Value::Array(items)) => {
            let objects = items.iter().filter_map(Value::as_object);
            objects
                .map(|item| {
                    let mut item = item.clone();
                    item.entry("type").or_insert_with(|| "message".into());
                    item
                })
                .collect()
        }
        _ => Vec::new(),
    }
}

fn conversation(value: Option<&Value>) -> Option<String> {
    let id = match value? {
        Value::String(id) => id.as_str(),
        object => object.get("id")?.as_str()?,
    };
    (!id.is_empty()).then(|| id.to_owned())
}

fn agent_reference(fields: &Map<String, Value>) -> Result<Option<Value>, Problem> {
    let invalid = |message, param| Err(Problem::invalid("invalid_request", message, Some(param)));
    match fields.get("agent_reference") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(reference)) => {
            if reference.get("type").and_then(Value::as_str) != Some("agent_reference") {
                return invalid("agent_reference.type must be 'agent_reference'", "agent_reference.type");
            }
            let name = reference.get("name").and_then(Value::as_str).map(str::trim);
            if name.is_none_or(str::is_empty) {
                return invalid("agent_reference.name must be a non-empty string", "agent_reference.name");
            }
            Ok(Some(Value::Object(reference.clone())))
        }
        Some(_) => invalid("agent_reference must be an object", "agent_reference"),
    }
}

fn check_types(fields: &Map<String, Value>) -> Result<(), Problem> {
    for (name, expected) in TYPES {
        match fields.get(name) {
            None | Some(Value::Null) => {}
            Some(value) if type_of(value) == expected => {}
            Some(value) => {
                let message = format!("Expected {expected}, got {}", type_of(value));
                return Err(Problem::wrong_type(&format!("$.{name}"), &message));
            }
        }
    }
    for (name, other) in [("input", "array"), ("conversation", "object")] {
        match fields.get(name) {
            None | Some(Value::Null | Value::String(_)) => {}
            Some(value) if type_of(value) == other => {}
            Some(value) => {
                let message = format!("Expected one of: string, {other}; got {}", type_of(value));
                return Err(Problem::wrong_type(&format!("$.{name}"), &message));
            }
        }
    }
    Ok(())
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn check_metadata(metadata: Option<&Value>) -> Result<(), Problem> {
    let invalid = |message| Err(Problem::invalid("invalid_request", message, Some("metadata")));
    let Some(Value::Object(entries)) = metadata else {
        return Ok(());
    };
    if entries.len() > MAX_METADATA_KEYS {
        return invalid(format!("metadata must have at most {MAX_METADATA_KEYS} key-value pairs"));
    }
    for (key, value) in entries {
        if key.chars().count() > MAX_METADATA_KEY_CHARS {
            let start: String = key.chars().take(MAX_METADATA_KEY_CHARS).collect();
            return invalid(format!(
                "metadata key '{start}...' exceeds maximum length of {MAX_METADATA_KEY_CHARS} characters"
            ));
        }
        if value.as_str().is_some_and(|text| text.chars().count() > MAX_METADATA_VALUE_CHARS) {
            return invalid(format!(
                "metadata value for key '{key}' exceeds maximum length of {MAX_METADATA_VALUE_CHARS} characters"
            ));
        }
    }
    Ok(())
}

/// A parse error, worded as Python's parser does. The position is exact; the kind is always the most common one.
fn bad_json(body: &[u8], error: &serde_json::Error) -> Problem {
    // Python points at the character that is wrong or missing, serde at the last one it read.
    let column = error.column() + usize::from(error.is_eof() || error.column() == 0);
    let before: usize =
        body.split_inclusive(|byte| *byte == b'\n').take(error.line().saturating_sub(1)).map(<[u8]>::len).sum();
    let message = format!(
        "Expecting value: line {} column {column} (char {})",
        error.line().max(1),
        before + column.saturating_sub(1),
    );
    Problem::invalid("invalid_request_error", message, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message_of(body: &str) -> String {
        format!("{:?}", CreateResponse::parse(body.as_bytes()).expect_err(body))
    }

    #[test]
    fn bad_json_is_placed_as_python_places_it() {
        for (body, place) in [
            ("", "line 1 column 1 (char 0)"),
            ("{\"input\":", "line 1 column 10 (char 9)"),
            ("{\"a\": x}", "line 1 column 7 (char 6)"),
            ("{\n\"a\": x}", "line 2 column 6 (char 7)"),
        ] {
            assert!(message_of(body).contains(place), "{body:?}: {}", message_of(body));
        }
    }

    #[test]
    fn metadata_has_limits() {
        let many: Map<String, Value> = (0..17).map(|n| (n.to_string(), "v".into())).collect();
        assert!(message_of(&json!({"metadata": many}).to_string()).contains("at most 16"));
        let long = json!({"metadata": {"k": "v".repeat(513)}}).to_string();
        assert!(message_of(&long).contains("key 'k' exceeds maximum length of 512"));
        let most = json!({"metadata": {"k".repeat(64): "v".repeat(512)}}).to_string();
        assert!(CreateResponse::parse(most.as_bytes()).is_ok());
    }

    #[test]
    fn text_comes_from_strings_and_parts() {
        for (input, text) in [
            (json!("plain"), "plain"),
            (json!([{"role": "user", "content": "short"}]), "short"),
            (
                json!([{"type": "message", "role": "user", "content": [
                    {"type": "input_text", "text": "one"},
                    {"type": "input_image", "image_url": "x"},
                    {"type": "input_text", "text": "two"},
                ]}]),
                "one\ntwo",
            ),
            (json!([]), ""),
        ] {
            let body = json!({"input": input}).to_string();
            let request = CreateResponse::parse(body.as_bytes()).expect("a request");
            assert_eq!(request.text(), text);
        }
    }

    #[test]
    fn a_conversation_is_a_string_or_an_object() {
        for body in [r#"{"conversation": "c"}"#, r#"{"conversation": {"id": "c"}}"#] {
            let request = CreateResponse::parse(body.as_bytes()).expect("a request");
            assert_eq!(request.conversation.as_deref(), Some("c"));
        }
        assert!(message_of(r#"{"conversation": 1}"#).contains("$.conversation"));
    }
}
