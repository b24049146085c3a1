//! The state file's format: its tables, and how an older file becomes a newer one. Its number is SQLite's `user_version`.

use rusqlite::{Connection, TransactionBehavior};

/// What the first format has.
const TABLES: &str = "
CREATE TABLE partition (
    agent TEXT NOT NULL,
    owner BLOB NOT NULL,
    version TEXT NOT NULL,           -- '' when no version was asked for
    session TEXT,
    conversation TEXT,
    updated_at INTEGER NOT NULL,     -- Unix seconds, UTC
    PRIMARY KEY (agent, owner, version)
) WITHOUT ROWID;
CREATE TABLE session (
    agent TEXT NOT NULL,
    id TEXT NOT NULL,
    owner BLOB NOT NULL,
    ownership_key TEXT,
    PRIMARY KEY (agent, id)
) WITHOUT ROWID;
CREATE TABLE conversation (
    agent TEXT NOT NULL,
    id TEXT NOT NULL,
    owner BLOB NOT NULL,
    PRIMARY KEY (agent, id)
) WITHOUT ROWID;
";

/// What leads from each format to the next, from an empty file on. Added to, never edited: files of every format exist.
const STEPS: [&str; 2] = [
    TABLES,
    // A2A's contexts, beside the conversations of the responses protocol.
    "ALTER TABLE partition ADD COLUMN context TEXT;",
];

/// The file has a newer format than is known here.
pub(super) struct TooNew {
    pub(super) found: i64,
    pub(super) known: i64,
}

/// Brings a file to the newest known format, or leaves it as it is.
pub(super) fn bring_up(connection: &mut Connection) -> rusqlite::Result<Result<(), TooNew>> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let mut known = 0;
    for step in STEPS {
        known += 1;
        if found < known {
            transaction.execute_batch(step)?;
        }
    }
    if found > known {
        return Ok(Err(TooNew { found, known }));
    }
    if found < known {
        transaction.pragma_update(None, "user_version", known)?;
    }
    transaction.commit()?;
    Ok(Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::partition::store::{Saved, Store};
    use crate::partition::{AgentKey, Owner, Partition, sqlite::SqliteStore};
    use cupola_protocol::isolation::{Isolation, IsolationModel};

    #[tokio::test]
    async fn a_file_of_the_first_format_keeps_what_it_has() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.db");
        let agent = AgentKey::new(&serde_json::from_str(r#"{"kind":"emulator"}"#).unwrap());
        let owner = Owner::new(&agent, "caller", IsolationModel::Keys, &Isolation::default());
        let old = Connection::open(&path).unwrap();
        old.execute_batch(TABLES).unwrap();
        old.pragma_update(None, "user_version", 1).unwrap();
        old.execute(
            "INSERT INTO partition VALUES (?1, ?2, '', 'session-one', 'c1', 7)",
            (agent.as_str(), owner.bytes()),
        )
        .unwrap();
        drop(old);

        let partition = Partition { agent, owner, version: None };
        let store = SqliteStore::new(path.clone()).unwrap();
        let mut expected = Saved {
            session: Some("session-one".parse().unwrap()),
            conversation: Some("c1".parse().unwrap()),
            context: None,
        };
        assert_eq!(store.load(&partition).await.unwrap(), expected);
        expected.context = Some("x1".parse().unwrap());
        store.set_context(&partition, &"x1".parse().unwrap()).await.unwrap();
        assert_eq!(SqliteStore::new(path).unwrap().load(&partition).await.unwrap(), expected);
    }
}
