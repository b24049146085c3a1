//! Whether, and to what, one connection is bound: free, bound once and for good by `initialize`, or from the start by a proof of who
//! calls.

use super::bounds::Bounds;
use super::proven::{Proven, RunPlace};
use super::shape;
use crate::error::CallError;
use cupola_protocol::Method;
use cupola_protocol::daemon::{Bind, Initialize};
use cupola_protocol::reach::Reach;
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::sync::{Arc, Mutex, PoisonError};

/// Whether, and to what, one connection is bound.
#[derive(Debug, Default)]
pub(crate) struct Binding {
    /// Who calls was proven: no call is without bounds, whatever else happens.
    proven: Option<Proven>,
    /// The connection carries this one message only, as an HTTP request does.
    is_one_shot: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    has_called: bool,
    /// A binding was asked for. While there is none, nothing may be called: a client that asked, and sent more without waiting
    /// for the answer, meant it to be bound.
    is_wanted: bool,
    bounds: Option<Arc<Bounds>>,
}

impl Binding {
    /// For a request that comes without its own connection.
    pub(crate) fn one_shot() -> Self {
        Self { is_one_shot: true, ..Self::default() }
    }

    /// For a caller who was proven; `is_one_shot`: for a request that comes without its own connection.
    pub(crate) fn proven(proven: Proven, is_one_shot: bool) -> Self {
        Self { proven: Some(proven), is_one_shot, ..Self::default() }
    }

    /// Does the connection end with this message?
    pub(crate) fn is_one_shot(&self) -> bool {
        self.is_one_shot
    }

    /// Counts one call of a proven caller.
    pub(crate) fn count(&self, is_turn: bool) -> Result<Option<RunPlace>, CallError> {
        self.proven.as_ref().map_or(Ok(None), |proven| proven.count(is_turn))
    }

    /// Takes note of a message, in its order, before anything is done for it: what it is bound to.
    pub(crate) fn enter(
        &self,
        method: &str,
        reach: Reach,
        params: Option<&str>,
    ) -> Result<Option<Arc<Bounds>>, CallError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if method == Initialize::NAME {
            state.is_wanted |= asks_to_bind(params);
        } else if state.is_wanted && state.bounds.is_none() {
            return Err(CallError::out_of_bounds(
                "initialize was to bind this connection and did not, so it may call nothing",
            )
            .hint("the answer to initialize says why; bind again, or open another connection"));
        } else {
            state.has_called = true;
        }
        match (&state.bounds, &self.proven) {
            (Some(bounds), _) => Ok(Some(Arc::clone(bounds))),
            (None, Some(proven)) => proven.bounds(reach, params).map(Some),
            (None, None) => Ok(None),
        }
    }

    /// A binding could not be made after all. As one is wanted, the connection calls nothing until it is bound.
    pub(crate) fn fail(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).bounds = None;
    }

    /// Binds, once. Every message after the one that is being handled is held to it.
    pub(crate) fn bind(&self, bind: Bind) -> Result<Arc<Bounds>, CallError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_one_shot {
            return Err(CallError::out_of_bounds("an HTTP request cannot be bound: each request stands alone")
                .hint("connect by the LSP or NDJSON framing, or name target and isolation in each call"));
        }
        if state.bounds.is_some() {
            return Err(CallError::out_of_bounds("this connection is bound already, for good"));
        }
        if state.has_called {
            return Err(CallError::out_of_bounds("a connection is bound before its first call, or not at all"));
        }
        let bounds = match &self.proven {
            Some(proven) => proven.narrowed(&bind)?,
            None => Bounds::new(bind),
        };
        Ok(Arc::clone(state.bounds.insert(Arc::new(bounds))))
    }
}

/// Do the parameters of an initialize ask for a binding, even one that cannot be granted or read?
fn asks_to_bind(params: Option<&str>) -> bool {
    #[derive(Deserialize)]
    struct Asks {
        bind: Option<IgnoredAny>,
    }
    match params {
        None | Some("null") => false,
        // What cannot be understood may have asked, and so may a member that is not known.
        Some(text) => {
            shape::check(Initialize::NAME, text).is_err()
                || serde_json::from_str::<Asks>(text).map_or(true, |asks| asks.bind.is_some())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cupola_protocol::error::ErrorKind;

    #[test]
    fn a_connection_that_was_to_be_bound_calls_nothing_until_it_is() {
        for asked in
            [r#"{"bind":{}}"#, r#"{"bind":1,"bind":2}"#, r#"["bind"]"#, r#"{"bind":{"target":7}}"#, r#"{"bnd":{}}"#]
        {
            let binding = Binding::default();
            assert!(binding.enter("initialize", Reach::Connection, Some(asked)).unwrap().is_none());
            let refused = binding.enter("invoke", Reach::Agent, None).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::OutOfBounds, "{asked}");
            let bind = r#"{"target":{"kind":"emulator"}}"#;
            binding.bind(serde_json::from_str(bind).unwrap()).unwrap();
            assert!(binding.enter("invoke", Reach::Agent, None).unwrap().is_some());
        }
        for unasked in [None, Some("null"), Some("{}"), Some(r#"{"bind":null,"clientInfo":{"name":"x"}}"#)] {
            let binding = Binding::default();
            binding.enter("initialize", Reach::Connection, unasked).unwrap();
            assert!(binding.enter("invoke", Reach::Agent, None).unwrap().is_none(), "{unasked:?}");
        }
    }
}
