//! The journal of runs: what is written down of each before a client hears of it, and when it is taken out again.
//!
//! A run that may outlive its daemon is in saved state until somebody has had its answer, or until the service has forgotten that. Of
//! one that ends with its daemon there is a note ([`super::notes`]), so that the next daemon can say what became of it. Only a daemon
//! that serves a socket keeps a journal: a run of `--no-daemon` ends with its one client.

use super::notes::{MAX_ENDED, Notes};
use crate::partition::exclusion::{Exclusion, ExclusionError};
use crate::partition::journal::{Ended, Entry};
use crate::partition::presence::Presence;
use crate::partition::store::{Store, StoreError};
use cupola_protocol::id::{ResponseId, RunId};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::sync::Notify;
use tokio::time::Instant;

/// How long a run stays after somebody has had its answer: a client whose daemon is killed while it sends the answer comes back by
/// then.
pub const ANSWERED_FOR: Duration = Duration::from_secs(10);
/// How much longer a run may stay, so that those of this time are taken out with one write: calls that follow each other would have a
/// write and a timer each.
const TOGETHER: Duration = Duration::from_secs(1);

/// How long a run that outlives its daemon stays after its end when nobody has asked: the service lets its events be read again
/// for as long (contract section 7.5).
pub const ENDED_FOR: Duration = Duration::from_mins(10);

/// How long a run without an answer stays, and how long one may take that has no time limit: a working day, and the night before
/// somebody looks.
pub const KEPT_FOR: Duration = Duration::from_hours(24);

/// How many runs of earlier daemons are kept without an answer: as many as each of those daemons noted. The oldest are dropped first.
pub const MAX_KEPT: usize = MAX_ENDED;

/// The name that runs have in the journal which no daemon has any more. No daemon is called so, so every other one takes them up.
const RELEASED: &str = "released";

/// The journal of one daemon.
#[derive(Debug)]
pub struct Journal {
    store: Arc<dyn Store>,
    /// Where daemons show that they are alive.
    locks: Arc<dyn Exclusion>,
    presence: OnceLock<Presence>,
    /// Of the runs that end with their daemon, unless other daemons are to know of them.
    notes: Option<Notes>,
    /// What is to be taken out of saved state, and when.
    due: Mutex<BTreeSet<(Instant, RunId)>>,
    /// Told when there is something to be taken out sooner than before.
    sooner: Notify,
}

impl Journal {
    /// Keeps notes in this directory, which is made with the first one. Without one, every run is in saved state. Nothing is written
    /// before [`Self::open`].
    pub fn new(store: Arc<dyn Store>, locks: Arc<dyn Exclusion>, notes: Option<PathBuf>) -> Self {
        let (presence, notes) = (OnceLock::new(), notes.map(Notes::at));
        Self { store, locks, presence, notes, due: Mutex::default(), sooner: Notify::new() }
    }

    /// Begins to keep it.
    pub async fn open(&self) -> Result<(), ExclusionError> {
        let presence = Presence::begin(&*self.locks).await?;
        // A second one would be dropped, and the first stays.
        let _ = self.presence.set(presence);
        Ok(())
    }

    /// Is it kept?
    pub fn is_open(&self) -> bool {
        self.presence.get().is_some()
    }

    /// Are there notes of the runs that end with this daemon, in place of entries in saved state?
    pub const fn has_notes(&self) -> bool {
        self.notes.is_some()
    }

    /// Notes a run that ends with this daemon. Does not wait for the disk.
    pub fn note(&self, entry: Entry) {
        let (Some(presence), Some(notes)) = (self.presence.get(), &self.notes) else { return };
        let run = entry.run.clone();
        if let Err(error) = notes.write(presence.name(), entry) {
            tracing::warn!(%error, %run, "a run could not be noted");
        }
    }

    /// Notes how such a run ended, before a client hears of it.
    pub fn note_end(&self, run: &RunId, ended: Ended) {
        let (Some(presence), Some(notes)) = (self.presence.get(), &self.notes) else { return };
        let is_first = notes.next().is_none();
        if let Err(error) = notes.end(presence.name(), run, ended, Instant::now() + ANSWERED_FOR) {
            tracing::warn!(%error, %run, "the end of a run could not be noted");
        }
        if is_first {
            self.sooner.notify_one();
        }
    }

    /// Writes a run down that may outlive this daemon, or what has become known of it.
    pub async fn write(&self, entry: &Entry) -> Result<(), StoreError> {
        let Some(presence) = self.presence.get() else { return Ok(()) };
        self.store.put_run(presence.name(), entry).await
    }

    /// Writes down how such a run ended and what answered it, before a client hears of it, and takes it out after `stays`.
    pub async fn ended(&self, run: &RunId, ended: Ended, response: Option<&ResponseId>, stays: Duration) {
        if !self.is_open() {
            return;
        }
        if let Err(error) = self.store.end_run(run, ended, response).await {
            tracing::warn!(%error, %run, "the end of a run could not be written down");
        }
        self.take_out(run, stays);
    }

