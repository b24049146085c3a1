//! The files as a disk may have them when the power goes: what was synced is there, and of the rest any part.

use crate::chance::Chance;
use crate::disk::Operation;
use std::collections::BTreeMap;
use std::path::Path;

/// What a disk writes at once, or not at all.
const SECTOR: usize = 512;

/// What becomes of writes that were not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unsynced {
    /// All are there: the process was killed, and the power stayed.
    Kept,
    /// All are lost.
    Lost,
    /// Each is there with this chance of 16, and some in part.
    Mixed(u64),
}

/// What a disk makes of a sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Honesty {
    /// What was synced is on the disk.
    Honest,
    /// A sync succeeds and does nothing.
    Lying,
}

/// A file: what is on the disk for certain, and what was written since.
#[derive(Debug, Clone, Default)]
struct Inode {
    synced: Vec<u8>,
    since: Vec<Change>,
}

#[derive(Debug, Clone)]
enum Change {
    Write(u64, Vec<u8>),
    Truncate(u64),
}

/// The files of a directory by their names.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// Makes the files of `before` and these operations as they may be after a power cut.
pub(crate) fn after(
    before: &Files,
    operations: &[Operation],
    (unsynced, honesty): (Unsynced, Honesty),
    chance: &mut Chance,
) -> Files {
    let mut inodes: Vec<Inode> = Vec::new();
    // Which files there are: for the programs that run, and on the disk.
    let (mut now, mut names) = (BTreeMap::new(), Vec::new());
    for (name, bytes) in before {
        now.insert(name.clone(), inodes.len());
        inodes.push(Inode { synced: bytes.clone(), since: Vec::new() });
    }
    names.push(now.clone());
    for operation in operations {
        match operation {
            Operation::Create(name) => {
                now.insert(name.clone(), inodes.len());
                inodes.push(Inode::default());
                names.push(now.clone());
            }
            Operation::Delete(name) => {
                now.remove(name);
                names.push(now.clone());
            }
            Operation::Write(name, place, bytes) => {
                inodes[now[name]].since.push(Change::Write(*place, bytes.clone()));
            }
            Operation::Truncate(name, length) => inodes[now[name]].since.push(Change::Truncate(*length)),
            Operation::Sync(name) if honesty == Honesty::Honest => inodes[now[name]].settle(Unsynced::Kept, chance),
            Operation::SyncFailed(name) => inodes[now[name]].settle(unsynced, chance),
            Operation::SyncDirectory if honesty == Honesty::Honest => names = vec![now.clone()],
            Operation::Sync(_) | Operation::SyncDirectory | Operation::Failed | Operation::Acknowledged(_) => {}
        }
    }
    // A file system writes the changes of a directory in their order.
    let last = match unsynced {
        Unsynced::Kept => names.len() - 1,
        Unsynced::Lost => 0,
        Unsynced::Mixed(_) => usize::try_from(chance.below(names.len() as u64)).unwrap(),
    };
    let names = names.swap_remove(last);
    let mut file = |inode: usize| {
        inodes[inode].settle(unsynced, chance);
        inodes[inode].synced.clone()
    };
    names.into_iter().map(|(name, inode)| (name, file(inode))).collect()
}

impl Inode {
    /// Decides what of the changes is on the disk.
    fn settle(&mut self, unsynced: Unsynced, luck: &mut Chance) {
        for change in std::mem::take(&mut self.since) {
            let (is_whole, is_torn) = match unsynced {
                Unsynced::Lost => (false, false),
                Unsynced::Kept => (true, false),
                Unsynced::Mixed(sixteenths) => (luck.below(16) < sixteenths, luck.below(4) == 0),
            };
            match change {
                change if is_whole => self.apply(&change),
                // A page that is torn: some of its sectors.
                Change::Write(place, bytes) if is_torn => {
                    for (number, sector) in bytes.chunks(SECTOR).enumerate() {
                        if luck.below(2) == 0 {
                            self.apply(&Change::Write(place + (number * SECTOR) as u64, sector.to_vec()));
                        }
                    }
                }
                _ => {}
            }
        }
    }

    fn apply(&mut self, change: &Change) {
        match change {
            Change::Write(place, bytes) => {
                let start = usize::try_from(*place).unwrap();
                let end = start + bytes.len();
                self.synced.resize(self.synced.len().max(end), 0);
                self.synced[start..end].copy_from_slice(bytes);
            }
            Change::Truncate(length) => self.synced.resize(usize::try_from(*length).unwrap(), 0),
        }
    }
}

/// The files of a directory. The index of the write-ahead log is memory, and does not outlive the power.
pub(crate) fn read(directory: &Path) -> Files {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    let kept = entries.filter(|path| !name(path).ends_with("-shm"));
    kept.map(|path| (name(&path), std::fs::read(&path).unwrap())).collect()
}

/// Writes files into a directory of their own.
pub(crate) fn write(files: &Files) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        std::fs::write(directory.path().join(name), bytes).unwrap();
    }
    directory
}
