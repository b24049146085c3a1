//! What the gateway learns from a responses answer as it passes: the id it has, and the items its conversation gets.

use crate::agent::Agent;
use crate::session::Session;
use serde_json::Value;
use std::sync::Arc;

/// Longest event looked into, in bytes. Clients give up at 1 to 4 MiB (contract section 7.6); what is longer passes
/// unrecorded.
const MAX_EVENT: usize = 8 * 1024 * 1024;

/// Events whose `response` is worth reading: the first names the id, the others hold the final output.
const READ: [&str; 4] = ["response.created", "response.completed", "response.failed", "response.incomplete"];

/// Watches one answer.
pub(super) struct Recorder {
    agent: Arc<Agent>,
    session: Arc<Session>,
    response_id: String,
    events: Events,
}

impl Recorder {
    pub(super) fn new(agent: &Arc<Agent>, session: &Arc<Session>, response_id: &str) -> Self {
        Self {
            agent: Arc::clone(agent),
            session: Arc::clone(session),
            response_id: response_id.to_owned(),
            events: Events::of(&READ),
        }
    }

    /// Takes the next bytes of an event stream.
    pub(super) fn stream(&mut self, bytes: &[u8]) {
        for data in self.events.push(bytes) {
            if let Ok(event) = serde_json::from_str::<Value>(&data)
                && let Some(response) = event.get("response")
            {
                self.response(response);
            }
        }
    }

    /// Takes a whole JSON answer.
    pub(super) fn whole(&self, bytes: &[u8]) {
        if let Ok(response) = serde_json::from_slice(bytes) {
            self.response(&response);
        }
    }

    fn response(&self, response: &Value) {
        let text = |name| response.get(name).and_then(Value::as_str);
        let mut known = self.response_id.as_str();
        if let Some(id) = text("id").filter(|id| *id != self.response_id) {
            self.agent.responses.alias(known, id, &self.session);
            known = id;
        }
        if !matches!(text("status"), Some("completed" | "failed" | "incomplete")) {
            return;
        }
        let Some((conversation, mut items)) = self.agent.responses.take_pending(known) else {
            return;
        };
        let output = response.get("output").and_then(Value::as_array);
        items.extend(output.into_iter().flatten().cloned());
        if let Some(conversation) = self.agent.conversation(&conversation)
            && let Err(error) = conversation.add(items)
        {
            tracing::error!(?error, "a conversation's items could not be written");
        }
    }
}

/// Cuts an event stream into the data of certain events.
pub(super) struct Events {
    wanted: &'static [&'static str],
    line: Vec<u8>,
    name: String,
    data: String,
    /// The event grew past [`MAX_EVENT`]: nothing of it is kept until the blank line that ends it.
    too_long: bool,
}

impl Events {
    /// Those of these names.
    pub(super) fn of(wanted: &'static [&'static str]) -> Self {
        Self { wanted, line: Vec::new(), name: String::new(), data: String::new(), too_long: false }
    }

    /// The data of the wanted events that these bytes complete.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut found = Vec::new();
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.line.len() + self.data.len() + part.len() > MAX_EVENT {
                self.too_long = true;
                self.line.clear();
                self.data.clear();
            }
            self.line.extend_from_slice(part);
            if part.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                found.extend(self.end_line(&String::from_utf8_lossy(&line)));
            }
        }
        found
    }

    fn end_line(&mut self, line: &str) -> Option<String> {
        let line = line.trim_end_matches(['\n', '\r']);
        if line.is_empty() {
            let (name, data) = (std::mem::take(&mut self.name), std::mem::take(&mut self.data));
            let kept = !std::mem::take(&mut self.too_long) && self.wanted.contains(&name.as_str());
            return kept.then_some(data);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.name),
            "data" if self.wanted.contains(&self.name.as_str()) => self.data.push_str(value),
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = ": keep-alive\n\nevent: response.created\ndata: {\"a\": 1}\n\nevent: response.output_text.delta\r\ndata: no\r\n\r\nevent: response.completed\r\ndata: {\"b\":\r\ndata:  2}\r\n\r\n";

    #[test]
    fn the_events_that_matter_are_found_wherever_the_bytes_are_split() {
        for at in 0..=STREAM.len() {
            let mut events = Events::of(&READ);
            let mut found = events.push(&STREAM.as_bytes()[..at]);
            found.extend(events.push(&STREAM.as_bytes()[at..]));
            assert_eq!(found, ["{\"a\": 1}", "{\"b\": 2}"], "split at {at}");
        }
    }

    #[test]
    fn an_event_beyond_the_bound_is_left_out_and_the_next_is_read() {
        let mut events = Events::of(&READ);
        let long = format!("event: response.created\ndata: {}\n\n", "x".repeat(MAX_EVENT));
        assert!(events.push(long.as_bytes()).is_empty());
        assert_eq!(events.push(b"event: response.completed\ndata: {}\n\n"), ["{}"]);
    }
}
