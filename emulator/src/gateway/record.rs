//! What the gateway learns from a responses answer as it passes: the id it has, and the items its conversation gets.

use super::call::{Call, Entered};
use super::forward::headers;
use crate::agent::Agent;
use crate::container::OwnQuestion;
use crate::conversation::{Conversation, id_of};
use crate::responses::Entry;
use crate::session::Session;
use axum::body::{Body, to_bytes};
use http::{HeaderMap, Request, Response};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// On every answer of an agent server (contract section 21.2).
const AGENT_SERVER: &str = "x-platform-server";

/// How long a container may take to list a response's input. It has it at hand.
const INPUT_WITHIN: Duration = Duration::from_secs(5);

/// The most items a container lists at once (contract section 7.5).
const MAX_INPUT: usize = 100;

/// Longest event looked into, in bytes. Clients give up at 1 to 4 MiB (contract section 7.6); what is longer passes
/// unrecorded.
const MAX_EVENT: usize = 8 * 1024 * 1024;

/// Events whose `response` is worth reading: the first names the id, the others hold the final output.
const READ: [&str; 4] = ["response.created", "response.completed", "response.failed", "response.incomplete"];

/// Watches one answer.
pub(super) struct Recorder {
    agent: Arc<Agent>,
    session: Arc<Session>,
    response: Entry,
    /// What a further request about the response carries.
    headers: HeaderMap,
    /// The container says that it is an agent server: it can list the input of a response.
    lists_input: bool,
    events: Events,
}

/// What a conversation gets of a response that has ended.
pub(super) struct Turn {
    conversation: Arc<Conversation>,
    /// As the request had it, to be asked for again: only the container knows the ids of these items.
    input: Vec<Value>,
    output: Vec<Value>,
    response_id: String,
    session: Arc<Session>,
    headers: HeaderMap,
    lists_input: bool,
}

impl Recorder {
    /// Watches `answer`, the one to `call` about a response of this session.
    pub(super) fn new(call: &Call, entered: &Entered, response: Entry, answer: &Response<Body>) -> Self {
        Self {
            agent: Arc::clone(&call.agent),
            session: Arc::clone(&entered.session),
            response,
            headers: headers(call, entered),
            lists_input: answer.headers().contains_key(AGENT_SERVER),
            events: Events::of(&READ),
        }
    }

    /// Takes the next bytes of an event stream. The turn they end is to be added before they are passed on.
    pub(super) fn stream(&mut self, bytes: &[u8]) -> Option<Turn> {
        let mut ended = None;
        for data in self.events.push(bytes) {
            if let Ok(event) = serde_json::from_str::<Value>(&data)
                && let Some(response) = event.get("response")
            {
                ended = self.response(response).or(ended);
            }
        }
        ended
    }

    /// Takes a whole JSON answer.
    pub(super) fn whole(&self, bytes: &[u8]) -> Option<Turn> {
        self.response(&serde_json::from_slice(bytes).ok()?)
    }

    fn response(&self, response: &Value) -> Option<Turn> {
        let text = |name| response.get(name).and_then(Value::as_str);
        let own_id = text("id").filter(|id| *id != self.response.id);
        let aliased = own_id.map(|id| self.agent.responses.alias(&self.response, id, &self.session));
        if !matches!(text("status"), Some("completed" | "failed" | "incomplete")) {
            return None;
        }
        let known = aliased.as_ref().unwrap_or(&self.response);
        let (conversation, input) = self.agent.responses.take_pending(known)?;
        let output = response.get("output").and_then(Value::as_array);
        Some(Turn {
            conversation: self.agent.conversation(&conversation)?,
            input,
            output: output.cloned().unwrap_or_default(),
            response_id: known.id.clone(),
            session: Arc::clone(&self.session),
            headers: self.headers.clone(),
            lists_input: self.lists_input,
        })
    }
}

impl Turn {
    /// Adds its items to the conversation.
    pub(super) async fn add(self) {
        let asked = timeout(INPUT_WITHIN, self.input_items()).await;
        let mut items = asked.ok().flatten().unwrap_or(self.input);
        items.extend(self.output);
        if let Err(error) = self.conversation.add(items) {
            tracing::error!(?error, "a conversation's items could not be written");
        }
    }

    /// The input's items as the container lists them, so that they have the same ids in both places. Only an agent server is
    /// asked: to other agents the request would be a puzzle.
    async fn input_items(&self) -> Option<Vec<Value>> {
        if !self.lists_input || self.input.is_empty() || self.input.len() > MAX_INPUT {
            return None;
        }
        let uri = format!("/responses/{}/input_items?order=desc&limit={}", self.response_id, self.input.len());
        let mut request = Request::get(uri).body(Body::empty()).ok()?;
        *request.headers_mut() = self.headers.clone();
        request.extensions_mut().insert(OwnQuestion);
        let response = self.session.running().await?.call(request).await.ok()?;
        let bytes = to_bytes(response.into_body(), MAX_EVENT).await.ok()?;
        let mut list: Value = serde_json::from_slice(&bytes).ok()?;
        let Value::Array(mut items) = list.get_mut("data")?.take() else { return None };
        // Below the input, newest first, are the items of earlier turns.
        items.retain(|item| item.is_object() && !self.conversation.holds(id_of(item)));
        items.reverse();
        (!items.is_empty()).then_some(items)
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
