//! Where a followed log continues after the daemon was away: which lines were printed before. Pure.

use cupola_protocol::monitor::Tail;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The most lines that the service repeats at the beginning of a log.
const MOST_REPEATED: usize = Tail::MAX.get() as usize;

/// What was printed of a log.
#[derive(Debug, Default)]
pub(super) struct Printed {
    /// The session, once it is known: the log is that one's, whatever session comes next.
    session: Option<String>,
    /// The newest lines, oldest first.
    newest: VecDeque<u64>,
    /// When the oldest printed line was written: what is older was left out on purpose.
    oldest: Option<OffsetDateTime>,
    /// Lines that the service may repeat on this connection, and how often.
    repeatable: HashMap<u64, usize>,
    is_resumed: bool,
}

/// An event, as far as it says which line it is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event<'event> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'event, str>,
    #[serde(default, borrow)]
    session_id: Option<Cow<'event, str>>,
    #[serde(default, borrow)]
    timestamp: Option<Cow<'event, str>>,
    #[serde(default, borrow)]
    stream: Option<Cow<'event, str>>,
    #[serde(default, borrow)]
    message: Option<Cow<'event, str>>,
    #[serde(default, borrow)]
    data: Option<Cow<'event, str>>,
}

impl Printed {
    /// The session that is followed, once it is known.
    pub(super) fn session(&self) -> Option<&str> {
        self.session.as_deref()
    }

    /// The log is read again, from its last lines on.
    pub(super) fn resume(&mut self) {
        self.is_resumed = true;
        self.repeatable.clear();
        for line in &self.newest {
            *self.repeatable.entry(*line).or_default() += 1;
        }
    }

    /// Is this event to be printed?
    pub(super) fn is_new(&mut self, event: &RawValue) -> bool {
        let Ok(event) = serde_json::from_str::<Event<'_>>(event.get()) else { return true };
        let line = match event.kind.as_ref() {
            "started" => {
                self.session = event.session_id.map(Cow::into_owned);
                return !self.is_resumed;
            }
            "line" | "raw" => {
                let mut hasher = DefaultHasher::new();
                (&event.timestamp, &event.stream, &event.message, &event.data).hash(&mut hasher);
                hasher.finish()
            }
            _ => return true,
        };
        if let Some(count) = self.repeatable.get_mut(&line).filter(|count| **count > 0) {
            *count -= 1;
            return false;
        }
        let written = event.timestamp.and_then(|timestamp| OffsetDateTime::parse(&timestamp, &Rfc3339).ok());
        if self.is_resumed && matches!((written, self.oldest), (Some(written), Some(oldest)) if written < oldest) {
            return false;
        }
        self.oldest = self.oldest.or(written);
        if self.newest.len() == MOST_REPEATED {
            self.newest.pop_front();
        }
        self.newest.push_back(line);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(second: u8, message: &str) -> String {
        let timestamp = format!("2026-03-10T09:33:{second:02}.5Z");
        format!(r#"{{"type":"line","timestamp":"{timestamp}","stream":"stdout","message":"{message}"}}"#)
    }

    fn printed(log: &mut Printed, events: &[String]) -> Vec<String> {
        let is_new = |event: &&String| log.is_new(serde_json::from_str(event).unwrap());
        events.iter().filter(is_new).cloned().collect()
    }

    #[test]
    fn a_log_that_is_read_again_continues_where_it_was() {
        let mut log = Printed::default();
        let started = r#"{"type":"started","sessionId":"sess-1"}"#.to_owned();
        // Two lines alike are two lines.
        let first = [started.clone(), line(10, "a"), line(10, "a"), line(11, "b")];
        assert_eq!(printed(&mut log, &first), first);
        assert_eq!(log.session(), Some("sess-1"));
        log.resume();
        let again =
            [started, line(9, "older"), line(10, "a"), line(10, "a"), line(11, "b"), line(11, "b"), line(12, "c")];
        assert_eq!(printed(&mut log, &again), [line(11, "b"), line(12, "c")]);
        log.resume();
        assert_eq!(printed(&mut log, &[line(12, "c"), line(13, "d")]), [line(13, "d")]);
    }

    #[test]
    fn no_more_is_remembered_than_can_be_repeated() {
        let mut log = Printed::default();
        for number in 0..2 * MOST_REPEATED {
            printed(&mut log, &[line(10, &number.to_string())]);
        }
        assert_eq!(log.newest.len(), MOST_REPEATED);
        log.resume();
        assert_eq!(printed(&mut log, &[line(10, &(2 * MOST_REPEATED - 1).to_string())]), Vec::<String>::new());
    }
}
