//! What agents asked, as rows of the state file. An answered question keeps its row without its text, so that a second answer is refused.

use super::{SqliteStore, now, partition_key};
use crate::partition::Partition;
use crate::partition::questions::{Asked, Claimed, KEPT_FOR, MAX_QUESTIONS, NotOpen};
use crate::partition::store::{QuestionStore, StoreError};
use futures_util::future::BoxFuture;
use rusqlite::{Connection, OptionalExtension as _, params};

/// A partition's part of the primary key, owned so that it can travel to the writer: agent, owner, version.
type Key = (String, [u8; 32], String);

impl QuestionStore for SqliteStore {
    fn ask(&self, partition: &Partition, asked: &[Asked], again: bool) -> BoxFuture<'_, Result<(), StoreError>> {
        let key = partition_key(partition);
        let asked: Vec<_> = asked.iter().map(|asked| (asked.question.id.clone(), text(asked))).collect();
        self.erase_if(move |connection| {
            for (id, asked) in &asked {
                insert(connection, &key, (id, asked), again)?;
            }
            forget_old(connection, &key)
        })
    }

    fn claim_questions(
        &self,
        partition: &Partition,
        claim: &str,
        ids: &[String],
    ) -> BoxFuture<'_, Result<Claimed, StoreError>> {
        let (key, claimed, ids) = (partition_key(partition), claimed(claim), ids.to_vec());
        self.write(move |connection| take(connection, &key, &claimed, &ids))
    }

    fn settle_questions(
        &self,
        partition: &Partition,
        claim: &str,
        ids: &[String],
        were_sent: bool,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        let ((agent, owner, version), claimed, ids) = (partition_key(partition), claimed(claim), ids.to_vec());
        let update = if were_sent {
            "UPDATE question SET state = 'answered', asked = '' WHERE agent = ?1 AND owner = ?2 AND version = ?3 AND id = ?4
             AND state = ?5"
        } else {
            "UPDATE question SET state = 'open' WHERE agent = ?1 AND owner = ?2 AND version = ?3 AND id = ?4
             AND state = ?5"
        };
        self.erase_if(move |connection| {
            for id in &ids {
                connection.prepare_cached(update)?.execute(params![agent, owner, version, id, claimed])?;
            }
            Ok(were_sent)
        })
    }

    fn open_questions(&self, partition: &Partition) -> BoxFuture<'_, Result<Vec<Asked>, StoreError>> {
        let (agent, owner, version) = partition_key(partition);
        self.read(move |connection| {
            let mut rows = connection.prepare_cached(
                "SELECT asked FROM question WHERE agent = ?1 AND owner = ?2 AND version = ?3 AND state = 'open' AND asked_at > ?4
                 ORDER BY number",
            )?;
            let rows = rows.query_map(params![agent, owner, version, oldest()], |row| row.get::<_, String>(0))?;
            // A row that this program did not write is skipped.
            rows.map(|row| row.map(|asked| read(&asked))).filter_map(Result::transpose).collect()
        })
    }
}

/// The state of a question that is being answered.
fn claimed(claim: &str) -> String {
    format!("claimed {claim}")
}

fn text(asked: &Asked) -> String {
    serde_json::to_string(asked).unwrap_or_default()
}

fn read(asked: &str) -> Option<Asked> {
    serde_json::from_str(asked).ok()
}

/// What was asked earlier is not kept any more.
fn oldest() -> i64 {
    now() - i64::try_from(KEPT_FOR.as_secs()).unwrap_or(i64::MAX)
}

fn insert(connection: &Connection, key: &Key, (id, asked): (&str, &str), again: bool) -> rusqlite::Result<()> {
    let (agent, owner, version) = key;
    let insert = if again { "INSERT OR IGNORE" } else { "INSERT OR REPLACE" };
    let insert = format!(
        "{insert} INTO question (agent, owner, version, id, number, state, asked, asked_at) VALUES (?1, ?2, ?3, ?4,
         (SELECT coalesce(max(number), 0) + 1 FROM question WHERE agent = ?1 AND owner = ?2 AND version = ?3), 'open', ?5, ?6)"
    );
    connection.prepare_cached(&insert)?.execute(params![agent, owner, version, id, asked, now()])?;
    Ok(())
}

/// Forgets the questions of a partition beyond the latest, and those of any that are too old. Were there any?
fn forget_old(connection: &Connection, (agent, owner, version): &Key) -> rusqlite::Result<bool> {
    let old = connection.prepare_cached("DELETE FROM question WHERE asked_at <= ?1")?.execute(params![oldest()])?;
    let many = "DELETE FROM question WHERE agent = ?1 AND owner = ?2 AND version = ?3 AND number <=
         (SELECT number FROM question WHERE agent = ?1 AND owner = ?2 AND version = ?3 ORDER BY number DESC LIMIT 1 OFFSET ?4)";
    let most = i64::try_from(MAX_QUESTIONS).unwrap_or(i64::MAX);
    let many = connection.prepare_cached(many)?.execute(params![agent, owner, version, most])?;
    Ok(old + many > 0)
}

