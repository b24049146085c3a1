//! What agents are, as the service said it last: kept for as long as a call may rely on it (5 s), and asked for once by all who want to
//! know at the same time.

use super::definition::Definition;
use super::error::FoundryError;
use dashmap::DashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;
use url::Url;

/// How long a call relies on what the service said of an agent. Within this time after a redeployment, a call that continues a
/// session can still go out in the way of the version before; `docs/isolation.md` states it.
pub const CONFIRMED_FOR: Duration = Duration::from_secs(5);

/// Most agents that are remembered. A daemon talks to a handful of them; a script that makes up names must not fill the memory.
const MAX_KEPT: usize = 1000;

/// `None`: the caller may invoke the agent but not read about it.
type Told = Result<Option<Definition>, FoundryError>;

/// What the service said, and when it was asked.
#[derive(Debug, Clone)]
struct Answer {
    asked: Instant,
    told: Told,
}

/// Definitions by their address.
#[derive(Debug, Default)]
pub(super) struct Definitions {
    known: DashMap<Url, Arc<Mutex<Option<Answer>>>>,
}

impl Definitions {
    /// What the service says, if it was asked at `since` or later; else what `read` gets. Calls that come while it is being asked
    /// wait for the answer, and ask once more if it is too old for them.
    pub(super) async fn get(&self, url: &Url, since: Instant, read: impl Future<Output = Told>) -> Told {
        let came = Instant::now();
        let entry = self.entry(url);
        let mut last = entry.lock().await;
        if let Some(Answer { asked, told }) = &*last {
            match told {
                Ok(known) if *asked >= since => return Ok(known.clone()),
                // One question for all who waited through it, also if it fails: else they would fail one after the other.
                Err(error) if *asked >= came => return Err(error.clone()),
                _ => {}
            }
        }
        let asked = Instant::now();
        let told = read.await;
        *last = Some(Answer { asked, told: told.clone() });
        told
    }

    /// An answer that was asked for at `asked` shows that what is known is still so.
    pub(super) async fn confirm(&self, url: &Url, asked: Instant) {
        let Some(entry) = self.known.get(url).map(|entry| Arc::clone(&entry)) else { return };
        if let Some(answer) = &mut *entry.lock().await
            && answer.told.is_ok()
        {
            answer.asked = answer.asked.max(asked);
        }
    }

    /// Has the next call ask.
    pub(super) fn forget(&self, url: &Url) {
        self.known.remove(url);
    }

    fn entry(&self, url: &Url) -> Arc<Mutex<Option<Answer>>> {
        if self.known.len() >= MAX_KEPT {
            self.known.clear();
        }
        Arc::clone(&self.known.entry(url.clone()).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    fn url(name: &str) -> Url {
        format!("http://h/{name}").parse().unwrap()
    }

    fn named(status: &str) -> Definition {
        Definition { status: Some(status.to_owned()), ..Definition::default() }
    }

    async fn status(definitions: &Definitions, since: Instant, now: &str) -> String {
        let told = definitions.get(&url("a"), since, async { Ok(Some(named(now))) }).await;
        told.unwrap().unwrap().status.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_known_is_used_for_as_long_as_the_call_allows() {
        let definitions = Definitions::default();
        let begun = Instant::now();
        assert_eq!(status(&definitions, begun, "1").await, "1");
        tokio::time::advance(CONFIRMED_FOR).await;
        assert_eq!(status(&definitions, Instant::now() - CONFIRMED_FOR, "2").await, "1");
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(status(&definitions, Instant::now() - CONFIRMED_FOR, "2").await, "2");
        // One that makes something asks at once.
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(status(&definitions, Instant::now(), "3").await, "3");
        definitions.forget(&url("a"));
        assert_eq!(status(&definitions, begun, "4").await, "4");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_of_the_agent_confirms_it() {
        let definitions = Definitions::default();
        assert_eq!(status(&definitions, Instant::now(), "1").await, "1");
        tokio::time::advance(CONFIRMED_FOR * 2).await;
        definitions.confirm(&url("a"), Instant::now() - CONFIRMED_FOR).await;
        assert_eq!(status(&definitions, Instant::now() - CONFIRMED_FOR, "2").await, "1");
    }

    #[tokio::test(start_paused = true)]
    async fn many_calls_at_once_ask_twice_at_most() {
        for fails in [false, true] {
            let (definitions, asked) = (Definitions::default(), AtomicU64::new(0));
            let call = async || {
                let read = async {
                    asked.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    if fails { Err(FoundryError::NotLocal) } else { Ok(Some(named("1"))) }
                };
                definitions.get(&url("a"), Instant::now(), read).await.is_err()
            };
            let (first, others) = tokio::join!(call(), async {
                tokio::time::sleep(Duration::from_millis(1)).await;
                futures_util::future::join_all((0..50).map(|_| call())).await
            });
            assert!(first == fails && others.iter().all(|failed| *failed == fails));
            assert_eq!(asked.load(Ordering::Relaxed), 2, "fails: {fails}");
        }
    }

    #[tokio::test]
    async fn made_up_names_do_not_fill_the_memory() {
        let definitions = Definitions::default();
        for name in 0..=MAX_KEPT {
            definitions.entry(&url(&name.to_string()));
        }
        assert!(definitions.known.len() <= MAX_KEPT);
    }
}
