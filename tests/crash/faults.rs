//! Writes and syncs that fail, at every operation of the workload: the call fails or is kept, the next one works once the disk does, and
//! a power cut later takes nothing that was acknowledged.

use crate::chance::Chance;
use crate::disk::{Disk, Fault, Kind, Operation};
use crate::image::{self, Files, Honesty, Unsynced};
use crate::power::allowed;
use crate::workload::{self, CALLS, Contents, FILE};
use cupola::partition::sqlite::SqliteStore;
use std::sync::Arc;

/// Carries out the workload on a disk that fails. A call that fails is made again once the disk is mended.
async fn played(fault: Option<Fault>) -> Arc<Disk> {
    let directory = tempfile::tempdir().unwrap();
    let disk = Disk::below(directory.path(), fault);
    let store = SqliteStore::new(directory.path().join(FILE)).unwrap();
    for (number, call) in CALLS.into_iter().enumerate() {
        if let Err(error) = workload::make(&store, call).await {
            assert!(disk.failed() > 0, "{call:?} fails on a sound disk: {error}");
            disk.mend();
            workload::make(&store, call).await.unwrap_or_else(|error| panic!("{fault:?}: {call:?} again: {error}"));
        }
        disk.note(Operation::Acknowledged(number + 1));
        if disk.failed() > 0 {
            disk.mend();
        }
    }
    drop(store);
    disk.wait_until_closed();
    disk
}

/// Tries every operation, and a power cut after the call that it belongs to, after the next one, and at the end.
async fn every_operation(kind: Kind, stays: bool) {
    let states = workload::states().await;
    let count = played(None).await.asked();
    let mut chance = Chance::new(7);
    let mut failed = 0;
    for at in 0..count {
        let fault = Fault { kind, at, stays };
        let disk = played(Some(fault)).await;
        failed += disk.failed();
        judge(&states, &disk.operations(), fault, &mut chance).await;
    }
    assert!(failed > 0, "no operation failed");
}

async fn judge(states: &[Contents], operations: &[Operation], fault: Fault, chance: &mut Chance) {
    let Some(failed) = operations.iter().position(|operation| *operation == Operation::Failed) else { return };
    let acknowledgements =
        (failed..operations.len()).filter(|at| matches!(operations[*at], Operation::Acknowledged(_)));
    let ends = acknowledgements.take(2).map(|at| at + 1).chain([operations.len()]);
    for end in ends {
        for unsynced in [Unsynced::Lost, Unsynced::Mixed(8)] {
            let files = image::after(&Files::new(), &operations[..end], (unsynced, Honesty::Honest), chance);
            let directory = image::write(&files);
            if let Err(wrong) = workload::judge(directory.path(), allowed(states, &operations[..end], 1)).await {
                panic!("{fault:?}, power cut before operation {end}, {unsynced:?}: {wrong}");
            }
        }
    }
}

#[tokio::test]
async fn a_device_that_fails_once_costs_one_call() {
    every_operation(Kind::Device, false).await;
}

#[tokio::test]
async fn a_device_that_keeps_failing_costs_nothing_that_was_acknowledged() {
    every_operation(Kind::Device, true).await;
}

#[tokio::test]
async fn a_full_disk_costs_nothing_that_was_acknowledged() {
    every_operation(Kind::Full, true).await;
}

#[tokio::test]
async fn a_short_write_costs_one_call() {
    every_operation(Kind::Short, false).await;
}

#[tokio::test]
async fn a_sync_that_fails_is_an_error_and_never_forgotten() {
    every_operation(Kind::Sync, false).await;
    every_operation(Kind::Sync, true).await;
}
