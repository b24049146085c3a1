//! Tells the editor what happens in a turn, and what happened in earlier ones: events of a run and items of a conversation as updates of
//! a session. Pure.

use super::items::{Item, Tool};
use agent_client_protocol_schema::v1::{
    Content, ContentBlock, ContentChunk, Notice, NoticeSeverity, SessionUpdate, TextContent, ToolCall, ToolCallContent,
    ToolCallStatus, ToolCallUpdate, ToolCallUpdateFields, UsageUpdate,
};
use cupola_protocol::invoke::{InvokeEvent, InvokeResponse, NumberedEvent, RunStatus};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// How large a model's context is: unknown, because the service does not say.
const CONTEXT_SIZE: u64 = 0;

/// The events of the service that tell more than the texts and the answer do.
const TOLD: [&str; 5] = [
    "response.output_item.added",
    "response.output_item.done",
    "response.reasoning_summary_text.delta",
    "response.reasoning_text.delta",
    "response.reasoning_summary_part.added",
];

/// What has been told.
#[derive(Default)]
pub(super) struct Teller {
    takes_notices: bool,
    /// The message that text belongs to: its item's id, or the run's where the protocol has no items.
    message: String,
    /// The answer's text so far.
    text: String,
    /// Reasoning that came piece by piece.
    thoughts: BTreeSet<String>,
    /// Every tool's call that was told, and those of them that have not ended.
    calls: BTreeSet<String>,
    open: BTreeSet<String>,
    /// What results name calls by, and the ids of the calls.
    by_call: BTreeMap<String, String>,
}

/// Said in place of a link to consent that cannot be used, as the daemon says it in a live turn.
pub(super) const NO_LINK: &str = "the agent asked for consent without a usable https link";

impl Teller {
    /// `takes_notices`: the editor shows notices apart from the answer.
    pub(super) fn new(takes_notices: bool) -> Self {
        Self { takes_notices, ..Self::default() }
    }

    /// An event of a run.
    pub(super) fn event(&mut self, event: &NumberedEvent) -> Vec<SessionUpdate> {
        if self.message.is_empty() {
            self.message = event.run_id.to_string();
        }
        match &event.event {
            InvokeEvent::TextDelta { delta } => self.delta(delta),
            InvokeEvent::Snapshot { text } => self.whole(text),
            // Most of them are about what was told already, and some are as long as the answer: they are not read.
            InvokeEvent::Output { name, data } if TOLD.contains(&name.as_str()) => {
                match serde_json::from_str(data.get()) {
                    Ok(data) => self.output(name, &data),
                    Err(_) => Vec::new(),
                }
            }
            InvokeEvent::Notice { notice } => vec![self.note(&notice.message)],
            _ => Vec::new(),
        }
    }