    /// Somebody is given the run's answer.
    pub async fn answered(&self, run: &RunId) {
        if !self.is_open() {
            return;
        }
        if let Err(error) = self.store.answer_run(run).await {
            tracing::warn!(%error, %run, "that a run was answered could not be written down");
        }
        self.take_out(run, ANSWERED_FOR);
    }

    /// Leaves a run to the next daemon, while this one is still alive.
    pub async fn release(&self, run: &RunId) {
        let released = async {
            match self.find(run).await? {
                Some(entry) => self.store.put_run(RELEASED, &entry).await,
                None => Ok(()),
            }
        };
        if let Err(error) = released.await {
            tracing::warn!(%error, %run, "a run is left to the next daemon only when this one has ended");
        }
    }

    /// Takes a run out of saved state when this much time has passed.
    pub fn take_out(&self, run: &RunId, after: Duration) {
        if self.is_open() {
            let mut due = self.due();
            let (at, next) = (Instant::now() + after, due.first().map(|(at, _)| *at));
            due.insert((at, run.clone()));
            drop(due);
            if next.is_none_or(|next| at < next) {
                self.sooner.notify_one();
            }
        }
    }

    /// Takes runs out of saved state now.
    pub async fn forget(&self, runs: &[RunId]) {
        if runs.is_empty() || !self.is_open() {
            return;
        }
        if let Err(error) = self.store.forget_runs(runs).await {
            tracing::warn!(%error, "runs could not be taken out of the journal");
        }
    }

    /// Takes runs out when their time has come. Never returns; one caller at a time.
    pub async fn take_out_in_time(&self) {
        loop {
            let written = self.due().first().map(|(at, _)| *at);
            let noted = self.notes.as_ref().and_then(Notes::next);
            match written.into_iter().chain(noted).min() {
                None => self.sooner.notified().await,
                Some(at) => {
                    tokio::select! {
                        () = tokio::time::sleep_until(at + TOGETHER) => {}
                        () = self.sooner.notified() => continue,
                    }
                    self.forget_over(Instant::now()).await;
                }
            }
        }
    }

    /// The daemon ends in good order: takes out what was soon to be.
    pub async fn close(&self) {
        self.forget_over(Instant::now() + ANSWERED_FOR).await;
        if let (Some(presence), Some(notes)) = (self.presence.get(), &self.notes) {
            notes.close(presence.name());
        }
        self.locks.free();
        self.store.close().await;
    }

    /// Takes out what is to be taken out by then.
    async fn forget_over(&self, by: Instant) {
        if let (Some(presence), Some(notes)) = (self.presence.get(), &self.notes) {
            notes.forget(presence.name(), by);
        }
        let mut over = Vec::new();
        {
            let mut due = self.due();
            while due.first().is_some_and(|(at, _)| *at <= by) {
                over.extend(due.pop_first().map(|(_, run)| run));
            }
        }
        self.forget(&over).await;
    }

    /// Takes over, in this daemon's name, the runs of daemons that are gone. `is_more`: others are alive that have some.
    pub async fn inherit(&self) -> Result<Inherited, StoreError> {
        let Some(own) = self.presence.get() else { return Ok(Inherited::default()) };
        let is_more = self.locks.are_others(own.name());
        let mut inherited = Inherited { is_more, ..Inherited::default() };
        let mut others = Others::default();
        let (mut old, mut kept) = (Vec::new(), 0);
        let mut runs = self.store.runs().await?;
        let mut taken = Vec::new();
        let with_notes = self.notes.as_ref().map(|notes| notes.of_others(own.name())).unwrap_or_default();
        for daemon in with_notes {
            let Some(notes) = &self.notes else { break };
            // Read when it is known that nothing more is added.
            if !others.is_gone(&*self.locks, &daemon).await {
                inherited.is_more = true;
                continue;
            }
            match notes.read(&daemon) {
                Ok(of_one) => {
                    runs.extend(of_one.into_iter().map(|entry| (daemon.clone(), entry)));
                    taken.push(daemon);
                }
                Err(error) => tracing::warn!(%error, %daemon, "the notes of an earlier daemon cannot be read"),
            }
        }
        runs.sort_by_key(|(_, entry)| std::cmp::Reverse(entry.updated_at));
        for (daemon, entry) in runs {
            if daemon == own.name() {
                continue;
            }
            if !others.is_gone(&*self.locks, &daemon).await {
                inherited.is_more = true;
                continue;
            }
            if entry.is_settled() {
                kept += 1;
                let limit = if entry.facts.reason.is_some() { KEPT_FOR } else { ENDED_FOR };
                let age = SystemTime::now().duration_since(entry.updated_at).unwrap_or_default();
                match limit.checked_sub(age).filter(|_| kept <= MAX_KEPT) {
                    Some(rest) => {
                        self.take_out(&entry.run, rest);
                        // In this daemon's name, so that it is not looked at again.
                        self.store.put_run(own.name(), &entry).await?;
                    }
                    None => old.push(entry.run),
                }
                continue;
            }
            inherited.entries.push(entry);
        }
        self.forget(&old).await;
        let mut is_taken_over = true;
        for entry in &inherited.entries {
            // It is taken up nevertheless; only its end will not be written down.
            if let Err(error) = self.store.put_run(own.name(), entry).await {
                is_taken_over = false;
                tracing::warn!(%error, run = %entry.run, "a run could not be taken over in the journal");
            }
        }
        if let (true, Some(notes)) = (is_taken_over, &self.notes) {
            for daemon in &taken {
                notes.remove(daemon);
            }
        }
        Ok(inherited)
    }

