//! The numbers of a run's events. Pure.
//!
//! A run that can be read again must number its events as any other daemon does that reads them: by the service's sequence numbers,
//! never by what was seen here. So a client that comes with its last number gets every later event, and none twice.

use cupola_protocol::invoke::InvokeEvent;

/// The number of `started`.
const STARTED: u64 = 1;

/// Numbers that one event of the service may take: it becomes three events at most.
const STRIDE: u64 = 4;

/// Where the numbers continue after events that can no longer be read: above those of any stream, which has a GiB and so far fewer
/// events than this.
const LOST: u64 = 1_000_000_000;

/// The number of an ending which only says that the daemon that had the run is gone: above all others.
pub const BEYOND_ALL: u64 = 2 * LOST;

/// The numbers of one run.
#[derive(Debug, Clone)]
pub(super) struct Numbers {
    last: u64,
    way: Way,
}

#[derive(Debug, Clone)]
enum Way {
    /// One after the other.
    Counted,
    /// By the service's. `next`: the number of the next event that came with its latest sequence number.
    OfService { next: Option<u64> },
}

impl Numbers {
    /// `is_of_service`: the run may be read again by another daemon.
    pub(super) const fn new(is_of_service: bool) -> Self {
        let way = if is_of_service { Way::OfService { next: None } } else { Way::Counted };
        Self { last: 0, way }
    }

    /// The newest; 0 before the first.
    pub(super) const fn last(&self) -> u64 {
        self.last
    }

    /// The run turns out to end with this daemon.
    pub(super) fn count(&mut self) {
        self.way = Way::Counted;
    }

    /// What comes next has this sequence number.
    pub(super) fn at(&mut self, sequence: u64) {
        if let Way::OfService { next } = &mut self.way {
            *next = Some(sequence.saturating_mul(STRIDE).saturating_add(STARTED + 1));
        }
    }

    /// What came up to here cannot be read any more.
    pub(super) fn lost(&mut self) {
        if let Way::OfService { next } = &mut self.way {
            *next = Some(LOST);
        }
    }

    /// The number of an event.
    pub(super) fn number(&mut self, event: &InvokeEvent) -> u64 {
        // The service has no number for it, and a client may have read further with an earlier daemon.
        if matches!(event, InvokeEvent::Truncated { .. }) {
            self.lost();
        }
        let Way::OfService { next } = &mut self.way else {
            self.last += 1;
            return self.last;
        };
        let number = match (event, *next) {
            // What the daemon says is said once, and has no number of its own. How often an invocation is asked how it is depends on
            // who asks.
            (
                InvokeEvent::Notice { .. }
                | InvokeEvent::Request(_)
                | InvokeEvent::HttpHead { .. }
                | InvokeEvent::HttpBody { .. },
                _,
            )
            | (InvokeEvent::Output { .. }, None) => return self.last,
            (InvokeEvent::Started { .. }, _) => STARTED,
            (_, next) => next.unwrap_or_default().max(self.last.saturating_add(1)),
        };
        if next.is_some() {
            *next = Some(number.saturating_add(1));
        }
        self.last = number;
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cupola_protocol::invoke::{Notice, NoticeCode};
    use serde_json::value::RawValue;

    fn started() -> InvokeEvent {
        serde_json::from_str(r#"{"type":"started","isolationModel":"keys"}"#).unwrap()
    }

    fn delta() -> InvokeEvent {
        InvokeEvent::TextDelta { delta: "a".to_owned() }
    }

    fn notice() -> InvokeEvent {
        InvokeEvent::Notice { notice: Notice { code: NoticeCode::Retried, message: String::new() } }
    }

    #[test]
    fn an_event_has_the_same_number_in_every_daemon_that_reads_it() {
        let (mut first, mut second) = (Numbers::new(true), Numbers::new(true));
        assert_eq!(first.number(&notice()), 0);
        for numbers in [&mut first, &mut second] {
            assert_eq!(numbers.number(&started()), 1);
        }
        first.at(0);
        let of_first = first.number(&delta());
        first.number(&notice());
        first.at(3);
        let of_fourth = [first.number(&delta()), first.number(&InvokeEvent::Completed {})];
        // The other one does not get the first event: its number was skipped.
        second.at(3);
        assert_eq!([second.number(&delta()), second.number(&InvokeEvent::Completed {})], of_fourth);
        assert!(1 < of_first && of_first < of_fourth[0] && of_fourth[0] < of_fourth[1]);
    }

    #[test]
    fn what_follows_a_loss_comes_after_everything_that_anybody_has_seen() {
        let mut numbers = Numbers::new(true);
        numbers.at(40_000_000);
        let seen = numbers.number(&delta());
        let mut other = Numbers::new(true);
        other.lost();
        assert!(other.number(&InvokeEvent::Snapshot { text: String::new() }) > seen);
    }

    #[test]
    fn the_answer_of_an_invocation_has_the_same_number_however_often_it_was_asked_for() {
        let output = || InvokeEvent::Output { name: "invocation".to_owned(), data: RawValue::NULL.to_owned() };
        let ending = |asked: usize| {
            let mut numbers = Numbers::new(true);
            numbers.number(&started());
            (0..asked).for_each(|_| assert_eq!(numbers.number(&output()), 1));
            [numbers.number(&delta()), numbers.number(&InvokeEvent::Completed {})]
        };
        assert_eq!(ending(1), ending(5));
    }

    #[test]
    fn a_run_that_ends_with_its_daemon_counts() {
        let mut numbers = Numbers::new(false);
        numbers.at(7);
        assert_eq!([numbers.number(&notice()), numbers.number(&started()), numbers.number(&delta())], [1, 2, 3]);
    }

    #[test]
    fn a_number_beyond_all_others_stays_the_greatest() {
        let mut numbers = Numbers::new(true);
        for _ in 0..3 {
            numbers.at(u64::MAX);
            assert_eq!(numbers.number(&delta()), u64::MAX);
        }
    }
}
