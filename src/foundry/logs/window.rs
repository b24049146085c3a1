//! What of a log has been passed on already. Pure.
//!
//! The service has no cursor: a new stream begins with lines of the old one (contract section 6). A line is told by its
//! time, stream and text, and counted: what was passed on twice is left out twice, and no oftener.

use cupola_protocol::monitor::{LogKind, MonitorEvent, Tail};
use std::collections::hash_map::DefaultHasher;
use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{Hash, Hasher};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Lines remembered: what a new stream can repeat, and as much again, because streams mix their sources in other orders.
const REMEMBERED: usize = 2 * Tail::MAX.get() as usize;

/// Different remarks of the stream that are remembered. There are three known ones.
const REMEMBERED_REMARKS: usize = 32;

/// What to do with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Pass it on.
    New,
    /// Pass it on; lines before it may be missing.
    NewAfterGap,
    /// It was passed on before, or is older than what was asked for.
    Known,
}

/// The lines passed on last.
#[derive(Debug)]
pub(super) struct Window {
    kind: LogKind,
    passed: VecDeque<Passed>,
    remarks: HashSet<u64>,
    /// What the present stream may repeat; `None` in the first one.
    repeats: Option<Repeats>,
}

#[derive(Debug, Clone, Copy)]
struct Passed {
    line: u64,
    at: Option<OffsetDateTime>,
}

#[derive(Debug)]
struct Repeats {
    lines: HashMap<u64, usize>,
    remarks: HashSet<u64>,
    /// Lines before this are older than everything that was asked for.
    oldest: Option<OffsetDateTime>,
    /// A line was recognised, so the streams overlap.
    overlaps: bool,
    /// A new line has come: lines without a time are no longer taken for old ones.
    is_past: bool,
}

impl Window {
    pub(super) fn new(kind: LogKind) -> Self {
        Self { kind, passed: VecDeque::new(), remarks: HashSet::new(), repeats: None }
    }

    /// How many lines the next stream should begin with: all that can be had, to miss none; but no more than was asked for
    /// where older lines could not be told from missed ones.
    pub(super) fn tail(&self, asked: Tail) -> Tail {
        if self.passed.front().is_some_and(|passed| passed.at.is_some()) { Tail::MAX } else { asked }
    }

    /// A new stream begins.
    pub(super) fn begin_stream(&mut self, is_first: bool) {
        self.repeats = (!is_first).then(|| {
            let mut lines = HashMap::new();
            for passed in &self.passed {
                *lines.entry(passed.line).or_insert(0) += 1;
            }
            let oldest = self.passed.iter().filter_map(|passed| passed.at).min();
            Repeats { lines, remarks: self.remarks.clone(), oldest, overlaps: false, is_past: false }
        });
    }

    /// Judges a line, and remembers it when it is to be passed on.
    pub(super) fn judge(&mut self, event: &MonitorEvent) -> Verdict {
        let (timestamp, stream, text) = match event {
            MonitorEvent::Line { timestamp, stream, message } => (timestamp.as_deref(), stream.as_deref(), message),
            MonitorEvent::Raw { name, data } => (None, name.as_deref(), data),
            _ => return Verdict::New,
        };
        // The console's status lines are the stream's own remarks, repeated by each.
        if self.kind == LogKind::Console && stream == Some("status") {
            return self.judge_remark(fingerprint(&text));
        }
        let line = fingerprint(&(timestamp, stream, text));
        let at = timestamp.and_then(|timestamp| OffsetDateTime::parse(timestamp, &Rfc3339).ok());
        let verdict =
            self.repeats.as_mut().map_or(Verdict::New, |repeats| repeats.judge(line, at, self.passed.is_empty()));
        if verdict != Verdict::Known {
            if self.passed.len() == REMEMBERED {
                self.passed.pop_front();
            }
            self.passed.push_back(Passed { line, at });
        }
        verdict
    }

    fn judge_remark(&mut self, remark: u64) -> Verdict {
        if self.repeats.as_mut().is_some_and(|repeats| !repeats.is_past && repeats.remarks.remove(&remark)) {
            return Verdict::Known;
        }
        if self.remarks.len() < REMEMBERED_REMARKS {
            self.remarks.insert(remark);
        }
        Verdict::New
    }
}

