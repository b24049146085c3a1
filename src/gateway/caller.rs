//! From a proof to a caller: whose state it sees, which agents and methods it was granted. Pure.

use super::token::{Claims, Verified};
use crate::config::gateway::{GatewaySettings, IssuerSettings};
use crate::rpc::bounds::Bounds;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cupola_protocol::target::AgentName;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

/// Who calls, as a digest: for limits and logs.
pub(super) type CallerId = [u8; 32];

/// A caller who was proven.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) id: CallerId,
    /// When the proof stops being one.
    pub(super) expires: SystemTime,
    /// What it was granted.
    pub(super) agents: Arc<BTreeMap<AgentName, Arc<Bounds>>>,
}

/// Why a proof leads to nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoCaller {
    #[error("the claim that the isolation is taken from is missing, empty or unsuitable")]
    NoIsolation,
    #[error("nothing was granted to this caller")]
    NoGrant,
}

impl Caller {
    /// The caller that a token proves.
    pub(super) fn of_token(
        verified: &Verified,
        rules: &IssuerSettings,
        settings: &GatewaySettings,
    ) -> Result<Self, NoCaller> {
        let claim = |name: &str| verified.claims.get(name).and_then(Value::as_str).filter(|value| !value.is_empty());
        let subject = claim("sub").ok_or(NoCaller::NoIsolation)?;
        let id = digest(&rules.issuer, subject);
        let value = match &rules.isolation_claim {
            None => URL_SAFE_NO_PAD.encode(id),
            Some(name) => claim(name).ok_or(NoCaller::NoIsolation)?.to_owned(),
        };
        Self::new(id, &value, verified.expires, &verified.claims, settings)
    }

    /// The caller that a certificate proves, by the name that its authority has put into it.
    pub(super) fn of_certificate(
        name: &str,
        expires: SystemTime,
        settings: &GatewaySettings,
    ) -> Result<Self, NoCaller> {
        if name.is_empty() {
            return Err(NoCaller::NoIsolation);
        }
        // No issuer of tokens has this name, because it is not a URL.
        let id = digest("certificate", name);
        let claims = Claims::from_iter([("san".to_owned(), Value::String(name.to_owned()))]);
        Self::new(id, &URL_SAFE_NO_PAD.encode(id), expires, &claims, settings)
    }

    fn new(
        id: CallerId,
        value: &str,
        expires: SystemTime,
        claims: &Claims,
        settings: &GatewaySettings,
    ) -> Result<Self, NoCaller> {
        let mut agents = BTreeMap::new();
        for (name, agent) in &settings.agents {
            let Some(methods) = granted(name, claims, settings) else { continue };
            let isolation = agent.isolation(value).ok_or(NoCaller::NoIsolation)?;
            let bounds = Bounds::proven(name.clone(), agent.target.clone(), isolation, methods);
            agents.insert(name.clone(), Arc::new(bounds));
        }
        if agents.is_empty() {
            return Err(NoCaller::NoGrant);
        }
        Ok(Self { id, expires, agents: Arc::new(agents) })
    }
}

