//! Which sessions are kept ready, and which was made ahead, per partition. In memory only: a daemon that ends keeps none warm.

use super::Partition;
use cupola_protocol::id::SessionId;
use cupola_protocol::warm::KeepWarm;
use dashmap::DashMap;
use std::time::SystemTime;
use tokio_util::sync::CancellationToken;

/// How many partitions may have a session kept ready. Each costs a sandbox at the service.
const MAX_READY: usize = 64;

/// The sessions of one daemon.
#[derive(Debug, Default)]
pub struct WarmSessions(DashMap<Partition, Ready>);

/// One partition's.
#[derive(Debug, Clone)]
pub struct Ready {
    /// The session that is kept warm.
    pub session: SessionId,
    /// How; `None` if only the next one is made ahead.
    pub keep: Option<KeepWarm>,
    /// How often the service was asked.
    pub asked: u64,
    /// When it was asked last.
    pub asked_at: Option<SystemTime>,
    /// Why that failed, if it did.
    pub error: Option<String>,
    /// The session that was made ahead.
    pub next: Option<SessionId>,
    /// Fires when another turn takes over.
    replaced: CancellationToken,
}

impl WarmSessions {
    /// Keeps a session ready from now on, in place of an earlier one of the partition. The token fires when that is over. `None`: too
    /// many are.
    pub fn begin(
        &self,
        partition: &Partition,
        session: &SessionId,
        keep: Option<KeepWarm>,
    ) -> Option<CancellationToken> {
        if self.0.len() >= MAX_READY && !self.0.contains_key(partition) {
            return None;
        }
        let replaced = CancellationToken::new();
        let ready = Ready {
            session: session.clone(),
            keep,
            asked: 0,
            asked_at: None,
            error: None,
            next: None,
            replaced: replaced.clone(),
        };
        match self.0.entry(partition.clone()) {
            dashmap::Entry::Occupied(mut known) => {
                known.get().replaced.cancel();
                let next = known.get().next.clone();
                known.insert(Ready { next, ..ready });
            }
            dashmap::Entry::Vacant(place) => {
                place.insert(ready);
            }
        }
        Some(replaced)
    }

    /// The service was asked for the session, and answered so.
    pub fn asked(&self, partition: &Partition, outcome: Result<(), String>) {
        if let Some(mut ready) = self.0.get_mut(partition) {
            ready.asked += 1;
            ready.asked_at = Some(SystemTime::now());
            ready.error = outcome.err();
        }
    }

    /// Is the next session not made yet?
    pub fn needs_next(&self, partition: &Partition) -> bool {
        self.0.get(partition).is_some_and(|ready| ready.next.is_none())
    }

    /// The next session has been made.
    pub fn put_next(&self, partition: &Partition, session: SessionId) {
        if let Some(mut ready) = self.0.get_mut(partition) {
            ready.next = Some(session);
        }
    }

    /// The session that was made ahead, for one call.
    pub fn take_next(&self, partition: &Partition) -> Option<SessionId> {
        self.0.get_mut(partition)?.next.take()
    }

    /// Its session is not kept warm any more. One that was made ahead stays.
    pub fn end(&self, partition: &Partition, token: &CancellationToken) {
        if token.is_cancelled() {
            return;
        }
        if let Some(mut ready) = self.0.get_mut(partition) {
            ready.keep = None;
        }
        self.0.remove_if(partition, |_, ready| ready.next.is_none());
    }

    /// All of them.
    pub fn all(&self) -> Vec<(Partition, Ready)> {
        self.0.iter().map(|entry| (entry.key().clone(), entry.value().clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::partition::{AgentKey, Owner};
    use cupola_protocol::isolation::{Isolation, IsolationModel};

    fn partition(number: usize) -> Partition {
        let agent = AgentKey::from_stored(format!("emulator/{number}"));
        let owner = Owner::new(&agent, "caller", IsolationModel::Keys, &Isolation::default());
        Partition { agent, owner, version: None }
    }

    #[test]
    fn a_later_turn_takes_over_and_the_next_session_is_given_once() {
        let (warm, partition) = (WarmSessions::default(), partition(0));
        let first = warm.begin(&partition, &"sess_000001".parse().unwrap(), None).unwrap();
        warm.put_next(&partition, "sess_000002".parse().unwrap());
        let second = warm.begin(&partition, &"sess_000001".parse().unwrap(), None).unwrap();
        assert!(first.is_cancelled() && !second.is_cancelled());
        warm.end(&partition, &first);
        assert!(!warm.needs_next(&partition), "the session that was made ahead is lost");
        assert_eq!(warm.take_next(&partition).unwrap().as_str(), "sess_000002");
        assert!(warm.take_next(&partition).is_none() && warm.needs_next(&partition));
        warm.end(&partition, &second);
        assert!(warm.all().is_empty());
    }

    #[test]
    fn no_more_are_kept_ready_than_the_bound() {
        let warm = WarmSessions::default();
        let session: SessionId = "sess_000001".parse().unwrap();
        for number in 0..MAX_READY {
            assert!(warm.begin(&partition(number), &session, None).is_some());
        }
        assert!(warm.begin(&partition(MAX_READY), &session, None).is_none());
        assert!(warm.begin(&partition(0), &session, None).is_some(), "it is kept ready already");
    }
}
