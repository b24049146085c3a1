//! The runs of this daemon by their ids: those under way, and those that ended recently.

use super::{Beginning, Run};
use crate::error::CallError;
use crate::feed;
use crate::lifetime::activity::Activity;
use crate::partition::Partition;
use crate::partition::journal::Entry;
use cupola_protocol::id::RunId;
use cupola_protocol::invoke::InvokeResponse;
use dashmap::DashMap;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How much is kept of runs.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Runs under way, those that read a log among them: one for each connection that is held, and some that outlive their clients.
    /// Each holds a connection to the service.
    pub under_way: u64,
    /// Events of one run that can be had again. A long answer has a few thousand; who comes later than that gets the text
    /// in one piece.
    pub ring: feed::Limits,
    /// Runs kept after their end: a screenful of `runs list`.
    pub ended: usize,
    /// How long they are kept: for a client that lost its connection, not for an archive.
    pub ended_for: Duration,
    /// Bytes kept of all ended runs together, so that an idle daemon stays small. The latest may have more, but not for
    /// longer than [`Self::long_ended_for`].
    pub ended_bytes: usize,
    /// How long an ended run is kept that alone has more than [`Self::ended_bytes`]: for a client that reads it slowly or
    /// connects again at once.
    pub long_ended_for: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            under_way: 1024,
            ring: feed::Limits { entries: 8192, bytes: 2 * 1024 * 1024 },
            ended: 32,
            ended_for: Duration::from_mins(10),
            ended_bytes: 1024 * 1024,
            long_ended_for: Duration::from_secs(30),
        }
    }
}

/// Every run that can be found.
#[derive(Debug)]
pub struct Runs {
    limits: Limits,
    known: DashMap<RunId, Arc<Run>>,
    /// Those that ended, oldest first. Never held across `.await`.
    ended: Mutex<VecDeque<Ended>>,
    /// Told when there is a first one of those.
    first_ended: Notify,
}

#[derive(Debug)]
struct Ended {
    id: RunId,
    at: Instant,
    bytes: usize,
}

impl Limits {
    /// When an ended run is let go.
    fn until(&self, run: &Ended) -> Instant {
        run.at + if run.bytes > self.ended_bytes { self.long_ended_for } else { self.ended_for }
    }
}

impl Runs {
    /// None yet.
    pub fn new(limits: Limits) -> Self {
        Self { limits, known: DashMap::new(), ended: Mutex::default(), first_ended: Notify::new() }
    }

    /// Begins a run, which counts as under way until [`Self::end`]. `stop` ends it; one that is not detached is also ended when its
    /// last reader leaves.
    pub fn begin(&self, activity: &Activity, beginning: Beginning, stop: CancellationToken) -> Arc<Run> {
        Run::new(activity.run(), self.limits.ring, beginning, stop)
    }

    /// Takes up a run that an earlier daemon began, or that is not kept here any more. It can be found at once; `Err` has the one that
    /// is there already.
    pub fn take_up(&self, activity: &Activity, entry: &Entry, stop: CancellationToken) -> Result<Arc<Run>, Arc<Run>> {
        match self.known.entry(entry.run.clone()) {
            dashmap::Entry::Occupied(known) => Err(Arc::clone(known.get())),
            dashmap::Entry::Vacant(place) => {
                let run = Run::taken_up(activity.run(), self.limits.ring, entry, stop);
                place.insert(Arc::clone(&run));
                Ok(run)
            }
        }
    }

    /// It is known whose the run is: from now on it can be found.
    pub fn enter(&self, run: &Arc<Run>, partition: &Partition) {
        run.belongs_to(partition);
        self.known.insert(run.id().clone(), Arc::clone(run));
    }

    /// The run has ended so.
    pub fn end(&self, run: &Run, outcome: Result<InvokeResponse, CallError>) {
        let bytes = run.end(outcome);
        if self.known.contains_key(run.id()) {
            let mut ended = self.ended();
            ended.push_back(Ended { id: run.id().clone(), at: Instant::now(), bytes });
            self.forget(&mut ended);
            drop(ended);
            self.first_ended.notify_one();
        }
    }

    /// Forgets ended runs when their time is over, so that an idle daemon holds none. Never returns; one caller at a time.
    pub async fn forget_in_time(&self) {
        loop {
            let oldest = {
                let mut ended = self.ended();
                self.forget(&mut ended);
                // The oldest goes first, unless the latest is too long to stay.
                ended.iter().map(|run| self.limits.until(run)).min()
            };
            match oldest {
                Some(until) => tokio::time::sleep_until(until).await,
                None => self.first_ended.notified().await,
            }
        }
    }

    /// The run of this id.
    pub fn find(&self, id: &RunId) -> Option<Arc<Run>> {
        self.forget(&mut self.ended());
        self.known.get(id).map(|run| Arc::clone(&run))
    }

    /// All of them, newest first.
    pub fn all(&self) -> Vec<Arc<Run>> {
        self.forget(&mut self.ended());
        let mut runs: Vec<_> = self.known.iter().map(|run| Arc::clone(&run)).collect();
        runs.sort_by_key(|run| std::cmp::Reverse(run.started_at));
        runs
    }

    /// Is there a run whose outcome still waits for somebody?
    pub fn has_unread(&self) -> bool {
        self.forget(&mut self.ended());
        self.known.iter().any(|run| run.is_unread())
    }

    /// How many answers of runs that have ended wait for somebody.
    pub fn unread(&self) -> u64 {
        self.forget(&mut self.ended());
        let count = self.known.iter().filter(|run| run.is_unread() && run.status().is_some()).count();
        u64::try_from(count).unwrap_or(u64::MAX)
    }

