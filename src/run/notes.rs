//! Notes of the runs that end with their daemon: a file of lines in the state directory, which the daemon appends to and the next one
//! reads.
//!
//! What is written outlives a process that is killed, because the system has it. It is not synced to the disk: a machine that loses
//! power takes the daemon and its runs along, and a sync before each answer would cost more than everything else that a warm call does.
//! Runs that outlive their daemon are in saved state instead, which is synced. No isolation value is in a note.

use crate::partition::journal::{Ended, Entry, Facts};
use crate::partition::{AgentKey, Owner, Partition};
use crate::system::directory::private_file;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use cupola_protocol::id::RunId;
use cupola_protocol::target::AgentVersion;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, VecDeque};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

/// A new file is written when it is this long, in bytes, and most of its lines are over: a few thousand runs.
const REWRITTEN_AT: u64 = 4 * 1024 * 1024;
/// What such a file is called while it is written. No daemon's name ends like this.
const DRAFT: &str = ".draft";
/// How many runs stay noted after their end: who asks for one asks for one of the latest.
pub(super) const MAX_ENDED: usize = 256;
/// How many of those beyond are forgotten at once: a line of the file names them all.
const FORGOTTEN_TOGETHER: usize = 64;

/// The notes of one daemon, and the way to those of others.
#[derive(Debug)]
pub(super) struct Notes {
    directory: PathBuf,
    own: Mutex<Own>,
}

#[derive(Debug, Default)]
struct Own {
    file: Option<File>,
    bytes: u64,
    /// The length at which a new file takes its place.
    rewritten_at: u64,
    /// The last write failed, and may have left half a line.
    is_torn: bool,
    /// The runs that are not forgotten.
    known: HashMap<RunId, Entry>,
    /// Those of them that ended, and until when they stay. Oldest first.
    ended: VecDeque<(Instant, RunId)>,
}

/// A line.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Line {
    /// A run has an answer.
    Run(Box<Note>),
    /// It has ended so, at this time (seconds since 1970, UTC).
    End(RunId, Ended, u64),
    /// These are taken out.
    Forgotten(Vec<RunId>),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Note {
    run: RunId,
    agent: String,
    owner: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<AgentVersion>,
    facts: Facts,
    at: u64,
}

impl Notes {
    /// In this directory, which is made with the first note.
    pub(super) fn at(directory: PathBuf) -> Self {
        Self { directory, own: Mutex::default() }
    }

    /// Writes down what is known of a run of the daemon of this name. Returns when the system has it.
    pub(super) fn write(&self, daemon: &str, entry: Entry) -> io::Result<()> {
        let mut own = self.own();
        let written = own.append(&self.directory, daemon, &run_line(&entry));
        own.known.insert(entry.run.clone(), entry);
        written
    }

    /// Writes down how a run ended, if there is a note of it. It stays until then, and less long when more than [`MAX_ENDED`] runs end
    /// before.
    pub(super) fn end(&self, daemon: &str, run: &RunId, ended: Ended, until: Instant) -> io::Result<()> {
        let mut own = self.own();
        let now = SystemTime::now();
        match own.known.get_mut(run) {
            // The first ending stands: clients were told it.
            Some(entry) if entry.ended.is_none() => (entry.ended, entry.updated_at) = (Some(ended), now),
            _ => return Ok(()),
        }
        own.ended.push_back((until, run.clone()));
        let written = own.append(&self.directory, daemon, &Line::End(run.clone(), ended, seconds(now)));
        if own.ended.len() >= MAX_ENDED + FORGOTTEN_TOGETHER {
            let oldest = own.ended.drain(..FORGOTTEN_TOGETHER).map(|(_, run)| run).collect();
            own.forget(&self.directory, daemon, oldest)?;
        }
        written
    }

    /// Until when the one stays that ended first.
    pub(super) fn next(&self) -> Option<Instant> {
        self.own().ended.front().map(|(until, _)| *until)
    }

    /// Forgets the runs whose time is over by then.
    pub(super) fn forget(&self, daemon: &str, by: Instant) {
        let mut own = self.own();
        let over = own.ended.iter().take_while(|(until, _)| *until <= by).count();
        let over = own.ended.drain(..over).map(|(_, run)| run).collect();
        if let Err(error) = own.forget(&self.directory, daemon, over) {
            tracing::warn!(%error, "the notes of runs could not be shortened");
        }
    }

