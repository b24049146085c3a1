//! How agents and services report a failure in JSON: their own code and message, wherever they put them. Pure.
//!
//! Agents share no common form (contract section 1.7 lists the service's). What is read here was seen in public agents:
//! `{"error": {"code", "message"}}`, `{"error": "code", "message": "…"}`, `{"error": "message"}`, `{"detail": "…"}`,
//! `{"errors": [{…}]}`, `{"errorMessage": "…", "errorType": "…"}`, `{"errorText": "…"}`.

use serde_json::Value;

/// What a failure says about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Complaint {
    /// The code, as the agent writes it.
    pub(super) code: Option<String>,
    /// The message. `None` if it does not say why.
    pub(super) message: Option<String>,
}

/// Members that hold a message, the most specific first.
const MESSAGES: [&str; 9] =
    ["message", "detail", "details", "error_description", "errorMessage", "errorText", "msg", "reason", "title"];

/// Members that hold a code.
const CODES: [&str; 4] = ["code", "errorType", "error_code", "type"];

/// Members that are there only if something failed.
const ERRORS: [&str; 4] = ["error", "errors", "errorMessage", "errorText"];

impl Complaint {
    /// The failure that an object reports in a member of its own. Absent, null, false and empty members report none.
    pub(super) fn in_object(object: &Value) -> Option<Self> {
        let (name, found) =
            ERRORS.iter().find_map(|name| Some((*name, object.get(name)?)).filter(|(_, it)| says(it)))?;
        let beside = || Self { code: None, message: message_of(object) };
        Some(match found {
            Value::String(text) if name == "error" => match message_of(object) {
                // `{"error": "invalid_request", "message": "…"}`
                Some(message) if is_code(text) => Self { code: Some(text.clone()), message: Some(message) },
                Some(message) if message != *text => {
                    Self { code: code_of(object, false), message: Some(format!("{text}: {message}")) }
                }
                _ => Self { code: code_of(object, false), message: Some(text.clone()) },
            },
            Value::String(text) => Self { code: code_of(object, false), message: Some(text.clone()) },
            Value::Object(_) => Self::of(found),
            Value::Array(several) => several.first().map(Self::of).unwrap_or_default(),
            _ => beside(),
        })
    }

    /// What an object or a text that is the failure itself says.
    pub(super) fn of(failure: &Value) -> Self {
        if let Value::String(text) = failure {
            return Self { code: None, message: Some(text.clone()).filter(|text| !text.is_empty()) };
        }
        Self { code: code_of(failure, true), message: message_of(failure) }
    }
}

fn says(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(several) => !several.is_empty(),
        Value::Object(members) => !members.is_empty(),
        Value::Bool(true) | Value::Number(_) => true,
    }
}

/// Is it one word, as codes are?
fn is_code(text: &str) -> bool {
    !text.contains(char::is_whitespace)
}

/// `with_type`: a `type` is the failure's, not that of the event that reports it.
fn code_of(object: &Value, with_type: bool) -> Option<String> {
    let names = CODES.iter().filter(|name| with_type || **name != "type");
    names.filter_map(|name| object.get(name)).find_map(|code| match code {
        Value::String(code) if !code.is_empty() && code != "error" => Some(code.clone()),
        Value::Number(code) => Some(code.to_string()),
        _ => None,
    })
}

fn message_of(object: &Value) -> Option<String> {
    MESSAGES.iter().filter_map(|name| object.get(name)).find_map(|message| match message {
        Value::String(message) if !message.is_empty() => Some(message.clone()),
        // FastAPI lists what is wrong with each member.
        Value::Array(several) => several.iter().find_map(message_of),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_failure_keeps_its_code_and_its_message_in_each_form() {
        for (body, expected) in [
            (json!({"error": {"code": "c", "message": "m"}}), Some((Some("c"), Some("m")))),
            (json!({"error": "invalid_request", "message": "m"}), Some((Some("invalid_request"), Some("m")))),
            (json!({"error": "It broke", "message": "m"}), Some((None, Some("It broke: m")))),
            (json!({"error": "It broke", "code": "c"}), Some((Some("c"), Some("It broke")))),
            (json!({"error": "overloaded"}), Some((None, Some("overloaded")))),
            (
                json!({"type": "error", "error": {"type": "overloaded_error", "message": "m"}}),
                Some((Some("overloaded_error"), Some("m"))),
            ),
            (json!({"error": {"code": 429, "message": "m"}}), Some((Some("429"), Some("m")))),
            (json!({"error": true, "message": "m"}), Some((None, Some("m")))),
            (json!({"errors": [{"message": "m"}]}), Some((None, Some("m")))),
            (json!({"errorMessage": "m", "errorType": "ValueError"}), Some((Some("ValueError"), Some("m")))),
            (json!({"errorText": "m"}), Some((None, Some("m")))),
            (json!({"error": {"detail": [{"msg": "field required"}]}}), Some((None, Some("field required")))),
            (json!({"error": {"x": 1}}), Some((None, None))),
            (json!({"error": null}), None),
            (json!({"error": false}), None),
            (json!({"error": ""}), None),
            (json!({"error": {}, "errors": []}), None),
            (json!({"message": "all is well"}), None),
            (json!("error"), None),
        ] {
            let found = Complaint::in_object(&body);
            let found = found.as_ref().map(|it| (it.code.as_deref(), it.message.as_deref()));
            assert_eq!(found, expected, "{body}");
        }
    }
}
