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

/// How long a token without an end is kept before it is looked at again.
const ENDLESS: Duration = Duration::from_hours(24);

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

/// A token that the environment gives, for the emulator it names. `Debug` does not show it.
#[derive(Clone)]
pub struct GivenToken(String);

impl GivenToken {
    /// The text of a JSON Web Token.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// Is it for the emulator at this origin? Its `iss` says so; one without is for none.
    pub fn is_for(&self, origin: &str) -> bool {
        let issuer = Claims::read(&self.0).and_then(|claims| claims.iss);
        issuer.is_some_and(|issuer| issuer.trim_end_matches('/').eq_ignore_ascii_case(origin))
    }

    /// Whom it names.
    pub fn caller(&self) -> Option<CallerId> {
        CallerId::from_claims(&self.0)
    }

    /// The token to send. Says in words why there is none.
    pub fn token(&self) -> Result<AccessToken, String> {
        let end = Claims::read(&self.0).and_then(|claims| claims.exp);
        let until = |seconds: u64| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
        let end = end.and_then(until).unwrap_or_else(|| SystemTime::now() + ENDLESS);
        if end <= SystemTime::now() {
            return Err("the token in CUPOLA_EMULATOR_TOKEN has expired".to_owned());
        }
        AccessToken::new(&self.0, end).ok_or_else(|| "CUPOLA_EMULATOR_TOKEN is not a token".to_owned())
    }
}

impl fmt::Debug for GivenToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("GivenToken([redacted])")
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
    iss: Option<String>,
    exp: Option<u64>,
}

impl Claims {
    /// What a JSON Web Token says of itself. Its signature is not checked.
    fn read(token: &str) -> Option<Self> {
        let payload = token.split('.').nth(1).filter(|payload| payload.len() <= MAX_CLAIMS_BYTES)?;
        let claims = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
        serde_json::from_slice(&claims).ok()
    }
}

impl CallerId {
    /// The caller where no token is needed.
    pub fn anonymous() -> Self {
        Self("-".to_owned())
    }

    /// Whom the tokens name that are made on this machine.
    pub fn local(name: &str) -> Self {
        Self(format!("-/{name}"))
    }

    /// `tenant/object` from a JWT's claims. The signature is not checked: the service does that, and a forged name would only
    /// choose other saved state of the same OS user.
    fn from_claims(secret: &str) -> Option<Self> {
        let claims = Claims::read(secret)?;
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
    fn a_given_token_is_for_the_emulator_it_names_until_it_ends() {
        let given = |claims: &str| GivenToken::new(jwt(claims));
        let here = given(r#"{"iss":"http://127.0.0.1:8787/","oid":"o1"}"#);
        assert!(here.is_for("http://127.0.0.1:8787") && !here.is_for("http://127.0.0.1:8788"));
        assert!(here.token().is_ok() && !format!("{here:?}").contains("eyJ"));
        assert!(!given(r#"{"oid":"o1"}"#).is_for("") && !GivenToken::new("opaque".to_owned()).is_for("opaque"));
        assert!(given(r#"{"exp":1000}"#).token().unwrap_err().contains("expired"));
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
