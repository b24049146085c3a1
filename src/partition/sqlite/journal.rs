//! The journal's table: one row a run. A row that goes, or that loses its way to the service, is erased from the files' bytes: it
//! had the isolation's values.

use super::{SqliteStore, now, parsed, partition_key, responses};
use crate::partition::journal::{Ended, Entry};
use crate::partition::store::StoreError;
use crate::partition::{AgentKey, Owner, Partition};
use cupola_protocol::id::{ResponseId, RunId};
use futures_util::future::BoxFuture;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::{Duration, UNIX_EPOCH};

/// A value as JSON.
fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn value<T: DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_str(text).ok()
}

impl SqliteStore {
    pub(super) fn write_run(&self, daemon: &str, entry: &Entry) -> BoxFuture<'_, Result<(), StoreError>> {
        let (agent, owner, version) = partition_key(&entry.partition);
        let (id, daemon, facts) = (entry.run.to_string(), daemon.to_owned(), text(&entry.facts));
        let at = entry.updated_at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let at = i64::try_from(at).unwrap_or(i64::MAX);
        let (reach, ended) = (entry.reach.as_ref().map(text), entry.ended.as_ref().map(text));
        self.erase_if(move |connection| {
            let had_reach = reach.is_none() && has_reach(connection, &id)?;
            let insert =
                "INSERT OR REPLACE INTO run (id, daemon, agent, owner, version, facts, reach, ended, updated_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
            connection
                .prepare_cached(insert)?
                .execute(params![id, daemon, agent, owner, version, facts, reach, ended, at])?;
            Ok(had_reach)
        })
    }

    pub(super) fn end_run(
        &self,
        run: &RunId,
        ended: Ended,
        response: Option<&ResponseId>,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        let (id, ended, response) = (run.to_string(), text(&ended), response.map(ToString::to_string));
        self.write(move |connection| {
            if let Some(response) = &response {
                responses::remember(connection, &id, response)?;
            }
            let update = "UPDATE run SET ended = ?2, updated_at = ?3 WHERE id = ?1 AND ended IS NULL";
            connection.prepare_cached(update)?.execute(params![id, ended, now()])?;
            Ok(())
        })
    }

    pub(super) fn answer_run(&self, run: &RunId) -> BoxFuture<'_, Result<(), StoreError>> {
        let id = run.to_string();
        self.write(move |connection| {
            let update = "UPDATE run SET facts = json_set(facts, '$.answered', json('true')) WHERE id = ?1";
            connection.prepare_cached(update)?.execute(params![id])?;
            Ok(())
        })
    }

    pub(super) fn forget_runs(&self, runs: &[RunId]) -> BoxFuture<'_, Result<(), StoreError>> {
        let ids: Vec<_> = runs.iter().map(ToString::to_string).collect();
        self.erase_if(move |connection| {
            let mut had_reach = false;
            for id in &ids {
                had_reach |= has_reach(connection, id)?;
                connection.prepare_cached("DELETE FROM run WHERE id = ?1")?.execute(params![id])?;
            }
            Ok(had_reach)
        })
    }

    pub(super) fn read_runs(&self) -> BoxFuture<'_, Result<Vec<(String, Entry)>, StoreError>> {
        self.read(|connection| {
            let mut rows = connection.prepare_cached(
                "SELECT id, daemon, agent, owner, version, facts, reach, ended, updated_at FROM run
                 ORDER BY updated_at DESC, id",
            )?;
            // A row that this program did not write is skipped.
            let rows = rows.query_map([], entry)?;
            rows.filter_map(Result::transpose).collect()
        })
    }
}

fn has_reach(connection: &Connection, id: &str) -> rusqlite::Result<bool> {
    let select = "SELECT reach IS NOT NULL FROM run WHERE id = ?1";
    let found = connection.prepare_cached(select)?.query_row(params![id], |row| row.get(0)).optional()?;
    Ok(found.unwrap_or(false))
}

