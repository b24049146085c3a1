//! The state file: a damaged one is refused and stays byte for byte what it is, or it works.

use super::opening::open;
use super::*;
use crate::fuzz::below;
use bolero::generator::bolero_generator::driver::Driver;
use bolero::{ValueGenerator, check, produce};
use cupola_protocol::isolation::{Isolation, IsolationModel};
use std::fmt;
use std::fs;
use std::path::Path;

/// Bytes at the beginning that say what the rest is; most changes go there.
const HEADER_BYTES: usize = 100;

fn partition() -> Partition {
    let agent = AgentKey::new(&serde_json::from_str(r#"{"kind":"emulator"}"#).unwrap());
    let owner = Owner::new(&agent, "caller", IsolationModel::Keys, &Isolation::default());
    Partition { agent, owner, version: None }
}

/// State files: of the current format, of the first format, of a future format, and of another program.
fn seeds() -> Vec<Vec<u8>> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.db");
    let connection = open(&path).unwrap();
    connection
        .execute(
            "INSERT INTO partition VALUES ('emulator/notes', ?1, '', 'session-1', 'conv_1', 7, NULL)",
            [[7_u8; 32]],
        )
        .unwrap();
    connection.pragma_update(None, "journal_mode", "DELETE").unwrap();
    let today = fs::read(&path).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    let to_come = fs::read(&path).unwrap();
    drop(connection);
    let mut in_wal = today.clone();
    // The two bytes that say so (the format's versions for writing and reading).
    in_wal[18..20].copy_from_slice(&[2, 2]);
    vec![today, in_wal, to_come, b"this is not a database but somebody's diary".repeat(40), Vec::new()]
}

struct Damaged(Vec<Vec<u8>>);

/// A state file, shown as text.
struct File(Vec<u8>);

impl fmt::Debug for File {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} bytes: {}", self.0.len(), self.0.escape_ascii())
    }
}

impl ValueGenerator for Damaged {
    type Output = File;

    fn generate<D: Driver>(&self, driver: &mut D) -> Option<File> {
        let mut bytes = self.0[below(driver, self.0.len())?].clone();
        for _ in 0..below(driver, 6)? {
            let area = if below(driver, 2)? == 0 { HEADER_BYTES } else { bytes.len() };
            let at = below(driver, area.min(bytes.len()).max(1))?;
            match below(driver, 4)? {
                0 => bytes.truncate(at),
                1 => bytes.extend_from_slice(&produce::<Vec<u8>>().with().len(0..32_usize).generate(driver)?),
                _ if at < bytes.len() => bytes[at] = produce::<u8>().generate(driver)?,
                _ => {}
            }
        }
        Some(File(bytes))
    }
}

/// Does SQLite find nothing wrong with all of it?
fn is_sound(path: &Path) -> bool {
    let verdict = Connection::open(path)
        .and_then(|connection| connection.pragma_query_value(None, "integrity_check", |row| row.get::<_, String>(0)));
    verdict.is_ok_and(|verdict| verdict == "ok")
}

#[test]
fn a_damaged_state_file_is_refused_unchanged() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    check!().with_generator(Damaged(seeds())).for_each(|File(bytes): &File| {
        let directory = tempfile::tempdir().unwrap();
        let (path, partition) = (directory.path().join("state.db"), partition());
        fs::write(&path, bytes).unwrap();
        let store = SqliteStore::new(path.clone()).unwrap();
        match runtime.block_on(store.load(&partition)) {
            // SQLite meets damage inside a page only when it reads that page. In a sound file what is acknowledged is there;
            // one that an even newer SQLite may write alone refuses it.
            Ok(saved) if is_sound(&path) => {
                let session = "session-new".parse().unwrap();
                match runtime.block_on(store.set_session(&partition, &session)) {
                    Ok(()) => {
                        let again = runtime.block_on(store.load(&partition)).unwrap();
                        assert_eq!(again, Saved { session: Some(session), ..saved });
                    }
                    Err(error) => assert!(error.to_string().contains("readonly"), "{error}"),
                }
            }
            Ok(_) => {}
            Err(error) => {
                assert!(!error.to_string().contains("its writer has stopped"), "the writer panicked");
                assert!(fs::read(&path).unwrap() == *bytes, "a refused file was changed: {error}");
            }
        }
    });
}