    /// The daemon of this name ends in good order: nothing is left of its notes unless a run is under way.
    pub(super) fn close(&self, daemon: &str) {
        let mut own = self.own();
        own.known.retain(|_, entry| entry.ended.is_none());
        own.ended.clear();
        if own.known.is_empty() && own.file.take().is_some() {
            remove(&self.directory, daemon);
        }
    }

    /// What is noted of this daemon's own runs.
    pub(super) fn entries(&self) -> Vec<Entry> {
        self.own().known.values().cloned().collect()
    }

    /// The other daemons that have notes.
    pub(super) fn of_others(&self, own: &str) -> Vec<String> {
        let files = fs::read_dir(&self.directory).into_iter().flatten().flatten();
        let names = files.filter_map(|file| file.file_name().into_string().ok());
        names.filter(|name| name != own && !name.ends_with(DRAFT)).collect()
    }

    /// What the daemon of this name noted and has not forgotten.
    pub(super) fn read(&self, daemon: &str) -> io::Result<Vec<Entry>> {
        read(&self.directory.join(daemon))
    }

    /// Removes the notes of a daemon that is gone, when what it left is written down elsewhere.
    pub(super) fn remove(&self, daemon: &str) {
        remove(&self.directory, daemon);
    }

    fn own(&self) -> MutexGuard<'_, Own> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Own {
    fn append(&mut self, directory: &Path, daemon: &str, line: &Line) -> io::Result<()> {
        let mut bytes = if self.is_torn { vec![b'\n'] } else { Vec::new() };
        serde_json::to_writer(&mut bytes, line)?;
        bytes.push(b'\n');
        let file = if let Some(file) = &mut self.file {
            file
        } else {
            fs::create_dir_all(directory)?;
            self.file.insert(private_file().append(true).open(directory.join(daemon))?)
        };
        let written = file.write_all(&bytes);
        self.is_torn = written.is_err();
        self.bytes += bytes.len() as u64;
        written
    }

    /// Forgets these runs. Empties the file when nothing is known any more, and notes otherwise what was forgotten.
    fn forget(&mut self, directory: &Path, daemon: &str, runs: Vec<RunId>) -> io::Result<()> {
        if runs.is_empty() {
            return Ok(());
        }
        for run in &runs {
            self.known.remove(run);
        }
        // The memory for many runs at once is not kept.
        self.known.shrink_to(2 * self.known.len());
        match &self.file {
            Some(file) if self.known.is_empty() => {
                file.set_len(0)?;
                (self.bytes, self.is_torn) = (0, false);
                Ok(())
            }
            _ => {
                self.append(directory, daemon, &Line::Forgotten(runs))?;
                self.shorten(directory, daemon)
            }
        }
    }

    /// Writes a new file with what is not forgotten, when this one is long and little of it is left.
    fn shorten(&mut self, directory: &Path, daemon: &str) -> io::Result<()> {
        if self.bytes < self.rewritten_at.max(REWRITTEN_AT) {
            return Ok(());
        }
        let mut bytes = Vec::new();
        for entry in self.known.values() {
            serde_json::to_writer(&mut bytes, &run_line(entry))?;
            bytes.push(b'\n');
            if let Some(ended) = entry.ended {
                serde_json::to_writer(&mut bytes, &Line::End(entry.run.clone(), ended, seconds(entry.updated_at)))?;
                bytes.push(b'\n');
            }
        }
        let draft = directory.join(draft_of(daemon));
        // One that could not be finished before.
        let _ = fs::remove_file(&draft);
        let mut file = private_file().append(true).open(&draft)?;
        file.write_all(&bytes)?;
        fs::rename(&draft, directory.join(daemon))?;
        self.bytes = bytes.len() as u64;
        self.rewritten_at = self.bytes * 2;
        (self.file, self.is_torn) = (Some(file), false);
        Ok(())
    }
}

fn run_line(entry: &Entry) -> Line {
    let Partition { agent, owner, version } = &entry.partition;
    Line::Run(Box::new(Note {
        run: entry.run.clone(),
        agent: agent.as_str().to_owned(),
        owner: BASE64.encode(owner.bytes()),
        version: version.clone(),
        facts: entry.facts.clone(),
        at: seconds(entry.updated_at),
    }))
}

