//! A run: one invoke from request to ending, its numbered events, its text, exactly one ending.

use cupola_protocol::error::ErrorKind;
use cupola_protocol::id::RunId;
use cupola_protocol::invoke::{InvokeEvent, NumberedEvent, RunFailure, RunStatus};
use dashmap::DashMap;
use std::sync::Arc;
use std::time::Instant;
use uuid::Uuid;

/// Text one answer may have, in bytes. The response must carry all of it in one message; an agent that writes more than
/// this is not answering a person.
const MAX_TEXT_BYTES: usize = 32 * 1024 * 1024;

/// The runs under way.
#[derive(Debug, Clone, Default)]
pub struct Runs {
    live: Arc<DashMap<RunId, Instant>>,
}

impl Runs {
    /// Begins a run, which counts as under way until it is dropped.
    pub fn begin(&self) -> Run {
        let id = run_id();
        self.live.insert(id.clone(), Instant::now());
        Run { id, runs: self.clone(), next: 1, text: String::new(), status: None }
    }

    /// How many are under way.
    pub fn count(&self) -> usize {
        self.live.len()
    }
}

fn run_id() -> RunId {
    let text = format!("run-{}", Uuid::new_v4().simple());
    match text.parse() {
        Ok(id) => id,
        Err(invalid) => unreachable!("letters, digits and a hyphen make a valid id: {invalid}"),
    }
}

/// One run.
#[derive(Debug)]
pub struct Run {
    id: RunId,
    runs: Runs,
    next: u64,
    text: String,
    status: Option<RunStatus>,
}

impl Run {
    /// Its id.
    pub const fn id(&self) -> &RunId {
        &self.id
    }

    /// The answer's text so far.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// How it ended, once it has.
    pub const fn status(&self) -> Option<RunStatus> {
        self.status
    }

    /// Takes the next event: numbers it and applies it to the text. After the ending nothing is taken any more.
    pub fn take(&mut self, event: InvokeEvent) -> Option<NumberedEvent> {
        if self.status.is_some() {
            return None;
        }
        let event = match event {
            InvokeEvent::TextDelta { delta } if self.text.len() + delta.len() > MAX_TEXT_BYTES => InvokeEvent::Failed {
                failure: RunFailure {
                    kind: ErrorKind::UnexpectedAnswer,
                    message: format!("the answer is longer than {MAX_TEXT_BYTES} bytes"),
                    service_code: None,
                },
            },
            other => other,
        };
        match &event {
            InvokeEvent::TextDelta { delta } => self.text.push_str(delta),
            InvokeEvent::Snapshot { text } => self.text.clone_from(text),
            _ => self.status = event.ending(),
        }
        let number = self.next;
        self.next += 1;
        Some(NumberedEvent { run_id: self.id.clone(), number, event })
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.runs.live.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delta(text: &str) -> InvokeEvent {
        InvokeEvent::TextDelta { delta: text.to_owned() }
    }

    #[test]
    fn events_are_numbered_from_one_and_nothing_follows_the_ending() {
        let mut run = Runs::default().begin();
        assert_eq!(run.take(delta("a")).unwrap().number, 1);
        assert_eq!(run.take(InvokeEvent::Completed {}).unwrap().number, 2);
        assert!(run.take(delta("b")).is_none());
        assert!(run.take(InvokeEvent::Truncated { reason: None }).is_none());
        assert_eq!((run.text(), run.status()), ("a", Some(RunStatus::Completed)));
    }

    #[test]
    fn a_snapshot_replaces_the_text() {
        let mut run = Runs::default().begin();
        run.take(delta("wro"));
        run.take(InvokeEvent::Snapshot { text: "rig".to_owned() });
        run.take(delta("ht"));
        assert_eq!(run.text(), "right");
    }

    #[test]
    fn an_endless_answer_fails() {
        let mut run = Runs::default().begin();
        let piece = "x".repeat(MAX_TEXT_BYTES / 2);
        run.take(delta(&piece));
        run.take(delta(&piece));
        run.take(delta("y"));
        assert_eq!(run.status(), Some(RunStatus::Failed));
        assert_eq!(run.text().len(), MAX_TEXT_BYTES);
    }

    #[test]
    fn a_run_counts_until_it_is_dropped() {
        let runs = Runs::default();
        let run = runs.begin();
        assert_eq!(runs.count(), 1);
        drop(run);
        assert_eq!(runs.count(), 0);
    }
}