/// No two pairs have the same: each part is preceded by its length.
fn digest(issuer: &str, subject: &str) -> CallerId {
    let mut digest = Sha256::new();
    for part in [issuer, subject] {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    digest.finalize().into()
}

/// The methods that a caller may call on an agent: all that its grants name, or every usual one (`Some(None)`).
#[expect(clippy::option_option, reason = "no grant, or a grant without a list")]
fn granted(
    agent: &AgentName,
    claims: &Claims,
    settings: &GatewaySettings,
) -> Option<Option<Vec<cupola_protocol::daemon::MethodPattern>>> {
    let mut methods = Vec::new();
    let mut is_granted = false;
    for grant in &settings.grants {
        let is_meant = grant.agents.as_ref().is_none_or(|agents| agents.contains(agent));
        let has_claim = match (&grant.claim, &grant.value) {
            (Some(claim), Some(value)) => has(claims, claim, value),
            (None, None) => true,
            // The settings were checked.
            _ => false,
        };
        if !is_meant || !has_claim {
            continue;
        }
        is_granted = true;
        match &grant.methods {
            Some(patterns) => methods.extend(patterns.iter().cloned()),
            None => return Some(None),
        }
    }
    is_granted.then_some(Some(methods))
}

/// Has the claim this value, or is it in its list? A text with blanks is a list for `scp` and `scope` (RFC 8693) alone.
fn has(claims: &Claims, claim: &str, value: &str) -> bool {
    match claims.get(claim) {
        Some(Value::String(text)) if matches!(claim, "scp" | "scope") => text.split(' ').any(|scope| scope == value),
        Some(Value::String(text)) => text == value,
        Some(Value::Array(list)) => list.iter().any(|item| item.as_str() == Some(value)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cupola_protocol::reach::Reach;

    #[test]
    fn no_two_callers_have_one_isolation() {
        let pairs =
            [("https://a", "b"), ("https://ab", ""), ("https://", "ab"), ("https://a", "B"), ("certificate", "b")];
        let digests: std::collections::BTreeSet<_> =
            pairs.iter().map(|(issuer, subject)| digest(issuer, subject)).collect();
        assert_eq!(digests.len(), pairs.len());
        // Fixed for good: saved state and the service know users by it.
        assert_eq!(URL_SAFE_NO_PAD.encode(digest("https://id.example", "ada")).len(), 43);
    }

    fn settings(grants: &str) -> GatewaySettings {
        let text = format!(
            "[agents.a]\ntarget = {{ kind = \"emulator\", url = \"http://127.0.0.1:1\" }}\n\
             [agents.b]\ntarget = {{ kind = \"emulator\", url = \"http://127.0.0.1:1\" }}\nisolateBy = \"userIdentity\"\n{grants}"
        );
        toml::from_str(&text).unwrap()
    }

    fn caller(grants: &str, claims: &str) -> Result<Caller, NoCaller> {
        let claims: Claims = serde_json::from_str(claims).unwrap();
        Caller::new([0; 32], "ada", SystemTime::now(), &claims, &settings(grants))
    }

    #[test]
    fn a_caller_gets_what_its_claims_were_granted_and_nothing_else() {
        let grants = "[[grants]]\nclaim = \"groups\"\nvalue = \"staff\"\nagents = [\"a\"]\nmethods = [\"invoke\"]\n\
            [[grants]]\nclaim = \"scp\"\nvalue = \"all\"\n";
        let names = |claims: &str| -> Vec<String> {
            caller(grants, claims)
                .map_or_else(|_| Vec::new(), |caller| caller.agents.keys().map(ToString::to_string).collect())
        };
        for (claims, agents) in [
            ("{}", &[][..]),
            (r#"{"groups":"staff"}"#, &["a"]),
            (r#"{"groups":["x","staff"]}"#, &["a"]),
            (r#"{"groups":"staff x"}"#, &[]),
            (r#"{"groups":{"staff":true}}"#, &[]),
            (r#"{"scp":"read all"}"#, &["a", "b"]),
            (r#"{"scp":"allx"}"#, &[]),
        ] {
            assert_eq!(names(claims), agents, "{claims}");
        }
        let staff = caller(grants, r#"{"groups":"staff"}"#).unwrap();
        let bounds = staff.agents.values().next().unwrap();
        assert!(bounds.allows("invoke", Reach::Agent) && !bounds.allows("sessions/list", Reach::Agent));
        assert_eq!(caller("[[grants]]\nclaim = \"x\"\nvalue = \"y\"", "{}").unwrap_err(), NoCaller::NoGrant);
    }

    #[test]
    fn a_value_that_cannot_be_sent_is_nobody() {
        let all = settings("[[grants]]");
        let claims = Claims::default();
        for value in ["", " ada", "a\nb"] {
            let refused = Caller::new([0; 32], value, SystemTime::now(), &claims, &all).unwrap_err();
            assert_eq!(refused, NoCaller::NoIsolation, "{value:?}");
        }
    }
}