    /// An event of the service.
    fn output(&mut self, name: &str, data: &Value) -> Vec<SessionUpdate> {
        let text = |name: &str| data.get(name).and_then(Value::as_str).unwrap_or_default();
        match name {
            "response.output_item.added" | "response.output_item.done" => {
                let item = Item::of(data.get("item").unwrap_or(&Value::Null));
                match item {
                    // Its text comes as deltas.
                    Item::Agent { id, .. } => {
                        if name == "response.output_item.added" && !id.is_empty() {
                            self.message = id;
                        }
                        Vec::new()
                    }
                    Item::Thought { .. } if name == "response.output_item.added" => Vec::new(),
                    Item::Thought { ref id, .. } if self.thoughts.contains(id) => Vec::new(),
                    // The person is asked.
                    Item::User { .. } | Item::Consent { .. } => Vec::new(),
                    other => self.item(other),
                }
            }
            "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => {
                let id = text("item_id");
                self.thoughts.insert(id.to_owned());
                vec![SessionUpdate::AgentThoughtChunk(chunk(text("delta"), id))]
            }
            // The parts of one summary are paragraphs.
            "response.reasoning_summary_part.added" if self.thoughts.contains(text("item_id")) => {
                vec![SessionUpdate::AgentThoughtChunk(chunk("\n\n", text("item_id")))]
            }
            _ => Vec::new(),
        }
    }

    /// An item that is told as a whole.
    pub(super) fn item(&mut self, item: Item) -> Vec<SessionUpdate> {
        match item {
            Item::User { id, text } if !text.is_empty() => vec![SessionUpdate::UserMessageChunk(chunk(&text, &id))],
            Item::Agent { id, text, .. } if !text.is_empty() => {
                vec![SessionUpdate::AgentMessageChunk(chunk(&text, &id))]
            }
            Item::Thought { id, text } if !text.is_empty() => vec![SessionUpdate::AgentThoughtChunk(chunk(&text, &id))],
            Item::Tool(tool) => vec![self.tool(tool)],
            Item::Returned { call, output } => {
                let Some(id) = self.by_call.get(&call) else { return Vec::new() };
                self.open.remove(id);
                let fields = ToolCallUpdateFields::new()
                    .status(ToolCallStatus::Completed)
                    .content(vec![content(&shown(&output))])
                    .raw_output(output);
                vec![SessionUpdate::ToolCallUpdate(ToolCallUpdate::new(id.clone(), fields))]
            }
            Item::Consent { id, server, link: Some(link) } => vec![Self::consent(&id, server.as_deref(), &link)],
            Item::Consent { link: None, .. } => vec![self.note(NO_LINK)],
            Item::Decided { call, is_allowed } if self.calls.contains(&call) => {
                vec![SessionUpdate::ToolCallUpdate(Self::decided(&call, is_allowed))]
            }
            _ => Vec::new(),
        }
    }

    /// Where the person signs in. The link is shown whole; only the person opens it.
    pub(super) fn consent(question: &str, server: Option<&str>, link: &str) -> SessionUpdate {
        let server = server.unwrap_or("The agent");
        let text = format!("{server} needs your consent. Sign in at {link}, then send the message again.");
        Self::says(question, &text)
    }

    /// The person has decided on a tool's call.
    pub(super) fn decided(call: &str, is_allowed: bool) -> ToolCallUpdate {
        let status = if is_allowed { ToolCallStatus::Completed } else { ToolCallStatus::Failed };
        ToolCallUpdate::new(call.to_owned(), ToolCallUpdateFields::new().status(status))
    }

    fn tool(&mut self, tool: Tool) -> SessionUpdate {
        let Tool { id, call, title, name, kind, status, input, output } = tool;
        if let Some(call) = call {
            self.by_call.insert(call, id.clone());
        }
        match status {
            ToolCallStatus::Completed | ToolCallStatus::Failed => self.open.remove(&id),
            // It waits for the person, also when the turn has ended.
            ToolCallStatus::Pending => false,
            _ => self.open.insert(id.clone()),
        };
        let shown: Vec<_> = output.iter().map(|output| content(&shown(output))).collect();
        if self.calls.insert(id.clone()) {
            let call = ToolCall::new(id, title).name(name).kind(kind).status(status).content(shown);
            return SessionUpdate::ToolCall(call.raw_input(input).raw_output(output));
        }
        let mut fields = ToolCallUpdateFields::new().title(title).status(status).raw_input(input).raw_output(output);
        if !shown.is_empty() {
            fields = fields.content(shown);
        }
        SessionUpdate::ToolCallUpdate(ToolCallUpdate::new(id, fields))
    }

    /// The end of a run: what its complete answer has beyond what came before.
    pub(super) fn end(&mut self, answer: &InvokeResponse) -> Vec<SessionUpdate> {
        if self.message.is_empty() {
            self.message = answer.run_id.to_string();
        }
        let mut updates = self.whole(&answer.text);
        // The person has not decided on them yet.
        for question in &answer.questions {
            self.open.remove(&question.id);
        }
        updates.extend(self.settle(answer.status == RunStatus::Completed));
        updates.extend(usage(answer).map(|used| SessionUpdate::UsageUpdate(UsageUpdate::new(used, CONTEXT_SIZE))));
        updates
    }

    /// Nothing more comes of the calls of tools that have not ended.
    pub(super) fn settle(&mut self, is_completed: bool) -> Vec<SessionUpdate> {
        let status = if is_completed { ToolCallStatus::Completed } else { ToolCallStatus::Failed };
        let open = std::mem::take(&mut self.open).into_iter();
        let update = |id| ToolCallUpdate::new(id, ToolCallUpdateFields::new().status(status));
        open.map(|id| SessionUpdate::ToolCallUpdate(update(id))).collect()
    }

    /// Something for the person that is not the agent's answer.
    pub(super) fn note(&self, text: &str) -> SessionUpdate {
        if self.takes_notices {
            SessionUpdate::Notice(Notice::new(NoticeSeverity::Info, text))
        } else {
            SessionUpdate::AgentThoughtChunk(ContentChunk::new(text_block(text)))
        }
    }

    /// A message by itself.
    pub(super) fn says(message: &str, text: &str) -> SessionUpdate {
        SessionUpdate::AgentMessageChunk(chunk(text, message))
    }

    fn delta(&mut self, delta: &str) -> Vec<SessionUpdate> {
        if delta.is_empty() {
            return Vec::new();
        }
        self.text.push_str(delta);
        vec![SessionUpdate::AgentMessageChunk(chunk(delta, &self.message))]
    }

    /// All text of the answer. What an editor shows cannot be taken back: text that does not continue it is another message.
    fn whole(&mut self, whole: &str) -> Vec<SessionUpdate> {
        if let Some(rest) = whole.strip_prefix(self.text.as_str()) {
            let rest = rest.to_owned();
            return self.delta(&rest);
        }
        if whole.is_empty() {
            return Vec::new();
        }
        self.message.push_str("/again");
        self.text.clear();
        self.delta(whole)
    }
}

