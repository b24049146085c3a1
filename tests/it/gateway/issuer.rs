//! An identity provider inside the tests: discovery, keys that can change, and tokens that it signs or that only look as if.

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::rsa::{KeyPair as RsaKeyPair, PublicKeyComponents};
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

/// The gateway's own audience in all tests.
pub(super) const AUDIENCE: &str = "api://cupola-tests";

/// An RSA key that tests have. It signs nothing outside of them.
const RSA_KEY: &str = include_str!("../../fixtures/auth/key-pkcs1.pem");

/// A key pair, and the id that it is published under.
pub(super) enum Key {
    Rsa(&'static str, RsaKeyPair),
    P256(String, EcdsaKeyPair),
}

impl Key {
    /// The RSA key of the fixtures.
    pub(super) fn rsa(id: &'static str) -> Self {
        let key = match PrivateKeyDer::from_pem_slice(RSA_KEY.as_bytes()).unwrap() {
            PrivateKeyDer::Pkcs1(key) => RsaKeyPair::from_der(key.secret_pkcs1_der()),
            PrivateKeyDer::Pkcs8(key) => RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()),
            _ => panic!("not an RSA key"),
        };
        Self::Rsa(id, key.unwrap())
    }

    /// A fresh one.
    pub(super) fn p256(id: &str) -> Self {
        let (algorithm, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        Self::P256(id.to_owned(), EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).unwrap())
    }

    /// As it is published.
    pub(super) fn public(&self) -> Value {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match self {
            Self::Rsa(id, key) => {
                let public: PublicKeyComponents<Vec<u8>> = key.public().into();
                json!({"kty": "RSA", "kid": id, "use": "sig", "n": text(&public.n), "e": text(&public.e)})
            }
            Self::P256(id, key) => {
                let point = key.public_key().as_ref();
                json!({"kty": "EC", "crv": "P-256", "kid": id, "x": text(&point[1..33]), "y": text(&point[33..])})
            }
        }
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(_, key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).unwrap();
                signature
            }
            Self::P256(_, key) => key.sign(&random, message).unwrap().as_ref().to_vec(),
        }
    }

    fn header(&self) -> Value {
        match self {
            Self::Rsa(id, _) => json!({"typ": "JWT", "alg": "RS256", "kid": id}),
            Self::P256(id, _) => json!({"typ": "JWT", "alg": "ES256", "kid": id}),
        }
    }

    /// A token with this key's own header.
    pub(super) fn token(&self, claims: &Value) -> String {
        self.token_with(&self.header(), claims)
    }

    /// A token with these members in its header besides.
    pub(super) fn token_and(&self, more: &Value, claims: &Value) -> String {
        let mut header = self.header();
        header.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.token_with(&header, claims)
    }

    fn token_with(&self, header: &Value, claims: &Value) -> String {
        let signed = unsigned(header, claims);
        let signature = URL_SAFE_NO_PAD.encode(self.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }
}

/// The part of a token that is signed.
pub(super) fn unsigned(header: &Value, claims: &Value) -> String {
    let text = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
    format!("{}.{}", text(header), text(claims))
}

/// Seconds since 1970, `from_now` seconds from now.
pub(super) fn time(from_now: i64) -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap() + from_now
}

/// A running provider.
pub(super) struct Issuer {
    pub(super) url: String,
    pub(super) key: Key,
    published: Arc<Published>,
    serving: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct Published {
    url: Mutex<String>,
    keys: Mutex<Vec<Value>>,
    asked: AtomicUsize,
}

impl Issuer {
    /// Publishes the public half of `key`.
    pub(super) async fn start(key: Key) -> Self {
        let published = Arc::new(Published::default());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://127.0.0.1:{}", listener.local_addr().unwrap().port());
        published.url.lock().unwrap().clone_from(&url);
        *published.keys.lock().unwrap() = vec![key.public()];
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/keys", get(keys))
            .with_state(Arc::clone(&published));
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, key, published, serving }
    }

    /// Publishes these keys instead.
    pub(super) fn publish(&self, keys: Vec<Value>) {
        *self.published.keys.lock().unwrap() = keys;
    }

    /// How often its keys were asked for.
    pub(super) fn asked(&self) -> usize {
        self.published.asked.load(Ordering::SeqCst)
    }

    /// The claims of a good token of this person.
    pub(super) fn claims(&self, subject: &str) -> Value {
        json!({"iss": self.url, "sub": subject, "aud": AUDIENCE, "iat": time(0), "nbf": time(-5), "exp": time(600)})
    }

    /// A good token of this person.
    pub(super) fn token(&self, subject: &str) -> String {
        self.key.token(&self.claims(subject))
    }

    pub(super) async fn end(self) {
        self.serving.abort();
        let _ = self.serving.await;
    }
}

async fn discovery(State(published): State<Arc<Published>>) -> axum::Json<Value> {
    let url = published.url.lock().unwrap().clone();
    axum::Json(json!({"issuer": url, "jwks_uri": format!("{url}/keys")}))
}

async fn keys(State(published): State<Arc<Published>>) -> axum::Json<Value> {
    published.asked.fetch_add(1, Ordering::SeqCst);
    axum::Json(json!({"keys": *published.keys.lock().unwrap()}))
}
