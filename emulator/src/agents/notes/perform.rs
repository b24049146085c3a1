//! Plays an answer on a run: each output item as its events, then the ending (contract 15.2).

use super::answer::{Answer, Ending, Step};
use super::object::Snapshot;
use super::run::Run;
use super::{ids, now};
use serde_json::{Value, json};
use std::time::Duration;

/// The id the scripted tool call and its output share.
const CALL_ID: &str = "call_0001";

impl Run {
    /// Plays an answer to its end, or to where it is interrupted.
    pub(super) async fn perform(&self, answer: Answer) {
        if answer.ending == Ending::CrashBeforeCreated {
            self.end_before_created();
            return;
        }
        let started = Snapshot::in_progress(Vec::new());
        let response = json!({"response": started.event(&self.head)});
        self.emit("response.created", response.clone(), Some(started));
        self.emit("response.in_progress", response, None);

        let mut player = Player { run: self, output: Vec::new() };
        for step in answer.steps {
            player.play(step).await;
            if self.interruption().is_some() || self.is_steered() {
                break;
            }
        }
        let output = player.output;
        self.end(self.interruption().unwrap_or_else(|| match answer.ending {
            _ if self.is_steered() => Snapshot::completed(output, now()),
            Ending::Completed => Snapshot::completed(output, now()),
            Ending::Failed(message) => Snapshot::failed(output, &message),
            Ending::Incomplete(reason) => Snapshot::incomplete(output, reason),
            Ending::Crash | Ending::CrashBeforeCreated => Snapshot::crashed(),
        }));
    }
}

/// Where consent would be given. Nothing is there: `.example` names no host.
const CONSENT_LINK: &str = "https://consent.example/authorize?server=notes";

struct Player<'a> {
    run: &'a Run,
    /// The finished items.
    output: Vec<Value>,
}

impl Player<'_> {
    async fn play(&mut self, step: Step) {
        match step {
            Step::Message { pieces, pace } => self.message(&pieces, pace).await,
            Step::Reasoning(summary) => self.reasoning(summary),
            Step::ToolCall { name, arguments } => self.tool_call(name, arguments),
            Step::ToolOutput(output) => self.tool_output(output),
            Step::ApprovalRequest { name, arguments } => {
                let id = self.item_id("mcpr");
                self.whole(json!({"type": "mcp_approval_request", "id": id, "server_label": "notes", "name": name,
                    "arguments": arguments}));
            }
            Step::ConsentRequest => {
                let id = self.item_id("oauthreq");
                self.whole(json!({"type": "oauth_consent_request", "id": id, "server_label": "notes",
                    "consent_link": CONSENT_LINK}));
            }
        }
    }

    async fn message(&mut self, pieces: &[String], pace: Duration) {
        let id = self.item_id("msg");
        let message = |content: Value, status| json!({"type": "message", "id": id, "role": "assistant", "content": content, "status": status});
        let part = |text: &str| json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []});
        let at = json!({"item_id": id, "output_index": self.output.len(), "content_index": 0});

        self.added(message(json!([]), "in_progress"));
        self.emit("response.content_part.added", &at, json!({"part": part("")}));
        let mut text = String::new();
        for piece in pieces {
            self.run.pause(pace).await;
            if self.run.interruption().is_some() || self.run.is_steered() {
                break;
            }
            text.push_str(piece);
            self.emit("response.output_text.delta", &at, json!({"delta": piece, "logprobs": []}));
        }
        self.emit("response.output_text.done", &at, json!({"text": text, "logprobs": []}));
        self.emit("response.content_part.done", &at, json!({"part": part(&text)}));
        self.done(message(json!([part(&text)]), "completed"));
    }

    fn reasoning(&mut self, summary: &str) {
        let id = self.item_id("rs");
        let item =
            |summary: Value, status| json!({"type": "reasoning", "id": id, "summary": summary, "status": status});
        let part = |text: &str| json!({"type": "summary_text", "text": text});
        let at = json!({"item_id": id, "output_index": self.output.len(), "summary_index": 0});

        self.added(item(json!([]), "in_progress"));
        self.emit("response.reasoning_summary_part.added", &at, json!({"part": part("")}));
        self.emit("response.reasoning_summary_text.delta", &at, json!({"delta": summary}));
        self.emit("response.reasoning_summary_text.done", &at, json!({"text": summary}));
        self.emit("response.reasoning_summary_part.done", &at, json!({"part": part(summary)}));
        self.done(item(json!([part(summary)]), "completed"));
    }

    fn tool_call(&mut self, name: &str, arguments: &str) {
        let id = self.item_id("fc");
        let item = |arguments: &str, status| {
            json!({"type": "function_call", "id": id, "call_id": CALL_ID, "name": name,
                "arguments": arguments, "status": status})
        };
        let at = json!({"item_id": id, "output_index": self.output.len()});

        self.added(item("", "in_progress"));
        self.emit("response.function_call_arguments.delta", &at, json!({"delta": arguments}));
        self.emit("response.function_call_arguments.done", &at, json!({"name": name, "arguments": arguments}));
        self.done(item(arguments, "completed"));
    }

    fn tool_output(&mut self, output: &str) {
        let id = self.item_id("fco");
        let item = |status| {
            json!({"type": "function_call_output", "id": id, "call_id": CALL_ID,
                "output": output, "status": status})
        };
        self.added(item("in_progress"));
        self.done(item("completed"));
    }

    /// An item that has no parts.
    fn whole(&mut self, item: Value) {
        self.added(item.clone());
        self.done(item);
    }

    fn item_id(&self, prefix: &str) -> String {
        ids::new_id(prefix, Some(&self.run.head.id))
    }

    fn emit(&self, event: &str, at: &Value, fields: Value) {
        self.run.emit(event, joined(at.clone(), fields), None);
    }

    fn added(&self, item: Value) {
        let item = self.stamped(item);
        let fields = json!({"output_index": self.output.len(), "item": item});
        let mut so_far = self.output.clone();
        so_far.push(item);
        self.run.emit("response.output_item.added", fields, self.partial(so_far));
    }

    fn done(&mut self, item: Value) {
        let item = self.stamped(item);
        let fields = json!({"output_index": self.output.len(), "item": item});
        self.output.push(item);
        let so_far = self.output.clone();
        self.run.emit("response.output_item.done", fields, self.partial(so_far));
    }

    /// The state with the output so far. A run that is only polled shows none before its end (captured).
    fn partial(&self, output: Vec<Value>) -> Option<Snapshot> {
        self.run.mode.stream.then(|| Snapshot::in_progress(output))
    }

    /// Every item names its response and, when the request named one, its agent.
    fn stamped(&self, item: Value) -> Value {
        let stamp = json!({
            "response_id": self.run.head.id,
            "agent_reference": self.run.head.agent_reference,
        });
        joined(item, stamp)
    }
}

/// The keys of one object, then those of another.
fn joined(mut first: Value, second: Value) -> Value {
    if let (Value::Object(first), Value::Object(second)) = (&mut first, second) {
        first.extend(second);
    }
    first
}
