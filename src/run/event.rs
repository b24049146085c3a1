//! A run's event as it is kept: encoded once, for however many clients.

use crate::feed::Entry;
use cupola_protocol::id::RunId;
use cupola_protocol::invoke::{InvokeEvent, NumberedEvent};
use serde_json::value::{RawValue, to_raw_value};
use std::sync::OnceLock;

/// One numbered event.
#[derive(Debug)]
pub struct Event {
    number: u64,
    json: Box<RawValue>,
    /// What clients are sent in place of `json`, if some of them could not read that; made for the first one.
    sent: OnceLock<Option<Box<RawValue>>>,
    effect: Effect,
}

/// What an event does to the answer's text.
#[derive(Debug)]
enum Effect {
    Append(String),
    Replace(String),
    /// Nothing: an event of the service, for those who want these.
    Output,
    Nothing,
}

impl Event {
    pub(super) fn new(run: &RunId, number: u64, event: InvokeEvent) -> Self {
        let numbered = NumberedEvent { run_id: run.clone(), number, event };
        let json = to_raw_value(&numbered).unwrap_or_else(|error| {
            tracing::error!(%error, "an event could not be encoded");
            RawValue::NULL.to_owned()
        });
        let effect = match numbered.event {
            InvokeEvent::TextDelta { delta } => Effect::Append(delta),
            InvokeEvent::Snapshot { text } => Effect::Replace(text),
            InvokeEvent::Output { .. } => Effect::Output,
            _ => Effect::Nothing,
        };
        Self { number, json, sent: OnceLock::new(), effect }
    }

    /// The two events that stand for those up to `until` that a reader missed after `after`.
    pub fn in_place_of(run: &RunId, after: u64, until: u64, text: String) -> [Self; 2] {
        [InvokeEvent::Gap { after }, InvokeEvent::Snapshot { text }].map(|event| Self::new(run, until, event))
    }

    /// Its number in the run.
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// The `value` of its `$/progress`.
    pub fn json(&self) -> &RawValue {
        &self.json
    }

    /// As [`Self::json`], in the form that `made` gives it. That is asked once, for all clients; `None` keeps it as it is.
    pub fn json_made(&self, made: impl FnOnce(&RawValue) -> Option<Box<RawValue>>) -> &RawValue {
        self.sent.get_or_init(|| made(&self.json)).as_deref().unwrap_or(&self.json)
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
        let text = match &self.effect {
            Effect::Append(text) | Effect::Replace(text) => text.len(),
            Effect::Output | Effect::Nothing => 0,
        };
        self.json.get().len() + text
    }

    fn fold_into(&self, told: &mut Told) {
        told.number = self.number;
        match &self.effect {
            Effect::Append(more) => told.text.push_str(more),
            Effect::Replace(whole) => told.text.clone_from(whole),
            Effect::Output | Effect::Nothing => {}
        }
    }
}