/// Claims questions, all or none.
fn take(
    connection: &Connection,
    (agent, owner, version): &Key,
    claimed: &str,
    ids: &[String],
) -> rusqlite::Result<Claimed> {
    let select = "SELECT state, asked FROM question
         WHERE agent = ?1 AND owner = ?2 AND version = ?3 AND id = ?4 AND asked_at > ?5";
    let mut taken = Vec::new();
    for id in ids {
        let found = connection
            .prepare_cached(select)?
            .query_row(params![agent, owner, version, id, oldest()], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
            })
            .optional()?;
        match found {
            None => return Ok(Err((id.clone(), NotOpen::Unknown))),
            Some((state, asked)) if state == "open" => match read(&asked) {
                Some(asked) => taken.push(asked),
                None => return Ok(Err((id.clone(), NotOpen::Unknown))),
            },
            Some(_) => return Ok(Err((id.clone(), NotOpen::Answered))),
        }
    }
    let update = "UPDATE question SET state = ?5 WHERE agent = ?1 AND owner = ?2 AND version = ?3 AND id = ?4";
    for id in ids {
        connection.prepare_cached(update)?.execute(params![agent, owner, version, id, claimed])?;
    }
    Ok(Ok(taken))
}

/// Forgets what was asked in a partition.
pub(super) fn forget(connection: &Connection, (agent, owner, version): &Key) -> rusqlite::Result<()> {
    let delete = "DELETE FROM question WHERE agent = ?1 AND owner = ?2 AND version = ?3";
    connection.execute(delete, params![agent, owner, version])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::partition;
    use super::*;
    use crate::partition::questions::AskedIn;

    #[tokio::test]
    async fn what_a_question_said_is_in_no_byte_of_the_files_once_it_is_answered() {
        let directory = tempfile::tempdir().unwrap();
        let store = SqliteStore::new(directory.path().join("state.db")).unwrap();
        let is_anywhere = || {
            std::fs::read_dir(directory.path()).unwrap().any(|entry| {
                let bytes = std::fs::read(entry.unwrap().path()).unwrap();
                bytes.windows(9).any(|window| window == b"plans.txt")
            })
        };
        let question = serde_json::json!({"id": "a", "kind": "approval", "arguments": r#"{"path":"plans.txt"}"#});
        let asked = Asked { question: serde_json::from_value(question).unwrap(), asked_in: AskedIn::default() };
        let (acme, ids) = (partition("acme", None), ["a".to_owned()]);
        store.ask(&acme, &[asked], false).await.unwrap();
        assert!(is_anywhere(), "this test could not see the arguments");
        store.claim_questions(&acme, "one", &ids).await.unwrap().unwrap();
        store.settle_questions(&acme, "one", &ids, true).await.unwrap();
        assert!(!is_anywhere());
        let again = store.claim_questions(&acme, "two", &ids).await.unwrap();
        assert_eq!(again, Err(("a".to_owned(), NotOpen::Answered)));
    }

    #[tokio::test]
    async fn a_question_is_forgotten_after_a_day() {
        let directory = tempfile::tempdir().unwrap();
        let store = SqliteStore::new(directory.path().join("state.db")).unwrap();
        let asked = |id: &str| {
            let question = serde_json::json!({"id": id, "kind": "approval"});
            Asked { question: serde_json::from_value(question).unwrap(), asked_in: AskedIn::default() }
        };
        let acme = partition("acme", None);
        store.ask(&acme, &[asked("a")], false).await.unwrap();
        let age = |connection: &Connection| connection.execute("UPDATE question SET asked_at = ?1", [oldest()]);
        store.write(move |connection| age(connection)).await.unwrap();
        assert!(store.open_questions(&acme).await.unwrap().is_empty());
        let claimed = store.claim_questions(&acme, "one", &["a".to_owned()]).await.unwrap();
        assert_eq!(claimed, Err(("a".to_owned(), NotOpen::Unknown)));
        store.ask(&acme, &[asked("b")], false).await.unwrap();
        let count = |connection: &Connection| -> rusqlite::Result<i64> {
            connection.query_row("SELECT count(*) FROM question", [], |row| row.get(0))
        };
        assert_eq!(store.read(move |connection| count(connection)).await.unwrap(), 1, "the row is still there");
    }
}
