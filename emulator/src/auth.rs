//! Who calls: tokens signed with the emulator's own secret, and their claims.
//!
//! - [`Token`]: what a token claims, and its text; [`Secret`]: the key that signs it
//! - `authenticate`: the caller of a request, or 401
//!
//! The emulator stands in for Entra: signature, audience and expiry are checked (contract section 1.2). Tokens are JSON Web
//! Tokens signed with HMAC-SHA-256 (`HS256`, RFC 7518); no other algorithm is accepted.
//!
//! - `secret`: the key's file

mod secret;

pub use secret::{Secret, SecretError};

use crate::error::ApiError;
use crate::isolation::Caller;
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

/// The header of every token.
const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

/// What to do about a token that is not accepted.
const ADVICE: &str = "Make one with `cupola emulator token`, and send it as 'Authorization: Bearer TOKEN'.";

/// A token for the emulator: made with [`Token::of`], changed by the methods, signed by [`Token::encode`].
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
    /// The URL of the emulator it is for. Clients check it; the emulator does not, because the signature already proves it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    iss: Option<String>,
    /// Unix seconds. A token without it does not expire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exp: Option<i64>,
    /// The emulator's own claim. Absent: may impersonate, but manages only its own sessions.
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
                iss: None,
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

    /// The same, for the emulator at `url` and for no other.
    #[must_use]
    pub fn issuer(mut self, url: &str) -> Self {
        self.claims.iss = Some(url.to_owned());
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

    /// The token's text, signed with an emulator's secret.
    pub fn encode(&self, secret: &Secret) -> String {
        let claims = serde_json::to_vec(&self.claims).unwrap_or_default();
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(HEADER), URL_SAFE_NO_PAD.encode(claims));
        let signature = URL_SAFE_NO_PAD.encode(secret.sign(message.as_bytes()));
        format!("{message}.{signature}")
    }
}

#[derive(Deserialize)]
struct Header {
    alg: String,
}

/// Reads the caller from the request's bearer token, or refuses with 401. `now` in milliseconds, UTC.
pub(crate) fn authenticate(headers: &HeaderMap, secret: &Secret, now: i64) -> Result<Caller, ApiError> {
    let refused = |problem: &str| ApiError::unauthorized(format!("Access denied: {problem}. {ADVICE}"));
    let mut given = headers.get_all(AUTHORIZATION).iter();
    let only = given.next().filter(|_| given.next().is_none());
    let text = only
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim())
        .ok_or_else(|| refused("the request has no bearer token"))?;
    let claims = signed_claims(text, secret).map_err(refused)?;
    let audiences = match &claims.aud {
        Audience::One(one) => std::slice::from_ref(one),
        Audience::Many(many) => many,
    };
    if !audiences.iter().any(|audience| audience.strip_suffix('/').unwrap_or(audience) == AUDIENCE) {
        return Err(refused(&format!("the token's audience must be {AUDIENCE}")));
    }
    if claims.exp.is_some_and(|at| at.saturating_mul(1000) <= now) {
        return Err(refused("the token has expired"));
    }
    let id = claims
        .oid
        .or(claims.sub)
        .filter(|id| !id.is_empty())
        .ok_or_else(|| refused("the token names no caller (it has no oid and no sub)"))?;
    let holds = |name| claims.permissions.as_ref().map(|held| held.iter().any(|one| one == name));
    Ok(Caller { id, impersonates: holds(IMPERSONATE).unwrap_or(true), manages: holds(MANAGE_ALL).unwrap_or(false) })
}

