//! A bearer token: a signed JWT (RFC 7515, 7519), checked by the rules that its issuer is configured with. Pure.
//!
//! What a token says about how it is to be checked counts for nothing: the issuer's configuration has the algorithm and the audience,
//! and the issuer itself the keys. A token that brings a key, or says where one is, is refused.

use super::keys::Keys;
use crate::config::gateway::IssuerSettings;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::{Map, Value};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Longest token, in bytes. Entra's have 2 kB, with many groups up to 8; more does not fit into the headers that servers accept.
const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// The claims of a token, by their names.
pub(super) type Claims = Map<String, Value>;

/// Why a token proves nothing. It says nothing of the token itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum TokenFault {
    #[error("it is not a signed token (JWT)")]
    NotAToken,
    #[error("its header says how it is to be checked, which the gateway decides alone")]
    OwnRules,
    #[error("its issuer is not known here")]
    UnknownIssuer,
    #[error("it is signed with another algorithm than its issuer uses")]
    OtherAlgorithm,
    #[error("it is signed with a key that its issuer does not publish")]
    UnknownKey,
    #[error("its signature is wrong")]
    WrongSignature,
    #[error("it is for another audience")]
    OtherAudience,
    #[error("it has expired")]
    Expired,
    #[error("it is not valid yet")]
    NotYetValid,
    #[error("a claim that it must have is missing or malformed")]
    WrongClaims,
    #[error("the keys of its issuer cannot be had")]
    NoKeys,
}

/// A token whose shape is right, and nothing else is known of.
#[derive(Debug)]
pub(super) struct Unverified<'a> {
    signed: &'a str,
    signature: Vec<u8>,
    algorithm: String,
    pub(super) key: Option<String>,
    claims: Claims,
}

/// What a token proves.
#[derive(Debug)]
pub(super) struct Verified {
    pub(super) claims: Claims,
    /// When it stops proving anything.
    pub(super) expires: SystemTime,
}

/// Members that would decide how the token is checked are named, so that each can be refused.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<IgnoredAny>,
    jku: Option<IgnoredAny>,
    jwk: Option<IgnoredAny>,
    x5u: Option<IgnoredAny>,
    x5c: Option<IgnoredAny>,
    zip: Option<IgnoredAny>,
    enc: Option<IgnoredAny>,
    b64: Option<IgnoredAny>,
}

impl<'a> Unverified<'a> {
    /// Takes a token apart.
    pub(super) fn parse(token: &'a str) -> Result<Self, TokenFault> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TokenFault::NotAToken);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenFault::NotAToken)?;
        let (header, claims) = signed.split_once('.').ok_or(TokenFault::NotAToken)?;
        let header: Header = part(header)?;
        let own_rules =
            [header.crit, header.jku, header.jwk, header.x5u, header.x5c, header.zip, header.enc, header.b64];
        if own_rules.iter().any(Option::is_some) {
            return Err(TokenFault::OwnRules);
        }
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| TokenFault::NotAToken)?;
        Ok(Self { signed, signature, algorithm: header.alg, key: header.kid, claims: part(claims)? })
    }

    /// Who it says has issued it.
    pub(super) fn issuer(&self) -> Option<&str> {
        self.claims.get("iss").and_then(Value::as_str)
    }

    /// Checks it by the rules of its issuer, whom the caller has found by [`Self::issuer`].
    pub(super) fn verify(self, rules: &IssuerSettings, keys: &Keys, now: SystemTime) -> Result<Verified, TokenFault> {
        if self.issuer() != Some(rules.issuer.as_str()) {
            return Err(TokenFault::UnknownIssuer);
        }
        if self.algorithm != rules.algorithm.name() {
            return Err(TokenFault::OtherAlgorithm);
        }
        let key = keys.find(self.key.as_deref(), rules.algorithm).ok_or(TokenFault::UnknownKey)?;
        if !key.verifies(self.signed.as_bytes(), &self.signature) {
            return Err(TokenFault::WrongSignature);
        }
        let is_ours = |audience: &Value| audience.as_str() == Some(rules.audience.as_str());
        let is_for_us = match self.claims.get("aud") {
            Some(Value::Array(audiences)) => audiences.iter().any(is_ours),
            Some(audience) => is_ours(audience),
            None => false,
        };
        if !is_for_us {
            return Err(TokenFault::OtherAudience);
        }
        let leeway = Duration::from_secs(rules.leeway.into());
        let expires = time(self.claims.get("exp").ok_or(TokenFault::WrongClaims)?)? + leeway;
        if now >= expires {
            return Err(TokenFault::Expired);
        }
        if let Some(from) = self.claims.get("nbf")
            && now + leeway < time(from)?
        {
            return Err(TokenFault::NotYetValid);
        }
        Ok(Verified { claims: self.claims, expires })
    }
}

fn part<Part: DeserializeOwned>(text: &str) -> Result<Part, TokenFault> {
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| TokenFault::NotAToken)?;
    serde_json::from_slice(&bytes).map_err(|_| TokenFault::NotAToken)
}

/// A time in seconds since 1970, which must be a number, and one that a clock can show.
fn time(value: &Value) -> Result<SystemTime, TokenFault> {
    let seconds = value.as_f64().filter(|seconds| (0.0..1e11).contains(seconds)).ok_or(TokenFault::WrongClaims)?;
    Ok(UNIX_EPOCH + Duration::from_secs_f64(seconds))
}
