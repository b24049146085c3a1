//! The service's answers, cached for five minutes; at most 1000 of them.

use dashmap::DashMap;
use std::hash::Hash;
use std::time::Duration;
use tokio::time::Instant;

/// How long an answer is used.
pub(super) const LIFE: Duration = Duration::from_mins(5);

/// Most answers in the cache. A daemon talks to a handful of agents; a script that makes up names must not fill the memory.
const MAX_KEPT: usize = 1000;

/// Answers by what was asked about.
#[derive(Debug)]
pub(super) struct ExpiringCache<Key: Eq + Hash, Answer> {
    known: DashMap<Key, (Answer, Instant)>,
}

impl<Key: Eq + Hash, Answer> Default for ExpiringCache<Key, Answer> {
    fn default() -> Self {
        Self { known: DashMap::new() }
    }
}

impl<Key: Eq + Hash, Answer: Clone> ExpiringCache<Key, Answer> {
    /// The answer, if it is not too old.
    pub(super) fn get(&self, key: &Key) -> Option<Answer> {
        self.known.get(key).filter(|known| known.1.elapsed() < LIFE).map(|known| known.0.clone())
    }

    /// Adds an answer.
    pub(super) fn insert(&self, key: Key, answer: Answer) {
        if self.known.len() >= MAX_KEPT {
            self.known.clear();
        }
        self.known.insert(key, (answer, Instant::now()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_answer_expires() {
        let cache = ExpiringCache::default();
        cache.insert("a", 1);
        tokio::time::advance(LIFE / 2).await;
        cache.insert("b", 2);
        tokio::time::advance(LIFE / 2).await;
        assert_eq!((cache.get(&"a"), cache.get(&"b")), (None, Some(2)));
    }

    #[test]
    fn made_up_names_do_not_fill_the_memory() {
        let cache = ExpiringCache::default();
        for name in 0..=MAX_KEPT {
            cache.insert(name, ());
        }
        assert!(cache.known.len() <= MAX_KEPT && cache.get(&MAX_KEPT).is_some());
    }
}
