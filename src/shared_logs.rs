//! Logs that are followed: one stream of the service for all who follow the same log with the same query.
//!
//! A late reader begins with the lines it asked for, out of what is kept, and then reads what all others read. The last
//! one to leave ends the stream.

use crate::error::CallError;
use crate::feed::{Entry, Feed, Limits, Reader, Ring};
use crate::foundry::{LogEvent, LogPart};
use crate::partition::{AgentKey, Owner};
use cupola_protocol::id::SessionId;
use cupola_protocol::monitor::{LogKind, Tail};
use dashmap::{DashMap, Entry as Slot};
use serde_json::value::{RawValue, to_raw_value};
use std::sync::Arc;

/// What is kept of a followed log: the longest tail there is and as much again of remarks and of a burst that a slow
/// follower has yet to read.
const KEPT: Limits = Limits { entries: 4 * Tail::MAX.get() as usize, bytes: 2 * 1024 * 1024 };

/// Followers who can share a stream: they ask for the same, as the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LogKey {
    /// The agent.
    pub agent: AgentKey,
    /// Who asks, and so what is sent.
    pub owner: Owner,
    /// Whose log.
    pub session: SessionId,
    /// Which log: the agent's console or system events.
    pub kind: LogKind,
    /// How many lines to begin with.
    pub tail: Tail,
    /// Events as they are.
    pub raw: bool,
}

/// An event of a log, encoded once.
#[derive(Debug, Clone)]
pub struct LogLine {
    json: Box<RawValue>,
    part: LogPart,
}

/// One followed log; it ends as the log does.
pub type SharedLog = Feed<LogLine, Result<(), CallError>>;

/// A follower's place in it.
pub type Follower = Reader<LogLine, Result<(), CallError>>;

/// All logs that are followed now.
#[derive(Debug, Default)]
pub struct SharedLogs {
    logs: DashMap<LogKey, Arc<SharedLog>>,
}

/// What a follower begins with.
pub struct Joined {
    /// Its place.
    pub follower: Follower,
    /// How the session is, if the lines do not begin with it.
    pub preamble: Option<Box<RawValue>>,
    /// The log, if nobody followed it before. The receiver must fill it.
    pub begun: Option<Arc<SharedLog>>,
}

impl SharedLogs {
    /// Joins those who follow a log, or begins to follow it.
    pub fn join(&self, key: &LogKey) -> Joined {
        match self.logs.entry(key.clone()) {
            Slot::Occupied(mut slot) => {
                let mut preamble = None;
                let after = |ring: &Ring<LogLine>| {
                    let after = tail(ring, key.tail);
                    preamble = preamble_before(ring, after);
                    after
                };
                if let Some(follower) = slot.get().join(after) {
                    return Joined { follower, preamble, begun: None };
                }
                let (joined, log) = begin();
                slot.insert(log);
                joined
            }
            Slot::Vacant(slot) => {
                let (joined, log) = begin();
                slot.insert(log);
                joined
            }
        }
    }

    /// The log has ended or nobody follows it any more.
    pub fn leave(&self, key: &LogKey, log: &Arc<SharedLog>) {
        self.logs.remove_if(key, |_, current| Arc::ptr_eq(current, log));
    }
}

fn begin() -> (Joined, Arc<SharedLog>) {
    let log = Arc::new(SharedLog::new(KEPT, true));
    let Some(follower) = log.join(|_| 0) else { unreachable!("no follower has left it yet") };
    (Joined { follower, preamble: None, begun: Some(Arc::clone(&log)) }, log)
}

/// The number before the last `tail` lines; 0 when there are fewer.
fn tail(ring: &Ring<LogLine>, tail: Tail) -> u64 {
    let mut lines = 0;
    for (back, line) in ring.entries().rev().enumerate() {
        lines += u16::from(line.part == LogPart::Line);
        if lines == tail.get() {
            return ring.last() - back as u64 - 1;
        }
    }
    0
}