/// The claims of a token whose signature is this secret's. Nothing in a token is trusted before this check.
fn signed_claims(text: &str, secret: &Secret) -> Result<Claims, &'static str> {
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| "the bearer token is not a JSON Web Token");
    let (message, signature) = text.rsplit_once('.').ok_or("the bearer token is not a JSON Web Token")?;
    let (header, claims) = message.split_once('.').ok_or("the bearer token is not a JSON Web Token")?;
    let header: Header =
        serde_json::from_slice(&decode(header)?).map_err(|_| "the bearer token is not a JSON Web Token")?;
    if header.alg != "HS256" {
        return Err("the token is not signed with HS256");
    }
    if !secret.has_signed(message.as_bytes(), &decode(signature)?) {
        return Err("the token is not signed with this emulator's secret");
    }
    serde_json::from_slice(&decode(claims)?).map_err(|_| "the token's claims have the wrong shape")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_390_000_000;

    fn secret() -> Secret {
        Secret::of(tempfile::tempdir().unwrap().path()).unwrap()
    }

    fn caller(authorization: &str, secret: &Secret) -> Result<Caller, ApiError> {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, authorization.parse().unwrap());
        authenticate(&headers, secret, NOW)
    }

    /// A token with another header than ours, but correctly signed.
    fn signed(header: &str, claims: &str, secret: &Secret) -> String {
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(secret.sign(message.as_bytes())))
    }

    #[test]
    fn a_signed_token_names_its_caller_and_permissions() {
        let secret = secret();
        let plain = caller(&format!("Bearer {}", Token::of("ann").encode(&secret)), &secret).unwrap();
        assert_eq!((plain.id.as_str(), plain.impersonates, plain.manages), ("ann", true, false));
        let token = Token::of("bob").permissions(&[MANAGE_ALL]).audience("https://ai.azure.com/");
        let manager = caller(&format!("bearer {}", token.encode(&secret)), &secret).unwrap();
        assert!(!manager.impersonates && manager.manages);
    }

    #[test]
    fn a_token_without_this_emulators_signature_is_refused() {
        let (own, other) = (secret(), secret());
        let good = Token::of("ann").encode(&own);
        let (message, signature) = good.rsplit_once('.').unwrap();
        let claims = r#"{"aud":"https://ai.azure.com","oid":"ann"}"#;
        let other_claims = claims.replace("ann", "bob");
        let forged = format!("{}.{}.{signature}", URL_SAFE_NO_PAD.encode(HEADER), URL_SAFE_NO_PAD.encode(other_claims));
        for (bad, problem) in [
            (format!("{message}."), "not signed with this"),
            (message.to_owned(), "JSON Web Token"),
            (Token::of("ann").encode(&other), "not signed with this"),
            (forged, "not signed with this"),
            (format!("{message}.{}", signature.get(4..).unwrap()), "not signed"),
            (format!("{good}.{signature}"), "not signed with this"),
            (signed(r#"{"alg":"none","typ":"JWT"}"#, claims, &own), "HS256"),
            (signed(r#"{"alg":"hs256"}"#, claims, &own), "HS256"),
            (signed(r#"{"alg":"RS256"}"#, claims, &own), "HS256"),
            (signed(r#"{"typ":"JWT"}"#, claims, &own), "JSON Web Token"),
            (signed(HEADER, "[]", &own), "claims"),
        ] {
            let refusal = caller(&format!("Bearer {bad}"), &own).unwrap_err();
            let said = format!("{refusal:?}");
            assert!(said.contains(problem) && said.contains("cupola emulator token"), "{bad}: {said}");
        }
        assert!(caller(&format!("Bearer {}", signed(HEADER, claims, &own)), &own).is_ok());
    }

    #[test]
    fn everything_else_is_refused() {
        let secret = secret();
        for bad in [
            "Bearer".to_owned(),
            "Basic YTpi".to_owned(),
            "Bearer FAKE.TOKEN.NOT-REAL".to_owned(),
            format!("Bearer {}", Token::of("ann").audience("https://management.azure.com").encode(&secret)),
            format!("Bearer {}", Token::of("ann").expires_at(NOW / 1000).encode(&secret)),
            format!("Bearer {}", Token::of("").encode(&secret)),
        ] {
            assert!(caller(&bad, &secret).is_err(), "{bad}");
        }
        assert!(authenticate(&HeaderMap::new(), &secret, NOW).is_err());
    }
}
