//! A list of partitions in parts. The primary key is its order: a page is found by searching there, and nothing before it or behind it
//! is read.

use crate::partition::pages::{Among, Place};
use crate::partition::store::{Page, Saved, SavedPartition};
use crate::partition::{AgentKey, Owner, Partition, bytes, hex};
use rusqlite::{Connection, OptionalExtension as _, params};
use std::time::{Duration, UNIX_EPOCH};

/// The next agent that has partitions. Agents that are not asked for are passed by one search each.
const NEXT_AGENT: &str = "SELECT agent FROM partition WHERE agent > ?1 ORDER BY agent LIMIT 1";

/// Partitions of one agent, from a key on and before another one.
const OF_AGENT: &str = "SELECT owner, version, session, conversation, context, updated_at FROM partition
     WHERE agent = ?1 AND (owner, version) >= (?2, ?3) AND (owner, version) < (?4, ?5)
     ORDER BY owner, version LIMIT ?6";

/// The bytes of an owner's fingerprint. What is longer than a fingerprint of the highest bytes is behind all of them.
const OWNER_BYTES: usize = 32;

/// The part of a key that follows the agent.
type Within = (Vec<u8>, String);

/// A row as it is in the file.
type Row = (Vec<u8>, String, Saved, i64);

/// The partitions after a place.
pub(super) fn read(
    connection: &Connection,
    among: &Among,
    after: Option<&Place>,
    most: usize,
) -> rusqlite::Result<Page> {
    let (mut page, mut last) = (Page::default(), None);
    let mut taken = 0;
    let mut agent = match after {
        Some(place) => Some(place.agent.clone()),
        None => next_agent(connection, among, None)?,
    };
    while let Some(name) = agent {
        let within = after.filter(|place| place.agent == name).map(|place| place.within.as_str());
        // One more than the page may have shows whether there is a further page.
        for row in of_agent(connection, among, &name, within, most + 1 - taken)? {
            if taken == most {
                page.next = last;
                return Ok(page);
            }
            let (owner, version, saved, seconds) = row;
            taken += 1;
            last = Some(Place { agent: name.clone(), within: format!("{}:{version}", hex(&owner)) });
            // A row with an owner that this program did not write is skipped.
            if let Some(owner) = Owner::from_bytes(&owner) {
                let agent = AgentKey::from_stored(name.clone());
                page.partitions.push(SavedPartition {
                    partition: Partition { agent, owner, version: super::parsed(Some(version)) },
                    saved,
                    updated_at: UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or(0)),
                });
            }
        }
        agent = next_agent(connection, among, Some(&name))?;
    }
    Ok(page)
}

/// The first agent of a list, or the one that follows.
fn next_agent(connection: &Connection, among: &Among, after: Option<&str>) -> rusqlite::Result<Option<String>> {
    if let Some(only) = among.only_agent() {
        return Ok(after.is_none().then(|| only.as_str().to_owned()));
    }
    let beginning = among.beginning();
    let mut before = after.unwrap_or(&beginning).to_owned();
    loop {
        let next: Option<String> =
            connection.prepare_cached(NEXT_AGENT)?.query_row([&before], |row| row.get(0)).optional()?;
        match next.filter(|name| name.starts_with(&beginning)) {
            Some(name) if !among.has_agent(&AgentKey::from_stored(name.clone())) => before = name,
            found => return Ok(found),
        }
    }
}

fn of_agent(
    connection: &Connection,
    among: &Among,
    agent: &str,
    after: Option<&str>,
    most: usize,
) -> rusqlite::Result<Vec<Row>> {
    let (first, end) = bounds(among);
    let first = after.map_or(first, after_key);
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    connection
        .prepare_cached(OF_AGENT)?
        .query_map(params![agent, first.0, first.1, end.0, end.1, most], |row| {
            let saved = Saved {
                session: super::parsed(row.get(2)?),
                conversation: super::parsed(row.get(3)?),
                context: super::parsed(row.get(4)?),
            };
            Ok((row.get(0)?, row.get(1)?, saved, row.get(5)?))
        })?
        .collect()
}

/// The first key of a list within an agent, and the first one behind it.
fn bounds(among: &Among) -> (Within, Within) {
    match among.owner() {
        None => ((Vec::new(), String::new()), (vec![u8::MAX; OWNER_BYTES + 1], String::new())),
        Some((owner, None)) => {
            let owner = owner.bytes().to_vec();
            let behind = [owner.as_slice(), &[0]].concat();
            ((owner, String::new()), (behind, String::new()))
        }
        Some((owner, Some(version))) => {
            let (owner, version) = (owner.bytes().to_vec(), version.to_string());
            let behind = following(&version);
            ((owner.clone(), version), (owner, behind))
        }
    }
}

