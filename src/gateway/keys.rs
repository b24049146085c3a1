//! The public keys of an issuer (RFC 7517, 7518). Pure.

use crate::config::gateway::Algorithm;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};
use serde::Deserialize;

/// Most keys of one issuer. Real ones have less than ten.
const MAX_KEYS: usize = 100;

/// The keys that an issuer publishes.
#[derive(Debug, Default)]
pub(super) struct Keys(Vec<Key>);

/// One public key, for one algorithm or several of its kind.
#[derive(Debug)]
pub(super) struct Key {
    id: Option<String>,
    /// The only algorithm that the issuer uses it with, if it says so.
    algorithm: Option<String>,
    material: Material,
}

#[derive(Debug, Clone)]
enum Material {
    Rsa { modulus: Vec<u8>, exponent: Vec<u8> },
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

/// A key that fits an algorithm.
#[derive(Debug)]
pub(super) struct Usable<'a> {
    material: &'a Material,
    algorithm: Algorithm,
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct Published {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl Keys {
    /// From a published set. A key that is not understood, or is not for signatures, is passed over; `None` if the set is none.
    pub(super) fn parse(set: &[u8]) -> Option<Self> {
        let set: Set = serde_json::from_slice(set).ok()?;
        let keys = set.keys.into_iter().take(MAX_KEYS).filter_map(|key| Key::read(serde_json::from_value(key).ok()?));
        Some(Self(keys.collect()))
    }

    /// Are there none?
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The key with this id for this algorithm. Without an id it is the issuer's only key for the algorithm; with several, none is found.
    pub(super) fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Option<Usable<'_>> {
        let mut usable = self.0.iter().filter(|key| key.fits(algorithm));
        let key = match id {
            Some(id) => usable.find(|key| key.id.as_deref() == Some(id)),
            None => usable.next().filter(|_| usable.next().is_none()),
        }?;
        Some(Usable { material: &key.material, algorithm })
    }
}

impl Key {
    fn read(published: Published) -> Option<Self> {
        let Published { kty, kid, usage, alg, crv, n, e, x, y } = published;
        if usage.is_some_and(|usage| usage != "sig") {
            return None;
        }
        let bytes = |text: Option<String>| URL_SAFE_NO_PAD.decode(text?).ok();
        // An uncompressed point, whose coordinates have the length of the curve.
        let point = |length: usize| {
            let (x, y) = (bytes(x.clone())?, bytes(y.clone())?);
            (x.len() == length && y.len() == length).then(|| [&[4_u8][..], &x, &y].concat())
        };
        let material = match (kty.as_str(), crv.as_deref()) {
            ("RSA", _) => {
                let without_zeros =
                    |bytes: Vec<u8>| bytes.into_iter().skip_while(|byte| *byte == 0).collect::<Vec<u8>>();
                Material::Rsa { modulus: without_zeros(bytes(n)?), exponent: without_zeros(bytes(e)?) }
            }
            ("EC", Some("P-256")) => Material::P256(point(32)?),
            ("EC", Some("P-384")) => Material::P384(point(48)?),
            ("OKP", Some("Ed25519")) => Material::Ed25519(bytes(x.clone())?),
            // A shared secret (`oct`) is never taken: everyone who can check with one can sign with it.
            _ => return None,
        };
        Some(Self { id: kid, algorithm: alg, material })
    }

    fn fits(&self, algorithm: Algorithm) -> bool {
        let is_of_kind = match algorithm {
            Algorithm::RS256 | Algorithm::PS256 => matches!(self.material, Material::Rsa { .. }),
            Algorithm::ES256 => matches!(self.material, Material::P256(_)),
            Algorithm::ES384 => matches!(self.material, Material::P384(_)),
            Algorithm::EdDSA => matches!(self.material, Material::Ed25519(_)),
        };
        is_of_kind && self.algorithm.as_deref().is_none_or(|only| only == algorithm.name())
    }
}

impl Usable<'_> {
    /// Has its owner signed this message so?
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let verified = match self.material {
            Material::Rsa { modulus, exponent } => {
                let key = RsaPublicKeyComponents { n: modulus, e: exponent };
                let parameters = if self.algorithm == Algorithm::PS256 {
                    &signature::RSA_PSS_2048_8192_SHA256
                } else {
                    &signature::RSA_PKCS1_2048_8192_SHA256
                };
                key.verify(parameters, message, signature)
            }
            Material::P256(point) => {
                UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point).verify(message, signature)
            }
            Material::P384(point) => {
                UnparsedPublicKey::new(&signature::ECDSA_P384_SHA384_FIXED, point).verify(message, signature)
            }
            Material::Ed25519(key) => UnparsedPublicKey::new(&signature::ED25519, key).verify(message, signature),
        };
        verified.is_ok()
    }
}
