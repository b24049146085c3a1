//! Opens the state file: makes it private, checks it, brings it to the newest format.

use super::format::{self, Unusable};
use crate::partition::store::StoreError;
use crate::system::directory::private_file;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode};
use std::path::Path;

/// Opens it, and makes it if there is none.
pub(super) fn open(path: &Path) -> Result<Connection, StoreError> {
    let fail = |error: &rusqlite::Error| match describe(path, error) {
        StoreError::Operation { path, reason } => StoreError::Open { path, reason },
        other => other,
    };
    create_private(path)
        .map_err(|error| StoreError::Open { path: path.display().to_string(), reason: error.to_string() })?;
    let mut connection = Connection::open(path).map_err(|error| fail(&error))?;
    prepare(&mut connection, path).map_err(|error| match error {
        PrepareError::Engine(error) => fail(&error),
        PrepareError::Store(error) => error,
    })?;
    Ok(connection)
}

/// Makes the file with mode 0600 before SQLite does with whatever the umask leaves; SQLite's side files copy its mode. One
/// that is there, perhaps put back from a backup, is made private.
fn create_private(path: &Path) -> std::io::Result<()> {
    let file = private_file().append(true).open(path)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = file.metadata()?.permissions().mode();
        if mode & 0o077 != 0 {
            file.set_permissions(std::fs::Permissions::from_mode(mode & 0o700))?;
        }
    }
    #[cfg(windows)]
    drop(file);
    Ok(())
}

enum PrepareError {
    Engine(rusqlite::Error),
    Store(StoreError),
}

impl From<rusqlite::Error> for PrepareError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Engine(error)
    }
}

fn prepare(connection: &mut Connection, path: &Path) -> Result<(), PrepareError> {
    let refuse = |unusable| {
        let path = path.display().to_string();
        PrepareError::Store(match unusable {
            Unusable::TooNew { found, known } => StoreError::TooNew { path, found, known },
            Unusable::Damaged(reason) => StoreError::Corrupt { path, reason },
        })
    };
    connection.busy_timeout(super::BUSY_TIMEOUT)?;
    // A file that is refused stays byte for byte what it is, also one whose log a killed process left: closing it would move the log
    // into the file.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    format::check(connection)?.map_err(refuse)?;
    // In one transaction, before the change to WAL: where a step fails, nothing has changed either.
    format::bring_up(connection)?.map_err(refuse)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // A commit is on the disk before it is acknowledged. With NORMAL a power cut could take the last commits, and with FULL those of
    // a file that could not be changed to WAL just now.
    connection.pragma_update(None, "synchronous", "EXTRA")?;
    // On macOS a plain sync leaves the bytes in the memory of the disk.
    connection.pragma_update(None, "fullfsync", true)?;
    // What is deleted is overwritten in its pages.
    connection.pragma_update(None, "secure_delete", true)?;
    // An idle daemon should hold kilobytes, not SQLite's default of 2 MB of pages.
    connection.pragma_update(None, "cache_size", -128)?;
    // The side files come with the first read. Another process may have changed the format by now.
    format::check_version(connection)?.map_err(refuse)?;
    Ok(())
}

/// What the engine's error means.
pub(super) fn describe(path: &Path, error: &rusqlite::Error) -> StoreError {
    let path = path.display().to_string();
    let reason = error.to_string();
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => StoreError::Corrupt { path, reason },
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => StoreError::Open { path, reason },
        _ => StoreError::Operation { path, reason },
    }
}