    /// The runs that have ended, newest first: those that earlier daemons left without an answer, and those whose answer the service
    /// still has.
    pub async fn left(&self) -> Result<Vec<Entry>, StoreError> {
        let mut left: Vec<_> = self.own().await?.filter(|entry| entry.ended.is_some()).collect();
        left.sort_by_key(|entry| std::cmp::Reverse(entry.facts.started_at));
        Ok(left)
    }

    /// What is written down of a run.
    pub async fn find(&self, run: &RunId) -> Result<Option<Entry>, StoreError> {
        Ok(self.own().await?.find(|entry| entry.run == *run))
    }

    /// Those in this daemon's name. A daemon that is alive reports its own.
    async fn own(&self) -> Result<impl Iterator<Item = Entry>, StoreError> {
        let Some(own) = self.presence.get() else { return Ok(Vec::new().into_iter().chain(Vec::new())) };
        let runs = self.store.runs().await?.into_iter().filter(|(daemon, _)| daemon == own.name());
        let written: Vec<_> = runs.map(|(_, entry)| entry).collect();
        Ok(written.into_iter().chain(self.notes.as_ref().map(Notes::entries).unwrap_or_default()))
    }

    fn due(&self) -> MutexGuard<'_, BTreeSet<(Instant, RunId)>> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which other daemons are alive, each looked at once.
#[derive(Debug, Default)]
struct Others {
    /// Held, so that nobody else takes over what they left.
    gone: Vec<Presence>,
    alive: Vec<String>,
}

impl Others {
    async fn is_gone(&mut self, locks: &dyn Exclusion, daemon: &str) -> bool {
        if self.gone.iter().any(|presence| presence.name() == daemon) {
            return true;
        }
        if self.alive.iter().any(|name| name == daemon) {
            return false;
        }
        match Presence::of_one_gone(locks, daemon).await {
            Ok(Some(presence)) => {
                self.gone.push(presence);
                return true;
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, %daemon, "whether another daemon is alive cannot be told"),
        }
        self.alive.push(daemon.to_owned());
        false
    }
}

/// What daemons that are gone left.
#[derive(Debug, Default)]
pub struct Inherited {
    /// Their runs.
    pub entries: Vec<Entry>,
    /// Another daemon is still alive and has runs: it may leave some, too.
    pub is_more: bool,
}

#[cfg(test)]
mod tests {
    use super::super::notes::tests::{COMPLETED, entry};
    use super::*;
    use crate::partition::exclusion::FileLocks;
    use crate::partition::sqlite::SqliteStore;

    #[tokio::test]
    async fn what_was_noted_of_a_run_that_ended_is_taken_out_in_time() {
        let directory = tempfile::tempdir().unwrap();
        let place = |name: &str| directory.path().join(name);
        let store = Arc::new(SqliteStore::new(place("state.db")).unwrap());
        let journal = Journal::new(store, Arc::new(FileLocks::new(place("locks"))), Some(place("runs")));
        journal.open().await.unwrap();
        tokio::time::pause();
        let noted = || journal.notes.as_ref().unwrap().entries().len();
        let work = async {
            // The second time, nothing was waited for in between.
            for _ in 0..2 {
                let (over, later) = (entry(), entry());
                for entry in [&over, &later] {
                    journal.note(entry.clone());
                    journal.note_end(&entry.run, COMPLETED);
                    tokio::time::sleep(ANSWERED_FOR / 2).await;
                }
                assert_eq!(noted(), 2);
                tokio::time::sleep(TOGETHER * 2).await;
                assert_eq!(noted(), 1);
                tokio::time::sleep(ANSWERED_FOR).await;
                assert_eq!(noted(), 0);
            }
        };
        tokio::select! {
            () = journal.take_out_in_time() => unreachable!("it never returns"),
            () = work => {}
        }
    }
}
