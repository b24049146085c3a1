//! The power goes at every write of the workload. What was acknowledged is there, and nothing is there by half.

use crate::chance::Chance;
use crate::disk::{Disk, Operation};
use crate::image::{self, Files, Honesty, Unsynced};
use crate::workload::{self, CALLS, Contents, FILE};
use cupola::partition::sqlite::SqliteStore;
use futures_util::future::try_join_all;
use std::path::Path;

/// Ways in which what was not synced is lost, at each operation.
const CUTS: [Unsynced; 5] =
    [Unsynced::Lost, Unsynced::Kept, Unsynced::Mixed(4), Unsynced::Mixed(8), Unsynced::Mixed(14)];
/// Ways of a disk that lies.
const LIES: [Unsynced; 4] = [Unsynced::Lost, Unsynced::Mixed(8), Unsynced::Mixed(14), Unsynced::Mixed(15)];

/// Carries out the workload on a disk that writes everything down: `at_once` calls at a time.
async fn recorded(at_once: usize) -> Vec<Operation> {
    let directory = tempfile::tempdir().unwrap();
    let disk = Disk::below(directory.path(), None);
    let store = SqliteStore::new(directory.path().join(FILE)).unwrap();
    let mut made = 0;
    for calls in CALLS.chunks(at_once) {
        // They are asked for in their order, before the first is answered.
        try_join_all(calls.iter().map(|call| workload::make(&store, *call))).await.unwrap();
        made += calls.len();
        disk.note(Operation::Acknowledged(made));
    }
    drop(store);
    disk.wait_until_closed();
    disk.operations()
}

/// How many calls had been acknowledged.
pub(crate) fn acknowledged(operations: &[Operation]) -> usize {
    let number = |operation: &Operation| match operation {
        Operation::Acknowledged(number) => Some(*number),
        _ => None,
    };
    operations.iter().rev().find_map(number).unwrap_or_default()
}

/// The states that may be found: all that was acknowledged, with or without the calls that were under way, of which there were `at_once`.
pub(crate) fn allowed<'states>(
    states: &'states [Contents],
    operations: &[Operation],
    at_once: usize,
) -> &'states [Contents] {
    let acknowledged = acknowledged(operations);
    &states[acknowledged..(acknowledged + at_once + 1).min(states.len())]
}

async fn after_every_cut(at_once: usize) {
    let (states, operations) = (workload::states().await, recorded(at_once).await);
    let seed = u64::from(std::process::id());
    let mut chance = Chance::new(seed);
    for end in 0..=operations.len() {
        for unsynced in CUTS {
            let so_far = &operations[..end];
            let files = image::after(&Files::new(), so_far, (unsynced, Honesty::Honest), &mut chance);
            let directory = image::write(&files);
            if let Err(fault) = workload::judge(directory.path(), allowed(&states, so_far, at_once)).await {
                panic!("seed {seed}, power cut before operation {end}, {unsynced:?}: {fault}");
            }
        }
    }
}

#[tokio::test]
async fn after_a_power_cut_at_any_write_everything_acknowledged_is_there() {
    after_every_cut(1).await;
}

/// Those that come together are committed together.
#[tokio::test]
async fn after_a_power_cut_everything_acknowledged_of_several_calls_at_once_is_there() {
    after_every_cut(4).await;
}

/// Is all of the file sound, for SQLite and for the fence between users?
fn is_consistent(path: &Path) -> bool {
    let count = |statement: &str| {
        let connection = rusqlite::Connection::open(path)?;
        connection.query_row(statement, [], |row| row.get::<_, i64>(0))
    };
    let integrity = rusqlite::Connection::open(path)
        .and_then(|connection| connection.pragma_query_value(None, "integrity_check", |row| row.get::<_, String>(0)));
    let unowned = count(
        "SELECT count(*) FROM partition WHERE session IS NOT NULL
         AND NOT EXISTS (SELECT 1 FROM session WHERE session.agent = partition.agent AND session.id = partition.session)",
    );
    integrity.is_ok_and(|verdict| verdict == "ok") && unowned.is_ok_and(|unowned| unowned == 0)
}

#[tokio::test]
async fn after_a_disk_that_lied_the_file_opens_consistent_or_is_refused() {
    let operations = recorded(1).await;
    let seed = u64::from(std::process::id());
    let mut chance = Chance::new(seed);
    let (mut opened, mut refused) = (0, 0);
    for end in 0..=operations.len() {
        for unsynced in LIES {
            let files = image::after(&Files::new(), &operations[..end], (unsynced, Honesty::Lying), &mut chance);
            let directory = image::write(&files);
            let path = directory.path().join(FILE);
            let store = SqliteStore::new(path.clone()).unwrap();
            match workload::read(&store).await {
                Ok(_) => {
                    opened += 1;
                    assert!(is_consistent(&path), "seed {seed}, operation {end}, {unsynced:?}: it was opened");
                }
                Err(error) => {
                    refused += 1;
                    assert!(!error.to_string().contains("its writer has stopped"), "{error}");
                }
            }
        }
    }
    assert!(opened > 0 && refused > 0, "{opened} were opened and {refused} refused: the disk does not lie");
}
