//! Which daemons are alive: each holds a lock in its own name. The operating system frees a locked file however its daemon ends; a
//! lease in a shared store ends with its time.

use super::exclusion::{DAEMON_PREFIX, Exclusion, ExclusionError, Held};
use super::store::{LockName, StoreError};
use uuid::Uuid;

/// A daemon's name, held for as long as it lives.
#[derive(Debug)]
pub struct Presence {
    name: String,
    _held: Held,
}

impl Presence {
    /// A new daemon's, under a name that no other has.
    pub async fn begin(locks: &dyn Exclusion) -> Result<Self, ExclusionError> {
        let name = format!("{DAEMON_PREFIX}{}", Uuid::new_v4().simple());
        let held = locks.appear(&LockName::Daemon(name.clone())).await?;
        let held = held.ok_or_else(|| StoreError::Operation {
            path: name.clone(),
            reason: "a name that was just made is in use".to_owned(),
        })?;
        Ok(Self { name, _held: held })
    }

    /// The name of a daemon that is gone, held so that nobody else takes over what it left; `None` while it lives, or while
    /// another one takes it over.
    pub async fn of_one_gone(locks: &dyn Exclusion, name: &str) -> Result<Option<Self>, ExclusionError> {
        let held = locks.attempt(&LockName::Daemon(name.to_owned())).await?;
        Ok(held.map(|held| Self { name: name.to_owned(), _held: held }))
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

#[cfg(test)]
mod tests {
    use super::super::exclusion::FileLocks;
    use super::*;

    #[tokio::test]
    async fn a_daemon_is_gone_when_its_lock_is_free() {
        let directory = tempfile::tempdir().unwrap();
        let locks = FileLocks::new(directory.path().to_owned());
        let alive = Presence::begin(&locks).await.unwrap();
        let name = alive.name().to_owned();
        assert!(Presence::of_one_gone(&locks, &name).await.unwrap().is_none());
        assert!(locks.are_others("another") && !locks.are_others(&name));
        drop(alive);
        let gone = Presence::of_one_gone(&locks, &name).await.unwrap();
        assert!(gone.is_some());
        assert!(Presence::of_one_gone(&locks, &name).await.unwrap().is_none(), "two take it over");
        assert!(Presence::of_one_gone(&locks, "../up").await.is_err());
        drop(gone);
        assert!(!locks.are_others("another"));
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn what_killed_daemons_left_is_removed_by_the_next_one() {
        let directory = tempfile::tempdir().unwrap();
        let locks = FileLocks::new(directory.path().to_owned());
        let alive = Presence::begin(&locks).await.unwrap();
        std::fs::write(directory.path().join("daemon-of-one-that-was-killed"), "").unwrap();
        let next = Presence::begin(&locks).await.unwrap();
        let mut left: Vec<_> =
            std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        let mut names = [alive.name(), next.name()];
        names.sort_unstable();
        assert_eq!(left, names);
    }
}
