//! What a connection may reach whose caller was proven (`cupola gateway`): the agents that were granted, by the names of the gateway's
//! configuration, each under the one isolation that follows from the proof.
//!
//! Every call of a proven caller is held to the [`Bounds`] of one agent.

use super::bounds::{Bounds, not_by_name};
use crate::error::CallError;
use cupola_protocol::daemon::Bind;
use cupola_protocol::reach::Reach;
use cupola_protocol::target::{AgentName, Target};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::OwnedSemaphorePermit;

/// A caller's place among its runs. It is free again when the last copy is dropped.
pub(crate) type RunPlace = Arc<OwnedSemaphorePermit>;

/// Counts what a caller does, and refuses what goes beyond its limits.
pub(crate) trait Meter: fmt::Debug + Send + Sync {
    /// Counts one call. `is_turn`: it begins a run, whose place is given.
    fn count(&self, is_turn: bool) -> Result<Option<RunPlace>, CallError>;
}

/// What one proven caller may reach.
#[derive(Debug, Clone)]
pub(crate) struct Proven {
    /// Never empty.
    agents: Arc<BTreeMap<AgentName, Arc<Bounds>>>,
    /// Those of them that this connection has called. A caller's connections share nothing that calls wait for.
    called: Arc<Mutex<BTreeMap<AgentName, Arc<Bounds>>>>,
    /// The agent that the connection's address names.
    named: Option<AgentName>,
    meter: Arc<dyn Meter>,
}

impl Proven {
    /// `None` without an agent, or if `named` is not among them: nothing can be called then.
    pub(crate) fn new(
        agents: Arc<BTreeMap<AgentName, Arc<Bounds>>>,
        named: Option<AgentName>,
        meter: Arc<dyn Meter>,
    ) -> Option<Self> {
        let is_served = named.as_ref().map_or(!agents.is_empty(), |name| agents.contains_key(name));
        is_served.then(|| Self { agents, called: Arc::default(), named, meter })
    }

    /// Counts one call.
    pub(super) fn count(&self, is_turn: bool) -> Result<Option<RunPlace>, CallError> {
        self.meter.count(is_turn)
    }

    /// The bounds that a call is held to.
    pub(super) fn bounds(&self, reach: Reach, params: Option<&str>) -> Result<Arc<Bounds>, CallError> {
        #[derive(Deserialize)]
        struct Names {
            target: Option<Target>,
        }
        if reach == Reach::Connection {
            // It works on no agent.
            return self.agents.values().next().cloned().ok_or_else(not_by_name);
        }
        let target = match params {
            None | Some("null") => None,
            // What is wrong with the parameters besides is said later, by the method that they are for.
            Some(text) if text.starts_with('{') => {
                let names: Names = serde_json::from_str(text).map_err(|error| {
                    CallError::invalid_params(format!("the parameters cannot be read: {error}"))
                        .hint("target must be {\"kind\": \"gateway\", \"agent\": NAME}, or be left out")
                })?;
                names.target
            }
            Some(_) => None,
        };
        self.agent(target.as_ref())
    }

    /// The bounds that a connection asks to be narrowed to.
    pub(super) fn narrowed(&self, bind: &Bind) -> Result<Bounds, CallError> {
        let agent = self.agent(Some(&bind.target))?;
        if bind.files.is_some() {
            return Err(CallError::out_of_bounds("a gateway has no files of yours")
                .hint("leave files out, and use files/read and files/write"));
        }
        agent.narrowed(&bind.isolation, bind.methods.clone())
    }

    fn agent(&self, target: Option<&Target>) -> Result<Arc<Bounds>, CallError> {
        let asked = match target {
            None | Some(Target::Gateway { agent: None }) => None,
            Some(Target::Gateway { agent }) => agent.as_ref(),
            Some(_) => return Err(not_by_name()),
        };
        let name = match (asked, &self.named) {
            (Some(asked), Some(named)) if asked != named => return Err(not_by_name()),
            (Some(name), _) | (None, Some(name)) => name,
            (None, None) => {
                let mut agents = self.agents.iter();
                match (agents.next(), agents.next()) {
                    (Some((only, _)), None) => only,
                    _ => return Err(self.not_chosen()),
                }
            }
        };
        // The same answer whether it does not exist or is not granted.
        let granted = self.agents.get(name).ok_or_else(not_by_name)?;
        let mut called = self.called.lock().unwrap_or_else(PoisonError::into_inner);
        let bounds = called.entry(name.clone()).or_insert_with(|| Arc::new(granted.of_connection()));
        Ok(Arc::clone(bounds))
    }

