//! Calls for one agent and one isolation. Each goes over a connection that was bound to the two before anything was called on it: a
//! daemon that was replaced in between makes no difference, and no call can reach anything else.

use super::Hooks;
use crate::failure::Failure;
use crate::line::bound::BoundCalls;
use crate::line::call::typed;
use crate::line::connect::DaemonFlags;
use crate::line::stop::Stop;
use crate::show::debug;
use crate::{repeated, terminal};
use cupola_protocol::Method;
use cupola_protocol::daemon::Bind;
use cupola_protocol::error::{ErrorKind, Turn};
use cupola_protocol::id::RunId;
use cupola_protocol::invoke::{Invoke, NumberedEvent};
use cupola_protocol::isolation::Isolation;
use cupola_protocol::target::Target;
use cupola_protocol::wording::Client;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use std::ops::ControlFlow;
use std::sync::Arc;

/// The token of the events of the one call on a connection.
const TOKEN: u64 = 1;

/// Makes calls for one agent under one isolation.
#[derive(Debug, Clone)]
pub struct BoundLine {
    calls: BoundCalls,
    bind: Bind,
    shows_requests: bool,
}

impl BoundLine {
    /// Calls for this agent and this isolation. `shows_requests`: as `--debug` shows them, on standard error.
    pub(crate) fn new(
        daemon: &DaemonFlags,
        hooks: Hooks,
        target: Target,
        isolation: Isolation,
        shows_requests: bool,
    ) -> Self {
        let bind = Bind { target, isolation, methods: Some(Vec::new()), files: None };
        Self { calls: BoundCalls::new(daemon, hooks.embedded), bind, shows_requests }
    }

    /// May call these methods and no other; none until this is called. The daemon refuses the others.
    #[must_use]
    pub fn allowing(mut self, methods: impl IntoIterator<Item = &'static str>) -> Self {
        self.bind.methods = Some(methods.into_iter().filter_map(|name| name.parse().ok()).collect());
        self
    }

    /// One call. `arguments` are its parameters without the target and the isolation, which are this line's whatever the arguments
    /// say. With `on_event`, the call's events come first.
    pub fn call<M: Method>(
        &self,
        arguments: Map<String, Value>,
        stop: &Arc<Stop>,
        mut on_event: Option<&mut dyn FnMut(&RawValue)>,
    ) -> Result<M::Response, CallFailure> {
        let answer = self.exchange::<M>(arguments, stop, on_event.is_some(), |event| {
            if let Some(on_event) = &mut on_event {
                on_event(event);
            }
            ControlFlow::Continue(())
        })?;
        answer.ok_or_else(|| CallFailure::new(ErrorKind::InternalError, "the daemon sent no answer".to_owned(), None))
    }

    /// Begins a run that stays when this call leaves, which it does once the run has begun. The error says why it has not.
    pub fn begin(&self, mut arguments: Map<String, Value>, stop: &Arc<Stop>) -> Result<RunId, CallFailure> {
        arguments.insert("detach".to_owned(), json!(true));
        let mut run = None;
        let answer = self.exchange::<Invoke>(arguments, stop, true, |event| {
            run = serde_json::from_str::<NumberedEvent>(event.get()).ok().map(|event| event.run_id);
            if run.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        let run = answer.map(|answer| answer.run_id).or(run);
        run.ok_or_else(|| CallFailure::new(ErrorKind::InternalError, "the run has no id".to_owned(), None))
    }

    /// Sends a call and passes its events on. Returns without an answer when `on_event` ends the call.
    fn exchange<M: Method>(
        &self,
        mut arguments: Map<String, Value>,
        stop: &Arc<Stop>,
        has_events: bool,
        on_event: impl FnMut(&RawValue) -> ControlFlow<()>,
    ) -> Result<Option<M::Response>, CallFailure> {
        arguments.insert("target".to_owned(), json!(self.bind.target));
        arguments.insert("isolation".to_owned(), json!(self.bind.isolation));
        if self.shows_requests {
            arguments.insert("debug".to_owned(), json!(true));
        }
        if self.shows_requests || has_events {
            arguments.insert("partialResultToken".to_owned(), json!(TOKEN));
        }
        let params = serde_json::from_value(Value::Object(arguments))
            .map_err(|error| CallFailure::new(ErrorKind::InvalidParams, error.to_string(), None))?;
        if stop.is_wanted() {
            return Err(CallFailure::new(ErrorKind::Cancelled, "the call was cancelled".to_owned(), None));
        }
        self.send::<M>(params, stop, on_event).map_err(CallFailure::from)
    }

    fn send<M: Method>(
        &self,
        params: M::Params,
        stop: &Arc<Stop>,
        mut on_event: impl FnMut(&RawValue) -> ControlFlow<()>,
    ) -> Result<Option<M::Response>, Failure> {
        let answer = self.calls.call::<M>(&self.bind, params, None, stop, |event, ahead| {
            // What takes the event may wait for the program at the other end.
            ahead.begin();
            let is_shown = debug::show(event, terminal::stderr);
            Ok(if is_shown { ControlFlow::Continue(()) } else { on_event(event) })
        })?;
        answer.map(|answer| typed::<M>(&answer)).transpose()
    }
}

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallFailure {
    /// The kind.
    pub kind: ErrorKind,
    /// What happened.
    pub message: String,
    /// What to do next, in the words of `cupola mcp`.
    pub advice: Option<String>,
    /// Of a call that sends a turn: whether it ran.
    pub turn: Option<Turn>,
}

impl CallFailure {
    fn new(kind: ErrorKind, message: String, advice: Option<&str>) -> Self {
        let worded = |line: &str| repeated::complete(&Client::Mcp.word(line)).into_owned();
        let advice = advice.map(|advice| advice.lines().map(worded).collect::<Vec<_>>().join("\n"));
        Self { kind, message, advice, turn: None }
    }
}

impl From<Failure> for CallFailure {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Call(error) => match error.data {
                Some(data) => Self { turn: data.turn, ..Self::new(data.kind, error.message, data.hint.as_deref()) },
                // Not an error of Cupola's daemon.
                None => Self::new(ErrorKind::InternalError, error.message, None),
            },
            Failure::Usage { message, hint } => Self::new(ErrorKind::InvalidParams, message, hint.as_deref()),
            Failure::Daemon { message, hint } => Self::new(ErrorKind::DaemonGone, message, hint.as_deref()),
            Failure::Output(error) => Self::new(ErrorKind::InternalError, error.to_string(), None),
            Failure::ReaderGone => Self::new(ErrorKind::InternalError, "the output is closed".to_owned(), None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_keeps_its_kind_and_says_what_to_do() {
        let worded =
            CallFailure::from(Failure::usage_hint("wrong", "`cupola sessions list` shows them; use --new-session"));
        assert_eq!(worded.advice.as_deref(), Some("the tool sessions_list shows them; use `new_session`"));
        let failures =
            [Failure::usage_hint("wrong", "do this"), Failure::daemon_hint("gone", "do this"), Failure::ReaderGone];
        let failures = failures.map(CallFailure::from);
        let advice = failures.each_ref().map(|failure| failure.advice.as_deref());
        assert_eq!(advice, [Some("do this"), Some("do this"), None]);
        assert_eq!(failures[1].kind, ErrorKind::DaemonGone);
        let sent = CallFailure::from(Failure::daemon("gone").of_sent_turn());
        assert_eq!(sent.turn, Some(Turn::MayHaveRun));
    }
}
