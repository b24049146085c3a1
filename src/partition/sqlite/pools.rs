//! Sessions that users share. No table of their own: the sessions of a pool are those that the pool owns, and its users are the
//! partitions that continue one of them.

use crate::partition::pool::{Choice, Pool, choose};
use rusqlite::{Connection, OptionalExtension as _, params};

/// A partition's primary key: agent, owner, version.
type Key = (String, [u8; 32], String);

/// The id of the session that the partition gets. The writer's transaction keeps other processes from placing at the same time.
pub(super) fn place(
    connection: &Connection,
    (agent, owner, version): &Key,
    pool: &Pool,
    new: &str,
) -> rusqlite::Result<Option<String>> {
    let current: Option<String> = connection
        .prepare_cached(
            "SELECT partition.session FROM partition JOIN session ON session.agent = partition.agent AND session.id = partition.session
             WHERE partition.agent = ?1 AND partition.owner = ?2 AND partition.version = ?3 AND session.owner = ?4",
        )?
        .query_row(params![agent, owner, version, pool.owner.bytes()], |row| row.get(0))
        .optional()?;
    if current.is_some() {
        return Ok(current);
    }
    let sessions: Vec<(String, u64)> = connection
        .prepare_cached(
            "SELECT session.id, coalesce(load.users, 0) FROM session
             LEFT JOIN (SELECT session, count(*) AS users FROM partition WHERE agent = ?1 GROUP BY session) AS load
             ON load.session = session.id
             WHERE session.agent = ?1 AND session.owner = ?2 ORDER BY session.id",
        )?
        .query_map(params![agent, pool.owner.bytes()], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs())))?
        .collect::<Result<_, _>>()?;
    let loads: Vec<_> = sessions.iter().map(|(_, users)| *users).collect();
    let chosen = match choose(&loads, pool) {
        Choice::Nowhere => return Ok(None),
        Choice::Existing(place) => sessions.into_iter().nth(place).map(|(id, _)| id).unwrap_or_default(),
        Choice::New => {
            connection.execute(
                "INSERT OR REPLACE INTO session (agent, id, owner) VALUES (?1, ?2, ?3)",
                params![agent, new, pool.owner.bytes()],
            )?;
            new.to_owned()
        }
    };
    connection.execute(
        "INSERT INTO partition (agent, owner, version, session, updated_at) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO UPDATE SET session = excluded.session, updated_at = excluded.updated_at",
        params![agent, owner, version, chosen, super::now()],
    )?;
    Ok(Some(chosen))
}
