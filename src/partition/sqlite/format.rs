//! The state file's format: its tables, how an older file becomes a newer one, and which files are refused. Its number is SQLite's `user_version`.

use rusqlite::{Connection, ErrorCode, TransactionBehavior};

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

/// What clients remember about chats. An owner's fingerprint has no label here: the label is beside it, in readable form.
const CHATS: &str = "
CREATE TABLE chat (
    agent TEXT NOT NULL,
    owner BLOB NOT NULL,
    label TEXT NOT NULL,
    cwd TEXT,
    title TEXT,
    chosen_agent TEXT,
    chosen_version TEXT,
    updated_at INTEGER NOT NULL,     -- Unix seconds, UTC
    PRIMARY KEY (agent, owner, label)
) WITHOUT ROWID;
";

/// What leads from each format to the next, from an empty file on. Added to, never edited: files of every format exist.
const STEPS: [&str; 6] = [
    TABLES,
    // A2A's contexts, beside the conversations of the responses protocol.
    "ALTER TABLE partition ADD COLUMN context TEXT;",
    // The journal of runs.
    "CREATE TABLE run (
        id TEXT NOT NULL PRIMARY KEY,
        daemon TEXT NOT NULL,
        agent TEXT NOT NULL,
        owner BLOB NOT NULL,
        version TEXT NOT NULL,           -- '' when no version was asked for
        facts TEXT NOT NULL,             -- JSON: ids and times
        reach TEXT,                      -- JSON: target and isolation, of a run that outlives its daemon
        ended TEXT,                      -- JSON: how it ended
        updated_at INTEGER NOT NULL      -- Unix seconds, UTC
    ) WITHOUT ROWID;",
    CHATS,
    // What agents asked and nobody has answered yet.
    "CREATE TABLE question (
        agent TEXT NOT NULL,
        owner BLOB NOT NULL,
        version TEXT NOT NULL,           -- '' when no version was asked for
        id TEXT NOT NULL,
        number INTEGER NOT NULL,         -- its place in the order of the partition
        state TEXT NOT NULL,             -- open, claimed and by what, or answered
        asked TEXT NOT NULL,             -- JSON: the question, and where it was asked; '' once it is answered
        asked_at INTEGER NOT NULL,       -- Unix seconds, UTC
        PRIMARY KEY (agent, owner, version, id)
    ) WITHOUT ROWID;",
    // Whose the latest responses are.
    "CREATE TABLE response (
        number INTEGER PRIMARY KEY,      -- their order
        agent TEXT NOT NULL,
        id TEXT NOT NULL,
        owner BLOB NOT NULL,
        ended_at INTEGER NOT NULL,       -- Unix seconds, UTC
        UNIQUE (agent, id)
    );
    CREATE INDEX response_of_owner ON response (owner, number);
    CREATE INDEX response_ended_at ON response (ended_at);",
];

/// What is read of a file, and the format that brought it. Prepared, never run: that shows whether the tables are ours, and of
/// the format that the file states.
const READS: [(i64, &str); 8] = [
    (1, "SELECT agent, owner, version, session, conversation, updated_at FROM partition"),
    (1, "SELECT agent, id, owner, ownership_key FROM session"),
    (1, "SELECT agent, id, owner FROM conversation"),
    (2, "SELECT context FROM partition"),
    (3, "SELECT id, daemon, agent, owner, version, facts, reach, ended, updated_at FROM run"),
    (4, "SELECT agent, owner, label, cwd, title, chosen_agent, chosen_version, updated_at FROM chat"),
    (5, "SELECT agent, owner, version, id, number, state, asked, asked_at FROM question"),
    (6, "SELECT number, agent, id, owner, ended_at FROM response"),
];

/// Gives the current ids of each partition back their owners. Both are written in one transaction; only a disk that lost what it had
/// reported as synced can lose one of them, and without an owner another user could enter the session.
const OWNERS: &str = "
INSERT OR IGNORE INTO session (agent, id, owner)
    SELECT agent, session, owner FROM partition WHERE session IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM session AS known WHERE known.agent = partition.agent AND known.id = partition.session);
INSERT OR IGNORE INTO conversation (agent, id, owner)
    SELECT agent, conversation, owner FROM partition WHERE conversation IS NOT NULL
    AND NOT EXISTS
    (SELECT 1 FROM conversation AS known WHERE known.agent = partition.agent AND known.id = partition.conversation);
INSERT OR IGNORE INTO conversation (agent, id, owner)
    SELECT agent, context, owner FROM partition WHERE context IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM conversation AS known WHERE known.agent = partition.agent AND known.id = partition.context);
";

/// Why a file cannot be used.
pub(super) enum Unusable {
    /// It has a newer format than is known here.
    TooNew { found: i64, known: i64 },
    /// SQLite can open it, but it is not a state file, or parts of it are broken. In SQLite's words or ours.
    Damaged(String),
}

