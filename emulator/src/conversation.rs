//! The conversations of one agent: message history kept by the gateway (contract section 8).

use crate::error::ApiError;
use crate::ids;
use crate::isolation::{self, Partition, Refusal};
use crate::store;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Items a client may add in one call (contract section 8).
pub(crate) const MAX_ITEMS: usize = 20;

/// Conversations of one agent that are in memory; the others are read again when they are asked for.
const MAX_RECENT: usize = 64;

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

/// Where an item is in its conversation's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ItemPlace(u64);

/// The same, of which only the ids are read.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum IdChange {
    Added(Named),
    Removed(String),
}

#[derive(Deserialize)]
struct Named {
    id: String,
}

/// One conversation. Its items are in a log beside its record. While it is in use, fingerprints of the items' ids are in memory as well, so
/// that a turn does not read the log.
pub(crate) struct Conversation {
    path: PathBuf,
    // Neither is ever held across an await.
    record: Mutex<Record>,
    /// The fingerprints of its items' ids, read from the log at the first question. Locked while the log changes.
    known: Mutex<Option<HashSet<u64>>>,
    /// Makes the fingerprints.
    hasher: RandomState,
}

impl Conversation {
    pub(crate) fn record(&self) -> Record {
        self.record.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn new(path: PathBuf, record: Record) -> Self {
        Self { path, record: Mutex::new(record), known: Mutex::default(), hasher: RandomState::new() }
    }

    /// May a request of the partition `asking` use it? Another's is not shown to exist, except across the wall between delegated
    /// and own state.
    pub(crate) fn reach(&self, asking: &Partition) -> Result<(), ApiError> {
        let record = self.record();
        isolation::reach(asking, &record.partition).map_err(|refusal| match refusal {
            Refusal::Hidden => ApiError::not_found("Conversation", &record.id),
            refusal => refusal.into(),
        })
    }

    /// Its items' ids, oldest first, and where each item is.
    pub(crate) fn items(&self) -> Vec<(String, ItemPlace)> {
        let mut items: Vec<(String, ItemPlace)> = Vec::new();
        for (at, change) in store::lines(&item_log(&self.path)) {
            match change {
                IdChange::Added(Named { id }) => items.push((id, ItemPlace(at))),
                IdChange::Removed(id) => items.retain(|(known, _)| *known != id),
            }
        }
        items
    }

    /// Has it an item of this id?
    pub(crate) fn holds(&self, id: &str) -> bool {
        let mut known = self.known();
        let known = known.get_or_insert_with(|| self.items().iter().map(|(id, _)| self.hasher.hash_one(id)).collect());
        known.contains(&self.hasher.hash_one(id))
    }

    fn known(&self) -> MutexGuard<'_, Option<HashSet<u64>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The item at a place that [`Self::items`] named.
    pub(crate) fn item(&self, place: ItemPlace) -> Option<Value> {
        match store::read_at(&item_log(&self.path), place.0)? {
            ItemChange::Added(item) => Some(item),
            ItemChange::Removed(_) => None,
        }
    }

    /// Changes it, and writes the change to disk before anyone sees it.
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
        let log = item_log(&self.path);
        let mut known = self.known();
        for item in &items {
            store::append(&log, &ItemChange::Added(item.clone())).map_err(ApiError::internal)?;
            if let (Some(known), Some(id)) = (known.as_mut(), item["id"].as_str()) {
                known.insert(self.hasher.hash_one(id));
            }
        }
        Ok(items)
    }

    /// Removes an item; false if no item has this id.
    pub(crate) fn remove(&self, id: &str) -> Result<bool, ApiError> {
        let mut known = self.known();
        if !self.items().iter().any(|(known, _)| known == id) {
            return Ok(false);
        }
        store::append(&item_log(&self.path), &ItemChange::Removed(id.to_owned())).map_err(ApiError::internal)?;
        if let Some(known) = known.as_mut() {
            known.remove(&self.hasher.hash_one(id));
        }
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

/// The conversations behind one agent's endpoint. All are on disk; recently used ones are also in memory.
pub(crate) struct Conversations {
    directory: PathBuf,
    known: Mutex<Recent>,
}

/// Conversations in memory. While a conversation is in use, it has only one copy.
#[derive(Default)]
struct Recent {
    by_id: HashMap<String, (Arc<Conversation>, u64)>,
    /// Counts uses: the order in which they are given up.
    uses: u64,
}

impl Recent {
    fn get(&mut self, id: &str) -> Option<Arc<Conversation>> {
        self.uses += 1;
        let (conversation, used) = self.by_id.get_mut(id)?;
        *used = self.uses;
        Some(Arc::clone(conversation))
    }

    fn put(&mut self, id: String, conversation: &Arc<Conversation>) {
        self.uses += 1;
        self.by_id.insert(id, (Arc::clone(conversation), self.uses));
        while self.by_id.len() > MAX_RECENT {
            let unused = self.by_id.iter().filter(|(_, (conversation, _))| Arc::strong_count(conversation) == 1);
            let Some(oldest) = unused.min_by_key(|(_, (_, used))| *used).map(|(id, _)| id.clone()) else { return };
            self.by_id.remove(&oldest);
        }
    }
}

impl Conversations {
    /// Those in `directory`, an earlier run's too.
    pub(crate) fn load(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), known: Mutex::default() }
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
        let path = self.path(&id);
        store::save(&path, &record).map_err(ApiError::internal)?;
        let conversation = Arc::new(Conversation::new(path, record));
        self.known().put(id, &conversation);
        Ok(conversation)
    }

