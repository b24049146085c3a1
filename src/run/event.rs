//! A run's event as it is kept: encoded once, for however many clients.

use crate::feed::Entry;
use cupola_protocol::id::RunId;
use cupola_protocol::invoke::{InvokeEvent, NumberedEvent};
use std::ops::Range;
use std::sync::{Arc, OnceLock};

/// One numbered event.
#[derive(Debug, Clone)]
pub struct Event {
    number: u64,
    /// Its JSON and the text of its effect: together with those of other events once the run has ended.
    kept: Arc<str>,
    /// Where in `kept` the JSON is, and where after it the text ends.
    json: Range<usize>,
    text_end: usize,
    /// What clients are sent in place of the JSON, if some of them could not read that; made for the first one.
    sent: OnceLock<Option<Box<str>>>,
    effect: Effect,
}

/// What an event does to the answer's text.
#[derive(Debug, Clone, Copy)]
enum Effect {
    Append,
    Replace,
    /// Nothing: an event of the service, for those who want these.
    Output,
    Nothing,
}

impl Event {
    pub(super) fn new(run: &RunId, number: u64, event: InvokeEvent) -> Self {
        let numbered = NumberedEvent { run_id: run.clone(), number, event };
        let mut kept = serde_json::to_string(&numbered).unwrap_or_else(|error| {
            tracing::error!(%error, "an event could not be encoded");
            "null".to_owned()
        });
        let json = 0..kept.len();
        let effect = match numbered.event {
            InvokeEvent::TextDelta { delta } => {
                kept.push_str(&delta);
                Effect::Append
            }
            InvokeEvent::Snapshot { text } => {
                kept.push_str(&text);
                Effect::Replace
            }
            InvokeEvent::Output { .. } => Effect::Output,
            _ => Effect::Nothing,
        };
        Self { number, json, text_end: kept.len(), kept: kept.into(), sent: OnceLock::new(), effect }
    }

    /// The two events that stand for those up to `until` that a reader missed after `after`.
    pub fn in_place_of(run: &RunId, after: u64, until: u64, text: String) -> [Self; 2] {
        [InvokeEvent::Gap { after }, InvokeEvent::Snapshot { text }].map(|event| Self::new(run, until, event))
    }

    /// Its number in the run.
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// The `value` of its `$/progress`, in the form that `made` gives it. That is asked once, for all clients that follow the run before
    /// its end; `None` keeps it as it is.
    pub fn json_made(&self, made: impl FnOnce(&str) -> Option<Box<str>>) -> &str {
        let json = self.kept.get(self.json.clone()).unwrap_or("null");
        self.sent.get_or_init(|| made(json)).as_deref().unwrap_or(json)
    }

    /// The text of its effect.
    fn text(&self) -> &str {
        self.kept.get(self.json.end..self.text_end).unwrap_or_default()
    }

    /// Is it an event of the service that a client may do without?
    pub const fn is_output(&self) -> bool {
        matches!(self.effect, Effect::Output)
    }
}

/// What events that are no longer kept leave behind.
#[derive(Debug, Clone, Default)]
pub struct Told {
    /// The text that they made.
    pub text: String,
    /// The number of the last of them.
    pub number: u64,
}

impl Entry for Event {
    type Rest = Told;

    fn bytes(&self) -> usize {
        self.text_end - self.json.start
    }

    fn fold_into(&self, told: &mut Told) {
        told.number = self.number;
        match self.effect {
            Effect::Append => told.text.push_str(self.text()),
            Effect::Replace => self.text().clone_into(&mut told.text),
            Effect::Output | Effect::Nothing => {}
        }
    }

    fn gathered(entries: Vec<Self>) -> Vec<Self> {
        let mut all = String::with_capacity(entries.iter().map(Self::bytes).sum());
        let starts: Vec<usize> = entries
            .iter()
            .map(|event| {
                let start = all.len();
                all.push_str(event.kept.get(event.json.start..event.text_end).unwrap_or_default());
                start
            })
            .collect();
        let all: Arc<str> = all.into();
        let moved = |(event, start): (Self, usize)| {
            let json_end = start + event.json.len();
            let text_end = start + event.bytes();
            Self { kept: Arc::clone(&all), json: start..json_end, text_end, ..event }
        };
        entries.into_iter().zip(starts).map(moved).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_that_are_gathered_say_what_they_said_from_one_piece_of_memory() {
        let run: RunId = "run-1".parse().unwrap();
        let said = [
            InvokeEvent::TextDelta { delta: "Straße".to_owned() },
            InvokeEvent::Snapshot { text: String::new() },
            InvokeEvent::Completed {},
            InvokeEvent::TextDelta { delta: "b".to_owned() },
        ];
        let events: Vec<_> = (1..).zip(said).map(|(number, event)| Event::new(&run, number, event)).collect();
        // What clients were sent in its place stays, too.
        let sent = events[3].json_made(|_| Some("\"odd\"".into())).to_owned();
        let shown = |events: &[Event]| -> Vec<_> {
            let json = |event: &Event| event.json_made(|_| None).to_owned();
            events.iter().map(|event| (event.number(), json(event), event.text().to_owned(), event.bytes())).collect()
        };
        let before = shown(&events);
        let gathered = Event::gathered(events);
        assert_eq!(shown(&gathered), before);
        assert_eq!(gathered[3].json_made(|_| None), sent);
        assert!(gathered.iter().all(|event| Arc::ptr_eq(&event.kept, &gathered[0].kept)), "they are in pieces");
        let mut told = Told::default();
        for event in &gathered {
            event.fold_into(&mut told);
        }
        assert_eq!((told.text.as_str(), told.number), ("b", 4));
    }
}