/// Looks at the whole file before anything in it is changed. State files are small: a file of ten thousand partitions takes some
/// milliseconds, and a disk that lost what it had reported as synced damages pages that would otherwise be met much later.
pub(super) fn check(connection: &Connection) -> rusqlite::Result<Result<(), Unusable>> {
    if let Err(unusable) = check_version(connection)? {
        return Ok(Err(unusable));
    }
    let found = version(connection)?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables == 0 && found == 0 {
        return Ok(Ok(()));
    }
    if found < 1 {
        return Ok(Err(Unusable::Damaged("it has tables but no format".to_owned())));
    }
    for (format, statement) in READS {
        match connection.prepare(statement) {
            Err(error) if is_of_statement(&error) && format <= found => {
                return Ok(Err(Unusable::Damaged(error.to_string())));
            }
            Err(error) if is_of_statement(&error) => {}
            Ok(_) if format > found => {
                return Ok(Err(Unusable::Damaged(format!("it has format {found}, but tables of format {format}"))));
            }
            prepared => drop(prepared?),
        }
    }
    let verdict: String = connection.pragma_query_value(None, "integrity_check", |row| row.get(0))?;
    Ok(if verdict == "ok" { Ok(()) } else { Err(Unusable::Damaged(verdict)) })
}

/// Refuses a file of a newer format.
pub(super) fn check_version(connection: &Connection) -> rusqlite::Result<Result<(), Unusable>> {
    let (found, known) = (version(connection)?, newest());
    Ok(if found > known { Err(Unusable::TooNew { found, known }) } else { Ok(()) })
}

/// Does a statement not fit the tables, as opposed to a file that cannot be read now?
fn is_of_statement(error: &rusqlite::Error) -> bool {
    matches!(error, rusqlite::Error::SqlInputError { .. }) || error.sqlite_error_code() == Some(ErrorCode::Unknown)
}

/// Brings a file to the newest known format, or leaves it as it is.
pub(super) fn bring_up(connection: &mut Connection) -> rusqlite::Result<Result<(), Unusable>> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let (found, known) = (version(&transaction)?, newest());
    // Another process may have changed it since it was checked.
    if found > known {
        return Ok(Err(Unusable::TooNew { found, known }));
    }
    for (format, step) in (1..).zip(STEPS) {
        if found < format {
            transaction.execute_batch(step)?;
        }
    }
    if found < known {
        transaction.pragma_update(None, "user_version", known)?;
    }
    transaction.execute_batch(OWNERS)?;
    transaction.commit()?;
    Ok(Ok(()))
}

fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// The newest known format.
fn newest() -> i64 {
    i64::try_from(STEPS.len()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::partition::store::{Saved, Store, StoreError};
    use crate::partition::{AgentKey, Owner, Partition, sqlite::SqliteStore};
    use cupola_protocol::isolation::{Isolation, IsolationModel};

    #[tokio::test]
    async fn a_file_that_is_not_ours_is_refused_unchanged() {
        let renamed = |from: &str, to: &str| TABLES.replace(from, to);
        for (tables, version) in [
            ("CREATE TABLE diary (day TEXT);".to_owned(), 0),
            ("CREATE TABLE diary (day TEXT);".to_owned(), 1),
            (renamed("conversation TEXT", "conversatiom TEXT"), 1),
            (renamed("ownership_key", "ownership_kez"), 1),
            // The second format has a column more.
            (TABLES.to_owned(), 2),
            (STEPS[..2].concat(), 3),
            (STEPS[..2].concat(), 1),
            (STEPS.concat(), 2),
        ] {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("state.db");
            let other = Connection::open(&path).unwrap();
            other.execute_batch(&tables).unwrap();
            other.pragma_update(None, "user_version", version).unwrap();
            drop(other);
            let before = std::fs::read(&path).unwrap();
            let error = SqliteStore::new(path.clone()).unwrap().count().await.unwrap_err();
            assert!(matches!(error, StoreError::Corrupt { .. }), "{version} {tables}: {error}");
            assert!(std::fs::read(&path).unwrap() == before, "{version} {tables}: the file was changed");
        }
    }

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

    #[tokio::test]
    async fn a_file_of_the_second_format_keeps_what_it_has_and_gets_a_journal() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.db");
        let agent = AgentKey::new(&serde_json::from_str(r#"{"kind":"emulator"}"#).unwrap());
        let owner = Owner::new(&agent, "caller", IsolationModel::Keys, &Isolation::default());
        let old = Connection::open(&path).unwrap();
        old.execute_batch(&STEPS[..2].concat()).unwrap();
        old.pragma_update(None, "user_version", 2).unwrap();
        old.execute(
            "INSERT INTO partition VALUES (?1, ?2, '', 'session-one', 'c1', 7, 'x1')",
            (agent.as_str(), owner.bytes()),
        )
        .unwrap();
        drop(old);
        let store = SqliteStore::new(path.clone()).unwrap();
        assert!(store.runs().await.unwrap().is_empty());
        let saved = store.load(&Partition { agent, owner, version: None }).await.unwrap();
        assert_eq!(saved.context, Some("x1".parse().unwrap()));
        assert_eq!(version(&Connection::open(&path).unwrap()).unwrap(), newest());
    }
}
