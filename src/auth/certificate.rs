//! The client assertion of a certificate credential: a short JWT signed with the certificate's RSA key.
//!
//! Entra's format: RS256, the certificate's SHA-256 thumbprint in `x5t#S256`, audience the token endpoint.

use azure_core::credentials::Secret;
use azure_core::error::{Error, ErrorKind};
use azure_core::http::ClientMethodOptions;
use azure_identity::ClientAssertion;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long one assertion is good for. It is used at once; ten minutes forgive a clock that is off.
const ASSERTION_LIFE: Duration = Duration::from_mins(10);

/// Signs assertions. Prints as its application only.
pub(super) struct CertificateAssertion {
    audience: String,
    client_id: String,
    thumbprint: String,
    key: EncodingKey,
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
    /// From the text of a PEM file. The error says what is wrong with it, without any of its content.
    pub(super) fn new(tenant_id: &str, client_id: &str, pem: &str) -> Result<Self, String> {
        let certificate = block(pem, |label| label == "CERTIFICATE").ok_or("it has no CERTIFICATE block")?;
        let body: String = certificate.lines().filter(|line| !line.starts_with("-----")).map(str::trim).collect();
        let der = STANDARD.decode(body).map_err(|_| "its CERTIFICATE block is no base64")?;
        let key = block(pem, |label| label.ends_with("PRIVATE KEY")).ok_or("it has no PRIVATE KEY block")?;
        let key = EncodingKey::from_rsa_pem(key.as_bytes())
            .map_err(|_| "its private key is no unencrypted RSA key (PKCS #1 or #8)")?;
        Ok(Self {
            audience: format!("https://login.microsoftonline.com/{tenant_id}/oauth2/v2.0/token"),
            client_id: client_id.to_owned(),
            thumbprint: URL_SAFE_NO_PAD.encode(Sha256::digest(&der)),
            key,
        })
    }

    fn sign(&self) -> Result<Secret, jsonwebtoken::errors::Error> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let header = Header { x5t_s256: Some(self.thumbprint.clone()), ..Header::new(Algorithm::RS256) };
        let claims = Claims {
            aud: &self.audience,
            iss: &self.client_id,
            sub: &self.client_id,
            jti: uuid::Uuid::new_v4().to_string(),
            nbf: now.as_secs(),
            exp: (now + ASSERTION_LIFE).as_secs(),
        };
        jsonwebtoken::encode(&header, &claims, &self.key).map(Secret::new)
    }
}

/// The first PEM block whose label fits, with its `-----` lines.
fn block(pem: &str, fits: impl Fn(&str) -> bool) -> Option<&str> {
    let mut rest = pem;
    loop {
        let start = rest.find("-----BEGIN ")?;
        rest = &rest[start..];
        let label = rest.strip_prefix("-----BEGIN ")?.split("-----").next()?;
        let end = format!("-----END {label}-----");
        let length = rest.find(&end)? + end.len();
        if fits(label) {
            return rest.get(..length);
        }
        rest = rest.get(length..)?;
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
        let assertion = self.sign().map_err(|error| Error::new(ErrorKind::Credential, error))?;
        Ok(assertion.secret().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jsonwebtoken::{DecodingKey, Validation};
    use serde::Deserialize;

    const PEM: &str = include_str!("../../tests/fixtures/auth/certificate.pem");
    const PUBLIC_KEY: &str = include_str!("../../tests/fixtures/auth/public-key.pem");

    #[derive(Deserialize)]
    struct Signed {
        aud: String,
        iss: String,
        sub: String,
        exp: u64,
        nbf: u64,
    }

    #[test]
    fn an_assertion_is_signed_by_the_key_and_names_the_certificate() {
        let assertion = CertificateAssertion::new("tenant-1", "client-1", PEM).unwrap();
        let jwt = assertion.sign().unwrap();
        let mut validation = Validation::new(Algorithm::RS256);
        validation.set_audience(&["https://login.microsoftonline.com/tenant-1/oauth2/v2.0/token"]);
        let key = DecodingKey::from_rsa_pem(PUBLIC_KEY.as_bytes()).unwrap();
        let decoded = jsonwebtoken::decode::<Signed>(jwt.secret(), &key, &validation).unwrap();
        // `openssl x509 -outform der | openssl dgst -sha256 -binary | basenc --base64url`
        assert_eq!(decoded.header.x5t_s256.as_deref(), Some("KZnG-cTsVha0i48gLm_V7ROwc1l191wVdRZmjYyngY8"));
        let claims = decoded.claims;
        assert_eq!((claims.iss.as_str(), claims.sub.as_str()), ("client-1", "client-1"));
        assert!(claims.aud.contains("tenant-1"));
        assert_eq!(claims.exp - claims.nbf, ASSERTION_LIFE.as_secs());
    }

    #[test]
    fn each_assertion_is_new() {
        let assertion = CertificateAssertion::new("t", "c", PEM).unwrap();
        assert_ne!(assertion.sign().unwrap().secret(), assertion.sign().unwrap().secret());
    }

    #[test]
    fn a_file_that_will_not_do_is_explained_without_its_content() {
        let only = |label: &str| block(PEM, |found| found == label).unwrap().to_owned();
        for (pem, explanation) in [
            (String::new(), "no CERTIFICATE"),
            (only("CERTIFICATE"), "no PRIVATE KEY"),
            (only("PRIVATE KEY"), "no CERTIFICATE"),
            (PEM.replace("MII", "M!!"), "no base64"),
            ("-----BEGIN CERTIFICATE-----".to_owned(), "no CERTIFICATE"),
            (format!("{}\n-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", only("CERTIFICATE")), "RSA"),
        ] {
            let error = CertificateAssertion::new("t", "c", &pem).unwrap_err();
            assert!(error.contains(explanation), "{error}");
        }
    }

    #[test]
    fn the_key_does_not_show() {
        let shown = format!("{:?}", CertificateAssertion::new("t", "client-1", PEM).unwrap());
        assert_eq!(shown, r#"CertificateAssertion { client_id: "client-1", .. }"#);
    }
}