/// The runs of a file. A line that this program did not write, or not as a whole, is skipped.
fn read(path: &Path) -> io::Result<Vec<Entry>> {
    let bytes = fs::read(path)?;
    let mut runs: HashMap<RunId, Entry> = HashMap::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        match serde_json::from_slice(line) {
            Ok(Line::Run(note)) => {
                if let Some(entry) = entry(*note) {
                    runs.insert(entry.run.clone(), entry);
                }
            }
            Ok(Line::End(run, ended, at)) => {
                if let Some(entry) = runs.get_mut(&run) {
                    entry.ended.get_or_insert(ended);
                    entry.updated_at = time(at);
                }
            }
            Ok(Line::Forgotten(forgotten)) => {
                for run in forgotten {
                    runs.remove(&run);
                }
            }
            Err(_) => {}
        }
    }
    Ok(runs.into_values().collect())
}

fn entry(note: Note) -> Option<Entry> {
    let owner = Owner::from_bytes(&BASE64.decode(note.owner).ok()?)?;
    let partition = Partition { agent: AgentKey::from_stored(note.agent), owner, version: note.version };
    Some(Entry { run: note.run, partition, facts: note.facts, reach: None, ended: None, updated_at: time(note.at) })
}

/// Removes a daemon's file, and one that it did not finish.
fn remove(directory: &Path, daemon: &str) {
    for name in [daemon.to_owned(), draft_of(daemon)] {
        if let Err(error) = fs::remove_file(directory.join(&name))
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, name, "the notes of a daemon that is gone could not be removed");
        }
    }
}

