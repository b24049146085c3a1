//! What the service was asked lately: an answer is believed for a while, and only so many are kept.

use dashmap::DashMap;
use std::hash::Hash;
use std::time::Duration;
use tokio::time::Instant;

/// How long an answer is believed.
pub const LIFE: Duration = Duration::from_mins(5);

/// Answers kept at most. A daemon talks to a handful of agents; a script that makes up names must not fill the memory.
const MAX_KEPT: usize = 1000;

/// Answers by what was asked about.
#[derive(Debug)]
pub struct ExpiringCache<Key: Eq + Hash, Answer> {
    known: DashMap<Key, (Answer, Instant)>,
}

impl<Key: Eq + Hash, Answer> Default for ExpiringCache<Key, Answer> {
    fn default() -> Self {
        Self { known: DashMap::new() }
    }
}

impl<Key: Eq + Hash, Answer: Clone> ExpiringCache<Key, Answer> {
    /// The answer, if it was kept lately.
    pub fn get(&self, key: &Key) -> Option<Answer> {
        self.known.get(key).filter(|known| known.1.elapsed() < LIFE).map(|known| known.0.clone())
    }

    /// Keeps an answer from now on.
    pub fn keep(&self, key: Key, answer: Answer) {
        if self.known.len() >= MAX_KEPT {
            self.known.clear();
        }
        self.known.insert(key, (answer, Instant::now()));
    }

    /// Believes the answer no longer.
    pub fn forget(&self, key: &Key) {
        self.known.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_believed_for_a_while() {
        let lately = ExpiringCache::default();
        lately.keep("a", 1);
        tokio::time::advance(LIFE / 2).await;
        lately.keep("b", 2);
        tokio::time::advance(LIFE / 2).await;
        assert_eq!((lately.get(&"a"), lately.get(&"b")), (None, Some(2)));
        lately.forget(&"b");
        assert_eq!(lately.get(&"b"), None);
    }

    #[test]
    fn made_up_names_do_not_fill_the_memory() {
        let lately = ExpiringCache::default();
        for name in 0..=MAX_KEPT {
            lately.keep(name, ());
        }
        assert!(lately.known.len() <= MAX_KEPT && lately.get(&MAX_KEPT).is_some());
    }
}