    pub(crate) fn get(&self, id: &str) -> Option<Arc<Conversation>> {
        // The id comes from a URL and becomes a path.
        if !ids::is_conversation(id) {
            return None;
        }
        let mut known = self.known();
        if let Some(conversation) = known.get(id) {
            return Some(conversation);
        }
        let path = self.path(id);
        let record: Record = store::load(&path)?;
        let conversation = Arc::new(Conversation::new(path, record));
        known.put(id.to_owned(), &conversation);
        Some(conversation)
    }

    pub(crate) fn delete(&self, id: &str) -> Result<(), ApiError> {
        let Some(conversation) = self.get(id) else { return Ok(()) };
        self.known().by_id.remove(id);
        // The log does not exist before the first item.
        let _ = std::fs::remove_file(item_log(&conversation.path));
        std::fs::remove_file(&conversation.path).map_err(ApiError::internal)
    }

    fn path(&self, id: &str) -> PathBuf {
        self.directory.join(format!("{id}.json"))
    }

    fn known(&self) -> MutexGuard<'_, Recent> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
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
        let texts: Vec<_> =
            found.items().iter().map(|(_, place)| found.item(*place).unwrap()["content"][0]["text"].clone()).collect();
        assert_eq!(texts, ["you"]);
    }

    #[test]
    fn it_knows_its_items_and_those_of_an_earlier_run() {
        let directory = tempfile::tempdir().unwrap();
        let conversations = Conversations::load(directory.path());
        let made = conversations.create(Partition::Own("ann".to_owned()), json!({}), 0).unwrap();
        let add = |conversation: &Conversation, text: &str| {
            let added = conversation.add(input_items(Some(&json!(text)))).unwrap();
            id_of(&added[0]).to_owned()
        };
        let first = add(&made, "one");
        assert!(!made.holds("msg_other") && made.holds(&first));
        let second = add(&made, "two");
        made.remove(&first).unwrap();
        let later = Conversations::load(directory.path()).get(&made.record().id).unwrap();
        for conversation in [&made, &later] {
            assert_eq!([&first, &second].map(|id| conversation.holds(id)), [false, true]);
        }
        // Neither reads the log again.
        std::fs::remove_file(item_log(&made.path)).unwrap();
        assert!(made.holds(&second) && later.holds(&second));
    }

    #[test]
    fn few_conversations_are_in_memory_and_one_in_use_is_there_once() {
        let directory = tempfile::tempdir().unwrap();
        let conversations = Conversations::load(directory.path());
        let create = || conversations.create(Partition::Own("ann".to_owned()), json!({}), 0).unwrap();
        let used = create();
        let unused = create().record().id;
        for _ in 0..2 * MAX_RECENT {
            create();
        }
        assert_eq!(conversations.known().by_id.len(), MAX_RECENT);
        assert!(!conversations.known().by_id.contains_key(&unused));
        assert_eq!(conversations.get(&unused).unwrap().record().id, unused);
        assert!(Arc::ptr_eq(&used, &conversations.get(&used.record().id).unwrap()));
        conversations.delete(&unused).unwrap();
        assert!(conversations.get(&unused).is_none());
    }

    #[test]
    fn an_id_that_is_a_path_finds_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let outside = Conversations::load(directory.path());
        let id = outside.create(Partition::Own("ann".to_owned()), json!({}), 0).unwrap().record().id;
        let inside = Conversations::load(&directory.path().join("inner"));
        std::fs::create_dir(directory.path().join("inner")).unwrap();
        assert!(inside.get(&format!("../{id}")).is_none());
    }
}
