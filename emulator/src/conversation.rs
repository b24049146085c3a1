//! The conversations of one agent: message history kept by the gateway (contract section 8).

use crate::error::ApiError;
use crate::ids;
use crate::isolation::Partition;
use crate::store;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Items a client may add in one call (contract section 8).
pub(crate) const MAX_ITEMS: usize = 20;

/// What is kept of a conversation. Times are milliseconds since the Unix epoch, UTC.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) id: String,
    pub(crate) partition: Partition,
    pub(crate) created_at: i64,
    pub(crate) metadata: Value,
    /// The session its first response was given in.
    pub(crate) session_id: Option<String>,
}

/// A line of a conversation's item log.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum ItemChange {
    Added(Value),
    Removed(String),
}

/// One conversation. Its items are a log beside its record, so that a turn costs the same however many came before.
pub(crate) struct Conversation {
    path: PathBuf,
    // Neither is ever held across an await.
    record: Mutex<Record>,
    items: Mutex<Vec<Value>>,
}

impl Conversation {
    pub(crate) fn record(&self) -> Record {
        self.record.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn new(path: PathBuf, record: Record) -> Self {
        let mut items: Vec<Value> = Vec::new();
        for change in store::lines(&item_log(&path)) {
            match change {
                ItemChange::Added(item) => items.push(item),
                ItemChange::Removed(id) => items.retain(|item| id_of(item) != id),
            }
        }
        Self { path, record: Mutex::new(record), items: Mutex::new(items) }
    }

    /// Its items, oldest first.
    pub(crate) fn items(&self) -> Vec<Value> {
        self.items.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes it, and writes the change before anyone is told of it.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Record) -> Result<T, ApiError>) -> Result<T, ApiError> {
        let mut record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changed = record.clone();
        let outcome = change(&mut changed)?;
        if changed != *record {
            store::save(&self.path, &changed).map_err(ApiError::internal)?;
            *record = changed;
        }
        Ok(outcome)
    }

    /// Adds items, given ids and a status where they have none, and returns them as kept.
    pub(crate) fn add(&self, items: Vec<Value>) -> Result<Vec<Value>, ApiError> {
        let items: Vec<_> = items.into_iter().map(complete).collect();
        let mut kept = self.items.lock().unwrap_or_else(PoisonError::into_inner);
        let log = item_log(&self.path);
        for item in &items {
            store::append(&log, &ItemChange::Added(item.clone())).map_err(ApiError::internal)?;
            kept.push(item.clone());
        }
        Ok(items)
    }

    /// Removes an item; false when there is none of this id.
    pub(crate) fn remove(&self, id: &str) -> Result<bool, ApiError> {
        let mut kept = self.items.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(at) = kept.iter().position(|item| id_of(item) == id) else { return Ok(false) };
        store::append(&item_log(&self.path), &ItemChange::Removed(id.to_owned())).map_err(ApiError::internal)?;
        kept.remove(at);
        Ok(true)
    }

    /// The conversation object.
    pub(crate) fn to_json(&self) -> Value {
        let record = self.record();
        json!({
            "id": record.id,
            "object": "conversation",
            "created_at": record.created_at / 1000,
            "metadata": record.metadata,
        })
    }
}

/// The conversations behind one agent's endpoint.
pub(crate) struct Conversations {
    directory: PathBuf,
    known: Mutex<HashMap<String, Arc<Conversation>>>,
}

impl Conversations {
    /// Finds what an earlier run left in `directory`.
    pub(crate) fn load(directory: &Path) -> Self {
        let known = store::entries(directory)
            .into_iter()
            .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
            .filter_map(|path| {
                let record: Record = store::load(&path)?;
                let id = record.id.clone();
                Some((id, Arc::new(Conversation::new(path, record))))
            })
            .collect();
        Self { directory: directory.to_owned(), known: Mutex::new(known) }
    }

