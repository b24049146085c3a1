//! Whose responses are: a caller may continue from its own ones only.
//!
//! The daemon remembers the latest that it passed on. Those of runs in the journal are also in saved state, for the next daemon and for
//! others on the same shared store: the store writes it with the end of the run, so no answer waits for it.

use super::store::{Store, StoreError};
use super::{AgentKey, Owner, Partition, fingerprint};
use cupola_protocol::id::ResponseId;
use std::collections::VecDeque;
use std::collections::hash_map::{Entry, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long saved state keeps whose a response is: as long as a question, which may be answered by its response.
pub const KEPT_FOR: Duration = super::questions::KEPT_FOR;

/// Most responses of one owner in saved state: more than one person asks for in a day, and so few that a caller without end does not
/// fill the store. The oldest is forgotten first.
pub const MAX_OF_OWNER: usize = 1_000;

/// Most responses whose owner is remembered here.
const MAX_RESPONSES: usize = 10_000;

/// What a response is remembered by: a hash of its agent and its id. The two themselves take several times the memory. At 128 bits nobody
/// finds an id that has the hash of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Name([u8; NAME_BYTES]);

/// Bytes of such a hash.
const NAME_BYTES: usize = 16;

impl Name {
    fn new(agent: &AgentKey, response: &ResponseId) -> Self {
        let mut name = [0; NAME_BYTES];
        name.copy_from_slice(&fingerprint(&[Some(agent.as_str()), Some(response.as_str())])[..NAME_BYTES]);
        Self(name)
    }
}

#[derive(Debug, Default)]
struct Kept {
    owners: HashMap<Name, Owner>,
    responses: VecDeque<Name>,
}

/// Whose the latest responses of this daemon are.
#[derive(Debug, Clone, Default)]
pub struct Responses {
    // Never held across an await.
    kept: Arc<Mutex<Kept>>,
}

impl Responses {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers whose a response is.
    pub fn answered_with(&self, partition: &Partition, response: &ResponseId) {
        let mut kept = self.kept();
        let name = Name::new(&partition.agent, response);
        // The first owner stays, as in saved state.
        if let Entry::Vacant(place) = kept.owners.entry(name) {
            place.insert(partition.owner);
            kept.responses.push_back(name);
            if kept.responses.len() > MAX_RESPONSES
                && let Some(oldest) = kept.responses.pop_front()
            {
                kept.owners.remove(&oldest);
            }
        }
    }

    /// Whose a response is, if that is remembered here.
    pub fn owner(&self, agent: &AgentKey, response: &ResponseId) -> Option<Owner> {
        self.kept().owners.get(&Name::new(agent, response)).copied()
    }

    /// Whose a response is, if that is remembered here or in saved state, which is asked only for a response that is not known here.
    pub async fn find_owner(
        &self,
        store: &dyn Store,
        agent: &AgentKey,
        response: &ResponseId,
    ) -> Result<Option<Owner>, StoreError> {
        match self.owner(agent, response) {
            None => store.response_owner(agent, response).await,
            known => Ok(known),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cupola_protocol::target::Target;

    #[test]
    fn the_owners_of_the_latest_responses_are_remembered() {
        let target: Target = serde_json::from_str(r#"{"kind":"emulator"}"#).unwrap();
        let mine = Partition { agent: AgentKey::new(&target), owner: Owner([1; 32]), version: None };
        let responses = Responses::default();
        for number in 0..=MAX_RESPONSES {
            responses.answered_with(&mine, &format!("r{number}").parse().unwrap());
        }
        let owner = |id: &str| responses.owner(&mine.agent, &id.parse().unwrap());
        assert_eq!((owner("r0"), owner("r1")), (None, Some(mine.owner)));
        let elsewhere = AgentKey::new(&serde_json::from_str(r#"{"kind":"emulator","agent":"other"}"#).unwrap());
        assert_eq!(responses.owner(&elsewhere, &"r1".parse().unwrap()), None, "another agent's, with the same id");
        responses.answered_with(&Partition { owner: Owner([2; 32]), ..mine.clone() }, &"r1".parse().unwrap());
        assert_eq!(owner("r1"), Some(mine.owner), "the first owner stays");
    }
}
