//! Whose responses are, as rows of the state file: written with the end of the run that a response answered.

use super::now;
use crate::partition::Owner;
use crate::partition::responses::{KEPT_FOR, MAX_OF_OWNER};
use rusqlite::{Connection, OptionalExtension as _, params};

/// What ended earlier is not kept any more.
fn oldest() -> i64 {
    now() - i64::try_from(KEPT_FOR.as_secs()).unwrap_or(i64::MAX)
}

/// Remembers a response as that of the owner of a run of the journal, and forgets what is too old or too much.
pub(super) fn remember(connection: &Connection, run: &str, response: &str) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM response WHERE ended_at <= ?1")?.execute(params![oldest()])?;
    let insert = "INSERT OR IGNORE INTO response (agent, id, owner, ended_at)
         SELECT agent, ?2, owner, ?3 FROM run WHERE id = ?1";
    connection.prepare_cached(insert)?.execute(params![run, response, now()])?;
    let many = "DELETE FROM response WHERE owner = (SELECT owner FROM run WHERE id = ?1) AND number <=
         (SELECT number FROM response WHERE owner = (SELECT owner FROM run WHERE id = ?1)
          ORDER BY number DESC LIMIT 1 OFFSET ?2)";
    let most = i64::try_from(MAX_OF_OWNER).unwrap_or(i64::MAX);
    connection.prepare_cached(many)?.execute(params![run, most])?;
    Ok(())
}

/// Whose a response is, if that is remembered.
pub(super) fn owner(connection: &Connection, agent: &str, response: &str) -> rusqlite::Result<Option<Owner>> {
    let select = "SELECT owner FROM response WHERE agent = ?1 AND id = ?2 AND ended_at > ?3";
    let mut select = connection.prepare_cached(select)?;
    let found = select.query_row(params![agent, response, oldest()], |row| row.get::<_, Vec<u8>>(0)).optional()?;
    Ok(found.and_then(|bytes| Owner::from_bytes(&bytes)))
}

#[cfg(test)]
mod tests {
    use super::super::SqliteStore;
    use super::super::tests::partition;
    use super::*;
    use crate::partition::journal::{Ended, Entry, Facts};
    use crate::partition::store::Store as _;
    use cupola_protocol::invoke::{AgentProtocol, RunStatus};
    use cupola_protocol::isolation::IsolationModel;
    use std::time::SystemTime;

    #[tokio::test]
    async fn whose_a_response_is_is_forgotten_after_a_day() {
        let directory = tempfile::tempdir().unwrap();
        let store = SqliteStore::new(directory.path().join("state.db")).unwrap();
        let (acme, run) = (partition("acme", None), "run-1".parse().unwrap());
        let facts = Facts::new(IsolationModel::Keys, AgentProtocol::Responses, SystemTime::UNIX_EPOCH);
        let entry =
            Entry { run, partition: acme.clone(), facts, reach: None, ended: None, updated_at: SystemTime::now() };
        store.put_run("daemon-a", &entry).await.unwrap();
        let ended = Ended { status: RunStatus::Completed, number: None };
        let (old, new) = ("caresp_old".parse().unwrap(), "caresp_new".parse().unwrap());
        store.end_run(&entry.run, ended, Some(&old)).await.unwrap();
        assert_eq!(store.response_owner(&acme.agent, &old).await.unwrap(), Some(acme.owner));
        let age = |connection: &Connection| connection.execute("UPDATE response SET ended_at = ?1", [oldest()]);
        store.write(move |connection| age(connection)).await.unwrap();
        assert_eq!(store.response_owner(&acme.agent, &old).await.unwrap(), None);
        store.end_run(&entry.run, ended, Some(&new)).await.unwrap();
        let count = |connection: &Connection| -> rusqlite::Result<i64> {
            connection.query_row("SELECT count(*) FROM response", [], |row| row.get(0))
        };
        assert_eq!(store.read(move |connection| count(connection)).await.unwrap(), 1, "the row is still there");
    }
}