/// How many tokens the service counted for a turn, its context included.
fn usage(answer: &InvokeResponse) -> Option<u64> {
    let output: Value = serde_json::from_str(answer.output.as_ref()?.get()).ok()?;
    let usage = output.get("usage")?;
    let count = |name: &str| usage.get(name).and_then(Value::as_u64);
    count("total_tokens")
        .or_else(|| Some(count("input_tokens")?.saturating_add(count("output_tokens")?)))
        .filter(|used| *used > 0)
}

/// What a tool returned, for people.
fn shown(output: &Value) -> String {
    output.as_str().map_or_else(|| output.to_string(), ToOwned::to_owned)
}

fn chunk(text: &str, message: &str) -> ContentChunk {
    let chunk = ContentChunk::new(text_block(text));
    if message.is_empty() { chunk } else { chunk.message_id(message) }
}

fn content(text: &str) -> ToolCallContent {
    ToolCallContent::Content(Content::new(text_block(text)))
}

fn text_block(text: &str) -> ContentBlock {
    ContentBlock::Text(TextContent::new(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told(teller: &mut Teller, event: &Value) -> Vec<Value> {
        let mut event = event.clone();
        event["runId"] = "run-1".into();
        event["number"] = 1.into();
        let event: NumberedEvent = serde_json::from_value(event).unwrap();
        teller.event(&event).iter().map(|update| serde_json::to_value(update).unwrap()).collect()
    }

    fn output(name: &str, data: &Value) -> Value {
        json!({"type": "output", "name": name, "data": data})
    }

    fn answer(text: &str, more: &Value) -> InvokeResponse {
        let mut answer =
            json!({"runId": "run-1", "status": "completed", "text": text, "isolationModel": "keys", "durationMs": 1});
        answer.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(answer).unwrap()
    }

    #[test]
    fn text_has_the_id_of_its_message_and_every_message_its_own() {
        let mut teller = Teller::default();
        let mut ids = Vec::new();
        for event in [
            json!({"type": "textDelta", "delta": "a"}),
            output(
                "response.output_item.added",
                &json!({"item": {"type": "message", "role": "assistant", "id": "m1", "content": []}}),
            ),
            json!({"type": "textDelta", "delta": "b"}),
            json!({"type": "textDelta", "delta": "c"}),
            output(
                "response.output_item.added",
                &json!({"item": {"type": "message", "role": "assistant", "id": "m2", "content": []}}),
            ),
            json!({"type": "textDelta", "delta": "d"}),
        ] {
            ids.extend(told(&mut teller, &event).iter().map(|update| update["messageId"].clone()));
        }
        assert_eq!(ids, ["run-1", "m1", "m1", "m2"]);
        assert!(teller.end(&answer("abcd", &json!({}))).is_empty(), "everything was told");
    }

    #[test]
    fn the_end_adds_what_is_missing_and_repeats_nothing() {
        for (events, text, expected) in [
            (vec![], "hello", vec!["hello"]),
            (vec![json!({"type": "textDelta", "delta": "hel"})], "hello", vec!["lo"]),
            (vec![json!({"type": "snapshot", "text": "hello"})], "hello", vec![]),
            (vec![json!({"type": "textDelta", "delta": "HEL"})], "hello", vec!["hello"]),
        ] {
            let mut teller = Teller::default();
            for event in &events {
                told(&mut teller, event);
            }
            let rest = teller.end(&answer(text, &json!({})));
            let rest: Vec<_> = rest.iter().map(|update| json!(update)["content"]["text"].clone()).collect();
            assert_eq!(rest, expected, "{events:?}");
        }
    }

    #[test]
    fn a_tool_is_announced_once_updated_after_that_and_ended_in_any_case() {
        let mut teller = Teller::default();
        let call = |status: &str| {
            json!({"item": {"type": "function_call", "id": "f", "call_id": "c", "name": "time",
            "arguments": "{\"zone\":\"UTC\"}", "status": status}})
        };
        let first = told(&mut teller, &output("response.output_item.added", &call("in_progress")));
        assert_eq!((&first[0]["sessionUpdate"], &first[0]["status"]), (&json!("tool_call"), &json!("in_progress")));
        let second = told(&mut teller, &output("response.output_item.done", &call("completed")));
        assert_eq!(
            (&second[0]["sessionUpdate"], &second[0]["rawInput"]),
            (&json!("tool_call_update"), &json!({"zone": "UTC"}))
        );
        let returned = json!({"item": {"type": "function_call_output", "call_id": "c", "output": "noon"}});
        let third = told(&mut teller, &output("response.output_item.done", &returned));
        assert_eq!((&third[0]["status"], &third[0]["rawOutput"]), (&json!("completed"), &json!("noon")));
        assert!(teller.end(&answer("", &json!({}))).is_empty());

        let mut teller = Teller::default();
        told(&mut teller, &output("response.output_item.added", &call("in_progress")));
        let end = teller.end(&answer("", &json!({"status": "failed"})));
        assert_eq!(json!(end[0])["status"], "failed");
    }

    #[test]
    fn reasoning_is_told_once_whether_it_comes_in_pieces_or_whole() {
        let mut teller = Teller::default();
        let done = output(
            "response.output_item.done",
            &json!({"item": {"type": "reasoning", "id": "r", "summary": [{"text": "hm"}]}}),
        );
        let delta = output("response.reasoning_summary_text.delta", &json!({"item_id": "r", "delta": "hm"}));
        assert_eq!(told(&mut teller, &delta)[0]["sessionUpdate"], "agent_thought_chunk");
        assert!(told(&mut teller, &done).is_empty());
        assert_eq!(told(&mut Teller::default(), &done)[0]["content"]["text"], "hm");
    }

    #[test]
    fn tokens_are_told_where_the_service_counts_them() {
        let mut teller = Teller::default();
        let updates = teller.end(&answer("", &json!({"output": {"usage": {"input_tokens": 7, "output_tokens": 5}}})));
        assert_eq!(json!(updates), json!([{"sessionUpdate": "usage_update", "used": 12, "size": 0}]));
    }

    #[test]
    fn a_notice_is_a_notice_only_for_an_editor_that_takes_them() {
        let notice = json!({"type": "notice", "code": "retried", "message": "again"});
        assert_eq!(told(&mut Teller::new(true), &notice)[0]["sessionUpdate"], "notice");
        assert_eq!(told(&mut Teller::new(false), &notice)[0]["sessionUpdate"], "agent_thought_chunk");
    }
}
