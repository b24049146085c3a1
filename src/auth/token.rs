//! An access token: ready to send, impossible to print, and able to say whose it is.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderValue;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// How long before its end a token is replaced. Entra tokens live 60 to 90 minutes; five minutes outlast a slow `azd` and a
/// clock that is a little off.
const REFRESH_MARGIN: Duration = Duration::from_mins(5);

/// Most bytes of a token's claims that are read. Real ones are under 4 KiB.
const MAX_CLAIMS_BYTES: usize = 64 * 1024;

/// A bearer token. `Debug` shows when it ends and nothing else; there is no `Display`.
#[derive(Clone)]
pub struct AccessToken(Arc<Inner>);

struct Inner {
    /// `Bearer …`, marked sensitive, built once.
    header: HeaderValue,
    expires_on: SystemTime,
    /// The same moments on the clock that timers run by, so that tests can pause it.
    expires_at: Instant,
    refresh_at: Instant,
    caller: Option<CallerId>,
}

impl AccessToken {
    /// A token that ends at `expires_on`, UTC. `None` when the text cannot travel in a header.
    pub fn new(secret: &str, expires_on: SystemTime) -> Option<Self> {
        let mut header = HeaderValue::try_from(format!("Bearer {secret}")).ok()?;
        header.set_sensitive(true);
        let life = expires_on.duration_since(SystemTime::now()).unwrap_or_default();
        let now = Instant::now();
        // A short-lived token is replaced after four fifths of its life, so that it is used at all.
        let margin = REFRESH_MARGIN.min(life / 5);
        Some(Self(Arc::new(Inner {
            header,
            expires_on,
            expires_at: now + life,
            refresh_at: now + life.saturating_sub(margin),
            caller: CallerId::from_claims(secret),
        })))
    }

    /// The value of the `Authorization` header.
    pub fn authorization(&self) -> HeaderValue {
        self.0.header.clone()
    }

    /// When it ends, UTC.
    pub fn expires_on(&self) -> SystemTime {
        self.0.expires_on
    }

    /// Who it was issued to, if it says so.
    pub fn caller(&self) -> Option<&CallerId> {
        self.0.caller.as_ref()
    }

    /// When it should be replaced.
    pub(super) fn refresh_at(&self) -> Instant {
        self.0.refresh_at
    }

    /// Has it ended? The timers' clock stops while a laptop sleeps, so both clocks are asked.
    pub(super) fn has_expired(&self) -> bool {
        Instant::now() >= self.0.expires_at || SystemTime::now() >= self.0.expires_on
    }

    /// Is it the very same token text?
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.0.header == other.0.header
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("AccessToken")
            .field("token", &"[redacted]")
            .field("expires_on", &self.0.expires_on)
            .finish_non_exhaustive()
    }
}

/// Who calls the service: part of the key of saved state, so that two accounts on one machine never share a session.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallerId(String);

#[derive(Deserialize)]
struct Claims {
    tid: Option<String>,
    oid: Option<String>,
    sub: Option<String>,
}

impl CallerId {
    /// Who calls where nobody asks for a token.
    pub fn nobody() -> Self {
        Self("-".to_owned())
    }

    /// `tenant/object` from a JWT's claims. The signature is not checked: the service does that, and a forged name would only
    /// choose other saved state of the same OS user.
    fn from_claims(secret: &str) -> Option<Self> {
        let payload = secret.split('.').nth(1).filter(|payload| payload.len() <= MAX_CLAIMS_BYTES)?;
        let claims = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
        let claims: Claims = serde_json::from_slice(&claims).ok()?;
        let subject = claims.oid.or(claims.sub).filter(|subject| !subject.is_empty())?;
        Some(Self(format!("{}/{subject}", claims.tid.as_deref().unwrap_or("-"))))
    }

    /// For tokens without readable claims: a fingerprint of the credential's configuration.
    pub(super) fn from_configuration(configuration: &str) -> Self {
        let digest = Sha256::digest(configuration.as_bytes());
        Self(format!("configuration/{}", URL_SAFE_NO_PAD.encode(&digest[..12])))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CallerId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jwt(claims: &str) -> String {
        format!("eyJhbGciOiJub25lIn0.{}.c2ln", URL_SAFE_NO_PAD.encode(claims))
    }

    fn token(secret: &str) -> AccessToken {
        AccessToken::new(secret, SystemTime::now() + Duration::from_hours(1)).unwrap()
    }

    #[test]
    fn the_caller_is_read_from_the_claims() {
        for (claims, caller) in [
            (r#"{"tid":"t1","oid":"o1","sub":"s1"}"#, Some("t1/o1")),
            (r#"{"oid":"o1"}"#, Some("-/o1")),
            (r#"{"tid":"t1","sub":"s1"}"#, Some("t1/s1")),
            (r#"{"tid":"t1"}"#, None),
            (r#"{"tid":"t1","oid":""}"#, None),
            ("not json", None),
        ] {
            assert_eq!(token(&jwt(claims)).caller().map(CallerId::as_str), caller, "{claims}");
        }
        assert_eq!(token("opaque").caller(), None);
    }

    #[test]
    fn a_token_never_shows_in_debug_output() {
        let token = token(&jwt(r#"{"oid":"o1"}"#));
        let shown = format!("{token:?} {:?} {:?}", token.authorization(), Some(&token));
        assert!(!shown.contains("eyJ"), "{shown}");
    }

    #[test]
    fn a_token_that_cannot_travel_in_a_header_is_none() {
        assert!(AccessToken::new("a\r\nb", SystemTime::now()).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_due_for_refresh_before_it_ends() {
        let token = token("opaque");
        let life = token.refresh_at().duration_since(Instant::now());
        assert!(life <= Duration::from_mins(55) && life > Duration::from_mins(54), "{life:?}");
        assert!(!token.has_expired());
        tokio::time::advance(Duration::from_hours(1)).await;
        assert!(token.has_expired());
    }
}
