//! What one event of a log stream says. Pure. The data is not contractual (contract section 6): whatever is not
//! recognised passes through as it is.

use crate::foundry::sse;
use cupola_protocol::monitor::MonitorEvent;
use serde_json::{Map, Value};

/// The name of log events; those without a name count as log, too.
const LOG: &str = "log";

/// Reads an event.
pub(super) fn read(event: &sse::Event) -> MonitorEvent {
    let raw = || MonitorEvent::Raw { name: event.name.clone(), data: event.data.clone() };
    if event.name.as_deref().is_some_and(|name| name != LOG) {
        return raw();
    }
    let Ok(Value::Object(fields)) = serde_json::from_str(&event.data) else {
        return MonitorEvent::Line { timestamp: None, stream: None, message: event.data.clone() };
    };
    if let Some(state) = text(&fields, "session_state") {
        return MonitorEvent::Session {
            timestamp: text(&fields, "timestamp"),
            state,
            agent: text(&fields, "agent"),
            version: text(&fields, "version"),
            last_accessed: text(&fields, "last_accessed"),
        };
    }
    match text(&fields, "message") {
        Some(message) => {
            MonitorEvent::Line { timestamp: text(&fields, "timestamp"), stream: text(&fields, "stream"), message }
        }
        None => raw(),
    }
}

fn text(fields: &Map<String, Value>, name: &str) -> Option<String> {
    match fields.get(name)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(name: &str, data: &str) -> String {
        let name = (!name.is_empty()).then(|| name.to_owned());
        match read(&sse::Event { name, data: data.to_owned() }) {
            MonitorEvent::Session { state, version, last_accessed, .. } => {
                format!("session {state} v{} {}", version.unwrap(), last_accessed.unwrap_or_default())
            }
            MonitorEvent::Line { timestamp, stream, message } => {
                format!("{} {} {message}", timestamp.as_deref().unwrap_or("-"), stream.as_deref().unwrap_or("-"))
            }
            MonitorEvent::Raw { name, data } => format!("raw {} {data}", name.as_deref().unwrap_or("-")),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_kind_of_frame_is_read_or_passed_through() {
        for (name, data, expected) in [
            (
                "log",
                r#"{"timestamp":"t","session_id":"s","session_state":"Running","agent":"n","version":"3","last_accessed":"l"}"#,
                "session Running v3 l",
            ),
            ("log", r#"{"session_state":"Idle","version":3}"#, "session Idle v3 "),
            ("log", r#"{"timestamp":"t","stream":"stdout","message":"hi"}"#, "t stdout hi"),
            ("", r#"{"timestamp":"t","stream":"stderr","message":"a\nb"}"#, "t stderr a\nb"),
            ("log", r#"{"message":"bare"}"#, "- - bare"),
            ("log", "just text", "- - just text"),
            ("", "{\"cut", "- - {\"cut"),
            ("log", "42", "- - 42"),
            ("log", r#"{"new":"shape"}"#, r#"raw log {"new":"shape"}"#),
            ("log", r#"{"message":{"deep":1}}"#, r#"raw log {"message":{"deep":1}}"#),
            ("error", r#"{"message":"gone"}"#, r#"raw error {"message":"gone"}"#),
            ("ping", "", "raw ping "),
        ] {
            assert_eq!(shown(name, data), expected, "{name} {data}");
        }
    }
}
