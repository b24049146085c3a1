//! Responses by id. They outlive the containers that made them, as a session's may go idle and resume.
//!
//! With a directory, a finished response is written there at its end, and only the newest few are in memory as well: an
//! emulator that runs for weeks inside the daemon stays small. Nothing is taken over from an earlier process.

use super::run::Run;
use crate::store::file_name;
use std::collections::{HashMap, VecDeque};
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// Responses kept. Enough for a day of trying things out; the oldest finished one goes first.
const MAX_RESPONSES: usize = 1000;
/// Finished responses that are in memory too, where the others are on disk: those that a client may still be asking for.
const RECENT_RESPONSES: usize = 32;
/// Their bytes as text, together. A response in memory takes a few times as much.
const RECENT_BYTES: usize = 256 * 1024;

/// The responses of one kind of agent.
#[derive(Debug, Default)]
pub(super) struct Store {
    // Never held across an await.
    kept: Mutex<Kept>,
    disk: Option<Disk>,
}

#[derive(Debug, Default)]
struct Kept {
    by_id: HashMap<String, Slot>,
    /// Ids, oldest first. Holds exactly the keys of `by_id`.
    order: VecDeque<String>,
    /// Ids by conversation, oldest first. Holds only keys of `by_id`.
    conversations: HashMap<String, Vec<String>>,
    /// Those that are on disk and in memory, oldest first, with their length on disk.
    recent: VecDeque<(String, usize)>,
}

/// Where a response is.
#[derive(Debug)]
enum Slot {
    Memory(Arc<Run>),
    Disk,
}

/// Where finished responses are written.
#[derive(Debug)]
struct Disk {
    directory: PathBuf,
    /// Filled once it is empty: what another process left there is gone.
    ready: OnceLock<bool>,
}

impl Disk {
    fn is_ready(&self) -> bool {
        *self.ready.get_or_init(|| {
            let emptied = match fs::remove_dir_all(&self.directory) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => fs::create_dir_all(&self.directory),
            };
            if let Err(error) = &emptied {
                let directory = self.directory.display();
                tracing::warn!(%directory, %error, "responses stay in memory: their directory cannot be used");
            }
            emptied.is_ok()
        })
    }

    fn path(&self, id: &str) -> PathBuf {
        self.directory.join(file_name(id))
    }

    /// Writes a finished run, and says how long it is.
    fn write(&self, run: &Run) -> io::Result<usize> {
        let saved = run.save()?;
        fs::write(self.path(&run.head.id), &saved)?;
        Ok(saved.len())
    }

    fn read(&self, id: &str) -> Option<Run> {
        let read = fs::read(self.path(id)).and_then(|saved| Ok(Run::restore(&saved)?));
        read.inspect_err(|error| tracing::warn!(id, %error, "a response could not be read again")).ok()
    }
}

