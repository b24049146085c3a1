//! Saved state, beside SQLite alone with the same tables and the same durability.

use crate::Setting;
use crate::bed::{self, Bed, MESSAGE, USER_KEY};
use crate::commits;
use crate::line::{self, Framing, Line};
use crate::measure::{float, interleaved, ratio};
use crate::report::{Report, Target, pair};
use cupola::partition::sqlite::SqliteStore;
use cupola::partition::store::Store as _;
use rusqlite::{Connection, params};
use serde_json::json;
use std::fs;
use std::path::Path;
use std::time::SystemTime;

/// Writes; each waits for the disk.
const WRITES: usize = 1500;
/// Warm calls, none of which may write.
const WARM_CALLS: usize = 50;

/// Row 11.
pub(crate) fn measure(setting: &Setting, report: &mut Report) -> Result<(), String> {
    writes(report)?;
    warm_path(setting, report)
}

fn writes(report: &mut Report) -> Result<(), String> {
    let directory = bed::directory()?;
    let failed = |error: rusqlite::Error| error.to_string();
    let store = SqliteStore::new(directory.path().join("state.db")).map_err(|error| error.to_string())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().build().map_err(|error| error.to_string())?;
    let plain = Connection::open(directory.path().join("plain.db")).map_err(failed)?;
    plain
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = EXTRA; PRAGMA secure_delete = ON;
            CREATE TABLE partition (agent TEXT NOT NULL, owner BLOB NOT NULL, version TEXT NOT NULL, session TEXT,
                conversation TEXT, updated_at INTEGER NOT NULL, PRIMARY KEY (agent, owner, version)) WITHOUT ROWID;
            CREATE TABLE session (agent TEXT NOT NULL, id TEXT NOT NULL, owner BLOB NOT NULL, ownership_key TEXT,
                PRIMARY KEY (agent, id)) WITHOUT ROWID;",
        )
        .map_err(failed)?;
    let (mut our_number, mut their_number) = (0, 0_u32);
    let [ours, theirs] = interleaved(
        WRITES,
        [
            &mut || {
                our_number += 1;
                let (partition, session) = commits::place(our_number)?;
                runtime.block_on(store.set_session(&partition, &session)).map_err(|error| error.to_string())
            },
            &mut || {
                their_number += 1;
                let mut owner = [7_u8; 32];
                owner[..4].copy_from_slice(&their_number.to_le_bytes());
                let now = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |time| time.as_secs());
                let mut insert =
                    plain.prepare_cached("INSERT INTO partition VALUES (?1, ?2, '', ?3, NULL, ?4)").map_err(failed)?;
                insert
                    .execute(params!["emulator/notes", owner, "sess_0123456789abcdef", now.cast_signed()])
                    .map_err(failed)?;
                Ok(())
            },
        ],
    )?;
    let (ours, theirs) = (ours.median(), theirs.median());
    report.add(
        11,
        "partition write : SQLite alone",
        (ratio(ours, theirs), "×"),
        Target::AtMost(1.5),
        pair(ours, theirs),
    );
    Ok(())
}

/// A warm call writes nothing, and what a first call saves is there when the run is announced.
fn warm_path(setting: &Setting, report: &mut Report) -> Result<(), String> {
    let bed = Bed::start(setting)?;
    let target = json!({"kind": "emulator", "url": bed.plain.url});
    let call = Line::request(Framing::Lines, "invoke", &line::invoke(&target, USER_KEY, MESSAGE, false));
    let mut line = bed.line()?;
    line.exchange(&call)?;
    line.exchange(&call)?;
    let before = written(&bed.directory().join("state"))?;
    (0..WARM_CALLS).try_for_each(|_| line.exchange(&call).map(|_| ()))?;
    let after = written(&bed.directory().join("state"))?;
    let changed: Vec<&str> =
        after.iter().filter(|file| !before.contains(file)).map(|(name, ..)| name.as_str()).collect();
    let name = format!("state files changed by {WARM_CALLS} warm calls");
    report.add(11, name, (float(changed.len()), ""), Target::AtMost(0.0), changed.join(", "));
    Ok(())
}

fn written(directory: &Path) -> Result<Vec<(String, u64, SystemTime)>, String> {
    let failed = |error: std::io::Error| error.to_string();
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // The index in shared memory changes with every reader.
        if name.starts_with("state.db") && !name.ends_with("-shm") {
            let data = entry.metadata().map_err(failed)?;
            files.push((name, data.len(), data.modified().map_err(failed)?));
        }
    }
    Ok(files)
}
