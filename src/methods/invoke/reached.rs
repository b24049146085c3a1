//! Finding a run at the service that was begun before: the agent, the same isolation, and the response by its id.

use super::attempt::Taken;
use super::hold::{SessionHold, SessionKey};
use crate::daemon::Daemon;
use crate::error::CallError;
use crate::foundry::{Extras, Observer, Reply};
use crate::partition::journal::Entry;
use crate::partition::locks::Waiter;
use crate::rpc::scope::{Confirmed, Scope};
use crate::telemetry;
use cupola_protocol::error::ErrorKind;
use cupola_protocol::invoke::AgentProtocol;
use std::time::Duration;

/// The first pause before the service is tried again, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// A place in the queue of a session.
pub(super) type SessionPlace = Waiter<SessionKey>;

/// Finds the run at the service. Tries for as long as the service is away.
pub(super) async fn reach(
    daemon: &Daemon,
    entry: &Entry,
    place: Option<SessionPlace>,
    observer: Observer,
    turn: Option<&telemetry::Turn>,
) -> Result<Taken, CallError> {
    let lock = match place {
        Some(place) => Some(SessionHold::Lock(place.wait().await?)),
        None => None,
    };
    let (Some(reach), Some(response)) = (&entry.reach, entry.facts.response.clone()) else {
        return Err(CallError::internal("a run without its response was taken up"));
    };
    let mut pause = FIRST_PAUSE;
    let scope = loop {
        let extras = Extras::of_run(&observer, turn.and_then(telemetry::Turn::traceparent));
        match Scope::with(daemon, &reach.target, &reach.isolation, extras, Confirmed::Recently).await {
            Ok(scope) => break scope,
            Err(error) if is_passing(error.kind()) => {
                tracing::debug!(%error, "a run cannot be reached; trying again");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(MAX_PAUSE);
            }
            Err(error) => return Err(error),
        }
    };
    if scope.partition != entry.partition {
        return Err(CallError::new(
            ErrorKind::ForeignSession,
            "the run belongs to another account than the one that is signed in now, or the agent was redeployed",
        ));
    }
    let mut reply = match entry.facts.protocol {
        AgentProtocol::Invocations => scope.agent.resume_invocation(&scope.wire, response, entry.facts.session.clone()),
        _ => scope.agent.resume_response(&scope.wire, response),
    };
    reply.version.clone_from(&entry.facts.version);
    Ok(taken(reply, entry, lock))
}

fn taken(reply: Reply, entry: &Entry, session_hold: Option<SessionHold>) -> Taken {
    Taken {
        reply,
        model: entry.facts.model,
        session: entry.facts.session.clone(),
        conversation: entry.facts.conversation.clone(),
        selected_version: None,
        notices: Vec::new(),
        partition: entry.partition.clone(),
        session_hold,
    }
}

/// Can the service be reached later, after a failure of this kind?
const fn is_passing(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::ConnectionFailed
            | ErrorKind::AuthenticationFailed
            | ErrorKind::TimedOut
            | ErrorKind::ServiceError
            | ErrorKind::ServiceUnavailable
            | ErrorKind::RateLimited
            | ErrorKind::ProxyTimeout
    )
}