impl Store {
    /// Keeps finished responses in `directory`, which is this store's alone.
    pub(super) fn in_directory(directory: PathBuf) -> Self {
        Self { kept: Mutex::default(), disk: Some(Disk { directory, ready: OnceLock::new() }) }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a run, making room when needed. A run in flight is never dropped, so the bound may be passed by those.
    pub(super) fn put(&self, run: Arc<Run>) {
        let mut kept = self.kept();
        let id = run.head.id.clone();
        if let Some(conversation) = &run.head.conversation {
            kept.conversations.entry(conversation.clone()).or_default().push(id.clone());
        }
        if kept.by_id.insert(id.clone(), Slot::Memory(run)).is_none() {
            kept.order.push_back(id);
        }
        if kept.by_id.len() > MAX_RESPONSES {
            let has_ended = |id: &&String| match kept.by_id.get(*id) {
                Some(Slot::Memory(run)) => run.has_ended(),
                Some(Slot::Disk) => true,
                None => false,
            };
            let oldest = kept.order.iter().find(has_ended).cloned();
            if let Some(id) = oldest {
                self.forget(&mut kept, &id);
            }
        }
    }

    /// A run that was put has ended: writes it to disk, if there is a place for it.
    pub(super) fn settle(&self, run: &Run) {
        let Some(disk) = self.disk.as_ref().filter(|disk| disk.is_ready()) else { return };
        let id = &run.head.id;
        let mut kept = self.kept();
        if !kept.by_id.contains_key(id) {
            return;
        }
        match disk.write(run) {
            Ok(bytes) => kept.recent.push_back((id.clone(), bytes)),
            Err(error) => tracing::warn!(id, %error, "a response stays in memory: it could not be written"),
        }
        let mut bytes: usize = kept.recent.iter().map(|(_, bytes)| bytes).sum();
        while bytes > RECENT_BYTES || kept.recent.len() > RECENT_RESPONSES {
            let Some((oldest, length)) = kept.recent.pop_front() else { break };
            bytes -= length;
            if let Some(slot) = kept.by_id.get_mut(&oldest) {
                *slot = Slot::Disk;
            }
        }
    }

    /// The run of an id.
    pub(super) fn get(&self, id: &str) -> Option<Arc<Run>> {
        if let Slot::Memory(run) = self.kept().by_id.get(id)? {
            return Some(Arc::clone(run));
        }
        self.disk.as_ref()?.read(id).map(Arc::new)
    }

    /// The runs of a conversation, oldest first.
    pub(super) fn in_conversation(&self, conversation: &str) -> Vec<Arc<Run>> {
        let ids = self.kept().conversations.get(conversation).cloned().unwrap_or_default();
        ids.iter().filter_map(|id| self.get(id)).collect()
    }

    /// Those of them that have not ended. They are in memory, so no turn reads what earlier turns have left on disk.
    pub(super) fn running_in_conversation(&self, conversation: &str) -> Vec<Arc<Run>> {
        let kept = self.kept();
        let slots = kept.conversations.get(conversation).into_iter().flatten().filter_map(|id| kept.by_id.get(id));
        let runs = slots.filter_map(|slot| if let Slot::Memory(run) = slot { Some(run) } else { None });
        runs.filter(|run| !run.has_ended()).map(Arc::clone).collect()
    }

    /// Forgets a run.
    pub(super) fn remove(&self, id: &str) {
        self.forget(&mut self.kept(), id);
    }

    fn forget(&self, kept: &mut Kept, id: &str) {
        if kept.by_id.remove(id).is_none() {
            return;
        }
        kept.order.retain(|known| known != id);
        kept.recent.retain(|(known, _)| known != id);
        kept.conversations.retain(|_, ids| {
            ids.retain(|known| known != id);
            !ids.is_empty()
        });
        if let Some(disk) = &self.disk {
            // It is not there when the run had not ended.
            let _ = fs::remove_file(disk.path(id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::answer::Answer;
    use super::super::object::Head;
    use super::super::run::{Mode, Owner};
    use super::*;
    use serde_json::json;
    use tokio_util::sync::CancellationToken;

    fn run(id: &str) -> Arc<Run> {
        run_in(id, None)
    }

    fn run_in(id: &str, conversation: Option<&str>) -> Arc<Run> {
        let head = Head {
            id: id.to_owned(),
            created_at: 0,
            model: String::new(),
            instructions: None,
            metadata: None,
            previous_response_id: None,
            conversation: conversation.map(str::to_owned),
            background: true,
            agent_reference: None,
            session_id: String::new(),
        };
        let mode = Mode { background: true, stream: true };
        let (input, history) = (vec![json!({"id": "msg_1"})], vec![json!({"id": "msg_0"})]);
        Arc::new(Run::new(head, mode, Owner::User("ann".to_owned()), input, history, CancellationToken::new()))
    }

    /// A run that has ended, put as the agent does.
    async fn ended(store: &Store, id: &str, text: &str) {
        let run = run(id);
        store.put(Arc::clone(&run));
        run.perform(Answer::text(text)).await;
        store.settle(&run);
    }

    fn in_memory(store: &Store) -> usize {
        store.kept().by_id.values().filter(|slot| matches!(slot, Slot::Memory(_))).count()
    }

    #[tokio::test]
    async fn the_oldest_finished_response_goes_first() {
        let directory = tempfile::tempdir().unwrap();
        for store in [Store::default(), Store::in_directory(directory.path().join("responses"))] {
            store.put(run("running"));
            for number in 0..MAX_RESPONSES {
                ended(&store, &number.to_string(), "done").await;
            }
            assert!(store.get("running").is_some());
            assert!(store.get("0").is_none());
            assert!(store.get("1").is_some());
            assert!(store.get(&(MAX_RESPONSES - 1).to_string()).is_some());
        }
        assert_eq!(fs::read_dir(directory.path().join("responses")).unwrap().count(), MAX_RESPONSES - 1);
    }

    #[tokio::test]
    async fn the_running_turns_of_a_conversation_are_those_that_have_not_ended() {
        let store = Store::default();
        let [ended, running, other] =
            [("ended", "conv_1"), ("running", "conv_1"), ("other", "conv_2")].map(|(id, conv)| run_in(id, Some(conv)));
        for run in [&ended, &running, &other] {
            store.put(Arc::clone(run));
        }
        ended.perform(Answer::text("done")).await;
        store.settle(&ended);
        let ids: Vec<_> = store.running_in_conversation("conv_1").iter().map(|run| run.head.id.clone()).collect();
        assert_eq!(ids, ["running"]);
        assert!(store.running_in_conversation("conv_3").is_empty());
    }

    #[tokio::test]
    async fn only_the_newest_are_in_memory_and_the_others_are_the_same_from_disk() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::in_directory(directory.path().to_owned());
        let first = run("first");
        store.put(Arc::clone(&first));
        first.perform(Answer::text("one two")).await;
        store.settle(&first);
        for number in 0..RECENT_RESPONSES {
            ended(&store, &number.to_string(), "done").await;
        }
        assert_eq!(in_memory(&store), RECENT_RESPONSES);
        let read = store.get("first").unwrap();
        assert!(!Arc::ptr_eq(&read, &first));
        let body = |run: &Run| run.snapshot().unwrap().body(&run.head);
        assert_eq!(body(&read), body(&first));
        assert_eq!((&read.input, &read.history), (&first.input, &first.history));
        assert!(read.has_ended() && read.can_replay());
        let (mut at, mut count) = (0, 0);
        while let Some((next, frame)) = read.next_frame(at, -1).await {
            assert_eq!(Some((next, frame)), first.next_frame(at, -1).await);
            (at, count) = (next, count + 1);
        }
        assert!(count > 5, "{count} events");
        store.remove("first");
        assert!(store.get("first").is_none());
    }

    #[tokio::test]
    async fn long_responses_leave_memory_sooner() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::in_directory(directory.path().to_owned());
        for id in ["a", "b"] {
            ended(&store, id, &"x".repeat(RECENT_BYTES)).await;
            assert_eq!(in_memory(&store), 0);
            assert!(store.get(id).is_some());
        }
    }
}
