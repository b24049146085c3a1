//! The client assertion of a certificate credential: a short JWT signed with the certificate's RSA key.
//!
//! Entra's format: RS256, the certificate's SHA-256 thumbprint in `x5t#S256`, audience the token endpoint. The TLS provider
//! signs it: its RSA is constant-time, and no second implementation comes into the program.

use azure_core::credentials::Secret;
use azure_core::error::{Error, ErrorKind};
use azure_core::http::ClientMethodOptions;
use azure_identity::ClientAssertion;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::SignatureScheme;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SigningKey};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long one assertion is good for. It is used at once; ten minutes forgive a clock that is off.
const ASSERTION_LIFE: Duration = Duration::from_mins(10);

/// How Entra wants it signed.
const RS256: SignatureScheme = SignatureScheme::RSA_PKCS1_SHA256;

/// What a key of any other kind or size is told.
const NOT_RSA: &str = "its private key is not an RSA key of 2048 to 4096 bits; Entra's client certificates need one";

/// Signs assertions. Prints as its application only.
pub(super) struct CertificateAssertion {
    audience: String,
    client_id: String,
    thumbprint: String,
    key: Arc<dyn SigningKey>,
}

#[derive(Serialize)]
struct Header<'a> {
    typ: &'static str,
    alg: &'static str,
    #[serde(rename = "x5t#S256")]
    thumbprint: &'a str,
}

#[derive(Serialize)]
struct Claims<'a> {
    aud: &'a str,
    iss: &'a str,
    sub: &'a str,
    jti: String,
    nbf: u64,
    exp: u64,
}

impl CertificateAssertion {
    /// From the text of a PEM file with the certificate and its private key, in any order. The error says what is wrong
    /// with it, without any of its content.
    pub(super) fn new(tenant_id: &str, client_id: &str, pem: &str) -> Result<Self, String> {
        let key = signing_key(pem)?;
        let certificate = certificate_of(pem, &key)?;
        Ok(Self {
            audience: format!("https://login.microsoftonline.com/{tenant_id}/oauth2/v2.0/token"),
            client_id: client_id.to_owned(),
            thumbprint: URL_SAFE_NO_PAD.encode(Sha256::digest(&certificate)),
            key,
        })
    }

    fn sign(&self) -> Result<Secret, Error> {
        let failed = |reason: String| Error::with_message(ErrorKind::Credential, reason);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let header = Header { typ: "JWT", alg: "RS256", thumbprint: &self.thumbprint };
        let claims = Claims {
            aud: &self.audience,
            iss: &self.client_id,
            sub: &self.client_id,
            jti: uuid::Uuid::new_v4().to_string(),
            nbf: now.as_secs(),
            exp: (now + ASSERTION_LIFE).as_secs(),
        };
        let (header, claims) = (encoded(&header)?, encoded(&claims)?);
        let signed = format!("{header}.{claims}");
        let rsa = self.key.choose_scheme(&[RS256]).ok_or_else(|| failed(NOT_RSA.to_owned()))?;
        let signature = rsa.sign(signed.as_bytes()).map_err(|error| failed(error.to_string()))?;
        Ok(Secret::new(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))))
    }
}

/// A part of a JWT.
fn encoded(part: &impl Serialize) -> Result<String, Error> {
    let json = serde_json::to_vec(part).map_err(|error| Error::new(ErrorKind::DataConversion, error))?;
    Ok(URL_SAFE_NO_PAD.encode(json))
}

/// The RSA key in a PEM file.
fn signing_key(pem: &str) -> Result<Arc<dyn SigningKey>, String> {
    if pem.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----") || pem.contains("Proc-Type: 4,ENCRYPTED") {
        return Err("its private key is encrypted; decrypt it with: openssl pkey -in FILE -out DECRYPTED".to_owned());
    }
    let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|error| not_pem(&error, "PRIVATE KEY"))?;
    let key = any_supported_type(&key).map_err(|_| NOT_RSA)?;
    if key.choose_scheme(&[RS256]).is_none() {
        return Err(NOT_RSA.to_owned());
    }
    Ok(key)
}

/// The certificate that `key` belongs to: a file with a whole chain may begin with another one.
fn certificate_of(pem: &str, key: &Arc<dyn SigningKey>) -> Result<CertificateDer<'static>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let certificates = found.map_err(|error| not_pem(&error, "CERTIFICATE"))?;
    if certificates.is_empty() {
        return Err("it has no CERTIFICATE block".to_owned());
    }
    let matching = |certificate: &CertificateDer<'static>| {
        CertifiedKey::new(vec![certificate.clone()], Arc::clone(key)).keys_match().is_ok()
    };
    certificates
        .into_iter()
        .find(matching)
        .ok_or_else(|| "its private key does not match any of its certificates".to_owned())
}

fn not_pem(error: &pem::Error, block: &str) -> String {
    match error {
        pem::Error::NoItemsFound => format!("it has no {block} block"),
        pem::Error::MissingSectionEnd { .. } => "a block in it has no END line".to_owned(),
        pem::Error::Base64Decode(_) => "a block in it is not base64".to_owned(),
        _ => "it is not a PEM file".to_owned(),
    }
}

impl fmt::Debug for CertificateAssertion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("CertificateAssertion").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

