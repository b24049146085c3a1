//! The leases that this process knows of, and how each stands: held, or to be given back. Knows nothing of the store.

use crate::sync::{Mutex, MutexGuard, Notify, PoisonError};
use std::collections::HashMap;
use std::hash::Hash;

/// How a lease stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Somebody has it.
    Held,
    /// As held; taken again under the same name if it is lost.
    Presence,
    /// Nobody has it any more, and the store does not know that yet.
    Released,
}

/// A name, and the token it was granted with.
pub(crate) type Key<Name> = (Name, String);

/// The leases of one process.
pub(crate) struct Table<Name> {
    leases: Mutex<HashMap<Key<Name>, State>>,
    /// Something is to be given back.
    released: Notify,
}

impl<Name> Default for Table<Name> {
    fn default() -> Self {
        Self { leases: Mutex::default(), released: Notify::new() }
    }
}

impl<Name: Eq + Hash + Clone> Table<Name> {
    fn leases(&self) -> MutexGuard<'_, HashMap<Key<Name>, State>> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A lease was granted.
    pub(crate) fn insert(&self, key: Key<Name>, state: State) {
        self.leases().insert(key, state);
    }

    /// Its holder does not need it any more.
    pub(crate) fn release(&self, key: &Key<Name>) {
        let mut leases = self.leases();
        if let Some(state) = leases.get_mut(key) {
            *state = State::Released;
        } else {
            // It was taken again, under another token.
            let again = leases.iter_mut().filter(|((name, _), state)| *name == key.0 && **state == State::Presence);
            again.for_each(|(_, state)| *state = State::Released);
        }
        drop(leases);
        self.released.notify_one();
    }

    /// Returns when there may be something to give back.
    pub(crate) async fn released(&self) {
        self.released.notified().await;
    }

    /// Takes out what is to be given back.
    pub(crate) fn take_released(&self) -> Vec<Key<Name>> {
        let mut leases = self.leases();
        leases.extract_if(|_, state| *state == State::Released).map(|(key, _)| key).collect()
    }

    /// All of them.
    pub(crate) fn all(&self) -> Vec<(Key<Name>, State)> {
        self.leases().iter().map(|(key, state)| (key.clone(), *state)).collect()
    }

    /// Does it still stand so?
    pub(crate) fn is(&self, key: &Key<Name>, state: State) -> bool {
        self.leases().get(key) == Some(&state)
    }

    /// It is lost: there is nothing to give back.
    pub(crate) fn lose(&self, key: &Key<Name>) {
        self.leases().remove(key);
    }

    /// A lost presence was taken again, under another token. Its holder may have gone meanwhile: then it is to be given back.
    pub(crate) fn replace(&self, key: &Key<Name>, token: String) {
        let mut leases = self.leases();
        let is_held = leases.remove(key) == Some(State::Presence);
        let state = if is_held { State::Presence } else { State::Released };
        leases.insert((key.0.clone(), token), state);
        drop(leases);
        if !is_held {
            self.released.notify_one();
        }
    }
}