/// The first key behind this one.
fn after_key(within: &str) -> Within {
    let (owner, version) = within.split_once(':').unwrap_or((within, ""));
    (bytes(owner).unwrap_or_default(), following(version))
}

/// The first text behind this one.
fn following(text: &str) -> String {
    format!("{text}\0")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::partition::sqlite::SqliteStore;
    use crate::partition::store::Store as _;
    use rusqlite::params_from_iter;

    /// A state file with a row for each agent, owner and version.
    async fn with_rows(rows: &[(&str, &[u8], &str)]) -> (tempfile::TempDir, Connection) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.db");
        SqliteStore::new(path.clone()).unwrap().count().await.unwrap();
        let connection = Connection::open(path).unwrap();
        for (agent, owner, version) in rows {
            let insert = "INSERT INTO partition (agent, owner, version, updated_at) VALUES (?1, ?2, ?3, 7)";
            connection.execute(insert, params![agent, owner, version]).unwrap();
        }
        (directory, connection)
    }

    /// The agents, owners and versions in all pages of a list.
    fn all(connection: &Connection, among: &Among, most: usize) -> Vec<(String, u8, String)> {
        let (mut found, mut after) = (Vec::new(), None);
        for _ in 0..100 {
            let page = read(connection, among, after.as_ref(), most).unwrap();
            found.extend(page.partitions.into_iter().map(|SavedPartition { partition, .. }| {
                let version = partition.version.map(|version| version.to_string()).unwrap_or_default();
                (partition.agent.as_str().to_owned(), partition.owner.bytes()[0], version)
            }));
            after = page.next;
            if after.is_none() {
                return found;
            }
        }
        panic!("it does not end: {found:?}");
    }

    /// A page is found by a search in the primary key and is in its order: the file is read nowhere else, however large it is.
    #[tokio::test]
    async fn a_page_is_searched_and_never_scanned_or_sorted() {
        let (_directory, connection) = with_rows(&[]).await;
        for (statement, search) in [
            (NEXT_AGENT, "SEARCH partition USING PRIMARY KEY (agent>?)"),
            (
                OF_AGENT,
                "SEARCH partition USING PRIMARY KEY (agent=? AND (owner,version)>(?,?) AND (owner,version)<(?,?))",
            ),
        ] {
            let mut explained = connection.prepare(&format!("EXPLAIN QUERY PLAN {statement}")).unwrap();
            let nothing = (0..explained.parameter_count()).map(|_| "");
            let plan: Vec<String> =
                explained.query_map(params_from_iter(nothing), |row| row.get(3)).unwrap().map(Result::unwrap).collect();
            assert_eq!(plan, [search]);
        }
    }

    #[tokio::test]
    async fn a_place_has_its_own_agents_and_not_those_of_places_below_it() {
        let one: &[u8] = &[1; 32];
        let names = ["x/a", "x/a/b", "x/a/b/c", "x/a/z", "x/a0", "x/b"];
        let (_directory, connection) = with_rows(&names.map(|name| (name, one, ""))).await;
        for (beside, expected) in [("x/a/b", &["x/a/b", "x/a/z"][..]), ("x/a", &["x/a", "x/a0", "x/b"]), ("y/a", &[])] {
            let among = Among::Beside(AgentKey::from_stored(beside.to_owned()));
            for most in [1, 2, 10] {
                let found: Vec<_> = all(&connection, &among, most).into_iter().map(|(agent, ..)| agent).collect();
                assert_eq!(found, expected, "{beside}");
            }
        }
    }

    /// What this program would not have written is passed, and pages get behind it.
    #[tokio::test]
    async fn damaged_rows_end_no_list() {
        let (one, two): (&[u8], &[u8]) = (&[1; 32], &[2; 32]);
        let rows = [
            ("a/a", one, ""),
            ("a/a", one, "not a version \u{1}"),
            ("a/a", one, "not a version \u{1}\0"),
            ("a/a", &[1; 33], ""),
            ("a/a", &[1, 2], ""),
            ("a/a", two, "3"),
        ];
        let (_directory, connection) = with_rows(&rows).await;
        let version = |owner, version: &str| ("a/a".to_owned(), owner, version.to_owned());
        for most in [1, 2, 3, 10] {
            let found = all(&connection, &Among::All, most);
            assert_eq!(found, [version(1, ""), version(1, ""), version(1, ""), version(2, "3")], "{most}");
        }
    }
}
