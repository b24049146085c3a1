//! The issuers that the gateway trusts, and their keys: found by discovery (`OpenID` Connect Discovery 1.0), kept, and asked for
//! again when a token names a key that is not known, because issuers change their keys.

use super::caller::{Caller, NoCaller};
use super::keys::Keys;
use super::proofs::{self, Proof, Proofs};
use super::token::{TokenFault, Unverified};
use crate::config::Config;
use crate::config::gateway::{GatewaySettings, IssuerSettings, is_confidential};
use crate::system::tls;
use bytes::BytesMut;
use futures_util::StreamExt as _;
use serde::Deserialize;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::Mutex;
use tokio::time::Instant;
use url::Url;

/// How long a request of an issuer's documents may take.
const FETCH_LIMIT: Duration = Duration::from_secs(10);
/// The most that is read of one, in bytes. A set of ten RSA keys with certificates has some 20 kB.
const MAX_DOCUMENT_BYTES: usize = 256 * 1024;
/// How long keys are used before they are asked for again. A key that an issuer takes back is good for as long.
const FRESH_FOR: Duration = Duration::from_mins(30);
/// How long they are still used when the issuer does not answer.
const STALE_FOR: Duration = Duration::from_hours(6);

/// Every issuer that the gateway trusts.
#[derive(Debug)]
pub(super) struct Issuers {
    trusted: Vec<Issuer>,
    client: reqwest::Client,
    /// How long they are not asked again.
    rest: Duration,
    proofs: Proofs,
}

/// Why a token leads to no caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoProof {
    #[error(transparent)]
    Token(#[from] TokenFault),
    #[error(transparent)]
    Caller(#[from] NoCaller),
}

#[derive(Debug)]
struct Issuer {
    rules: IssuerSettings,
    /// Held while its documents are fetched, so that one fetch serves everyone who waits.
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    keys: Arc<Keys>,
    /// When the keys came.
    since: Option<Instant>,
    /// When they were asked for, whatever came of it.
    asked: Option<Instant>,
}

#[derive(Deserialize)]
struct Discovered {
    issuer: String,
    jwks_uri: String,
}

impl Issuers {
    /// Nothing is fetched yet.
    pub(super) fn new(config: &Config, settings: &GatewaySettings) -> Result<Self, String> {
        tls::use_ring();
        let certificates =
            tls::trusted_certificates(&config.trusted_certificates).map_err(|error| error.to_string())?;
        let builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(FETCH_LIMIT)
            .tls_certs_merge(certificates);
        let builder = config.proxies.apply(builder).map_err(|error| error.to_string())?;
        let client = builder.build().map_err(|error| error.to_string())?;
        let issuer = |rules: &IssuerSettings| Issuer { rules: rules.clone(), kept: Mutex::default() };
        let issuers = settings.issuers.iter().map(issuer).collect();
        Ok(Self { trusted: issuers, client, rest: settings.key_rest, proofs: Proofs::default() })
    }

    /// The caller that a token proves. One whose token was verified before is known by its digest, while that still holds.
    pub(super) async fn caller(&self, token: &str, settings: &GatewaySettings) -> Result<Caller, NoProof> {
        let digest = proofs::digest(token);
        if let Some(proof) = self.proofs.get(&digest)
            && let Some(issuer) = self.trusted.get(proof.issuer)
        {
            let keys = self.keys(issuer, proof.key.as_deref()).await;
            if proof.holds(&keys, SystemTime::now()) {
                return Ok(proof.caller);
            }
            self.proofs.forget(&digest);
        }
        let unverified = Unverified::parse(token)?;
        let named = unverified.issuer().ok_or(TokenFault::UnknownIssuer)?;
        let found = self.trusted.iter().enumerate().find(|(_, issuer)| issuer.rules.issuer == named);
        let (index, issuer) = found.ok_or(TokenFault::UnknownIssuer)?;
        let key = unverified.key.clone();
        let keys = self.keys(issuer, key.as_deref()).await;
        if keys.is_empty() {
            return Err(TokenFault::NoKeys.into());
        }
        let verified = unverified.verify(&issuer.rules, &keys, SystemTime::now())?;
        let caller = Caller::of_token(&verified, &issuer.rules, settings)?;
        self.proofs.keep(digest, Proof::new(index, key, keys, caller.clone()));
        Ok(caller)
    }

    /// Are the keys of every issuer known?
    pub(super) async fn are_ready(&self) -> bool {
        for issuer in &self.trusted {
            if self.keys(issuer, None).await.is_empty() {
                return false;
            }
        }
        true
    }

    /// The keys of an issuer. They are asked for when they are old, and when the key of this id is not among them.
    async fn keys(&self, issuer: &Issuer, id: Option<&str>) -> Arc<Keys> {
        let mut kept = issuer.kept.lock().await;
        let is_fresh = kept.since.is_some_and(|since| since.elapsed() < FRESH_FOR);
        let has_key = id.is_none_or(|id| kept.keys.find(Some(id), issuer.rules.algorithm).is_some());
        let may_ask = kept.asked.is_none_or(|asked| asked.elapsed() >= self.rest);
        if !(is_fresh && has_key) && may_ask {
            kept.asked = Some(Instant::now());
            match self.fetch(&issuer.rules).await {
                Ok(keys) => {
                    kept.keys = Arc::new(keys);
                    kept.since = Some(Instant::now());
                }
                Err(reason) => {
                    tracing::warn!(issuer = issuer.rules.issuer, reason, "the keys of an issuer could not be had");
                }
            }
        }
        if kept.since.is_some_and(|since| since.elapsed() >= STALE_FOR) {
            kept.keys = Arc::default();
        }
        Arc::clone(&kept.keys)
    }

    async fn fetch(&self, rules: &IssuerSettings) -> Result<Keys, String> {
        let discovery = format!("{}/.well-known/openid-configuration", rules.issuer.trim_end_matches('/'));
        let discovered: Discovered = serde_json::from_slice(&self.document(&discovery).await?)
            .map_err(|_| format!("{discovery} has no issuer and jwks_uri"))?;
        if discovered.issuer != rules.issuer {
            return Err(format!("{discovery} is the document of another issuer"));
        }
        if !Url::parse(&discovered.jwks_uri).is_ok_and(|url| is_confidential(&url)) {
            return Err(format!("{discovery} has a jwks_uri that is not https"));
        }
        let keys = Keys::parse(&self.document(&discovered.jwks_uri).await?);
        keys.filter(|keys| !keys.is_empty()).ok_or_else(|| format!("{} has no usable keys", discovered.jwks_uri))
    }

    async fn document(&self, url: &str) -> Result<BytesMut, String> {
        // Whatever else an error says, it says no secret: there is none in these requests.
        let answer = self.client.get(url).send().await.map_err(|error| format!("{url}: {error}"))?;
        if !answer.status().is_success() {
            return Err(format!("{url} answered with status {}", answer.status()));
        }
        let (mut pieces, mut document) = (answer.bytes_stream(), BytesMut::new());
        while let Some(piece) = pieces.next().await {
            document.extend_from_slice(&piece.map_err(|error| format!("{url}: {error}"))?);
            if document.len() > MAX_DOCUMENT_BYTES {
                return Err(format!("{url} is longer than {MAX_DOCUMENT_BYTES} bytes"));
            }
        }
        Ok(document)
    }
}
