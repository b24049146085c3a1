//! What a call may choose for a session that is busy, and a run's hold on its session.

use crate::error::CallError;
use crate::partition::AgentKey;
use crate::partition::locks::{Lock, Waiter};
use crate::partition::store::Lease;
use cupola_protocol::id::SessionId;
use cupola_protocol::invoke::{AgentProtocol, IfBusy, InvokeParams};
use std::convert::Infallible;

/// What a session is called among the locks.
pub(super) type SessionKey = (AgentKey, SessionId);

/// A run's hold on its session, until the run ends.
pub(super) enum SessionHold {
    /// No other call uses the session.
    Lock(Lock<SessionKey>),
    /// The run was sent beside other calls. Those that come later wait for it, too.
    Place(Waiter<SessionKey>),
}

impl SessionHold {
    /// The lease that it is, where it can be lost.
    pub(super) fn lease(&self) -> Option<&Lease> {
        match self {
            Self::Lock(lock) => lock.lease(),
            Self::Place(_) => None,
        }
    }

    /// Holds it until this is dropped. A place becomes the lock in its turn, so that calls of other processes wait, too.
    pub(super) async fn keep(hold: Option<Self>) -> Infallible {
        let _lock = match hold {
            None => None,
            Some(Self::Lock(lock)) => Some(lock),
            Some(Self::Place(place)) => place.wait().await.ok(),
        };
        std::future::pending().await
    }
}

/// May the call choose this for a busy session, in this protocol?
pub(super) fn check(params: &InvokeParams, protocol: AgentProtocol) -> Result<(), CallError> {
    let can_steer = matches!(protocol, AgentProtocol::Responses | AgentProtocol::Invocations);
    if params.if_busy != IfBusy::Steer || can_steer {
        return Ok(());
    }
    let message = format!("ifBusy: {} cannot be steered; only responses and invocations can", protocol.name());
    Err(CallError::invalid_params(message).hint("leave ifBusy (--if-busy) out to wait for the other call"))
}
