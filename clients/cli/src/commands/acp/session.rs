//! An ACP session: a chat of the isolation that this command is bound to, and the turn under way in it.

use super::calls::Scope;
use super::problem::invalid;
use crate::line::stop::Stop;
use agent_client_protocol_schema::v1::{Error, SessionId};
use cupola_protocol::chats::ChatDetails;
use cupola_protocol::isolation::{ChatLabel, Isolation};
use cupola_protocol::target::{ServiceName, Target};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// What the labels of sessions begin with: other clients' chats are not sessions.
const LABEL: &str = "acp/";

/// A session that is open in this process.
pub(super) struct Session {
    pub(super) id: SessionId,
    /// The agent before the person chose one, and the isolation with the session's label.
    pub(super) scope: Scope,
    pub(super) state: Mutex<State>,
    ended: Condvar,
}

/// What is not saved yet of a session: its details, and the second in which it is used.
pub(super) struct Unsaved((ChatDetails, u64));

impl Unsaved {
    pub(super) fn details(&self) -> &ChatDetails {
        &self.0.0
    }
}

/// What changes in a session.
#[derive(Default)]
pub(super) struct State {
    pub(super) details: ChatDetails,
    turn: Option<Arc<Stop>>,
    /// What was saved last, and when.
    saved: Option<(ChatDetails, u64)>,
}

impl Session {
    /// A session with this id, in `base`'s isolation.
    pub(super) fn new(id: SessionId, base: &Scope, details: ChatDetails) -> Result<Self, Error> {
        let scope = Scope { target: base.target.clone(), isolation: within(&base.isolation, &id)? };
        let state = Mutex::new(State { details, turn: None, saved: None });
        Ok(Self { id, scope, state, ended: Condvar::new() })
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The agent that the person chose, and whose state.
    pub(super) fn chosen(&self) -> Scope {
        Scope { target: chosen(&self.scope.target, &self.state().details), isolation: self.scope.isolation.clone() }
    }

    /// What is to be saved: its details, and that it is used now. None if that is saved already, because the daemon keeps whole seconds.
    pub(super) fn unsaved(&self) -> Option<Unsaved> {
        let state = self.state();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let unsaved = (state.details.clone(), now);
        (state.saved.as_ref() != Some(&unsaved)).then_some(Unsaved(unsaved))
    }

    /// That was saved.
    pub(super) fn is_saved(&self, Unsaved(saved): Unsaved) {
        self.state().saved = Some(saved);
    }

    /// Begins a turn; there is one at a time.
    pub(super) fn begin(&self) -> Result<Arc<Stop>, Error> {
        let mut state = self.state();
        if state.turn.is_some() {
            return Err(busy());
        }
        let stop = Arc::new(Stop::default());
        state.turn = Some(Arc::clone(&stop));
        Ok(stop)
    }

    /// Is a turn under way?
    pub(super) fn is_busy(&self) -> bool {
        self.state().turn.is_some()
    }

    /// The turn has ended.
    pub(super) fn end(&self) {
        self.state().turn = None;
        self.ended.notify_all();
    }

    /// Cancels the turn, if one is under way.
    pub(super) fn cancel(&self) {
        let turn = self.state().turn.clone();
        if let Some(turn) = turn {
            turn.now();
        }
    }

    /// Cancels the turn, and waits until it has ended.
    pub(super) fn cancel_and_wait(&self) {
        self.cancel();
        let mut state = self.state();
        while state.turn.is_some() {
            state = self.ended.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// There is one turn at a time.
pub(super) fn busy() -> Error {
    invalid("a prompt of this session is under way: wait for it, or cancel it")
}

/// The isolation of a session.
fn within(base: &Isolation, id: &SessionId) -> Result<Isolation, Error> {
    let label = match &base.chat {
        Some(chat) => format!("{chat}/{LABEL}{id}"),
        None => format!("{LABEL}{id}"),
    };
    let chat = label.parse().map_err(|_| invalid("the session id is not one of this agent's"))?;
    Ok(Isolation { chat: Some(chat), ..base.clone() })
}

/// The session that a chat of this isolation is, if it is one.
pub(super) fn id_of(base: &Isolation, label: &ChatLabel) -> Option<SessionId> {
    let rest = match &base.chat {
        Some(chat) => label.as_str().strip_prefix(chat.as_str())?.strip_prefix('/')?,
        None => label.as_str(),
    };
    rest.strip_prefix(LABEL).map(|id| SessionId::new(id.to_owned()))
}

/// The target with what the person chose in its place.
pub(super) fn chosen(target: &Target, details: &ChatDetails) -> Target {
    let mut target = target.clone();
    if let Some(name) = &details.agent {
        match &mut target {
            Target::Emulator { agent, .. } | Target::Project { agent, .. } => *agent = name.clone(),
            Target::Directory(directory) => directory.agent = name.as_str().parse::<ServiceName>().ok(),
            Target::Gateway { agent } => *agent = Some(name.clone()),
            // They name one agent.
            Target::AgentEndpoint { .. } | Target::Local { .. } => {}
        }
    }
    match &details.version {
        Some(version) => target.at_version(version.clone()),
        None => target,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_a_chat_below_the_isolation_it_was_made_in() {
        for base in [r#"{"userKey":"acme"}"#, r#"{"userKey":"acme","chat":"work"}"#] {
            let base: Isolation = serde_json::from_str(base).unwrap();
            let id = SessionId::new("one");
            let isolation = within(&base, &id).unwrap();
            assert_eq!(isolation.user_key, base.user_key);
            assert_eq!(id_of(&base, isolation.chat.as_ref().unwrap()), Some(id));
        }
        let work: Isolation = serde_json::from_str(r#"{"chat":"work"}"#).unwrap();
        for other in ["work", "acp/one", "workshop/acp/one", "play/acp/one"] {
            assert_eq!(id_of(&work, &other.parse().unwrap()), None, "{other}");
        }
        assert!(within(&work, &SessionId::new("x".repeat(200))).is_err());
    }
}
