//! Calls of the daemon for one agent and one isolation. Each goes over a connection that was bound to the two before anything was
//! called on it. So a daemon that was replaced in between makes no difference, and no call can reach anything else.

use crate::failure::Failure;
use crate::hooks::Hooks;
use crate::line::ahead::Ahead;
use crate::line::bound::{Beside, BoundCalls};
use crate::line::call::typed;
use crate::line::connect::DaemonFlags;
use crate::line::stop::Stop;
use crate::show::debug;
use crate::terminal;
use cupola_protocol::Method;
use cupola_protocol::daemon::Bind;
use cupola_protocol::isolation::Isolation;
use cupola_protocol::target::Target;
use serde_json::value::RawValue;
use std::ops::ControlFlow;
use std::sync::Arc;

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
pub(super) struct Calls(BoundCalls);

impl Calls {
    pub(super) fn new(daemon: &DaemonFlags, hooks: Hooks) -> Self {
        Self(BoundCalls::new(daemon, hooks.embedded))
    }

    /// One call and its answer.
    pub(super) fn call<M: Method>(&self, scope: &Scope, params: M::Params) -> Result<M::Response, Failure> {
        let answer =
            self.0.call::<M>(&scope.bind(), params, None, &Arc::default(), |_, _| Ok(ControlFlow::Continue(())))?;
        typed::<M>(answer.as_deref().unwrap_or(RawValue::NULL))
    }

    /// One call with its events, until `stop` ends it. `on_event` also gets what reads ahead, and begins that before it waits for the
    /// editor. `beside` has ended, too, when this returns, however it ended.
    pub(super) fn stream<M: Method>(
        &self,
        scope: &Scope,
        params: M::Params,
        beside: Option<Beside>,
        stop: &Arc<Stop>,
        mut on_event: impl FnMut(&RawValue, &mut Ahead),
    ) -> Result<M::Response, Failure> {
        let answer = self.0.call::<M>(&scope.bind(), params, beside, stop, |event, ahead| {
            let shown = || {
                ahead.begin();
                terminal::stderr()
            };
            if !debug::show(event, shown) {
                on_event(event, ahead);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        typed::<M>(answer.as_deref().unwrap_or(RawValue::NULL))
    }
}
