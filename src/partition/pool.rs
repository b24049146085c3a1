//! Session pools: many users of one agent on few sessions. A user stays in one session; a new user gets the one with the fewest, and
//! another session is added once each has its share. Which sessions a pool has, and who is in which, is in the store.

use super::{AgentKey, Owner};
use cupola_protocol::id::SessionId;
use dashmap::DashSet;
use serde::Deserialize;
use std::num::{NonZeroU8, NonZeroU32};

/// The most sessions of a pool: the service's quota in its largest regions (contract section 14.1).
const MAX_SESSIONS: u8 = 50;

/// As many as the quota of the smallest region.
const DEFAULT_SESSIONS: NonZeroU8 = NonZeroU8::new(15).unwrap();

/// Few enough that users of a small team seldom wait for each other.
const DEFAULT_SHARE: NonZeroU32 = NonZeroU32::new(10).unwrap();

/// Sessions that are remembered as made: those of some pools.
const MAX_MADE: usize = 1000;

/// `[agents.NAME.pool]` of the configuration file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolSettings {
    /// The most sessions that the agent's users share.
    #[serde(default = "default_sessions")]
    pub sessions: NonZeroU8,
    /// How many users are in each session before another one is added.
    #[serde(default = "default_share")]
    pub share: NonZeroU32,
}

const fn default_sessions() -> NonZeroU8 {
    DEFAULT_SESSIONS
}

const fn default_share() -> NonZeroU32 {
    DEFAULT_SHARE
}

impl PoolSettings {
    /// Are they within bounds? The error is the rule.
    pub fn check(&self) -> Result<(), &'static str> {
        if self.sessions.get() > MAX_SESSIONS {
            return Err("sessions must be at most 50, the service's largest quota");
        }
        Ok(())
    }
}

/// A pool, as the store is asked about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// Whom its sessions belong to.
    pub owner: Owner,
    /// The most sessions that it may have.
    pub most: u32,
    /// How many partitions are in each session before another one is added.
    pub share: u32,
}

impl Pool {
    /// The same pool, which gets no further sessions.
    #[must_use]
    pub fn closed(&self) -> Self {
        Self { most: 0, ..self.clone() }
    }
}

/// Where a new partition goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// Into the session at this place of the list.
    Existing(usize),
    /// Into a new one.
    New,
    /// There is none, and none may be added.
    Nowhere,
}

/// Decides it, from how many partitions each session has. The shared store decides the same in its script.
pub fn choose(loads: &[u64], pool: &Pool) -> Choice {
    let least = loads.iter().enumerate().min_by_key(|(place, load)| (**load, *place));
    let may_grow = loads.len() < usize::try_from(pool.most).unwrap_or(usize::MAX);
    match least {
        Some((place, load)) if *load < u64::from(pool.share) || !may_grow => Choice::Existing(place),
        _ if may_grow => Choice::New,
        _ => Choice::Nowhere,
    }
}

/// Pooled sessions that the service is known to have, so that it is not asked for each new user. In memory only: a daemon that does not
/// know asks once, and is told that the session exists.
#[derive(Debug, Default)]
pub struct MadeSessions(DashSet<(AgentKey, SessionId)>);

impl MadeSessions {
    /// Is it?
    pub fn contains(&self, agent: &AgentKey, session: &SessionId) -> bool {
        self.0.contains(&(agent.clone(), session.clone()))
    }

    /// It is from now on.
    pub fn insert(&self, agent: &AgentKey, session: &SessionId) {
        if self.0.len() >= MAX_MADE {
            self.0.clear();
        }
        self.0.insert((agent.clone(), session.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_grows_when_every_session_has_its_share_and_only_to_its_bound() {
        let pool = Pool { owner: Owner([7; 32]), most: 3, share: 2 };
        for (loads, expected) in [
            (&[][..], Choice::New),
            (&[1], Choice::Existing(0)),
            (&[2], Choice::New),
            (&[2, 1], Choice::Existing(1)),
            (&[3, 2], Choice::New),
            (&[2, 2, 2], Choice::Existing(0)),
            (&[9, 8, 8], Choice::Existing(1)),
        ] {
            assert_eq!(choose(loads, &pool), expected, "{loads:?}");
        }
        assert_eq!(choose(&[9, 8], &pool.closed()), Choice::Existing(1));
        assert_eq!(choose(&[], &pool.closed()), Choice::Nowhere);
    }

    #[test]
    fn settings_are_within_the_quota() {
        let settings = |text: &str| toml::from_str::<PoolSettings>(text).map(|settings| settings.check());
        assert_eq!(settings("").unwrap(), Ok(()));
        assert_eq!(settings("sessions = 50\nshare = 200").unwrap(), Ok(()));
        assert!(settings("sessions = 51").unwrap().is_err());
        for wrong in ["sessions = 0", "share = 0", "users = 3"] {
            assert!(settings(wrong).is_err(), "{wrong}");
        }
    }
}
