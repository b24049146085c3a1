//! A run: one invoke from request to ending, its numbered events, its text, exactly one ending.

use crate::activity::{Activity, Busy};
use cupola_protocol::error::ErrorKind;
use cupola_protocol::id::RunId;
use cupola_protocol::invoke::{InvokeEvent, NumberedEvent, RunFailure, RunStatus};
use uuid::Uuid;

/// Text one answer may have, in bytes. The response must carry all of it in one message; an agent that writes more than
/// this is not answering a person.
const MAX_TEXT_BYTES: usize = 32 * 1024 * 1024;

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
    // Keeps the daemon from leaving.
    _busy: Busy,
    next: u64,
    text: String,
    status: Option<RunStatus>,
}

impl Run {
    /// Begins a run, which counts as under way until it is dropped.
    pub fn begin(activity: &Activity) -> Self {
        Self { id: run_id(), _busy: activity.run(), next: 1, text: String::new(), status: None }
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    fn delta(text: &str) -> InvokeEvent {
        InvokeEvent::TextDelta { delta: text.to_owned() }
    }

    #[test]
    fn events_are_numbered_from_one_and_nothing_follows_the_ending() {
        let mut run = Run::begin(&Activity::default());
        assert_eq!(run.take(delta("a")).unwrap().number, 1);
        assert_eq!(run.take(InvokeEvent::Completed {}).unwrap().number, 2);
        assert!(run.take(delta("b")).is_none());
        assert!(run.take(InvokeEvent::Truncated { reason: None }).is_none());
        assert_eq!((run.text(), run.status()), ("a", Some(RunStatus::Completed)));
    }

    #[test]
    fn a_snapshot_replaces_the_text() {
        let mut run = Run::begin(&Activity::default());
        run.take(delta("wro"));
        run.take(InvokeEvent::Snapshot { text: "rig".to_owned() });
        run.take(delta("ht"));
        assert_eq!(run.text(), "right");
    }

    #[test]
    fn an_endless_answer_fails() {
        let mut run = Run::begin(&Activity::default());
        let piece = "x".repeat(MAX_TEXT_BYTES / 2);
        run.take(delta(&piece));
        run.take(delta(&piece));
        run.take(delta("y"));
        assert_eq!(run.status(), Some(RunStatus::Failed));
        assert_eq!(run.text().len(), MAX_TEXT_BYTES);
    }

    #[test]
    fn a_run_counts_until_it_is_dropped() {
        let activity = Activity::default();
        let run = Run::begin(&activity);
        assert_eq!(activity.runs(), 1);
        drop(run);
        assert_eq!(activity.runs(), 0);
    }
}
