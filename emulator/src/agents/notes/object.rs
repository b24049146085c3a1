//! The response object, whose keys differ between events and bodies and by who ended the run (contract 7.2).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// The agent the server names when the request named none.
const DEFAULT_AGENT: &str = "server-default-agent";

/// What the server says of a failure in the agent's code.
const INTERNAL_ERROR: &str = "An internal server error occurred.";

/// What stays the same through a response's life.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) id: String,
    /// Unix seconds.
    pub(super) created_at: i64,
    pub(super) model: String,
    pub(super) instructions: Option<Value>,
    pub(super) metadata: Option<Value>,
    pub(super) previous_response_id: Option<String>,
    pub(super) conversation: Option<String>,
    pub(super) background: bool,
    /// As the request gave it.
    pub(super) agent_reference: Option<Value>,
    pub(super) session_id: String,
}

/// The `status` of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Status {
    InProgress,
    Completed,
    Failed,
    Incomplete,
    Cancelled,
}

impl Status {
    fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Incomplete => "incomplete",
            Self::Cancelled => "cancelled",
        }
    }
}

/// What changes through a response's life.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Snapshot {
    pub(super) status: Status,
    pub(super) output: Vec<Value>,
    /// Unix seconds, when completed.
    completed_at: Option<i64>,
    error: Option<Value>,
    incomplete_details: Option<Value>,
    ended_by: EndedBy,
}

/// Who wrote the last state; the keys show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum EndedBy {
    /// The agent's own terminal event, or no ending yet.
    Agent,
    /// The server: a crash, a cancel.
    Server,
    /// The server, before the agent created anything.
    ServerBeforeCreated,
}

impl Snapshot {
    fn new(status: Status, output: Vec<Value>) -> Self {
        Self { status, output, completed_at: None, error: None, incomplete_details: None, ended_by: EndedBy::Agent }
    }

    pub(super) fn in_progress(output: Vec<Value>) -> Self {
        Self::new(Status::InProgress, output)
    }

    pub(super) fn completed(output: Vec<Value>, at: i64) -> Self {
        let mut snapshot = Self::new(Status::Completed, output);
        snapshot.completed_at = Some(at);
        snapshot
    }

    pub(super) fn failed(output: Vec<Value>, message: &str) -> Self {
        let mut snapshot = Self::new(Status::Failed, output);
        snapshot.error = Some(json!({"code": "server_error", "message": message}));
        snapshot
    }

    pub(super) fn incomplete(output: Vec<Value>, reason: &str) -> Self {
        let mut snapshot = Self::new(Status::Incomplete, output);
        snapshot.incomplete_details = Some(json!({"reason": reason}));
        snapshot
    }

    /// The agent's code failed: the output so far is dropped.
    pub(super) fn crashed() -> Self {
        let mut snapshot = Self::failed(Vec::new(), INTERNAL_ERROR);
        snapshot.ended_by = EndedBy::Server;
        snapshot
    }

    /// The agent's code failed before it created anything.
    pub(super) fn crashed_before_created() -> Self {
        let mut snapshot = Self::crashed();
        snapshot.ended_by = EndedBy::ServerBeforeCreated;
        snapshot
    }

    /// Cancelled: the output so far is dropped.
    pub(super) fn cancelled() -> Self {
        let mut snapshot = Self::new(Status::Cancelled, Vec::new());
        snapshot.ended_by = EndedBy::Server;
        snapshot
    }

    /// Whether the agent's code failed before it created anything.
    pub(super) fn was_never_created(&self) -> bool {
        self.ended_by == EndedBy::ServerBeforeCreated
    }

    /// The object as a body: what is null is left out, and a foreground response says so at its end.
    pub(super) fn body(&self, head: &Head) -> Value {
        if self.was_never_created() {
            return Value::Object(self.uncreated(head));
        }
        let mut object = self.fields(head, false);
        if !head.background {
            object.insert("background".to_owned(), Value::Bool(false));
        }
        Value::Object(object)
    }

    /// The object inside an event: what is null is written out, unless the server ended the run.
    pub(super) fn event(&self, head: &Head) -> Value {
        Value::Object(self.fields(head, self.ended_by == EndedBy::Agent))
    }

