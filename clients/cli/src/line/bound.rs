//! Calls on bound connections. Each connection reaches one agent under one isolation, whichever daemon answers, because it is bound to
//! the two before anything is called on it. It is kept for the next call of the same binding.

use super::ahead::Ahead;
use super::call::{BESIDE, CALL, encode_as};
use super::connect::{DaemonFlags, Embedded};
use super::kept::Kept;
use super::stop::Stop;
use crate::failure::Failure;
use cupola_protocol::Method;
use cupola_protocol::daemon::Bind;
use serde_json::value::RawValue;
use std::ops::ControlFlow;
use std::sync::Arc;

/// Makes calls on bound connections. Clones share the connections that are kept.
#[derive(Debug, Clone)]
pub(crate) struct BoundCalls {
    daemon: DaemonFlags,
    embedded: Embedded,
    kept: Kept,
}

/// What the connection of a call is bound to, and how the call ends early.
#[derive(Clone)]
pub(super) struct Binding {
    pub(super) bind: Bind,
    pub(super) kept: Kept,
    pub(super) stop: Arc<Stop>,
    /// A second call goes ahead of the call itself; its answer is waited for as well.
    pub(super) has_beside: bool,
}

/// A call that is made beside another one. Nobody reads its answer.
pub(crate) struct Beside(Vec<u8>);

impl Beside {
    pub(crate) fn new<M: Method>(params: M::Params) -> Result<Self, Failure> {
        encode_as::<M>(BESIDE, params).map(Self)
    }
}

impl BoundCalls {
    pub(crate) fn new(daemon: &DaemonFlags, embedded: Embedded) -> Self {
        Self { daemon: daemon.clone(), embedded, kept: Kept::default() }
    }

    /// One call, and its answer; none when `on_event` ends the call. `on_event` also gets what reads ahead, which it has to begin before
    /// it waits for anything.
    ///
    /// `beside` has ended, too, when this returns, however it ended. It goes ahead of the call: a daemon that leaves the call unread has
    /// not begun it, whatever it has read before.
    pub(crate) fn call<M: Method>(
        &self,
        bind: &Bind,
        params: M::Params,
        beside: Option<Beside>,
        stop: &Arc<Stop>,
        on_event: impl FnMut(&RawValue, &mut Ahead) -> Result<ControlFlow<()>, Failure>,
    ) -> Result<Option<Box<RawValue>>, Failure> {
        let has_beside = beside.is_some();
        let mut bytes = beside.map(|beside| beside.0).unwrap_or_default();
        bytes.extend(encode_as::<M>(CALL, params)?);
        let binding = Binding { bind: bind.clone(), kept: self.kept.clone(), stop: Arc::clone(stop), has_beside };
        let mut connection = self.daemon.ask_bound(self.embedded, binding, bytes)?;
        let answer = connection.receive_each(on_event);
        // From here on nothing is cancelled on this connection. What was cancelled until now may still be in the daemon's mind.
        let is_free = stop.has_ended();
        // A daemon inside this process and a line to a gateway are there for one call.
        if is_free && matches!(answer, Ok(Some(_))) && self.daemon.is_resident() {
            self.kept.keep(bind, connection);
        }
        // What was lost on its way may have reached the agent.
        answer.map_err(|failure| if M::IS_TURN { failure.of_sent_turn() } else { failure })
    }
}
