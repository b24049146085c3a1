//! The latest calls that failed, for somebody who looks at the daemon. In memory only.

use super::CallError;
use cupola_protocol::error::ErrorKind;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

/// How many are kept: a screenful.
const MAX_KEPT: usize = 32;

/// Characters that are kept of a message: two lines of a terminal.
const MAX_MESSAGE_CHARS: usize = 300;

/// A call that failed.
#[derive(Debug, Clone)]
pub struct Failed {
    /// When.
    pub at: SystemTime,
    /// The method that was called.
    pub method: &'static str,
    /// What went wrong.
    pub kind: ErrorKind,
    /// What happened, for people.
    pub message: String,
}

/// The latest, oldest first. Never held across `.await`.
#[derive(Debug, Default)]
pub struct RecentFailures(Mutex<VecDeque<Failed>>);

impl RecentFailures {
    /// Keeps a failure. A call that its own caller cancelled is none.
    pub fn note(&self, method: &'static str, error: &CallError) {
        if error.kind() == ErrorKind::Cancelled {
            return;
        }
        let message = error.message().chars().take(MAX_MESSAGE_CHARS).collect();
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() == MAX_KEPT {
            failures.pop_front();
        }
        failures.push_back(Failed { at: SystemTime::now(), method, kind: error.kind(), message });
    }

    /// Those that are kept, newest first.
    pub fn all(&self) -> Vec<Failed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().rev().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_are_kept_and_what_a_caller_cancelled_is_not() {
        let failures = RecentFailures::default();
        for number in 0..=MAX_KEPT {
            failures.note("invoke", &CallError::new(ErrorKind::Busy, format!("{number} {}", "x".repeat(1000))));
        }
        failures.note("invoke", &CallError::cancelled());
        let all = failures.all();
        assert_eq!((all.len(), all[0].message.chars().count()), (MAX_KEPT, MAX_MESSAGE_CHARS));
        assert!(all[0].message.starts_with("32 ") && all[MAX_KEPT - 1].message.starts_with("1 "));
    }
}
