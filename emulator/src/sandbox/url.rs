//! `url:BASE`: an agent somebody else started on this machine, shared by all sessions.
//!
//! Such an agent has one home and one memory, so sessions are not apart inside it: what the gateway enforces still
//! holds, files and state do not. It is meant for stepping through an agent in a debugger.

use crate::container::{CallError, Container, Runtime, SandboxContext, StartError};
use crate::sandbox::forward::Forward;
use axum::body::Body;
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;

/// Longest wait for an agent that should already be running.
const READY_WITHIN: Duration = Duration::from_secs(5);

/// Why a `url:` agent is refused.
#[derive(Debug, thiserror::Error)]
#[error("the agent URL {base:?} {problem}; use for example http://127.0.0.1:8088")]
pub struct InvalidUrl {
    /// The URL as given.
    pub base: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

/// Points every session at one running agent.
#[derive(Debug, Clone)]
pub struct Url {
    forward: Forward,
}

impl Url {
    /// `base` is an `http` URL whose host is this machine, for example `http://127.0.0.1:8088`.
    pub fn new(base: &str) -> Result<Self, InvalidUrl> {
        let invalid = |problem| InvalidUrl { base: base.to_owned(), problem };
        let parsed = ::url::Url::parse(base).map_err(|_| invalid("is not a URL"))?;
        if parsed.scheme() != "http" {
            return Err(invalid("is not http"));
        }
        let loopback = match parsed.host() {
            Some(::url::Host::Domain(name)) => name == "localhost",
            Some(::url::Host::Ipv4(address)) => address.is_loopback(),
            Some(::url::Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        if !loopback {
            return Err(invalid("is not on this machine"));
        }
        if parsed.query().is_some() || parsed.fragment().is_some() || !parsed.username().is_empty() {
            return Err(invalid("has more than a host, a port and a path"));
        }
        let forward = Forward::new(parsed.as_str()).map_err(|_| invalid("can not be used by the HTTP client"))?;
        Ok(Self { forward })
    }
}

impl Runtime for Url {
    fn start(&self, _session: SandboxContext) -> BoxFuture<'_, Result<Arc<dyn Container>, StartError>> {
        Box::pin(async move {
            // Any answer will do: an agent under a debugger need not be a complete container.
            self.forward.ready(READY_WITHIN, |_| true).await?;
            Ok(Arc::new(self.clone()) as Arc<dyn Container>)
        })
    }
}

impl Container for Url {
    fn call(&self, request: http::Request<Body>) -> BoxFuture<'_, Result<http::Response<Body>, CallError>> {
        Box::pin(self.forward.call(request))
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        // Not ours to end.
        Box::pin(async {})
    }
}