fn draft_of(daemon: &str) -> String {
    format!("{daemon}{DRAFT}")
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn time(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use cupola_protocol::invoke::{AgentProtocol, RunStatus};
    use cupola_protocol::isolation::{Isolation, IsolationModel};

    const DAEMON: &str = "daemon-one";
    pub(crate) const COMPLETED: Ended = Ended { status: RunStatus::Completed, number: Some(7) };

    pub(crate) fn entry() -> Entry {
        let agent = AgentKey::new(&serde_json::from_str(r#"{"kind":"emulator"}"#).unwrap());
        let owner = Owner::new(&agent, "caller", IsolationModel::Keys, &Isolation::default());
        Entry {
            run: crate::run::run_id(),
            partition: Partition { agent, owner, version: Some("3".parse().unwrap()) },
            facts: Facts::new(IsolationModel::Keys, AgentProtocol::Responses, SystemTime::now()),
            reach: None,
            ended: None,
            updated_at: SystemTime::now(),
        }
    }

    fn found(notes: &Notes) -> Vec<(RunId, Option<Ended>)> {
        let others = notes.of_others("daemon-two");
        let runs = others.iter().flat_map(|daemon| notes.read(daemon).unwrap());
        runs.map(|run| (run.run, run.ended)).collect()
    }

    #[test]
    fn the_next_daemon_reads_what_was_noted() {
        let directory = tempfile::tempdir().unwrap();
        let (notes, next) = (Notes::at(directory.path().join("runs")), Notes::at(directory.path().join("runs")));
        let (ended, cut) = (entry(), entry());
        for entry in [&ended, &cut] {
            notes.write(DAEMON, entry.clone()).unwrap();
        }
        notes.end(DAEMON, &ended.run, COMPLETED, Instant::now()).unwrap();
        notes.end(DAEMON, &ended.run, Ended { status: RunStatus::Failed, number: None }, Instant::now()).unwrap();
        notes.end(DAEMON, &crate::run::run_id(), COMPLETED, Instant::now()).unwrap();
        assert_eq!(next.of_others("daemon-two"), [DAEMON]);
        let runs = next.read(DAEMON).unwrap();
        let read = |of: &Entry| runs.iter().find(|run| run.run == of.run).unwrap();
        assert_eq!((read(&ended).ended, read(&cut).ended), (Some(COMPLETED), None));
        assert_eq!(read(&cut).partition, cut.partition);
        assert!(notes.of_others(DAEMON).is_empty(), "its own");
        fs::write(directory.path().join("runs").join(draft_of(DAEMON)), "cut off").unwrap();
        next.remove(DAEMON);
        assert_eq!(fs::read_dir(directory.path().join("runs")).unwrap().count(), 0);
    }

    #[test]
    fn what_was_cut_within_a_line_loses_that_line_alone() {
        let directory = tempfile::tempdir().unwrap();
        let notes = Notes::at(directory.path().to_owned());
        let (whole, later) = (entry(), entry());
        notes.write(DAEMON, whole.clone()).unwrap();
        let path = directory.path().join(DAEMON);
        let mut text = fs::read(&path).unwrap();
        text.extend_from_slice(br#"{"run":{"run":"run-"#);
        fs::write(&path, text).unwrap();
        // As after a write that failed.
        notes.own().is_torn = true;
        notes.write(DAEMON, later.clone()).unwrap();
        let mut runs: Vec<_> = found(&notes).into_iter().map(|(run, _)| run).collect();
        let mut expected = [whole.run, later.run];
        runs.sort();
        expected.sort();
        assert_eq!(runs, expected);
    }

    /// Notes a run that has ended, and gives the time until which it stays.
    fn ended(notes: &Notes) -> (Entry, Instant) {
        let entry = entry();
        notes.write(DAEMON, entry.clone()).unwrap();
        let until = Instant::now();
        notes.end(DAEMON, &entry.run, COMPLETED, until).unwrap();
        (entry, until)
    }

    #[test]
    fn a_long_file_is_replaced_by_one_with_what_is_left() {
        let directory = tempfile::tempdir().unwrap();
        let notes = Notes::at(directory.path().to_owned());
        let (_, until) = ended(&notes);
        let (stays, _) = ended(&notes);
        notes.own().bytes = REWRITTEN_AT;
        notes.forget(DAEMON, until);
        assert_eq!(found(&notes), [(stays.run.clone(), Some(COMPLETED))]);
        let next = entry();
        notes.write(DAEMON, next.clone()).unwrap();
        assert_eq!(found(&notes).len(), 2, "what is noted later is behind it");
    }

    #[test]
    fn what_was_forgotten_is_not_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let notes = Notes::at(directory.path().to_owned());
        let (goes, until) = ended(&notes);
        let (stays, later) = ended(&notes);
        notes.forget(DAEMON, until);
        assert_eq!((found(&notes), notes.next()), (vec![(stays.run, Some(COMPLETED))], Some(later)));
        notes.forget(DAEMON, later);
        assert_eq!(fs::metadata(directory.path().join(DAEMON)).unwrap().len(), 0);
        notes.write(DAEMON, goes.clone()).unwrap();
        assert_eq!(found(&notes), [(goes.run, None)]);
        assert!(notes.read("daemon-three").is_err(), "what cannot be read is not empty");
    }

    #[test]
    fn of_many_runs_that_end_at_once_the_latest_are_kept_and_the_memory_of_the_others_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let notes = Notes::at(directory.path().to_owned());
        let cut = entry();
        notes.write(DAEMON, cut.clone()).unwrap();
        let all: Vec<_> = std::iter::repeat_with(|| ended(&notes)).take(10 * MAX_ENDED).collect();
        let kept = notes.entries().len();
        assert!((MAX_ENDED..=MAX_ENDED + FORGOTTEN_TOGETHER + 1).contains(&kept), "{kept}");
        let (latest, until) = &all[all.len() - 1];
        for run in [&cut, latest, &all[all.len() - MAX_ENDED].0] {
            assert!(found(&notes).iter().any(|(found, _)| *found == run.run));
        }
        assert_eq!(found(&notes).len(), kept, "what is forgotten is not read again");
        notes.forget(DAEMON, *until);
        assert_eq!(found(&notes), [(cut.run, None)]);
        assert!(notes.own().known.capacity() < 8);
    }

    #[test]
    fn a_daemon_that_ends_in_good_order_leaves_nothing_but_what_it_cuts() {
        let directory = tempfile::tempdir().unwrap();
        let notes = Notes::at(directory.path().to_owned());
        let (ended, cut) = (entry(), entry());
        notes.write(DAEMON, ended.clone()).unwrap();
        notes.end(DAEMON, &ended.run, COMPLETED, Instant::now()).unwrap();
        notes.write(DAEMON, cut.clone()).unwrap();
        notes.close(DAEMON);
        assert!(found(&notes).iter().any(|(run, ended)| *run == cut.run && ended.is_none()));
        notes.end(DAEMON, &cut.run, COMPLETED, Instant::now()).unwrap();
        notes.close(DAEMON);
        assert!(found(&notes).is_empty());
    }
}