fn entry(row: &Row<'_>) -> rusqlite::Result<Option<(String, Entry)>> {
    let (id, daemon, agent): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
    let (owner, version, facts): (Vec<u8>, String, String) = (row.get(3)?, row.get(4)?, row.get(5)?);
    let (reach, ended, seconds): (Option<String>, Option<String>, i64) = (row.get(6)?, row.get(7)?, row.get(8)?);
    let read = || {
        let agent = AgentKey::from_stored(agent);
        let partition = Partition { agent, owner: Owner::from_bytes(&owner)?, version: parsed(Some(version)) };
        let entry = Entry {
            run: id.parse().ok()?,
            partition,
            facts: value(&facts)?,
            reach: reach.and_then(|reach| value(&reach)),
            ended: ended.and_then(|ended| value(&ended)),
            updated_at: UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or(0)),
        };
        Some((daemon, entry))
    };
    Ok(read())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{partition, session};
    use super::*;
    use crate::partition::journal::{Facts, Reach};
    use crate::partition::store::Store as _;
    use cupola_protocol::invoke::{AgentProtocol, RunStatus};
    use cupola_protocol::isolation::{Isolation, IsolationModel};
    use std::path::Path;
    use std::time::SystemTime;

    const KEY: &str = "tenant-whose-key-must-go";

    fn a_run(id: &str, survives: bool) -> Entry {
        let facts = Facts {
            detached: survives,
            session: Some(session("session-one")),
            response: Some("caresp_1".parse().unwrap()),
            ..Facts::new(IsolationModel::Keys, AgentProtocol::Responses, SystemTime::UNIX_EPOCH)
        };
        let isolation = Isolation { user_key: Some(KEY.parse().unwrap()), ..Isolation::default() };
        let target = serde_json::from_str(r#"{"kind":"emulator"}"#).unwrap();
        let reach = survives.then_some(Reach { target, isolation });
        let (run, partition) = (id.parse().unwrap(), partition("acme", None));
        Entry { run, partition, facts, reach, ended: None, updated_at: SystemTime::UNIX_EPOCH }
    }

    fn is_anywhere(directory: &Path) -> bool {
        std::fs::read_dir(directory).unwrap().any(|entry| {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            bytes.windows(KEY.len()).any(|window| window == KEY.as_bytes())
        })
    }

    #[tokio::test]
    async fn a_run_is_read_back_as_it_was_written_until_it_is_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        let store = SqliteStore::new(directory.path().join("state.db")).unwrap();
        store.put_run("daemon-a", &a_run("run-1", true)).await.unwrap();
        store.put_run("daemon-a", &a_run("run-2", false)).await.unwrap();
        let completed = Ended { status: RunStatus::Completed, number: Some(7) };
        store.end_run(&"run-2".parse().unwrap(), completed, None).await.unwrap();
        let second = Ended { status: RunStatus::Truncated, number: Some(9) };
        store.end_run(&"run-2".parse().unwrap(), second, None).await.unwrap();
        store.answer_run(&"run-1".parse().unwrap()).await.unwrap();
        let mut found = SqliteStore::new(directory.path().join("state.db")).unwrap().runs().await.unwrap();
        found.sort_by_key(|(_, entry)| entry.run.to_string());
        let seen: Vec<_> = found
            .iter()
            .map(|(daemon, entry)| (daemon.as_str(), entry.run.as_str(), entry.reach.is_some(), entry.ended))
            .collect();
        let second = ("daemon-a", "run-2", false, Some(completed));
        assert_eq!(seen, [("daemon-a", "run-1", true, None), second]);
        let first = &found[0].1;
        assert!(first.facts.answered && !found[1].1.facts.answered);
        assert_eq!(first.facts.response, Some("caresp_1".parse().unwrap()));
        assert_eq!(first.reach.as_ref().unwrap().isolation.user_key, Some(KEY.parse().unwrap()));
        assert_eq!(first.partition, partition("acme", None));
        store.forget_runs(&["run-1".parse().unwrap(), "run-2".parse().unwrap()]).await.unwrap();
        assert!(store.runs().await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn the_isolation_of_a_run_is_in_no_byte_of_the_files_once_it_is_forgotten_or_given_up() {
        let directory = tempfile::tempdir().unwrap();
        let store = SqliteStore::new(directory.path().join("state.db")).unwrap();
        store.put_run("daemon-a", &a_run("run-1", true)).await.unwrap();
        assert!(is_anywhere(directory.path()), "this test could not see the key");
        store.forget_runs(&["run-1".parse().unwrap()]).await.unwrap();
        assert!(!is_anywhere(directory.path()));
        store.put_run("daemon-a", &a_run("run-2", true)).await.unwrap();
        store.put_run("daemon-b", &a_run("run-2", false)).await.unwrap();
        assert!(!is_anywhere(directory.path()));
    }

    #[tokio::test]
    async fn an_ending_that_an_earlier_build_wrote_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let store = SqliteStore::new(directory.path().join("state.db")).unwrap();
        store.put_run("daemon-a", &a_run("run-1", true)).await.unwrap();
        let ended = || store.write(|connection| connection.execute(r#"UPDATE run SET ended = '"completed"'"#, []));
        ended().await.unwrap();
        let earlier = Ended { status: RunStatus::Completed, number: None };
        assert_eq!(store.runs().await.unwrap()[0].1.ended, Some(earlier));
    }

    #[test]
    fn no_key_shows_in_debug_output() {
        assert!(!format!("{:?}", a_run("run-1", true)).contains(KEY));
    }
}
