//! How far a method reaches, and what a call names: what a bound connection is held to (see [`crate::daemon::Bind`]).

use crate::id::{ConversationId, ResponseId, SessionId};
use crate::isolation::Isolation;
use crate::target::Target;

/// How far a method reaches. A bound connection may call it or not by this, before anything else is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// The connection, and what every client may know. Always allowed.
    Connection,
    /// One agent under one isolation, both named by the call. Allowed for the ones the connection is bound to.
    Agent,
    /// As [`Reach::Agent`], and files of this machine. Allowed only where the binding names the method by its full name, and a
    /// directory for local files: then below that directory.
    LocalFiles,
    /// Resources whose owner the daemon remembers, by their ids. Allowed; the handler shows a bound connection only its own.
    Owned,
    /// The whole daemon, or a whole project. Allowed only where the binding names the method.
    Daemon,
    /// More than a connection can be bound to. Never allowed on a bound connection.
    Unbounded,
}

/// Whose state a call names. The ids name resources that exist; an id for a new resource is not among them.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Subject<'a> {
    /// Which agent.
    pub target: Option<&'a Target>,
    /// Whose state.
    pub isolation: Option<&'a Isolation>,
    /// A session by its id.
    pub session_id: Option<&'a SessionId>,
    /// A conversation by its id.
    pub conversation_id: Option<&'a ConversationId>,
    /// A response by its id.
    pub response_id: Option<&'a ResponseId>,
    /// Whether the call asks for a session of another partition.
    pub allow_shared_session: bool,
    /// Whether it carries a complete request for the service, which may name anything.
    pub is_whole_request: bool,
    /// Whether it asks for another version of the agent than the target does.
    pub overrides_version: bool,
    /// Whether it asks for the other agents beside the target, too.
    pub is_any_agent: bool,
}

impl<'a> Subject<'a> {
    /// An agent under an isolation, nothing in it by id.
    pub fn of(target: &'a Target, isolation: &'a Isolation) -> Self {
        Self { target: Some(target), isolation: Some(isolation), ..Self::default() }
    }

    /// An agent, for any caller.
    pub fn agent(target: &'a Target) -> Self {
        Self { target: Some(target), ..Self::default() }
    }
}