impl Repeats {
    fn judge(&mut self, line: u64, at: Option<OffsetDateTime>, is_first_of_all: bool) -> Verdict {
        if at.is_some() || !self.is_past {
            if let Some(count) = self.lines.get_mut(&line).filter(|count| **count > 0) {
                *count -= 1;
                self.overlaps = true;
                return Verdict::Known;
            }
            if at.zip(self.oldest).is_some_and(|(at, oldest)| at < oldest) {
                self.overlaps = true;
                return Verdict::Known;
            }
        }
        let is_torn = !self.is_past && !self.overlaps && !is_first_of_all;
        self.is_past = true;
        if is_torn { Verdict::NewAfterGap } else { Verdict::New }
    }
}

fn fingerprint(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `7 text` is a line at second 7, `- text` one without a time, `# text` a remark.
    fn event(line: &str) -> MonitorEvent {
        let (time, message) = line.split_once(' ').unwrap();
        let timestamp = time.parse::<u8>().ok().map(|second| format!("2026-03-10T09:33:{second:02}Z"));
        let stream = if time == "#" { "status" } else { "stdout" };
        MonitorEvent::Line { timestamp, stream: Some(stream.to_owned()), message: message.to_owned() }
    }

    /// Plays streams one after the other; gives what was passed on, with `…` for a gap.
    fn play(kind: LogKind, streams: &[&[&str]]) -> Vec<String> {
        let mut window = Window::new(kind);
        let mut shown = Vec::new();
        for (number, stream) in streams.iter().enumerate() {
            window.begin_stream(number == 0);
            for line in *stream {
                match window.judge(&event(line)) {
                    Verdict::New => shown.push((*line).to_owned()),
                    Verdict::NewAfterGap => shown.push(format!("… {line}")),
                    Verdict::Known => {}
                }
            }
        }
        shown
    }

    #[test]
    fn a_new_stream_adds_only_what_is_new() {
        let console = |streams| play(LogKind::Console, streams);
        assert_eq!(console(&[&["1 a", "2 b"], &["1 a", "2 b", "3 c"], &["2 b", "3 c"]]), ["1 a", "2 b", "3 c"]);
        // Truly repeated lines count: two were shown, the third is new.
        assert_eq!(console(&[&["1 x", "1 x"], &["1 x", "1 x", "1 x"]]), ["1 x", "1 x", "1 x"]);
        assert_eq!(console(&[&["- x", "- x"], &["- x", "- x", "- y", "- x"]]), ["- x", "- x", "- y", "- x"]);
        // Older than what was asked for.
        assert_eq!(console(&[&["5 e"], &["3 c", "4 d", "5 e", "6 f"]]), ["5 e", "6 f"]);
        // Out of order between stdout and stderr.
        assert_eq!(console(&[&["1 a", "3 c", "2 b"], &["1 a", "2 b", "3 c", "4 d"]]), ["1 a", "3 c", "2 b", "4 d"]);
        // Nothing had been shown: nothing can be missing.
        assert_eq!(console(&[&[], &["1 a"]]), ["1 a"]);
    }

    #[test]
    fn streams_that_do_not_overlap_show_a_gap() {
        let console = |streams| play(LogKind::Console, streams);
        assert_eq!(console(&[&["1 a"], &["7 g", "8 h"]]), ["1 a", "… 7 g", "8 h"]);
        assert_eq!(console(&[&["1 a"], &["1 a"], &["2 b"]]), ["1 a", "… 2 b"]);
    }

    #[test]
    fn a_streams_own_remarks_are_not_made_again_at_each_reconnection() {
        let streams: &[&[&str]] = &[&["# connecting", "1 a", "# quiet"], &["# connecting", "1 a", "2 b", "# quiet"]];
        assert_eq!(play(LogKind::Console, streams), ["# connecting", "1 a", "# quiet", "2 b", "# quiet"]);
        // In the system log they are the lines themselves.
        let streams: &[&[&str]] = &[&["# started", "# started"], &["# started", "# started", "# started"]];
        assert_eq!(play(LogKind::System, streams), ["# started"; 3]);
    }

    #[test]
    fn more_lines_are_asked_for_only_when_older_ones_can_be_told() {
        let mut window = Window::new(LogKind::Console);
        assert_eq!(window.tail(Tail::default()), Tail::default());
        window.judge(&event("- x"));
        assert_eq!(window.tail(Tail::default()), Tail::default());
        let mut window = Window::new(LogKind::Console);
        window.judge(&event("1 x"));
        assert_eq!(window.tail(Tail::default()), Tail::MAX);
    }
}
