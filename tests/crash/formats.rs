//! State files of earlier and later versions: `formats/N` has one of format N as a daemon of that time left it, the third with the log
//! of one that was killed. They are kept as they are, but what is forgotten after a day is of the year 2100. A new format gets a directory of its
//! own.

use crate::chance::Chance;
use crate::disk::Disk;
use crate::image::{self, Files, Honesty, Unsynced};
use crate::workload::{self, Contents, FILE};
use cupola::partition::sqlite::SqliteStore;
use cupola::partition::store::{Store as _, StoreError};
use std::path::Path;

/// The newest format that there is a file of.
const NEWEST: i64 = 6;

/// The files of a format.
fn kept(format: i64) -> Files {
    image::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("formats").join(format.to_string()))
}

/// What is in the file of a format: the same in all, as far as the format had a place for it.
fn contents(format: i64) -> Contents {
    let owner = format!("{:?}", workload::partition("acme").owner);
    let context = if format >= 2 { r#"Some("ctx_1")"# } else { "None" };
    let saved =
        format!(r#"Saved {{ session: Some("session-one"), conversation: Some("conv_1"), context: {context} }}"#);
    let mut contents = Contents::from([
        ("partition of acme".to_owned(), saved),
        ("session session-one".to_owned(), format!(r#"{owner} Some("sk-acme")"#)),
        ("conversation conv_1".to_owned(), owner.clone()),
    ]);
    if format >= 2 {
        contents.insert("conversation ctx_1".to_owned(), owner);
    }
    contents
}

/// What is read of them, and the names of the runs, chats, questions and responses.
async fn by_kind(store: &SqliteStore) -> (Contents, Vec<String>) {
    let mut found = workload::read(store).await.unwrap();
    let is_named = |name: &str| ["run ", "chat ", "question ", "response "].iter().any(|kind| name.starts_with(kind));
    let rest = found.extract_if(.., |name, _| is_named(name)).map(|(name, _)| name).collect();
    (found, rest)
}

#[tokio::test]
async fn a_file_of_every_earlier_format_keeps_what_it_has_also_when_the_power_goes_meanwhile() {
    let mut chance = Chance::new(7);
    for format in 1..=NEWEST {
        let before = kept(format);
        assert!(before.contains_key(FILE), "there is no file of format {format}");
        let directory = image::write(&before);
        let disk = Disk::below(directory.path(), None);
        let store = SqliteStore::new(directory.path().join(FILE)).unwrap();
        store.count().await.unwrap();
        drop(store);
        disk.wait_until_closed();
        let operations = disk.operations();
        for end in 0..=operations.len() {
            for unsynced in [Unsynced::Lost, Unsynced::Kept, Unsynced::Mixed(8), Unsynced::Mixed(14)] {
                let files = image::after(&before, &operations[..end], (unsynced, Honesty::Honest), &mut chance);
                let directory = image::write(&files);
                let store = SqliteStore::new(directory.path().join(FILE)).unwrap();
                let (found, rest) = by_kind(&store).await;
                assert_eq!(found, contents(format), "format {format}, operation {end}, {unsynced:?}");
                let expected: &[&str] = match format {
                    1 | 2 => &[],
                    3 => &["run run-1"],
                    4 => &["chat acp/one of acme", "run run-1"],
                    5 => &["chat acp/one of acme", "question mcpr_1 of acme", "run run-1"],
                    _ => &["chat acp/one of acme", "question mcpr_1 of acme", "response caresp_1", "run run-1"],
                };
                assert_eq!(rest, expected, "format {format}, operation {end}, {unsynced:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_file_of_a_newer_format_is_refused_and_no_byte_of_it_changes() {
    // A newer daemon that ended, and one that was killed: its log holds the format, too.
    for leaves_log in [false, true] {
        let directory = image::write(&kept(NEWEST));
        let newer = rusqlite::Connection::open(directory.path().join(FILE)).unwrap();
        newer.pragma_update(None, "user_version", NEWEST + 1).unwrap();
        newer.execute_batch("CREATE TABLE novelty (text TEXT); INSERT INTO novelty VALUES ('of tomorrow');").unwrap();
        let before = if leaves_log {
            image::read(directory.path())
        } else {
            newer.pragma_update(None, "journal_mode", "DELETE").unwrap();
            drop(newer);
            image::read(directory.path())
        };
        let left = image::write(&before);
        let store = SqliteStore::new(left.path().join(FILE)).unwrap();
        let error = store.count().await.unwrap_err();
        assert!(matches!(error, StoreError::TooNew { found, known: NEWEST, .. } if found == NEWEST + 1), "{error}");
        drop(store);
        assert!(image::read(left.path()) == before, "the files were changed, log: {leaves_log}");
        assert_eq!(before.len(), if leaves_log { 2 } else { 1 }, "{:?}", before.keys());
    }
}