fn preamble_before(ring: &Ring<LogLine>, after: u64) -> Option<Box<RawValue>> {
    let passed = usize::try_from((after + 1).saturating_sub(ring.first())).unwrap_or(usize::MAX);
    let session = ring.entries().take(passed).find(|line| line.part == LogPart::Session);
    session.map(|line| line.json.clone()).or_else(|| ring.rest().clone())
}

impl LogLine {
    /// Encodes an event.
    pub fn new(event: &LogEvent) -> Self {
        let json = to_raw_value(&event.event).unwrap_or_else(|error| {
            tracing::error!(%error, "an event could not be encoded");
            RawValue::NULL.to_owned()
        });
        Self { json, part: event.part }
    }

    /// The `value` of its `$/progress`.
    pub fn json(&self) -> &RawValue {
        &self.json
    }

    /// Did the service say it?
    pub fn is_of_service(&self) -> bool {
        self.part != LogPart::Notice
    }
}

impl Entry for LogLine {
    /// How the session is.
    type Rest = Option<Box<RawValue>>;

    fn bytes(&self) -> usize {
        self.json.get().len()
    }

    fn fold_into(&self, preamble: &mut Self::Rest) {
        if self.part == LogPart::Session {
            *preamble = Some(self.json.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::Next;
    use cupola_protocol::isolation::{Isolation, IsolationModel};
    use cupola_protocol::monitor::MonitorEvent;
    use futures_util::FutureExt;

    fn key(tail: u64) -> LogKey {
        let agent = AgentKey::new(&serde_json::from_str(r#"{"kind":"emulator"}"#).unwrap());
        let owner = Owner::new(&agent, "caller", IsolationModel::Keys, &Isolation::default());
        let session = "session-1".parse().unwrap();
        LogKey { agent, owner, session, kind: LogKind::Console, tail: tail.try_into().unwrap(), raw: true }
    }

    /// `=` is the preamble, `#` a remark, anything else a line.
    fn line(text: &str) -> LogLine {
        let part = match text {
            "=" => LogPart::Session,
            "#" => LogPart::Remark,
            _ => LogPart::Line,
        };
        LogLine::new(&LogEvent { event: MonitorEvent::Raw { name: None, data: text.to_owned() }, part })
    }

    fn data(json: &RawValue) -> String {
        serde_json::from_str::<serde_json::Value>(json.get()).unwrap()["data"].as_str().unwrap().to_owned()
    }

    /// What someone who joins now begins with.
    fn begins_with(followed: &SharedLogs, key: &LogKey) -> String {
        let Joined { mut follower, preamble, begun } = followed.join(key);
        assert!(begun.is_none(), "another stream was begun");
        let mut text = preamble.map(|json| data(&json)).unwrap_or_default();
        while let Some(Next::Entries(lines)) = follower.next().now_or_never() {
            text.extend(lines.iter().map(|line| data(line.json())));
        }
        text
    }

    #[test]
    fn a_late_follower_begins_with_the_lines_it_asked_for() {
        let (followed, key) = (SharedLogs::default(), key(2));
        let first = followed.join(&key);
        let log = first.begun.unwrap();
        assert_eq!(begins_with(&followed, &key), "");
        for (text, expected) in [("=", "="), ("#", "=#"), ("a", "=#a"), ("b", "=ab"), ("#", "=ab#"), ("c", "=b#c")] {
            log.write(line(text));
            assert_eq!(begins_with(&followed, &key), expected);
        }
        for _ in 0..KEPT.entries {
            log.write(line("x"));
        }
        assert_eq!(begins_with(&followed, &key), "=xx", "the preamble is lost");
    }

    #[test]
    fn another_query_is_another_stream_and_so_is_one_after_the_last_has_left() {
        let followed = SharedLogs::default();
        let first = followed.join(&key(2));
        let log = first.begun.unwrap();
        assert!(followed.join(&key(3)).begun.is_some());
        drop(first.follower);
        let second = followed.join(&key(2));
        assert!(second.begun.is_some(), "it would never say anything");
        followed.leave(&key(2), &log);
        assert!(followed.join(&key(2)).begun.is_none(), "the new one was taken away with the old one");
    }
}