#[async_trait::async_trait]
impl ClientAssertion for CertificateAssertion {
    async fn secret(&self, _options: Option<ClientMethodOptions<'_>>) -> azure_core::Result<String> {
        Ok(self.sign()?.secret().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::SubjectPublicKeyInfoDer;
    use serde::Deserialize;

    const PEM: &str = include_str!("../../tests/fixtures/auth/certificate.pem");
    const PUBLIC_KEY: &str = include_str!("../../tests/fixtures/auth/public-key.pem");
    /// DER of an RSA key of 2048 bits: this many bytes say what it is, the rest is the key.
    const RSA_2048_PREFIX: usize = 24;

    #[derive(Deserialize)]
    struct Signed {
        aud: String,
        iss: String,
        sub: String,
        exp: u64,
        nbf: u64,
    }

    fn assertion(pem: &str) -> CertificateAssertion {
        CertificateAssertion::new("tenant-1", "client-1", pem).unwrap()
    }

    fn decoded(part: &str) -> Vec<u8> {
        URL_SAFE_NO_PAD.decode(part).unwrap()
    }

    /// What is between the BEGIN and END lines of a label, with them.
    fn block(label: &str) -> String {
        let start = PEM.find(&format!("-----BEGIN {label}-----")).unwrap();
        let end = format!("-----END {label}-----\n");
        PEM[start..PEM.find(&end).unwrap() + end.len()].to_owned()
    }

    fn is_signed_by_the_fixture(jwt: &str) -> bool {
        let (signed, signature) = jwt.rsplit_once('.').unwrap();
        let key = SubjectPublicKeyInfoDer::from_pem_slice(PUBLIC_KEY.as_bytes()).unwrap();
        let provider = rustls::crypto::ring::default_provider();
        let known = provider.signature_verification_algorithms.mapping.iter();
        let (_, algorithms) = known.into_iter().find(|(scheme, _)| *scheme == RS256).unwrap();
        algorithms[0].verify_signature(&key[RSA_2048_PREFIX..], signed.as_bytes(), &decoded(signature)).is_ok()
    }

    #[test]
    fn an_assertion_is_signed_by_the_key_and_names_the_certificate() {
        let jwt = assertion(PEM).sign().unwrap();
        let jwt = jwt.secret();
        assert!(is_signed_by_the_fixture(jwt));
        assert!(!is_signed_by_the_fixture(&jwt.replacen('.', "x.", 1)), "the signature covers nothing");
        let parts: Vec<&str> = jwt.split('.').collect();
        // `openssl x509 -outform der | openssl dgst -sha256 -binary | basenc --base64url`
        assert_eq!(
            String::from_utf8(decoded(parts[0])).unwrap(),
            r#"{"typ":"JWT","alg":"RS256","x5t#S256":"KZnG-cTsVha0i48gLm_V7ROwc1l191wVdRZmjYyngY8"}"#
        );
        let claims: Signed = serde_json::from_slice(&decoded(parts[1])).unwrap();
        assert_eq!((claims.iss.as_str(), claims.sub.as_str()), ("client-1", "client-1"));
        assert_eq!(claims.aud, "https://login.microsoftonline.com/tenant-1/oauth2/v2.0/token");
        assert_eq!(claims.exp - claims.nbf, ASSERTION_LIFE.as_secs());
    }

    #[test]
    fn each_assertion_is_new() {
        let assertion = assertion(PEM);
        assert_ne!(assertion.sign().unwrap().secret(), assertion.sign().unwrap().secret());
    }

    #[test]
    fn the_key_may_come_first_and_the_certificate_may_be_one_of_several() {
        let other = rcgen::generate_simple_self_signed(["other.example".to_owned()]).unwrap().cert.pem();
        let (key, certificate) = (block("PRIVATE KEY"), block("CERTIFICATE"));
        for pem in [format!("{key}{certificate}"), format!("Bag Attributes\n{other}{certificate}{key}")] {
            assert_eq!(assertion(&pem).thumbprint, assertion(PEM).thumbprint);
        }
    }

    #[test]
    fn a_pkcs_1_key_signs_as_a_pkcs_8_key_does() {
        let pkcs1 = include_str!("../../tests/fixtures/auth/key-pkcs1.pem");
        let assertion = assertion(&format!("{}{pkcs1}", block("CERTIFICATE")));
        assert!(is_signed_by_the_fixture(assertion.sign().unwrap().secret()));
    }

    #[test]
    fn a_file_that_will_not_do_is_explained_without_its_content() {
        let (certificate, key) = (block("CERTIFICATE"), block("PRIVATE KEY"));
        let other = rcgen::generate_simple_self_signed(["other.example".to_owned()]).unwrap();
        let labelled = |label: &str, body: &str| format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n");
        let with = |key: &str| format!("{certificate}{key}");
        for (pem, explanation) in [
            (String::new(), "no PRIVATE KEY block"),
            (certificate.clone(), "no PRIVATE KEY block"),
            (key.clone(), "no CERTIFICATE block"),
            (PEM.replace("MII", "M!!"), "not base64"),
            ("-----BEGIN CERTIFICATE-----".to_owned(), "no END line"),
            (with(&labelled("PRIVATE KEY", "AAAA")), "not an RSA key"),
            (with(&other.signing_key.serialize_pem()), "not an RSA key"),
            (format!("{}{key}", other.cert.pem()), "does not match any of its certificates"),
            (with(&labelled("ENCRYPTED PRIVATE KEY", "AAAA")), "encrypted; decrypt it with: openssl"),
            (
                with(&labelled("RSA PRIVATE KEY", "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA")),
                "encrypted; decrypt it with: openssl",
            ),
        ] {
            let error = CertificateAssertion::new("t", "c", &pem).unwrap_err();
            assert!(error.contains(explanation), "{explanation}: {error}");
        }
    }

    #[test]
    fn the_key_does_not_show() {
        let shown = format!("{:?}", assertion(PEM));
        assert_eq!(shown, r#"CertificateAssertion { client_id: "client-1", .. }"#);
    }
}
