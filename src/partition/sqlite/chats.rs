//! What clients remember about chats, as rows of the state file.

use super::{SqliteStore, now, parsed};
use crate::partition::store::{ChatStore, SavedChat, StoreError};
use crate::partition::{AgentKey, Owner};
use cupola_protocol::chats::ChatDetails;
use cupola_protocol::isolation::ChatLabel;
use futures_util::future::BoxFuture;
use rusqlite::{Connection, params};
use std::time::{Duration, UNIX_EPOCH};

impl ChatStore for SqliteStore {
    fn save_chat(
        &self,
        agent: &AgentKey,
        owner: &Owner,
        label: &ChatLabel,
        details: &ChatDetails,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        let key = (agent.as_str().to_owned(), *owner.bytes(), label.to_string());
        let details = details.clone();
        self.write(move |connection| save(connection, &key, &details))
    }

    fn chats(
        &self,
        agent: &AgentKey,
        owner: &Owner,
        within: Option<&ChatLabel>,
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<SavedChat>, StoreError>> {
        let (agent, owner, within) = (agent.as_str().to_owned(), *owner.bytes(), within.map(ToString::to_string));
        self.read(move |connection| of(connection, &agent, owner, within.as_deref(), limit))
    }

    fn forget_chat(
        &self,
        agent: &AgentKey,
        owner: &Owner,
        label: &ChatLabel,
    ) -> BoxFuture<'_, Result<bool, StoreError>> {
        let key = (agent.as_str().to_owned(), *owner.bytes(), label.to_string());
        self.erase(move |connection| delete(connection, &key))
    }
}

/// A row's primary key, owned so that it can travel to the writer: agent, owner, label.
type Key = (String, [u8; 32], String);

/// Puts a row in the place of the one with its key.
fn save(connection: &Connection, (agent, owner, label): &Key, details: &ChatDetails) -> rusqlite::Result<()> {
    let ChatDetails { cwd, title, agent: chosen_agent, version } = details;
    connection.execute(
        "INSERT OR REPLACE INTO chat (agent, owner, label, cwd, title, chosen_agent, chosen_version, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            agent,
            owner,
            label,
            cwd.as_ref().map(ToString::to_string),
            title.as_ref().map(ToString::to_string),
            chosen_agent.as_ref().map(ToString::to_string),
            version.as_ref().map(ToString::to_string),
            now()
        ],
    )?;
    Ok(())
}

/// The newest rows of an owner, with a label only that one and those below it.
fn of(
    connection: &Connection,
    agent: &str,
    owner: [u8; 32],
    within: Option<&str>,
    limit: u32,
) -> rusqlite::Result<Vec<SavedChat>> {
    let mut rows = connection.prepare_cached(
        "SELECT label, cwd, title, chosen_agent, chosen_version, updated_at FROM chat
         WHERE agent = ?1 AND owner = ?2 AND (?3 IS NULL OR label = ?3 OR substr(label, 1, length(?3) + 1) = ?3 || '/')
         ORDER BY updated_at DESC, label LIMIT ?4",
    )?;
    let rows = rows.query_map(params![agent, owner, within, limit], |row| {
        let (label, seconds): (Option<String>, i64) = (row.get(0)?, row.get(5)?);
        let details = ChatDetails {
            cwd: parsed(row.get(1)?),
            title: parsed(row.get(2)?),
            agent: parsed(row.get(3)?),
            version: parsed(row.get(4)?),
        };
        // A row with a label that this program did not write is skipped.
        Ok(parsed(label).map(|label| SavedChat {
            label,
            details,
            updated_at: UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or(0)),
        }))
    })?;
    rows.filter_map(Result::transpose).collect()
}

/// Deletes a row. False if it was not there.
fn delete(connection: &Connection, (agent, owner, label): &Key) -> rusqlite::Result<bool> {
    let deleted = connection
        .execute("DELETE FROM chat WHERE agent = ?1 AND owner = ?2 AND label = ?3", params![agent, owner, label])?;
    Ok(deleted > 0)
}

#[cfg(test)]
mod tests {
    use super::super::tests::partition;
    use super::*;

    #[tokio::test]
    async fn a_chat_is_its_owners_alone_and_leaves_nothing_behind_when_it_is_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.db");
        let store = SqliteStore::new(path.clone()).unwrap();
        let (acme, contoso) = (partition("acme", None), partition("contoso", None));
        let (one, two): (ChatLabel, ChatLabel) = ("acp/one".parse().unwrap(), "acp/two".parse().unwrap());
        let details = ChatDetails {
            cwd: Some("/home/ada/shop".parse().unwrap()),
            title: Some("fix-the-parser".parse().unwrap()),
            agent: Some("notes".parse().unwrap()),
            version: Some("2".parse().unwrap()),
        };
        store.save_chat(&acme.agent, &acme.owner, &one, &ChatDetails::default()).await.unwrap();
        store.save_chat(&acme.agent, &acme.owner, &one, &details).await.unwrap();
        store.save_chat(&contoso.agent, &contoso.owner, &two, &ChatDetails::default()).await.unwrap();

        let store = SqliteStore::new(path.clone()).unwrap();
        let chats = store.chats(&acme.agent, &acme.owner, None, 10).await.unwrap();
        assert_eq!(chats.iter().map(|chat| (&chat.label, &chat.details)).collect::<Vec<_>>(), [(&one, &details)]);
        for (within, count) in [("acp", 1), ("acp/one", 1), ("acp/o", 0), ("ac", 0)] {
            let within: ChatLabel = within.parse().unwrap();
            let chats = store.chats(&acme.agent, &acme.owner, Some(&within), 10).await.unwrap();
            assert_eq!(chats.len(), count, "{within}");
        }
        assert!(!store.forget_chat(&acme.agent, &acme.owner, &two).await.unwrap(), "it is another owner's");
        assert!(store.forget_chat(&acme.agent, &acme.owner, &one).await.unwrap());
        assert!(store.chats(&acme.agent, &acme.owner, None, 10).await.unwrap().is_empty());
        drop(store);
        for entry in std::fs::read_dir(directory.path()).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            let is_left = bytes.windows(14).any(|window| window == b"fix-the-parser");
            assert!(!is_left, "the title is still in the file");
        }
    }
}