    fn not_chosen(&self) -> CallError {
        let mut error = CallError::new(
            cupola_protocol::error::ErrorKind::AgentNotChosen,
            "the gateway has several agents for you, and the call names none",
        )
        .hint("name one as the call's target, or in the URL: /agents/NAME/rpc");
        error.data.choices = self.agents.keys().map(ToString::to_string).collect();
        error
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cupola_protocol::error::ErrorKind;
    use cupola_protocol::isolation::Isolation;

    #[derive(Debug)]
    struct NoLimit;

    impl Meter for NoLimit {
        fn count(&self, _is_turn: bool) -> Result<Option<RunPlace>, CallError> {
            Ok(None)
        }
    }

    fn proven(agents: &[&str], named: Option<&str>) -> Option<Proven> {
        let isolation: Isolation = serde_json::from_str(r#"{"userKey":"ada"}"#).unwrap();
        let bounds = |name: &&str| {
            let target: Target = serde_json::from_str(&format!(r#"{{"kind":"emulator","agent":"{name}"}}"#)).unwrap();
            let name: AgentName = name.parse().unwrap();
            (name.clone(), Arc::new(Bounds::proven(name, target, isolation.clone(), None)))
        };
        Proven::new(
            Arc::new(agents.iter().map(bounds).collect()),
            named.map(|name| name.parse().unwrap()),
            Arc::new(NoLimit),
        )
    }

    fn kind(proven: &Proven, params: Option<&str>) -> Option<ErrorKind> {
        proven.bounds(Reach::Agent, params).err().map(|error| error.kind())
    }

    #[test]
    fn a_call_gets_the_bounds_of_the_agent_that_it_or_its_address_names() {
        let (one, two) = (proven(&["a"], None).unwrap(), proven(&["a", "b"], None).unwrap());
        let at_b = proven(&["a", "b"], Some("b")).unwrap();
        let named = |name: &str| format!(r#"{{"target":{{"kind":"gateway","agent":"{name}"}}}}"#);
        for (proven, params, expected) in [
            (&one, None, None),
            (&one, Some("{}".to_owned()), None),
            (&one, Some(r#"{"target":{"kind":"gateway"}}"#.to_owned()), None),
            (&one, Some(named("a")), None),
            (&one, Some(named("b")), Some(ErrorKind::OutOfBounds)),
            (&two, None, Some(ErrorKind::AgentNotChosen)),
            (&two, Some(named("b")), None),
            (&at_b, None, None),
            (&at_b, Some(named("b")), None),
            (&at_b, Some(named("a")), Some(ErrorKind::OutOfBounds)),
            (&one, Some(r#"{"target":{"kind":"emulator","agent":"a"}}"#.to_owned()), Some(ErrorKind::OutOfBounds)),
            (&one, Some(r#"{"target":{"kind":"local"}}"#.to_owned()), Some(ErrorKind::OutOfBounds)),
            (
                &one,
                Some(r#"{"target":{"kind":"gateway"},"target":{"kind":"local"}}"#.to_owned()),
                Some(ErrorKind::InvalidParams),
            ),
        ] {
            assert_eq!(kind(proven, params.as_deref()), expected, "{params:?}");
        }
        assert!(proven(&[], None).is_none() && proven(&["a"], Some("b")).is_none());
    }

    #[test]
    fn a_proven_caller_narrows_its_methods_and_widens_nothing() {
        let proven = proven(&["a"], None).unwrap();
        let narrowed = |bind: &str| proven.narrowed(&serde_json::from_str(bind).unwrap());
        let bounds = narrowed(r#"{"target":{"kind":"gateway","agent":"a"},"methods":["invoke","daemon/*"]}"#).unwrap();
        let allowed = ["invoke", "runs/list", "daemon/status"].map(|name| bounds.allows(name, Reach::Agent));
        assert_eq!(allowed, [true, false, false]);
        assert!(!bounds.allows("daemon/status", Reach::Connection) && bounds.allows("initialize", Reach::Connection));
        for wider in [
            r#"{"target":{"kind":"emulator","agent":"a"}}"#,
            r#"{"target":{"kind":"gateway"},"isolation":{"userKey":"ada"}}"#,
            r#"{"target":{"kind":"gateway"},"isolation":{"chat":"x","userKey":"eve"}}"#,
            r#"{"target":{"kind":"gateway"},"isolation":{"chat":"x","ownershipKey":"eve"}}"#,
            r#"{"target":{"kind":"gateway"},"isolation":{"chat":"x","model":"local"}}"#,
            r#"{"target":{"kind":"gateway"},"files":"/"}"#,
        ] {
            assert_eq!(narrowed(wider).unwrap_err().kind(), ErrorKind::OutOfBounds, "{wider}");
        }
        assert!(narrowed(r#"{"target":{"kind":"gateway"},"isolation":{"chat":"x"}}"#).is_ok());
    }
}
