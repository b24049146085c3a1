//! `x-agent-version-override`: which version of an agent a single call asks for, and whether it got that one (contract section 21.1).

use super::call::{Call, Entered};
use crate::agent::Version;
use http::{HeaderMap, HeaderName, HeaderValue};
use std::sync::Arc;

/// Names the version: a header, and in the handshake of a WebSocket a parameter of the query.
const OVERRIDE: &str = "x-agent-version-override";

/// The word for the version that was made last.
const LATEST: &str = "latest";

/// On an answer of another version than was asked for.
const FALLBACK: HeaderName = HeaderName::from_static("x-agent-version-fallback");

/// The version that a call asks for. `None` also when there is none of that label: the service then uses the one that the agent
/// selects, without an error.
pub(super) fn wanted(call: &Call) -> Option<Arc<Version>> {
    match word(call)? {
        LATEST => call.agent.latest(),
        label => call.agent.version(label).ok(),
    }
}

/// Says so if another version answered than the call asked for.
pub(super) fn tell_fallback(call: &Call, entered: &Entered, headers: &mut HeaderMap) {
    let is_other = |wanted: Arc<Version>| wanted.spec.version != entered.version.spec.version;
    if word(call).is_some() && wanted(call).is_none_or(is_other) {
        headers.insert(FALLBACK, HeaderValue::from_static("true"));
    }
}

fn word(call: &Call) -> Option<&str> {
    let header = call.headers.get(OVERRIDE).and_then(|value| value.to_str().ok()).filter(|word| !word.is_empty());
    header.or_else(|| call.query(OVERRIDE))
}
