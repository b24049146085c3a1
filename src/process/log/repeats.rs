//! Warnings that repeat are counted, not written each time: a disk that is full, or no file descriptor left, would fill the log
//! with one sentence.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tracing::callsite::Identifier;

/// How long the lines of one place in the source are counted together.
const WINDOW: Duration = Duration::from_mins(1);
/// How many of them are written in that time: enough to see whether they differ.
const WRITTEN: u32 = 10;

/// What has been written recently, by the place in the source that said it.
#[derive(Debug, Default)]
pub(super) struct Repeats(Mutex<HashMap<Identifier, Seen>>);

#[derive(Debug)]
struct Seen {
    since: Instant,
    written: u32,
    withheld: u64,
    /// The last line that was withheld.
    last: String,
}

impl Repeats {
    /// What is written now that `line` has come from `place`, in lines with their ends; a line without a place is always written.
    pub(super) fn admit(&self, place: Option<Identifier>, line: &str, now: Instant) -> String {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        seen.retain(|_, seen| {
            let is_over = now.saturating_duration_since(seen.since) >= WINDOW;
            if is_over && seen.withheld > 0 {
                let seconds = WINDOW.as_secs();
                // Writing to a string does not fail.
                let _ = writeln!(text, "{} ({} such lines were left out within {seconds} s)", seen.last, seen.withheld);
            }
            !is_over
        });
        let Some(place) = place else { return text + line + "\n" };
        let seen = seen.entry(place).or_insert(Seen { since: now, written: 0, withheld: 0, last: String::new() });
        if seen.written < WRITTEN {
            seen.written += 1;
            return text + line + "\n";
        }
        seen.withheld += 1;
        line.clone_into(&mut seen.last);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::callsite::Callsite;
    use tracing::subscriber::Interest;

    struct Place;

    impl Callsite for Place {
        fn set_interest(&self, _interest: Interest) {}

        fn metadata(&self) -> &tracing::Metadata<'_> {
            unreachable!("never called")
        }
    }

    static FULL: Place = Place;
    static OTHER: Place = Place;

    fn count(text: &str) -> usize {
        text.lines().count()
    }

    #[test]
    fn a_repeated_line_is_written_a_few_times_and_then_counted() {
        // Places of no size may have one address.
        let (full, other) = (Identifier(&FULL), Identifier(&OTHER));
        let (repeats, begin) = (Repeats::default(), Instant::now());
        let written: usize = (0..12_753)
            .map(|number| count(&repeats.admit(Some(full.clone()), &format!("no file {number}"), begin)))
            .sum();
        assert_eq!(written, 10);
        assert_eq!(repeats.admit(None, "information", begin), "information\n");
        let later = repeats.admit(Some(other), "something else", begin + WINDOW);
        assert_eq!(later, "no file 12752 (12743 such lines were left out within 60 s)\nsomething else\n");
        assert_eq!(repeats.admit(Some(full), "no file", begin + WINDOW), "no file\n", "a new minute begins");
    }

    #[test]
    fn what_comes_rarely_is_always_written() {
        let (repeats, begin) = (Repeats::default(), Instant::now());
        for number in 0..100 {
            assert_eq!(count(&repeats.admit(Some(Identifier(&FULL)), "now and then", begin + WINDOW / 5 * number)), 1);
        }
    }
}