    fn ended(&self) -> MutexGuard<'_, VecDeque<Ended>> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget(&self, ended: &mut VecDeque<Ended>) {
        let mut bytes: usize = ended.iter().map(|run| run.bytes).sum();
        let now = Instant::now();
        while let Some(oldest) = ended.front() {
            let is_over = ended.len() > self.limits.ended || (bytes > self.limits.ended_bytes && ended.len() > 1);
            if !is_over && now < self.limits.until(oldest) {
                break;
            }
            bytes -= oldest.bytes;
            self.known.remove(&oldest.id);
            ended.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::partition::{AgentKey, Owner};
    use cupola_protocol::error::ErrorKind;
    use cupola_protocol::isolation::{Isolation, IsolationModel};

    fn partition() -> Partition {
        let agent = AgentKey::new(&serde_json::from_str(r#"{"kind":"emulator"}"#).unwrap());
        let owner = Owner::new(&agent, "caller", IsolationModel::Keys, &Isolation::default());
        Partition { agent, owner, version: None }
    }

    fn begin(runs: &Runs, detached: bool) -> Arc<Run> {
        let beginning = Beginning { detached, may_survive: false };
        runs.begin(&Activity::default(), beginning, CancellationToken::new())
    }

    fn ended(runs: &Runs) -> RunId {
        let run = begin(runs, false);
        runs.enter(&run, &partition());
        runs.end(&run, Err(CallError::new(ErrorKind::Busy, "")));
        run.id().clone()
    }

    #[tokio::test(start_paused = true)]
    async fn ended_runs_are_kept_for_a_while() {
        let runs = Runs::new(Limits { ended: 2, ..Limits::default() });
        let under_way = begin(&runs, false);
        assert!(runs.find(under_way.id()).is_none(), "its owner is not known yet");
        runs.enter(&under_way, &partition());
        let ids = [ended(&runs), ended(&runs), ended(&runs)];
        assert_eq!(ids.each_ref().map(|id| runs.find(id).is_some()), [false, true, true]);
        assert_eq!(runs.all().len(), 3);
        tokio::time::advance(Limits::default().ended_for).await;
        assert_eq!(runs.all().iter().map(|run| run.id()).collect::<Vec<_>>(), [under_way.id()]);
    }

    #[tokio::test]
    async fn ended_runs_take_a_bounded_number_of_bytes_but_the_latest_stays() {
        let runs = Runs::new(Limits { ended_bytes: 0, ..Limits::default() });
        let long = async || {
            let run = begin(&runs, true);
            runs.enter(&run, &partition());
            run.take(cupola_protocol::invoke::InvokeEvent::TextDelta { delta: "x".to_owned() }, std::future::ready(()))
                .await;
            runs.end(&run, Err(CallError::new(ErrorKind::Busy, "")));
            run.id().clone()
        };
        let (first, second) = (long().await, long().await);
        assert!(runs.find(&first).is_none() && runs.find(&second).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn ended_runs_expire_without_being_asked_for() {
        let runs = Arc::new(Runs::new(Limits::default()));
        let forgetting = tokio::spawn({
            let runs = Arc::clone(&runs);
            async move { runs.forget_in_time().await }
        });
        for _ in 0..2 {
            let run = begin(&runs, false);
            let memory = Arc::downgrade(&run);
            runs.enter(&run, &partition());
            runs.end(&run, Err(CallError::new(ErrorKind::Busy, "")));
            drop(run);
            tokio::time::sleep(Limits::default().ended_for / 2).await;
            assert!(memory.upgrade().is_some(), "its time is not over");
            tokio::time::sleep(Limits::default().ended_for).await;
            assert!(memory.upgrade().is_none(), "it takes memory still");
        }
        forgetting.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_run_goes_soon_though_it_is_the_latest() {
        let limits = Limits { ended_bytes: 100, ..Limits::default() };
        let runs = Arc::new(Runs::new(limits));
        let forgetting = tokio::spawn({
            let runs = Arc::clone(&runs);
            async move { runs.forget_in_time().await }
        });
        let run = begin(&runs, true);
        let memory = Arc::downgrade(&run);
        runs.enter(&run, &partition());
        run.take(cupola_protocol::invoke::InvokeEvent::TextDelta { delta: "x".repeat(200) }, std::future::ready(()))
            .await;
        runs.end(&run, Err(CallError::new(ErrorKind::Busy, "")));
        drop(run);
        tokio::time::sleep(limits.long_ended_for / 2).await;
        assert!(memory.upgrade().is_some(), "its time is not over");
        tokio::time::sleep(limits.long_ended_for).await;
        assert!(memory.upgrade().is_none(), "it takes memory still");
        forgetting.abort();
    }

    #[tokio::test]
    async fn the_text_of_events_that_the_ring_dropped_counts_among_the_bytes() {
        let ring = feed::Limits { entries: 1, ..Limits::default().ring };
        let runs = Runs::new(Limits { ring, ended_bytes: 10_000, ..Limits::default() });
        let long = async || {
            let run = begin(&runs, true);
            runs.enter(&run, &partition());
            for _ in 0..20 {
                run.take(
                    cupola_protocol::invoke::InvokeEvent::TextDelta { delta: "x".repeat(500) },
                    std::future::ready(()),
                )
                .await;
            }
            runs.end(&run, Err(CallError::new(ErrorKind::Busy, "")));
            run.id().clone()
        };
        let (first, second) = (long().await, long().await);
        assert!(runs.find(&first).is_none() && runs.find(&second).is_some());
    }
}
