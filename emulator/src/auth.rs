//! Who calls: the bearer token's claims, read without checking its signature.
//!
//! The emulator stands in for Entra's audience and expiry checks only (contract section 1.2). [`token`] and [`Token`]
//! make tokens for it.

use crate::error::ApiError;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use serde::{Deserialize, Serialize};

/// The audience a token must have; a trailing slash is accepted too.
pub const AUDIENCE: &str = "https://ai.azure.com";

/// Permission to act for another user by `x-ms-user-identity` (contract section 13.3).
pub const IMPERSONATE: &str = "UserIdentityImpersonation";

/// The role that sees and manages all sessions of all users (contract section 13.3, *Foundry User*).
pub const MANAGE_ALL: &str = "FoundryUser";

/// Who makes a request, according to its token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The token's `oid`, else its `sub`.
    pub id: String,
    /// May act for another user.
    pub impersonates: bool,
    /// Sees and manages the sessions of every user.
    pub manages: bool,
}

/// A token for the emulator: made with [`Token::of`], changed by the methods, written by [`Token::encode`].
#[derive(Debug, Clone)]
pub struct Token {
    claims: Claims,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Claims {
    aud: Audience,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    oid: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sub: Option<String>,
    /// Unix seconds. A token without it does not expire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exp: Option<i64>,
    /// The emulator's own claim. Absent: may impersonate and manages nobody else's sessions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    permissions: Option<Vec<String>>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Token {
    /// A token of `caller` for the right audience, without expiry, with permission to impersonate.
    pub fn of(caller: &str) -> Self {
        Self {
            claims: Claims {
                aud: Audience::One(AUDIENCE.to_owned()),
                oid: Some(caller.to_owned()),
                sub: None,
                exp: None,
                permissions: None,
            },
        }
    }

    /// The same for another audience.
    #[must_use]
    pub fn audience(mut self, audience: &str) -> Self {
        self.claims.aud = Audience::One(audience.to_owned());
        self
    }

    /// The same, expiring at `unix_seconds`.
    #[must_use]
    pub fn expires_at(mut self, unix_seconds: i64) -> Self {
        self.claims.exp = Some(unix_seconds);
        self
    }

    /// The same with exactly these permissions, of [`IMPERSONATE`] and [`MANAGE_ALL`].
    #[must_use]
    pub fn permissions(mut self, permissions: &[&str]) -> Self {
        self.claims.permissions = Some(permissions.iter().map(ToString::to_string).collect());
        self
    }

    /// The token's text: an unsigned JWT (`alg: none`), which no real service accepts.
    pub fn encode(&self) -> String {
        let claims = serde_json::to_vec(&self.claims).unwrap_or_default();
        format!("{}.{}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#), URL_SAFE_NO_PAD.encode(claims))
    }
}

/// A token of `caller` that the emulator accepts.
pub fn token(caller: &str) -> String {
    Token::of(caller).encode()
}

/// Reads the caller from the request's bearer token, or refuses with 401. `now` in milliseconds, UTC.
pub(crate) fn authenticate(headers: &HeaderMap, now: i64) -> Result<Caller, ApiError> {
    let text = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim())
        .ok_or_else(|| ApiError::unauthorized("Access denied: the request has no bearer token."))?;
    let claims = text
        .split('.')
        .nth(1)
        .and_then(|payload| URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok())
        .and_then(|payload| serde_json::from_slice::<Claims>(&payload).ok())
        .ok_or_else(|| ApiError::unauthorized("Access denied: the bearer token is not a JWT with an audience."))?;
    let audiences = match &claims.aud {
        Audience::One(one) => std::slice::from_ref(one),
        Audience::Many(many) => many,
    };
    if !audiences.iter().any(|audience| audience.strip_suffix('/').unwrap_or(audience) == AUDIENCE) {
        return Err(ApiError::unauthorized(format!("Access denied: the token's audience must be {AUDIENCE}.")));
    }
    if claims.exp.is_some_and(|at| at.saturating_mul(1000) <= now) {
        return Err(ApiError::unauthorized("Access denied: the token has expired."));
    }
    let id = claims
        .oid
        .or(claims.sub)
        .filter(|id| !id.is_empty())
        .ok_or_else(|| ApiError::unauthorized("Access denied: the token names nobody (no oid, no sub)."))?;
    let holds = |name| claims.permissions.as_ref().map(|held| held.iter().any(|one| one == name));
    Ok(Caller { id, impersonates: holds(IMPERSONATE).unwrap_or(true), manages: holds(MANAGE_ALL).unwrap_or(false) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_390_000_000;

    fn caller(authorization: &str) -> Result<Caller, ApiError> {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, authorization.parse().unwrap());
        authenticate(&headers, NOW)
    }

    #[test]
    fn a_minted_token_names_its_caller_and_permissions() {
        let plain = caller(&format!("Bearer {}", token("ann"))).unwrap();
        assert_eq!((plain.id.as_str(), plain.impersonates, plain.manages), ("ann", true, false));
        let token = Token::of("bob").permissions(&[MANAGE_ALL]).audience("https://ai.azure.com/");
        let manager = caller(&format!("bearer {}", token.encode())).unwrap();
        assert!(!manager.impersonates && manager.manages);
    }

    #[test]
    fn everything_else_is_refused() {
        for bad in [
            "Bearer".to_owned(),
            "Basic YTpi".to_owned(),
            "Bearer FAKE.TOKEN.NOT-REAL".to_owned(),
            format!("Bearer {}", Token::of("ann").audience("https://management.azure.com").encode()),
            format!("Bearer {}", Token::of("ann").expires_at(NOW / 1000).encode()),
            format!("Bearer {}", Token::of("").encode()),
        ] {
            assert!(caller(&bad).is_err(), "{bad}");
        }
        assert!(authenticate(&HeaderMap::new(), NOW).is_err());
    }
}