    /// Makes a conversation. `now` in milliseconds, UTC.
    pub(crate) fn create(
        &self,
        partition: Partition,
        metadata: Value,
        now: i64,
    ) -> Result<Arc<Conversation>, ApiError> {
        let record = Record { id: ids::conversation(), partition, created_at: now, metadata, session_id: None };
        let id = record.id.clone();
        let path = self.directory.join(format!("{id}.json"));
        store::save(&path, &record).map_err(ApiError::internal)?;
        let conversation = Arc::new(Conversation::new(path, record));
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(id, Arc::clone(&conversation));
        Ok(conversation)
    }

    pub(crate) fn get(&self, id: &str) -> Option<Arc<Conversation>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    pub(crate) fn delete(&self, id: &str) -> Result<(), ApiError> {
        let gone = self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
        let Some(conversation) = gone else { return Ok(()) };
        // There is no log before the first item.
        let _ = std::fs::remove_file(item_log(&conversation.path));
        std::fs::remove_file(&conversation.path).map_err(ApiError::internal)
    }
}

/// The log of the conversation whose record is at `path`.
fn item_log(path: &Path) -> PathBuf {
    path.with_extension("items")
}

/// An item's id; every kept item has one.
pub(crate) fn id_of(item: &Value) -> &str {
    item.get("id").and_then(Value::as_str).unwrap_or_default()
}

/// The items a response's `input` stands for: a string is one user message.
pub(crate) fn input_items(input: Option<&Value>) -> Vec<Value> {
    match input {
        Some(Value::Array(items)) => items.clone(),
        Some(Value::String(text)) => {
            vec![json!({"type": "message", "role": "user", "content": text})]
        }
        _ => Vec::new(),
    }
}

/// An item as it is kept: with an id, a status, and text as content parts.
fn complete(item: Value) -> Value {
    let Value::Object(mut fields) = item else {
        return item;
    };
    let kind = fields.get("type").and_then(Value::as_str).unwrap_or("message").to_owned();
    if kind == "message" {
        let part = match fields.get("role").and_then(Value::as_str) {
            Some("assistant") => "output_text",
            _ => "input_text",
        };
        if let Some(Value::String(text)) = fields.get("content") {
            let parts = json!([{"type": part, "text": text}]);
            fields.insert("content".to_owned(), parts);
        }
    }
    let prefix = match kind.as_str() {
        "message" => "msg",
        "function_call" => "fc",
        "function_call_output" => "fco",
        "reasoning" => "rs",
        _ => "item",
    };
    fields.insert("type".to_owned(), Value::String(kind));
    fields.entry("id").or_insert_with(|| Value::String(ids::item(prefix)));
    fields.entry("status").or_insert_with(|| json!("completed"));
    Value::Object(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_message_is_kept_with_id_status_and_parts() {
        let item = complete(json!({"role": "user", "content": "hi"}));
        assert_eq!(item["type"], "message");
        assert_eq!(item["status"], "completed");
        assert_eq!(item["content"], json!([{"type": "input_text", "text": "hi"}]));
        assert!(item["id"].as_str().is_some_and(|id| id.starts_with("msg_")));
    }

    #[test]
    fn conversations_survive_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let partition = Partition::Own("ann".to_owned());
        let id = {
            let conversations = Conversations::load(directory.path());
            let made = conversations.create(partition.clone(), json!({"k": "v"}), 1000).unwrap();
            let added = made
                .add(input_items(Some(&json!([{"role": "user", "content": "hi"}, {"role": "user", "content": "you"}]))))
                .unwrap();
            assert!(made.remove(id_of(&added[0])).unwrap());
            made.record().id
        };
        let found = Conversations::load(directory.path()).get(&id).unwrap();
        assert_eq!(found.record().partition, partition);
        let texts: Vec<_> = found.items().iter().map(|item| item["content"][0]["text"].clone()).collect();
        assert_eq!(texts, ["you"]);
    }
}
