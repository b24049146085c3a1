//! How long a command waits for the daemon: for its first word, and for the whole call.
//!
//! A daemon that works says its first word within milliseconds, whatever the call is: the word is its answer to a greeting, which
//! needs neither the service nor saved state. How long the rest may take is the call's own affair, unless `--timeout` bounds it.

use std::time::{Duration, Instant};

/// How long the daemon may take for its first word. A loaded machine needs a second or two; a daemon that takes longer than this
/// is suspended or hangs.
const FIRST_WORD: Duration = Duration::from_secs(15);
/// How much longer than the call's own time limit the command waits: the daemon ends the call at its limit, cancels what the agent
/// still does, and says so.
const ENDING: Duration = Duration::from_secs(5);
/// How long a call is offered to one daemon after another while each of them stops before it begins the call.
const OFFERING: Duration = Duration::from_mins(1);
/// The shortest wait there is: a socket takes zero for "no limit".
const SHORTEST: Duration = Duration::from_millis(1);

/// The limits of one command, from the moment it began.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    began: Instant,
    whole: Option<Duration>,
}

impl Patience {
    /// Of a call that may take as long as it needs once the daemon has spoken.
    pub(crate) fn for_first_word() -> Self {
        Self { began: Instant::now(), whole: None }
    }

    /// Of a call that may take `limit` in all; without one as [`Self::for_first_word`].
    pub(crate) fn for_all(limit: Option<Duration>) -> Self {
        Self { whole: limit, ..Self::for_first_word() }
    }

    /// How long to wait for the first word, or for anything else that a daemon which works does at once.
    pub(crate) fn first_word(&self) -> Duration {
        self.whole.map_or(FIRST_WORD, |whole| whole.saturating_sub(self.began.elapsed()).min(FIRST_WORD)).max(SHORTEST)
    }

    /// How long to wait for the next bytes of an answer. Zero when the time is over; `None` is for ever.
    pub(crate) fn rest(&self) -> Option<Duration> {
        self.whole.map(|whole| whole.saturating_add(ENDING).saturating_sub(self.began.elapsed()))
    }

    /// May the call be offered to another daemon?
    pub(crate) fn may_offer(&self) -> bool {
        self.began.elapsed() < self.whole.map_or(OFFERING, |whole| whole.min(OFFERING))
    }

    /// How long the command has waited.
    pub(crate) fn waited(&self) -> Duration {
        self.began.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_limit_bounds_the_first_word_and_a_call_without_one_has_no_end() {
        let patience = Patience::for_all(Some(Duration::from_secs(5)));
        assert!(patience.first_word() <= Duration::from_secs(5));
        assert!(
            patience.rest().unwrap() > Duration::from_secs(5),
            "the daemon has no time to tell that the time is over"
        );
        let endless = Patience::for_all(None);
        assert!(endless.first_word() <= FIRST_WORD && endless.rest().is_none() && endless.may_offer());
    }

    #[test]
    fn a_limit_that_is_over_is_short_and_not_endless() {
        let over = Patience { began: Instant::now(), whole: Some(Duration::ZERO) };
        assert_eq!(over.first_word(), SHORTEST);
        assert!(!over.may_offer());
    }
}