    fn fields(&self, head: &Head, nulls: bool) -> Map<String, Value> {
        let by_agent = self.ended_by == EndedBy::Agent;
        let ended = self.status != Status::InProgress;
        let mut object = Fields::default();
        object.put("id", head.id.as_str());
        object.put("object", "response");
        object.put("output", self.output.clone());
        object.put("created_at", head.created_at);
        object.maybe("error", self.error.clone().filter(|_| by_agent), nulls);
        object.maybe("incomplete_details", self.incomplete_details.clone(), nulls);
        object.maybe("instructions", head.instructions.clone(), nulls);
        object.put("parallel_tool_calls", false);
        object.maybe("metadata", head.metadata.clone(), false);
        object.maybe("previous_response_id", head.previous_response_id.clone(), false);
        let conversation = head.conversation.as_ref().map(|id| json!({"id": id}));
        object.maybe("conversation", conversation, false);
        object.maybe("background", head.background.then_some(true), false);
        object.put("model", head.model.as_str());
        object.put("status", self.status.as_str());
        object.maybe("completed_at", self.completed_at, nulls && ended);
        object.maybe("usage", None::<Value>, nulls && ended);
        object.put("response_id", head.id.as_str());
        object.put("agent_reference", head.agent());
        object.put("agent_session_id", head.session_id.as_str());
        object.maybe("error", self.error.clone().filter(|_| !by_agent), false);
        object.0
    }

    fn uncreated(&self, head: &Head) -> Map<String, Value> {
        let mut object = Fields::default();
        object.put("id", head.id.as_str());
        object.put("response_id", head.id.as_str());
        object.put("agent_reference", head.agent_reference.clone().unwrap_or_else(|| json!({})));
        object.put("object", "response");
        object.put("status", self.status.as_str());
        object.put("model", head.model.as_str());
        object.put("output", self.output.clone());
        object.maybe("error", self.error.clone(), false);
        object.put("created_at", head.created_at);
        object.put("background", head.background);
        object.put("agent_session_id", head.session_id.as_str());
        object.0
    }
}

impl Head {
    fn agent(&self) -> Value {
        self.agent_reference.clone().unwrap_or_else(|| json!({"type": "agent_reference", "name": DEFAULT_AGENT}))
    }
}

/// Keys in the order they are put.
#[derive(Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn put(&mut self, key: &str, value: impl Into<Value>) {
        self.0.insert(key.to_owned(), value.into());
    }

    /// Puts a value that may be missing: as null when `null` says so, else not at all.
    fn maybe(&mut self, key: &str, value: Option<impl Into<Value>>, null: bool) {
        match value {
            Some(value) => self.put(key, value),
            None if null => self.put(key, Value::Null),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(background: bool) -> Head {
        Head {
            id: "caresp_1".to_owned(),
            created_at: 1,
            model: "notes".to_owned(),
            instructions: None,
            metadata: Some(json!({"k": "v"})),
            previous_response_id: None,
            conversation: Some("conv_1".to_owned()),
            background,
            agent_reference: None,
            session_id: "s".to_owned(),
        }
    }

    fn keys(object: &Value) -> Vec<&str> {
        object.as_object().expect("an object").keys().map(String::as_str).collect()
    }

    #[test]
    fn a_body_leaves_out_what_is_null_and_ends_with_background_false() {
        let body = Snapshot::completed(Vec::new(), 2).body(&head(false));
        assert_eq!(
            keys(&body),
            [
                "id",
                "object",
                "output",
                "created_at",
                "parallel_tool_calls",
                "metadata",
                "conversation",
                "model",
                "status",
                "completed_at",
                "response_id",
                "agent_reference",
                "agent_session_id",
                "background",
            ]
        );
        assert_eq!(body["conversation"], json!({"id": "conv_1"}));
    }

    #[test]
    fn an_event_writes_nulls_out_until_the_server_ends_the_run() {
        let head = head(true);
        let event = Snapshot::in_progress(Vec::new()).event(&head);
        assert_eq!(event["error"], Value::Null);
        assert!(event.get("completed_at").is_none());
        let completed = Snapshot::completed(Vec::new(), 2).event(&head);
        assert!(completed.get("usage").is_some_and(Value::is_null));
        let cancelled = Snapshot::cancelled().event(&head);
        assert!(cancelled.get("error").is_none() && cancelled.get("usage").is_none());
        assert_eq!(cancelled["status"], "cancelled");
        let crashed = Snapshot::crashed().event(&head);
        assert_eq!(keys(&crashed).last(), Some(&"error"));
    }
}
