//! Calls of the daemon for one agent and one isolation. Each goes over a connection of its own, bound to the two before anything is
//! called on it. So a daemon that was replaced in between makes no difference, and no call can reach anything else.

use crate::failure::Failure;
use crate::hooks::Hooks;
use crate::line::call::{Event, encode, typed};
use crate::line::connect::DaemonFlags;
use crate::line::stream::Stream;
use crate::show::debug;
use crate::terminal;
use cupola_protocol::Method;
use cupola_protocol::daemon::Bind;
use cupola_protocol::isolation::Isolation;
use cupola_protocol::target::Target;
use serde_json::value::RawValue;

/// What this command calls, and nothing else.
const METHODS: [&str; 3] = ["invoke", "chats/*", "agents/*"];

/// An agent, and whose state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scope {
    pub(super) target: Target,
    pub(super) isolation: Isolation,
}

impl Scope {
    fn bind(&self) -> Bind {
        let methods = METHODS.iter().filter_map(|name| name.parse().ok()).collect();
        let (target, isolation) = (self.target.clone(), self.isolation.clone());
        Bind { target, isolation, methods: Some(methods), files: None }
    }
}

/// Makes calls.
pub(super) struct Calls {
    pub(super) daemon: DaemonFlags,
    pub(super) hooks: Hooks,
}

impl Calls {
    /// One call and its answer.
    pub(super) fn call<M: Method>(&self, scope: &Scope, params: M::Params) -> Result<M::Response, Failure> {
        typed::<M>(&self.stream::<M>(scope, params, |_| (), |_| Ok(()))?)
    }

    /// One call with its events. `on_sent` gets the connection each time that the call has been sent on it.
    pub(super) fn stream<M: Method>(
        &self,
        scope: &Scope,
        params: M::Params,
        on_sent: impl Fn(&Stream) + 'static,
        mut on_event: impl FnMut(&RawValue) -> Result<(), Failure>,
    ) -> Result<Box<RawValue>, Failure> {
        let call = encode::<M>(params)?;
        let mut connection = self.daemon.ask_bound(self.hooks.embedded, scope.bind(), call, on_sent)?;
        let answer = connection.receive(
            |Event { value, .. }| {
                if debug::show(value, terminal::stderr) { Ok(()) } else { on_event(value) }
            },
        );
        // What was lost on its way may have reached the agent.
        answer.map_err(|failure| if M::IS_TURN { failure.of_sent_turn() } else { failure })
    }
}
